/// What joins a node to its cluster, and what stands beneath its rooms on one node too: the
/// coordinator, the leases, the write door over the replicas, and, where there is a cluster, links
/// and beacons to the other nodes. Started in two steps: `open` before the rooms, which write
/// through its door; `join` after them, when other nodes may ask. Guarantees: nothing of a cluster
/// is started on a node that is alone; a node whose name another process took ends (`failed`).
#pragma once

#include <functional>
#include <memory>

#include "actors/messages/messages.hpp"
#include "actors/supervision/config/config.hpp"
#include "cluster/coordination/coordinator.hpp"
#include "cluster/membership/membership_actor.hpp"
#include "cluster/replication/replication_actor.hpp"
#include "cluster/transport/beacons.hpp"
#include "cluster/transport/links.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::supervision {

/// What a node's cluster side is joined to the world by, each made here: a simulation puts its own
/// in their place. What is empty is the product's: etcd, TLS links, UDP beacons, threads.
struct cluster_edges {
  std::function<result<std::unique_ptr<coordination::coordinator>>()> make_coordinator;
  std::function<result<std::unique_ptr<transport::links>>(caf::actor door, transport::link_options,
                                                          transport::link_callbacks)>
      start_links;
  std::function<result<std::unique_ptr<transport::beacons>>(transport::beacon_options,
                                                            transport::beacon_callbacks)>
      start_beacons;
  replication::spawn_worker make_worker;
};

struct beneath_the_rooms {
  caf::actor_system& system;
  engine::engine& db;
  stores::user_keys& keys;
  const stores::node_secrets& secrets;
  const clock& time;
  rng& random;
  std::shared_ptr<shard_directory> shards;
  std::function<disk_room()> look_at_disk;  ///< on a thread that may wait for it
  std::function<void(result<void>)> failed; ///< from any thread: the node must end
  cluster_edges edges;
};

/// What a node says as it ends since bytes of its database are not those that were written.
error database_damaged(const error& why);

class cluster_side {
public:
  virtual ~cluster_side() = default;

  /// Error: `config_invalid`, `corrupt`, `unavailable` (the coordinator's files), and the engine's.
  static result<std::unique_ptr<cluster_side>> open(const config::node_config& config,
                                                    beneath_the_rooms around);

  virtual const replication::write_door& door() const = 0;
  /// What this node learns of the cluster from now on.
  virtual std::shared_ptr<const cluster_events> events() const = 0;
  /// `url`: where this node's HTTP is, for others. `node_door`: what other nodes reach.
  virtual result<void> join(const std::string& url, caf::actor node_door) = 0;
  /// Nothing before `join`.
  virtual membership::membership_handle membership() const = 0;
  /// For an actor system that is to be in a cluster.
  static void configure(caf::actor_system_config& system);

  /// Links and beacons end first, so that nothing new comes in; then the actors.
  virtual void stop() = 0;
};

} // namespace candor::supervision
