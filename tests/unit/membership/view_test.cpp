#include "cluster/membership/view.hpp"

#include <catch2/catch.hpp>

using namespace candor;
using namespace candor::membership;

namespace {

sharding::node_record node(const std::string& name, const std::string& disk) {
  return {name, disk, "i", "h:1", "http://h", "z", sharding::node_state::active, from_int(0)};
}

} // namespace

TEST_CASE("the leader's record and the placed nodes are read as they were written",
          "[membership]") {
  leader_record leader{"n1", "abc", 7};
  CHECK(leader_record_from_json(to_json(leader)) == leader);
  placed_nodes nodes{{"a", {"a", "z1", sharding::node_state::active}},
                     {"b", {"b", "z2", sharding::node_state::draining}}};
  auto again = placed_nodes_from_json(to_json(nodes));
  REQUIRE(again);
  CHECK(same(*again, nodes));
  for (auto change : {0, 1, 2}) {
    auto other = nodes;
    if (change == 0)
      other["a"].zone = "z3";
    else if (change == 1)
      other["b"].state = sharding::node_state::active;
    else
      other.erase("a");
    CHECK_FALSE(same(other, nodes));
  }
  CHECK(leader_record_from_json("{}").error().code == errc::corrupt);
  CHECK(placed_nodes_from_json("[").error().code == errc::corrupt);
}

TEST_CASE("an older version, or what cannot be read, changes nothing", "[membership]") {
  view v;
  CHECK(v.take("nodes/n1", {to_json(node("n1", "d2")), 2}) == news::node);
  CHECK(v.take("nodes/n1", {to_json(node("n1", "d1")), 1}) == news::none);
  CHECK(v.take("nodes/n1", {to_json(node("n1", "d3")), 2}) == news::none);
  CHECK(v.nodes.at("n1").disk_id == "d2");

  CHECK(v.take("nodes/n1", {"{", 3}) == news::none);
  CHECK(v.take("nodes/n2", {to_json(node("n1", "d4")), 1}) == news::none); // another's
  CHECK(v.nodes.size() == 1);
  CHECK(v.nodes.at("n1").disk_id == "d2");
  CHECK(v.version_of("nodes/n1") == 3); // what a compare-and-swap has to expect

  CHECK(v.take("placement/0003", {R"({"nodes":["n1","n2"]})", 1}) == news::desired);
  CHECK(v.take("placement/3", {R"({"nodes":["n1"]})", 1}) == news::none);
  CHECK(v.take("shards/0003", {"nonsense", 1}) == news::none);
  CHECK(v.take("cluster/shards", {"64", 1}) == news::other);
  CHECK(v.shards == 64);
  CHECK(v.take("policies/x", {"1", 1}) == news::none);
  CHECK(v.version_of("shards/0004") == 0);
}

TEST_CASE("a shard is wanted on the disks that its nodes have now, less unknown nodes",
          "[membership]") {
  view v;
  v.take("nodes/n1", {to_json(node("n1", "d1")), 1});
  v.take("placement/0003", {R"({"nodes":["n2","n1"]})", 1});
  CHECK(v.wanted(3) == std::vector<sharding::member>{{"n1", "d1"}});
  v.take("nodes/n2", {to_json(node("n2", "d2")), 1});
  CHECK(v.wanted(3) == std::vector<sharding::member>{{"n2", "d2"}, {"n1", "d1"}});
  CHECK(v.wanted(4).empty());
}

TEST_CASE("a first configuration never asks for more copies than there are members",
          "[membership]") {
  CHECK_FALSE(first_config({}, 2));
  CHECK(first_config({{"a", "d"}}, 2)->in_sync_min == 1);
  CHECK(first_config({{"a", "d"}, {"b", "e"}, {"c", "f"}}, 2)->in_sync_min == 2);
  CHECK(first_config({{"a", "d"}, {"b", "e"}}, 1)->in_sync_min == 1);
}

TEST_CASE("a shard that is moved gives up its node with most shards, and no other",
          "[membership]") {
  using names = std::vector<std::string>;
  sharding::placement present{{"a", "b"}, {"b", "c"}, {"c", "b"}, {"a"}};
  CHECK(moved(present, 0, "c", 2) == names{"c", "a"});
  CHECK(moved(present, 1, "a", 2) == names{"a", "c"});
  CHECK(moved(present, 1, "c", 2) == names{"c", "b"}); // a member only comes first
  CHECK(moved(present, 1, "b", 2) == names{"b", "c"});
  CHECK(moved(present, 3, "b", 2) == names{"b", "a"}); // there was one too few
}
