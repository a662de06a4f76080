#include "actors/transcription/transcript.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/limits.hpp"

namespace candor::transcription {

namespace {

/// Letters, digits and hyphens: it goes on as a language, and whoever judges by it knows which it
/// can judge.
bool is_tag(const std::string& text) {
  return !text.empty() && text.size() <= limits::language_tag_bytes &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

} // namespace

result<transcript> parse_transcript(std::string_view answer) {
  // A name that stands twice would say two things: the last wins nowhere here.
  std::size_t names = 0;
  auto count = [&names](int, nlohmann::json::parse_event_t event, const nlohmann::json&) {
    names += event == nlohmann::json::parse_event_t::key ? 1 : 0;
    return true;
  };
  auto given = nlohmann::json::parse(answer, count, false);
  if (!given.is_object())
    return fail(errc::malformed, "the transcriber's answer is not one JSON object");
  if (names != given.size())
    return fail(errc::malformed, "the transcriber's answer names a field twice");
  for (const auto& [name, _] : given.items())
    if (name != "transcript" && name != "confidence" && name != "language")
      return fail(errc::unknown_field, "of the transcriber's answer");
  auto words = given.find("transcript"), confidence = given.find("confidence"),
       language = given.find("language");
  if (words == given.end() || confidence == given.end())
    return fail(errc::missing_field, "the transcriber's answer has transcript and confidence");
  if (!words->is_string() || !confidence->is_number())
    return fail(errc::bad_value, "the transcriber's answer has a text and a number");
  transcript made;
  made.words = std::move(words->get_ref<std::string&>());
  made.confidence = confidence->get<double>();
  if (!(made.confidence >= 0 && made.confidence <= 1))
    return fail(errc::bad_value, "the transcriber's confidence is within 0 and 1");
  if (made.words.find_first_not_of(" \t\r\n") == std::string::npos)
    return fail(errc::bad_value, "the transcriber heard nothing");
  if (language != given.end()) {
    if (!language->is_string() || !is_tag(language->get_ref<std::string&>()))
      return fail(errc::bad_value, "the transcriber's language is a BCP 47 tag");
    made.language = std::move(language->get_ref<std::string&>());
  }
  return made;
}

} // namespace candor::transcription
