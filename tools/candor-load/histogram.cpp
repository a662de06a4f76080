#include "tools/candor-load/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace candor::load {

std::size_t histogram::index_of(std::uint64_t value) noexcept {
  if (value < (1u << sub_bits))
    return value;
  auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - sub_bits;
  return ((shift + 1) << sub_bits) + ((value >> shift) & ((1u << sub_bits) - 1));
}

std::uint64_t histogram::upper_end(std::size_t index) noexcept {
  if (index < (1u << sub_bits))
    return index;
  auto shift = (index >> sub_bits) - 1;
  auto within = (index & ((1u << sub_bits) - 1)) | (1u << sub_bits);
  return ((within + 1) << shift) - 1;
}

void histogram::record(std::chrono::microseconds value) noexcept {
  auto v = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0));
  ++counts_[index_of(v)];
  ++count_;
  max_ = std::max(max_, v);
}

void histogram::add(const histogram& other) noexcept {
  for (std::size_t i = 0; i < buckets; ++i)
    counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

std::chrono::microseconds histogram::quantile(double q) const noexcept {
  auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
  rank = std::clamp<std::uint64_t>(rank, 1, std::max<std::uint64_t>(count_, 1));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    seen += counts_[i];
    if (seen >= rank && count_ > 0)
      return std::chrono::microseconds{std::min(upper_end(i), max_)};
  }
  return std::chrono::microseconds{0};
}

} // namespace candor::load
