/// A campaign and a content item as an advertiser or an editor wrote them, and their stored forms.
/// Guarantees: codecs are versioned and an old record stays readable. Must never hold anything of a
/// person.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/model/region.hpp"
#include "storage/model/topic.hpp"

namespace candor::model {

/// How strongly a campaign or an item is about a topic, 1..255.
struct topic_strength {
  topic_id topic = 0;
  std::uint8_t weight = 0;
  friend bool operator==(const topic_strength&, const topic_strength&) = default;
};

struct creative {
  std::string id, title, body, url;
  std::string lang{}; ///< primary subtag; empty: not stated
  friend bool operator==(const creative&, const creative&) = default;
};

/// At most so many impressions for one person within a time.
struct frequency_cap {
  std::uint32_t impressions = 0;
  millis per{0};
  friend bool operator==(const frequency_cap&, const frequency_cap&) = default;
};

struct campaign {
  std::string id, advertiser;
  std::int64_t bid_micros = 0;
  std::uint8_t quality = 0;      ///< 1..255
  std::int64_t total_micros = 0; ///< budget
  std::int64_t daily_micros = 0; ///< of it, within a day (UTC)
  timestamp from, to;            ///< half open
  std::optional<frequency_cap> cap;
  bool even_pacing = false;
  std::vector<topic_strength> relevance; ///< ascending by topic
  std::string targeting;                 ///< canonical text; empty: for everyone
  std::vector<creative> creatives;       ///< at least one
  bool paused = false;
  friend bool operator==(const campaign&, const campaign&) = default;
};

struct content_item {
  std::string id, title, url, lang;
  std::vector<region_code> regions; ///< empty: everywhere
  std::vector<topic_strength> topics;
  timestamp published;
  friend bool operator==(const content_item&, const content_item&) = default;
};

/// What a catalogue holds. Stored and sent as a number.
enum class item_kind : std::uint8_t { campaign = 0, content = 1 };
std::string_view to_string(item_kind kind) noexcept;

/// msgpack arrays that begin with their version. Error: `corrupt`.
std::string encode(const campaign& x);
std::string encode(const content_item& x);
result<campaign> decode_campaign(std::string_view bytes);
result<content_item> decode_content_item(std::string_view bytes);

} // namespace candor::model
