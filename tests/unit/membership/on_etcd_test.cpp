#include "storage/base/limits.hpp"
#include "tests/support/etcd_cluster.hpp"
#include "tests/unit/membership/nodes.hpp"

using namespace candor;
using namespace candor::membership_tests;

TEST_CASE("on a real etcd a cluster is made once, outlives etcd's absence, and takes a node in",
          "[membership][etcd]") {
  if (!test::etcd_cluster::is_installed()) {
    WARN("no etcd here");
    return;
  }
  test::etcd_cluster etcd{1};
  cluster c;
  auto options = etcd.options("candor/membership/");
  options.deadline = 20s; // what is tested here is not time, and the machine may be busy
  auto made = coordination::make_etcd_coordinator(options);
  REQUIRE(made);
  c.shared = std::move(*made);

  c.start({"n1", "n2", "n3"});
  c.run(12s);
  auto before = c.truth();
  REQUIRE(before.configs.size() == c.shards);
  for (auto& [shard, config] : before.configs) {
    CHECK(config.version == 1);
    CHECK(before.version_of(sharding::config_key(shard)) == 1);
    CHECK(config.in_sync == before.wanted(shard));
  }
  CHECK(c.leaders().size() == 1);
  for (auto& [name, n] : c.nodes) {
    CHECK(n->configs.size() == c.shards);
    CHECK(n->peers.size() == 2);
  }

  etcd.kill(0);
  c.run(10s);
  for (auto& [name, n] : c.nodes) {
    CHECK(n->core->snapshot().unreachable_since);
    CHECK(n->core->snapshot().configs == before.configs);
  }
  etcd.start(0);
  etcd.leader();
  c.start("n4");
  c.run(15s);
  CHECK(c.leaders().size() == 1);
  CHECK(c.held_by("n4") >= c.shards * c.replicas / 4 * 95 / 100);
  CHECK(c["n4"].core->drain("n1") == true);
  c.run(6s);
  CHECK(c.held_by("n1") == 0);
  CHECK(c.truth().configs == before.configs);
}
