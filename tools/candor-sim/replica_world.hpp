/// A cluster of replicas of one shard in virtual time: nodes, disks, a network, a coordinator,
/// clients and faults, all from one seed. The replicas and leases are the real ones
/// (cluster/replication); what is simulated is only what they are handed.
///
/// Guarantees: the same seed and options give the same run, to the last event. What it checks:
/// no acknowledged event is missing from a member that may lead, the committed log never changes
/// and is the same everywhere, no event stands in it twice, a strong read sees every event
/// acknowledged before it, one leader a term, and after the last fault everything serves and is
/// equal in bounded time. Must never ask a clock or a random device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace candor::sim::one_shard {

/// What happens to the cluster from outside.
enum class fault_kind : std::uint8_t {
  crash,       ///< of a process: what was not synced is lost
  wipe,        ///< the same, and the disk comes back empty
  pause,       ///< the process stands still and goes on
  isolate,     ///< no packet from or to the node
  cut_one_way, ///< from node to other
  cut_pair,    ///< both ways, others hear both
  cut_data,    ///< only what the replicas say, beacons pass
  cut_beacons, ///< only beacons
  cut_coordinator,
  coordinator_down,
  slow_disk,
  slow_network, ///< long delays, so that messages overtake each other
  place,        ///< the placement wants other members
  hand_off,
  fence,
  cut_log, ///< the log is shortened as far as it may be, or to nothing
};

/// A fault comes at its time, or at the first such moment after it, to the node concerned: the
/// windows in which a rule matters are short.
enum class moment : std::uint8_t { at_once, candidate, asks, reconciling, serving, changed };

struct fault {
  fault_kind kind;
  moment when = moment::at_once;
  std::int64_t at_us = 0;
  std::int64_t for_us = 0;
  int node = 0; ///< -1: whoever leads then
  int other = 0;
  std::uint64_t chance = 0;
};

struct world_options {
  std::uint64_t seed = 1;
  std::string profile = "mixed";
  bool trace = false;
  /// Where set: instead of the faults that the seed makes.
  std::optional<std::vector<fault>> faults;
};

struct row {
  std::int64_t at_us = 0;
  std::string node;
  std::string what;
};

struct outcome {
  std::uint64_t hash = 0; ///< over every event of the run
  std::string violated;   ///< empty: nothing
  std::string detail;
  std::int64_t ended_us = 0;
  std::vector<fault> faults; ///< those that were begun
  std::vector<row> rows;     ///< with options.trace
  std::uint64_t events = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t strong_reads = 0;
  std::uint64_t copy_reads = 0; ///< what a copy says to hold, held against what was acknowledged
  std::uint64_t terms = 0;
};

outcome run_replica_world(const world_options& options);

/// Leaves out faults while the same invariant still breaks; the outcome has the trace.
outcome shrink(const world_options& options, const outcome& found);

bool known_profile(const std::string& name);

std::string to_string(const fault& f);

} // namespace candor::sim::one_shard
