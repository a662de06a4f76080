#include "tests/unit/policy/fixture.hpp"

#include "storage/base/limits.hpp"

namespace candor::model {

using namespace testing;

namespace {

auto unchanged = [](policy&) {};

std::string in_force(const timeline& policies, std::string_view t) {
  auto p = policies.in_force(at(t));
  return p ? p->version : "none";
}

} // namespace

TEST_CASE("the reference policy is announced in October and in force from December", "[policy]") {
  auto policies = timeline_of({reference_policy()});
  auto p = policies.find("2025-12-16.1");
  REQUIRE(p != nullptr);
  CHECK(p->announce_at == at("2025-10-07"));
  CHECK(in_force(policies, "2025-10-07") == "none");
  CHECK(in_force(policies, "2025-12-15T23:59:59.999Z") == "none");
  CHECK(in_force(policies, "2025-12-16T00:00:00Z") == "2025-12-16.1");
  CHECK(in_force(policies, "2030-01-01") == "2025-12-16.1");
}

TEST_CASE("the applied version with the greatest effective time is in force", "[policy]") {
  auto policies =
      timeline_of({version_of("2026-03-01.1", "2026-03-01", unchanged), reference_policy(),
                   version_of("2026-02-01.1", "2026-02-01", unchanged)});
  CHECK(in_force(policies, "2026-01-31T23:59:59.999Z") == "2025-12-16.1");
  CHECK(in_force(policies, "2026-02-01") == "2026-02-01.1");
  CHECK(in_force(policies, "2026-03-01") == "2026-03-01.1");
  CHECK(policies.versions().size() == 3);
}

TEST_CASE("of two versions with one effective time the one applied last is in force", "[policy]") {
  auto policies =
      timeline_of({reference_policy(), version_of("2025-12-16.2", "2025-12-16", unchanged)});
  CHECK(in_force(policies, "2025-12-16") == "2025-12-16.2");
}

TEST_CASE("a version is applied once and never changed", "[policy]") {
  timeline policies;
  REQUIRE(policies.apply(reference_policy(), at("2025-10-01")));
  REQUIRE(policies.apply(reference_policy(), at("2025-10-05")));
  REQUIRE(policies.versions().size() == 1);
  CHECK(policies.versions().front().applied_at == at("2025-10-01"));

  auto other = reference_policy();
  other.text += "\n# one more line";
  auto refused = policies.apply(other, at("2025-10-06"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::policy_conflict);
  CHECK(policies.versions().size() == 1);
  CHECK(policies.find("2025-12-16.1")->text == reference_text());
}

TEST_CASE("a timeline has a bound", "[policy]") {
  timeline policies;
  for (std::size_t i = 1; i <= limits::policies; ++i)
    REQUIRE(policies.apply(version_of("2026-01-01." + std::to_string(i), "2026-01-01", unchanged),
                           at("2025-10-01")));
  auto refused = policies.apply(reference_policy(), at("2025-10-01"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::too_many);
  CHECK(policies.find("2025-12-16.1") == nullptr);
}

} // namespace candor::model
