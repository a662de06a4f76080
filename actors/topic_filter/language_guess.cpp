#include "actors/topic_filter/language_guess.hpp"

#include <cstdio> // CLD2's header lacks it

#include <cld2/public/compact_lang_det.h>

namespace candor::topic_filter {

std::string_view likely_language(std::string_view normal_form) {
  auto bytes = static_cast<int>(normal_form.size()); // at most limits::utterance_bytes
  auto is_reliable = false;
  auto found = CLD2::DetectLanguage(normal_form.data(), bytes, true, &is_reliable);
  if (!is_reliable || found == CLD2::UNKNOWN_LANGUAGE)
    return {};
  std::string_view code = CLD2::LanguageCode(found);
  return code.substr(0, code.find('-'));
}

} // namespace candor::topic_filter
