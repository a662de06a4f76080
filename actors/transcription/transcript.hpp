/// What a transcriber's answer must be: one JSON object on its stdout,
///
///     {"transcript": "which boots are good in winter", "confidence": 0.93, "language": "en"}
///
/// `language` may be left out. Pure. Guarantees: whatever the bytes are, they become a transcript
/// with words in it or an error, and nothing throws. Must never show the answer in an error.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor::transcription {

struct transcript {
  std::string words;     ///< never empty, and not only spaces
  double confidence = 0; ///< 0..1
  std::string language;  ///< the form of a BCP 47 tag; or empty
};

/// Error: `malformed`, `unknown_field`, `missing_field`, `bad_value`.
result<transcript> parse_transcript(std::string_view answer);

} // namespace candor::transcription
