/// Carries policy versions to the shards: every shard's primary logs `policy_applied` before the
/// node says that it is ready. Applying is idempotent, so it is simply repeated until every shard
/// has answered. It does not decide: `decide()` is pure and lives in storage/model/policy; the
/// shards ask it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "actors/messages/messages.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::policy {

/// `policies` are those of the configuration, in order. `outcome` is called once, on the actor's
/// thread: when every shard has logged all of them, or when one refused (`policy_conflict`: another
/// text has that version).
policy_handle spawn_policy_actor(caf::actor_system& system,
                                 std::shared_ptr<const shard_directory> shards,
                                 std::vector<model::policy> policies,
                                 std::function<void(result<void>)> outcome);

} // namespace candor::policy
