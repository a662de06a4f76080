/// The arguments of the verbs that change who leads and who holds what: drain, undrain,
/// forget, move, rebalance. Guarantees: what comes out is well formed and nothing unknown was
/// given; whether such a node or shard is there is for the verb to ask.
#pragma once

#include <cstdint>
#include <string>

#include "actors/admin/arguments.hpp"
#include "storage/base/ids.hpp"

namespace candor::admin {

/// `{"node":"node-2"}`, of drain, undrain and forget.
result<std::string> read_node(arguments& given);

struct move_order {
  shard_id shard = 0;
  std::string node; ///< who is to lead it
};

/// `{"shard":17,"node":"node-2"}`. Error: `not_found` for a shard of `shards` or more.
result<move_order> read_move(arguments& given, std::size_t shards);

/// `{"dry_run":true}`; false where it is left out.
result<bool> read_rebalance(arguments& given);

} // namespace candor::admin
