/// The actor around a participant: a thread of its own, since the coordinator's calls wait. It
/// ticks, looks sooner when a watch tells of something, and does what operators ask. Guarantees:
/// every call of `around` comes from its thread; `on_refused` comes at most once, and nothing after
/// it but answers to operators.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <caf/all.hpp>

#include "cluster/membership/participant.hpp"
#include "cluster/replication/replication_actor.hpp" // its type ids come before ours

namespace candor::membership {

using changed_ptr = std::shared_ptr<const result<bool>>;
using moved_ptr = std::shared_ptr<const result<move_done>>;
using rebalanced_ptr = std::shared_ptr<const result<rebalance_done>>;
using forgotten_ptr = std::shared_ptr<const result<forget_done>>;
using snapshot_ptr = std::shared_ptr<const snapshot>;

} // namespace candor::membership

// In one process only: an operator's call is answered by the node that it came to.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::membership::changed_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::membership::moved_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::membership::rebalanced_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::membership::forgotten_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::membership::snapshot_ptr)

CAF_BEGIN_TYPE_ID_BLOCK(candor_membership, caf::id_block::candor_cluster::end)
CAF_ADD_TYPE_ID(candor_membership, (candor::membership::changed_ptr))
CAF_ADD_TYPE_ID(candor_membership, (candor::membership::moved_ptr))
CAF_ADD_TYPE_ID(candor_membership, (candor::membership::rebalanced_ptr))
CAF_ADD_TYPE_ID(candor_membership, (candor::membership::snapshot_ptr))
CAF_ADD_TYPE_ID(candor_membership, (candor::membership::forgotten_ptr))
CAF_ADD_ATOM(candor_membership, candor::membership, look_atom, "look")
CAF_ADD_ATOM(candor_membership, candor::membership, hint_atom, "hint")
CAF_ADD_ATOM(candor_membership, candor::membership, drain_atom, "drain")
CAF_ADD_ATOM(candor_membership, candor::membership, undrain_atom, "undrain")
CAF_ADD_ATOM(candor_membership, candor::membership, move_atom, "move")
CAF_ADD_ATOM(candor_membership, candor::membership, rebalance_atom, "rebalance")
CAF_ADD_ATOM(candor_membership, candor::membership, snapshot_atom, "snapshot")
CAF_ADD_ATOM(candor_membership, candor::membership, forget_atom, "forget")
CAF_END_TYPE_ID_BLOCK(candor_membership)

namespace candor::membership {

/// - drain, undrain a node; move a shard to a node that shall lead it; rebalance (true: dry run);
/// - forget a node whose disk is no more;
/// - a snapshot: in it, what a draining node still has.
/// An answer may take as long as the coordinator's deadline, a few times over.
using membership_handle =
    caf::typed_actor<caf::reacts_to<look_atom>, caf::reacts_to<hint_atom>,
                     caf::replies_to<drain_atom, std::string>::with<changed_ptr>,
                     caf::replies_to<undrain_atom, std::string>::with<changed_ptr>,
                     caf::replies_to<move_atom, shard_id, std::string>::with<moved_ptr>,
                     caf::replies_to<rebalance_atom, bool>::with<rebalanced_ptr>,
                     caf::replies_to<forget_atom, std::string>::with<forgotten_ptr>,
                     caf::replies_to<snapshot_atom>::with<snapshot_ptr>>;

/// `on_refused`: the node must not go on, for this reason. What `around` refers to must outlive the
/// actor; its `on_hint` is set here.
membership_handle spawn_membership(caf::actor_system& system, participant_options options,
                                   participant_surroundings around,
                                   std::function<void(const error&)> on_refused);

} // namespace candor::membership
