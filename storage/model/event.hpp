/// An event as the gateway read it: well-formed, bounded, not yet judged. It carries raw text, so
/// it has no codec and never leaves the node that received it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"
#include "storage/model/recording.hpp"
#include "storage/model/region.hpp"
#include "storage/model/topic.hpp"
#include "storage/model/utterance.hpp"

namespace candor::model {

enum class event_kind : std::uint8_t { ai_interaction, engagement };
enum class modality : std::uint8_t { text, voice };
enum class engagement_action : std::uint8_t { like, follow, share };

struct event {
  std::string id;
  user_id user;
  timestamp at; ///< the caller's time
  event_kind kind = event_kind::ai_interaction;
  std::string app{};                   ///< optional
  std::string lang{};                  ///< BCP 47, or empty
  std::optional<region_code> region{}; ///< may only restrict what the record's region allows

  // ai_interaction
  model::modality modality = modality::text;
  double confidence = 1.0; ///< of a transcript, 0..1; 0 where there is only a recording so far

  // engagement
  engagement_action action = engagement_action::like;
  std::string object_id{};
  std::vector<topic_id> object_topics{}; ///< as stated by the platform

  raw_utterance utterance{}; ///< text, transcript or the object's text
  raw_recording recording{}; ///< of a voice without a transcript; it becomes one after admission
};

} // namespace candor::model
