/// What other nodes reach of this one: hands each message to the room that it is for. Messages to a
/// shard go to this node's own actor for it and never further, so that a message crosses one link
/// at most; where the shard is not led here the answer is `not_primary`.
#pragma once

#include <memory>

#include "actors/messages/messages.hpp"

namespace candor::routing {

/// Rooms are made one after the other: what is not there yet is answered `not_primary`.
struct behind_the_door {
  std::shared_ptr<const shard_directory> shards;
  std::shared_ptr<const rooms> doors;
  replication::replication_handle replication;
};

/// Thread-safe: the node puts the rooms behind it when they are there.
class door_rooms {
public:
  void put(behind_the_door rooms) {
    std::lock_guard guard{mutex_};
    rooms_ = std::move(rooms);
  }
  behind_the_door get() const {
    std::lock_guard guard{mutex_};
    return rooms_;
  }

private:
  mutable std::mutex mutex_;
  behind_the_door rooms_;
};

caf::actor spawn_node_door_actor(caf::actor_system& system,
                                 std::shared_ptr<const door_rooms> behind);

} // namespace candor::routing
