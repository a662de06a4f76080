#include <set>

#include <catch2/catch.hpp>

#include "cluster/sharding/placement.hpp"

using namespace candor;
using namespace candor::sharding;

namespace {

std::vector<placement_node> nodes_of(const std::string& names, const std::string& zones) {
  std::vector<placement_node> nodes;
  for (std::size_t i = 0; i < names.size(); ++i)
    nodes.push_back({std::string{names[i]}, std::string{zones[i]}, node_state::active});
  return nodes;
}

std::size_t lying_on(const placement& p, const std::string& name) {
  std::size_t count = 0;
  for (auto& shard : p)
    count += static_cast<std::size_t>(std::ranges::count(shard, name));
  return count;
}

} // namespace

TEST_CASE("placement is the same on every platform", "[sharding]") {
  auto placed = place({nodes_of("abcd", "1123"), {8}, 3, {}});
  std::string text;
  for (auto& shard : placed) {
    for (auto& name : shard)
      text += name;
    text += ' ';
  }
  CHECK(text == "adc dcb cda cad dcb dcb cbd bcd ");
}

TEST_CASE("no nodes, no replicas or no shards: nothing is placed", "[sharding]") {
  CHECK(place({{}, {4}, 3, {}}) == placement(4));
  CHECK(place({nodes_of("ab", "12"), {4}, 0, {}}) == placement(4));
  CHECK(place({nodes_of("ab", "12"), {0}, 2, {}}).empty());
}

TEST_CASE("fewer nodes than replicas hold every shard", "[sharding]") {
  for (auto& shard : place({nodes_of("ab", "11"), {64}, 3, {}}))
    CHECK(std::set<std::string>{shard.begin(), shard.end()} == std::set<std::string>{"a", "b"});
}

TEST_CASE("zones go before even loads", "[sharding]") {
  // two replicas in different zones: the node that is alone in its zone holds every shard
  auto placed = place({nodes_of("abcd", "1222"), {90}, 2, {}});
  CHECK(lying_on(placed, "a") == 90);
  for (auto name : {"b", "c", "d"}) {
    CHECK(lying_on(placed, name) >= 28);
    CHECK(lying_on(placed, name) <= 32);
  }
}

TEST_CASE("a draining node gets nothing, and keeps nothing that others can hold", "[sharding]") {
  auto nodes = nodes_of("abcd", "1111");
  auto present = place({nodes, {64}, 3, {}});
  nodes[3].state = node_state::draining;
  CHECK(lying_on(place({nodes, {64}, 3, present}), "d") == 0);
  // two that drain of four: both active ones hold all, and of the others stays what they had
  nodes[2].state = node_state::draining;
  auto wanted = place({nodes, {64}, 3, present});
  for (std::size_t s = 0; s < 64; ++s) {
    REQUIRE(wanted[s].size() >= 2);
    CHECK(std::set<std::string>{wanted[s][0], wanted[s][1]} == std::set<std::string>{"a", "b"});
    std::set<std::string> had{present[s].begin(), present[s].end()};
    CHECK(wanted[s].size() == (had.contains("c") || had.contains("d") ? 3 : 2));
    for (std::size_t i = 2; i < wanted[s].size(); ++i)
      CHECK(had.contains(wanted[s][i]));
  }
  CHECK(place({nodes, {64}, 3, {}})[0].size() == 2); // nothing new
}

TEST_CASE("moves pair what a shard loses with what it gains", "[sharding]") {
  placement present{{"a", "b"}, {"a", "b"}, {"a"}, {"a", "b", "c"}};
  placement wanted{{"b", "a"}, {"c", "b"}, {"a", "c"}, {"c"}};
  CHECK(rebalance_moves(present, wanted) ==
        std::vector<replica_move>{{1, "a", "c"}, {2, "", "c"}, {3, "a", ""}, {3, "b", ""}});
  CHECK(rebalance_moves({}, {{"a"}}) == std::vector<replica_move>{{0, "", "a"}});
}

TEST_CASE("the ideal number of moves is what nodes lack of their share", "[sharding]") {
  auto present = place({nodes_of("abc", "111"), {64}, 2, {}});
  auto joined = nodes_of("abcd", "1111");
  CHECK(ideal_moves({joined, {64}, 2, present}) == 32);
  CHECK(ideal_moves({nodes_of("abc", "111"), {64}, 2, {}}) == 3 * 42);
  joined[0].state = node_state::gone;
  CHECK(ideal_moves({joined, {64}, 2, present}) == 42);
}
