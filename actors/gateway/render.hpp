/// What is held about a person, and what became of an event, as JSON. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/time.hpp"
#include "storage/model/content_shown.hpp"
#include "storage/model/impression.hpp"
#include "storage/model/user_record.hpp"
#include "storage/model/verdict.hpp"

namespace candor::gateway {

/// What an interest may serve now.
struct interest_now {
  model::topic_id topic = 0;
  model::source source = model::source::ai;
  std::uint8_t strength = 0; ///< 1..255
  std::int64_t weight = 0;   ///< in 1/65536 of a mention
  std::string ads;           ///< empty: may be used; else the reason code
  std::string content;
};

struct person_view {
  model::user_record record;
  std::vector<interest_now> interests;
  std::string policy_version; ///< in force, or empty
  std::string region_state;   ///< "unknown", "allowed" or "excluded"
  timestamp at;
  std::vector<model::impression> impressions; ///< of an export
  std::vector<model::content_shown> content;  ///< of an export
};

std::string user_json(const person_view& who);
/// With the times of the events whose ids are remembered, in the order in which they were taken.
std::string user_json_with_events(const person_view& who);
std::string interests_json(const person_view& who);
std::string export_json(const person_view& who);

/// `{"id","status","reason"?,"detail"?,"line"?}`, without a line end. An empty id is null; `line`
/// stands with what is invalid only.
void append_verdict(std::string& to, std::string_view id, const model::verdict& v,
                    std::size_t line = 0);

} // namespace candor::gateway
