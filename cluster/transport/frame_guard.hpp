/// Follows the frames of CAF's protocol in the bytes that a peer sends, before CAF sees them:
/// CAF would allocate whatever a header claims. Pure; holds one header.
/// Must never let a byte of a frame through whose header claims more than the bound.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace candor::transport {

class frame_guard {
public:
  static constexpr std::size_t header_bytes = 32;

  explicit frame_guard(std::uint32_t payload_bytes_max)
    : payload_bytes_max_{payload_bytes_max} {}

  /// False from the first header on that claims too much.
  bool feed(std::span<const unsigned char> bytes) {
    while (!bytes.empty() && !broken_) {
      auto taken = payload_left_ > 0 ? std::min<std::size_t>(payload_left_, bytes.size())
                                     : std::min(header_bytes - have_, bytes.size());
      if (payload_left_ > 0) {
        payload_left_ -= static_cast<std::uint32_t>(taken);
      } else {
        std::copy_n(bytes.begin(), taken, header_.begin() + static_cast<std::ptrdiff_t>(have_));
        have_ += taken;
        if (have_ == header_bytes)
          finish_header();
      }
      bytes = bytes.subspan(taken);
    }
    return !broken_;
  }

  /// What the last header claimed, for the log.
  std::uint32_t claimed_bytes() const noexcept { return claimed_; }

private:
  /// Bytes 4 to 7, most significant first, hold the payload's length.
  void finish_header() {
    claimed_ = 0;
    for (std::size_t i = 4; i < 8; ++i)
      claimed_ = claimed_ << 8 | header_[i];
    broken_ = claimed_ > payload_bytes_max_;
    payload_left_ = claimed_;
    have_ = 0;
  }

  std::array<unsigned char, header_bytes> header_{};
  std::size_t have_ = 0;
  std::uint32_t payload_left_ = 0;
  std::uint32_t claimed_ = 0;
  std::uint32_t payload_bytes_max_;
  bool broken_ = false;
};

} // namespace candor::transport
