/// Words that nobody knows, as functions: the trainer shows the classifier names, brands and slips
/// of the finger it has never met, so that it does not take what it does not know for sensitive.
/// Pure.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/rng.hpp"

namespace candor::train {

/// One to four syllables in the letters of `lang` (a language of configs/lexicon; any other is
/// written in Latin letters). Now and then a capital, a figure or a second word, as names have.
std::string invented_word(std::string_view lang, rng& chance);

} // namespace candor::train
