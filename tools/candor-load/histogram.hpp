/// Latencies in buckets that grow with the value (the idea of HdrHistogram, Gil Tene): 32 buckets
/// for each doubling, so that any quantile is within 1/32 of the truth. Plain value; not
/// thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace candor::load {

class histogram {
public:
  void record(std::chrono::microseconds value) noexcept;
  void add(const histogram& other) noexcept;

  std::uint64_t count() const noexcept { return count_; }
  std::chrono::microseconds max() const noexcept { return std::chrono::microseconds{max_}; }

  /// The upper end of the bucket in which the quantile lies, at most max(); 0 where nothing was
  /// recorded. `q` within 0 and 1.
  std::chrono::microseconds quantile(double q) const noexcept;

private:
  static constexpr unsigned sub_bits = 5;
  static constexpr std::size_t buckets = (64 - sub_bits + 1) << sub_bits;
  static std::size_t index_of(std::uint64_t value) noexcept;
  static std::uint64_t upper_end(std::size_t index) noexcept;

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

} // namespace candor::load
