#include <catch2/catch.hpp>

#include "actors/gateway/parse/users.hpp"
#include "tests/unit/gateway/fixture.hpp"

using namespace candor;
using namespace candor::gateway_tests;

namespace {

const auto now = *parse_time("2025-12-20T12:00:00Z");

result<model::user_details> read(std::string_view body) {
  return parse::parse_user_json(body, *user_id::parse("u-42"), regions(), now);
}

errc refusal(std::string_view body) {
  auto details = read(body);
  REQUIRE_FALSE(details);
  return details.error().code;
}

} // namespace

TEST_CASE("what the platform states of a person is read whole", "[gateway]") {
  auto details = read(R"({"user":"u-42","region":"US","region_since":"2020-01-01","lang":"en",)"
                      R"("zone":"America/New_York","email":"u42@example.org","birth_year":1990,)"
                      R"("assistant_user_since":"2025-11-02","app":"feed"})");
  REQUIRE(details);
  CHECK(details->region->view() == "US");
  CHECK(format_time(*details->region_since) == "2020-01-01T00:00:00Z");
  CHECK(details->lang == "en");
  CHECK(details->zone == "America/New_York");
  CHECK(details->email == "u42@example.org");
  CHECK(details->birth_year == 1990);
  CHECK(format_date(*details->assistant_user_since) == "2025-11-02");
  CHECK(details->app == "feed");
}

TEST_CASE("what is not stated stays as it is", "[gateway]") {
  auto details = read("{}");
  REQUIRE(details);
  CHECK(*details == model::user_details{});
}

TEST_CASE("a person's details are refused where they cannot be so", "[gateway]") {
  CHECK(refusal(R"({"user":"u-43"})") == errc::bad_value);
  CHECK(refusal(R"({"region":"XX"})") == errc::bad_region);
  CHECK(refusal(R"({"region_since":"2020-01-01"})") == errc::missing_field);
  CHECK(refusal(R"({"region":"US","region_since":"2026-01-01"})") == errc::bad_value);
  CHECK(refusal(R"({"region":"US","region_since":"soon"})") == errc::bad_time);
  CHECK(refusal(R"({"zone":"Mars/Olympus"})") == errc::bad_value);
  CHECK(refusal(R"({"zone":"../../etc/passwd"})") == errc::bad_value);
  CHECK(refusal(R"({"zone":""})") == errc::bad_value);
  CHECK(refusal(R"({"birth_year":1899})") == errc::bad_value);
  CHECK(refusal(R"({"birth_year":2026})") == errc::bad_value);
  CHECK(refusal(R"({"birth_year":1990.5})") == errc::bad_value);
  CHECK(refusal(R"({"birth_year":"1990"})") == errc::bad_value);
  CHECK(refusal(R"({"assistant_user_since":"2025-12-22"})") == errc::bad_value);
  CHECK(refusal(R"({"shoe_size":43})") == errc::unknown_field);
  CHECK(refusal(R"({"lang":null})") == errc::bad_value);
  CHECK(refusal("not json") == errc::malformed);
}

TEST_CASE("an e-mail address has a name, an @ and a domain", "[gateway]") {
  auto read_email = [](const std::string& address) {
    return read(R"({"email":")" + address + R"("})").has_value();
  };
  for (auto good : {"a@example.org", "first.last+tag@mail.example.co.uk", "ü@exämple.org"})
    CHECK(read_email(good));
  for (auto bad : {"", "a", "@example.org", "a@", "a@b", "a@b..c", "a@.c", "a b@example.org",
                   "a@example.org\\r\\nBcc: x@y.z", "a@b@example.org"})
    CHECK_FALSE(read_email(bad));
}

TEST_CASE("zones of the time zone database are known, links too", "[gateway]") {
  for (auto zone : {"UTC", "Europe/Berlin", "Asia/Seoul", "US/Eastern", "Asia/Calcutta"})
    CHECK(read(R"({"zone":")" + std::string{zone} + R"("})").has_value());
}
