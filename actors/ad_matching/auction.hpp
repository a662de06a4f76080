/// The auction: who wins the places of one decision, and at what price. Integers only.
///
///     rank      = bid * quality * relevance
///     price     = min(bid, max(reserve, rank of the next / (quality * relevance of the winner) +
///     1))
///
/// Guarantees: reserve <= price <= bid; raising one's own bid never changes one's own price at the
/// same place; removing a loser never raises a price. Ties go to the lower id. Bids under the
/// reserve take no part. A generalized second-price auction (Edelman, Ostrovsky, Schwarz 2007).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace candor::ad_matching {

__extension__ using wide = unsigned __int128; ///< a bid of 1e12 micros times 255 * 1279

inline constexpr std::int64_t reserve_micros = 10'000;

/// The formula above. `next_rank` 0: nobody comes after; `factor` is the winner's quality *
/// relevance.
constexpr std::int64_t price_of(std::int64_t bid_micros, wide factor, wide next_rank,
                                std::int64_t reserve) noexcept {
  auto needed = next_rank == 0 ? wide{0} : next_rank / factor + 1;
  auto price = std::max(wide(reserve), needed);
  return price < wide(bid_micros) ? static_cast<std::int64_t>(price) : bid_micros;
}

struct bidder {
  std::string_view id;
  std::int64_t bid_micros = 0;
  std::uint8_t quality = 1;
  std::uint32_t relevance = 256;

  wide rank() const { return wide(bid_micros) * quality * relevance; }
};

struct place {
  std::size_t bidder = 0; ///< where in the input
  std::int64_t price_micros = 0;
};

/// The first `k` places, best first. A page may ask for a higher reserve.
std::vector<place> run_auction(std::span<const bidder> all, std::size_t k,
                               std::int64_t reserve = reserve_micros);

} // namespace candor::ad_matching
