/// Feeds over generated catalogues and readers, against a plain reading of the rules.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <map>

#include "actors/recommendation/rank.hpp"

using namespace candor;
using namespace candor::recommendation;
using namespace std::chrono_literals;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");

struct scene {
  model::content_list all;
  reader who;
};

std::vector<model::topic_strength> some_topics() {
  std::vector<model::topic_strength> made;
  for (model::topic_id t = 12; t < 16; ++t)
    if (*rc::gen::inRange(0, 3) == 0)
      made.push_back({t, static_cast<std::uint8_t>(*rc::gen::inRange(1, 256))});
  return made;
}

scene make_scene() {
  scene s;
  const model::region_code us{{'U', 'S'}}, kr{{'K', 'R'}};
  const std::vector<std::vector<model::region_code>> everywhere_or{{}, {us}, {kr}, {us, kr}};
  for (int i = 0, n = *rc::gen::inRange(0, 14); i < n; ++i) {
    model::content_item item;
    item.id = "p-" + std::to_string(10 + i);
    item.url = *rc::gen::element<std::string>("https://one.example/x", "https://two.example/y");
    item.lang = *rc::gen::element<std::string>("en", "en-GB", "de");
    item.regions = *rc::gen::elementOf(everywhere_or);
    item.topics = some_topics();
    item.published = now - 24h * *rc::gen::inRange(-1, 30);
    s.all.push_back(std::make_shared<const model::content_item>(std::move(item)));
  }
  s.who.country = *rc::gen::element<std::string>("", "US", "KR");
  s.who.lang = *rc::gen::element<std::string>("", "en", "de");
  s.who.interests = some_topics();
  for (const auto& item : s.all)
    if (*rc::gen::inRange(0, 4) == 0)
      s.who.never.insert(item->id);
  return s;
}

bool may_see(const model::content_item& item, const reader& who) {
  auto here = item.regions.empty();
  for (const auto& r : item.regions)
    here |= std::string{r.view()} == who.country;
  return here && item.published <= now && !who.never.contains(item.id);
}

bool own_language(const model::content_item& item, const reader& who) {
  return who.lang.empty() || item.lang == who.lang || item.lang.starts_with(who.lang + "-");
}

std::vector<std::string> ids(const std::vector<ranked>& all) {
  std::vector<std::string> made;
  for (const auto& r : all)
    made.push_back(r.item->id);
  return made;
}

} // namespace

TEST_CASE("a feed has what the reader may see, once, and their language first", "[feed]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto k = *rc::gen::inRange<std::size_t>(0, 20);
    auto feed = rank(s.all, s.who, now, k);
    auto own = 0, other = 0;
    for (const auto& item : s.all)
      if (may_see(*item, s.who))
        ++(own_language(*item, s.who) ? own : other);
    RC_ASSERT(feed.size() == std::min(k, static_cast<std::size_t>(own + other)));
    std::set<std::string> seen;
    for (std::size_t i = 0; i < feed.size(); ++i) {
      RC_ASSERT(may_see(*feed[i].item, s.who));
      RC_ASSERT(seen.insert(feed[i].item->id).second);
      RC_ASSERT(own_language(*feed[i].item, s.who) == (i < static_cast<std::size_t>(own)));
    }
  }));
}

TEST_CASE("each place goes to the best marginal relevance of what is left", "[feed]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto feed = rank(s.all, s.who, now, 20);
    std::int64_t best = 1;
    for (const auto& r : feed)
      best = std::max(best, r.score);
    for (std::size_t i = 0; i < feed.size(); ++i) {
      auto value = [&](const ranked& r) {
        std::int64_t likest = 0;
        for (std::size_t j = 0; j < i; ++j)
          likest = std::max(likest, likeness(*r.item, *feed[j].item));
        return 9 * (r.score * 65536 / best) - likest;
      };
      for (auto j = i + 1; j < feed.size(); ++j) {
        if (own_language(*feed[j].item, s.who) != own_language(*feed[i].item, s.who))
          continue;
        RC_ASSERT(value(feed[i]) >= value(feed[j]));
        if (value(feed[i]) == value(feed[j]))
          RC_ASSERT(feed[i].score >= feed[j].score);
      }
    }
  }));
}

TEST_CASE("a shorter feed is the beginning of a longer one", "[feed]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto whole = ids(rank(s.all, s.who, now, 20));
    auto k = *rc::gen::inRange<std::size_t>(0, whole.size() + 1);
    RC_ASSERT(
        ids(rank(s.all, s.who, now, k)) ==
        std::vector<std::string>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(k)));
  }));
}

TEST_CASE("the order in which the content lies makes no difference", "[feed]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    auto before = ids(rank(s.all, s.who, now, 20));
    std::ranges::reverse(s.all);
    RC_ASSERT(ids(rank(s.all, s.who, now, 20)) == before);
  }));
}

TEST_CASE("likeness is the same from both sides, whole for an item and itself", "[feed]") {
  CHECK(rc::check([] {
    auto s = make_scene();
    for (const auto& a : s.all)
      for (const auto& b : s.all) {
        auto both = likeness(*a, *b);
        RC_ASSERT(both == likeness(*b, *a));
        RC_ASSERT((both >= 0 && both <= 65536));
        if (a == b && !a->topics.empty())
          RC_ASSERT(both == 65536);
      }
  }));
}
