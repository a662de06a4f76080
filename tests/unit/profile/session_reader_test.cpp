#include <catch2/catch.hpp>

#include "actors/profile/session_reader.hpp"
#include "actors/profile/shard_filling.hpp"
#include "cluster/replication/shard_log.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;

namespace {

const auto told = at("2025-10-08T12:00:00Z");
const auto now = at("2025-12-17T12:00:00Z");

/// A shard, and a reader of its tables as another node has them.
struct copy {
  copy() { s.introduce("ann", "US", told); }

  result<profile::session_view> read(const std::string& who, session_token seen = {}) {
    return reader.read(user(who), seen, state);
  }
  std::uint64_t applied() {
    auto row = *s.db->get(engine::table::meta, replication::applied_key(0));
    return replication::decode_applied(*row)->at.seq;
  }

  shard s{now};
  replication::session_state state{7, s.time.monotonic() + 1ms};
  profile::session_reader reader{
      0, {*s.db, *s.keys, s.secrets, s.regions, s.time, s.random}};
};

} // namespace

TEST_CASE("a copy tells a session what the primary would, and up to which entry", "[profile]") {
  copy c;
  c.s.say("e1", "ann", now, "hiking");
  auto seen = c.read("ann");
  REQUIRE(seen);
  REQUIRE(seen->person);
  auto strong = *c.s.people->read(user("ann"));
  CHECK(model::encode(seen->person->record) == model::encode(strong.record));
  REQUIRE(seen->person->interests.size() == 1);
  CHECK(seen->person->interests[0].weight_now == strong.interests[0].weight_now);
  CHECK(seen->person->interests[0].ads == strong.interests[0].ads);
  CHECK(seen->person->policy_version == strong.policy_version);
  CHECK(seen->person->region == strong.region);
  CHECK(seen->seen == session_token{0, 7, c.applied()});
}

TEST_CASE("what a session has not seen yet it may see at once, never what it has seen undone",
          "[profile]") {
  copy c;
  auto applied = c.applied();
  CHECK(c.read("ann", {0, 7, applied}));
  auto early = c.read("ann", {0, 7, applied + 1});
  REQUIRE(!early);
  CHECK(early.error().code == errc::not_applied);
  c.s.say("e1", "ann", now, "hiking");
  auto seen = c.read("ann", {0, 7, applied + 1});
  REQUIRE(seen);
  CHECK(seen->person->interests.size() == 1);
}

TEST_CASE("of another generation a copy says nothing", "[profile]") {
  copy c;
  for (auto generation : {6u, 8u}) {
    auto other = c.read("ann", {0, generation, 1});
    REQUIRE(!other);
    CHECK(other.error().code == errc::not_primary);
  }
}

TEST_CASE("a copy that has not heard for too long says nothing, whatever the session has seen",
          "[profile]") {
  copy c;
  c.s.time.advance(limits::session_age);
  CHECK(c.read("ann"));
  c.s.time.advance(2ms);
  for (auto seen : {session_token{}, session_token{0, 7, 1}}) {
    auto late = c.read("ann", seen);
    REQUIRE(!late);
    CHECK(late.error().code == errc::not_primary);
  }
  c.state.holds_all_of = c.s.time.monotonic();
  CHECK(c.read("ann"));
  c.state.holds_all_of = 0ms; // the write door knows of an erasure that is not applied yet
  CHECK(!c.read("ann"));
}

TEST_CASE("who was erased is unknown to a session, with the entry up to which that is known",
          "[profile]") {
  copy c;
  c.s.say("e1", "ann", now, "hiking");
  REQUIRE(c.read("ann")->person);
  c.s.erase("ann");
  auto seen = c.read("ann");
  REQUIRE(seen);
  CHECK(!seen->person);
  CHECK(seen->seen.seq == c.applied());
  auto never = c.read("bob");
  REQUIRE(never);
  CHECK(!never->person);
}

TEST_CASE("a copy whose person cannot be opened any more leaves the answer to the primary",
          "[profile]") {
  copy c;
  auto ref = c.s.db->get(engine::table::user,
                         engine::user_key(0, stores::derive_storage_key(c.s.secrets, user("ann")),
                                          engine::user_row::key_ref));
  REQUIRE((ref && *ref));
  auto page = engine::read_big_endian(**ref, 8);
  auto slot = engine::read_big_endian(std::string_view{**ref}.substr(8), 2);
  REQUIRE(c.s.keys->destroy({page, static_cast<std::uint16_t>(slot)}));
  auto gone = c.read("ann");
  REQUIRE(!gone);
  CHECK(gone.error().code == errc::not_primary);
}

TEST_CASE("a copy that is being filled from a backup, or was emptied, says nothing", "[profile]") {
  copy c;
  using engine::operation;
  REQUIRE(c.s.db->write({{operation::what::put, engine::table::meta, profile::filling_key(0), "x"}},
                        engine::sync::yes));
  CHECK(c.read("ann").error().code == errc::not_primary);
  REQUIRE(c.s.db->write(
      {{operation::what::erase, engine::table::meta, profile::filling_key(0), {}}},
      engine::sync::yes));
  CHECK(c.read("ann"));
  REQUIRE(c.s.db->write(replication::erase_shard(0), engine::sync::yes));
  CHECK(c.read("ann").error().code == errc::not_primary);
}

TEST_CASE("a policy that is applied later is the one by which a copy answers", "[profile]") {
  shard s{now, ""};
  s.commit(s.people->put(user("ann"), {}));
  profile::session_reader reader{0, {*s.db, *s.keys, s.secrets, s.regions, s.time, s.random}};
  replication::session_state state{0, s.time.monotonic() + 1ms};
  CHECK(reader.read(user("ann"), {}, state)->person->policy_version.empty());
  s.commit(s.people->apply_policy(shipped_policy(), "test"));
  auto version = s.people->read(user("ann"))->policy_version;
  CHECK(!version.empty());
  CHECK(reader.read(user("ann"), {}, state)->person->policy_version == version);
}
