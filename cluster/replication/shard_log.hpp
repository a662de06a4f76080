/// What one disk keeps of its shards besides their tables: the log, and a few rows of its own that
/// are never replicated (the term it follows, up to where entries are applied, keys that are still
/// to be destroyed, whether a copy is being put here). Makes the operations for the batches that the
/// replicator writes, and reads the log back. Must never write by itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cluster/replication/entry.hpp"
#include "cluster/replication/replica.hpp"
#include "storage/engine/engine.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::replication {

/// Up to where a shard's tables hold what its log says, and the log time there.
struct applied_mark {
  position at;
  timestamp time;
};

/// A key that a committed entry destroys, until it is destroyed on this disk.
struct doomed_key {
  std::uint64_t seq = 0; ///< of the entry
  stores::key_ref key;
  friend bool operator==(const doomed_key&, const doomed_key&) = default;
};

/// All that a disk knows of a shard when its process starts.
struct found_shard {
  std::uint64_t term = 0;
  applied_mark applied;
  position end;
  std::vector<entry> unapplied; ///< ascending, from after `applied` to `end`
  std::vector<doomed_key> doomed;
  bool installing = false; ///< a copy was being put here: what lies in the tables is not whole
};

/// Error: `corrupt` (the log has a gap or a false entry behind what is applied), and the engine's.
result<found_shard> read_shard(const engine::engine& db, shard_id shard);

/// Where an encoded entry stands, without decoding the rest. Error: `corrupt`.
result<position> position_of(std::string_view bytes);

/// Entries from `from` on, at least one where there is one, at most about `bytes`. Error: `corrupt`,
/// and the engine's.
result<std::vector<log_record>> read_log(const engine::engine& db, shard_id shard,
                                         std::uint64_t from, std::size_t bytes);

// -- rows of the disk's own ------------------------------------------------------------------------

engine::operation put_term(shard_id shard, std::uint64_t term);
engine::operation put_applied(shard_id shard, const applied_mark& mark);
engine::operation put_doomed(shard_id shard, const doomed_key& key);
engine::operation erase_doomed(shard_id shard, const doomed_key& key);
engine::operation put_installing(shard_id shard);
engine::operation erase_installing(shard_id shard);
engine::operation put_record(shard_id shard, const log_record& record);
/// Drops the entries with from <= seq < to.
engine::operation cut_log(shard_id shard, std::uint64_t from, std::uint64_t to);
/// Everything of the shard on this disk but the term, in every table.
engine::batch erase_shard(shard_id shard);

/// The mark as a snapshot of the tables has it.
std::string applied_key(shard_id shard);
result<applied_mark> decode_applied(std::string_view bytes);

} // namespace candor::replication
