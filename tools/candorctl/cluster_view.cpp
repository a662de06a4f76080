#include "tools/candorctl/cluster_view.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

constexpr std::size_t ranges_shown = 8;

/// The field, or null.
const json& at(const json& object, const char* name) {
  static const json nothing;
  if (!object.is_object())
    return nothing;
  auto it = object.find(name);
  return it == object.end() ? nothing : *it;
}

const json& list(const json& object, const char* name) {
  static const json empty = json::array();
  const auto& found = at(object, name);
  return found.is_array() ? found : empty;
}

std::uint64_t number(const json& object, const char* name) {
  const auto& found = at(object, name);
  return found.is_number_integer() && found >= 0 ? found.get<std::uint64_t>() : 0;
}

std::string joined(const json& names) {
  std::vector<std::string> made;
  for (const auto& n : names)
    made.push_back(plain(n));
  return made.empty() ? "-" : fmt::format("{}", fmt::join(made, ", "));
}

bool has_primary(const json& shard) {
  // A node alone says nothing of it: it leads all.
  const auto& serving = at(shard, "serving");
  if (serving.is_boolean() && !serving.get<bool>())
    return false;
  return !shard.contains("primary") ||
         (shard["primary"].is_string() && !shard["primary"].get<std::string>().empty());
}

/// How many copies are in sync and how many could be; nothing where the node does not say.
std::optional<std::pair<std::size_t, std::size_t>> copies(const json& shard, std::size_t nodes) {
  if (!at(shard, "in_sync").is_array() || !at(shard, "wanted").is_array())
    return std::nullopt;
  return std::pair{shard["in_sync"].size(), std::min(shard["wanted"].size(), nodes)};
}

bool has_too_few(const json& shard, std::size_t nodes) {
  auto c = copies(shard, nodes);
  return c && c->first < c->second;
}

bool is_down(const json& node) {
  return at(node, "state") == "down";
}

void say_shards(std::vector<std::string>& to, const std::vector<std::uint64_t>& shards,
                const char* one, const char* many) {
  if (shards.size() == 1)
    to.push_back(fmt::format("shard {} {}", shards.front(), one));
  else if (!shards.empty())
    to.push_back(fmt::format("{} shards {}: {}", shards.size(), many, ranges(shards)));
}

} // namespace

std::string ranges(const std::vector<std::uint64_t>& numbers) {
  std::vector<std::string> made;
  for (std::size_t i = 0; i < numbers.size();) {
    auto end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1)
      ++end;
    if (made.size() == ranges_shown) {
      made.push_back("…");
      break;
    }
    made.push_back(end - i == 1 ? fmt::format("{}", numbers[i])
                                : fmt::format("{}-{}", numbers[i], numbers[end - 1]));
    i = end;
  }
  return fmt::format("{}", fmt::join(made, ", "));
}

std::string age(std::uint64_t ms) {
  if (ms < 10'000)
    return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
  if (ms < 120'000)
    return fmt::format("{} s", ms / 1000);
  if (ms < 7'200'000)
    return fmt::format("{} min", ms / 60'000);
  return fmt::format("{} h", ms / 3'600'000);
}

std::size_t count_nodes(const json& cluster) {
  return std::max<std::size_t>(1, list(cluster, "nodes").size());
}

bool is_troubled(const json& shard, std::size_t nodes) {
  return !has_primary(shard) || has_too_few(shard, nodes);
}

std::optional<std::uint64_t> shards_led(const json& cluster, const std::string& node) {
  for (const auto& n : list(cluster, "nodes"))
    if (at(n, "name") == node)
      return number(n, "led");
  return std::nullopt;
}

std::vector<std::string> find_problems(const json& cluster) {
  std::vector<std::string> made;
  for (const auto& n : list(cluster, "nodes"))
    if (is_down(n))
      made.push_back(n.contains("last_seen_ms")
                         ? fmt::format("{} is down, last seen {} ago", field(n, "name"),
                                       age(number(n, "last_seen_ms")))
                         : fmt::format("{} is down", field(n, "name")));
    else if (at(n, "low_on_disk") == true)
      made.push_back(fmt::format("{} is low on disk: it takes no new data", field(n, "name")));
  std::vector<std::uint64_t> without, few;
  auto nodes = count_nodes(cluster);
  for (const auto& s : list(cluster, "shards"))
    if (!has_primary(s))
      without.push_back(number(s, "shard"));
    else if (has_too_few(s, nodes))
      few.push_back(number(s, "shard"));
  say_shards(made, without, "has no primary", "have no primary");
  say_shards(made, few, "has too few copies in sync", "have too few copies in sync");
  const auto& reachable = at(at(cluster, "coordinator"), "reachable");
  if (reachable.is_boolean() && !reachable.get<bool>())
    made.push_back(
        "the coordinator does not answer: shards go on, but none can change its primary");
  for (const auto& p : list(cluster, "problems"))
    if (std::ranges::find(made, plain(p)) == made.end())
      made.push_back(plain(p));
  if (made.empty() && at(cluster, "healthy") == false)
    made.push_back(fmt::format("{} says that the cluster is not healthy", field(cluster, "node")));
  return made;
}

table node_rows(const json& cluster) {
  table rows = {{"NODE", "ZONE", "STATE", "LED", "HELD", "IN SYNC", "LAST SEEN", "URL"}};
  for (const auto& n : list(cluster, "nodes"))
    rows.push_back({field(n, "name"), field(n, "zone"), field(n, "state"), field(n, "led"),
                    field(n, "held"), field(n, "in_sync"),
                    n.contains("last_seen_ms") ? age(number(n, "last_seen_ms")) : std::string{"-"},
                    field(n, "url")});
  return rows;
}

table shard_rows(const json& cluster, bool only_troubled) {
  table rows = {{"SHARD", "PRIMARY", "IN SYNC", "WANTED", "TERM", "VERSION", "SEQ", "SERVING"}};
  auto nodes = count_nodes(cluster);
  for (const auto& s : list(cluster, "shards")) {
    if (only_troubled && !is_troubled(s, nodes))
      continue;
    auto serving = at(s, "serving");
    rows.push_back({field(s, "shard"), field(s, "primary"), joined(list(s, "in_sync")),
                    joined(list(s, "wanted")), field(s, "term"), field(s, "version"),
                    field(s, "seq"),
                    serving.is_boolean() ? (serving.get<bool>() ? "yes" : "NO") : "-"});
  }
  return rows;
}

table summary_rows(const json& cluster) {
  table rows;
  auto id = field(cluster, "cluster");
  rows.push_back({"cluster", id == "-" || id.empty() ? "one node alone" : id});
  rows.push_back(
      {"asked", fmt::format("{}, version {}", field(cluster, "node"), field(cluster, "version"))});
  auto problems = find_problems(cluster);
  rows.push_back({"health", problems.empty()       ? "healthy"
                            : problems.size() == 1 ? "1 problem"
                                                   : fmt::format("{} problems", problems.size())});
  if (cluster.contains("now"))
    rows.push_back(
        {"now", fmt::format("{} ({} clock)", field(cluster, "now"), field(cluster, "clock"))});
  if (const auto& data = at(cluster, "data"); data.is_object())
    rows.push_back({"data", field(data, "folder") + ": " + disk_line(data)});
  if (const auto& c = at(cluster, "coordinator"); c.is_object())
    rows.push_back(
        {"etcd", fmt::format("{}: {}", at(c, "reachable") == true ? "reachable" : "NOT REACHABLE",
                             joined(list(c, "endpoints")))});
  if (!list(cluster, "nodes").empty()) {
    std::map<std::string, std::size_t> states;
    for (const auto& n : list(cluster, "nodes"))
      ++states[field(n, "state")];
    std::vector<std::string> parts;
    for (const auto& [state, n] : states)
      parts.push_back(fmt::format("{} {}", n, state));
    rows.push_back({"nodes", fmt::format("{}", fmt::join(parts, ", "))});
  }
  const auto& shards = list(cluster, "shards");
  std::uint64_t entries = 0, audit = 0;
  std::size_t runs = 0, led = 0, full = 0;
  std::set<std::string> policies;
  auto nodes = count_nodes(cluster);
  for (const auto& s : shards) {
    entries += number(s, "seq");
    audit += number(at(s, "audit"), "entries");
    runs = std::max(runs, list(s, "imports_open").size());
    led += has_primary(s);
    full += !has_too_few(s, nodes);
    for (const auto& p : list(s, "policies"))
      policies.insert(plain(p));
  }
  rows.push_back(
      {"shards", fmt::format("{}, {} with a primary, {} in full sync, {} log entries, {} audit "
                             "entries",
                             shards.size(), led, full, entries, audit)});
  rows.push_back(
      {"policies", policies.empty() ? "none" : fmt::format("{}", fmt::join(policies, ", "))});
  rows.push_back({"imports", fmt::format("{} open", runs)});
  return rows;
}

std::string disk_line(const json& data) {
  auto gb = [&](const char* name) { return static_cast<double>(number(data, name)) / 1e9; };
  auto mark = number(data, "low_bytes") == 0
                  ? std::string{}
                  : fmt::format(" (its mark: {:.3f} GB)", gb("low_bytes"));
  return fmt::format("{:.3f} GB, {:.3f} GB free{}{}", gb("bytes"), gb("free_bytes"), mark,
                     at(data, "low_on_disk") == true ? ": NO NEW DATA IS TAKEN" : "");
}

std::string event_line(const std::string& name, const json& data) {
  if (!data.is_object())
    return fmt::format("{}  {}", name, plain(data));
  auto line = fmt::format("{}  {}", field(data, "at"), name);
  for (const auto& [key, value] : data.items())
    if (key != "at" && key != "event")
      line += fmt::format("  {}={}", key, value.is_array() ? joined(value) : plain(value));
  return line;
}

} // namespace candor::ctl
