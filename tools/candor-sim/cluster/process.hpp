/// One simulated node: a disk and a folder that stay, and the process that lives on them for a
/// while. The process is the product's own rooms (actors/supervision/node_rooms) over simulated
/// ground. Its key store is the real one, in a folder on a memory file system: what was not synced
/// of it is not lost at a crash.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/supervision/node_rooms.hpp"
#include "tools/candor-sim/cluster/coordinator.hpp"
#include "tools/candor-sim/cluster/disk.hpp"
#include "tools/candor-sim/cluster/network.hpp"
#include "tools/candor-sim/cluster/post.hpp"
#include "tools/candor-sim/cluster/scenario.hpp"

namespace candor::sim {

/// What all nodes of a run share.
struct world_ground {
  stage& on;
  network& net;
  coordinator_world& coordinator;
  post_office& post;
  const scenario& what;
  const config::checked& files;
  const stores::node_secrets& secrets;
  std::shared_ptr<topic_filter::live_filter> filter;
  std::filesystem::path folder;
  std::filesystem::path notices;                      ///< configs/notices
  std::function<void(int node, const error&)> failed; ///< a room ended for good
};

class simulated_node {
public:
  simulated_node(world_ground& ground, int number);

  const std::string& name() const { return name_; }
  int number() const { return number_; }
  bool alive() const { return process_ != nullptr; }
  /// Rises with each process.
  std::uint64_t life() const { return lives_; }

  /// Error: the process does not start.
  result<void> start();
  void crash();
  void wipe();

  const rooms& doors() const { return process_->house->doors(); }
  membership::membership_handle membership() const {
    return process_->house->cluster().membership();
  }
  policy_handle policy() const { return process_->house->policy(); }
  std::shared_ptr<const shard_directory> shards() const { return process_->house->shards(); }
  stores::user_keys& keys() const { return *process_->keys; }
  const clock& time() const { return *time_; }
  stage_clock& wall() { return *time_; }

  disk storage;
  std::int64_t disk_times = 1; ///< how much slower than it should be
  bool disk_hangs = false;
  bool standing = false; ///< paused

private:
  struct process {
    std::unique_ptr<engine::engine> db;
    std::unique_ptr<stores::user_keys> keys;
    std::unique_ptr<rng> random;
    std::unique_ptr<supervision::node_rooms> house;
  };

  config::node_config config() const;
  replication::worker_handle make_worker(caf::actor_system& system, replication::waits_for what);

  world_ground& ground_;
  int number_;
  std::string name_;
  std::unique_ptr<stage_clock> time_;
  std::uint64_t lives_ = 0;
  std::unique_ptr<process> process_;
  std::vector<std::unique_ptr<process>> dead_; ///< their actors are gone, not all their memory
};

} // namespace candor::sim
