/// The actors around the replicator. Its own runs on a thread of its own, takes appends from the
/// rooms, frames from other nodes, configurations and outcomes from the coordinator, and answers;
/// two more wait for the disk and for the coordinator, so that it never waits for either. It
/// gathers what has come in while the last group was being synced, so that the disk's speed sets
/// the size of a group. Answers to the appends of a shard come in the order of the requests.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <caf/all.hpp>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/replication/replicator.hpp"
#include "cluster/replication/shard_news.hpp"
#include "cluster/transport/messages.hpp"

namespace candor::replication {

using append_request_ptr = std::shared_ptr<const append_request>;
/// Holds the error, if there was one: it stays in this process, and keeps its detail.
using append_result_ptr = std::shared_ptr<append_result>;
using opening_ptr = std::shared_ptr<shard_opening>;

using configs_seen_ptr = std::shared_ptr<const std::vector<config_seen>>;

using shards_wanted_ptr = std::shared_ptr<const std::vector<shard_wanted>>;

/// A node can be reached, or no more (no door).
struct peer_seen {
  std::string node;
  caf::actor door;
};
using peer_seen_ptr = std::shared_ptr<const peer_seen>;

using done_ptr = std::shared_ptr<const result<void>>;

/// What a worker does on a thread of its own, where it may wait; what comes of it is then done on
/// the thread of whoever asked.
using outcome = std::function<void()>;
using work = std::function<outcome()>;
using work_ptr = std::shared_ptr<const work>;
using outcome_ptr = std::shared_ptr<const outcome>;

/// What a worker waits for.
enum class waits_for : std::uint8_t { disk, coordinator };

/// node -> node: peer_items; answered when it was handled, which gives credit for the next.
struct peer_frame {
  std::string node;
  std::string bytes;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, peer_frame& x) {
  return f(caf::meta::type_name("peer_frame"), x.node, x.bytes);
}

} // namespace candor::replication

// In one process only: a shard's owner and its log are never on different nodes.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::append_request_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::append_result_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::opening_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::configs_seen_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::shards_wanted_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::peer_seen_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::done_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::work_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::outcome_ptr)

CAF_BEGIN_TYPE_ID_BLOCK(candor_cluster, caf::id_block::candor_transport::end)
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::append_request_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::append_result_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::opening_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::configs_seen_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::shards_wanted_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::peer_seen_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::done_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::work_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::outcome_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::peer_frame))
CAF_ADD_ATOM(candor_cluster, candor::replication, open_shard_atom, "openshard")
CAF_ADD_ATOM(candor_cluster, candor::replication, shard_closed_atom, "closed")
CAF_ADD_ATOM(candor_cluster, candor::replication, renew_atom, "renew")
CAF_ADD_ATOM(candor_cluster, candor::replication, leave_atom, "leave")
CAF_ADD_ATOM(candor_cluster, candor::replication, left_atom, "left")
CAF_ADD_ATOM(candor_cluster, candor::replication, taken_atom, "taken")
CAF_ADD_ATOM(candor_cluster, candor::replication, flush_atom, "flush")
CAF_ADD_ATOM(candor_cluster, candor::replication, heartbeat_atom, "heartbeat")
CAF_END_TYPE_ID_BLOCK(candor_cluster)

namespace candor::replication {

/// - an append: answered once committed, or with the error that befell it;
/// - open_shard: answered when this node leads the shard and its tables hold all that is committed.
///   Whoever asked is sent (shard_closed, epoch) when that ends;
/// - a frame of another node; configurations; what the placement wants; peers;
/// - renew: lead the shard on in a term of at least the one that is given;
/// - leave: the process is to end; answered when no other node waits for it any more. Whoever asks
///   sets a deadline: it can be that nobody takes what is led here.
using replication_handle =
    caf::typed_actor<caf::replies_to<append_request_ptr>::with<append_result_ptr>,
                     caf::replies_to<open_shard_atom, shard_id>::with<opening_ptr>,
                     caf::replies_to<peer_frame>::with<taken_atom>,
                     caf::reacts_to<configs_seen_ptr>, caf::reacts_to<shards_wanted_ptr>,
                     caf::reacts_to<peer_seen_ptr>,
                     caf::replies_to<renew_atom, shard_id, std::uint64_t>::with<done_ptr>,
                     caf::replies_to<leave_atom>::with<left_atom>, caf::reacts_to<flush_atom>,
                     caf::reacts_to<heartbeat_atom>>;

/// What rooms see of it without a message, of each shard.
struct shard_progress {
  std::atomic<std::uint64_t> applied{0};   ///< up to here the tables hold what the log says
  std::atomic<std::uint64_t> destroyed{0}; ///< up to here erased keys are gone from every disk
  std::atomic<bool> holds{true};           ///< this disk may hold something of it
  std::atomic<disk_room> room{disk_room::ample}; ///< for new data, where it is led here
  std::atomic<std::uint64_t> generation{0};      ///< as in session_state
  std::atomic<std::int64_t> holds_all_of_ms{0};
};

/// The handle with the number of entries that wait: whoever appends asks it first, and refuses its
/// own caller when the queue is full (`limits::commit_queue_entries`).
struct write_door {
  replication_handle actor;
  std::shared_ptr<std::atomic<std::size_t>> waiting;
  std::shared_ptr<std::vector<shard_progress>> progress;
  std::shared_ptr<const leases> promises;
  std::shared_ptr<std::atomic<disk_room>> disk; ///< of this node, as found last

  bool full() const noexcept;
  /// Whoever appends new data asks first, and refuses with `disk_full` below `ample`; with `none`
  /// that goes for all data.
  disk_room room(shard_id shard) const noexcept;
  /// True while nobody but this node can lead the shard: ask it after reading what is answered.
  bool may_answer(shard_id shard, std::uint64_t term, millis monotonic) const {
    return promises->held(shard, term, monotonic);
  }
  /// Ask it before reading what a session is told.
  session_state for_sessions(shard_id shard) const {
    const auto& of = (*progress)[shard];
    millis held{of.holds_all_of_ms.load(std::memory_order_acquire)};
    return {of.generation.load(std::memory_order_relaxed), held};
  }
};

/// Does the work it is given and answers with the outcome; one thing at a time, in order.
using worker_handle = caf::typed_actor<caf::replies_to<work_ptr>::with<outcome_ptr>>;
using spawn_worker = std::function<worker_handle(caf::actor_system&, waits_for)>;

struct replication_surroundings {
  engine::engine& db;
  stores::user_keys& keys;
  coordination::coordinator& coordinator;
  std::shared_ptr<leases> promises;
  const clock& time;
  /// Called on the actor's thread with each configuration that this node learns.
  std::function<void(shard_id, const sharding::shard_config&)> on_config;
  /// Waits for the disk; called on the thread that does. Empty: there is always room.
  std::function<disk_room()> look_at_disk = {};
  /// Called once, on the actor's thread, when what the disk holds cannot be trusted any more.
  std::function<void(const error&)> on_damaged = {};
  /// Makes the two workers; empty: each with a thread of its own.
  spawn_worker make_worker = {};
};

/// Opens the disk's shards. Everything that `around` refers to must outlive the actors. Error: as
/// replicator::open.
result<write_door> spawn_replication(caf::actor_system& system, replication_surroundings around,
                                     replicator_options options);

} // namespace candor::replication
