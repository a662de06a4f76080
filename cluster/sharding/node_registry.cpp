#include "cluster/sharding/node_registry.hpp"

#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace candor::sharding {

using nlohmann::json;

std::string node_key(std::string_view name) {
  return fmt::format("nodes/{}", name);
}

const char* name_of(node_state state) {
  switch (state) {
    case node_state::draining:
      return "draining";
    case node_state::gone:
      return "gone";
    case node_state::active:
      break;
  }
  return "active";
}

namespace {

constexpr std::string_view digits = "0123456789abcdef";

/// Four shards a digit, the first in its lowest bit; what follows the last one is left out.
std::string to_hex(const std::set<shard_id>& shards) {
  std::string text(shards.empty() ? 0 : *shards.rbegin() / 4u + 1u, '0');
  for (auto shard : shards) {
    auto& digit = text[shard / 4u];
    digit = digits[digits.find(digit) | 1u << shard % 4u];
  }
  return text;
}

std::optional<std::set<shard_id>> shards_from_hex(std::string_view text) {
  std::set<shard_id> shards;
  if (text.size() > (std::numeric_limits<shard_id>::max() + 1u) / 4u)
    return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto digit = digits.find(text[i]);
    if (digit == digits.npos)
      return std::nullopt;
    for (auto bit = 0u; bit < 4; ++bit)
      if (digit & 1u << bit)
        shards.insert(static_cast<shard_id>(4 * i + bit));
  }
  return shards;
}

} // namespace

std::string to_json(const node_record& record) {
  json value = {{"name", record.name},
                {"disk_id", record.disk_id},
                {"incarnation", record.incarnation},
                {"address", record.address},
                {"http", record.http},
                {"zone", record.zone},
                {"state", name_of(record.state)},
                {"started_at", format_time(record.started_at)}};
  if (record.low_on_disk)
    value["low_on_disk"] = true;
  if (record.holds)
    value["holds"] = to_hex(*record.holds);
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
    else if (state == "gone")
      record.state = node_state::gone;
    else if (state != "active")
      return wrong;
    // What cannot be read is not known, and counts as all.
    if (auto holds = value.find("holds"); holds != value.end() && holds->is_string())
      record.holds = shards_from_hex(holds->get<std::string>());
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
