#include "tests/unit/routing/house.hpp"

using namespace candor;
using namespace candor::routing_tests;

namespace {

/// The door of the node "here".
struct door_house : house {
  std::shared_ptr<routing::door_rooms> behind = std::make_shared<routing::door_rooms>();
  std::shared_ptr<order> router_orders = std::make_shared<order>();
  caf::actor door;

  door_house() {
    // What rooms of this node ask: the door must not, or a message could go round.
    shards->set_router(caf::actor_cast<profile_handle>(add_primary(router_orders)));
    door = routing::spawn_node_door_actor(system, behind);
    rooms.push_back(door);
  }
};

} // namespace

TEST_CASE("the door hands a message to this node's own primary", "[routing]") {
  door_house h;
  h.behind->put({h.shards, nullptr, {}});
  CHECK(h.ask<receipt>(h.door, erasure()).has_value());
  CHECK(h.here->asked == 1);
  h.here->does = order::how::refuse;
  h.here->refusal = errc::user_not_found;
  auto answer = h.ask<receipt>(h.door, erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::user_not_found);
  CHECK(h.router_orders->asked == 0);
}

TEST_CASE("the door of a node that does not lead the shard says so", "[routing]") {
  door_house h;
  h.behind->put({h.shards, nullptr, {}});
  h.lead_from("there");
  for (auto shard : {shard_id{1}, shard_id{99}}) {
    auto answer = h.ask<verdicts>(h.door, learn_signals{shard, {}});
    REQUIRE_FALSE(answer.has_value());
    CHECK(answer.error().code == errc::not_primary);
  }
  CHECK(h.here->asked == 0);
  CHECK(h.router_orders->asked == 0);
}

TEST_CASE("the door of a node whose rooms are not there yet says that it leads nothing",
          "[routing]") {
  door_house h;
  auto answer = h.ask<receipt>(h.door, erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::not_primary);
  auto asked = h.ask<admin_answer>(h.door, admin_call{"status", "{}", "test"});
  REQUIRE_FALSE(asked.has_value());
  CHECK(asked.error().code == errc::not_primary);
}

TEST_CASE("the door hands an operator's message to the admin room", "[routing]") {
  door_house h;
  auto doors = std::make_shared<rooms>();
  doors->admin = h.system.spawn([](admin_handle::pointer) -> admin_handle::behavior_type {
    return {[](const admin_call& call) { return admin_answer{call.verb + " of " + call.caller}; }};
  });
  h.rooms.push_back(caf::actor_cast<caf::actor>(doors->admin));
  h.behind->put({h.shards, doors, {}});
  auto answer = h.ask<admin_answer>(h.door, admin_call{"status", "{}", "ops"});
  REQUIRE(answer.has_value());
  CHECK(answer->json == "status of ops");
}
