/// Takes batches of events from the gateway, walks each through an `ingest_job`, and answers with
/// its verdicts. A node has a few of these, alike; each has a thread of its own where there is a
/// hook to wait for. The only room that holds raw text besides the gateway.
#pragma once

#include <memory>

#include "actors/ingestion/ingest_job.hpp"
#include "actors/messages/messages.hpp"
#include "actors/topic_filter/live_filter.hpp"

namespace candor::ingestion {

ingestion_handle spawn_ingestion_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       std::shared_ptr<const topic_filter::live_filter> filter,
                                       ingest_job::shard_of where);

} // namespace candor::ingestion
