/// A whole cluster of real actors in virtual time, from one seed: nodes, clients, faults, and the
/// checks of what the product promises.
///
/// Checked on the way: a strong read sees every event acknowledged before it and none twice; an
/// event is refused only for a reason that holds; nothing said to the assistant is learned before
/// the date or before the person was told; an erased person is not read again. At the end, after
/// all faults: everything settles in bounded time; every acknowledged event is there, once; copies
/// of a shard are equal; the audit chains verify and hold every receipt; keys of the erased are
/// gone on every disk; the ledger has one line for each person, version and channel, and its mails
/// are those that the mail server took; no campaign spent more than its budget, nor forgot what it
/// spent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/candor-sim/cluster/scenario.hpp"

namespace candor::sim {

struct cluster_row {
  std::int64_t at_us = 0;
  std::string node;
  std::string what;
};

struct cluster_options {
  std::uint64_t seed = 1;
  bool trace = false;    ///< rows of what happens
  bool messages = false; ///< and of every message
  /// Instead of those that the seed draws.
  std::optional<std::vector<fault>> faults;
  /// Instead of the scenario's.
  std::optional<std::int64_t> load_us;
};

struct cluster_outcome {
  std::uint64_t hash = 0; ///< over every message, and the state at the end
  std::string violated;   ///< empty: nothing
  std::string detail;
  std::vector<fault> faults;
  std::vector<cluster_row> rows;
  std::int64_t simulated_us = 0;
  std::int64_t violated_us = 0; ///< since the load began
  std::uint64_t messages = 0, events = 0, acknowledged = 0, withheld = 0, reads = 0, mails = 0,
                ads = 0, erased = 0, leaderships = 0, given_up = 0, session_reads = 0, drained = 0;
};

/// What is read once for all runs: lexica, regions.
class cluster_files;
std::shared_ptr<const cluster_files> load_cluster_files(const std::filesystem::path& configs);

cluster_outcome run_cluster_world(const scenario& what, const cluster_files& files,
                                  const cluster_options& options);

/// Leaves out faults, then shortens the load, while the same check still fails.
cluster_outcome shrink_cluster(const scenario& what, const cluster_files& files,
                               const cluster_options& options, const cluster_outcome& found);

} // namespace candor::sim
