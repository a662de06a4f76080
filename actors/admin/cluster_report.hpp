/// The state of the cluster as JSON, for `GET /v1/cluster`: from what the coordinator told this
/// node and what the shards' primaries answered. Values and functions only. A shard whose primary
/// did not answer stands there as not serving: a report must not fail where it is needed most.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "actors/messages/messages.hpp"
#include "cluster/membership/participant.hpp"

namespace candor::admin {

struct cluster_facts {
  std::string cluster;                  ///< its id; empty: a node that is alone
  std::string node;                     ///< that was asked
  std::vector<std::string> coordinator; ///< endpoints
  std::size_t shards = 0;
  membership::snapshot known;
  std::map<shard_id, shard_status> answered;
  timestamp now;
};

/// Members: cluster, node, nodes, shards, coordinator (of a cluster), healthy.
nlohmann::json report(const cluster_facts& facts);

} // namespace candor::admin
