/// What a cluster says of itself (`GET /v1/cluster`), judged and laid out for a person. Values and
/// functions only. Guarantees: a field that a node leaves out (one alone has no coordinator, an
/// older one no zones) is shown as "-" and is no fault.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace candor::ctl {

using table = std::vector<std::vector<std::string>>;

/// What is wrong, a sentence each: nodes that are down, shards without a primary or with too few
/// copies in sync, a coordinator that does not answer, and what the node itself names. Empty:
/// healthy. Draining is an operator's wish and no fault.
std::vector<std::string> find_problems(const nlohmann::ordered_json& cluster);

/// Without a primary, or fewer copies in sync than there could be.
bool is_troubled(const nlohmann::ordered_json& shard, std::size_t nodes);

std::size_t count_nodes(const nlohmann::ordered_json& cluster);

/// How many shards the node leads; nothing where there is no such node.
std::optional<std::uint64_t> shards_led(const nlohmann::ordered_json& cluster,
                                        const std::string& node);

/// A line for each node; the first row is the head.
table node_rows(const nlohmann::ordered_json& cluster);

/// A line for each shard, or for those in trouble.
table shard_rows(const nlohmann::ordered_json& cluster, bool only_troubled);

/// "name  value" lines of the whole: who was asked, health, time, data, shards, policies.
table summary_rows(const nlohmann::ordered_json& cluster);

/// What a node says of its disk (`data` of the whole), in words: free, used, and below which mark
/// it takes no new data.
std::string disk_line(const nlohmann::ordered_json& data);

/// An event of /v1/cluster/events as a line: when, what, and its fields.
std::string event_line(const std::string& name, const nlohmann::ordered_json& data);

/// "0-2, 7" of ascending numbers, cut off after some.
std::string ranges(const std::vector<std::uint64_t>& numbers);

/// "0.4 s", "12 s", "5 min", "3 h" of milliseconds.
std::string age(std::uint64_t ms);

} // namespace candor::ctl
