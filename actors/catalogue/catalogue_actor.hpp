/// Pulls every shard's changes of campaigns and content and makes the node's catalogue of them.
#pragma once

#include "actors/messages/messages.hpp"
#include "storage/base/clock.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::catalogue {

/// `shelf` and `time` must outlive the actor.
catalogue_handle spawn_catalogue_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       model::catalogue_shelf& shelf, const clock& time);

} // namespace candor::catalogue
