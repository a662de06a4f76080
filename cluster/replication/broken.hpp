/// The protocol's broken variants: each leaves out one rule, and the simulator must find what that
/// breaks (tools/candor-sim, docs/replication.md has the table). A normal build has none; the build
/// makes one simulator for each by -DCANDOR_BROKEN=<variant> and compiles only replica.cpp and
/// leases.cpp anew. Must never be asked in a header: a variant lives in one translation unit.
#pragma once

#include <cstdint>

namespace candor::replication {

enum class variant : std::uint8_t {
  none,
  nosync,             ///< acknowledges before the disk is done
  lease_nowait,       ///< takes over while its own grant still holds
  wait_at_serve,      ///< takes over first and waits for its own grant only before it serves
  appoint_nowait,     ///< finding itself appointed, leads while its own grant still holds
  grant_lost,         ///< a restarted process forgets that it may have granted
  grant_oldterm,      ///< grants to the primary of an older term
  read_nolease,       ///< strong reads without grants
  forget_term,        ///< the term followed is not durable
  keep_id,            ///< a wiped disk counts as the one before
  shrink,             ///< a takeover leaves the old primary out below the minimum
  quorum,             ///< commits by a majority
  drop_early,         ///< a dropped member stops counting before the coordinator knows
  add_late,           ///< a learner counts only after its adding swap
  no_recon,           ///< serves without all members adopting its log
  no_commit_on_recon, ///< serves without committing the log that they adopted
  no_dedupe,          ///< a client's second attempt is a new event
};

#ifndef CANDOR_BROKEN
#define CANDOR_BROKEN none
#endif

constexpr bool broken(variant v) {
  return v != variant::none && v == variant::CANDOR_BROKEN;
}

/// The variant that replica.cpp was compiled as: for the simulated world, which is compiled once.
variant built_variant() noexcept;

} // namespace candor::replication
