/// Carries out the work that a replicator gives to the disk or to the coordinator, one thing at a
/// time, and takes a simulated time for it: some before it is done, some before that is told. A
/// crash between the two leaves what was done done and told to nobody.
#pragma once

#include <functional>

#include "actors/messages/messages.hpp"
#include "cluster/replication/replication_actor.hpp"

namespace candor::sim {

struct worker_times {
  std::function<std::int64_t()> before_us, after_us;
  std::function<bool()> hangs; ///< asked again every few milliseconds
};

replication::worker_handle spawn_simulated_worker(caf::actor_system& system, worker_times times);

} // namespace candor::sim
