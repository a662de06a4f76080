/// Decides which ads a request gets: reads what of the person may serve ads, matches over the
/// node's catalogue, and lets the person's shard reserve price and caps before it answers. What
/// turns out to have no money or to be at its cap is left out and the rest matched again.
/// Several are alike and share the node's index of campaigns (catalogue_index.hpp).
#pragma once

#include <functional>

#include "actors/ad_matching/catalogue_index.hpp"
#include "actors/messages/messages.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"

namespace candor::ad_matching {

struct surroundings {
  std::shared_ptr<const shard_directory> shards;
  std::function<shard_id(const user_id&)> shard_of;
  const catalogue_index& campaigns;
  const clock& time;
  rng& random;
};

/// Everything that `around` refers to must outlive the actor.
ad_matching_handle spawn_ad_matching_actor(caf::actor_system& system, surroundings around);

} // namespace candor::ad_matching
