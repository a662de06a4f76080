/// The index against the oracle (tests/support/plain_match.hpp): generated workloads, random
/// expressions and streams of updates, with every instruction set of this machine.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <atomic>
#include <thread>

#include "actors/ad_matching/index/ad_index.hpp"
#include "storage/base/rng.hpp"
#include "tests/support/plain_match.hpp"
#include "tools/candor-bench/match/match_workload.hpp"

using namespace candor;
using namespace candor::ad_matching::index;

namespace {

/// Empty if the index says what the oracle says.
template <class Campaigns>
std::string difference(const ad_index& index, searcher& search, const Campaigns& live,
                       const request& asked, std::size_t k) {
  auto expected = plain_match::ask(live, asked);
  auto places = [&](const matched& found) -> std::string {
    if (found.best.size() != std::min(std::max<std::size_t>(k, 1) + 1, expected.left.size()))
      return "a wrong number of places";
    for (std::size_t i = 0; i < found.best.size(); ++i) {
      const auto& x = found.best[i];
      const auto& y = expected.left[i];
      if (x.id != y.id || x.rank != y.rank || x.bid_micros != y.bid ||
          std::uint64_t{x.quality} * x.relevance != y.factor)
        return "a wrong place " + std::to_string(i);
    }
    if (!found.best.empty() &&
        price_of(found.best[0], found.best.size() > 1 ? found.best[1].rank : 0) != expected.price())
      return "a wrong price";
    return {};
  };
  const auto& all = search.all(index, asked, k);
  if (all.count != expected.count || all.id_mix != expected.id_mix ||
      all.uncapped != expected.left.size())
    return "all: " + std::to_string(all.count) + " match, not " + std::to_string(expected.count);
  if (auto wrong = places(all); !wrong.empty())
    return "all: " + wrong;
  auto wrong = places(search.best(index, asked, k));
  return wrong.empty() ? wrong : "best: " + wrong;
}

asked_for for_either(std::uint64_t seed) {
  return seed % 2 == 0 ? asked_for::best : asked_for::all;
}

/// Runs `body` with each instruction set.
template <class Body>
void with_each_target(Body body) {
  for (const auto& target : vector_targets()) {
    REQUIRE(choose_vector_target(target));
    INFO(target);
    body();
  }
  choose_vector_target("");
}

/// Random schemas, wishes and requests: few values, so that clauses meet; now and then far ones.
class chaos {
public:
  explicit chaos(std::uint64_t seed)
    : random_{seed} {
    for (std::size_t i = 0, n = 2 + below(6); i < n; ++i)
      attributes.push_back({"a" + std::to_string(i), static_cast<value_kind>(below(3))});
  }

  std::uint64_t below(std::uint64_t n) { return random_.next() % n; }

  std::int64_t value(std::size_t a) {
    if (attributes[a].kind == value_kind::flag)
      return static_cast<std::int64_t>(below(2));
    switch (below(12)) {
      case 0:
        return static_cast<std::int64_t>(random_.next() >> 2) - (std::int64_t{1} << 61);
      case 1:
        return static_cast<std::int64_t>(below(100'000));
      case 2:
        return below(2) ? value_most : value_least;
      default:
        return static_cast<std::int64_t>(below(wide_ ? 600 : 9)) - 3;
    }
  }

  wish make_wish(const std::vector<campaign>& others) {
    wish w;
    auto kind = below(10);
    if (kind == 0)
      return w;
    // A wish that is a part of another one, or has another one as its part.
    if (kind < 3 && !others.empty()) {
      const auto& whole = others[below(others.size())].wish;
      if (!whole.nodes.empty())
        return kind == 1 ? part_of(whole, static_cast<std::uint32_t>(below(whole.nodes.size())))
                         : around(whole);
    }
    grow(w, 0);
    return w;
  }

  campaign make_campaign(std::uint64_t id, const std::vector<campaign>& others) {
    campaign c;
    c.id = id;
    c.bid_micros = below(8) == 0   ? 0
                   : below(8) == 0 ? bid_most - static_cast<std::int64_t>(below(3))
                                   : static_cast<std::int64_t>(10'000 * below(9));
    c.quality = static_cast<std::uint8_t>(1 + below(below(2) ? 3 : 255));
    c.paused = below(10) == 0;
    for (std::size_t i = 0, n = below(20) == 0 ? 12 : below(4); i < n; ++i)
      c.relevance.push_back({topic(), static_cast<std::uint8_t>(below(256))});
    c.wish = make_wish(others);
    return c;
  }

  request make_request(std::size_t campaigns) {
    request asked;
    asked.numbers.resize(attributes.size());
    asked.lists.resize(attributes.size());
    for (std::size_t a = 0; a < attributes.size(); ++a)
      if (attributes[a].kind == value_kind::list)
        for (std::size_t i = 0, n = below(5); i < n; ++i)
          asked.lists[a].push_back(value(a));
      else if (below(6) != 0)
        asked.numbers[a] = value(a);
    std::set<std::uint32_t> known;
    for (std::size_t i = 0, n = below(6); i < n; ++i)
      if (auto t = topic(); known.insert(t).second)
        asked.interests.push_back({t, static_cast<std::uint8_t>(below(256))});
    for (std::size_t i = 0, n = below(4); i < n; ++i)
      asked.left_out.push_back(1 + below(campaigns + 1));
    std::ranges::sort(asked.left_out);
    return asked;
  }

  schema attributes;

private:
  std::uint32_t topic() {
    return below(10) == 0 ? 65'530 + static_cast<std::uint32_t>(below(12))
                          : static_cast<std::uint32_t>(below(7));
  }

  void grow(wish& w, int depth) {
    auto at = w.nodes.size();
    auto what = depth > 4 ? 9 : below(10);
    w.nodes.push_back({});
    if (what < 4) {
      w.nodes[at].what = what < 2 ? operation::all : operation::any;
      for (std::size_t i = 0, n = below(4); i < n; ++i)
        grow(w, depth + 1);
    } else if (what == 4) {
      w.nodes[at].what = operation::negation;
      grow(w, depth + 1);
    } else {
      grow_leaf(w, at);
    }
    w.nodes[at].end = static_cast<std::uint32_t>(w.nodes.size());
  }

  void grow_leaf(wish& w, std::size_t at) {
    auto& n = w.nodes[at];
    auto a = below(attributes.size());
    n.attribute = static_cast<std::uint16_t>(a);
    n.first = static_cast<std::uint32_t>(w.values.size());
    n.count = static_cast<std::uint32_t>(below(5));
    if (attributes[a].kind == value_kind::list) {
      n.what = static_cast<operation>(static_cast<int>(operation::one_of) + below(3));
    } else {
      n.what = static_cast<operation>(static_cast<int>(operation::in) + below(4));
      if (n.what == operation::at_least || n.what == operation::at_most)
        n.count = 1;
    }
    for (std::uint32_t i = 0; i < n.count; ++i)
      w.values.push_back(value(a));
  }

  static wish part_of(const wish& whole, std::uint32_t at) {
    wish w;
    w.values = whole.values;
    w.nodes.assign(whole.nodes.begin() + at, whole.nodes.begin() + whole.nodes[at].end);
    for (auto& n : w.nodes)
      n.end -= at;
    return w;
  }

  wish around(const wish& part) {
    wish w;
    w.nodes.push_back({below(2) ? operation::all : operation::any, 0, 0, 0, 0});
    w.values = part.values;
    for (auto n : part.nodes) {
      ++n.end;
      w.nodes.push_back(n);
    }
    grow(w, 3);
    w.nodes[0].end = static_cast<std::uint32_t>(w.nodes.size());
    return w;
  }

  seeded_rng random_;
  bool wide_ = below(3) == 0;
};

} // namespace

TEST_CASE("every answer over generated workloads is the oracle's", "[ad_index]") {
  struct {
    bench::match_profile profile;
    std::size_t campaigns, events;
    std::uint64_t seed;
  } const workloads[] = {{bench::match_profile::realistic, 0, 5, 1},
                         {bench::match_profile::realistic, 1, 5, 2},
                         {bench::match_profile::realistic, 511, 40, 3},
                         {bench::match_profile::realistic, 4000, 60, 4},
                         {bench::match_profile::narrow, 3000, 60, 5},
                         {bench::match_profile::broad, 2000, 40, 6},
                         {bench::match_profile::equalities, 5000, 80, 7}};
  auto what = GENERATE(asked_for::best, asked_for::all);
  for (const auto& w : workloads) {
    auto folder = bench::make_match_folder(w.profile, w.campaigns, w.events, w.seed);
    auto index = ad_index::make(folder.schema, folder.campaigns, 0, what);
    REQUIRE(index.has_value());
    with_each_target([&] {
      searcher search;
      for (const auto& e : folder.events)
        REQUIRE(difference(**index, search, folder.campaigns, e.request, 10) == "");
    });
  }
}

TEST_CASE("every answer over random expressions is the oracle's", "[ad_index]") {
  with_each_target([] {
    searcher search; // goes from one index to the next, as it does in the product
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      INFO("seed " << seed);
      chaos c{seed};
      std::vector<campaign> campaigns;
      for (std::size_t i = 0, n = c.below(900); i < n; ++i)
        campaigns.push_back(c.make_campaign(i + 1, campaigns));
      auto index = ad_index::make(c.attributes, campaigns, 0, for_either(seed));
      REQUIRE(index.has_value());
      for (auto i = 0; i < 25; ++i) {
        auto asked = c.make_request(campaigns.size());
        REQUIRE(difference(**index, search, campaigns, asked, c.below(12)) == "");
      }
    }
  });
}

TEST_CASE("an index that is changed in place answers as the oracle over what is left",
          "[ad_index]") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    chaos c{seed * 7919};
    std::vector<campaign> known;
    for (std::size_t i = 0, n = c.below(700); i < n; ++i)
      known.push_back(c.make_campaign(i + 1, known));
    auto index = *ad_index::make(c.attributes, known, 40, for_either(seed));
    std::map<std::uint64_t, campaign> there;
    for (const auto& x : known)
      there.emplace(x.id, x);
    auto live = [&] {
      std::vector<campaign> made;
      for (const auto& [_, x] : there)
        made.push_back(x);
      return made;
    };
    searcher search;
    for (auto step = 0; step < 250; ++step) {
      auto id = 1 + c.below(known.size() + 3);
      auto is_there = there.contains(id);
      switch (c.below(6)) {
        case 0:
          REQUIRE(index->pause(id) == (is_there && !there[id].paused));
          if (is_there)
            there[id].paused = true;
          break;
        case 1:
          REQUIRE(index->resume(id) == (is_there && there[id].paused));
          if (is_there)
            there[id].paused = false;
          break;
        case 2: {
          auto bid = static_cast<std::int64_t>(c.below(5) == 0 ? bid_most : c.below(200'000));
          REQUIRE(index->set_bid(id, bid) == is_there);
          if (is_there)
            there[id].bid_micros = bid;
          break;
        }
        case 3:
          REQUIRE(index->remove(id) == is_there);
          there.erase(id);
          break;
        case 4: {
          // A new one, or one that was removed before, with another wish.
          auto x = c.make_campaign(is_there ? known.size() + 1 : id, known);
          if (is_there)
            known.push_back(x);
          auto done = index->add(x);
          REQUIRE(done.has_value());
          there.emplace(x.id, x);
          if (*done == ad_index::added::full)
            index = *ad_index::make(c.attributes, live(), 30, for_either(seed));
          break;
        }
        default:
          if (c.below(20) == 0)
            index = *ad_index::make(c.attributes, live(), 20, for_either(seed));
          REQUIRE(index->size() == there.size());
          REQUIRE(difference(*index, search, live(), c.make_request(known.size()), 3) == "");
      }
    }
  }
}

TEST_CASE("a reader beside a writer sees every campaign before or after a change", "[ad_index]") {
  auto folder = bench::make_match_folder(bench::match_profile::realistic, 3000, 50, 9);
  auto first = std::span{folder.campaigns}.first(2000);
  auto index = *ad_index::make(folder.schema, first, 1000);
  std::atomic<bool> done{false};
  std::thread writer{[&] {
    seeded_rng random{3};
    for (std::size_t i = 0; i < 1000; ++i) {
      index->add(folder.campaigns[2000 + i]);
      for (auto j = 0; j < 20; ++j) {
        auto id = 1 + random.next() % 3000;
        if (random.next() % 2 == 0)
          index->pause(id);
        else
          index->resume(id);
        // Bids of two values, so that every rank is one of two.
        index->set_bid(1 + random.next() % 3000, random.next() % 2 == 0 ? 50'000 : 4'000'000);
      }
    }
    done = true;
  }};
  searcher search;
  std::size_t asked = 0;
  std::string wrong;
  do {
    const auto& r = folder.events[asked++ % folder.events.size()].request;
    const auto& found = search.best(*index, r, 10);
    for (std::size_t i = 0; i < found.best.size(); ++i) {
      const auto& x = found.best[i];
      const auto& c = folder.campaigns[x.id - 1];
      auto wanted = c.wish.nodes.empty() || plain_match::wants(c.wish, 0, r);
      auto bid_known =
          x.bid_micros == c.bid_micros || x.bid_micros == 50'000 || x.bid_micros == 4'000'000;
      auto ordered = i == 0 || found.best[i - 1].rank > x.rank ||
                     (found.best[i - 1].rank == x.rank && found.best[i - 1].id < x.id);
      if (!wanted || !bid_known || !ordered || x.relevance != plain_match::relevance(c, r))
        wrong = "campaign " + std::to_string(x.id);
    }
  } while (!done && wrong.empty());
  writer.join();
  CHECK(wrong == "");
  CHECK(asked > 0);
}
