/// How people hide words from filters, as functions: the trainer shows them to the classifier, and
/// tests ask that none of them lets a sensitive text pass. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "storage/base/rng.hpp"

namespace candor::train {

enum class distortion {
  leet,
  spaced,
  dotted,
  repeated,
  invisible,
  lookalike,
  full_width,
  no_vowels,
  swapped,
  glued,
  stacked_marks,
  signs_inside,
  case_noise,
  dash_between,
};

inline constexpr std::array<std::string_view, 14> distortion_names = {
    "leet",          "spaced",       "dotted",     "repeated",    "invisible",
    "lookalike",     "full_width",   "no_vowels",  "swapped",     "glued",
    "stacked_marks", "signs_inside", "case_noise", "dash_between"};

/// Each word of four ASCII letters and more that begins in [begin, end) is changed; `glued` joins
/// these words with their neighbours.
std::string distort(std::string_view text, distortion how, std::size_t begin, std::size_t end,
                    rng& chance);

} // namespace candor::train
