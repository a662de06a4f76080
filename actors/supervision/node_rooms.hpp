/// All rooms of one node over what lies beneath them: spawned in the order of dependence, watched,
/// and taken down in the reverse order. `node` puts them on RocksDB, the machine's clock and etcd,
/// with a gateway in front; the simulator on memory and virtual time, with clients in front. A
/// profile actor that fails is started anew and takes its shard over from the log; any other room
/// that fails is told to `stop_asked`, since half a node is worse than none. Must never touch a
/// file but the two small ones of the cluster side (the disk's name, the incarnation).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/messages/messages.hpp"
#include "actors/notification/mail.hpp"
#include "actors/supervision/cluster_side.hpp"
#include "actors/supervision/config/config.hpp"
#include "actors/topic_filter/live_filter.hpp"
#include "actors/transcription/transcriber.hpp"

namespace candor::supervision {

/// All that is referred to must outlive the rooms.
struct node_ground {
  caf::actor_system& system;
  engine::engine& db;
  stores::user_keys& keys;
  const stores::node_secrets& secrets;
  clock& time;
  rng& random;
  const config::checked& files;
  std::shared_ptr<topic_filter::live_filter> filter;
  /// One for each sending thread; empty: mails wait as intents.
  std::function<std::unique_ptr<notification::mailer>()> make_mailer;
  std::function<disk_room()> look_at_disk; ///< waits for the disk; empty: there is always room
  cluster_edges edges;
  /// Called once: every shard has logged the policies, or one refused.
  std::function<void(result<void>)> activated;
  /// From any thread: an operator asked for an end, or a room failed for good (then with an error).
  std::function<void(result<void>)> stop_asked;
};

/// Of a configuration that names one.
transcription::transcriber_options transcriber_of(const config::node_config& config);

class node_rooms {
public:
  virtual ~node_rooms() = default;

  /// Opens the cluster side; no room is there yet. Error: as cluster_side::open.
  static result<std::unique_ptr<node_rooms>> open(const config::node_config& config,
                                                  node_ground ground);

  virtual void spawn() = 0;
  /// From here on other nodes may ask. `url`: where this node's HTTP is.
  virtual result<void> join(const std::string& url) = 0;

  /// Two steps, between which the gateway lets go of the rooms: first they are told to end, then
  /// what lies beneath them ends too.
  virtual void end_rooms() = 0;
  virtual void end_cluster_side() = 0;

  virtual const rooms& doors() const = 0;
  virtual std::shared_ptr<const shard_directory> shards() const = 0;
  virtual const cluster_side& cluster() const = 0;
  virtual policy_handle policy() const = 0;
  /// Every actor of this node that is not another's own, the one that watches first.
  virtual std::vector<caf::actor> actors() const = 0;
};

} // namespace candor::supervision
