/// What is held about a person: the sealed record, the small sealed deltas that wait to be folded
/// into it, and the arithmetic of interests. Guarantees: integers only (no floating point, no
/// locale, no order of a map), so that every replica computes the same bytes; codecs are versioned
/// and an old record stays readable. Must never hold text of an utterance, a sensitive category, or
/// anything of a withheld event.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/person.hpp"
#include "storage/model/signal.hpp"

namespace candor::model {

/// A topic's weight from one source. Weights are in 1/65536 of a mention at the instant `as_of`.
struct interest {
  topic_id topic = 0;
  model::source source = source::ai;
  std::int64_t weight = 0;
  timestamp as_of;
  timestamp since; ///< the earliest event it comes from
  timestamp last;  ///< the latest
  std::uint32_t events = 0;
  std::string policy_version; ///< under which the latest was learned; empty for engagement before
                              ///< any policy
  friend bool operator==(const interest&, const interest&) = default;
};

/// Keyed by the person's own key: tells nothing once that is destroyed.
using event_tag = std::array<std::uint8_t, 16>;

enum class notice_state : std::uint8_t {
  sent,     ///< in the app: it lies in the inbox; by e-mail: accepted (2xx) and not bounced so far
  intended, ///< e-mail: to be sent, or sent without a known outcome: sent again with the same
            ///< Message-ID
  failed,   ///< e-mail: refused, bounced or given up; the app has a notice instead
};

std::string_view to_string(notice_state s) noexcept;

/// One line of the ledger of notices: who was told what by which channel, and how far that is.
/// There is one for each policy, revision and channel, whatever node died when.
struct notice {
  std::string id; ///< "n-…"
  std::string policy;
  std::uint32_t revision = 0;
  model::channel channel = channel::in_app;
  std::string lang; ///< BCP 47, as the person's record had it
  timestamp created;
  notice_state state = notice_state::sent;
  std::uint32_t attempts = 0;
  timestamp next_try;            ///< of what is intended
  std::optional<timestamp> sent; ///< accepted by the mail server, or put into the inbox
  std::optional<timestamp>
      reached; ///< fetched by the person's client, or accepted by the mail server
  friend bool operator==(const notice&, const notice&) = default;
};

/// An event id that must not be accepted again.
struct seen_event {
  event_tag tag{};
  timestamp at;                 ///< the event's own time: what pruning goes by
  std::uint32_t import_run = 0; ///< 0: none; else kept until that run is closed
  friend bool operator==(const seen_event&, const seen_event&) = default;
};

struct user_record {
  std::string user;
  std::string pseudonym; ///< "s-…": the person's name in the audit log
  timestamp created;
  model::person person;
  std::string lang, zone, email, app;
  std::vector<interest> interests; ///< ascending by (topic, source)
  std::vector<seen_event> seen;
  std::uint64_t version = 0;   ///< of the last delta folded in
  std::vector<notice> notices; ///< the ledger, in the order of creation
  friend bool operator==(const user_record&, const user_record&) = default;
};

/// What one accepted event changes.
struct learned {
  seen_event event;
  model::source source = source::ai;
  std::vector<topic_weight> topics; ///< may be empty: accepted, and nothing to learn
  std::string policy_version;
  friend bool operator==(const learned&, const learned&) = default;
};

/// The half-life that holds from `from` on.
struct half_life_period {
  timestamp from;
  millis half_life;
};

/// Ascending by `from`; the first holds for everything earlier too. Never empty.
using half_lives = std::vector<half_life_period>;

/// `weight * 2^-(elapsed / half-life)`, piecewise over `periods`, rounded down; 2^-x by a table of
/// 256 steps an octave. `until < from` gives `weight`.
std::int64_t decay(std::int64_t weight, timestamp from, timestamp until, const half_lives& periods);

/// Folds one event in.
void fold(user_record& record, const learned& delta, const half_lives& periods);

/// Removes what no longer counts at `now`: interests whose last event is older than `retention` or
/// whose weight has decayed to nothing; seen events older than `oldest_seen` unless their import
/// run is open.
void prune(user_record& record, timestamp now, millis retention, timestamp oldest_seen,
           const half_lives& periods, const std::function<bool(std::uint32_t)>& run_open);

/// 1..255, rising with the weight and saturating: what ranking uses. 0 only for a weight of 0.
std::uint8_t strength(std::int64_t weight) noexcept;

/// msgpack arrays that begin with their version. Error: `corrupt`.
std::string encode(const user_record& record);
std::string encode(const learned& delta);
result<user_record> decode_user_record(std::string_view bytes);
result<learned> decode_learned(std::string_view bytes);

/// What the platform states of a person; absent fields stay as they are.
struct user_details {
  std::optional<region_code> region;
  std::optional<timestamp> region_since; ///< default: the time it is stated
  std::optional<std::string> lang, zone, email, app;
  std::optional<int> birth_year;
  std::optional<timestamp> assistant_user_since;
  friend bool operator==(const user_details&, const user_details&) = default;
};

std::string encode(const user_details& details);
result<user_details> decode_user_details(std::string_view bytes);

/// Merges `details` into `record`. The region's history grows; a region stated anew from an earlier
/// date replaces what it overlaps; `assistant_user_since` is set once.
void merge(user_record& record, const user_details& details, timestamp now);

} // namespace candor::model
