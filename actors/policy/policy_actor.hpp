/// Carries policy versions to the shards. A version is applied when shard 0 has logged it; from
/// then on it is handed to every other shard until all have logged it too, over restarts: applying
/// is idempotent. It does not decide: `decide()` is pure and lives in storage/model/policy; the
/// shards ask it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "actors/messages/messages.hpp"
#include "storage/base/clock.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::policy {

struct surroundings {
  std::shared_ptr<const shard_directory> shards;
  const model::region_table& regions;
  const clock& time;
};

/// `configured` are the policies of the configuration, in order. `outcome` is called once, on the
/// actor's thread: when every shard has logged those and all that shard 0 had logged before; when
/// those that answer have, and the others were waited for (10 s): they get them as soon as somebody
/// leads them; or when one refused (`policy_conflict`: another text has that version). The actor
/// ends with that error where one of those others refuses later.
policy_handle spawn_policy_actor(caf::actor_system& system, surroundings around,
                                 std::vector<model::policy> configured,
                                 std::function<void(result<void>)> outcome);

} // namespace candor::policy
