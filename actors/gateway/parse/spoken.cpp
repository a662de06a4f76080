#include "actors/gateway/parse/spoken.hpp"

#include <fmt/format.h>

#include "actors/gateway/parse/form.hpp"
#include "actors/gateway/parse/value.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

constexpr std::string_view audio_types = "audio/";

result<void> check_audio(const form_part& audio) {
  if (!audio.media_type.starts_with(audio_types) || audio.media_type == audio_types)
    return fail(
        errc::unsupported_media_type,
        "the part `audio` states an audio type of its own, such as Content-Type: audio/wav");
  if (audio.content.empty())
    return fail(errc::bad_value, "`audio` is empty");
  if (audio.content.size() > limits::recording_bytes)
    return fail(errc::too_large,
                fmt::format("a recording has at most {} bytes", limits::recording_bytes));
  return {};
}

} // namespace

result<parsed_event> read_spoken_form(std::string_view body, std::string_view content_type,
                                      const model::region_table& regions) {
  CANDOR_TRY(parts, read_form(body, content_type, 2));
  const form_part *event = nullptr, *audio = nullptr;
  for (const auto& part : parts) {
    if (part.name != "event" && part.name != "audio")
      return fail(errc::unknown_field, "a part " + quoted(part.name));
    auto& place = part.name == "event" ? event : audio;
    if (place)
      return fail(errc::bad_value, "the part " + quoted(part.name) + " stands twice");
    place = &part;
  }
  if (!event || !audio)
    return fail(errc::missing_field, event ? "the part `audio`" : "the part `event`");
  // A browser states no type for a field of text.
  if (!event->media_type.empty() && event->media_type != "application/json")
    return fail(errc::unsupported_media_type, "the part `event` is application/json");
  CANDOR_TRY_VOID(check_audio(*audio));
  auto parsed = parse_spoken_event_json(event->content, regions);
  if (parsed.event)
    parsed.event->recording = model::raw_recording{std::string{audio->content}, audio->media_type};
  return parsed;
}

} // namespace candor::parse
