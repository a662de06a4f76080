#include "actors/admin/cluster_arguments.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace candor::admin {

namespace {

/// As the configuration allows it: it stands in keys of the coordinator.
result<std::string> node_name(arguments& given) {
  CANDOR_TRY(name, given.text("node"));
  auto good = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  if (!good)
    return fail(errc::bad_value, "node is a node's name: 1 to 64 letters, digits, -, _ or .");
  return std::move(name);
}

} // namespace

result<std::string> read_node(arguments& given) {
  CANDOR_TRY(name, node_name(given));
  CANDOR_TRY_VOID(given.all_known());
  return std::move(name);
}

result<move_order> read_move(arguments& given, std::size_t shards) {
  CANDOR_TRY(shard, given.number("shard", 0xffff));
  CANDOR_TRY(name, node_name(given));
  CANDOR_TRY_VOID(given.all_known());
  if (shard >= shards)
    return fail(errc::not_found,
                fmt::format("there is no shard {}; they are 0 to {}", shard, shards - 1));
  return move_order{static_cast<shard_id>(shard), std::move(name)};
}

result<bool> read_rebalance(arguments& given) {
  CANDOR_TRY(dry_run, given.truth("dry_run"));
  CANDOR_TRY_VOID(given.all_known());
  return dry_run;
}

} // namespace candor::admin
