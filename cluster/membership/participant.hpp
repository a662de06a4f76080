/// One node's part in the cluster: registers it, follows what the coordinator holds, tells the rest
/// of the node of it, and, on the one node that leads the placement, says where shards should lie.
/// The core of membership_actor; no actor, no thread of its own.
///
/// Guarantees:
/// - Of two processes that go by one name, one is told `conflict` and must stop: the second, unless
///   it has the disk of the first or the first cannot object in time. A restart keeps what an
///   operator said of the node (draining).
/// - Every write is a compare-and-swap against what it was computed from: two leaders of the
///   placement at once do no harm. Who leads is judged by this node's monotonic clock alone.
/// - A new cluster is made once, when enough nodes are there, and never over records that exist.
/// - When the coordinator does not answer, all that is known stays, and nothing is decided.
///
/// Must never be needed for a failover, nor write a shard's configuration that exists.
///
/// Not thread-safe: whoever owns it calls it from one thread, on which the coordinator's calls
/// wait. Only `on_hint` comes from another.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/membership/view.hpp"
#include "cluster/replication/shard_news.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/limits.hpp"

namespace candor::membership {

struct participant_options {
  sharding::node_record self; ///< its state counts only where the node has no record yet
  shard_count shards;
  std::uint32_t replicas = 3;
  std::uint32_t in_sync_min = 2;
  std::uint32_t cluster_nodes = 3; ///< a new cluster is made when so many are there
  bool alone = false; ///< nobody else has this coordinator: no need to show that one lives
  millis replace_after = limits::replace_after;
  millis replace_after_at_min = limits::replace_after_at_min;
};

struct participant_surroundings {
  coordination::coordinator& coordinator;
  const clock& time;
  /// Whether another node is heard of (by its beacons).
  std::function<bool(const std::string& node)> alive;
  /// "host:port" of every other node, by name, when any of it changed.
  std::function<void(std::map<std::string, std::string>)> on_peers;
  /// The shards of which something changed.
  std::function<void(std::vector<replication::shard_wanted>)> on_wanted;
  std::function<void(std::vector<replication::config_seen>)> on_configs;
  /// From any thread: something may be new, call `hear` soon. May be empty.
  std::function<void()> on_hint;
  /// What the node's record says of its disk. May be empty.
  std::function<bool()> low_on_disk = {};
  /// Whether this disk may hold anything of the shard; told to all in the node's record, so that an
  /// erasure is not final before this disk has destroyed its keys. Empty: that is not known.
  std::function<bool(shard_id)> holds = {};
  // For whoever writes down what happens; each may be empty.
  std::function<void(const sharding::node_record&)> on_node = {}; ///< new, or changed
  std::function<void(bool answers)> on_coordinator = {};
  std::function<void(const std::string& node)> on_placement_leader = {};
};

struct move_done {
  std::vector<std::string> before;
  std::vector<std::string> after; ///< the preferred primary first
};

struct rebalance_done {
  std::vector<sharding::replica_move> moves;
  std::size_t ideal = 0; ///< how many would have to move at least
  std::size_t shards_written = 0;
};

struct forget_done {
  sharding::node_record record; ///< of the node, and what its disk held as far as it said
  bool changed = false;         ///< false: it was forgotten already
};

/// The view as a value, for whoever shows it.
struct snapshot {
  struct node {
    sharding::node_record record;
    bool alive = false;
    drain_progress left;
  };
  std::vector<node> nodes;
  std::map<shard_id, sharding::shard_config> configs;
  std::map<shard_id, std::vector<sharding::member>> wanted;
  std::string placement_leader;               ///< empty: none is known
  std::optional<timestamp> unreachable_since; ///< nothing: the coordinator answered when last asked
  std::optional<timestamp> answered_at;       ///< last
};

class participant {
public:
  participant(participant_options options, participant_surroundings around);
  participant(const participant&) = delete;
  ~participant();

  /// Every limits::membership_tick or so. Error: `conflict` (another process has this name),
  /// `config_invalid` (the cluster has another number of shards): the node must not go on. That the
  /// coordinator does not answer is no error.
  result<void> tick();
  /// What watches told; asks the coordinator nothing. Error: as `tick`.
  result<void> hear();

  // What operators ask, on any node. Error: `not_found` (no such node or shard), `conflict` (see
  // the detail), and the coordinator's.

  /// False: it was so already.
  result<bool> drain(const std::string& node);
  result<bool> undrain(const std::string& node);
  /// `to` shall lead the shard.
  result<move_done> move(shard_id shard, const std::string& to);
  result<rebalance_done> rebalance(bool dry_run);
  /// The node's disk is no more: nothing waits for it. A node that comes back all the same
  /// registers as a new one, and holds what it holds. Error: `conflict` also where the node is
  /// heard of, or counts for a shard or should.
  result<forget_done> forget(const std::string& node);

  bool leads_placement() const;
  /// Error: `not_found`.
  result<drain_progress> drained(const std::string& node) const;
  const view& known() const { return view_; }
  membership::snapshot snapshot() const;

private:
  /// Filled by watches, from their threads.
  struct inbox;

  millis now() const { return around_.time.monotonic(); }
  template <class T>
  result<T> heard(result<T> answer);
  void unreachable(const error& why);
  void reachable();

  void take(std::string_view key, const coordination::versioned& now);
  void take_hints();
  void tell();
  result<void> check();

  result<void> work();
  result<void> list_all();
  result<void> register_self();
  result<bool> name_is_free(const sharding::node_record& before, std::uint64_t version);
  result<void> object_to_claims();
  std::optional<std::set<shard_id>> held_here() const;
  result<void> tell_of_disk();
  result<bool> write(std::vector<coordination::change> changes);
  result<std::pair<sharding::node_record, bool>>
  change_record(const std::string& node,
                const std::function<result<bool>(sharding::node_record&)>& edit);
  result<bool> set_state(const std::string& node, sharding::node_state state);

  bool alive(const std::string& node) const;
  void note_the_dead();
  bool is_lost(const std::string& node) const;
  placed_nodes usable_nodes() const;
  sharding::placement_question question(const placed_nodes& nodes) const;

  result<void> keep_leading();
  result<bool> make_cluster();
  result<void> keep_placed();
  std::vector<coordination::change> changes_towards(const sharding::placement& wanted) const;

  participant_options options_;
  participant_surroundings around_;
  view view_;
  bool registered_ = false;
  struct claim {
    sharding::node_record before; ///< the record that this node would replace
    std::uint64_t version = 0;
    millis since{0};
  };
  std::optional<claim> claim_;       ///< of this node, to its own name
  std::uint64_t claim_objected_ = 0; ///< version of the last claim of another that is done with
  std::optional<error> refused_;     ///< why the node must not go on

  millis list_at_{0}, beat_at_{0};
  millis leader_changed_{0}; ///< when the leader's record was last seen to change
  std::map<std::string, millis> dead_since_;
  std::size_t awaited_told_ = 0; ///< nodes there, when that they are too few was logged

  millis again_at_{0}, pause_ = limits::membership_pause_min;
  std::optional<timestamp> unreachable_since_, answered_at_;

  std::map<std::string, std::string> peers_told_;
  std::map<std::string, sharding::node_record> nodes_told_;
  std::map<shard_id, replication::shard_wanted> wanted_told_;
  bool wanted_may_differ_ = false;
  std::set<shard_id> configs_changed_;

  std::shared_ptr<inbox> inbox_;
  std::vector<std::shared_ptr<void>> watches_; ///< last: released first
};

} // namespace candor::membership
