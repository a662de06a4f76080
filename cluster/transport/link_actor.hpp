/// The end of one link that CAF sees: hands CAF one end of a socketpair, exchanges doors with its
/// like on the other node, pings it, and tells its owner what becomes of the link. One life, one
/// link.
///
/// Guarantees: `down` is called once for each `up`, `finished` once and last; both from the actor's
/// thread. Pings are answered here, among the other actors, so a node whose actors are stuck looks
/// as dead as it is.
/// Must never outlive its link: the owner sends `drop_atom` when the wire is gone, `drained_atom`
/// once CAF has closed its end of the socketpair.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <caf/all.hpp>

#include "cluster/transport/messages.hpp"

namespace candor::transport {

struct link_timing {
  std::chrono::milliseconds door_deadline; ///< CAF's handshake and the doors
  std::chrono::milliseconds ping_every;
  std::size_t pings_missed; ///< in a row; then the link is given up
};

struct link_events {
  std::function<void(const caf::strong_actor_ptr& remote_door)> up;
  std::function<void(const std::string& why)> down;
  std::function<void(std::string why)> give_up; ///< asks the owner to drop the link
  std::function<void()> finished;
};

/// Takes `fd` over. The side that dialed asks for the other's door; the other waits to be asked.
/// `broker` is CAF's own, which speaks its protocol (`protocol_broker`).
caf::actor spawn_link_actor(caf::actor_system& system, caf::actor broker, int fd, bool dialed,
                            caf::actor door, link_timing timing, link_events events);

/// Call it once and keep it: CAF's look-up is not made for several threads.
caf::actor protocol_broker(caf::actor_system& system);

} // namespace candor::transport
