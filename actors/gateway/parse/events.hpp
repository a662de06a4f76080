/// From bytes to events: the first thing that happens to what a platform sends. Pure: no clock, no
/// sockets. Whatever the bytes are, each item becomes an event or a refusal with a reason, and
/// nothing throws. Must never put a word of an event's text, or a user id, into a refusal.
///
/// Judged here is the form alone; `at` in the future is the ingestion's to refuse, by the node's
/// clock.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/model/event.hpp"
#include "storage/model/region.hpp"

namespace candor::parse {

struct parsed_event {
  std::string id;       ///< as far as it could be read; else empty
  std::size_t line = 1; ///< of NDJSON, or the place in a msgpack stream; from 1
  /// The error `sensitive_topic` is no fault of the form: such an event is withheld as sensitive.
  /// Others: `malformed`, `unknown_field`, `missing_field`, `bad_value`, `bad_time`, `bad_utf8`,
  /// `bad_region`, `unknown_topic`, `too_large`, `too_many`.
  result<model::event> event;
};

/// One JSON object.
parsed_event parse_event_json(std::string_view text, const model::region_table& regions);

/// One JSON object about an interaction whose words are in a recording: an event without
/// `transcript` and `confidence`, where `kind` and `modality` go without saying. Its confidence is
/// 0 until it was listened to.
parsed_event parse_spoken_event_json(std::string_view text, const model::region_table& regions);

/// Many events, one after another. `next` is empty at the end.
class event_stream {
public:
  virtual ~event_stream() = default;
  virtual std::optional<parsed_event> next() = 0;
};

/// A JSON object a line; empty lines are passed over. `body` must outlive the stream.
std::unique_ptr<event_stream> read_ndjson(std::string_view body,
                                          const model::region_table& regions);

/// msgpack maps with the fields of the JSON form. After an object that cannot be read the rest has
/// no beginning: the stream ends. `body` must outlive the stream.
std::unique_ptr<event_stream> read_msgpack(std::string_view body,
                                           const model::region_table& regions);

} // namespace candor::parse
