#include "cluster/membership/membership_actor.hpp"

#include <chrono>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

using namespace candor;
using namespace std::chrono_literals;

namespace {

struct system_config : caf::actor_system_config {
  system_config() {
    add_message_types<caf::id_block::candor_transport>();
    add_message_types<caf::id_block::candor_cluster>();
    add_message_types<caf::id_block::candor_membership>();
    set("scheduler.max-threads", 2u);
  }
};

/// What the node was told, from the actor's thread.
struct notebook {
  std::mutex mutex;
  std::map<shard_id, replication::config_seen> configs;
  std::map<shard_id, std::vector<sharding::member>> wanted;
  std::map<std::string, std::string> peers;
  std::vector<error> refusals;
};

bool becomes_true(const std::function<bool()>& what) {
  for (auto until = std::chrono::steady_clock::now() + 60s;
       std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(5ms))
    if (what())
      return true;
  return false;
}

struct house {
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  std::unique_ptr<coordination::coordinator> shared = coordination::make_local_coordinator(*db);
  std::unique_ptr<candor::clock> time = make_system_clock();
  notebook notes;
  system_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};

  membership::membership_handle start(const std::string& incarnation = "i1") {
    membership::participant_options o;
    o.self = {"n1",
              "d1",
              incarnation,
              "localhost:7001",
              "http://localhost:8080",
              "a",
              sharding::node_state::active,
              time->now()};
    o.shards = {64};
    o.replicas = o.in_sync_min = o.cluster_nodes = 1;
    return membership::spawn_membership(system, o,
                                        {*shared,
                                         *time,
                                         [](const auto&) { return true; },
                                         [this](auto all) {
                                           std::lock_guard guard{notes.mutex};
                                           notes.peers = std::move(all);
                                         },
                                         [this](auto some) {
                                           std::lock_guard guard{notes.mutex};
                                           for (auto& w : some)
                                             notes.wanted[w.shard] = std::move(w.members);
                                         },
                                         [this](auto some) {
                                           std::lock_guard guard{notes.mutex};
                                           for (auto& c : some)
                                             notes.configs[c.shard] = std::move(c);
                                         },
                                         {}},
                                        [this](const error& why) {
                                          std::lock_guard guard{notes.mutex};
                                          notes.refusals.push_back(why);
                                        });
  }

  template <class Answer, class... Ts>
  Answer ask(const membership::membership_handle& whom, const Ts&... xs) {
    Answer answer;
    self->request(whom, 60s, xs...)
        .receive([&](const Answer& a) { answer = a; },
                 [&](const caf::error& e) { FAIL(system.render(e)); });
    return answer;
  }

  bool told(const std::function<bool(const notebook&)>& what) {
    return becomes_true([&] {
      std::lock_guard guard{notes.mutex};
      return what(notes);
    });
  }

  void stop(const membership::membership_handle& whom) {
    self->send_exit(whom, caf::exit_reason::user_shutdown);
    self->wait_for(whom);
  }
};

} // namespace

TEST_CASE("the actor makes a cluster of one, tells of changes, and does what operators ask",
          "[membership]") {
  house h;
  auto node = h.start();
  CHECK(h.told([](auto& n) { return n.configs.size() == 64 && n.wanted.size() == 64; }));

  using namespace membership;
  auto seen = h.ask<snapshot_ptr>(node, snapshot_atom_v);
  REQUIRE(seen->nodes.size() == 1);
  CHECK(seen->nodes[0].record.name == "n1");
  CHECK(seen->nodes[0].alive);
  CHECK(seen->nodes[0].left.leads == 64);
  CHECK(seen->placement_leader == "n1");
  CHECK_FALSE(seen->unreachable_since);

  // What another node writes.
  auto next = seen->configs.at(3);
  ++next.version;
  ++next.term;
  coordination::change change{sharding::config_key(3), 1, sharding::to_json(next)};
  REQUIRE(h.shared->compare_and_swap({&change, 1}) == true);
  CHECK(h.told([](auto& n) { return n.configs.at(3).version == 2; }));
  sharding::node_record other{"n2",
                              "d2",
                              "i1",
                              "localhost:7002",
                              "http://localhost:8081",
                              "b",
                              sharding::node_state::active,
                              h.time->now()};
  coordination::change joins{sharding::node_key("n2"), 0, sharding::to_json(other)};
  REQUIRE(h.shared->compare_and_swap({&joins, 1}) == true);
  CHECK(h.told([](auto& n) { return n.peers.contains("n2"); }));

  CHECK(**h.ask<changed_ptr>(node, drain_atom_v, std::string{"n2"}) == true);
  CHECK(**h.ask<changed_ptr>(node, drain_atom_v, std::string{"n2"}) == false);
  CHECK(**h.ask<changed_ptr>(node, undrain_atom_v, std::string{"n2"}) == true);
  auto moved = h.ask<moved_ptr>(node, move_atom_v, shard_id{5}, std::string{"n2"});
  REQUIRE(*moved);
  CHECK((*moved)->after == std::vector<std::string>{"n2"});
  CHECK(h.told([](auto& n) {
    return n.wanted.at(5) == std::vector<sharding::member>{{"n2", "d2"}};
  }));
  auto nobody = h.ask<moved_ptr>(node, move_atom_v, shard_id{5}, std::string{"n3"});
  CHECK(nobody->error().code == errc::not_found);
  CHECK(*h.ask<rebalanced_ptr>(node, rebalance_atom_v, true));

  // Nothing is called once it has ended.
  h.stop(node);
  change.expected_version = 2;
  REQUIRE(h.shared->compare_and_swap({&change, 1}) == true);
  CHECK(h.notes.configs.at(3).version == 2);
  CHECK(h.notes.refusals.empty());
}

TEST_CASE("the actor says once that its node must not go on", "[membership]") {
  house h;
  auto first = h.start();
  CHECK(h.told([](auto& n) { return n.configs.size() == 64; }));
  auto second = h.start("i2");
  CHECK(h.told([](auto& n) { return n.refusals.size() == 1; }));
  CHECK(h.notes.refusals.at(0).code == errc::conflict);
  // The second goes on.
  CHECK(becomes_true([&] {
    return **h.ask<membership::changed_ptr>(second, membership::drain_atom_v, std::string{"n1"});
  }));
  h.stop(first);
  h.stop(second);
  CHECK(h.notes.refusals.size() == 1);
}
