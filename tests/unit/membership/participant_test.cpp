#include "tests/unit/membership/nodes.hpp"

using namespace candor;
using namespace candor::membership_tests;

namespace {

std::size_t count(const std::vector<std::string>& all, const std::string& one) {
  return static_cast<std::size_t>(std::ranges::count(all, one));
}

} // namespace

TEST_CASE("one node alone makes its shards in its first tick", "[membership]") {
  cluster c;
  c.cluster_nodes = c.replicas = 1;
  auto& n = c.start("n1");
  REQUIRE(n.core->tick());
  CHECK(n.configs.size() == c.shards);
  auto& first = n.configs.at(5);
  CHECK(first.version == 1);
  CHECK(first.config ==
        sharding::shard_config{1, 1, {"n1", "disk-of-n1"}, {{"n1", "disk-of-n1"}}, 1, 1});
  CHECK(n.wanted.at(5) == std::vector<sharding::member>{{"n1", "disk-of-n1"}});
  CHECK(n.peers.empty());

  // After a restart it leads at once, although its record in the coordinator is still fresh.
  auto& again = c.start(c.options("n1", "i2"));
  REQUIRE(again.core->tick());
  CHECK(again.core->leads_placement());
  CHECK(again.configs.at(5).version == 1);
}

TEST_CASE("a node alone writes nothing while nothing changes", "[membership]") {
  cluster c;
  c.cluster_nodes = c.replicas = 1;
  auto o = c.options("n1");
  o.alone = true;
  auto& n = c.start(o);
  c.run(2s);
  auto before = n.door.written;
  CHECK(n.core->leads_placement());
  c.run(10s);
  CHECK(n.door.written == before);
}

TEST_CASE("a node's record says that its disk is low, and moves no shard", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto placed = c.held_by("n2");
  c["n2"].low_on_disk = true;
  c.run(1s);
  CHECK(c.truth().nodes.at("n2").low_on_disk);
  CHECK_FALSE(c.truth().nodes.at("n1").low_on_disk);
  CHECK(c.held_by("n2") == placed);
  CHECK(c["n1"].core->snapshot().nodes.at(1).record.low_on_disk);
  c["n2"].low_on_disk = false;
  c.run(1s);
  CHECK_FALSE(c.truth().nodes.at("n2").low_on_disk);
}

namespace {

/// A cluster whose shards lie on n1 and n2; n3 has given its copies away.
struct one_gave_away : cluster {
  one_gave_away() {
    start({"n1", "n2", "n3"});
    run(6s);
    REQUIRE((*this)["n1"].core->drain("n3") == true);
    run(1s);
    settle();
    run(1s);
    REQUIRE(held_by("n3") == 0);
  }
  bool is_holder(const std::string& who, shard_id shard) {
    const auto& all = (*this)["n1"].holders.at(shard);
    return std::ranges::find(all, who, &sharding::member::node) != all.end();
  }
};

} // namespace

TEST_CASE("who holds a shard is told, also of a disk that should not hold it and is away",
          "[membership]") {
  one_gave_away c;
  CHECK(c.is_holder("n1", 5));
  CHECK(c.is_holder("n2", 5));
  CHECK_FALSE(c.is_holder("n3", 5)); // it has emptied it
  c["n3"].held = {5};
  c.run(1s);
  CHECK(c.is_holder("n3", 5));
  CHECK_FALSE(c.is_holder("n3", 6));
  c.dead.insert("n3");
  c["n3"].held = {};
  c.run(30s);
  CHECK(c.is_holder("n3", 5));
  c.dead.clear();
  c.run(1s);
  CHECK_FALSE(c.is_holder("n3", 5));
}

TEST_CASE("a node that never said what it holds may hold everything", "[membership]") {
  one_gave_away c;
  auto record = c.truth().nodes.at("n3");
  record.holds.reset();
  c.dead.insert("n3");
  auto key = sharding::node_key("n3");
  coordination::change change{key, c.truth().version_of(key), sharding::to_json(record)};
  REQUIRE(c.shared->compare_and_swap({&change, 1}) == true);
  c.run(1s);
  CHECK(c.is_holder("n3", 5));
  CHECK(c.is_holder("n3", 127));
}

TEST_CASE("a node that is gone for good can be forgotten, and nothing waits for its disk",
          "[membership]") {
  one_gave_away c;
  c["n3"].held = {5};
  c.run(1s);
  auto& n1 = *c["n1"].core;
  CHECK(n1.forget("n9").error().code == errc::not_found);
  CHECK(n1.forget("n3").error().code == errc::conflict); // it lives
  c.dead.insert("n3");
  CHECK(n1.forget("n1").error().code == errc::conflict);
  c.dead.insert("n2");
  CHECK(n1.forget("n2").error().code == errc::conflict); // copies there count
  c.dead.erase("n2");
  auto done = n1.forget("n3");
  REQUIRE(done);
  CHECK(done->changed);
  CHECK(done->record.disk_id == "disk-of-n3");
  CHECK(done->record.holds == std::set<shard_id>{5});
  CHECK_FALSE(n1.forget("n3")->changed);
  CHECK(n1.drain("n3").error().code == errc::not_found);
  c.run(1s);
  CHECK_FALSE(c.is_holder("n3", 5));
  CHECK_FALSE(c["n2"].peers.contains("n3"));
  CHECK_FALSE(c.truth().nodes.contains("n3"));

  // It lived after all: it is a new node, and holds what it holds.
  c.dead.clear();
  c.run(2s);
  CHECK(c.is_holder("n3", 5));
  CHECK(c["n2"].peers.contains("n3"));
  CHECK(c.truth().nodes.at("n3").state == sharding::node_state::active);
  CHECK(c.held_by("n3") > 0);
}

TEST_CASE("the name of a node that was forgotten is free at once for another disk",
          "[membership]") {
  one_gave_away c;
  c["n3"].held = {5};
  c.run(1s);
  c.dead.insert("n3");
  REQUIRE(c["n1"].core->forget("n3"));
  auto o = c.options("n3", "i2");
  o.self.disk_id = "another disk";
  c.dead.clear();
  c.start(o);
  c.run(1s); // it need not claim the name
  CHECK(c.truth().nodes.at("n3").disk_id == "another disk");
}

TEST_CASE("a new cluster waits for its nodes, then is made once although all try", "[membership]") {
  cluster c;
  c.start({"n1", "n2"});
  c.run(20s);
  CHECK(c.truth().nodes.size() == 2);
  CHECK(c.truth().configs.empty());
  CHECK_FALSE(c.truth().shards);

  c.start("n3");
  c.run(6s);
  auto v = c.truth();
  CHECK(v.shards == c.shards);
  REQUIRE(v.configs.size() == c.shards);
  std::map<std::string, int> written;
  for (auto& [name, n] : c.nodes)
    for (auto& [key, times] : n->door.written)
      written[key] += times;
  for (auto& [shard, config] : v.configs) {
    CHECK(written[sharding::config_key(shard)] == 1);
    CHECK(written[sharding::desired_key(shard)] == 1);
    CHECK(config.version == 1);
    CHECK(config.term == 1);
    CHECK(config.generation == 1);
    CHECK(config.in_sync_min == 2);
    CHECK(config.in_sync == v.wanted(shard));
    CHECK(config.in_sync.size() == 2);
    CHECK(config.primary == config.in_sync.front());
  }
  // All of them know all of it.
  for (auto& [name, n] : c.nodes) {
    CHECK(n->configs.size() == c.shards);
    CHECK(n->wanted.size() == c.shards);
    CHECK(n->peers.size() == 2);
    CHECK_FALSE(n->peers.contains(name));
  }
  CHECK(c["n1"].peers.at("n3") == "n3:7001");
  CHECK(c.leaders().size() == 1);
}

TEST_CASE("a node that is registered but not heard of does not count for a new cluster",
          "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(400ms); // n1 leads from its first tick on, when it was alone
  c.dead.insert("n3");
  cluster d;
  d.start("n3");
  d.run(400ms);
  d.dead.insert("n3");
  d.start({"n1", "n2"});
  d.run(20s);
  CHECK(d.truth().nodes.size() == 3);
  CHECK(d.truth().configs.empty());
  d.dead.clear();
  d.run(2s);
  CHECK(d.truth().configs.size() == d.shards);
}

TEST_CASE("what a leader began to make when it died, the next one ends", "[membership]") {
  cluster c;
  c.shards = 256; // several compare-and-swaps
  coordination::change count{"cluster/shards", 0, "256"};
  REQUIRE(c.shared->compare_and_swap({&count, 1}) == true);
  auto config = membership::first_config({{"n2", "disk-of-n2"}, {"n1", "disk-of-n1"}}, 2);
  std::vector<coordination::change> begun{
      {sharding::desired_key(0), 0, sharding::to_json(sharding::desired_record{{"n2", "n1"}})},
      {sharding::config_key(0), 0, sharding::to_json(*config)},
      {sharding::desired_key(9), 0, sharding::to_json(sharding::desired_record{{"n3", "n1"}})}};
  REQUIRE(c.shared->compare_and_swap(begun) == true);
  c.start({"n1", "n2", "n3"});
  c.run(8s);
  auto v = c.truth();
  REQUIRE(v.configs.size() == 256);
  CHECK(v.configs.at(0) == *config);
  CHECK(v.version_of(sharding::config_key(0)) == 1);
  CHECK(v.configs.at(9).primary.node == "n3");
}

TEST_CASE("a leader that dies is followed by another after its silence, and only one",
          "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  REQUIRE(c.leaders().size() == 1);
  auto first = c.leaders().front();
  auto before = c.truth();
  c.dead.insert(first);
  c.run(3800ms); // its last sign of life is a second old at most
  CHECK(c.leaders().empty());
  c.run(2s);
  REQUIRE(c.leaders().size() == 1);
  CHECK(c.leaders().front() != first);
  CHECK(c.truth().desired == before.desired);
  CHECK(c.truth().configs == before.configs);

  // The old one comes back to life, sees it, and leads no more.
  c.dead.clear();
  c.run(2s);
  CHECK(c.leaders().size() == 1);
  CHECK(c.leaders().front() != first);
}

TEST_CASE("the wall clock does not matter to who leads the placement", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto leader = c.leaders();
  REQUIRE(leader.size() == 1);
  for (auto& [name, n] : c.nodes)
    REQUIRE(n->time.set(from_int(to_int(n->time.now()) + (name == "n2" ? 3'600'000 : -3'600'000))));
  c.run(10s);
  CHECK(c.leaders() == leader);
}

TEST_CASE("a fourth node gets its part, and little else moves", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto before = c.truth().placement({c.shards});
  c.start("n4");
  c.run(6s);
  auto share = c.shards * c.replicas / 4;
  CHECK(c.held_by("n4") >= share * 95 / 100);
  CHECK(c.held_by("n4") <= (share * 105 + 99) / 100);
  auto moves = sharding::rebalance_moves(before, c.truth().placement({c.shards}));
  CHECK(moves.size() <= share * 125 / 100);
  // The records that tell who leads are the replicas' business.
  for (auto& [shard, config] : c.truth().configs)
    CHECK(config.version == 1);
  CHECK(c["n4"].wanted.size() == c.shards);
}

TEST_CASE("a dead node is replaced only after its time", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3", "n4"});
  c.run(8s);
  c.settle();
  c.run(1s);
  auto before = c.truth();
  REQUIRE(c.held_by("n4") > 0);

  SECTION("in ten minutes where its shards have copies to spare") {
    for (auto& [shard, config] : before.configs) {
      config.in_sync_min = 1;
      auto key = sharding::config_key(shard);
      coordination::change change{key, before.version_of(key), sharding::to_json(config)};
      REQUIRE(c.shared->compare_and_swap({&change, 1}) == true);
    }
    c.run(1s);
    c.dead.insert("n4");
    c.run(9min + 50s);
    CHECK(c.truth().desired == before.desired);
    SECTION("back before that, it keeps its shards") {
      c.dead.clear();
      c.run(11min);
      CHECK(c.truth().desired == before.desired);
    }
    SECTION("else others take them") {
      c.run(20s);
      CHECK(c.held_by("n4") == 0);
      for (auto& [shard, record] : c.truth().desired)
        CHECK(record.nodes.size() == 2);
      // It was gone for a leader that did not see it die, too.
      auto leader = c.leaders().front();
      auto after = c.truth().desired;
      c.dead.insert(leader);
      c.run(10s);
      CHECK(c.leaders().size() == 1);
      CHECK(c.held_by("n4") == 0);
      CHECK(c.truth().desired == after);
      // Once it is back it gets its part again.
      c.dead.clear();
      c.run(3s);
      CHECK(c.held_by("n4") > 0);
    }
  }
  SECTION("in a minute where one of them has none") {
    c.dead.insert("n4");
    c.run(50s);
    CHECK(c.truth().desired == before.desired);
    c.run(20s);
    CHECK(c.held_by("n4") == 0);
  }
}

TEST_CASE("nobody is given up where there are too few to take over, or by a node that is cut off",
          "[membership]") {
  cluster c;
  SECTION("as many nodes as replicas") {
    c.replicas = 3;
    c.start({"n1", "n2", "n3"});
    c.run(6s);
    c.dead = {"n3"};
  }
  SECTION("most of the others are silent") {
    c.start({"n1", "n2", "n3", "n4", "n5"});
    c.run(8s);
    c.dead = {"n3", "n4", "n5"};
  }
  auto before = c.truth().desired;
  c.run(12min);
  CHECK(c.leaders().size() == 1);
  CHECK(c.truth().desired == before);
}

TEST_CASE("draining moves everything away, and undraining brings it back", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3", "n4"});
  c.run(8s);
  c.settle();
  c.run(1s);
  CHECK_FALSE(c["n2"].core->drained("n3")->done());
  CHECK(c["n2"].core->drained("n3")->leads > 0);

  CHECK(c["n2"].core->drain("n3") == true);  // any node may say it
  CHECK(c["n1"].core->drain("n3") == false); // it is so already
  c.run(2s);
  CHECK(c.held_by("n3") == 0);
  CHECK_FALSE(c["n2"].core->drained("n3")->done()); // its replicas are still there
  c.settle();
  c.run(1s);
  CHECK(c["n2"].core->drained("n3")->done());

  // It stays so over a restart.
  c.start(c.options("n3", "i2"));
  c.run(1s);
  CHECK(c.truth().nodes.at("n3").state == sharding::node_state::draining);
  CHECK(c.truth().nodes.at("n3").incarnation == "i2");
  CHECK(c.held_by("n3") == 0);

  CHECK(c["n4"].core->undrain("n3") == true);
  c.run(2s);
  CHECK(c.held_by("n3") >= c.shards * c.replicas / 4 * 95 / 100);
  CHECK(c["n1"].core->drain("n9").error().code == errc::not_found);
  CHECK(c["n1"].core->drained("n9").error().code == errc::not_found);
}

TEST_CASE("a wiped disk gets its node's name after a while, and is wanted by its new id",
          "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto o = c.options("n2", "i2");
  o.self.disk_id = "new";
  c.start(o);
  c.run(2s);
  CHECK(c.truth().nodes.at("n2").disk_id == "disk-of-n2"); // who has the name might object
  REQUIRE(c["n3"].core->drain("n2"));
  c.run(1s);
  REQUIRE(c["n3"].core->undrain("n2")); // is no objection
  c.run(5s);
  CHECK(c.truth().nodes.at("n2").disk_id == "new");
  CHECK(c.truth().nodes.at("n2").state == sharding::node_state::active);
  std::size_t told = 0;
  for (auto& [shard, members] : c["n1"].wanted)
    for (auto& m : members)
      if (m.node == "n2") {
        CHECK(m.disk_id == "new");
        ++told;
      }
  CHECK(told > 0);
}

TEST_CASE("a manual move stays through later rounds", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto before = c.desired(7);
  auto other = count(before, "n1") == 0 ? "n1" : count(before, "n2") == 0 ? "n2" : "n3";

  auto done = c["n2"].core->move(7, other);
  REQUIRE(done);
  CHECK(done->before == before);
  CHECK(done->after.front() == other);
  CHECK(done->after.size() == 2);
  CHECK(count(before, done->after.back()) == 1);
  CHECK(c.desired(7) == done->after);

  // One that is there already only comes first.
  auto primary = c["n1"].core->move(7, done->after.back());
  REQUIRE(primary);
  CHECK(primary->after == std::vector<std::string>{done->after[1], done->after[0]});

  c.run(10s);
  CHECK(c.desired(7) == primary->after);
  // A new leader that never saw it computes nothing anew.
  auto leader = c.leaders().front();
  c.dead.insert(leader);
  c.run(10s);
  REQUIRE(c.leaders().size() == 1);
  CHECK(c.leaders().front() != leader);
  CHECK(c.desired(7) == primary->after);

  auto alive = c.leaders().front();
  CHECK(c[alive].core->move(7, leader).error().code == errc::conflict);
  CHECK(c[alive].core->move(7, "n9").error().code == errc::not_found);
  CHECK(c[alive].core->move(c.shards, alive).error().code == errc::not_found);
  c.dead.clear();
  REQUIRE(c[alive].core->drain(leader));
  CHECK(c[alive].core->move(7, leader).error().code == errc::conflict);
}

TEST_CASE("a rebalance evens out what was moved by hand, and says first what it would do",
          "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  CHECK(c["n1"].core->rebalance(false).error().code == errc::conflict); // nothing is made yet
  c.run(6s);
  auto even = c["n1"].core->rebalance(true);
  REQUIRE(even);
  CHECK(even->moves.empty());

  for (shard_id s = 0; s < 40; ++s)
    REQUIRE(c["n1"].core->move(s, "n1"));
  auto crooked = c.truth().desired;
  c.run(10s);
  CHECK(c.truth().desired == crooked);
  auto planned = c["n2"].core->rebalance(true);
  REQUIRE(planned);
  CHECK_FALSE(planned->moves.empty());
  CHECK(planned->ideal > 0);
  CHECK(planned->shards_written == 0);
  CHECK(c.truth().desired == crooked);

  auto done = c["n3"].core->rebalance(false);
  REQUIRE(done);
  CHECK(done->moves == planned->moves);
  CHECK(done->shards_written >= done->moves.size());
  CHECK(c["n1"].core->rebalance(true)->moves.empty());
}

TEST_CASE("a coordinator that fails loses nothing, and is asked less and less", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto leader = c.leaders().front();
  auto before = c.truth();
  for (auto& [name, n] : c.nodes)
    n->door.failing = true;
  c.run(10s);
  auto calls = c[leader].door.calls.load();
  c.run(30s);
  CHECK(c[leader].door.calls - calls <= 11); // each 3 s
  CHECK(c[leader].door.calls - calls >= 5);
  for (auto& [name, n] : c.nodes) {
    auto seen = n->core->snapshot();
    CHECK(seen.configs == before.configs);
    CHECK(seen.nodes.size() == 3);
    REQUIRE(seen.unreachable_since);
    CHECK(n->time.now() - *seen.unreachable_since >= 30s);
    CHECK(n->core->drain("n1").error().code == errc::unavailable);
  }
  for (auto& [name, n] : c.nodes)
    n->door.failing = false;
  c.run(10s);
  CHECK(c.leaders().size() == 1);
  CHECK(c.truth().desired == before.desired);
  CHECK(c.truth().configs == before.configs);
  CHECK_FALSE(c[leader].core->snapshot().unreachable_since);
  c.start("n4");
  c.run(6s);
  CHECK(c.held_by("n4") > 0);
}

TEST_CASE("a write whose outcome is unknown is looked at before it is done again", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  std::mutex mutex;
  std::vector<std::string> written;
  auto watch = c.shared->watch("nodes/n1", [&](auto, const auto& now) {
    std::lock_guard guard{mutex};
    written.push_back(now.value);
  });
  for (auto& [name, n] : c.nodes)
    n->door.mute = true;
  c.run(2min);
  watch.reset();
  auto v = c.truth();
  CHECK(v.configs.size() == c.shards);
  for (auto& [shard, config] : v.configs) {
    CHECK(config.version == 1);
    CHECK(v.version_of(sharding::config_key(shard)) == 1);
  }
  CHECK(written.size() > 1);
  CHECK(std::ranges::adjacent_find(written) == written.end()); // each says something new
}

TEST_CASE("a node that hears no watch finds everything by listing", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c["n3"].door.deaf = true;
  c.run(12s);
  CHECK(c["n3"].configs.size() == c.shards);
  CHECK(c["n3"].wanted.size() == c.shards);
  CHECK(c["n3"].peers.size() == 2);
  CHECK(c.leaders().size() == 1);
}

TEST_CASE("what a watch tells comes without a tick, and each change once", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto& n = c["n2"];
  CHECK(n.config_news == c.shards);
  auto hints = n.hints.load();
  auto calls = n.door.calls.load();
  auto v = c.truth();
  auto next = v.configs.at(3);
  ++next.version;
  ++next.term;
  next.primary = next.in_sync.back();
  coordination::change change{sharding::config_key(3), 1, sharding::to_json(next)};
  REQUIRE(c.shared->compare_and_swap({&change, 1}) == true);
  CHECK(n.hints > hints);
  REQUIRE(n.core->hear());
  CHECK(n.configs.at(3).config == next);
  CHECK(n.configs.at(3).version == 2);
  CHECK(n.door.calls == calls);
  c.run(10s);
  CHECK(n.config_news == c.shards + 1);
}

TEST_CASE("a second process that goes by the name of a living node is refused", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto o = c.options("n2", "another");
  o.self.disk_id = "another disk";
  node second{*c.shared, c.dead, o};
  REQUIRE(second.core->tick()); // it claims the name
  c.run(200ms);
  auto refused = second.core->tick();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
  CHECK(refused.error().detail.find("n2:7001") != std::string::npos);
  // It never tries again, and the first goes on.
  auto calls = second.door.calls.load();
  for (auto i = 0; i < 100; ++i) {
    second.time.advance(1s);
    CHECK_FALSE(second.core->tick());
  }
  CHECK(second.door.calls == calls);
  c.run(10s);
  CHECK(c.truth().nodes.at("n2").disk_id == "disk-of-n2");
}

TEST_CASE("of two processes that go by one name, the one that could not object must stop",
          "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto o = c.options("n2", "another");
  o.self.address = "elsewhere:7001";
  auto wait = 0ms;
  SECTION("the disk is the same: the data directory was copied") {}
  SECTION("the coordinator was out of its reach") {
    o.self.disk_id = "another disk";
    c["n2"].door.failing = true;
    wait = 10s;
  }
  node second{*c.shared, c.dead, o};
  for (millis passed{0}; passed <= wait; passed += 200ms) {
    c.run(200ms - 200ms * (wait == 0ms));
    second.time.advance(200ms);
    REQUIRE(second.core->tick());
  }
  c["n2"].door.failing = false;
  c["n2"].time.advance(10s);
  auto refused = c["n2"].core->tick();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::conflict);
  CHECK(refused.error().detail.find("elsewhere:7001") != std::string::npos);
  // It never takes the name back, and writes nothing more.
  auto calls = c["n2"].door.calls.load();
  for (auto i = 0; i < 100; ++i) {
    c["n2"].time.advance(1s);
    second.time.advance(1s);
    CHECK_FALSE(c["n2"].core->tick());
    CHECK(second.core->tick());
  }
  CHECK(c["n2"].door.calls == calls);
  CHECK(c.truth().nodes.at("n2").incarnation == "another");
}

TEST_CASE("a node with another number of shards is refused before it registers", "[membership]") {
  cluster c;
  c.start({"n1", "n2", "n3"});
  c.run(6s);
  auto o = c.options("n4");
  o.shards = {256};
  node wrong{*c.shared, c.dead, o};
  auto refused = wrong.core->tick();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::config_invalid);
  CHECK(c.truth().nodes.size() == 3);
}
