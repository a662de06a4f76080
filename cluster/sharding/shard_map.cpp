#include "cluster/sharding/shard_map.hpp"

#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace candor::sharding {

using nlohmann::json;

namespace {

json to_value(const member& m) {
  return {{"node", m.node}, {"disk_id", m.disk_id}};
}

member member_from(const json& value) {
  return {value.at("node").get<std::string>(), value.at("disk_id").get<std::string>()};
}

} // namespace

std::string config_key(shard_id shard) {
  return fmt::format("shards/{:04}", shard);
}

std::optional<shard_id> shard_of_key(std::string_view key) {
  constexpr std::string_view prefix{config_prefix};
  if (!key.starts_with(prefix))
    return std::nullopt;
  key.remove_prefix(prefix.size());
  shard_id shard = 0;
  auto end = std::from_chars(key.data(), key.data() + key.size(), shard);
  if (end.ec != std::errc{} || end.ptr != key.data() + key.size())
    return std::nullopt;
  return shard;
}

std::string to_json(const shard_config& config) {
  json members = json::array();
  for (const auto& m : config.in_sync)
    members.push_back(to_value(m));
  return json{{"ver", config.version},
              {"term", config.term},
              {"primary", to_value(config.primary)},
              {"isr", std::move(members)},
              {"min_isr", config.in_sync_min},
              {"generation", config.generation}}
      .dump();
}

result<shard_config> shard_config_from_json(std::string_view text) {
  try {
    auto value = json::parse(text);
    shard_config config;
    config.version = value.at("ver").get<std::uint64_t>();
    config.term = value.at("term").get<std::uint64_t>();
    config.primary = member_from(value.at("primary"));
    for (const auto& m : value.at("isr"))
      config.in_sync.push_back(member_from(m));
    config.in_sync_min = value.at("min_isr").get<std::uint32_t>();
    config.generation = value.at("generation").get<std::uint64_t>();
    return config;
  } catch (const json::exception&) {
    return fail(errc::corrupt, "a shard's configuration does not parse");
  }
}

} // namespace candor::sharding
