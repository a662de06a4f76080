#include "storage/model/recording.hpp"

#include <sodium.h>

namespace candor::model {

void raw_recording::wipe() noexcept {
  bytes_.resize(
      bytes_.capacity()); // a short one after a longer one: the longer one's rest goes too
  sodium_memzero(bytes_.data(), bytes_.size());
  bytes_.clear();
}

void raw_recording::take(raw_recording& other) noexcept {
  bytes_ = std::move(other.bytes_);
  media_type_ = std::move(other.media_type_);
  other.wipe(); // a short string was copied by the move, not moved
}

} // namespace candor::model
