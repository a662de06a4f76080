#include <catch2/catch.hpp>

#include "storage/base/rng.hpp"
#include "storage/stores/audit_log.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::stores;
using engine::sync;
using engine::table;

namespace {

audit_event event_number(std::uint64_t i) {
  return {from_int(1'765'843'200'000 + static_cast<std::int64_t>(i)), "operator-1", "user_erased",
          "s-" + std::to_string(i), R"({"keys":1})"};
}

/// A chain of `count` records in `shard`.
audit_head fill(engine::engine& db, shard_id shard, std::uint64_t count) {
  audit_head head;
  for (std::uint64_t i = 1; i <= count; ++i) {
    auto record = chain(shard, head, event_number(i));
    REQUIRE(record.index == i);
    REQUIRE(db.write({{engine::operation::what::put, table::audit,
                       engine::audit_key(shard, record.index), encode(record)}},
                     sync::yes));
    head = {record.index, record.hash};
  }
  REQUIRE(db.write({head_row(shard, head)}, sync::yes));
  return head;
}

std::string row(const engine::engine& db, shard_id shard, std::uint64_t index) {
  return db.get(table::audit, engine::audit_key(shard, index)).value().value();
}

void put_row(engine::engine& db, shard_id shard, std::uint64_t index, std::string bytes) {
  REQUIRE(db.write({{engine::operation::what::put, table::audit, engine::audit_key(shard, index),
                     std::move(bytes)}},
                   sync::yes));
}

void erase_row(engine::engine& db, shard_id shard, std::uint64_t index) {
  REQUIRE(db.write(
      {{engine::operation::what::erase, table::audit, engine::audit_key(shard, index), {}}},
      sync::yes));
}

/// The detail of the `corrupt` that verify must answer.
std::string broken(const engine::engine& db, shard_id shard, std::vector<audit_head> known = {}) {
  auto verified = verify_audit(db, shard, std::move(known));
  REQUIRE_FALSE(verified);
  REQUIRE(verified.error().code == errc::corrupt);
  return verified.error().detail;
}

using Catch::Matchers::Contains;

/// What version 1 wrote for `event_number(2)` after a first record with `event_number(1)` in
/// shard 7. Never changes: such bytes lie on disks.
constexpr const char* golden_record =
    "9a010702c420ce338cdf8e3297daf5adb1f4aec981ce5355c32a0d7153dda7bebb071ab0c6c3cf0000019b24"
    "74e802aa6f70657261746f722d31ab757365725f657261736564a3732d32aa7b226b657973223a317dc42045"
    "d95d6008ed86d31156e43fbd4589f8f8974e7b225ad6d78b46ebdddd77e63f";

} // namespace

TEST_CASE("an audit record comes back as it was written", "[audit]") {
  audit_head head{41, {}};
  head.hash.fill(0xee);
  auto record = chain(65535, head, {from_int(-1), "", "a", std::string(300, 'x'), "\xc3\xa4"});
  CHECK(record.index == 42);
  CHECK(record.previous == head.hash);
  CHECK(decode_audit_record(encode(record)).value() == record);
}

TEST_CASE("an audit record of version 1 is still read, and still written so", "[audit]") {
  auto first = chain(7, {}, event_number(1));
  auto second = chain(7, {first.index, first.hash}, event_number(2));
  CHECK(to_hex(encode(second)) == golden_record);
  CHECK(decode_audit_record(from_hex(golden_record).value()).value() == second);
}

TEST_CASE("the hash covers every field of an audit record", "[audit]") {
  auto event = event_number(1);
  auto record = chain(1, {}, event);
  audit_head other_head{0, {}};
  other_head.hash[31] = 1;
  std::vector<audit_record> others{chain(2, {}, event), chain(1, {1, {}}, event),
                                   chain(1, other_head, event)};
  for (auto change :
       {+[](audit_event& e) { e.at += millis{1}; }, +[](audit_event& e) { e.actor += "x"; },
        +[](audit_event& e) { e.action += "x"; }, +[](audit_event& e) { e.subject += "x"; },
        +[](audit_event& e) { e.detail += "x"; },
        +[](audit_event& e) { std::swap(e.actor, e.action); }}) {
    auto changed = event;
    change(changed);
    others.push_back(chain(1, {}, changed));
  }
  for (auto& other : others)
    CHECK(other.hash != record.hash);
}

TEST_CASE("no flipped bit, cut or appended byte of an audit record goes unseen", "[audit]") {
  auto bytes = encode(chain(7, {}, event_number(1)));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      auto decoded = decode_audit_record(bad);
      REQUIRE_FALSE(decoded);
      REQUIRE(decoded.error().code == errc::corrupt);
    }
  for (std::size_t size = 0; size < bytes.size(); ++size)
    REQUIRE(decode_audit_record({bytes.data(), size}).error().code == errc::corrupt);
  CHECK(decode_audit_record(bytes + '\0').error().code == errc::corrupt);
}

TEST_CASE("bytes that claim to be huge or deep are refused, not believed", "[audit]") {
  for (auto* hex : {"dfffffffff", "ddffffffff", "dbffffffff", "c6ffffffff", "9a01",
                    "91919191919191919191919191919191", "c1", "9acc01dbffffffff"}) {
    INFO(hex);
    CHECK(decode_audit_record(from_hex(hex).value()).error().code == errc::corrupt);
  }
  seeded_rng chance{7};
  for (int i = 0; i < 20'000; ++i) {
    std::string noise{"\x9a\x01"};
    while (noise.size() < 2 + chance.next() % 64)
      noise += static_cast<char>(chance.next());
    REQUIRE(decode_audit_record(noise).error().code == errc::corrupt);
  }
}

TEST_CASE("an integer in a longer form than needed is not an audit record", "[audit]") {
  auto bytes = encode(chain(7, {}, event_number(1)));
  REQUIRE(bytes.substr(0, 3) == "\x9a\x01\x07");
  // the same values, so that only the form tells
  CHECK_FALSE(decode_audit_record("\x9a\xcc\x01\x07" + bytes.substr(3)));
  CHECK_FALSE(decode_audit_record("\x9a\x01\xcc\x07" + bytes.substr(3)));
}

TEST_CASE("a whole chain verifies, and its end is its head", "[audit]") {
  auto db = engine::make_memory_engine();
  CHECK(verify_audit(*db, 7).value() == audit_head{});
  CHECK(verify_audit(*db, 7, {audit_head{}}).value() == audit_head{});
  auto other = fill(*db, 8, 3);
  auto head = fill(*db, 7, 20);
  CHECK(verify_audit(*db, 7).value() == head);
  CHECK(verify_audit(*db, 7, {head}).value() == head);
  CHECK(verify_audit(*db, 8, {other}).value() == other);
  CHECK(verify_audit(*db, 6).value().index == 0);
}

TEST_CASE("records are read in order, from anywhere, until the visitor ends it", "[audit]") {
  auto db = engine::make_memory_engine();
  fill(*db, 7, 10);
  fill(*db, 8, 1);
  std::vector<std::uint64_t> seen;
  auto collect = [&](std::size_t most) {
    seen.clear();
    return [&seen, most](const audit_record& record) {
      CHECK(record.event == event_number(record.index));
      seen.push_back(record.index);
      return seen.size() < most;
    };
  };
  CHECK(read_audit(*db, 7, 0, collect(100)));
  CHECK(seen == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(read_audit(*db, 7, 9, collect(100)));
  CHECK(seen == std::vector<std::uint64_t>{9, 10});
  CHECK(read_audit(*db, 7, 3, collect(2)));
  CHECK(seen == std::vector<std::uint64_t>{3, 4});
  CHECK(read_audit(*db, 7, 11, collect(100)));
  CHECK(seen.empty());
}

TEST_CASE("a flipped byte anywhere in a chain is found, at its record", "[audit]") {
  auto db = engine::make_memory_engine();
  auto head = fill(*db, 7, 5);
  auto good = row(*db, 7, 3);
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    put_row(*db, 7, 3, bad);
    REQUIRE_THAT(broken(*db, 7), Contains("record 3"));
    REQUIRE(read_audit(*db, 7, 2, [](auto&) { return true; }).error().code == errc::corrupt);
  }
  put_row(*db, 7, 3, good);
  CHECK(verify_audit(*db, 7, {head}));
}

TEST_CASE("a record that was rewritten with a fitting hash of its own breaks the chain",
          "[audit]") {
  auto db = engine::make_memory_engine();
  auto head = fill(*db, 7, 5);
  auto before = decode_audit_record(row(*db, 7, 2)).value();
  auto forged = event_number(3);
  forged.actor = "somebody else";
  put_row(*db, 7, 3, encode(chain(7, {2, before.hash}, forged)));
  CHECK_THAT(broken(*db, 7), Contains("record 4"));
  SECTION("even where all after it were rewritten, for whoever knows the head") {
    audit_head at{2, before.hash};
    for (std::uint64_t i = 3; i <= 5; ++i) {
      auto event = event_number(i);
      event.actor = "somebody else";
      auto record = chain(7, at, event);
      put_row(*db, 7, i, encode(record));
      at = {record.index, record.hash};
    }
    CHECK_THAT(broken(*db, 7), Contains("record 5"));
    REQUIRE(db->write({head_row(7, at)}, sync::yes));
    CHECK(verify_audit(*db, 7)); // nothing tells by itself
    CHECK_THAT(broken(*db, 7, {head}), Contains("record 5"));
    CHECK_THAT(broken(*db, 7, {at, head, {2, before.hash}}), Contains("record 5"));
    CHECK(verify_audit(*db, 7, {{2, before.hash}}));
  }
}

TEST_CASE("a missing record is found, in the middle and at the beginning", "[audit]") {
  auto db = engine::make_memory_engine();
  fill(*db, 7, 5);
  auto missing = GENERATE(1, 3);
  erase_row(*db, 7, static_cast<std::uint64_t>(missing));
  CHECK_THAT(broken(*db, 7), Contains("record " + std::to_string(missing) + ": it is missing"));
  CHECK_FALSE(read_audit(*db, 7, 1, [](auto&) { return true; }));
}

TEST_CASE("swapped records are found", "[audit]") {
  auto db = engine::make_memory_engine();
  fill(*db, 7, 5);
  auto third = row(*db, 7, 3), fourth = row(*db, 7, 4);
  put_row(*db, 7, 3, fourth);
  put_row(*db, 7, 4, third);
  CHECK_THAT(broken(*db, 7), Contains("record 3") && Contains("stands record 4"));
}

TEST_CASE("a record of another shard's chain is found", "[audit]") {
  auto db = engine::make_memory_engine();
  fill(*db, 7, 5);
  fill(*db, 8, 5);
  put_row(*db, 7, 1, row(*db, 8, 1));
  CHECK_THAT(broken(*db, 7), Contains("record 1"));
}

TEST_CASE("a cut tail is found; where the head went with it, by whoever knows a later record",
          "[audit]") {
  auto db = engine::make_memory_engine();
  auto head = fill(*db, 7, 5);
  erase_row(*db, 7, 5);
  CHECK_THAT(broken(*db, 7), Contains("record 5: it is missing"));
  auto fourth = decode_audit_record(row(*db, 7, 4)).value();
  REQUIRE(db->write({head_row(7, {4, fourth.hash})}, sync::yes));
  CHECK(verify_audit(*db, 7).value().index == 4); // nothing tells by itself
  CHECK_THAT(broken(*db, 7, {head}), Contains("record 5: it is missing"));
  for (std::uint64_t i = 1; i <= 4; ++i)
    erase_row(*db, 7, i);
  CHECK_THAT(broken(*db, 7), Contains("record 1: it is missing"));
  auto no_head = head_row(7, {});
  no_head.kind = engine::operation::what::erase;
  REQUIRE(db->write({no_head}, sync::yes));
  CHECK(verify_audit(*db, 7).value() == audit_head{}); // as if nothing had ever been
  CHECK_THAT(broken(*db, 7, {head}), Contains("record 1: it is missing"));
  REQUIRE(db->write({{engine::operation::what::put, table::policy,
                      engine::named_key(7, "policy/2025-12-16.1"), "as it was applied"}},
                    sync::yes));
  CHECK_THAT(broken(*db, 7), Contains("record 1: it is missing")); // its record must have been
}

TEST_CASE("a chain that goes on from what was known is whole", "[audit]") {
  auto db = engine::make_memory_engine();
  auto head = fill(*db, 7, 5);
  auto longer = fill(*db, 7, 6);
  CHECK(verify_audit(*db, 7, {head, longer, {}}).value() == longer);
}

TEST_CASE("a record that was put behind the head is found", "[audit]") {
  auto db = engine::make_memory_engine();
  auto head = fill(*db, 7, 2);
  put_row(*db, 7, 3, encode(chain(7, head, event_number(3))));
  CHECK_THAT(broken(*db, 7), Contains("record 3: it stands beyond the head"));
}

TEST_CASE("a chain on disk reads as one in memory", "[audit]") {
  test::temporary_folder folder;
  auto opened = engine::open_rocksdb(folder / "data");
  REQUIRE(opened);
  auto head = fill(**opened, 7, 300);
  CHECK(verify_audit(**opened, 7, {head}).value() == head);
}
