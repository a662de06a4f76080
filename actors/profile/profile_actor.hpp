/// The primary of one shard: receives what is asked of its people, lets user_table decide, hands
/// the drafts to the write door and answers once they are durable. Guarantees: answers that rest on
/// an entry (accepted, duplicate, a receipt, anything read) are given only after that entry and
/// every earlier one of the shard is durable. After a failed write it forgets its state, takes the
/// shard over anew and answers `overloaded` (not tried) or `unavailable` until it can.
#pragma once

#include <functional>
#include <memory>

#include "actors/messages/messages.hpp"
#include "actors/profile/user_table.hpp"

namespace candor::profile {

/// Everything that `around` refers to must outlive the actor.
profile_handle spawn_profile_actor(caf::actor_system& system, shard_id shard,
                                   user_table::surroundings around, replication::write_door door);

} // namespace candor::profile
