#include "actors/admin/cluster_report.hpp"

#include <catch2/catch.hpp>

using namespace candor;
using nlohmann::json;

namespace {

sharding::member on(const std::string& node) {
  return {node, "disk-of-" + node};
}

membership::snapshot::node lives(const std::string& name) {
  membership::snapshot::node n;
  n.record.name = name;
  n.record.disk_id = "disk-of-" + name;
  n.record.http = "http://" + name;
  n.alive = true;
  return n;
}

/// Three nodes, two shards with three copies each, all in sync and served.
admin::cluster_facts healthy() {
  admin::cluster_facts f;
  f.cluster = "c";
  f.node = "n1";
  f.coordinator = {"https://etcd:2379"};
  f.shards = 2;
  f.known.nodes = {lives("n1"), lives("n2"), lives("n3")};
  f.known.placement_leader = "n2";
  f.known.configs[0] = {3, 1, on("n1"), {on("n1"), on("n2"), on("n3")}, 2};
  f.known.configs[1] = {5, 2, on("n2"), {on("n2"), on("n3"), on("n1")}, 2};
  for (shard_id s = 0; s < 2; ++s) {
    f.known.wanted[s] = {on("n1"), on("n2"), on("n3")};
    f.answered[s].shard = s;
    f.answered[s].term = f.known.configs[s].term;
  }
  return f;
}

json node_of(const json& report, const std::string& name) {
  for (const auto& n : report.at("nodes"))
    if (n.at("name") == name)
      return n;
  return {};
}

} // namespace

TEST_CASE("a cluster whose shards are all served with all their copies is healthy", "[admin]") {
  auto r = admin::report(healthy());
  CHECK(r.at("healthy") == true);
  CHECK(r.at("cluster") == "c");
  CHECK(r.at("placement_leader") == "n2");
  CHECK(r.at("coordinator") ==
        json{{"reachable", true}, {"endpoints", json::array({"https://etcd:2379"})}});
  CHECK(r.at("shards").at(0).at("primary") == "n1");
  CHECK(r.at("shards").at(1).at("in_sync") == json({"n2", "n3", "n1"}));
  CHECK(node_of(r, "n1").at("led") == 1);
  CHECK(node_of(r, "n3").at("led") == 0);
  CHECK(node_of(r, "n3").at("held") == 2);
  CHECK(node_of(r, "n3").at("in_sync") == 2);
}

TEST_CASE("a shard whose primary does not answer is shown as not serving", "[admin]") {
  auto facts = healthy();
  facts.answered.erase(1);
  auto r = admin::report(facts);
  CHECK(r.at("healthy") == false);
  const auto& line = r.at("shards").at(1);
  CHECK(line.at("serving") == false);
  CHECK(line.at("term") == 2);
  CHECK(line.at("primary") == "n2");
  CHECK_FALSE(line.contains("seq"));
  CHECK(r.at("shards").at(0).at("serving") == true);
}

TEST_CASE("a shard of which nothing is known yet has a line", "[admin]") {
  admin::cluster_facts facts;
  facts.shards = 1;
  auto r = admin::report(facts);
  CHECK(r.at("shards").at(0) == json{{"shard", 0}, {"serving", false}, {"term", 0}});
  CHECK(r.at("healthy") == false);
}

TEST_CASE("a copy that lags behind makes the cluster unhealthy", "[admin]") {
  auto facts = healthy();
  facts.known.configs[0].in_sync.pop_back();
  auto r = admin::report(facts);
  CHECK(r.at("healthy") == false);
  CHECK(node_of(r, "n3").at("held") == 2);
  CHECK(node_of(r, "n3").at("in_sync") == 1);
}

TEST_CASE("a node that is not heard of is down, and one that drains says so", "[admin]") {
  auto facts = healthy();
  facts.known.nodes[0].record.state = sharding::node_state::draining;
  auto r = admin::report(facts);
  CHECK(node_of(r, "n1").at("state") == "draining");
  CHECK(node_of(r, "n2").at("state") == "active");
  CHECK(r.at("healthy") == true);
  facts.known.nodes[0].alive = false;
  r = admin::report(facts);
  CHECK(node_of(r, "n1").at("state") == "down");
  CHECK(r.at("healthy") == false);
}

TEST_CASE("a node that is low on disk makes the cluster unhealthy", "[admin]") {
  auto facts = healthy();
  facts.known.nodes[1].record.low_on_disk = true;
  auto r = admin::report(facts);
  CHECK(node_of(r, "n1").at("low_on_disk") == false);
  CHECK(node_of(r, "n2").at("low_on_disk") == true);
  CHECK(r.at("healthy") == false);
}

TEST_CASE("a disk that was wiped holds nothing", "[admin]") {
  auto facts = healthy();
  facts.known.nodes[0].record.disk_id = "another";
  auto r = admin::report(facts);
  CHECK(node_of(r, "n1").at("led") == 0);
  CHECK(node_of(r, "n1").at("in_sync") == 0);
}

TEST_CASE("the report says since when the coordinator is silent", "[admin]") {
  auto facts = healthy();
  facts.known.unreachable_since = *parse_time("2026-01-01T00:00:00Z");
  auto r = admin::report(facts);
  CHECK(r.at("coordinator").at("reachable") == false);
  CHECK(r.at("coordinator").at("unreachable_since") == format_time(*facts.known.unreachable_since));
  CHECK(r.at("healthy") == false);
}

TEST_CASE("a primary knows of its own term before the coordinator's news are here", "[admin]") {
  auto facts = healthy();
  facts.answered[0].term = 9;
  CHECK(admin::report(facts).at("shards").at(0).at("term") == 9);
}

TEST_CASE("a node that is alone says nothing of a cluster", "[admin]") {
  auto facts = healthy();
  facts.cluster.clear();
  auto r = admin::report(facts);
  CHECK_FALSE(r.contains("cluster"));
  CHECK_FALSE(r.contains("coordinator"));
}
