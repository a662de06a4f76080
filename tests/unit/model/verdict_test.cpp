#include <catch2/catch.hpp>

#include "storage/model/verdict.hpp"

namespace candor::model {

TEST_CASE("statuses and reasons have the names that callers were promised", "[verdict]") {
  const std::vector<std::string_view> statuses{"accepted", "duplicate", "withheld",
                                               "invalid",  "unknown",   "overloaded"};
  for (std::size_t i = 0; i < statuses.size(); ++i)
    CHECK(to_string(static_cast<status>(i)) == statuses[i]);
  const std::vector<std::string_view> reasons{
      "duplicate", "policy_not_effective", "region_unknown", "region_excluded",
      "minor",     "not_notified",         "opted_out",      "erased",
      "sensitive"};
  for (std::size_t i = 0; i < reasons.size(); ++i)
    CHECK(to_string(static_cast<reason>(i)) == reasons[i]);
}

TEST_CASE("a verdict names its reason only where there is one", "[verdict]") {
  CHECK(verdict::accepted().reason.empty());
  CHECK(verdict::duplicate().status == status::duplicate);
  CHECK(verdict::withheld(reason::minor).status == status::withheld);
  CHECK(verdict::withheld(reason::minor).reason == "minor");
  CHECK(verdict::invalid("bad_time", "at").reason == "bad_time");
  CHECK(verdict::invalid("bad_time", "at").detail == "at");
  CHECK(verdict::overloaded().status == status::overloaded);
  CHECK(verdict::unknown() == verdict{});
}

} // namespace candor::model
