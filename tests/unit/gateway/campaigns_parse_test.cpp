/// What a campaign must not be: refused by name, with a code of 4xx, at whatever size.

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "actors/gateway/parse/ads.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/targeting/expression.hpp"

using namespace candor;
using namespace candor::parse;
using json = nlohmann::json;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");

json campaign() {
  return json::parse(R"json({
    "advertiser": "a-3", "bid_micros": 850000, "quality": 180,
    "budget": {"total_micros": 50000000, "daily_micros": 20000000},
    "schedule": {"from": "2025-12-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
    "cap": {"impressions": 2, "per": "24h"}, "pacing": "even", "relevance": {"outdoors": 200},
    "targeting": "(country in (US, CA) and device = phone)",
    "creatives": [{"id": "cr-1", "title": "Boots", "url": "https://example.org/boots"}]})json");
}

error refusal(const json& from) {
  auto made = parse_campaign_json(from.dump(), "c-1", now);
  REQUIRE(!made);
  CHECK(info(made.error().code).http_status >= 400);
  CHECK(info(made.error().code).http_status < 500);
  return made.error();
}

error with(const char* pointer, const json& is) {
  auto changed = campaign();
  changed[json::json_pointer{pointer}] = is;
  return refusal(changed);
}

std::string repeated(const std::string& what, std::size_t times) {
  std::string made;
  while (times-- > 0)
    made += what;
  return made;
}

} // namespace

TEST_CASE("a campaign as it should be is read whole", "[ads]") {
  auto made = parse_campaign_json(campaign().dump(), "c-1", now);
  REQUIRE(made);
  CHECK(made->id == "c-1");
  CHECK(made->even_pacing);
  CHECK(made->targeting == "(country in (CA, US) and device = phone)");
  auto stored = model::decode_campaign(model::encode(*made));
  REQUIRE(stored);
  CHECK(*stored == *made);
}

TEST_CASE("an expression that cannot be read is refused with its line and column", "[ads]") {
  auto detail = [](const char* text) {
    auto why = with("/targeting", text);
    CHECK(why.code == errc::targeting_invalid);
    return why.detail;
  };
  CHECK(detail("country in US").find("line 1, column 12") != std::string::npos);
  CHECK(detail("(country = US\n and colour = red)").find("line 2, column 6") != std::string::npos);
  CHECK(detail("country = US and consent or coppa").find("line 1") != std::string::npos);
  for (const auto* text :
       {"", "(", ")", "()", "country", "country =", "country = (US)", "country in ()",
        "hour_of_week >= noon", "hour_of_week >= 168", "hour_of_week >= -1", "consent = yes",
        "topics = outdoors", "country one of (US)", "not", "country = US country = CA", "\"",
        "\xff"}) {
    INFO(text);
    if (*text != '\0' && *text != '\xff')
      CHECK(!detail(text).empty());
  }
}

TEST_CASE("attributes and values that are not known are refused", "[ads]") {
  CHECK(with("/targeting", "colour = red").code == errc::targeting_invalid);
  CHECK(with("/targeting", "country = USA").code == errc::targeting_invalid);
  CHECK(with("/targeting", "device = fridge").code == errc::targeting_invalid);
  CHECK(with("/targeting", "topics one of (astrology_of_cats)").code == errc::targeting_invalid);
  CHECK(with("/targeting", "segments one of (religion)").code == errc::sensitive_targeting);
  CHECK(with("/targeting", {{"attr", "colour"}, {"eq", "red"}}).code == errc::targeting_invalid);
  CHECK(with("/relevance/astrology_of_cats", 9).code == errc::unknown_topic);
  CHECK(with("/relevance/health", 9).code == errc::sensitive_targeting);
}

TEST_CASE("bombs of depth and size are refused, and at once", "[ads]") {
  using namespace model::targeting;
  CHECK(with("/targeting", repeated("not ", 1000) + "consent").code == errc::targeting_invalid);
  CHECK(with("/targeting", repeated("(", 2000)).code == errc::targeting_invalid);
  CHECK(with("/targeting", repeated("(", 100'000) + "consent").code == errc::targeting_invalid);
  auto wide = "(consent" + repeated(" and consent", nodes_max) + ")";
  CHECK(with("/targeting", wide).code == errc::targeting_invalid);
  CHECK(with("/targeting", "segments one of (x" + repeated(", x", values_max) + ")").code ==
        errc::targeting_invalid);
  CHECK(with("/targeting", "segments one of (" + std::string(text_bytes_max, 'x') + ")").code ==
        errc::targeting_invalid);
  json deep = {{"attr", "consent"}};
  for (int i = 0; i < 12; ++i)
    deep = {{"not", deep}};
  auto shallow_enough = campaign();
  shallow_enough["targeting"] = deep;
  CHECK(parse_campaign_json(shallow_enough.dump(), "c-1", now));
  for (int i = 0; i < 100; ++i)
    deep = {{"not", deep}};
  with("/targeting", deep);
  json many = {{"and", json::array()}};
  for (int i = 0; i < 1000; ++i)
    many["and"].push_back({{"attr", "consent"}});
  with("/targeting", many);
  with("/advertiser", std::string(1'000'000, 'x'));
  with("/creatives/0/title", std::string(limits::item_text_bytes + 1, 'x'));
  json creatives = json::array();
  for (std::size_t i = 0; i <= limits::creatives; ++i)
    creatives.push_back(
        {{"id", std::to_string(i)}, {"title", "t"}, {"url", "https://example.org"}});
  CHECK(with("/creatives", creatives).code == errc::too_many);
}

TEST_CASE("bids, budgets and weights are positive and bounded", "[ads]") {
  for (const json& bid :
       {json(0), json(-1), json(-9'000'000'000'000'000'000), json(limits::money_micros + 1),
        json(1.5), json("1"), json(nullptr), json(1e300)})
    CHECK(with("/bid_micros", bid).code == errc::bad_value);
  for (int quality : {0, -1, 256})
    CHECK(with("/quality", quality).code == errc::bad_value);
  CHECK(with("/budget/total_micros", 0).code == errc::bad_value);
  CHECK(with("/budget/total_micros", -5).code == errc::bad_value);
  CHECK(with("/budget/daily_micros", 0).code == errc::bad_value);
  CHECK(with("/budget/daily_micros", 50'000'001).code == errc::bad_value);
  CHECK(with("/budget", 7).code == errc::bad_value);
  CHECK(with("/cap", {{"impressions", 0}, {"per", "24h"}}).code == errc::bad_value);
  CHECK(with("/cap", {{"impressions", 1}, {"per", "0h"}}).code == errc::bad_value);
  CHECK(with("/cap", {{"impressions", 1}, {"per", "31d"}}).code == errc::bad_value);
  CHECK(with("/relevance/outdoors", 0).code == errc::bad_value);
  CHECK(with("/relevance/outdoors", 256).code == errc::bad_value);
  CHECK(with("/pacing", "fast").code == errc::bad_value);
}

TEST_CASE("a schedule that is over, ends before it begins, or is no time is refused", "[ads]") {
  auto over = with("/schedule", {{"from", "2025-01-01T00:00:00Z"}, {"to", "2025-12-20T12:00:00Z"}});
  CHECK(over.code == errc::bad_value);
  CHECK(over.detail == "`schedule.to` is over already");
  CHECK(with("/schedule/to", "2025-11-01T00:00:00Z").code == errc::bad_value);
  CHECK(with("/schedule/to", "2025-12-01T00:00:00Z").code == errc::bad_value);
  CHECK(with("/schedule/to", "tomorrow").code == errc::bad_time);
  CHECK(with("/schedule/to", 1767225600).code == errc::bad_value);
  CHECK(with("/schedule/until", "2026-02-01T00:00:00Z").code == errc::unknown_field);
}

TEST_CASE("creatives have an id of their own, an address over https and a language that is one",
          "[ads]") {
  CHECK(with("/creatives", json::array()).code == errc::missing_field);
  CHECK(with("/creatives/0/url", "http://example.org").code == errc::bad_value);
  CHECK(with("/creatives/0/url", "javascript:alert(1)").code == errc::bad_value);
  for (const auto* nowhere : {"https://", "https:///example.org", "https://\\example.org",
                              "https://user@/x", "https://ex%61mple.org"})
    CHECK(with("/creatives/0/url", nowhere).detail == "`creatives.url` names a host, without %");
  CHECK(with("/creatives/0/lang", "English").code == errc::bad_value);
  auto twice = campaign();
  twice["creatives"].push_back(twice["creatives"][0]);
  CHECK(refusal(twice).code == errc::bad_value);
}

TEST_CASE("a page's blocked advertisers are read into one form", "[ads]") {
  auto badv = [](const json& of) {
    json asked = {{"match", {{"context", {{"badv", of}}}}}};
    return parse_match_json(asked.dump(), false);
  };
  using words = std::vector<std::string>;
  CHECK(badv(json::array({"Example.org", "example.org.", "Acme", "bücher.example:443"}))->badv ==
        words{"example.org", "example.org", "acme", "xn--bcher-kva.example"});
  CHECK(badv(json::array())->badv.empty());
  CHECK(badv(json::array({""})).error().code == errc::bad_value);
  CHECK(badv(json::array({std::string(254, 'x')})).error().code == errc::bad_value);
  CHECK(badv("example.org").error().code == errc::bad_value);
}

TEST_CASE("what happened in a feed is read strictly", "[feed]") {
  auto hidden = parse_feed_event_json(R"({"event":"hide","content":"p-7"})");
  REQUIRE(hidden);
  CHECK((hidden->content == "p-7" && hidden->hidden));
  CHECK(!parse_feed_event_json(R"({"event":"seen","content":"p-7"})")->hidden);
  for (const auto* wrong :
       {R"({"event":"seen"})", R"({"content":"p-7"})", R"({"event":"like","content":"p-7"})",
        R"({"event":"seen","content":""})", R"({"event":"seen","content":7})",
        R"({"event":"seen","content":"p-7","user":"u-1"})", "[]", ""})
    CHECK(!parse_feed_event_json(wrong));
}
