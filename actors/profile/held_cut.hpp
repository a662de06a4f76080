/// One shard's state at a cut, held by its primary until the backup has read it, part by part.
/// Reads only; must never hold up the shard.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cluster/replication/shard_log.hpp"
#include "storage/backup/rows.hpp"
#include "storage/engine/engine.hpp"
#include "storage/stores/audit_log.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::profile {

struct backup_part {
  std::string bytes; ///< backup::encode
  std::uint64_t count = 0;
  std::string next; ///< where the next one begins; empty: this was the last
};

class held_cut {
public:
  /// Takes the snapshot. What is to be in it must be applied. Error: `corrupt`, and the engine's.
  static result<held_cut> take(shard_id shard, const engine::engine& db);

  const replication::applied_mark& mark() const noexcept { return mark_; }
  const stores::audit_head& audit() const noexcept { return audit_; }

  /// Rows from `cursor` on (empty: from the beginning), about `bytes` of them, at least one.
  /// Error: `bad_value` (no cursor that a part named), and the engine's.
  result<backup_part> read(const std::string& cursor, std::size_t bytes) const;

private:
  held_cut(shard_id shard, std::unique_ptr<engine::snapshot> state)
    : shard_{shard}
    , state_{std::move(state)} {}

  shard_id shard_;
  std::unique_ptr<engine::snapshot> state_;
  replication::applied_mark mark_;
  stores::audit_head audit_;
};

/// Pages of the shard's keys as they are now, after the one that `cursor` names. Error:
/// `bad_value`, and the key store's.
result<backup_part> read_pages(shard_id shard, stores::user_keys& keys, const std::string& cursor,
                               std::size_t bytes);

} // namespace candor::profile
