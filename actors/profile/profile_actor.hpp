/// The primary of one shard: receives what is asked of its people, campaigns, content and money,
/// lets user_table, catalogue_table and spend_table decide, hands the drafts to the write door and
/// answers once they are durable. Guarantees: answers that rest on an entry (accepted, duplicate, a
/// receipt, anything read) are given only after that entry and every earlier one of the shard is
/// durable. After a failed write it forgets its state, takes the shard over anew and answers
/// `overloaded` (not tried) or `unavailable` until it can.
#pragma once

#include <functional>
#include <memory>

#include "actors/messages/messages.hpp"
#include "actors/profile/user_table.hpp"

namespace candor::profile {

/// Where the other shards are, and which of them an id belongs to. Weak, since the directory holds
/// the primaries.
struct other_shards {
  std::weak_ptr<const shard_directory> primaries;
  std::function<shard_id(const user_id&)> shard_of;
};

/// Everything that `around` refers to must outlive the actor.
profile_handle spawn_profile_actor(caf::actor_system& system, shard_id shard,
                                   user_table::surroundings around, other_shards others,
                                   replication::write_door door);

} // namespace candor::profile
