/// What is simulated: a cluster, its load, what goes wrong, and what is checked; read from a TOML
/// file of tests/sim. Everything that a file leaves out is quiet: no faults, a good network.
/// A seed makes the actual schedule of faults from it (`draw_faults`).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "tools/candor-sim/cluster/coordinator.hpp"
#include "tools/candor-sim/cluster/network.hpp"
#include "tools/candor-sim/cluster/post.hpp"

namespace candor::sim {

/// What happens to the cluster from outside. The text form is the name here.
enum class trouble : std::uint8_t {
  crash,            ///< a process is killed; what it did not sync is lost
  power_loss,       ///< all processes at once
  wipe,             ///< a crash, and the disk comes back empty
  pause,            ///< a process stands still and goes on
  isolate,          ///< no packet from or to the node
  cut_one_way,      ///< none from node to other
  bridge,           ///< none between node and other; the rest hears both
  cut_beacons,      ///< beacons only, between node and other
  slow_network,     ///< of the node
  slow_disk,        ///< each job takes tens of milliseconds
  hang_disk,        ///< nothing comes back
  full_disk,        ///< no write is taken
  cut_coordinator,  ///< for the node
  coordinator_down, ///< for all
  slow_coordinator,
  lossy_coordinator, ///< requests and replies are lost
  post_away,         ///< the mail server cannot be reached
  flip,              ///< rows of its disk turn bad; compaction meets them at the end
  wall_clock,        ///< its time of day is an hour ahead or behind
  drain,             ///< an operator drains it, and takes it back at the end
};

std::string_view name_of(trouble t);
std::optional<trouble> trouble_from(std::string_view name);

struct fault {
  trouble kind = trouble::crash;
  std::int64_t at_us = 0; ///< since the load began
  std::int64_t for_us = 0;
  int node = 0;  ///< `leader`: whoever leads shard 0 then
  int other = 1; ///< never the node
  friend bool operator==(const fault&, const fault&) = default;
};
inline constexpr int leader = -1;

std::string to_string(const fault& f);

/// Up to so many of a kind, each for a time between the two.
struct fault_rule {
  trouble kind = trouble::crash;
  int most = 1;
  std::int64_t least_us = 500'000, most_us = 3'000'000;
};

struct policy_plan {
  std::string version;
  std::int64_t effective_us = 0; ///< since the load began; may be before
  std::vector<std::string> excluded;
  std::int64_t applied_us = -1; ///< when an operator applies it; -1: it is in the configuration
};

struct load_plan {
  int persons = 16;
  int late = 0; ///< of them, who come during the load
  double events_per_second = 20;
  double assistant_share = 0.5;
  double sensitive_share = 0.1;
  double reads_per_second = 10;
  double inbox_per_second = 4;
  int erasures = 1;
  int campaigns = 0;
  double ads_per_second = 0;
  double sessions_per_second = 0;   ///< reads by sessions
  double repeated_share = 0;        ///< of what was acknowledged, sent again a while later
  double old_share = 0;             ///< of engagements, half an hour younger than the dedupe window
  std::int64_t daily_micros = 0;    ///< a campaign's; 0: as much as its whole budget
  double rebalances_per_second = 0; ///< asked by operators
};

struct scenario {
  std::string name, about;
  int nodes = 3;
  std::uint16_t shards = 4, replicas = 3, in_sync_min = 2;
  std::int64_t load_us = 15'000'000;
  timestamp starts_at;
  std::uint64_t log_kept_bytes = 64 * 1024;
  load_plan load;
  std::vector<policy_plan> policies;
  network_quality network;
  coordinator_quality coordinator;
  post_quality post;
  std::int64_t disk_least_us = 100, disk_most_us = 2000;
  std::vector<fault_rule> rules;
  std::vector<fault> fixed; ///< in every seed
};

/// Error: `config_invalid`.
result<scenario> load_scenario(const std::filesystem::path& file);
/// Every file of the folder, by name.
result<std::vector<scenario>> load_scenarios(const std::filesystem::path& folder);

/// What the seed makes of the rules.
std::vector<fault> draw_faults(const scenario& s, std::uint64_t seed);

} // namespace candor::sim
