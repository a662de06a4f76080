#include "storage/base/limits.hpp"
#include "tests/unit/routing/house.hpp"

using namespace candor;
using namespace candor::routing_tests;

TEST_CASE("a message to a shard reaches the node that leads it", "[routing]") {
  house h;
  CHECK(h.route<receipt>(erase_user{0, "u-1", "test"}).has_value());
  CHECK(h.here->asked == 1);
  auto there = h.lead_from("there");
  CHECK(h.route<receipt>(erasure()).has_value());
  CHECK(there->asked == 1);
  CHECK(h.here->asked == 1);
}

TEST_CASE("what was not tried is asked again until a primary takes it", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::refuse;
  auto answer = h.route<receipt>(erasure(), [&] {
    REQUIRE(becomes_true([&] { return there->asked >= 3; }));
    there->does = order::how::answer;
  });
  CHECK(answer.has_value());
  CHECK(h.here->asked == 0);
}

TEST_CASE("what was not tried is asked where the shard is led now", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::refuse;
  auto answer = h.route<receipt>(erasure(), [&] {
    REQUIRE(becomes_true([&] { return there->asked >= 1; }));
    h.set_leader("here");
  });
  CHECK(answer.has_value());
  CHECK(h.here->asked == 1);
}

TEST_CASE("a message waits for the first primary of a shard", "[routing]") {
  house h;
  h.shards->set_leader(1, {});
  std::shared_ptr<order> there;
  CHECK(h.route<receipt>(erasure(), [&] { there = h.lead_from("there"); }).has_value());
  CHECK(there->asked == 1);
}

TEST_CASE("events are sent again when the node that had them is lost", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::be_silent;
  auto answer = h.route<verdicts>(signals(), [&] {
    REQUIRE(becomes_true([&] { return there->asked >= 1; }));
    h.shards->set_door("there", nullptr); // the link is down; who leads is not known yet
    h.set_leader("there");
    h.set_leader("here");
  });
  CHECK(answer.has_value());
  CHECK(there->asked == 1);
  CHECK(h.here->asked == 1);
}

TEST_CASE("what must not be done twice has an unknown outcome when its node is lost", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::be_silent;
  auto answer = h.route<receipt>(erasure(), [&] {
    REQUIRE(becomes_true([&] { return there->asked >= 1; }));
    h.set_leader("here");
  });
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::outcome_unknown);
  CHECK(there->asked == 1);
  CHECK(h.here->asked == 0);
}

TEST_CASE("what nobody can take is unavailable at the deadline", "[routing]") {
  house h;
  h.shards->set_leader(1, {});
  auto answer = h.route<receipt>(erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::unavailable);
  CHECK(h.here->asked == 0);

  auto there = h.lead_from("there");
  there->does = order::how::refuse;
  answer = h.route<receipt>(erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::unavailable);
  CHECK(there->asked > 1);
}

TEST_CASE("who asks for a primary that leads on without a link to here is sent to another node",
          "[routing]") {
  house h;
  h.set_leader("there");
  auto answer = h.route<receipt>(erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::unavailable);
  CHECK(answer.error().detail.find("there leads this shard") != std::string::npos);

  // With the link back it is asked again.
  auto there = h.lead_from("there");
  h.set_leader("there");
  CHECK(h.route<receipt>(erasure()).has_value());
  CHECK(there->asked == 1);
}

TEST_CASE("no more bytes are on their way to a node than it may owe answers for", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::be_silent;
  learn_signals large{1, {}};
  large.items.resize(limits::routed_in_flight_bytes / limits::routed_message_bytes * 2 / 3);
  auto first = h.self->request(h.router, 60s, large);
  auto second = h.route<verdicts>(large, [&] {
    REQUIRE(becomes_true([&] { return there->asked >= 1; }));
    std::this_thread::sleep_for(10 * limits::route_again_every); // it had the time to be sent
    CHECK(there->asked == 1);
    h.set_leader("here");
  });
  CHECK(second.has_value());
  first.receive([](const verdicts&) {}, [](const caf::error&) { FAIL("it was not sent again"); });
  CHECK(h.here->asked == 2);
}

TEST_CASE("what a primary refuses is refused", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  there->does = order::how::refuse;
  there->refusal = errc::user_not_found;
  auto answer = h.route<receipt>(erasure());
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::user_not_found);
  CHECK(there->asked == 1);
  answer = h.route<receipt>(erase_user{99, "u-1", "test"});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::not_found);
}

TEST_CASE("a message crosses one link at most", "[routing]") {
  house h;
  auto third = std::make_shared<order>();
  // A node that thinks that a third one leads: it says so, and asks nobody.
  auto behind = std::make_shared<routing::door_rooms>();
  auto of_there = std::make_shared<shard_directory>(shard_count{4}, "there");
  of_there->set_leader(1, "third");
  of_there->set_door("third", h.add_primary(third));
  of_there->set_router(caf::actor_cast<profile_handle>(h.add_primary(third)));
  behind->put({of_there, nullptr, {}});
  h.rooms.push_back(routing::spawn_node_door_actor(h.system, behind));
  h.shards->set_door("there", h.rooms.back());
  h.shards->set_leader(1, "there");
  auto answer = h.route<receipt>(erasure(), [&] {
    std::this_thread::sleep_for(100ms);
    h.set_leader("here");
  });
  CHECK(answer.has_value());
  CHECK(h.here->asked == 1);
  CHECK(third->asked == 0);
}

TEST_CASE("a session is answered by this node's own copy, wherever the shard is led", "[routing]") {
  house h;
  auto there = h.lead_from("there");
  CHECK(h.route<user_answer>(read_session{1, "u-1", {}}).has_value());
  CHECK(h.here->asked == 1);
  CHECK(there->asked == 0);
  CHECK(h.route<user_answer>(read_user{1, "u-1", false, "test"}).has_value());
  CHECK(h.here->asked == 1);
  CHECK(there->asked == 1);
}

TEST_CASE("a session waits for this node's copy, and goes to the primary where it is not there in "
          "time",
          "[routing]") {
  house h;
  auto there = h.lead_from("there");
  h.here->does = order::how::refuse;
  h.here->refusal = errc::not_applied;
  SECTION("it comes in time") {
    auto answer = h.route<user_answer>(read_session{1, "u-1", {}}, [&] {
      REQUIRE(becomes_true([&] { return h.here->asked >= 2; }));
      h.here->does = order::how::answer;
    });
    CHECK(answer.has_value());
  }
  SECTION("it does not") {
    CHECK(h.route<user_answer>(read_session{1, "u-1", {}}).has_value());
    CHECK(there->asked == 1);
  }
}

TEST_CASE("where neither this node's copy nor a primary answers a session, both are asked again",
          "[routing]") {
  house h;
  h.shards->set_leader(1, {});
  h.here->does = order::how::refuse;
  auto answer = h.route<user_answer>(read_session{1, "u-1", {}}, [&] {
    REQUIRE(becomes_true([&] { return h.here->asked >= 3; }));
    h.here->does = order::how::answer;
  });
  CHECK(answer.has_value());

  h.here->does = order::how::refuse;
  answer = h.route<user_answer>(read_session{1, "u-1", {}});
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error().code == errc::unavailable);
}
