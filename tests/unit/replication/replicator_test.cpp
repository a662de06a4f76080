#include <catch2/catch.hpp>

#include <set>

#include "cluster/replication/replicator.hpp"
#include "storage/engine/keys.hpp"
#include "tests/support/failing_engine.hpp"
#include "tests/support/local_log.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::replication;
using namespace std::chrono_literals;
using engine::operation;
using engine::table;

namespace {

struct bench {
  bench() {
    auto s = stores::load_or_make_secrets(folder.path());
    REQUIRE(s);
    secrets = *s;
    auto k = stores::open_user_keys(folder.path(), secrets);
    REQUIRE(k);
    keys = std::move(*k);
    coordinator = coordination::make_local_coordinator(db);
    open();
  }
  void open() {
    log.reset();
    log = std::make_unique<test::local_log>(db, *keys, *coordinator, time,
                                            replicator_options{{"n1", "d1"}, {4}, kept});
  }
  append_request request(shard_id shard, std::string key, std::string value) {
    append_request r{shard, log->opening(shard)->epoch, {}};
    r.drafts.push_back({time.now(), {put(shard, key, value)}, {}});
    return r;
  }
  static draft_row put(shard_id shard, std::string_view key, std::string value) {
    return {{operation::what::put, table::meta, engine::named_key(shard, key), std::move(value)},
            std::nullopt};
  }
  append_result commit(const append_request& r) { return log->commit(r); }
  /// The disk takes writes again: the replicator notices in its own time.
  void mend() {
    db.failing = false;
    time.advance(1s);
    log->tick();
  }
  std::optional<std::string> value(shard_id shard, std::string_view key) {
    return *db.get(table::meta, engine::named_key(shard, key));
  }
  std::vector<entry> entries(shard_id shard) {
    std::vector<entry> all;
    REQUIRE(db.scan(table::log, engine::shard_begin(shard), engine::shard_end(shard),
                    [&](std::string_view, std::string_view bytes) {
                      auto e = decode_entry(bytes);
                      REQUIRE(e);
                      all.push_back(std::move(*e));
                      return true;
                    }));
    return all;
  }

  test::temporary_folder folder;
  test::failing_engine db;
  manual_clock time{timestamp{std::chrono::days{20'000}}};
  stores::node_secrets secrets;
  std::unique_ptr<stores::user_keys> keys;
  std::unique_ptr<coordination::coordinator> coordinator;
  std::unique_ptr<test::local_log> log;
  std::uint64_t kept = 1 << 20;
};

} // namespace

TEST_CASE("one batch carries entries of many shards, each numbered within its own",
          "[replication]") {
  bench b;
  auto first = b.request(0, "x", "1"), second = b.request(3, "x", "2"),
       third = b.request(0, "y", "3");
  auto answers = b.log->commit({first, second, third});
  REQUIRE(answers.size() == 3);
  CHECK(answers[0]->front().seq == 1);
  CHECK(answers[1]->front().seq == 1);
  CHECK(answers[2]->front().seq == 2);
  CHECK(b.value(0, "y") == "3");
  CHECK(b.value(3, "x") == "2");
}

TEST_CASE("every opening begins a new term, and numbering goes on", "[replication]") {
  bench b;
  REQUIRE(b.commit(b.request(1, "x", "1")));
  auto term = b.log->opening(1)->term;
  b.open();
  auto opening = b.log->opening(1);
  CHECK(opening->term == term + 1);
  CHECK(opening->seq == 1);
  CHECK(b.commit(b.request(1, "x", "2"))->front().seq == 2);
}

TEST_CASE("entries are chained, and a chain goes on over a restart", "[replication]") {
  bench b;
  for (auto i = 0; i < 3; ++i)
    REQUIRE(b.commit(b.request(2, "x", std::to_string(i))));
  b.open();
  REQUIRE(b.commit(b.request(2, "x", "3")));
  chain_hash previous{};
  for (auto& e : b.entries(2)) {
    auto copy = e;
    encode(copy, previous);
    CHECK(copy.chain == e.chain);
    previous = e.chain;
  }
}

TEST_CASE("after a failed write all of that epoch fails, and a new opening goes on",
          "[replication]") {
  bench b;
  REQUIRE(b.commit(b.request(0, "x", "1")));
  auto late = b.request(0, "x", "built on what failed"),
       other = b.request(1, "x", "of another shard");
  b.db.failing = true;
  CHECK(b.commit(b.request(0, "x", "2")).error().code == errc::disk_full);
  CHECK(!b.log->opening(0)); // the disk still takes nothing
  b.mend();
  CHECK(b.commit(late).error().code == errc::outcome_unknown);
  auto term = b.log->opening(0)->term; // resumes
  CHECK(b.commit(late).error().code == errc::outcome_unknown);
  CHECK(b.commit(other).error().code == errc::outcome_unknown);
  CHECK(b.value(0, "x") == "1");
  REQUIRE(b.commit(b.request(0, "x", "3")));
  CHECK(b.entries(0).back().term == term);
  CHECK(b.entries(0).back().seq == 2);
}

TEST_CASE("a disk whose data cannot be trusted is given up, one that is full is not",
          "[replication]") {
  bench b;
  b.db.failing = true;
  CHECK(!b.commit(b.request(0, "x", "1")));
  CHECK_FALSE(b.log->core().damaged());
  b.mend();
  b.db.how = errc::corrupt;
  b.db.failing = true;
  CHECK(!b.commit(b.request(0, "x", "1")));
  REQUIRE(b.log->core().damaged());
  CHECK(b.log->core().damaged()->code == errc::corrupt);
}

TEST_CASE("a draft that cannot be sealed fails its own shard's epoch alone", "[replication]") {
  bench b;
  auto person = stores::derive_storage_key(b.secrets, *user_id::parse("u-1"));
  auto key = b.keys->allocate(0, {}, 1);
  REQUIRE(key);
  REQUIRE(b.keys->destroy(*key));
  append_request bad{0, b.log->opening(0)->epoch, {}};
  bad.drafts.push_back({b.time.now(), {bench::put(0, "x", "1")}, {}});
  bad.drafts.push_back({b.time.now(), {bench::put(0, "y", "2")}, {}});
  bad.drafts[1].rows[0].sealed_for = owner{person, *key};
  auto after = b.request(0, "z", "3"), elsewhere = b.request(1, "z", "4");
  auto answers = b.log->commit({bad, after, elsewhere});
  CHECK(answers[0].error().code == errc::key_destroyed);
  CHECK(answers[1].error().code == errc::outcome_unknown);
  CHECK(answers[2]);
  CHECK(!b.value(0, "x"));
  CHECK(b.commit(b.request(0, "x", "5"))->front().seq == 1);
}

TEST_CASE("a person's row is sealed on disk and in the log, and opens with the person's key",
          "[replication]") {
  bench b;
  auto person = stores::derive_storage_key(b.secrets, *user_id::parse("u-1"));
  auto key = *b.keys->allocate(0, {}, 1);
  auto r = b.request(0, "row", "likes hiking");
  r.drafts[0].rows[0].sealed_for = owner{person, key};
  REQUIRE(b.commit(r));
  auto sealed = b.value(0, "row");
  CHECK(sealed->find("hiking") == std::string::npos);
  CHECK(b.entries(0).back().operations[0].value == *sealed);
  CHECK(*b.keys->open(key, person.view(), *sealed) == "likes hiking");
}

TEST_CASE("no nonce is used twice, over rows, entries, shards and restarts", "[replication]") {
  bench b;
  auto person = stores::derive_storage_key(b.secrets, *user_id::parse("u-1"));
  auto key = *b.keys->allocate(0, {}, 1);
  std::set<std::string> nonces;
  std::size_t rows = 0;
  for (auto round = 0; round < 3; ++round, b.open())
    for (shard_id shard = 0; shard < 4; ++shard) {
      auto r = b.request(shard, "a", "1");
      r.drafts[0].rows.push_back(bench::put(shard, "b", "2"));
      for (auto& row : r.drafts[0].rows)
        row.sealed_for = owner{person, key};
      REQUIRE(b.commit(r));
      auto written = b.entries(shard).back();
      for (auto& o : written.operations) {
        nonces.insert(o.value.substr(0, 24));
        ++rows;
      }
    }
  CHECK(nonces.size() == rows);
}

TEST_CASE("the log keeps what it must and no more", "[replication]") {
  bench b;
  b.kept = 10'000;
  b.open();
  for (auto i = 0; i < 400; ++i)
    REQUIRE(b.commit(b.request(0, "x", std::string(200, 'x'))));
  std::uint64_t bytes = 0;
  auto kept = b.entries(0);
  for (auto& e : kept)
    bytes += encode(e, {}).size();
  CHECK(bytes >= 10'000);
  CHECK(bytes < 25'000);
  CHECK(kept.back().seq == 400);
  CHECK(kept.front().seq + kept.size() - 1 == 400);
}

TEST_CASE("a log tail with a flipped bit is corrupt, never ignored", "[replication]") {
  bench b;
  REQUIRE(b.commit(b.request(0, "x", "1")));
  auto key = engine::log_key(0, 1);
  auto bytes = **b.db.get(table::log, key);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    CHECK(!decode_entry(flipped));
  }
  bytes[10] = static_cast<char>(bytes[10] ^ 1);
  REQUIRE(b.db.write({{operation::what::put, table::log, key, bytes}}, engine::sync::yes));
  leases promises{{"n1", "d1"}, 2, {4}, {}, b.time.monotonic()};
  auto opened = replicator::open(b.db, *b.keys, promises, b.time, {{"n1", "d1"}, {4}});
  REQUIRE(!opened);
  CHECK(opened.error().code == errc::corrupt);
}

TEST_CASE("another node's shards are not taken", "[replication]") {
  bench b;
  test::local_log other{b.db, *b.keys, *b.coordinator, b.time,
                        replicator_options{{"n2", "d2"}, {4}}};
  b.time.advance(1min);
  other.tick();
  CHECK(!other.opening(0));
}

TEST_CASE("nothing is final while a disk may hold the shard that nobody waits for",
          "[replication]") {
  bench b;
  auto& core = b.log->core();
  const sharding::member self{"n1", "d1"}, away{"n2", "d2"}, learner{"n3", "d3"};
  REQUIRE(b.commit(b.request(0, "k", "v")));
  CHECK(core.destroyed_everywhere(0) == 1);
  core.wanted(0, {self}, {self, away});
  CHECK(core.destroyed_everywhere(0) == 0);
  CHECK(core.destroyed_everywhere(1) == 0); // of another shard it says nothing
  core.wanted(0, {self}, {self});
  CHECK(core.destroyed_everywhere(0) == 1);
  core.wanted(0, {self}, {self, {"n1", "an earlier disk"}});
  CHECK(core.destroyed_everywhere(0) == 0);
  // What a learner destroyed it says itself: nothing yet.
  core.wanted(0, {self, learner}, {self, learner});
  CHECK(core.destroyed_everywhere(0) == 0);
}

TEST_CASE("before it is known who holds a shard nothing is final", "[replication]") {
  bench b;
  REQUIRE(b.commit(b.request(0, "k", "v")));
  leases promises{{"n1", "d1"}, 1, {4}, lease_options{}, b.time.monotonic()};
  auto opened = replicator::open(b.db, *b.keys, promises, b.time, {{"n1", "d1"}, {4}});
  REQUIRE(opened);
  CHECK((*opened)->destroyed_everywhere(0) == 0);
}

TEST_CASE("a disk holds a shard from its first entry on, over a restart, until it was emptied",
          "[replication]") {
  bench b;
  CHECK_FALSE(b.log->core().holds(0));
  REQUIRE(b.commit(b.request(0, "k", "v")));
  CHECK(b.log->core().holds(0));
  CHECK_FALSE(b.log->core().holds(1));
  b.open();
  CHECK(b.log->core().holds(0));

  // Nobody wants it here any more.
  const sharding::member other{"n2", "d2"};
  auto found = *b.coordinator->get(sharding::config_key(0));
  auto config = *sharding::shard_config_from_json(found->value);
  ++config.version;
  ++config.term;
  config.primary = other;
  config.in_sync = {other};
  coordination::change change{sharding::config_key(0), found->version, sharding::to_json(config)};
  REQUIRE(b.coordinator->compare_and_swap({&change, 1}) == true);
  b.log->core().configured(0, config, found->version + 1);
  b.log->core().wanted(0, {other}, {other, {"n1", "d1"}});
  b.log->tick();
  CHECK(b.log->core().holds(0));
  b.time.advance(70s);
  b.log->tick(); // it asks once more
  CHECK(b.log->core().holds(0));
  b.log->core().config_read(0, config, found->version + 1, b.time.monotonic());
  b.log->tick();
  CHECK_FALSE(b.value(0, "k"));
  CHECK_FALSE(b.log->core().holds(0));
}

TEST_CASE("a shard whose content was replaced goes on in a later term and generation",
          "[replication]") {
  bench b;
  REQUIRE(b.commit(b.request(0, "x", "1")));
  auto before = b.log->opening(0);
  auto generation = b.log->core().status()[0].config.generation;
  REQUIRE(b.log->core().renew(0, 5'000));
  b.log->tick();
  auto after = b.log->opening(0);
  REQUIRE(after);
  CHECK(after->term == 5'000);
  CHECK(after->epoch > before->epoch);
  CHECK(after->seq == before->seq);
  CHECK(b.log->core().status()[0].config.generation == generation + 1);
  CHECK(b.log->opening(1)->term < 5'000);
  REQUIRE(b.commit(b.request(0, "y", "2")));
  // A floor that is passed already: the next term all the same.
  REQUIRE(b.log->core().renew(0, 7));
  b.log->tick();
  CHECK(b.log->opening(0)->term == 5'001);
}

TEST_CASE("an entry names the pages of rows that come sealed already", "[replication]") {
  bench b;
  auto r = b.request(0, "x", "sealed elsewhere");
  auto key = b.keys->allocate(0, {}, 1);
  REQUIRE(key);
  r.drafts[0].pages = {key->page};
  REQUIRE(b.commit(r));
  CHECK(b.entries(0).back().pages == std::vector{key->page});
}

TEST_CASE("audit events are chained in the entry that they belong to", "[replication]") {
  bench b;
  auto r = b.request(0, "x", "1");
  r.drafts[0].audit = {{b.time.now(), "admin", "one", "", ""},
                       {b.time.now(), "admin", "two", "", ""}};
  auto answer = b.commit(r);
  REQUIRE(answer);
  REQUIRE(answer->front().audit.size() == 2);
  CHECK(answer->front().audit[1].index == 2);
  b.open();
  CHECK(b.log->opening(0)->audit == answer->front().audit[1]);
  CHECK(*stores::verify_audit(b.db, 0, {answer->front().audit[1]}) == answer->front().audit[1]);
}

TEST_CASE("a cut tail of the audit chain shows, and goes on showing", "[replication]") {
  bench b;
  auto log_one = [&](const char* action) {
    auto r = b.request(0, "x", "1");
    r.drafts[0].audit = {{b.time.now(), "admin", action, "", ""}};
    REQUIRE(b.commit(r));
  };
  log_one("one");
  log_one("two");
  CHECK(stores::verify_audit(b.db, 0));
  REQUIRE(b.db.write({{operation::what::erase, table::audit, engine::audit_key(0, 2), {}}},
                     engine::sync::yes));
  CHECK_THAT(stores::verify_audit(b.db, 0).error().detail, Catch::Contains("missing"));
  b.open();
  log_one("three"); // takes its place behind the record that was cut off
  CHECK(stores::read_audit_head(b.db, 0).value()->index == 3);
  CHECK(!stores::verify_audit(b.db, 0));
}

TEST_CASE("log time follows the wall, never goes back, and runs at most twice as fast",
          "[replication]") {
  auto start = timestamp{std::chrono::days{20'000}};
  log_clock clock{start, 0ms};
  CHECK(clock.now(start + 1h, 1h) == start + 1h);
  CHECK(clock.now(start - 1h, 1h) == start);
  CHECK(clock.now(start + std::chrono::days{2}, 1h) == start + 2h); // the wall jumped
  clock.advance(start + 5h, 1h);
  CHECK(clock.now(start + 1h, 1h) == start + 5h);
}
