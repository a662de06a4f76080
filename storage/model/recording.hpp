/// What a person said, as sound, and what was made of it. A recording lives in the memory of the
/// node that received it, between the gateway and the transcriber, and nowhere else. Guarantees: it
/// cannot be copied, compared, printed, formatted or encoded (there is no codec, and none may be
/// written); only the transcriber can read it; its bytes are wiped when it goes. Must never be
/// written to a file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/model/utterance.hpp"

namespace candor::transcription {
class transcriber;
} // namespace candor::transcription

namespace candor::model {

class raw_recording {
public:
  /// Whoever holds one may read a recording; only the transcriber can make one.
  class reader {
    friend class transcription::transcriber;
    reader() = default;
  };

  raw_recording() = default;
  /// `media_type` as the caller states it, such as audio/wav.
  raw_recording(std::string bytes, std::string media_type)
    : bytes_{std::move(bytes)}
    , media_type_{std::move(media_type)} {}
  ~raw_recording() { wipe(); }
  raw_recording(raw_recording&& other) noexcept { take(other); }
  raw_recording& operator=(raw_recording&& other) noexcept {
    if (this != &other) {
      wipe();
      take(other);
    }
    return *this;
  }
  raw_recording(const raw_recording&) = delete;
  raw_recording& operator=(const raw_recording&) = delete;

  bool empty() const noexcept { return bytes_.empty(); }
  std::size_t size() const noexcept { return bytes_.size(); }
  const std::string& media_type() const noexcept { return media_type_; }
  std::string_view bytes(reader) const noexcept { return bytes_; }

  /// Overwrites the bytes; the recording is empty then.
  void wipe() noexcept;

private:
  void take(raw_recording& other) noexcept;
  std::string bytes_;
  std::string media_type_;
};

/// What a transcriber made of a recording.
struct hearing {
  enum class outcome : std::uint8_t {
    not_tried,      ///< nobody was free in time: to be sent again
    not_understood, ///< the command failed, was late, or heard nothing: to be withheld
    heard,
  };
  outcome is = outcome::not_understood;
  raw_utterance words{};
  double confidence = 0; ///< 0..1
  std::string lang{};    ///< BCP 47, of the words; or empty
};

} // namespace candor::model
