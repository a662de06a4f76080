#include "actors/supervision/chronicle.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace candor::supervision {

namespace {

using json = nlohmann::ordered_json;

json names(const std::vector<sharding::member>& members) {
  auto list = json::array();
  for (const auto& m : members)
    list.push_back(m.node);
  return list;
}

/// In another order they are the same.
bool same_members(std::vector<sharding::member> a, std::vector<sharding::member> b) {
  auto by_name = [](const sharding::member& m) { return std::tie(m.node, m.disk_id); };
  std::ranges::sort(a, {}, by_name);
  std::ranges::sort(b, {}, by_name);
  return a == b;
}

void write(cluster_events& to, const clock& time, const char* name, json what) {
  json data = {{"at", format_time(time.now())}};
  data.update(what);
  to.add(name, data.dump());
}

} // namespace

void chronicle::config(shard_id shard, const sharding::shard_config& now) {
  std::lock_guard guard{mutex_};
  auto it = configs_.find(shard);
  auto is_first = it == configs_.end();
  if (!is_first && now.version < it->second.version)
    return; // late: what came after it was told already
  auto before = is_first ? sharding::shard_config{} : it->second;
  configs_[shard] = now;
  if (is_first || now.term != before.term || now.primary != before.primary)
    write(*to_, time_, "primary_changed",
          {{"shard", shard},
           {"term", now.term},
           {"primary", now.primary.node},
           {"before", is_first ? json{} : json(before.primary.node)},
           {"in_sync", names(now.in_sync)}});
  else if (!same_members(now.in_sync, before.in_sync))
    write(*to_, time_, "in_sync_changed",
          {{"shard", shard}, {"in_sync", names(now.in_sync)}, {"before", names(before.in_sync)}});
}

void chronicle::wanted(shard_id shard, const std::vector<sharding::member>& now) {
  std::lock_guard guard{mutex_};
  auto it = wanted_.find(shard);
  if (it != wanted_.end() && it->second != now)
    write(*to_, time_, "placement_changed",
          {{"shard", shard}, {"nodes", names(now)}, {"before", names(it->second)}});
  wanted_[shard] = now;
}

void chronicle::link_up(const std::string& node) {
  std::lock_guard guard{mutex_};
  if (linked_.insert(node).second)
    write(*to_, time_, "node_linked", {{"node", node}});
}

void chronicle::link_down(const std::string& node, const std::string& why) {
  std::lock_guard guard{mutex_};
  if (linked_.erase(node) > 0)
    write(*to_, time_, "node_lost", {{"node", node}, {"why", why}});
}

void chronicle::node(const sharding::node_record& now) {
  std::lock_guard guard{mutex_};
  auto it = nodes_.find(now.name);
  if (it == nodes_.end() || it->second.incarnation != now.incarnation)
    write(*to_, time_, "node_registered",
          {{"node", now.name},
           {"url", now.http},
           {"zone", now.zone},
           {"state", name_of(now.state)},
           {"incarnation", now.incarnation}});
  else if (it->second.state != now.state)
    write(
        *to_, time_, "node_state_changed",
        {{"node", now.name}, {"state", name_of(now.state)}, {"before", name_of(it->second.state)}});
  if (now.low_on_disk != (it != nodes_.end() && it->second.low_on_disk))
    write(*to_, time_, now.low_on_disk ? "node_low_on_disk" : "node_has_room",
          {{"node", now.name}});
  nodes_[now.name] = now;
}

void chronicle::coordinator(bool answers) {
  std::lock_guard guard{mutex_};
  if (std::exchange(coordinator_answers_, answers) != answers)
    write(*to_, time_, answers ? "coordinator_back" : "coordinator_lost", json::object());
}

void chronicle::placement_leader(const std::string& node) {
  std::lock_guard guard{mutex_};
  auto before = std::exchange(placement_leader_, node);
  if (before != node)
    write(*to_, time_, "placement_leader_changed",
          {{"node", node}, {"before", before.empty() ? json{} : json(before)}});
}

} // namespace candor::supervision
