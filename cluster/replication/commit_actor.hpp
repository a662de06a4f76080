/// The actor that owns the group commit: a thread of its own (it waits for the disk), one a disk.
/// It gathers what has come in while the last group was being synced, so that the disk's speed sets
/// the size of a group. Answers come in the order of the requests.
#pragma once

#include <atomic>
#include <memory>

#include <caf/all.hpp>

#include "cluster/replication/group_commit.hpp"
#include "cluster/transport/messages.hpp"

namespace candor::replication {

using append_request_ptr = std::shared_ptr<const append_request>;
/// Holds the error, if there was one: it stays in this process, and keeps its detail.
using append_result_ptr = std::shared_ptr<append_result>;
using opening_ptr = std::shared_ptr<result<shard_opening>>;

} // namespace candor::replication

// In one process only: a shard's owner and its log are never on different nodes.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::append_request_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::append_result_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::replication::opening_ptr)

CAF_BEGIN_TYPE_ID_BLOCK(candor_cluster, caf::id_block::candor_transport::end)
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::append_request_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::append_result_ptr))
CAF_ADD_TYPE_ID(candor_cluster, (candor::replication::opening_ptr))
CAF_ADD_ATOM(candor_cluster, candor::replication, open_shard_atom, "openshard")
CAF_ADD_ATOM(candor_cluster, candor::replication, barrier_atom, "barrier")
CAF_ADD_ATOM(candor_cluster, candor::replication, commit_group_atom, "commitgrp")
CAF_END_TYPE_ID_BLOCK(candor_cluster)

namespace candor::replication {

/// - an append: answered once durable, or with the error that befell it;
/// - open_shard: where the shard's log ends, and the epoch to append under;
/// - barrier: answered when everything that came before it has been answered.
using commit_handle =
    caf::typed_actor<caf::replies_to<append_request_ptr>::with<append_result_ptr>,
                     caf::replies_to<open_shard_atom, shard_id>::with<opening_ptr>,
                     caf::replies_to<barrier_atom>::with<barrier_atom>,
                     caf::reacts_to<commit_group_atom>>;

/// The handle with the number of entries that wait: whoever appends asks it first, and refuses its
/// own caller when the queue is full (`limits::commit_queue_entries`).
struct write_door {
  commit_handle actor;
  std::shared_ptr<std::atomic<std::size_t>> waiting;

  bool full() const noexcept;
};

/// Takes the group commit over.
write_door spawn_commit_actor(caf::actor_system& system, std::unique_ptr<group_commit> log);

} // namespace candor::replication
