/// A simulated disk: what was synced stays over a crash, what was not is gone. The engine that a
/// node's process opens on it is a view of it for as long as that process lives.
///
/// Faults: slow or hanging (the worker that carries out a node's disk jobs asks `busy_us`), full,
/// the last writes lost at a crash, rows whose bits flipped: they are told of as RocksDB's
/// checksums would, by `corrupt` when they are read. Must never be shared by two processes at once.
#pragma once

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
  /// Of the rows that a process would read again.
  bool flip(engine::table table, const std::string& key);

  /// What a process that crashed now would find.
  const engine::engine& durable() const { return *durable_; }
  const engine::engine& present() const { return *present_; }

  std::uint64_t syncs() const { return syncs_; }

private:
  friend class disk_engine;

  std::unique_ptr<engine::engine> durable_, present_;
  engine::batch unsynced_;
  std::set<std::pair<engine::table, std::string>> flipped_;
  bool full_ = false, failed_ = false;
  std::uint64_t syncs_ = 0;
};

/// A digest of the rows of one shard, all tables but the log: equal for copies at equal seq.
std::uint64_t digest_of(const engine::engine& db, std::uint16_t shard);

} // namespace candor::sim
