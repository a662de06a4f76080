#include "actors/admin/cluster_report.hpp"

#include <algorithm>

namespace candor::admin {

namespace {

using nlohmann::json;

json names(const std::vector<sharding::member>& members) {
  auto list = json::array();
  for (const auto& m : members)
    list.push_back(m.node);
  return list;
}

json shard_line(shard_id shard, const cluster_facts& facts) {
  json line = {{"shard", shard}, {"serving", false}, {"term", 0}};
  if (auto c = facts.known.configs.find(shard); c != facts.known.configs.end()) {
    line["term"] = c->second.term;
    line["version"] = c->second.version;
    line["primary"] = c->second.primary.node;
    line["in_sync"] = names(c->second.in_sync);
    line["in_sync_min"] = c->second.in_sync_min;
  }
  if (auto w = facts.known.wanted.find(shard); w != facts.known.wanted.end())
    line["wanted"] = names(w->second);
  auto answer = facts.answered.find(shard);
  if (answer == facts.answered.end())
    return line;
  const auto& s = answer->second;
  line["serving"] = true;
  // The primary knows of its own term before the coordinator's news are here.
  line["term"] = std::max(line["term"].get<std::uint64_t>(), s.term);
  line["seq"] = s.seq;
  line["log_time"] = format_time(s.log_time);
  line["policies"] = s.policies;
  line["users_cached"] = s.users_cached;
  line["audit"] = {{"entries", s.audit_entries}, {"head", s.audit_hash}};
  line["imports_open"] = s.imports_open;
  return line;
}

json node_line(const membership::snapshot::node& n, const cluster_facts& facts) {
  std::size_t led = 0, in_sync = 0, held = 0;
  auto is_it = [&](const sharding::member& m) {
    return m.node == n.record.name && m.disk_id == n.record.disk_id;
  };
  for (const auto& [shard, c] : facts.known.configs) {
    auto counts = std::ranges::any_of(c.in_sync, is_it);
    auto wanted = facts.known.wanted.find(shard);
    led += is_it(c.primary);
    in_sync += counts;
    held += counts ||
            (wanted != facts.known.wanted.end() && std::ranges::any_of(wanted->second, is_it));
  }
  auto draining = n.record.state == sharding::node_state::draining;
  return {{"name", n.record.name},
          {"zone", n.record.zone},
          {"url", n.record.http},
          {"state", !n.alive   ? "down"
                    : draining ? "draining"
                               : "active"},
          {"disk_id", n.record.disk_id},
          {"incarnation", n.record.incarnation},
          {"started_at", format_time(n.record.started_at)},
          {"low_on_disk", n.record.low_on_disk},
          {"led", led},
          {"held", held},
          {"in_sync", in_sync}};
}

bool is_whole(const json& shard, std::size_t nodes) {
  if (!shard["serving"].get<bool>())
    return false;
  auto wanted = shard.value("wanted", json::array()).size();
  return shard.value("in_sync", json::array()).size() >= std::min(wanted, nodes);
}

} // namespace

json report(const cluster_facts& facts) {
  auto nodes = json::array(), shards = json::array();
  auto healthy = true;
  for (const auto& n : facts.known.nodes) {
    nodes.push_back(node_line(n, facts));
    healthy &= n.alive && !n.record.low_on_disk;
  }
  for (std::size_t i = 0; i < facts.shards; ++i) {
    shards.push_back(shard_line(static_cast<shard_id>(i), facts));
    healthy &= is_whole(shards.back(), nodes.size());
  }
  json made = {{"node", facts.node}, {"nodes", std::move(nodes)}, {"shards", std::move(shards)}};
  if (!facts.cluster.empty()) {
    made["cluster"] = facts.cluster;
    made["coordinator"] = {{"reachable", !facts.known.unreachable_since},
                           {"endpoints", facts.coordinator}};
    if (facts.known.unreachable_since)
      made["coordinator"]["unreachable_since"] = format_time(*facts.known.unreachable_since);
    made["placement_leader"] = facts.known.placement_leader;
    healthy &= !facts.known.unreachable_since;
  }
  made["healthy"] = healthy;
  return made;
}

} // namespace candor::admin
