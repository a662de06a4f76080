/// Takes batches of events from the gateway, walks each through an `ingest_job`, and answers with
/// its verdicts. A node has a few of these, alike; each has a thread of its own where there is a
/// hook to wait for. Holds raw text and speech, as only the gateway does besides, and the room that
/// it asks what speech says.
#pragma once

#include <memory>

#include "actors/ingestion/ingest_job.hpp"
#include "actors/messages/messages.hpp"
#include "actors/topic_filter/live_filter.hpp"

namespace candor::ingestion {

/// Whom it asks what was said.
struct transcription_door {
  transcription_handle room; ///< none: whatever is a recording is withheld
  std::chrono::milliseconds patience{0};
};

ingestion_handle spawn_ingestion_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       std::shared_ptr<const topic_filter::live_filter> filter,
                                       ingest_job::shard_of where,
                                       transcription_door transcription = {});

} // namespace candor::ingestion
