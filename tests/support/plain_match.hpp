/// The oracle of ad matching: every campaign's wish is evaluated as it stands, and the matches are
/// sorted. Shares nothing with the index but its input; never part of the product.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "actors/ad_matching/index/schema.hpp"

namespace candor::plain_match {

using namespace ad_matching::index;

inline bool wants(const wish& w, std::uint32_t at, const request& asked) {
  const auto& n = w.nodes[at];
  std::set<std::int64_t> has;
  if (n.is_leaf()) {
    has.insert(asked.lists[n.attribute].begin(), asked.lists[n.attribute].end());
    if (asked.numbers[n.attribute])
      has.insert(*asked.numbers[n.attribute]);
  }
  auto in = [&](std::int64_t v) { return has.contains(v); };
  auto values = w.values_of(n);
  std::vector<bool> children;
  if (!n.is_leaf())
    for (auto c = at + 1; c < n.end; c = w.nodes[c].end)
      children.push_back(wants(w, c, asked));
  auto has_number = n.is_leaf() && asked.numbers[n.attribute].has_value();
  auto number = has_number ? *asked.numbers[n.attribute] : 0;
  switch (n.what) {
    case operation::all:
      return std::ranges::find(children, false) == children.end();
    case operation::any:
      return std::ranges::find(children, true) != children.end();
    case operation::negation:
      return !children.front();
    case operation::in:
    case operation::one_of:
      return std::ranges::any_of(values, in);
    case operation::not_in:
    case operation::none_of:
      return std::ranges::none_of(values, in);
    case operation::all_of:
      return std::ranges::all_of(values, in);
    case operation::at_least:
      return has_number && number >= values.front();
    case operation::at_most:
      return has_number && number <= values.front();
  }
  return false;
}

struct place {
  std::uint64_t rank, id;
  std::int64_t bid;
  std::uint64_t factor; ///< quality * relevance
};

struct answer {
  std::uint64_t count = 0, id_mix = 0;
  std::vector<place> left; ///< all that are not at their cap, the best first

  std::int64_t price() const {
    std::int64_t price = 10'000;
    if (left.size() > 1)
      price = std::max(price, static_cast<std::int64_t>(left[1].rank / left[0].factor) + 1);
    return std::min(price, left[0].bid);
  }
};

inline std::uint64_t relevance(const campaign& c, const request& asked) {
  std::map<std::uint32_t, std::uint64_t> interests;
  for (auto t : asked.interests)
    interests[t.topic] = t.weight;
  std::uint64_t sum = 0;
  for (auto t : c.relevance)
    if (interests.contains(t.topic))
      sum += t.weight * interests[t.topic];
  return 256 + std::min<std::uint64_t>(1023, sum / 256);
}

template <class Campaigns>
answer ask(const Campaigns& live, const request& asked) {
  answer made;
  for (const campaign& c : live) {
    if (c.paused || (!c.wish.nodes.empty() && !wants(c.wish, 0, asked)))
      continue;
    ++made.count;
    made.id_mix ^= mix64(c.id);
    if (std::ranges::find(asked.left_out, c.id) != asked.left_out.end())
      continue;
    auto factor = c.quality * relevance(c, asked);
    made.left.push_back(
        {static_cast<std::uint64_t>(c.bid_micros) * factor, c.id, c.bid_micros, factor});
  }
  std::ranges::sort(made.left, [](const place& a, const place& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
  });
  return made;
}

} // namespace candor::plain_match
