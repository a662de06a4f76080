#include <catch2/catch.hpp>

#include "actors/profile/held_cut.hpp"
#include "actors/profile/shard_filling.hpp"
#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"
#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::profile;
using namespace std::chrono_literals;
using engine::table;

namespace {

constexpr shard_id number = 0;

/// The parts of a cut, and the pages of keys as they are now.
struct taken {
  std::vector<std::string> rows;
  std::vector<backup::page> pages;
  std::map<std::uint64_t, std::vector<std::uint16_t>> living; ///< as the rows name them
  timestamp log_time;
};

std::vector<backup::page> take_pages(test::shard& from, std::size_t bytes = 1) {
  std::vector<backup::page> all;
  std::string cursor;
  do {
    auto part = read_pages(number, *from.keys, cursor, bytes);
    REQUIRE(part);
    auto pages = backup::decode_pages(part->bytes);
    REQUIRE(pages);
    CHECK(pages->size() == part->count);
    all.insert(all.end(), pages->begin(), pages->end());
    cursor = part->next;
  } while (!cursor.empty());
  return all;
}

taken take(test::shard& from, std::size_t bytes = 300) {
  auto cut = held_cut::take(number, *from.db);
  REQUIRE(cut);
  taken t;
  t.log_time = cut->mark().time;
  std::string cursor;
  do {
    auto part = cut->read(cursor, bytes);
    REQUIRE(part);
    auto rows = backup::decode_rows(part->bytes);
    REQUIRE(rows);
    CHECK(rows->size() == part->count);
    for (const auto& r : *rows)
      if (r.table == table::user && r.key.back() == '\0' && r.value.size() == 10)
        t.living[engine::read_big_endian(r.value, 8)].push_back(static_cast<std::uint16_t>(
            engine::read_big_endian(std::string_view{r.value}.substr(8), 2)));
    t.rows.push_back(part->bytes);
    cursor = part->next;
  } while (!cursor.empty());
  t.pages = take_pages(from);
  return t;
}

/// A node that was never used, with the secrets of `like`.
struct target {
  explicit target(const test::shard& like)
    : secrets{like.secrets}
    , time{like.time.now()} {
    auto opened = stores::open_user_keys(folder.path(), secrets);
    REQUIRE(opened);
    keys = std::move(*opened);
    log = std::make_unique<test::local_log>(*db, *keys, *coordinator, time,
                                            replication::replicator_options{{"n9", "d9"}, {2}});
    filling = std::make_unique<shard_filling>(number, *db, *keys);
    REQUIRE(filling->open());
  }

  void append(result<replication::draft> entry) {
    REQUIRE(entry);
    replication::append_request r{number, log->opening(number)->epoch, {}};
    r.drafts.push_back(std::move(*entry));
    REQUIRE(log->commit(r));
  }

  static filling_mark mark(const taken& t) {
    filling_mark m;
    m.backup = "b-1";
    m.caller = "ops";
    m.term_floor = 100'000;
    m.log_time = t.log_time;
    return m;
  }

  void send_keys(const std::vector<backup::page>& pages, const taken& t) {
    for (auto p : pages) {
      auto named = t.living.find(p.number);
      if (named == t.living.end())
        continue;
      p.living = named->second;
      append(filling->take_pages(backup::encode(std::vector{p})));
    }
  }

  void fill(const taken& t, bool leave_out = false) {
    append(filling->begin(mark(t)));
    send_keys(t.pages, t);
    for (const auto& part : t.rows)
      append(filling->take_rows(part, leave_out));
    append(filling->complete());
    REQUIRE(log->core().renew(number, filling->mark().term_floor));
    log->tick();
    append(filling->finish());
  }

  user_table open_people(const model::region_table& regions) {
    user_table people{number, {*db, *keys, secrets, regions, time, random}};
    REQUIRE(people.open(log->opening(number).value()));
    return people;
  }

  test::temporary_folder folder;
  stores::node_secrets secrets;
  manual_clock time;
  seeded_rng random{11};
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  std::unique_ptr<coordination::coordinator> coordinator =
      coordination::make_local_coordinator(*db);
  std::unique_ptr<stores::user_keys> keys;
  std::unique_ptr<test::local_log> log;
  std::unique_ptr<shard_filling> filling;
};

constexpr auto now = "2026-01-05T12:00:00Z";

void meet(test::shard& s, const std::string& who) {
  s.introduce(who, "US", test::at("2025-10-08T00:00:00Z"));
  REQUIRE(s.say("e-" + who, who, s.time.now(), "hiking").status == model::status::accepted);
}

} // namespace

TEST_CASE("what was cut is there after a restore, and is read with the keys", "[backup]") {
  test::shard s{test::at(now)};
  for (const auto* who : {"u-1", "u-2", "u-3"})
    meet(s, who);
  target t{s};
  t.fill(take(s));
  auto people = t.open_people(s.regions);
  for (const auto* who : {"u-1", "u-2", "u-3"}) {
    auto there = people.read(test::user(who)), here = s.people->read(test::user(who));
    REQUIRE(there);
    REQUIRE(here);
    CHECK(there->record == here->record);
  }
  CHECK(people.read(test::user("u-4")).error().code == errc::user_not_found);
  REQUIRE(people.policies().versions().size() == 1);
}

TEST_CASE("what was acknowledged before the cut is a duplicate after the restore", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  target t{s};
  t.fill(take(s));
  auto people = t.open_people(s.regions);
  model::admission again{
      "e-u-1",      "u-1", s.time.now(), s.time.now(), model::event_kind::ai_interaction,
      std::nullopt, 0};
  auto judged = people.admit(again);
  REQUIRE(judged);
  CHECK(judged->answer.status == model::status::duplicate);
}

TEST_CASE("the snapshot does not move while it is read", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  auto cut = held_cut::take(number, *s.db);
  REQUIRE(cut);
  auto before = cut->read({}, 1 << 20);
  meet(s, "u-2");
  auto after = cut->read({}, 1 << 20);
  REQUIRE(before);
  REQUIRE(after);
  CHECK(before->bytes == after->bytes);
  CHECK(held_cut::take(number, *s.db)->mark().at.seq > cut->mark().at.seq);
}

TEST_CASE("a cursor that no part named is refused", "[backup]") {
  test::shard s{test::at(now)};
  auto cut = held_cut::take(number, *s.db);
  REQUIRE(cut);
  std::string far(1, '\7');
  for (const auto& cursor : {std::string{"x"}, far + engine::shard_begin(number),
                             std::string(1, '\0') + engine::shard_begin(1)})
    CHECK(cut->read(cursor, 1).error().code == errc::bad_value);
  CHECK(read_pages(number, *s.keys, "abc", 1).error().code == errc::bad_value);
}

TEST_CASE("no nonce of the backup comes again: the restored shard is led in a later term",
          "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  target t{s};
  auto generation_before = t.log->core().status()[number].config.generation;
  t.fill(take(s));
  auto opening = t.log->opening(number);
  REQUIRE(opening);
  CHECK(opening->term >= 100'000);
  CHECK(t.log->core().status()[number].config.generation == generation_before + 1);
}

TEST_CASE("log time does not go back, though the new node's clock is behind", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  target t{s};
  auto cut = take(s);
  cut.log_time += std::chrono::hours{24};
  t.fill(cut);
  CHECK(t.open_people(s.regions).log_time() >= cut.log_time);
}

TEST_CASE("the audit chain goes on where the backup's ended", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  auto head = *stores::read_audit_head(*s.db, number);
  REQUIRE(head);
  target t{s};
  t.fill(take(s));
  auto opening = t.log->opening(number);
  REQUIRE(opening);
  CHECK(opening->audit == *head);
  CHECK(*stores::verify_audit(*t.db, number, {*head}) == *head);
}

TEST_CASE("a key backup that is older than an erasure does not bring the key back", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  meet(s, "u-2");
  auto old_pages = take_pages(s);
  auto with_u1 = take(s);
  auto grave = s.commit(s.people->erase(test::user("u-1"), "ops")).grave;
  REQUIRE(s.keys->destroy(grave.key));
  auto cut = take(s);
  cut.pages = old_pages;

  SECTION("while the tombstone stands") {}
  SECTION("and when it is gone, after the dedupe window") {
    s.time.advance(limits::dedupe_window + 1h);
    s.sweep();
    cut = take(s);
    cut.pages = old_pages;
  }
  target t{s};
  t.fill(cut);
  CHECK(t.keys->tag(grave.key, "x").error().code == errc::key_destroyed);
  auto people = t.open_people(s.regions);
  CHECK_FALSE(people.read(test::user("u-1")));
  CHECK(people.read(test::user("u-2")));
  // Nor does it come with what this node exports, so that old data stays closed.
  target third{s};
  with_u1.pages = [&] {
    std::vector<backup::page> pages;
    for (auto p : t.keys->pages(number))
      pages.push_back({p, t.keys->export_page(p).value()});
    return pages;
  }();
  third.fill(with_u1);
  CHECK(third.filling->mark().dropped == 1);
  auto others = third.open_people(s.regions);
  CHECK(others.read(test::user("u-1")).error().code == errc::user_not_found);
  CHECK(others.read(test::user("u-2")));
}

TEST_CASE("a person whose key did not come is refused, or left out where that is meant",
          "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  auto cut = take(s);
  cut.pages.clear();
  {
    target t{s};
    t.append(t.filling->begin(target::mark(cut)));
    result<replication::draft> refused = replication::draft{};
    for (const auto& part : cut.rows)
      if (refused)
        refused = t.filling->take_rows(part, false);
    CHECK(refused.error().code == errc::conflict);
  }
  target t{s};
  t.fill(cut, true);
  CHECK(t.filling->mark().dropped == 1);
  CHECK(t.open_people(s.regions).read(test::user("u-1")).error().code == errc::user_not_found);
}

TEST_CASE("a shard that holds anybody is not filled", "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  auto cut = take(s);
  shard_filling into_itself{number, *s.db, *s.keys};
  REQUIRE(into_itself.open());
  CHECK(into_itself.begin(target::mark(cut)).error().code == errc::conflict);
  target t{s};
  t.fill(cut);
  t.filling->finished();
  CHECK(t.filling->begin(target::mark(cut)).error().code == errc::conflict);
  CHECK(*t.filling->is_filled_from("b-1"));
  CHECK_FALSE(*t.filling->is_filled_from("b-2"));
}

TEST_CASE("half a restore is known after a takeover, and is begun anew by the same backup only",
          "[backup]") {
  test::shard s{test::at(now)};
  meet(s, "u-1");
  auto cut = take(s);
  target t{s};
  t.append(t.filling->begin(target::mark(cut)));
  t.send_keys(cut.pages, cut);
  t.append(t.filling->take_rows(cut.rows.front(), false));

  shard_filling next{number, *t.db, *t.keys};
  auto found = next.open();
  REQUIRE(found);
  REQUIRE(*found);
  CHECK(**found == t.filling->mark());
  auto other = target::mark(cut);
  other.backup = "b-2";
  CHECK(next.begin(other).error().code == errc::conflict);
  // It goes on where it was: in the middle of a person, for the rows of one may be in two parts.
  for (std::size_t i = 1; i < cut.rows.size(); ++i)
    t.append(next.take_rows(cut.rows[i], false));
  t.append(next.complete());
  REQUIRE(t.log->core().renew(number, 100'000));
  t.log->tick();
  t.append(next.finish());
  CHECK(t.open_people(s.regions).read(test::user("u-1")));
}

TEST_CASE("rows and pages of another shard are refused", "[backup]") {
  test::shard s{test::at(now)};
  target t{s};
  t.append(t.filling->begin(target::mark(taken{})));
  std::vector<backup::row> foreign = {{table::meta, engine::named_key(1, "x"), "v"}};
  CHECK(t.filling->take_rows(backup::encode(foreign), false).error().code == errc::bad_value);
  std::vector<backup::page> page = {{(std::uint64_t{1} << 48) | 1, "x"}};
  CHECK(t.filling->take_pages(backup::encode(page)).error().code == errc::bad_value);
  CHECK(t.filling->take_rows("", false).error().code == errc::corrupt);
  CHECK(t.filling->mark().next == 0);
}
