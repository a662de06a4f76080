#include <catch2/catch.hpp>

#include "actors/ad_matching/match.hpp"

using namespace candor;
using namespace candor::ad_matching;
using namespace std::chrono_literals;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");

std::shared_ptr<const model::live_campaign> campaign(const std::string& id, std::int64_t bid,
                                                     const std::string& targeting = {}) {
  model::campaign c;
  c.id = id;
  c.advertiser = "a-1";
  c.bid_micros = bid;
  c.quality = 100;
  c.from = now - 1h;
  c.to = now + 1h;
  c.targeting = targeting;
  c.creatives.push_back({"x", "x", "", "https://example.org"});
  auto wants = model::targeting::expression::parse(targeting);
  REQUIRE(wants);
  return std::make_shared<const model::live_campaign>(c, *wants);
}

} // namespace

TEST_CASE("why not names the first thing that keeps a campaign away", "[ads]") {
  model::campaign_list all{campaign("c-1", 900'000, "country = US and device = phone"),
                           campaign("c-2", 500'000), campaign("c-3", 5'000)};
  ad_request asked;
  asked.now = now;
  asked.on.country = "US";
  asked.on.device = "tv";
  CHECK(standing(all, asked, "c-1", 1).code == "targeting");
  CHECK(standing(all, asked, "c-1", 1).detail == "device = phone");
  CHECK(standing(all, asked, "c-3", 1).code == "under_reserve");
  CHECK(standing(all, asked, "c-9", 1).code == "not_found");
  CHECK(standing(all, asked, "c-2", 1).code == "eligible");
  asked.on.device = "phone";
  auto outbid = standing(all, asked, "c-2", 1);
  CHECK(outbid.code == "outbid");
  CHECK(outbid.detail == "400001 micros more would take the last place");
  asked.excluded = {"c-1"};
  CHECK(standing(all, asked, "c-1", 1).code == "no_budget");
  asked.paced = {"c-1"};
  CHECK(standing(all, asked, "c-1", 1).code == "paced");
  CHECK(standing(all, asked, "c-2", 1).code == "eligible");
  asked.on.badv = {"a-1"};
  CHECK(standing(all, asked, "c-2", 1).code == "advertiser_blocked");
  asked.now = now + 1h;
  CHECK(standing(all, asked, "c-2", 1).code == "outside_schedule");
}

TEST_CASE("an hour of the week is counted from Monday, midnight UTC", "[ads]") {
  using model::targeting::attribute;
  auto hour = [](const char* at) {
    return attributes_of({}, {}, *parse_time(at)).number(attribute::hour_of_week);
  };
  CHECK(hour("2025-12-15T00:00:00Z") == 0);
  CHECK(hour("2025-12-15T23:59:59Z") == 23);
  CHECK(hour("2025-12-21T23:00:00Z") == 167);
  CHECK(hour("1970-01-01T00:00:00Z") == 3 * 24);
}

TEST_CASE("a page blocks domains with those under them, languages, and what is under its floor",
          "[ads]") {
  auto c = campaign("c-1", 500'000)->campaign;
  c.advertiser = "Acme";
  c.creatives = {{"x", "x", "", "https://Shop.Example.org.:443/boots?u=https://a.example"}};
  model::campaign_list all{
      std::make_shared<const model::live_campaign>(c, model::targeting::expression{})};
  ad_request asked;
  asked.now = now;
  auto code = [&] { return standing(all, asked, "c-1", 1).code; };
  CHECK(code() == "eligible");
  for (const auto* blocked : {"shop.example.org", "example.org", "org", "acme"}) {
    asked.on.badv = {blocked};
    CHECK(code() == "advertiser_blocked");
  }
  for (const auto* other : {"xample.org", "boots.shop.example.org", "a.example", "example", ""}) {
    asked.on.badv = {other};
    CHECK(code() == "eligible");
  }
  asked.on.floor_micros = 500'000;
  CHECK(standing(all, asked, "c-1", 1).detail == "it would win for 500000 micros");
  asked.on.floor_micros = 500'001;
  CHECK(code() == "under_reserve");
  asked.on.floor_micros = 0;
  asked.on.wlang = {"en"};
  CHECK(code() == "language_blocked");
}
