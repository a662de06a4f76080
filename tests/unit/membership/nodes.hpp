/// Several nodes on one coordinator, each with a clock of its own, and the replicas of every shard
/// played by the test.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "cluster/membership/participant.hpp"

namespace candor::membership_tests {

using namespace std::chrono_literals;
using membership::participant;

/// Fails when told to: before a call (`failing`), or after every other write, which took effect
/// (`mute`).
class failing_coordinator final : public coordination::coordinator {
public:
  explicit failing_coordinator(coordination::coordinator& inner)
    : inner_{inner} {}

  result<std::optional<coordination::versioned>> get(std::string_view key) override {
    ++calls;
    if (failing)
      return fail(errc::unavailable);
    return inner_.get(key);
  }
  result<std::vector<std::pair<std::string, coordination::versioned>>>
  list(std::string_view prefix) override {
    ++calls;
    if (failing)
      return fail(errc::unavailable);
    return inner_.list(prefix);
  }
  result<bool> compare_and_swap(std::span<const coordination::change> changes) override {
    ++calls;
    if (failing)
      return fail(errc::unavailable);
    auto done = inner_.compare_and_swap(changes);
    if (mute && ++swaps % 2 == 1)
      return fail(errc::outcome_unknown);
    if (done && *done)
      for (const auto& c : changes)
        ++written[c.key];
    return done;
  }
  std::shared_ptr<void> watch(std::string prefix, coordination::watcher call) override {
    return inner_.watch(std::move(prefix), [this, call = std::move(call)](auto key, auto& now) {
      if (!failing && !deaf)
        call(key, now);
    });
  }

  std::atomic<bool> failing = false, mute = false, deaf = false;
  std::atomic<int> calls = 0, swaps = 0;
  std::map<std::string, int> written; ///< how often, by key

private:
  coordination::coordinator& inner_;
};

struct node {
  node(coordination::coordinator& shared, const std::set<std::string>& dead,
       membership::participant_options options)
    : name{options.self.name}
    , door{shared}
    , core{std::make_unique<participant>(
          std::move(options),
          membership::participant_surroundings{
              door, time, [&dead](const auto& other) { return !dead.contains(other); },
              [this](auto all) { peers = std::move(all); },
              [this](auto some) {
                for (auto& w : some) {
                  wanted[w.shard] = std::move(w.members);
                  holders[w.shard] = std::move(w.holders);
                }
              },
              [this](auto some) {
                for (auto& c : some) {
                  ++config_news;
                  configs[c.shard] = std::move(c);
                }
              },
              [this] { ++hints; }, [this] { return low_on_disk.load(); },
              [this](shard_id shard) { return held.contains(shard); }})} {}

  std::string name;
  manual_clock time{*parse_time("2025-12-16T09:00:00Z")};
  failing_coordinator door;
  std::map<std::string, std::string> peers;
  std::map<shard_id, std::vector<sharding::member>> wanted;
  std::map<shard_id, std::vector<sharding::member>> holders;
  std::set<shard_id> held; ///< what its disk holds, beside what it should
  std::map<shard_id, replication::config_seen> configs;
  int config_news = 0;
  std::atomic<int> hints = 0;
  std::atomic<bool> low_on_disk = false;
  std::unique_ptr<participant> core;
};

struct cluster {
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  std::unique_ptr<coordination::coordinator> shared = coordination::make_local_coordinator(*db);
  std::set<std::string> dead; ///< stand still, and are not heard of
  std::map<std::string, std::unique_ptr<node>> nodes;
  std::uint16_t shards = 128;
  std::uint32_t replicas = 2;
  std::uint32_t cluster_nodes = 3;

  membership::participant_options options(const std::string& name,
                                          const std::string& incarnation = "i1") const {
    membership::participant_options o;
    o.self = {name,
              "disk-of-" + name,
              incarnation,
              name + ":7001",
              "http://" + name,
              "zone-" + name,
              sharding::node_state::active,
              *parse_time("2025-12-16T09:00:00Z")};
    o.shards = {shards};
    o.replicas = replicas;
    o.in_sync_min = std::min(2u, replicas);
    o.cluster_nodes = cluster_nodes;
    return o;
  }

  node& start(const std::string& name) { return start(options(name)); }
  node& start(membership::participant_options o) {
    auto name = o.self.name;
    return *(nodes[name] = std::make_unique<node>(*shared, dead, std::move(o)));
  }
  void start(std::initializer_list<const char*> names) {
    for (auto name : names)
      start(std::string{name});
  }
  node& operator[](const std::string& name) { return *nodes.at(name); }

  /// Every living node ticks, each 200 ms of its clock.
  void run(millis span) {
    for (millis passed{0}; passed < span; passed += limits::membership_tick)
      for (auto& [name, n] : nodes) {
        n->time.advance(limits::membership_tick);
        if (!dead.contains(name))
          REQUIRE(n->core->tick());
      }
  }

  std::vector<std::string> leaders() const {
    std::vector<std::string> all;
    for (auto& [name, n] : nodes)
      if (!dead.contains(name) && n->core->leads_placement())
        all.push_back(name);
    return all;
  }

  /// As the coordinator has it.
  membership::view truth() const {
    membership::view v;
    for (auto prefix : membership::prefixes) {
      auto listed = shared->list(prefix);
      for (const auto& [key, value] : *listed)
        v.take(key, value);
    }
    return v;
  }
  std::size_t held_by(const std::string& name) const {
    std::size_t count = 0;
    for (auto& [shard, record] : truth().desired)
      count += std::ranges::count(record.nodes, name);
    return count;
  }
  std::vector<std::string> desired(shard_id shard) const { return truth().desired.at(shard).nodes; }

  /// What the replicas would do: every shard lies where it should.
  void settle() {
    auto v = truth();
    for (auto& [shard, config] : v.configs) {
      auto members = v.wanted(shard);
      if (config.in_sync == members && config.primary == members.front())
        continue;
      config.in_sync = members;
      config.primary = members.front();
      ++config.version;
      auto key = sharding::config_key(shard);
      coordination::change c{key, v.version_of(key), sharding::to_json(config)};
      REQUIRE(shared->compare_and_swap({&c, 1}) == true);
    }
  }
};

} // namespace candor::membership_tests
