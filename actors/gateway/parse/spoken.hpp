/// From a form to an event whose words are in a recording: a part `event` (JSON) and a part `audio`
/// (audio/*). Pure. Judged here is the form alone: what the recording says, the transcriber hears
/// after admission. Must never put a byte of the recording, or a user id, into a refusal.
#pragma once

#include <string_view>

#include "actors/gateway/parse/events.hpp"

namespace candor::parse {

/// Error, where the form is wrong: `malformed`, `missing_field`, `unknown_field`, `bad_value`,
/// `unsupported_media_type`, `too_large`, `too_many`. What is wrong with the event stands in it.
result<parsed_event> read_spoken_form(std::string_view body, std::string_view content_type,
                                      const model::region_table& regions);

} // namespace candor::parse
