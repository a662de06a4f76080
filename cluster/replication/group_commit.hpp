/// The one door for writes. Rooms hand in drafts for their shards; the group commit places, seals,
/// chains and writes them, many shards together in one synced batch, and answers once they are
/// durable on every member that must hold them. On one node that is the node itself.
///
/// Guarantees: an answer means durable; entries of a shard are applied in the order of their seq,
/// without gaps; no (key, nonce) pair is used twice, since every opening of the log begins a new
/// term; after a failed write everything handed in for that shard under the same epoch fails too,
/// so that nothing is built on what may not be there. Must never interpret a row.
///
/// Not thread-safe: its actor (commit_actor.hpp) owns it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/replication/entry.hpp"
#include "cluster/sharding/shard_map.hpp"
#include "storage/base/clock.hpp"

namespace candor::replication {

/// What a shard's owner needs to know when it takes over.
struct shard_opening {
  std::uint64_t epoch = 0; ///< to be named with every append
  std::uint64_t term = 0;
  std::uint64_t seq = 0; ///< of the last committed entry
  log_clock time;
  stores::audit_head audit;
};

struct append_request {
  shard_id shard = 0;
  std::uint64_t epoch = 0;
  std::vector<draft> drafts; ///< appended one after the other, all or none
};

using append_result = result<std::vector<committed>>;

struct group_commit_options {
  sharding::member self;
  shard_count shards;
  std::uint64_t log_kept_bytes = 1u << 20; ///< per shard; on one node nobody catches up from it
};

class group_commit {
public:
  /// Appoints this node primary of every shard with a new term and reads where each log ends. All
  /// referenced objects must outlive it. Error: `corrupt` (a log's tail), `conflict` (another node
  /// leads), and the engine's.
  static result<std::unique_ptr<group_commit>> open(engine::engine& db, stores::user_keys& keys,
                                                    coordination::coordinator& coordinator,
                                                    const clock& time,
                                                    group_commit_options options);

  /// One synced batch for all requests. One answer each, in order.
  std::vector<append_result> commit(std::span<const append_request* const> requests);

  /// After a failed commit this begins a new term first. Error: as `open`, and `read_only` while
  /// the disk takes no writes.
  result<shard_opening> opening(shard_id shard);

private:
  struct shard_state {
    sharding::shard_config config;
    std::uint64_t epoch = 1;
    std::uint64_t seq = 0;
    chain_hash chain{};
    timestamp time;
    stores::audit_head audit;
    std::uint64_t bytes_since_mark = 0;
    std::uint64_t mark = 0; ///< seq up to which the next truncation cuts
  };

  group_commit(engine::engine& db, stores::user_keys& keys, coordination::coordinator& coordinator,
               const clock& time, group_commit_options options)
    : db_{db}
    , keys_{keys}
    , coordinator_{coordinator}
    , clock_{time}
    , options_{std::move(options)} {}

  result<void> take_over();
  result<void> appoint_self();
  result<void> read_tails();
  /// Places one request's drafts into `batch`, advancing `state`.
  result<std::vector<committed>> place(const append_request& request, shard_state& state,
                                       engine::batch& batch);
  result<committed> place(const draft& from, shard_id shard, shard_state& state,
                          engine::batch& batch);

  engine::engine& db_;
  stores::user_keys& keys_;
  coordination::coordinator& coordinator_;
  const clock& clock_;
  group_commit_options options_;
  std::vector<shard_state> shards_;
  bool failed_ = false; ///< the last write did; its outcome is unknown
};

} // namespace candor::replication
