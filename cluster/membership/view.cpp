#include "cluster/membership/view.hpp"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "storage/base/log.hpp"

namespace candor::membership {

using nlohmann::json;

namespace {

constexpr std::string_view node_prefix = "nodes/";
constexpr std::string_view claim_prefix = "claims/";
constexpr std::string_view desired_prefix = "placement/";

/// "placement/0017" -> 17
std::optional<shard_id> shard_of_desired_key(std::string_view key) {
  if (!key.starts_with(desired_prefix))
    return std::nullopt;
  auto digits = key.substr(desired_prefix.size());
  shard_id shard = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), shard);
  if (sharding::desired_key(shard) != key)
    return std::nullopt;
  return shard;
}

result<std::uint64_t> number_from(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{} || end != text.data() + text.size())
    return fail(errc::corrupt, "not a number");
  return number;
}

result<sharding::node_record> node_from(std::string_view key, std::string_view text) {
  CANDOR_TRY(record, sharding::node_record_from_json(text));
  if (sharding::node_key(record.name) != key)
    return fail(errc::corrupt, "a node's record stands under another name");
  return std::move(record);
}

} // namespace

std::string claim_key(std::string_view node) {
  return std::string{claim_prefix}.append(node);
}

std::string to_json(const leader_record& record) {
  return json{{"node", record.node}, {"incarnation", record.incarnation}, {"beat", record.beat}}
      .dump();
}

result<leader_record> leader_record_from_json(std::string_view text) {
  try {
    auto value = json::parse(text);
    return leader_record{value.at("node").get<std::string>(),
                         value.at("incarnation").get<std::string>(),
                         value.at("beat").get<std::uint64_t>()};
  } catch (const json::exception&) {
    return fail(errc::corrupt, "the record of the placement's leader does not parse");
  }
}

std::string to_json(const placed_nodes& nodes) {
  auto all = json::array();
  for (const auto& [name, node] : nodes)
    all.push_back({{"name", name},
                   {"zone", node.zone},
                   {"draining", node.state == sharding::node_state::draining}});
  return json{{"nodes", std::move(all)}}.dump();
}

result<placed_nodes> placed_nodes_from_json(std::string_view text) {
  try {
    placed_nodes nodes;
    auto value = json::parse(text);
    for (const auto& n : value.at("nodes")) {
      auto name = n.at("name").get<std::string>();
      nodes[name] = {name, n.at("zone").get<std::string>(),
                     n.at("draining").get<bool>() ? sharding::node_state::draining
                                                  : sharding::node_state::active};
    }
    return nodes;
  } catch (const json::exception&) {
    return fail(errc::corrupt, "the record of the placed nodes does not parse");
  }
}

bool same(const placed_nodes& a, const placed_nodes& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.zone == y.second.zone && x.second.state == y.second.state;
  });
}

news view::take(std::string_view key, const coordination::versioned& now) {
  if (now.version <= version_of(key))
    return news::none;
  versions[std::string{key}] = now.version;
  auto keep = [&](auto parsed, auto&& place, news what) {
    if (parsed) {
      place(std::move(*parsed));
      return what;
    }
    log::error("membership", "the record {} of the coordinator cannot be read: {}", key,
               parsed.error().to_string());
    return news::none;
  };
  if (auto shard = sharding::shard_of_key(key))
    return keep(
        sharding::shard_config_from_json(now.value),
        [&](auto x) { configs[*shard] = std::move(x); }, news::config);
  if (auto shard = shard_of_desired_key(key))
    return keep(
        sharding::desired_record_from_json(now.value),
        [&](auto x) { desired[*shard] = std::move(x); }, news::desired);
  if (key.starts_with(node_prefix))
    return keep(
        node_from(key, now.value),
        [&](auto x) {
          auto name = x.name;
          if (x.state == sharding::node_state::gone)
            nodes.erase(name);
          else
            nodes[name] = std::move(x);
        },
        news::node);
  if (key.starts_with(claim_prefix)) {
    claims[std::string{key.substr(claim_prefix.size())}] = now.value;
    return news::other;
  }
  if (key == leader_key)
    return keep(
        leader_record_from_json(now.value), [&](auto x) { leader = std::move(x); }, news::leader);
  if (key == placed_key)
    return keep(
        placed_nodes_from_json(now.value), [&](auto x) { placed = std::move(x); }, news::other);
  if (key == shards_key)
    return keep(
        number_from(now.value), [&](auto x) { shards = x; }, news::other);
  return news::none;
}

std::uint64_t view::version_of(std::string_view key) const {
  auto found = versions.find(key);
  return found == versions.end() ? 0 : found->second;
}

sharding::placement view::placement(shard_count count) const {
  sharding::placement all(count.value);
  for (const auto& [shard, record] : desired)
    if (shard < all.size())
      all[shard] = record.nodes;
  return all;
}

std::vector<sharding::member> view::members(const std::vector<std::string>& names) const {
  std::vector<sharding::member> all;
  for (const auto& name : names)
    if (auto node = nodes.find(name); node != nodes.end())
      all.push_back({name, node->second.disk_id});
  return all;
}

std::vector<sharding::member> view::wanted(shard_id shard) const {
  auto record = desired.find(shard);
  return record == desired.end() ? std::vector<sharding::member>{} : members(record->second.nodes);
}

std::vector<sharding::member> view::holders(shard_id shard) const {
  std::vector<sharding::member> all;
  for (const auto& [name, node] : nodes)
    if (node.may_hold(shard))
      all.push_back({name, node.disk_id});
  return all;
}

drain_progress view::draining(const std::string& node) const {
  drain_progress left;
  for (const auto& [shard, config] : configs) {
    left.leads += config.primary.node == node;
    left.in_sync += std::ranges::any_of(config.in_sync, [&](auto& m) { return m.node == node; });
  }
  return left;
}

bool view::needed_soon(const std::string& node) const {
  return std::ranges::any_of(desired, [&](const auto& of_shard) {
    const auto& [shard, record] = of_shard;
    auto config = configs.find(shard);
    return config != configs.end() && config->second.in_sync.size() <= config->second.in_sync_min &&
           std::ranges::find(record.nodes, node) != record.nodes.end();
  });
}

std::optional<sharding::shard_config> first_config(const std::vector<sharding::member>& members,
                                                   std::uint32_t in_sync_min) {
  if (members.empty())
    return std::nullopt;
  sharding::shard_config config;
  config.version = 1;
  config.term = 1;
  config.primary = members.front();
  config.in_sync = members;
  config.in_sync_min = std::min(in_sync_min, static_cast<std::uint32_t>(members.size()));
  config.generation = 1;
  return config;
}

std::vector<std::string> moved(const sharding::placement& present, shard_id shard,
                               const std::string& to, std::size_t replicas) {
  auto nodes = present[shard];
  auto leaves = std::ranges::find(nodes, to);
  if (leaves == nodes.end() && nodes.size() >= replicas) {
    std::map<std::string, std::size_t> load;
    for (const auto& of_shard : present)
      for (const auto& name : of_shard)
        ++load[name];
    leaves = std::ranges::max_element(nodes, {}, [&](const auto& name) { return load[name]; });
  }
  if (leaves != nodes.end())
    nodes.erase(leaves);
  nodes.insert(nodes.begin(), to);
  return nodes;
}

} // namespace candor::membership
