/// Which node leads a shard, and since when: the one record a shard has in the coordinator. Pure
/// values and their text form (JSON, so that an operator can read it). Guarantees: `version` rises
/// with every change, `term` with every change of primary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"

namespace candor::sharding {

/// A disk of a node. A wiped disk gets a new id, so that nothing it acknowledged before counts.
struct member {
  std::string node;
  std::string disk_id;
  friend bool operator==(const member&, const member&) = default;
};

struct shard_config {
  std::uint64_t version = 0;
  std::uint64_t term = 0;
  member primary;
  std::vector<member> in_sync;
  std::uint32_t in_sync_min = 1;
  std::uint64_t generation = 0; ///< rises when the shard's content is replaced by a restore
  friend bool operator==(const shard_config&, const shard_config&) = default;
};

inline constexpr char config_prefix[] = "shards/";
/// The coordinator's key of a shard, e.g. "shards/0017".
std::string config_key(shard_id shard);
/// nullopt: it is not a shard's key.
std::optional<shard_id> shard_of_key(std::string_view key);

std::string to_json(const shard_config& config);

/// Error: `corrupt`.
result<shard_config> shard_config_from_json(std::string_view text);

} // namespace candor::sharding
