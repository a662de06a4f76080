/// How actors that may wait (for a disk, the coordinator, a mail server) come to be: each on a
/// thread of its own, so that it never holds up the others.
///
/// Where the system's scheduler is CAF's test coordinator there are no threads: whoever drives it
/// (tools/candor-sim) chooses which actor runs next, these among them, and waits for nothing. Must
/// never be used for an actor that does not wait.
#pragma once

#include <caf/all.hpp>

namespace candor::transport {

inline bool is_simulated(const caf::actor_system& system) {
  return caf::get_or(system.config(), "scheduler.policy", caf::atom("")) == caf::atom("testing");
}

/// As caf::actor_system::spawn.
template <class Actor, class... Ts>
auto spawn_waiting(caf::actor_system& system, Ts&&... xs) {
  return is_simulated(system) ? system.spawn<Actor>(std::forward<Ts>(xs)...)
                              : system.spawn<Actor, caf::detached>(std::forward<Ts>(xs)...);
}

} // namespace candor::transport
