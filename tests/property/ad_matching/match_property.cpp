/// Matching over generated campaigns and people, against a plain reading of the rules.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <set>

#include "actors/ad_matching/index_reader.hpp"
#include "actors/ad_matching/match.hpp"
#include "tests/support/campaign_changes.hpp"

using namespace candor;
using namespace candor::ad_matching;
using namespace std::chrono_literals;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");

/// Conditions as data, from which both the text and the oracle are made.
struct conditions {
  std::set<std::string> countries, topics_any, ctx_any, topics_none;
  bool adults_only = false; ///< age_band <> 18-24
};

struct known_campaign {
  model::campaign c;
  conditions when;
};

const std::vector<std::string> countries{"US", "CA", "BR"};
const std::vector<std::string> topics{"outdoors", "music", "travel"};

std::set<std::string> some(const std::vector<std::string>& of) {
  std::set<std::string> picked;
  for (const auto& x : of)
    if (*rc::gen::arbitrary<bool>())
      picked.insert(x);
  return picked;
}

std::string list(const std::set<std::string>& of) {
  std::string text;
  for (const auto& x : of)
    text += (text.empty() ? "(" : ", ") + x;
  return text + ")";
}

known_campaign make_campaign(std::size_t i) {
  known_campaign k;
  k.c.id = "c-" + std::to_string(i);
  k.c.advertiser = "a-" + std::to_string(*rc::gen::inRange(0, 3));
  k.c.bid_micros = *rc::gen::inRange(5'000, 60'000);
  k.c.quality = static_cast<std::uint8_t>(*rc::gen::inRange(1, 256));
  k.c.from = now - 1h * *rc::gen::inRange(-1, 3);
  k.c.to = now + 2h * *rc::gen::inRange(0, 3);
  k.c.paused = *rc::gen::inRange(0, 6) == 0;
  if (*rc::gen::inRange(0, 3) == 0)
    k.c.cap = model::frequency_cap{2, 24h};
  for (const auto& t : some(topics))
    k.c.relevance.push_back({*model::find_topic(t), 200});
  std::ranges::sort(k.c.relevance, {}, &model::topic_strength::topic);
  k.when = {some(countries), some(topics), some(topics), {}, *rc::gen::arbitrary<bool>()};
  if (*rc::gen::arbitrary<bool>())
    k.when.topics_none = some(topics);
  std::string text;
  auto add = [&](const std::string& clause) { text += (text.empty() ? "" : " and ") + clause; };
  if (!k.when.countries.empty())
    add("country in " + list(k.when.countries));
  if (!k.when.topics_any.empty() && !k.when.ctx_any.empty())
    add("(topics one of " + list(k.when.topics_any) + " or ctx one of " + list(k.when.ctx_any) +
        ")");
  if (!k.when.topics_none.empty())
    add("topics none of " + list(k.when.topics_none));
  if (k.when.adults_only)
    add("age_band <> 18-24");
  k.c.targeting = text;
  k.c.creatives.push_back(
      {"x", "x", "",
       *rc::gen::element<std::string>("https://one.example/x", "https://shop.one.example",
                                      "https://two.example"),
       *rc::gen::element<std::string>("", "en", "de", "fr")});
  return k;
}

bool oracle(const known_campaign& k, const ad_request& asked) {
  const auto& c = k.c;
  if (c.paused || now < c.from || now >= c.to || c.bid_micros < 10'000 ||
      c.bid_micros < asked.on.floor_micros)
    return false;
  if (!asked.on.wlang.empty() && c.creatives[0].lang != "en" && c.creatives[0].lang != "de")
    return false;
  auto has = [](const auto& in, const auto& x) { return std::ranges::find(in, x) != in.end(); };
  if (has(asked.on.badv, c.advertiser) ||
      (has(asked.on.badv, "one.example") &&
       c.creatives[0].url.find("one.example") != std::string::npos))
    return false;
  for (const auto& r : c.relevance)
    if (has(asked.on.bcat, std::string{model::info(r.topic).slug}))
      return false;
  const auto& who = asked.who;
  std::set<std::string> interests;
  if (who.personal)
    for (const auto& t : who.topics)
      interests.insert(std::string{model::info(t.topic).slug});
  auto country = who.personal && !who.country.empty() ? who.country : asked.on.country;
  auto meets = [](const std::set<std::string>& a, const auto& b) {
    return std::ranges::any_of(b, [&](const auto& x) { return a.contains(x); });
  };
  if (!k.when.countries.empty() && !k.when.countries.contains(country))
    return false;
  if (!k.when.topics_any.empty() && !k.when.ctx_any.empty() &&
      !meets(k.when.topics_any, interests) && !meets(k.when.ctx_any, asked.on.ctx))
    return false;
  if (meets(k.when.topics_none, interests))
    return false;
  if (k.when.adults_only && who.personal && who.age_band == "18-24")
    return false;
  if (c.cap) {
    auto count = std::ranges::count_if(
        who.shown, [&](const shown_ad& s) { return s.campaign == c.id && s.at > now - 24h; });
    if (!who.personal || count >= 2)
      return false;
  }
  return !(who.personal && has(who.hidden, c.id)) && !asked.excluded.contains(c.id);
}

struct scene {
  std::vector<known_campaign> known;
  model::campaign_list all;
};

scene make_scene() {
  scene s;
  for (std::size_t i = 0, n = *rc::gen::inRange<std::size_t>(0, 12); i < n; ++i) {
    s.known.push_back(make_campaign(i));
    auto wants = model::targeting::expression::parse(s.known.back().c.targeting);
    RC_ASSERT(wants.has_value());
    s.all.push_back(std::make_shared<const model::live_campaign>(s.known.back().c, *wants));
  }
  return s;
}

ad_request make_request(const scene& s) {
  ad_request asked;
  asked.now = now;
  asked.who.personal = *rc::gen::arbitrary<bool>();
  asked.who.country = *rc::gen::elementOf(countries);
  asked.who.age_band = *rc::gen::element<std::string>("", "18-24", "45-54");
  for (const auto& t : some(topics))
    asked.who.topics.push_back({*model::find_topic(t),
                                *rc::gen::element(model::source::ai, model::source::engagement),
                                now, static_cast<std::uint8_t>(*rc::gen::inRange(1, 256))});
  std::ranges::sort(asked.who.topics, {}, &model::topic_used::topic);
  for (const auto& k : s.known) {
    for (auto n = *rc::gen::inRange(0, 3); n > 0; --n)
      asked.who.shown.push_back({k.c.id, now - 1h * *rc::gen::inRange(1, 30)});
    if (*rc::gen::inRange(0, 8) == 0)
      asked.who.hidden.push_back(k.c.id);
    if (*rc::gen::inRange(0, 8) == 0)
      asked.excluded.insert(k.c.id);
  }
  asked.on.country = *rc::gen::elementOf(countries);
  auto ctx = some(topics), blocked = some(topics);
  asked.on.ctx = {ctx.begin(), ctx.end()};
  if (*rc::gen::inRange(0, 4) == 0)
    asked.on.bcat = {blocked.begin(), blocked.end()};
  if (*rc::gen::inRange(0, 4) == 0)
    asked.on.badv = {*rc::gen::element<std::string>("a-1", "one.example")};
  if (*rc::gen::inRange(0, 4) == 0)
    asked.on.wlang = {"en", "de"};
  if (*rc::gen::inRange(0, 3) == 0)
    asked.on.floor_micros = *rc::gen::inRange(5'000, 60'000);
  return asked;
}

} // namespace

TEST_CASE("the winners are the best of exactly those that the rules allow", "[ads]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto asked = make_request(s);
    auto strengths =
        asked.who.personal ? model::strengths_of(asked.who.topics) : model::interests{};
    std::vector<bidder> allowed;
    for (const auto& k : s.known)
      if (oracle(k, asked))
        allowed.push_back(
            {k.c.id, k.c.bid_micros, k.c.quality, model::relevance(k.c.relevance, strengths)});
    auto places = *rc::gen::inRange<std::size_t>(0, 5);
    auto winners = match(s.all, asked, places);
    auto expected =
        run_auction(allowed, places, std::max<std::int64_t>(10'000, asked.on.floor_micros));
    RC_ASSERT(winners.size() == expected.size());
    for (std::size_t i = 0; i < winners.size(); ++i) {
      RC_ASSERT(winners[i].campaign->campaign.id == allowed[expected[i].bidder].id);
      RC_ASSERT(winners[i].price_micros == expected[i].price_micros);
    }
    for (const auto& k : s.known) {
      auto found = standing(s.all, asked, k.c.id, 1);
      RC_ASSERT((found.code == "eligible" || found.code == "outbid") == oracle(k, asked));
    }
  }));
}

TEST_CASE("where nothing personal may be used the decision is a stranger's", "[ads]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto asked = make_request(s);
    asked.who.personal = false;
    auto stranger = asked;
    stranger.who = {};
    stranger.on.segments = stranger.on.follows = {};
    asked.on.segments = {"vip"};
    asked.on.follows = {"page-7"};
    auto a = match(s.all, asked, 5), b = match(s.all, stranger, 5);
    RC_ASSERT(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      RC_ASSERT(a[i].campaign == b[i].campaign);
      RC_ASSERT(a[i].price_micros == b[i].price_micros);
      RC_ASSERT(a[i].matched == b[i].matched);
      RC_ASSERT(a[i].topics.empty());
    }
  }));
}

namespace {

/// Every kind of clause, as it may stand in a campaign.
const std::vector<std::string> clauses{
    "country in (US, CA)",
    "lang not in (fr)",
    "device = phone",
    "placement <> banner",
    "hour_of_week >= 100",
    "hour_of_week <= 150",
    "consent",
    "not coppa",
    "topics one of (outdoors, music)",
    "ctx none of (travel)",
    "segments all of (a, b)",
    "follows one of (x, y)",
    "bcat none of (music)",
    "region = US-CA",
    "(country = US or not (topics all of (outdoors, travel) and consent))",
    "not (age_band in (18-24, 45-54) or segments one of (a))"};

std::string random_targeting() {
  std::string text;
  for (auto n = *rc::gen::inRange(0, 4); n > 0; --n)
    text += (text.empty() ? "" : " and ") + *rc::gen::elementOf(clauses);
  return text;
}

std::vector<std::string> some_of(const std::vector<std::string>& words) {
  auto picked = some(words);
  return {picked.begin(), picked.end()};
}

/// The same list with some campaigns gone, changed or new.
model::campaign_list changed(const model::campaign_list& from, scene& s) {
  model::campaign_list made;
  std::set<std::string> there;
  for (const auto& c : from) {
    there.insert(c->campaign.id);
    auto what = *rc::gen::inRange(0, 8);
    auto x = *c;
    if (what == 0)
      continue;
    if (what == 1)
      x.campaign.paused = !x.campaign.paused;
    if (what == 2)
      x.campaign.bid_micros = *rc::gen::inRange(5'000, 60'000);
    if (what == 3)
      x.campaign.targeting = random_targeting();
    x.wants = *model::targeting::expression::parse(x.campaign.targeting);
    made.push_back(what > 3 ? c : std::make_shared<const model::live_campaign>(std::move(x)));
  }
  for (auto n = *rc::gen::inRange(0, 30); n > 0; --n) {
    auto k = make_campaign(*rc::gen::inRange<std::size_t>(0, 400));
    if (!there.insert(k.c.id).second)
      continue;
    if (*rc::gen::arbitrary<bool>())
      k.c.targeting = random_targeting();
    auto wants = *model::targeting::expression::parse(k.c.targeting);
    made.push_back(std::make_shared<const model::live_campaign>(k.c, wants));
  }
  std::ranges::sort(made, {}, [](const auto& c) { return c->campaign.id; });
  s.known.clear();
  for (const auto& c : made)
    s.known.push_back({c->campaign, {}});
  return made;
}

} // namespace

TEST_CASE("an index that follows the catalogue decides as the evaluation of every campaign",
          "[ads]") {
  CHECK(rc::check([] {
    catalogue_index all{*rc::gen::element(std::size_t{0}, catalogue_index::no_thread)};
    index_reader index{all};
    scene s;
    model::campaign_list shown;
    for (std::uint64_t step = 1; step < 9; ++step) {
      auto before = std::exchange(shown, changed(shown, s));
      auto as_a_whole = *rc::gen::inRange(0, 5) == 0;
      RC_ASSERT(all.follow(as_a_whole ? test::whole_of(shown, step)
                                      : test::difference(before, shown, step)));
      for (auto i = 0; i < 3; ++i) {
        auto asked = make_request(s);
        asked.on.lang = *rc::gen::element<std::string>("", "fr", "en");
        asked.on.device = *rc::gen::element<std::string>("", "phone", "tv");
        asked.on.placement = *rc::gen::element<std::string>("banner", "feed");
        asked.on.region = *rc::gen::element<std::string>("", "US-CA");
        asked.on.segments = some_of({"a", "b", "c"});
        asked.on.follows = some_of({"y", "z"});
        asked.on.consent = *rc::gen::arbitrary<bool>();
        asked.on.coppa = *rc::gen::arbitrary<bool>();
        auto places = *rc::gen::inRange<std::size_t>(0, 5);
        auto expected = match(shown, asked, places), found = index.match(asked, places);
        RC_ASSERT(found.size() == expected.size());
        for (std::size_t p = 0; p < found.size(); ++p) {
          RC_ASSERT(found[p].campaign == expected[p].campaign);
          RC_ASSERT(found[p].price_micros == expected[p].price_micros);
          RC_ASSERT(found[p].matched == expected[p].matched);
          RC_ASSERT(found[p].topics == expected[p].topics);
        }
        for (const auto& k : s.known) {
          auto x = standing(shown, asked, k.c.id, 1), y = index.standing(asked, k.c.id, 1);
          RC_ASSERT(x.code == y.code);
          RC_ASSERT(x.detail == y.detail);
        }
        RC_ASSERT(index.standing(asked, "c-none", 1).code == "not_found");
      }
    }
  }));
}
