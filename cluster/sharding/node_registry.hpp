/// What the coordinator holds of nodes, and of where shards should lie. Pure values and their text
/// form (JSON, so that an operator can read it). A node writes its own record when it starts; the
/// placement controller writes the desired nodes of a shard, which nobody needs for a failover.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"

namespace candor::sharding {

enum class node_state : std::uint8_t {
  active,
  draining, ///< gives its shards away
  gone,     ///< an operator said that its disk is no more: as if it had no record
};

/// `active`, `draining` or `gone`, as records and reports have it.
const char* name_of(node_state state);

struct node_record {
  std::string name;
  std::string disk_id;
  std::string incarnation; ///< random, anew with each start
  std::string address;     ///< "host:port" of the link between nodes
  std::string http;        ///< the URL at which clients reach it
  std::string zone;
  node_state state = node_state::active;
  timestamp started_at;
  bool low_on_disk = false; ///< takes no new data
  /// The shards that its disk may hold anything of: rows, log or keys. nullopt: it never said.
  std::optional<std::set<shard_id>> holds = {};
  bool may_hold(shard_id shard) const { return !holds || holds->contains(shard); }
  friend bool operator==(const node_record&, const node_record&) = default;
};

/// The coordinator's key of a node, e.g. "nodes/n1".
std::string node_key(std::string_view name);

std::string to_json(const node_record& record);

/// Error: `corrupt`.
result<node_record> node_record_from_json(std::string_view text);

/// Where a shard should lie: names of nodes, the preferred primary first.
struct desired_record {
  std::vector<std::string> nodes;
  friend bool operator==(const desired_record&, const desired_record&) = default;
};

/// The coordinator's key of a shard's desired nodes, e.g. "placement/0017".
std::string desired_key(shard_id shard);

std::string to_json(const desired_record& record);

/// Error: `corrupt`.
result<desired_record> desired_record_from_json(std::string_view text);

} // namespace candor::sharding
