#include <catch2/catch.hpp>

#include <map>

#include "actors/catalogue/catalogue_feeds.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"

using namespace candor;
using namespace candor::catalogue;
using namespace std::chrono_literals;

namespace {

using names = std::vector<std::string>;

std::string campaign_bytes(const std::string& id, std::int64_t bid = 100'000) {
  model::campaign c;
  c.id = id;
  c.advertiser = "a-1";
  c.bid_micros = bid;
  c.creatives.push_back({"x", "x", "", "https://one.example"});
  return model::encode(c);
}

changed_item campaign(const std::string& id, std::int64_t bid = 100'000) {
  return {static_cast<std::uint8_t>(model::item_kind::campaign), id, campaign_bytes(id, bid)};
}

changed_item content(const std::string& id) {
  model::content_item item;
  item.id = id;
  item.title = "x";
  item.url = "https://one.example/" + id;
  item.lang = "en";
  return {static_cast<std::uint8_t>(model::item_kind::content), id, model::encode(item)};
}

changed_item gone(const std::string& id) {
  return {static_cast<std::uint8_t>(model::item_kind::campaign), id, {}};
}

/// As tests write it: what there is, and with a dash what is gone.
names told(const std::optional<model::campaigns_change>& change) {
  names made;
  if (change)
    for (const auto& [id, now] : change->items)
      made.push_back(now ? id : "-" + id);
  return made;
}

} // namespace

TEST_CASE("a shard's campaigns are shown once it was heard out, and then change by change",
          "[catalogue]") {
  catalogue_feeds feeds{2};
  feeds.take(0, {7, true, 2, true, {campaign("b"), campaign("c")}}, 1000ms);
  feeds.look_at(0, 1000ms);
  CHECK_FALSE(feeds.campaigns_changed());
  CHECK(feeds.to_ask(0).opening == 7);
  CHECK(feeds.to_ask(0).after == 2);
  feeds.take(0, {7, false, 3, false, {campaign("a")}}, 1025ms);
  feeds.look_at(0, 1050ms);
  auto first = feeds.campaigns_changed();
  CHECK(told(first) == names{"a", "b", "c"});
  CHECK(first->number == 1);
  CHECK_FALSE(first->whole);
  CHECK_FALSE(feeds.campaigns_changed());
  feeds.take(0, {7, false, 5, false, {campaign("b", 200'000), gone("c")}}, 1075ms);
  auto second = feeds.campaigns_changed();
  CHECK(told(second) == names{"b", "-c"});
  CHECK(second->number == 2);
  CHECK(second->items[0].now->campaign.bid_micros == 200'000);
  CHECK(feeds.campaign_count() == 2);
}

TEST_CASE("a shard that was not heard out for too long goes as a change, and comes back",
          "[catalogue]") {
  catalogue_feeds feeds{2};
  feeds.take(0, {1, true, 1, false, {campaign("a"), content("x")}}, 1000ms);
  feeds.take(1, {1, true, 1, false, {campaign("b"), content("y")}}, 1000ms);
  for (shard_id s : {0, 1})
    feeds.look_at(s, 1000ms);
  CHECK(told(feeds.campaigns_changed()) == names{"a", "b"});
  CHECK(feeds.content_changed()->size() == 2);
  // The second answers on, and has more to say than it did.
  auto later = 1000ms + limits::feed_behind_max + 1ms;
  feeds.take(0, {1, false, 1, false, {}}, later);
  feeds.take(1, {1, false, 2, true, {campaign("c")}}, later);
  for (shard_id s : {0, 1})
    feeds.look_at(s, later);
  CHECK(told(feeds.campaigns_changed()) == names{"-b", "-c"});
  auto content = feeds.content_changed();
  REQUIRE(content);
  REQUIRE(content->size() == 1);
  CHECK(content->front()->id == "x");
  CHECK(told(feeds.whole()) == names{"a"});
  feeds.take(1, {1, false, 3, false, {}}, later + 25ms);
  feeds.look_at(1, later + 25ms);
  CHECK(told(feeds.campaigns_changed()) == names{"b", "c"});
  CHECK(feeds.content_changed()->size() == 2);
}

TEST_CASE("a shard that begins anew loses only what it does not say again", "[catalogue]") {
  catalogue_feeds feeds{1};
  feeds.take(0, {1, true, 3, false, {campaign("a"), campaign("b"), campaign("c")}}, 1000ms);
  feeds.look_at(0, 1000ms);
  CHECK(told(feeds.campaigns_changed()) == names{"a", "b", "c"});
  // Another primary leads it now; it tells in two parts.
  feeds.take(0, {2, true, 1, true, {campaign("c", 300'000)}}, 1025ms);
  CHECK(told(feeds.campaigns_changed()) == names{"c"});
  CHECK(told(feeds.whole()) == names{"a", "b", "c"});
  feeds.take(0, {2, false, 2, false, {campaign("a")}}, 1050ms);
  CHECK(told(feeds.campaigns_changed()) == names{"a", "-b"});
  CHECK(told(feeds.whole()) == names{"a", "c"});
}

TEST_CASE("what cannot be read is left out", "[catalogue]") {
  catalogue_feeds feeds{1};
  feeds.take(0, {1, true, 2, false, {campaign("a"), campaign("b")}}, 1000ms);
  feeds.look_at(0, 1000ms);
  feeds.campaigns_changed();
  auto torn = campaign("a");
  torn.bytes.resize(torn.bytes.size() / 2);
  feeds.take(0, {1, false, 3, false, {torn}}, 1025ms);
  CHECK(told(feeds.campaigns_changed()) == names{"-a"});
}

TEST_CASE("campaigns are listed by id over all shards, a page at a time", "[catalogue]") {
  catalogue_feeds feeds{3};
  feeds.take(0, {1, true, 1, false, {campaign("d"), campaign("a"), campaign("e")}}, 1000ms);
  feeds.take(1, {1, true, 1, false, {campaign("c"), campaign("b")}}, 1000ms);
  feeds.take(2, {1, true, 1, true, {campaign("bb")}}, 1000ms); // not heard out
  for (shard_id s : {0, 1, 2})
    feeds.look_at(s, 1000ms);
  auto page = [&](const std::string& after, std::uint32_t limit) {
    names ids;
    for (const auto& bytes : feeds.list({0, after, limit}).items)
      ids.push_back(model::decode_campaign(bytes)->id);
    return ids;
  };
  static_assert(static_cast<int>(model::item_kind::campaign) == 0);
  CHECK(page("", 2) == names{"a", "b"});
  CHECK(page("b", 2) == names{"c", "d"});
  CHECK(page("d", 2) == names{"e"});
  CHECK(page("e", 2).empty());
}

TEST_CASE("the changes, one after the other, make the whole", "[catalogue]") {
  seeded_rng random{4};
  auto below = [&](std::uint64_t n) { return random.next() % n; };
  constexpr std::size_t shards = 3;
  catalogue_feeds feeds{shards};
  std::map<std::string, std::shared_ptr<const model::live_campaign>> followed;
  std::uint64_t number = 0;
  auto now = 1000ms;
  for (auto step = 0; step < 2000; ++step, now += millis{static_cast<int>(below(300))}) {
    auto shard = static_cast<shard_id>(below(shards));
    catalogue_news news{1, below(20) == 0, 1, below(4) == 0, {}};
    for (auto n = below(4); n > 0; --n) {
      auto id = std::to_string(shard) + "-" + std::to_string(below(20));
      news.items.push_back(below(3) == 0 ? gone(id) : campaign(id));
    }
    feeds.take(shard, news, now);
    for (std::size_t s = 0; s < shards; ++s)
      feeds.look_at(static_cast<shard_id>(s), now);
    if (below(2) == 0)
      continue;
    if (auto change = feeds.campaigns_changed()) {
      CHECK(change->number == ++number);
      CHECK(std::ranges::is_sorted(change->items, {}, &model::campaigns_change::item::id));
      for (auto& [id, c] : change->items)
        if (c)
          followed[id] = c;
        else
          followed.erase(id);
    }
    auto whole = feeds.whole();
    REQUIRE(whole.whole);
    CHECK(whole.number == number);
    REQUIRE(whole.items.size() == followed.size());
    CHECK(std::ranges::equal(whole.items, followed, [](const auto& a, const auto& b) {
      return a.id == b.first && a.now == b.second;
    }));
  }
  CHECK(number > 100);
}
