/// What holds of every event and refusal that a parser makes, whatever the bytes were.
#pragma once

#include "actors/gateway/parse/events.hpp"
#include "storage/base/limits.hpp"

namespace candor::fuzz {

inline const model::region_table& known_regions() {
  static const auto table = model::region_table::parse(R"(
[codes]
DE = "Germany"
US = "United States"
)",
                                                       "regions.toml");
  CANDOR_ASSERT(table.has_value());
  return *table;
}

inline void check(const parse::parsed_event& parsed) {
  CANDOR_ASSERT(parsed.id.size() <= limits::event_id_bytes && plain_utf8(parsed.id));
  CANDOR_ASSERT(parsed.line >= 1);
  if (!parsed.event) {
    CANDOR_ASSERT(valid_utf8(parsed.event.error().detail));
    CANDOR_ASSERT(parsed.event.error().code != errc::internal);
    return;
  }
  const auto& e = *parsed.event;
  CANDOR_ASSERT(e.id == parsed.id && !e.id.empty());
  CANDOR_ASSERT(user_id::parse(e.user.value()).has_value());
  CANDOR_ASSERT(e.confidence >= 0 && e.confidence <= 1);
  CANDOR_ASSERT(e.app.size() <= limits::app_bytes && e.lang.size() <= limits::language_tag_bytes);
  CANDOR_ASSERT(e.object_topics.size() <= limits::object_topics);
  for (auto topic : e.object_topics)
    CANDOR_ASSERT(model::is_topic(topic));
  if (e.region)
    CANDOR_ASSERT(known_regions().find(e.region->view()).has_value());
  if (e.kind == model::event_kind::ai_interaction)
    CANDOR_ASSERT(e.object_id.empty() && e.object_topics.empty() && !e.utterance.empty());
  else
    CANDOR_ASSERT(!e.object_id.empty());
}

/// Reads all; returns how many there were.
inline std::size_t drain(parse::event_stream& stream) {
  std::size_t count = 0, line = 0;
  while (auto parsed = stream.next()) {
    check(*parsed);
    CANDOR_ASSERT(parsed->line > line);
    line = parsed->line;
    ++count;
  }
  CANDOR_ASSERT(!stream.next());
  return count;
}

} // namespace candor::fuzz
