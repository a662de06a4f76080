/// What a node knows of the cluster: every record of nodes, of where shards should lie, of who
/// leads them, as far as the coordinator has told; and what follows from that alone. Pure: no
/// clock, no coordinator. Guarantees: an older version of a record never replaces a newer one, in
/// whatever order they come in; a record that cannot be read changes nothing. Must never decide:
/// that is done by compare-and-swap against the versions that stand here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/sharding/node_registry.hpp"
#include "cluster/sharding/placement.hpp"
#include "cluster/sharding/shard_map.hpp"

namespace candor::membership {

/// The prefixes under which all of it stands.
inline constexpr const char* prefixes[] = {"claims/", "cluster/", "nodes/", "placement/",
                                           "shards/"};

/// How many shards there are: set once, when the cluster is made.
inline constexpr char shards_key[] = "cluster/shards";

/// The coordinator's key of a claim to a node's name, e.g. "claims/n1": the incarnation of a
/// process with another disk that wants to register under it. Whoever has the name and lives
/// objects.
std::string claim_key(std::string_view node);

/// Who keeps the placement up to date. Rewritten each second, so that others see that it lives.
inline constexpr char leader_key[] = "placement/leader";
struct leader_record {
  std::string node;
  std::string incarnation;
  std::uint64_t beat = 0;
  friend bool operator==(const leader_record&, const leader_record&) = default;
};
std::string to_json(const leader_record& record);
/// Error: `corrupt`.
result<leader_record> leader_record_from_json(std::string_view text);

/// The nodes that the desired records were computed for. While they are the same there is nothing
/// to compute, and what an operator moved stays.
inline constexpr char placed_key[] = "placement/nodes";
using placed_nodes = std::map<std::string, sharding::placement_node>;
std::string to_json(const placed_nodes& nodes);
/// Error: `corrupt`.
result<placed_nodes> placed_nodes_from_json(std::string_view text);
bool same(const placed_nodes& a, const placed_nodes& b);

struct drain_progress {
  std::size_t leads = 0;   ///< shards; at 0 the node may be restarted without anyone waiting
  std::size_t in_sync = 0; ///< shards that count on a copy there
  bool done() const { return leads == 0 && in_sync == 0; }
};

enum class news : std::uint8_t { none, node, desired, config, leader, other };

struct view {
  std::map<std::string, sharding::node_record> nodes; ///< none that is gone
  std::map<shard_id, sharding::desired_record> desired;
  std::map<shard_id, sharding::shard_config> configs;
  std::map<std::string, std::string> claims; ///< incarnations, by the node's name
  std::optional<std::uint64_t> shards;
  std::optional<leader_record> leader;
  std::optional<placed_nodes> placed;
  std::map<std::string, std::uint64_t, std::less<>> versions; ///< the coordinator's, by key

  /// `none`: it is not newer than what is known, or cannot be read, or is of no concern.
  news take(std::string_view key, const coordination::versioned& now);
  /// 0: there is no such key, as far as is known.
  std::uint64_t version_of(std::string_view key) const;

  /// Of `count` shards; empty where none is desired yet.
  sharding::placement placement(shard_count count) const;
  /// With the disks that the nodes have now, less nodes that are not registered.
  std::vector<sharding::member> members(const std::vector<std::string>& names) const;
  std::vector<sharding::member> wanted(shard_id shard) const;
  /// Whose disks may hold anything of the shard, by their own word; who never said counts.
  std::vector<sharding::member> holders(shard_id shard) const;
  drain_progress draining(const std::string& node) const;
  /// True where a shard that should lie on the node has no copy to spare.
  bool needed_soon(const std::string& node) const;
};

/// The first configuration of a shard that holds nothing yet: so all its members are in sync. Empty
/// where none of the nodes is registered.
std::optional<sharding::shard_config> first_config(const std::vector<sharding::member>& members,
                                                   std::uint32_t in_sync_min);

/// The shard's nodes when `to` shall lead it: a newcomer comes in place of the node that holds most
/// shards, where there are `replicas` already.
std::vector<std::string> moved(const sharding::placement& present, shard_id shard,
                               const std::string& to, std::size_t replicas);

} // namespace candor::membership
