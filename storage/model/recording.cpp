#include "storage/model/recording.hpp"

#include "storage/base/wipe.hpp"

namespace candor::model {

void raw_recording::wipe() noexcept {
  candor::wipe(bytes_);
}

void raw_recording::take(raw_recording& other) noexcept {
  bytes_ = std::move(other.bytes_);
  media_type_ = std::move(other.media_type_);
  other.wipe(); // a short string was copied by the move, not moved
}

} // namespace candor::model
