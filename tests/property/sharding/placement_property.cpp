/// Random clusters and random changes to them, held against the guarantees of placement.hpp, with
/// the shares computed in another way than there.

#include <algorithm>
#include <cmath>
#include <set>

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include "cluster/sharding/placement.hpp"

using namespace candor;
using namespace candor::sharding;

namespace {

enum class zoning { one, each_its_own, equal, any };

struct cluster {
  std::vector<placement_node> nodes;
  std::uint16_t shards;
  std::uint32_t replicas;
  int next_name = 0;

  void add(std::string zone) {
    nodes.push_back({"node-" + std::to_string(next_name++), std::move(zone), node_state::active});
  }
  placement_question asked(placement present) const {
    return {nodes, {shards}, replicas, std::move(present)};
  }
};

std::string zone_name(int z) {
  return "zone-" + std::to_string(z);
}

cluster any_cluster(zoning how) {
  cluster c;
  c.shards = static_cast<std::uint16_t>(1 << *rc::gen::inRange(0, 9));
  c.replicas = *rc::gen::inRange(1u, 6u);
  auto nodes = *rc::gen::inRange(1, 16);
  auto zones = *rc::gen::inRange(1, 6);
  if (how == zoning::equal)
    nodes = zones * *rc::gen::inRange(1, 5);
  for (int n = 0; n < nodes; ++n)
    c.add(zone_name(how == zoning::one            ? 0
                    : how == zoning::each_its_own ? n
                    : how == zoning::equal        ? n % zones
                                                  : *rc::gen::inRange(0, zones)));
  return c;
}

std::size_t zone_most_of(const std::map<std::string, std::size_t>& nodes_in, std::size_t replicas) {
  for (std::size_t most = 1;; ++most) {
    std::size_t room = 0;
    for (auto& [zone, n] : nodes_in)
      room += std::min(n, most);
    if (room >= replicas)
      return most;
  }
}

/// All that holds of any answer.
void check(const cluster& c, const placement& p) {
  std::map<std::string, std::string> zone_of;
  std::map<std::string, std::size_t> nodes_in;
  for (auto& node : c.nodes)
    if (node.state == node_state::active) {
      zone_of[node.name] = node.zone;
      ++nodes_in[node.zone];
    }
  auto replicas = std::min<std::size_t>(c.replicas, zone_of.size());
  RC_ASSERT(p.size() == c.shards);
  if (replicas == 0)
    return;
  auto zone_most = zone_most_of(nodes_in, replicas);
  if (nodes_in.size() >= replicas)
    RC_ASSERT(zone_most == 1u);

  std::map<std::string, std::size_t> load, primaries;
  for (auto& shard : p) {
    std::map<std::string, std::size_t> in_zone;
    std::set<std::string> different;
    for (auto& name : shard) {
      if (!zone_of.contains(name))
        continue; // draining
      different.insert(name);
      ++load[name];
      RC_ASSERT(++in_zone[zone_of[name]] <= zone_most);
    }
    RC_ASSERT(different.size() == replicas);
    RC_ASSERT(zone_of.contains(shard.front()));
    ++primaries[shard.front()];
  }

  // The least load that, as a bound for every node, leaves room for all.
  double low = 0, high = c.shards;
  for (int i = 0; i < 60; ++i) {
    auto bound = (low + high) / 2, room = 0.0;
    for (auto& [zone, n] : nodes_in)
      room += std::min(static_cast<double>(c.shards * std::min(n, zone_most)),
                       static_cast<double>(n) * bound);
    (room < static_cast<double>(c.shards * replicas) ? low : high) = bound;
  }
  auto even = static_cast<double>(c.shards * replicas) / static_cast<double>(zone_of.size());
  for (auto& [name, zone] : zone_of) {
    auto n = nodes_in[zone];
    auto share = std::min(high, static_cast<double>(c.shards * std::min(n, zone_most)) /
                                    static_cast<double>(n));
    RC_ASSERT(static_cast<double>(load[name]) <= std::ceil(1.05 * share - 1e-6));
    RC_ASSERT(static_cast<double>(load[name]) >= std::floor(0.95 * share - 1e-6));
    if (std::abs(high - even) < 1e-6) // no zone is too large: the plain bound
      RC_ASSERT(load[name] <=
                (105 * c.shards * replicas + 100 * zone_of.size() - 1) / (100 * zone_of.size()));
    RC_ASSERT(primaries[name] <=
              (105u * c.shards + 100 * zone_of.size() - 1) / (100 * zone_of.size()));
    RC_ASSERT(primaries[name] >= 95u * c.shards / (100 * zone_of.size()));
  }
}

std::size_t lying_on(const placement& p, const std::string& name) {
  std::size_t count = 0;
  for (auto& shard : p)
    count += static_cast<std::size_t>(std::ranges::count(shard, name));
  return count;
}

zoning any_zoning() {
  return *rc::gen::element(zoning::one, zoning::each_its_own, zoning::equal, zoning::any);
}

} // namespace

TEST_CASE("replicas and primaries are spread, over nodes and zones, whatever came before",
          "[sharding]") {
  REQUIRE(rc::check([] {
    auto c = any_cluster(any_zoning());
    placement present;
    for (int change = *rc::gen::inRange(1, 6); change > 0; --change) {
      present = place(c.asked(present));
      check(c, present);
      auto& node = c.nodes[*rc::gen::inRange<std::size_t>(0, c.nodes.size())];
      switch (*rc::gen::inRange(0, 6)) {
        case 0:
          node.state = node_state::draining;
          break;
        case 1:
          node.state = node_state::gone;
          break;
        case 2:
          node.state = node_state::active;
          break;
        case 3:
          node.zone = zone_name(*rc::gen::inRange(0, 6));
          break;
        case 4:
          c.replicas = *rc::gen::inRange(1u, 6u);
          break;
        default:
          c.add(zone_name(*rc::gen::inRange(0, 6)));
      }
    }
  }));
}

TEST_CASE("what is placed well stays as it is, in whatever order nodes are named", "[sharding]") {
  REQUIRE(rc::check([] {
    auto c = any_cluster(any_zoning());
    auto present = place(c.asked({}));
    RC_ASSERT(place(c.asked(present)) == present);
    std::ranges::reverse(c.nodes);
    RC_ASSERT(place(c.asked(present)) == present);
    RC_ASSERT(place(c.asked({})) == present);
    RC_ASSERT(rebalance_moves(present, present).empty());
  }));
}

TEST_CASE("a node that joins takes its share, and little else moves", "[sharding]") {
  REQUIRE(rc::check([] {
    auto how = *rc::gen::element(zoning::one, zoning::each_its_own);
    auto c = any_cluster(how);
    c.shards = static_cast<std::uint16_t>(1 << *rc::gen::inRange(6, 10));
    auto present = place(c.asked({}));
    for (int joined = *rc::gen::inRange(1, 4); joined > 0; --joined) {
      auto before = c.nodes.size();
      c.add(zone_name(how == zoning::one ? 0 : c.next_name));
      auto name = c.nodes.back().name;
      auto wanted = place(c.asked(present));
      auto moves = rebalance_moves(present, wanted);
      auto ideal = ideal_moves(c.asked(present));
      if (before >= c.replicas)
        RC_ASSERT(ideal == c.shards * c.replicas / (before + 1));
      RC_ASSERT(static_cast<double>(moves.size()) <= 1.25 * static_cast<double>(ideal));
      RC_ASSERT(static_cast<double>(lying_on(wanted, name)) >=
                std::floor(0.95 * static_cast<double>(ideal)));
      present = wanted;
    }
  }));
}

TEST_CASE("of a node that leaves only its replicas move", "[sharding]") {
  REQUIRE(rc::check([] {
    auto c = any_cluster(*rc::gen::element(zoning::one, zoning::each_its_own));
    RC_PRE(c.nodes.size() > c.replicas);
    auto present = place(c.asked({}));
    auto& node = c.nodes[*rc::gen::inRange<std::size_t>(0, c.nodes.size())];
    node.state = *rc::gen::element(node_state::gone, node_state::draining);
    auto wanted = place(c.asked(present));
    auto moves = rebalance_moves(present, wanted);
    auto lost = lying_on(present, node.name);
    std::size_t others = 0;
    for (auto& move : moves)
      others += move.from != node.name;
    RC_ASSERT(moves.size() - others == lost);
    // where there are few shards, what it had may be too little for all to have their least
    std::size_t needed = 0;
    auto left = c.nodes.size() - 1;
    for (auto& other : c.nodes)
      if (other.name != node.name) {
        auto least = 95 * c.shards * c.replicas / (100 * left);
        needed += least - std::min(least, lying_on(present, other.name));
      }
    RC_ASSERT(others <= std::max(needed, lost) - lost);
    RC_CLASSIFY(others > 0, "others had to move");
  }));
}

TEST_CASE("moves lead from the present placement to the wanted one", "[sharding]") {
  REQUIRE(rc::check([] {
    auto c = any_cluster(any_zoning());
    auto present = place(c.asked({}));
    c.replicas = *rc::gen::inRange(1u, 6u);
    c.nodes[*rc::gen::inRange<std::size_t>(0, c.nodes.size())].state = node_state::gone;
    c.add(zone_name(*rc::gen::inRange(0, 6)));
    auto wanted = place(c.asked(present));
    std::vector<std::set<std::string>> moved, expected;
    for (auto& shard : present)
      moved.emplace_back(shard.begin(), shard.end());
    for (auto& shard : wanted)
      expected.emplace_back(shard.begin(), shard.end());
    for (auto& move : rebalance_moves(present, wanted)) {
      if (!move.from.empty())
        RC_ASSERT(moved[move.shard].erase(move.from) == 1u);
      if (!move.to.empty())
        RC_ASSERT(moved[move.shard].insert(move.to).second);
    }
    RC_ASSERT(moved == expected);
  }));
}
