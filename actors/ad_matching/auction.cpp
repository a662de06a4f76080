#include "actors/ad_matching/auction.hpp"

#include <algorithm>
#include <limits>

namespace candor::ad_matching {

std::vector<place> run_auction(std::span<const bidder> all, std::size_t k, std::int64_t reserve) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].bid_micros >= reserve)
      order.push_back(i);
  auto places = std::min(k, order.size());
  // One more than there are places: it makes the last one's price.
  auto ranked = order.begin() + static_cast<std::ptrdiff_t>(std::min(places + 1, order.size()));
  std::ranges::partial_sort(order, ranked, [&](auto a, auto b) {
    auto x = all[a].rank(), y = all[b].rank();
    return x != y ? x > y : all[a].id < all[b].id;
  });
  std::vector<place> won;
  for (std::size_t i = 0; i < places; ++i) {
    const auto& winner = all[order[i]];
    auto next = i + 1 < order.size() ? all[order[i + 1]].rank() : 0;
    won.push_back({order[i], price_of(winner.bid_micros, wide(winner.quality) * winner.relevance,
                                      next, reserve)});
  }
  return won;
}

} // namespace candor::ad_matching
