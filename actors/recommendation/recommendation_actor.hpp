/// Answers what content to show: reads what of the person may serve content and ranks the node's
/// catalogue by it.
#pragma once

#include <functional>

#include "actors/messages/messages.hpp"
#include "actors/recommendation/rank.hpp"
#include "storage/base/clock.hpp"

namespace candor::recommendation {

struct surroundings {
  std::shared_ptr<const shard_directory> shards;
  std::function<shard_id(const user_id&)> shard_of;
  const model::content_shelf& content;
  const clock& time;
};

/// Everything that `around` refers to must outlive the actor.
recommendation_handle spawn_recommendation_actor(caf::actor_system& system, surroundings around);

} // namespace candor::recommendation
