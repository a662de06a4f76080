/// Pulls every shard's changes of campaigns and content (catalogue_feeds.hpp) and hands them on:
/// campaigns change by change to who follows them, content as a new list on its shelf.
///
/// Guarantees: a follower that misses a change gets the whole. Must never put changes out of order.
#pragma once

#include "actors/messages/messages.hpp"
#include "storage/base/clock.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::catalogue {

/// `campaigns` is called by the actor alone. `content` and `time` must outlive the actor.
catalogue_handle spawn_catalogue_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       model::campaigns_follower campaigns,
                                       model::content_shelf& content, const clock& time);

} // namespace candor::catalogue
