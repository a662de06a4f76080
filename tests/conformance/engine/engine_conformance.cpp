#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include "storage/base/rng.hpp"
#include "storage/engine/keys.hpp"
#include "tests/conformance/engine/sides.hpp"

using namespace candor;
using namespace candor::test;
using engine::batch;
using engine::sync;
using engine::table;

namespace {

constexpr auto every_table = {table::log,   table::user,   table::timer,
                              table::audit, table::policy, table::meta};

storage_key key_of(std::uint8_t first) {
  storage_key key;
  key.bytes.fill(first);
  return key;
}

} // namespace

TEST_CASE("what was put is read back, in every table apart", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  for (auto t : every_table)
    REQUIRE(db->write({put(t, "key", std::to_string(static_cast<int>(t)))}, sync::no));
  for (auto t : every_table)
    CHECK(db->get(t, "key").value() == std::to_string(static_cast<int>(t)));
}

TEST_CASE("a key that was never put is nothing, not an error", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  for (auto t : every_table) {
    CHECK(db->get(t, "key").value() == std::nullopt);
    CHECK(db->last(t, "a", "z").value() == std::nullopt);
    CHECK(rows_between(*db, t, "a", "z").empty());
  }
}

TEST_CASE("a value may be empty, large, and hold any byte", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  std::string bytes;
  for (int i = 0; i < 1 << 20; ++i)
    bytes += static_cast<char>(i % 251);
  std::string key{"\0\xff\0", 3};
  REQUIRE(db->write({put(table::meta, key, bytes), put(table::meta, "empty", "")}, sync::yes));
  CHECK(db->get(table::meta, key).value() == bytes);
  CHECK(db->get(table::meta, "empty").value() == "");
}

TEST_CASE("the operations of a batch apply in their order", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "1"), put(table::meta, "b", "1"),
                     put(table::meta, "a", "2"), erase(table::meta, "b"),
                     put(table::meta, "c", "1"), erase_range(table::meta, "c", "d"),
                     erase_range(table::meta, "e", "f"), put(table::meta, "e", "1")},
                    sync::no));
  CHECK(rows_between(*db, table::meta, "", "z") == rows{{"a", "2"}, {"e", "1"}});
}

TEST_CASE("an erased key is nothing, and erasing it again is no error", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::user, "a", "1")}, sync::no));
  REQUIRE(db->flush());
  REQUIRE(db->write({erase(table::user, "a")}, sync::no));
  CHECK(db->get(table::user, "a").value() == std::nullopt);
  REQUIRE(db->write({erase(table::user, "a")}, sync::no));
  CHECK(rows_between(*db, table::user, "", "z").empty());
}

TEST_CASE("an erased range leaves what lies outside, and its end", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  batch all;
  for (char c = 'a'; c <= 'h'; ++c)
    all.push_back(put(table::log, std::string{c}, "1"));
  REQUIRE(db->write(all, sync::no));
  if (GENERATE(false, true))
    REQUIRE(db->flush());
  REQUIRE(db->write({erase_range(table::log, "b", "g")}, sync::no));
  CHECK(rows_between(*db, table::log, "", "z") == rows{{"a", "1"}, {"g", "1"}, {"h", "1"}});
  CHECK(db->get(table::log, "c").value() == std::nullopt);
  CHECK(db->last(table::log, "a", "g").value().value().first == "a");
}

TEST_CASE("a range that is empty or ends before it begins erases and finds nothing", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::log, "b", "1"), erase_range(table::log, "c", "a"),
                     erase_range(table::log, "b", "b")},
                    sync::no));
  CHECK(db->get(table::log, "b").value() == "1");
  CHECK(rows_between(*db, table::log, "c", "a").empty());
  CHECK(rows_between(*db, table::log, "b", "b").empty());
  CHECK(db->last(table::log, "c", "a").value() == std::nullopt);
}

TEST_CASE("a scan visits its begin, not its end, in the order of bytes", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  std::string high{"\x80"}, zero{"a\0", 2};
  REQUIRE(db->write({put(table::meta, high, "4"), put(table::meta, "b", "3"),
                     put(table::meta, zero, "2"), put(table::meta, "a", "1")},
                    sync::no));
  CHECK(rows_between(*db, table::meta, "a", high) == rows{{"a", "1"}, {zero, "2"}, {"b", "3"}});
}

TEST_CASE("a visitor that says false ends its scan", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "1"), put(table::meta, "b", "2")}, sync::no));
  int seen = 0;
  REQUIRE(db->scan(table::meta, "a", "z", [&](auto, auto) { return ++seen > 1; }));
  CHECK(seen == 1);
}

TEST_CASE("the last row of a range is found, and only within it", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::log, engine::log_key(1, 1), "one"),
                     put(table::log, engine::log_key(1, 300), "three hundred"),
                     put(table::log, engine::log_key(2, 1), "other")},
                    sync::no));
  auto last_of = [&](shard_id shard) {
    return db->last(table::log, engine::shard_begin(shard), engine::shard_end(shard)).value();
  };
  CHECK(last_of(0) == std::nullopt);
  CHECK(last_of(1) == std::pair{engine::log_key(1, 300), std::string{"three hundred"}});
  CHECK(last_of(2) == std::pair{engine::log_key(2, 1), std::string{"other"}});
  CHECK(last_of(3) == std::nullopt);
}

TEST_CASE("the rows of one person come together, and nobody else's", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  using engine::user_row;
  batch all;
  for (std::uint8_t person : {1, 2, 3}) {
    auto key = key_of(person);
    all.push_back(put(table::user, engine::user_key(7, key, user_row::base), "base"));
    for (std::uint64_t version : {1, 2, 300})
      all.push_back(put(table::user, engine::user_key(7, key, user_row::delta, version), "delta"));
  }
  REQUIRE(db->write(all, sync::no));
  if (GENERATE(false, true))
    REQUIRE(db->flush());
  auto prefix = engine::user_prefix(7, key_of(2));
  auto found = rows_between(*db, table::user, prefix, engine::prefix_end(prefix));
  REQUIRE(found.size() == 4);
  CHECK(found[0].second == "base");
  CHECK(found[3].first == engine::user_key(7, key_of(2), user_row::delta, 300));
  auto absent = engine::user_prefix(7, key_of(9));
  CHECK(rows_between(*db, table::user, absent, engine::prefix_end(absent)).empty());
  // from the middle of one person to the middle of the next
  CHECK(rows_between(*db, table::user, engine::user_key(7, key_of(1), user_row::delta, 2),
                     engine::user_key(7, key_of(2), user_row::delta, 1))
            .size() == 3);
  CHECK(rows_between(*db, table::user, engine::shard_begin(7), engine::shard_end(7)).size() == 12);
}

TEST_CASE("a shard is one range, up to the highest number", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  for (shard_id shard : {0, 1, 255, 256, 65535})
    REQUIRE(db->write({put(table::meta, engine::named_key(shard, "name"), "1")}, sync::no));
  for (shard_id shard : {0, 1, 255, 256, 65535})
    CHECK(rows_between(*db, table::meta, engine::shard_begin(shard), engine::shard_end(shard)) ==
          rows{{engine::named_key(shard, "name"), "1"}});
  REQUIRE(db->write({erase_range(table::meta, engine::shard_begin(255), engine::shard_end(255))},
                    sync::no));
  CHECK(rows_between(*db, table::meta, "", std::string(64, '\xff')).size() == 4);
}

TEST_CASE("an empty batch is written", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  CHECK(db->write({}, sync::no));
  CHECK(db->write({}, sync::yes));
}

TEST_CASE("a visitor may read and write the engine that it visits", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "1"), put(table::meta, "b", "2")}, sync::no));
  int seen = 0;
  REQUIRE(db->scan(table::meta, "a", "z", [&](std::string_view key, std::string_view value) {
    ++seen;
    CHECK(db->get(table::meta, key).value() == std::string{value});
    CHECK(db->write({put(table::meta, "c" + std::string{key}, "3")}, sync::no));
    return true;
  }));
  CHECK(seen == 2); // what was written meanwhile is not of the state that the scan sees
}

TEST_CASE("a scan beside writes sees whole batches", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "0"), put(table::meta, "b", "0")}, sync::no));
  std::atomic<bool> done{false};
  std::atomic<bool> failed{false};
  std::thread writer{[&] {
    for (int i = 1; i <= 2000 && !failed; ++i) {
      auto value = std::to_string(i);
      if (!db->write({put(table::meta, "a", value), put(table::meta, "b", value)}, sync::no))
        failed = true;
    }
    done = true;
  }};
  int torn = 0, scans = 0;
  while (!done || scans == 0) {
    rows found;
    auto scanned = db->scan(table::meta, "a", "c", [&](auto key, auto value) {
      found.emplace_back(key, value);
      return true;
    });
    ++scans;
    if (!scanned || found.size() != 2 || found[0].second != found[1].second)
      ++torn;
  }
  writer.join();
  CHECK_FALSE(failed);
  CHECK(torn == 0);
  CHECK(db->get(table::meta, "b").value() == "2000");
}

TEST_CASE("a snapshot shows the state in which it was taken, of every table", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::log, "a", "1"), put(table::user, "b", "1"),
                     put(table::meta, "c", "1"), put(table::meta, "d", "1")},
                    sync::no));
  auto before = db->snapshot();
  REQUIRE(db->write({put(table::log, "a", "2"), put(table::log, "a2", "2"), erase(table::user, "b"),
                     erase_range(table::meta, "c", "d")},
                    sync::yes));
  auto after = db->snapshot();
  REQUIRE(db->write({erase_range(table::log, "", "z"), put(table::audit, "e", "3")}, sync::no));
  if (GENERATE(false, true))
    REQUIRE(db->flush());
  CHECK(rows_between(*before, table::log, "", "z") == rows{{"a", "1"}});
  CHECK(rows_between(*before, table::user, "", "z") == rows{{"b", "1"}});
  CHECK(rows_between(*before, table::meta, "", "z") == rows{{"c", "1"}, {"d", "1"}});
  CHECK(rows_between(*after, table::log, "", "z") == rows{{"a", "2"}, {"a2", "2"}});
  CHECK(rows_between(*after, table::user, "", "z").empty());
  CHECK(rows_between(*after, table::meta, "", "z") == rows{{"d", "1"}});
  CHECK(rows_between(*after, table::audit, "", "z").empty());
  CHECK(rows_between(*db, table::log, "", "z").empty());
}

TEST_CASE("a snapshot is scanned in ranges, as its engine is", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  batch all;
  for (std::uint8_t person : {1, 2, 3})
    for (std::uint64_t version : {1, 2, 300})
      all.push_back(put(table::user,
                        engine::user_key(7, key_of(person), engine::user_row::delta, version),
                        "delta"));
  REQUIRE(db->write(all, sync::no));
  auto state = db->snapshot();
  REQUIRE(db->write({erase_range(table::user, engine::shard_begin(7), engine::shard_end(7))},
                    sync::no));
  auto person = engine::user_prefix(7, key_of(2));
  CHECK(rows_between(*state, table::user, person, engine::prefix_end(person)).size() == 3);
  CHECK(rows_between(*state, table::user, engine::shard_begin(7), engine::shard_end(7)).size() ==
        9);
  CHECK(rows_between(*state, table::user, "z", "a").empty());
  int seen = 0;
  REQUIRE(state->scan(table::user, engine::shard_begin(7), engine::shard_end(7),
                      [&](auto, auto) { return ++seen < 2; }));
  CHECK(seen == 2);
}

TEST_CASE("a visitor of a snapshot may write the engine, and let go of another snapshot",
          "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "1"), put(table::meta, "b", "2")}, sync::no));
  auto state = db->snapshot();
  auto other = db->snapshot();
  int seen = 0;
  REQUIRE(state->scan(table::meta, "a", "z", [&](std::string_view key, std::string_view) {
    ++seen;
    other.reset();
    CHECK(db->write({put(table::meta, "c" + std::string{key}, "3")}, sync::no));
    return true;
  }));
  CHECK(seen == 2);
}

TEST_CASE("snapshots beside writes hold whole batches, over tables", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::meta, "a", "0"), put(table::log, "a", "0")}, sync::no));
  std::atomic<bool> done{false};
  std::atomic<bool> failed{false};
  std::thread writer{[&] {
    for (int i = 1; i <= 2000 && !failed; ++i) {
      auto value = std::to_string(i);
      if (!db->write({put(table::meta, "a", value), put(table::log, "a", value)}, sync::no))
        failed = true;
    }
    done = true;
  }};
  int torn = 0, taken = 0;
  while (!done || taken == 0) {
    auto state = db->snapshot();
    ++taken;
    if (rows_between(*state, table::meta, "", "z") != rows_between(*state, table::log, "", "z"))
      ++torn;
  }
  writer.join();
  CHECK_FALSE(failed);
  CHECK(torn == 0);
}

TEST_CASE("a healthy engine flushes, verifies, resumes and has a size", "[engine]") {
  engine_under_test db{GENERATE(side::rocksdb, side::memory)};
  REQUIRE(db->write({put(table::user, "a", std::string(100'000, 'x'))}, sync::yes));
  CHECK(db->flush());
  CHECK(db->verify());
  CHECK(db->resume());
  CHECK(db->size_bytes() >= 100'000);
  CHECK(db->write({put(table::user, "b", "1")}, sync::yes));
}

TEST_CASE("both sides agree on thousands of random operations", "[engine]") {
  engine_under_test disk{side::rocksdb};
  engine_under_test memory{side::memory};
  auto seed = GENERATE(1u, 2u, 3u);
  seeded_rng chance{seed};
  auto pick = [&](std::uint64_t below) { return chance.next() % below; };
  auto random_key = [&] {
    // few keys, so that operations meet; in the form of a person's rows as well as shorter ones
    auto key = engine::user_prefix(static_cast<shard_id>(pick(2)),
                                   key_of(static_cast<std::uint8_t>(pick(6))));
    return pick(8) == 0 ? key.substr(0, pick(key.size() + 1)) : key + static_cast<char>(pick(4));
  };
  INFO("seed " << seed);
  for (int round = 0; round < 400; ++round) {
    batch changes;
    for (auto n = pick(12); n-- > 0;) {
      auto t = static_cast<table>(pick(engine::table_count));
      switch (pick(6)) {
        case 0:
          changes.push_back(erase(t, random_key()));
          break;
        case 1:
          changes.push_back(erase_range(t, random_key(), random_key()));
          break;
        default:
          changes.push_back(put(t, random_key(), std::to_string(chance.next())));
      }
    }
    REQUIRE(disk->write(changes, sync::no));
    REQUIRE(memory->write(changes, sync::no));
    if (pick(20) == 0)
      REQUIRE(disk->flush());
    auto t = static_cast<table>(pick(engine::table_count));
    auto begin = random_key();
    auto end = pick(2) ? random_key() : engine::prefix_end(begin.substr(0, pick(begin.size() + 1)));
    REQUIRE(rows_between(*disk, t, begin, end) == rows_between(*memory, t, begin, end));
    REQUIRE(disk->last(t, begin, end).value() == memory->last(t, begin, end).value());
    REQUIRE(disk->get(t, begin).value() == memory->get(t, begin).value());
  }
  for (auto t : every_table)
    CHECK(rows_between(*disk, t, "", std::string(64, '\xff')) ==
          rows_between(*memory, t, "", std::string(64, '\xff')));
}
