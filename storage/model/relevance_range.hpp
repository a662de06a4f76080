/// What relevance can be, for whoever computes it (model/relevance.hpp says of what, the index of
/// ads does it over columns of its own). Integers only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace candor::model {

inline constexpr std::uint32_t relevance_least = 256;
inline constexpr std::uint32_t relevance_most = 256 + 1023;

/// Of a sum of products of two weights of 1 to 255.
constexpr std::uint32_t relevance_of(std::uint64_t sum) noexcept {
  return relevance_least + static_cast<std::uint32_t>(
                               std::min<std::uint64_t>(relevance_most - relevance_least, sum >> 8));
}

} // namespace candor::model
