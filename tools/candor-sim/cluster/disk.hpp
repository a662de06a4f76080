/// A simulated disk: what was synced stays over a crash, what was not is gone. The engine that a
/// node's process opens on it is a view of it for as long as that process lives.
///
/// Faults: slow or hanging (the worker that carries out a node's disk jobs asks `busy_us`), full,
/// the last writes lost at a crash, rows whose bits flipped: they are told of as RocksDB's
/// checksums would, by `corrupt` when they are read, and by a failed write once a compaction met
/// them. Must never hand out a flipped row, nor be shared by two processes at once.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "storage/engine/engine.hpp"

namespace candor::sim {

class disk {
public:
  disk();

  /// For the process that starts now: all that was synced, and nothing else.
  std::unique_ptr<engine::engine> open();
  /// The process is gone: so is what it did not sync.
  void crash();
  /// An empty disk takes its place.
  void wipe();

  void set_full(bool full) { full_ = full; }
  /// A row that is there. It stays so until it is written anew, or the disk is wiped.
  bool flip(engine::table table, const std::string& key);
  /// Some row, by a number of the seed's; false where the disk is empty.
  bool flip_some(std::uint64_t which);
  bool spoilt() const { return !flipped_.empty(); }
  /// Compaction reads all rows: where some are flipped, writes fail from the next one on.
  void compact();
  /// Called whenever a process is told that a row is corrupt.
  std::function<void()> on_corrupt;

  /// What a process that crashed now would find.
  const engine::engine& durable() const { return *durable_; }
  const engine::engine& present() const { return *present_; }

  std::uint64_t syncs() const { return syncs_; }

private:
  friend class disk_engine;
  friend class disk_snapshot;

  using row = std::pair<engine::table, std::string>;

  result<void> scan_good(const engine::snapshot* state, engine::table from, std::string_view begin,
                         std::string_view end, const engine::visitor& visit) const;
  tl::unexpected<error> corrupt() const;
  void unflip(const engine::operation& written);

  std::unique_ptr<engine::engine> durable_, present_;
  engine::batch unsynced_;
  std::set<row> flipped_;
  bool full_ = false, failed_ = false, compaction_failed_ = false;
  std::uint64_t syncs_ = 0;
};

/// A digest of the rows of one shard, all tables but the log: equal for copies at equal seq.
std::uint64_t digest_of(const engine::engine& db, std::uint16_t shard);

} // namespace candor::sim
