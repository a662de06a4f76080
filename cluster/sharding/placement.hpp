/// Where the replicas of each shard should lie. A pure function, asked by the placement controller
/// and by `rebalance --dry-run`; primaries go there step by step (replica::next_step).
///
/// Rendezvous hashing with bounds: of the nodes that zones and bounds allow, a shard takes those
/// that score highest for it, and what lies well already stays where it is. The score is XXH3-64 of
/// "<shard, four digits>/<name>", the same on every platform.
///
/// Guarantees, of the nodes that are active:
/// - A shard has as many different nodes as `replicas`, or all of them where they are fewer.
/// - Its nodes are in different zones where there are enough zones; else no zone has more of them
///   than it must.
/// - A node holds at most ceil(1.05 × its share), and at least floor(0.95 × its share), of
/// replicas.
///   The share is shards × replicas / nodes. Where that would put two replicas of a shard into one
///   zone, the zones go first: nodes of a large zone share what it may hold, and the others the
///   rest. The first places (the primaries) are spread by the same factors of shards / nodes.
/// - What the present placement has and these rules allow stays. Where zones are even, a node that
///   joins takes at least 0.95 of its share, and at most 1.25 of it moves in all; of a node that
///   leaves only its replicas move, unless there are too few shards for all to get their least.
/// - The order in which nodes are named does not matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cluster/sharding/node_registry.hpp"
#include "storage/base/ids.hpp"

namespace candor::sharding {

struct placement_node {
  std::string name;
  std::string zone;
  node_state state = node_state::active;
};

/// The nodes of each shard, the preferred primary first.
using placement = std::vector<std::vector<std::string>>;

struct placement_question {
  std::vector<placement_node> nodes; ///< names differ
  shard_count shards;
  std::uint32_t replicas = 1;
  placement present; ///< may be empty; names that are not in `nodes` are gone
};

/// A node that is draining gets nothing new. It keeps nothing either, unless there are fewer active
/// nodes than replicas: then it keeps what it has, behind the active ones.
placement place(const placement_question& question);

/// One replica on its way. `from` is empty where the shard only gains, `to` where it only loses.
struct replica_move {
  shard_id shard = 0;
  std::string from;
  std::string to;
  friend bool operator==(const replica_move&, const replica_move&) = default;
};

/// What leads from one placement to the other, by shard; places within a shard don't count.
std::vector<replica_move> rebalance_moves(const placement& present, const placement& wanted);

/// How many replicas must move at least, for each active node to have its share: for a node that
/// joins, shards × replicas / nodes.
std::size_t ideal_moves(const placement_question& question);

} // namespace candor::sharding
