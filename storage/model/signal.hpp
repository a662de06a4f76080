/// What may leave the receiving node: topics from the closed allow-list, and no text.
/// Guarantees: only the topic filter (or the decoder of one that it made) can make a
/// `sanitized_signal`; the profile accepts nothing else. Every topic is in the allow-list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"
#include "storage/model/event.hpp"

namespace candor::model {

/// A topic and how strongly the event speaks of it, in 1/65536 of a mention.
struct topic_weight {
  topic_id topic = 0;
  std::uint32_t weight = 0;
  friend bool operator==(const topic_weight&, const topic_weight&) = default;
};

inline constexpr std::uint32_t one_mention = 65536;

/// Where an interest came from. Kept apart for ever.
enum class source : std::uint8_t { ai, engagement };
inline constexpr std::size_t source_count = 2;

std::string_view to_string(source s) noexcept;
std::optional<source> find_source(std::string_view slug) noexcept;

/// What the primary is asked before any text is looked at.
struct admission {
  std::string event_id;
  std::string user; ///< a valid user_id's value
  timestamp at;
  timestamp received;
  event_kind kind = event_kind::ai_interaction;
  std::optional<region_code> region;
  std::uint32_t import_run = 0; ///< 0: none
};

struct sanitized_signal_codec;

class sanitized_signal {
public:
  /// Nothing: refused by the profile. For containers and decoders.
  sanitized_signal() = default;

  bool valid() const noexcept { return valid_; }
  const admission& header() const noexcept { return header_; }
  model::source source() const noexcept {
    return header_.kind == event_kind::ai_interaction ? source::ai : source::engagement;
  }
  const std::vector<topic_weight>& topics() const noexcept { return topics_; }

private:
  friend class topic_filter::filter;
  friend struct sanitized_signal_codec; ///< of actors/messages: what the filter made, on another
                                        ///< node
  sanitized_signal(admission header, std::vector<topic_weight> topics)
    : header_{std::move(header)}
    , topics_{std::move(topics)}
    , valid_{true} {}

  admission header_;
  std::vector<topic_weight> topics_;
  bool valid_ = false;
};

} // namespace candor::model
