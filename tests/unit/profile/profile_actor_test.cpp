#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "actors/profile/profile_actor.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/failing_engine.hpp"
#include "tests/support/shard.hpp"
#include "tests/support/system_config.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;

namespace {

const auto now = at("2025-12-17T12:00:00Z");

/// A shard's primary with its write door, in actors, on an engine that can fail.
struct primary {
  primary() {
    secrets = *stores::load_or_make_secrets(folder.path());
    keys = std::move(*stores::open_user_keys(folder.path(), secrets));
    coordinator = coordination::make_local_coordinator(db);
    make_shards(*coordinator, {2}, {"n1", "d1"});
    auto promises =
        std::make_shared<replication::leases>(sharding::member{"n1", "d1"}, 1, shard_count{2},
                                              replication::lease_options{}, time.monotonic());
    auto opened =
        replication::spawn_replication(system,
                                       {db, *keys, *coordinator, promises, time,
                                        [](auto, const auto&) {}, [this] { return disk.load(); }},
                                       {{"n1", "d1"}, {2}});
    REQUIRE(opened);
    door = *opened;
    const std::vector<sharding::member> alone = {{"n1", "d1"}};
    std::vector<replication::shard_wanted> wanted = {{0, alone, alone}, {1, alone, alone}};
    caf::anon_send(door.actor, replication::shards_wanted_ptr{
                                   std::make_shared<decltype(wanted)>(std::move(wanted))});
    profile = profile::spawn_profile_actor(system, 0, {db, *keys, secrets, regions, time, random},
                                           {}, door);
  }
  ~primary() {
    caf::anon_send_exit(profile, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(door.actor, caf::exit_reason::user_shutdown);
  }

  template <class Answer, class Message>
  result<Answer> ask(Message message) {
    caf::scoped_actor self{system};
    result<Answer> answer = fail(errc::internal);
    self->request(profile, 5s, std::move(message))
        .receive([&](Answer& a) { answer = std::move(a); },
                 [&](const caf::error& e) { answer = tl::unexpected<error>{from_caf(e)}; });
    return answer;
  }

  model::verdict like(const std::string& id, const std::string& who) {
    model::event e{id, user(who), now, model::event_kind::engagement};
    e.object_topics = {outdoors};
    auto signal = filter_side.filter->sanitize({id, who, now, now, e.kind, {}, 0}, e);
    auto answer = ask<verdicts>(learn_signals{0, {*signal}});
    return answer ? answer->items.at(0) : model::verdict::unknown();
  }

  /// The primary opens its shard in its own time, and the disk is tried again after a while.
  void wait_until_open() {
    time.advance(1s);
    for (auto i = 0; i < 200 && !ask<shard_status>(shard_status_request{0}); ++i)
      std::this_thread::sleep_for(20ms);
    REQUIRE(ask<shard_status>(shard_status_request{0}));
  }

  /// It is looked at in the replicator's own time.
  void disk_becomes(disk_room room) {
    disk = room;
    time.advance(1s);
    for (auto i = 0; i < 200 && door.room(0) != room; ++i)
      std::this_thread::sleep_for(20ms);
    REQUIRE(door.room(0) == room);
  }

  std::uint32_t events_of(const std::string& who) {
    auto answer = ask<user_answer>(read_user{0, who, false, "test"});
    REQUIRE(answer);
    auto record = model::decode_user_record(answer->record);
    REQUIRE(record);
    return record->interests.empty() ? 0 : record->interests.front().events;
  }

  shard filter_side{now, ""}; ///< for its filter
  temporary_folder folder;
  failing_engine db;
  std::atomic<disk_room> disk = disk_room::ample;
  manual_clock time{now};
  seeded_rng random{3};
  stores::node_secrets secrets;
  std::unique_ptr<stores::user_keys> keys;
  std::unique_ptr<coordination::coordinator> coordinator;
  model::region_table regions = shipped_regions();
  system_config config;
  caf::actor_system system{config};
  replication::write_door door;
  profile_handle profile;
};

} // namespace

TEST_CASE("a failed write is unknown to its caller, and teaches once when sent again",
          "[profile]") {
  primary p;
  p.wait_until_open();
  CHECK(p.like("l1", "ann") == model::verdict::accepted());
  p.db.failing = true;
  CHECK(p.like("l2", "ann") == model::verdict::unknown());
  CHECK(p.like("l3", "ann").status != model::status::accepted); // not tried: no disk
  p.db.failing = false;
  p.wait_until_open();
  CHECK(p.like("l2", "ann") == model::verdict::accepted());
  CHECK(p.like("l2", "ann") == model::verdict::duplicate());
  CHECK(p.like("l1", "ann") == model::verdict::duplicate());
  CHECK(p.events_of("ann") == 2);
}

TEST_CASE("what fails after an entry was drafted leaves nothing in memory", "[profile]") {
  primary p;
  p.wait_until_open();
  p.db.failing = true;
  CHECK(!p.ask<user_stored>(put_user{0, "ann", model::encode(model::user_details{}), "test"}));
  p.db.failing = false;
  p.wait_until_open();
  auto answer = p.ask<user_answer>(read_user{0, "ann", false, "test"});
  REQUIRE(answer);
  CHECK(!answer->known);
}

TEST_CASE("a session that saw more than a primary has is not answered by it", "[profile]") {
  primary p;
  p.wait_until_open();
  CHECK(p.like("l1", "ann") == model::verdict::accepted());
  auto seen = p.ask<user_answer>(read_session{0, "ann", {}});
  REQUIRE(seen);
  CHECK(p.ask<user_answer>(read_session{0, "ann", seen->seen}));
  auto further = seen->seen;
  ++further.seq;
  auto refused = p.ask<user_answer>(read_session{0, "ann", further});
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::not_primary);
  // Of a restore that this primary knows nothing of.
  auto restored = seen->seen;
  ++restored.generation;
  CHECK(!p.ask<user_answer>(read_session{0, "ann", restored}));
}

TEST_CASE("on a low disk no new data is taken, what people have a right to goes through, and with "
          "no room nothing is written",
          "[profile]") {
  primary p;
  p.wait_until_open();
  for (auto who : {"ann", "bob", "eve"})
    CHECK(p.like(std::string{"l-"} + who, who) == model::verdict::accepted());
  auto refused = model::verdict{model::status::overloaded, "disk_full", {}};
  auto put = [&](const std::string& who) {
    return p.ask<user_stored>(put_user{0, who, model::encode(model::user_details{}), "test"});
  };
  p.disk_becomes(disk_room::low);
  CHECK(p.like("l2", "ann") == refused);
  CHECK(put("ann").error().code == errc::disk_full);
  CHECK(p.events_of("ann") == 1);
  CHECK(p.ask<user_answer>(read_user{0, "ann", true, "test"})); // an export is written down
  CHECK(p.ask<receipt>(candor::erase_user{0, "bob", "support"}));
  p.disk_becomes(disk_room::none);
  auto written = p.ask<shard_status>(shard_status_request{0})->seq;
  CHECK(p.ask<receipt>(candor::erase_user{0, "eve", "support"}).error().code == errc::disk_full);
  CHECK(p.events_of("ann") == 1);
  CHECK(p.events_of("eve") == 1);
  CHECK(p.ask<shard_status>(shard_status_request{0})->seq == written);
  p.disk_becomes(disk_room::ample);
  CHECK(p.like("l2", "ann") == model::verdict::accepted());
  CHECK(put("ann"));
  CHECK(p.events_of("ann") == 2);
}

TEST_CASE("an erasure answers with a receipt whose key is gone and whose entry stands in the chain",
          "[profile]") {
  primary p;
  p.wait_until_open();
  p.like("l1", "ann");
  auto first = p.ask<receipt>(candor::erase_user{0, "ann", "support"});
  REQUIRE(first);
  CHECK(first->audit_entry == 1);
  CHECK(first->subject.starts_with("s-"));
  auto again = p.ask<receipt>(candor::erase_user{0, "ann", "support"});
  REQUIRE(again);
  CHECK(again->id == first->id);
  CHECK(again->audit_entry == first->audit_entry);
  CHECK(again->audit_hash == first->audit_hash);
  CHECK(p.ask<receipt>(candor::erase_user{0, "bob", "support"}).error().code ==
        errc::user_not_found);
}

TEST_CASE("an erasure that is asked for again says since when it is final", "[profile]") {
  primary p;
  p.wait_until_open();
  p.like("l1", "ann");
  auto first = p.ask<receipt>(candor::erase_user{0, "ann", "support"});
  REQUIRE(first);
  CHECK(first->final_at_ms == -1);
  p.time.advance(1min);
  auto again = first;
  for (auto i = 0; i < 200 && again && again->final_at_ms < 0; ++i) { // with the next sweep
    std::this_thread::sleep_for(50ms);
    again = p.ask<receipt>(candor::erase_user{0, "ann", "support"});
  }
  REQUIRE(again);
  CHECK(again->final_at_ms == to_int(p.time.now()));
  CHECK(again->id == first->id);
  CHECK(again->audit_hash == first->audit_hash);
}

TEST_CASE("an erasure that is asked for again gives the same receipt while other entries are on "
          "their way",
          "[profile]") {
  primary p;
  p.wait_until_open();
  CHECK(p.like("l1", "ann") == model::verdict::accepted());
  auto first = p.ask<receipt>(erase_user{0, "ann", "test"});
  REQUIRE(first);
  caf::scoped_actor self{p.system};
  for (auto i = 0; i < 20; ++i) {
    auto event = "n" + std::to_string(i);
    model::event e{event, user("bob"), now, model::event_kind::engagement};
    e.object_topics = {outdoors};
    auto signal = p.filter_side.filter->sanitize({event, "bob", now, now, e.kind, {}, 0}, e);
    // Its entry has no audit event; the erasure behind it waits for it.
    self->send(p.profile, learn_signals{0, {*signal}});
    auto again = p.ask<receipt>(erase_user{0, "ann", "test"});
    REQUIRE(again);
    CHECK(again->id == first->id);
    CHECK(again->audit_entry == first->audit_entry);
    CHECK(again->audit_hash == first->audit_hash);
  }
}

TEST_CASE("more than a batch at a time is not tried", "[profile]") {
  primary p;
  p.wait_until_open();
  admit_events many;
  many.items.resize(limits::batch_events + 1);
  auto answer = p.ask<verdicts>(many);
  REQUIRE(answer);
  CHECK(answer->items.size() == many.items.size());
  CHECK(answer->items.front().status == model::status::overloaded);
}

TEST_CASE("while a policy is simulated others are served", "[profile]") {
  primary p;
  p.wait_until_open();
  model::user_details details;
  details.region = *p.regions.find("US");
  for (auto i = 0; i < 200; ++i)
    REQUIRE(p.ask<user_stored>(put_user{0, fmt::format("u{}", i), model::encode(details), "test"}));
  std::string first;
  for (auto i = 0; i < 100 && first != "status"; ++i) {
    first.clear();
    auto note = [&](std::string what) {
      if (first.empty())
        first = std::move(what);
    };
    caf::scoped_actor self{p.system};
    self->send(p.profile, simulate_policy{0, shipped_policy(), {}});
    self->send(p.profile, shard_status_request{0});
    for (auto answers = 0; answers < 2; ++answers)
      self->receive(
          [&](const policy_effect& e) {
            CHECK(e.persons == 200);
            note("effect");
          },
          [&](const shard_status&) { note("status"); });
  }
  CHECK(first == "status");
}
