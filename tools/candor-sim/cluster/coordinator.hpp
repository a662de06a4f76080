/// The simulated coordinator: what etcd is to the nodes, in memory, and each node's way to it.
/// Faults: unreachable (for one node or for all), slow, a request or a reply that is lost: then the
/// outcome is unknown, and the change may be made later or never. Watches are told late, and not at
/// all while the node cannot reach it. Calls answer at once: that they take time is the business of
/// the worker who makes them (`simulated_worker`); those of the membership room take none.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "cluster/coordination/coordinator.hpp"
#include "tools/candor-sim/cluster/stage.hpp"

namespace candor::sim {

struct coordinator_quality {
  double request_lost = 0.0, reply_lost = 0.0;
  std::int64_t delay_least_us = 500, delay_most_us = 4000;
};

class coordinator_world {
public:
  coordinator_world(stage& on, coordinator_quality quality)
    : on_{on}
    , quality_{quality} {}

  /// A node's client; its process may end at any time.
  std::unique_ptr<coordination::coordinator> connect(const std::string& node);

  void set_reachable(const std::string& node, bool is);
  void set_up(bool is) { up_ = is; }
  void slow(std::int64_t times) { slow_ = times; }
  void set_quality(coordinator_quality quality) { quality_ = quality; }

  bool reachable(const std::string& node) const { return up_ && !cut_.contains(node); }
  /// What a call of this node takes, there or back.
  std::int64_t delay_us(const std::string& node);
  const std::map<std::string, coordination::versioned, std::less<>>& all() const { return all_; }

  /// Told of each change, at its moment.
  std::function<void(const std::string& key, const std::string& value)> on_change;

private:
  friend class coordinator_client;

  struct watching {
    std::string node, prefix;
    coordination::watcher call;
  };

  bool apply(std::span<const coordination::change> changes);

  stage& on_;
  coordinator_quality quality_;
  std::map<std::string, coordination::versioned, std::less<>> all_;
  std::list<std::shared_ptr<watching>> watches_;
  std::set<std::string> cut_;
  bool up_ = true;
  std::int64_t slow_ = 1;
};

} // namespace candor::sim
