#include "cluster/sharding/node_registry.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace candor::sharding {

using nlohmann::json;

std::string node_key(std::string_view name) {
  return fmt::format("nodes/{}", name);
}

std::string to_json(const node_record& record) {
  CANDOR_ASSERT(record.state != node_state::gone);
  json value = {{"name", record.name},
                {"disk_id", record.disk_id},
                {"incarnation", record.incarnation},
                {"address", record.address},
                {"http", record.http},
                {"zone", record.zone},
                {"state", record.state == node_state::draining ? "draining" : "active"},
                {"started_at", format_time(record.started_at)}};
  if (record.low_on_disk)
    value["low_on_disk"] = true;
  return value.dump();
}

result<node_record> node_record_from_json(std::string_view text) {
  auto wrong = fail(errc::corrupt, "a node's record does not parse");
  try {
    auto value = json::parse(text);
    auto word = [&](const char* name) { return value.at(name).get<std::string>(); };
    node_record record{word("name"),
                       word("disk_id"),
                       word("incarnation"),
                       word("address"),
                       word("http"),
                       word("zone"),
                       node_state::active,
                       {},
                       value.value("low_on_disk", false)};
    auto state = word("state");
    if (state == "draining")
      record.state = node_state::draining;
    else if (state != "active")
      return wrong;
    auto started = parse_time(word("started_at"));
    if (!started || record.name.empty())
      return wrong;
    record.started_at = *started;
    return record;
  } catch (const json::exception&) {
    return wrong;
  }
}

std::string desired_key(shard_id shard) {
  return fmt::format("placement/{:04}", shard);
}

std::string to_json(const desired_record& record) {
  return json{{"nodes", record.nodes}}.dump();
}

result<desired_record> desired_record_from_json(std::string_view text) {
  try {
    return desired_record{json::parse(text).at("nodes").get<std::vector<std::string>>()};
  } catch (const json::exception&) {
    return fail(errc::corrupt, "a shard's desired nodes do not parse");
  }
}

} // namespace candor::sharding
