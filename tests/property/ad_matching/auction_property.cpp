#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <map>

#include "actors/ad_matching/auction.hpp"
#include "storage/model/relevance.hpp"

using namespace candor;
using namespace candor::ad_matching;

namespace {

struct crowd {
  std::vector<std::string> ids;
  std::vector<bidder> all;
};

/// Small numbers, so that ties and prices at a bound come up; or any within the limits.
crowd make_crowd() {
  crowd made;
  auto n = *rc::gen::inRange<std::size_t>(0, 9);
  auto small = *rc::gen::arbitrary<bool>();
  for (std::size_t i = 0; i < n; ++i)
    made.ids.push_back("c-" + std::to_string(100 + i));
  for (std::size_t i = 0; i < n; ++i) {
    bidder b;
    b.id = made.ids[i];
    b.bid_micros = small ? 5'000 * *rc::gen::inRange<std::int64_t>(1, 6)
                         : *rc::gen::inRange<std::int64_t>(1, 1'000'000'000'001);
    b.quality = small ? static_cast<std::uint8_t>(*rc::gen::inRange(1, 3))
                      : static_cast<std::uint8_t>(*rc::gen::inRange(1, 256));
    b.relevance = small ? 256 * *rc::gen::inRange<std::uint32_t>(1, 3)
                        : *rc::gen::inRange<std::uint32_t>(256, 1280);
    made.all.push_back(b);
  }
  return made;
}

std::map<std::string_view, std::pair<std::size_t, std::int64_t>>
outcome(const std::vector<bidder>& all, std::size_t k) {
  std::map<std::string_view, std::pair<std::size_t, std::int64_t>> made;
  auto places = run_auction(all, k);
  for (std::size_t i = 0; i < places.size(); ++i)
    made[all[places[i].bidder].id] = {i, places[i].price_micros};
  return made;
}

} // namespace

TEST_CASE("the places and prices are those of a plain reading of the formula", "[ads]") {
  CHECK(rc::check([] {
    auto of = make_crowd();
    auto k = *rc::gen::inRange<std::size_t>(0, 10);
    auto left = of.all;
    std::erase_if(left, [](const bidder& b) { return b.bid_micros < 10'000; });
    for (const auto& p : run_auction(of.all, k)) {
      // The best of who is left wins; the best of the others makes the price.
      auto best = left.begin();
      for (auto it = left.begin(); it != left.end(); ++it)
        if (it->rank() > best->rank() || (it->rank() == best->rank() && it->id < best->id))
          best = it;
      auto winner = *best;
      left.erase(best);
      RC_ASSERT(of.all[p.bidder].id == winner.id);
      wide price = 10'000;
      for (const auto& other : left)
        price = std::max(price, other.rank() / (wide(winner.quality) * winner.relevance) + 1);
      RC_ASSERT(wide(p.price_micros) == std::min(price, wide(winner.bid_micros)));
      RC_ASSERT(p.price_micros >= reserve_micros);
      RC_ASSERT(p.price_micros <= winner.bid_micros);
    }
    auto taking_part = std::ranges::count_if(
        of.all, [](const bidder& b) { return b.bid_micros >= reserve_micros; });
    RC_ASSERT(run_auction(of.all, k).size() == std::min(k, static_cast<std::size_t>(taking_part)));
  }));
}

TEST_CASE("raising one's own bid never changes one's own price at the same place", "[ads]") {
  CHECK(rc::check([] {
    auto of = make_crowd();
    RC_PRE(!of.all.empty());
    auto before = outcome(of.all, 3);
    auto& who = of.all[*rc::gen::inRange<std::size_t>(0, of.all.size())];
    auto old_bid = who.bid_micros;
    who.bid_micros += *rc::gen::inRange<std::int64_t>(1, 1'000'000);
    auto after = outcome(of.all, 3);
    auto was = before.find(who.id), is = after.find(who.id);
    // A price that the old bid had cut off is no second price.
    if (was != before.end() && is != after.end() && was->second.first == is->second.first &&
        was->second.second < old_bid)
      RC_ASSERT(was->second.second == is->second.second);
  }));
}

TEST_CASE("removing a loser never raises a price", "[ads]") {
  CHECK(rc::check([] {
    auto of = make_crowd();
    auto before = outcome(of.all, 2);
    auto loser =
        std::ranges::find_if(of.all, [&](const bidder& b) { return !before.contains(b.id); });
    RC_PRE(loser != of.all.end());
    of.all.erase(loser);
    auto after = outcome(of.all, 2);
    RC_ASSERT(after.size() == before.size());
    for (const auto& [id, place] : before) {
      RC_ASSERT(after.at(id).first == place.first);
      RC_ASSERT(after.at(id).second <= place.second);
    }
  }));
}

TEST_CASE("a page's floor is its reserve: who bids less neither wins nor makes a price", "[ads]") {
  CHECK(rc::check([] {
    auto of = make_crowd();
    auto floor = *rc::gen::inRange<std::int64_t>(reserve_micros, 60'000);
    auto k = *rc::gen::inRange<std::size_t>(0, 5);
    auto places = run_auction(of.all, k, floor);
    std::vector<bidder> rich;
    for (const auto& b : of.all)
      if (b.bid_micros >= floor)
        rich.push_back(b);
    auto alone = run_auction(rich, k);
    RC_ASSERT(places.size() == alone.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      RC_ASSERT(of.all[places[i].bidder].id == rich[alone[i].bidder].id);
      RC_ASSERT(places[i].price_micros == std::max(floor, alone[i].price_micros));
      RC_ASSERT(places[i].price_micros <= of.all[places[i].bidder].bid_micros);
    }
  }));
}

TEST_CASE("relevance is 256 and what is shared, to a bound", "[ads]") {
  CHECK(model::relevance({}, {}) == 256);
  CHECK(model::relevance({{1, 200}}, {{2, 200}}) == 256);
  CHECK(model::relevance({{1, 200}, {3, 80}}, {{1, 140}, {2, 9}, {3, 10}}) ==
        256 + ((200 * 140 + 800) >> 8));
  CHECK(model::relevance({{1, 255}, {2, 255}, {3, 255}, {4, 255}, {5, 255}},
                         {{1, 255}, {2, 255}, {3, 255}, {4, 255}, {5, 255}}) == 1279);
}
