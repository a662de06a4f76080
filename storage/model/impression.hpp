/// One ad that a decision chose for a person: what caps are counted by and what "why" is answered
/// from. Guarantees: what it names was allowed when it was decided. Part of the person's sealed
/// rows; must never name a sensitive category.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/model/signal.hpp"

namespace candor::model {

enum class impression_state : std::uint8_t {
  reserved, ///< lapses ten minutes after the decision
  shown,
  clicked,
  hidden, ///< the person wants no more of this campaign
};

/// An interest that counted.
struct topic_used {
  topic_id topic = 0;
  model::source source = source::ai;
  timestamp since;
  std::uint8_t weight = 0;
  friend bool operator==(const topic_used&, const topic_used&) = default;
};

struct impression {
  std::string id; ///< "i-…"
  std::string decision, campaign, creative;
  timestamp at; ///< of the decision
  impression_state state = impression_state::reserved;
  std::int64_t price_micros = 0;
  std::string policy_version;
  std::vector<std::string> matched; ///< clauses of the targeting expression
  std::vector<topic_used> topics;
  friend bool operator==(const impression&, const impression&) = default;
};

std::string_view to_string(impression_state s) noexcept;

/// msgpack arrays that begin with their version. Error: `corrupt`.
std::string encode(const impression& x);
result<impression> decode_impression(std::string_view bytes);

} // namespace candor::model
