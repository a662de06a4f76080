/// What the replicator is told of shards by whoever follows the coordinator (cluster/membership).
/// Pure values, so that neither side needs the other's actor.
#pragma once

#include <cstdint>
#include <vector>

#include "cluster/sharding/shard_map.hpp"
#include "storage/base/ids.hpp"

namespace candor::replication {

/// A record of a shard as the coordinator has it; `version` is the coordinator's.
struct config_seen {
  shard_id shard = 0;
  sharding::shard_config config;
  std::uint64_t version = 0;
};

/// What the placement wants of a shard: the preferred primary first; and whose disks may hold
/// anything of it, wanted or not, dead or alive.
struct shard_wanted {
  shard_id shard = 0;
  std::vector<sharding::member> members;
  std::vector<sharding::member> holders;
  friend bool operator==(const shard_wanted&, const shard_wanted&) = default;
};

} // namespace candor::replication
