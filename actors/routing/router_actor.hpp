/// What rooms ask when they ask a shard: takes every message that a primary takes, sends it to
/// where the shard is led now (this node's own actor, or the door of another node: at most one
/// hop), and answers with what came back.
///
/// Guarantees: what was not tried (`not_primary`) is asked again, there or elsewhere, until
/// `limits::route_deadline`; what may have been tried is asked again only where asking twice does
/// no harm (events, which are told apart by their ids, and reads), else it is `outcome_unknown`.
/// Whoever waits for a node that lost the shard, or its link, hears at once. Must never hold a
/// message without a deadline.
#pragma once

#include <memory>

#include "actors/messages/messages.hpp"
#include "storage/base/clock.hpp"

namespace candor::routing {

/// `shards` says where shards are led; tell the router (retry_atom) when that changes. `time` must
/// outlive it.
profile_handle spawn_router_actor(caf::actor_system& system,
                                  std::shared_ptr<shard_directory> shards, const clock& time);

} // namespace candor::routing
