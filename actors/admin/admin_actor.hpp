/// The back door: takes operators' messages (a verb and a JSON object), carries each to the room
/// concerned, or to the admin room of the node concerned, and answers with what was done. What
/// changes something is audited by the shard that logs it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "actors/messages/messages.hpp"
#include "cluster/membership/membership_actor.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"
#include "storage/engine/engine.hpp"

namespace candor::admin {

/// Hashes of what the topic filter judged with before and judges with now, by name.
struct topics_reloaded {
  std::map<std::string, std::string> before, now;
};

struct surroundings {
  std::shared_ptr<const shard_directory> shards;
  policy_handle policy;
  notification_handle notification;
  const engine::engine& db; ///< for reading the audit log
  candor::clock& time;
  rng& random;
  std::function<shard_id(const user_id&)> shard_of;
  std::string node;
  std::string version;
  std::string data_folder;
  std::function<void()> stop; ///< asks the process to end
  /// Takes seconds; asked on a thread of its own, one call at a time.
  std::function<result<topics_reloaded>()> reload_topics;
  std::string cluster;                  ///< its id; empty: a node that is alone
  std::vector<std::string> coordinator; ///< endpoints
  /// Nothing in it before the node has joined.
  std::shared_ptr<const membership::membership_handle> membership;
  replication::replication_handle replication;
  std::uint64_t disk_low_bytes = 0; ///< with less free no new data is taken; 0: never looked at
  std::function<bool()> low_on_disk = {}; ///< by the node's own judgement; empty: never
};

/// On a thread of its own: verifying a chain reads it whole.
admin_handle spawn_admin_actor(caf::actor_system& system, surroundings around);

} // namespace candor::admin
