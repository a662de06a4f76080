/// The write door without actors, for one node: everything real but the threads. Each call waits until
/// all that it caused is written and applied.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/replication/replicator.hpp"

namespace candor::test {

class local_log {
public:
  /// Leads every shard of `db` when it is made.
  local_log(engine::engine& db, stores::user_keys& keys, coordination::coordinator& coordinator,
            const clock& time, replication::replicator_options options);

  /// nullopt: this node cannot lead it now.
  std::optional<replication::shard_opening> opening(shard_id shard);
  replication::append_result commit(const replication::append_request& request);
  std::vector<replication::append_result>
  commit(const std::vector<replication::append_request>& requests);
  /// As time goes by.
  void tick();

  replication::replicator& core() { return *core_; }

private:
  void run();

  engine::engine& db_;
  stores::user_keys& keys_;
  coordination::coordinator& coordinator_;
  std::unique_ptr<replication::leases> promises_;
  std::unique_ptr<replication::replicator> core_;
};

/// The first record of every shard: led by `self` alone. Does nothing where there is one already.
void make_shards(coordination::coordinator& with, shard_count shards, const sharding::member& self);

} // namespace candor::test
