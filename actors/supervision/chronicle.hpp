/// Writes down what a node learns of the cluster: turns configurations of shards, links, records of
/// nodes and the coordinator's silence into events for operators. Fed by `cluster_side` from the
/// threads of several rooms; what is told twice is written once. Thread-safe. Must never decide
/// anything: nothing waits for it and nothing reads it but people.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/messages/cluster_events.hpp"
#include "cluster/sharding/node_registry.hpp"
#include "cluster/sharding/shard_map.hpp"
#include "storage/base/clock.hpp"

namespace candor::supervision {

class chronicle {
public:
  chronicle(const clock& time, std::shared_ptr<cluster_events> to)
    : time_{time}
    , to_{std::move(to)} {}

  /// primary_changed (also where it is the same node under a new term), in_sync_changed
  void config(shard_id shard, const sharding::shard_config& now);
  /// placement_changed; where a shard lay when this node came is no change.
  void wanted(shard_id shard, const std::vector<sharding::member>& now);
  /// node_linked
  void link_up(const std::string& node);
  /// node_lost
  void link_down(const std::string& node, const std::string& why);
  /// node_registered (a node this one did not know, or a new start of it), node_state_changed,
  /// node_low_on_disk, node_has_room
  void node(const sharding::node_record& now);
  /// coordinator_lost, coordinator_back
  void coordinator(bool answers);
  /// placement_leader_changed
  void placement_leader(const std::string& node);

private:
  const clock& time_;
  std::shared_ptr<cluster_events> to_;
  std::mutex mutex_;
  std::map<shard_id, sharding::shard_config> configs_;
  std::map<shard_id, std::vector<sharding::member>> wanted_;
  std::set<std::string> linked_;
  std::map<std::string, sharding::node_record> nodes_;
  bool coordinator_answers_ = true;
  std::string placement_leader_;
};

} // namespace candor::supervision
