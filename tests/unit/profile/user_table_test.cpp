#include <algorithm>

#include <catch2/catch.hpp>

#include "storage/base/limits.hpp"
#include "storage/stores/audit_log.hpp"
#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;
using model::reason;
using model::source;
using model::verdict;

namespace {

const auto told = at("2025-10-08T12:00:00Z");
const auto before = at("2025-12-10T12:00:00Z");
const auto after = at("2025-12-17T12:00:00Z");

/// Every byte of every row: what a thief of the disk would see.
std::string all_rows(const engine::engine& db) {
  std::string bytes;
  for (std::size_t t = 0; t < engine::table_count; ++t)
    REQUIRE(db.scan(static_cast<engine::table>(t), "", std::string(8, '\xff'),
                    [&](std::string_view key, std::string_view value) {
                      bytes.append(key).append(value);
                      return true;
                    }));
  return bytes;
}

std::vector<std::string> audit_actions(const engine::engine& db) {
  std::vector<std::string> actions;
  REQUIRE(stores::read_audit(db, 0, 1, [&](const stores::audit_record& r) {
    actions.push_back(r.event.action);
    return true;
  }));
  return actions;
}

} // namespace

TEST_CASE("what was said before the date is never used, and after it is", "[profile]") {
  shard s{before};
  s.introduce("ann", "US", told);
  CHECK(s.say("e1", "ann", before, "hiking") == verdict::withheld(reason::policy_not_effective));
  CHECK(s.weight("ann", outdoors, source::ai) == 0);
  s.time.set(after);
  s.commit(s.people->follow_clock(after, "test"));
  CHECK(s.say("e2", "ann", after, "hiking") == verdict::accepted());
  CHECK(s.weight("ann", outdoors, source::ai) == model::one_mention);
}

TEST_CASE("an event teaches once, whoever asks how often", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::accepted());
  for (auto i = 0; i < 3; ++i) {
    CHECK(s.say("e1", "ann", after, "hiking") == verdict::duplicate());
    CHECK(s.say("e1", "ann", after - 1h, "cooking") == verdict::duplicate());
    s.reopen();
  }
  CHECK(s.weight("ann", outdoors, source::ai) == model::one_mention);
  CHECK(s.weight("ann", food, source::ai) == 0);
}

TEST_CASE("one person's event id is not another's", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.introduce("bob", "US", told);
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::accepted());
  CHECK(s.say("e1", "bob", after, "hiking") == verdict::accepted());
}

TEST_CASE("an id in flight is a duplicate already", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  model::event e{"e1", user("ann"), after};
  e.lang = "en";
  e.utterance = model::raw_utterance{"hiking"};
  model::admission header{"e1", "ann", after, after, e.kind, {}, 0};
  auto signal = s.filter->sanitize(header, e);
  REQUIRE(signal);
  auto first = s.people->learn(*signal); // not committed yet
  REQUIRE(first->entry);
  CHECK(s.people->learn(*signal)->answer == verdict::duplicate());
}

TEST_CASE("a like makes a person without a region; the assistant stays region_unknown",
          "[profile]") {
  shard s{after};
  CHECK(s.like("l1", "ann", after, outdoors) == verdict::accepted());
  CHECK(s.weight("ann", outdoors, source::engagement) == model::one_mention);
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::withheld(reason::region_unknown));
  CHECK(s.people->read(user("ann"))->region == profile::region_state::unknown);
}

TEST_CASE("likes are learned from in excluded regions, the assistant is not", "[profile]") {
  shard s{after};
  for (auto region : {"GB", "DE", "KR"}) {
    s.introduce(region, region, told);
    CHECK(s.say("e1", region, after, "hiking") == verdict::withheld(reason::region_excluded));
    CHECK(s.like("l1", region, after, outdoors) == verdict::accepted());
    CHECK(s.weight(region, outdoors, source::ai) == 0);
    CHECK(s.weight(region, outdoors, source::engagement) > 0);
  }
}

TEST_CASE("without a notice nothing is learned", "[profile]") {
  shard s{after};
  s.move("ann", "US", at("2020-01-01T00:00:00Z"));
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::withheld(reason::not_notified));
  s.commit(s.people->record_notice(user("ann"),
                                   {"ai-interactions", 1, model::channel::email, after}, "test"));
  CHECK(s.say("e1", "ann", after - 1ms, "hiking") == verdict::withheld(reason::not_notified));
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::accepted());
}

TEST_CASE("what is sensitive leaves no trace but that the assistant was used", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.say("e1", "ann", after, "church hiking") == verdict::withheld(reason::sensitive));
  auto seen = s.people->read(user("ann"));
  CHECK(seen->interests.empty());
  CHECK(seen->record.seen.empty());
  CHECK(seen->record.person.assistant_user_since == at("2025-12-17T00:00:00Z"));
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::accepted()); // not even its id
}

TEST_CASE("using the assistant is remembered as a date, once, whatever the verdict", "[profile]") {
  shard s{before};
  CHECK(s.say("e1", "new", before, "hiking") == verdict::withheld(reason::policy_not_effective));
  s.reopen();
  CHECK(s.people->read(user("new"))->record.person.assistant_user_since ==
        at("2025-12-10T00:00:00Z"));
  s.time.advance(20h);
  s.say("e2", "new", before + 20h, "hiking");
  CHECK(s.people->read(user("new"))->record.person.assistant_user_since ==
        at("2025-12-10T00:00:00Z"));
}

TEST_CASE("what is older than the window is too old, unless an import run brings it", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  auto old = after - 25h;
  CHECK(s.like("l1", "ann", old, outdoors).reason == "too_old");
  CHECK(s.like("l1", "ann", old, outdoors, 7).reason == "import_not_open");
  s.commit(s.people->open_import(7, "history", "test"));
  s.reopen();
  CHECK(s.like("l1", "ann", old, outdoors, 7) == verdict::accepted());
  CHECK(s.like("l1", "ann", old, outdoors, 7) == verdict::duplicate());
  s.reopen();
  CHECK(s.like("l1", "ann", old, outdoors, 7) == verdict::duplicate());
  CHECK(s.say("e1", "ann", at("2025-12-01T00:00:00Z"), "hiking", 7) ==
        verdict::withheld(reason::policy_not_effective));
  s.commit(s.people->close_import(7, "test"));
  CHECK(s.like("l2", "ann", old, outdoors, 7).reason == "import_not_open");
}

TEST_CASE("at the window's edge an id is either remembered or too old", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.like("l1", "ann", after, outdoors) == verdict::accepted());
  s.time.advance(24h);
  CHECK(s.like("l1", "ann", after, outdoors) == verdict::duplicate());
  s.time.advance(1ms);
  CHECK(s.like("l1", "ann", after, outdoors).reason == "too_old");
}

TEST_CASE("many events fold, and nothing is lost or counted twice over restarts", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  const auto events = static_cast<int>(limits::deltas_before_fold) * 5 + 3;
  for (auto i = 0; i < events; ++i) {
    REQUIRE(s.like("l" + std::to_string(i), "ann", after, outdoors) == verdict::accepted());
    if (i % 7 == 0)
      s.reopen();
  }
  s.reopen();
  for (auto i = 0; i < events; ++i)
    REQUIRE(s.like("l" + std::to_string(i), "ann", after, outdoors) == verdict::duplicate());
  auto seen = s.people->read(user("ann"));
  CHECK(seen->interests.front().interest.events == events);
  CHECK(seen->interests.front().weight_now == events * std::int64_t{model::one_mention});
}

TEST_CASE("a move to an excluded region stops use at once and purges after the grace",
          "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking");
  s.like("l1", "ann", after, food);
  s.move("ann", "DE", after);
  auto seen = s.people->read(user("ann"));
  CHECK(seen->region == profile::region_state::excluded);
  for (const auto& i : seen->interests)
    CHECK((i.ads == reason::region_excluded) == (i.interest.source == source::ai));
  s.time.advance(std::chrono::days{29});
  s.sweep();
  CHECK(s.weight("ann", outdoors, source::ai) > 0);
  s.time.advance(std::chrono::days{2});
  s.reopen();
  s.sweep();
  CHECK(s.weight("ann", outdoors, source::ai) == 0);
  CHECK(s.weight("ann", food, source::engagement) > 0);
  CHECK(audit_actions(*s.db).back() == "interests_purged");
}

TEST_CASE("moving back within the grace stops the purge", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking");
  s.move("ann", "DE", after);
  s.time.advance(std::chrono::days{10});
  s.move("ann", "US", s.time.now());
  s.time.advance(std::chrono::days{25});
  s.sweep();
  CHECK(s.weight("ann", outdoors, source::ai) > 0);
  CHECK(!s.people->read(user("ann"))->interests.front().ads);
}

TEST_CASE("a forgotten interest is gone from every source", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking cooking");
  s.like("l1", "ann", after, outdoors);
  s.commit(s.people->forget_interest(user("ann"), outdoors, "test"));
  s.reopen();
  CHECK(s.weight("ann", outdoors, source::ai) == 0);
  CHECK(s.weight("ann", outdoors, source::engagement) == 0);
  CHECK(s.weight("ann", food, source::ai) > 0);
  CHECK(s.people->forget_interest(user("ann"), outdoors, "test").error().code == errc::not_found);
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::duplicate());
}

TEST_CASE("forgetting an interest forgets the finer ones within it, not the other way round",
          "[profile]") {
  auto sports = *model::find_topic("sports"), soccer = *model::find_topic("soccer"),
       golf = *model::find_topic("golf");
  shard s{after};
  s.introduce("ann", "US", told);
  for (auto topic : {sports, soccer, golf, food})
    s.like("l" + std::to_string(topic), "ann", after, topic);
  s.commit(s.people->forget_interest(user("ann"), golf, "test"));
  CHECK(s.weight("ann", golf, source::engagement) == 0);
  CHECK(s.weight("ann", sports, source::engagement) > 0);
  CHECK(s.weight("ann", soccer, source::engagement) > 0);
  s.commit(s.people->forget_interest(user("ann"), sports, "test"));
  s.reopen();
  CHECK(s.weight("ann", sports, source::engagement) == 0);
  CHECK(s.weight("ann", soccer, source::engagement) == 0);
  CHECK(s.weight("ann", food, source::engagement) > 0);
}

TEST_CASE("an erased person is gone, and what they sent before is refused", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking");
  s.time.advance(1min);
  auto erased = s.commit(s.people->erase(user("ann"), "test"));
  REQUIRE(s.keys->destroy(erased.grave.key));
  for (auto round = 0; round < 2; ++round, s.reopen()) {
    CHECK(s.people->read(user("ann")).error().code == errc::user_not_found);
    CHECK(s.say("e2", "ann", after, "hiking") == verdict::withheld(reason::erased));
    CHECK(s.like("l2", "ann", after, outdoors) == verdict::withheld(reason::erased));
    auto again = s.people->erase(user("ann"), "test");
    REQUIRE(again);
    CHECK(again->answer.already_done);
    CHECK(again->answer.grave == erased.grave);
  }
  CHECK(s.people->read(user("ann")).error().code == errc::user_not_found);
}

TEST_CASE("after an erasure a later event starts a new person", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking");
  s.time.advance(1min);
  auto old_name = s.people->read(user("ann"))->record.pseudonym;
  s.commit(s.people->erase(user("ann"), "test"));
  s.time.advance(1h);
  CHECK(s.like("l1", "ann", s.time.now(), food) == verdict::accepted());
  s.reopen();
  auto seen = s.people->read(user("ann"));
  CHECK(seen->record.pseudonym != old_name);
  CHECK(seen->record.person.regions.empty());
  CHECK(s.weight("ann", outdoors, source::ai) == 0);
  CHECK(s.like("l2", "ann", after, food) == verdict::withheld(reason::erased));
  s.time.advance(25h);
  s.sweep(); // the tombstone's window is over, the new person stays
  CHECK(s.weight("ann", food, source::engagement) > 0);
}

TEST_CASE("an erasure's key goes with its entry, and stays gone", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  auto erased = s.people->erase(user("ann"), "test");
  REQUIRE(erased);
  auto key = erased->answer.grave.key;
  CHECK(s.keys->tag(key, "x"));
  s.append(std::move(*erased->entry));
  for (auto round = 0; round < 2; ++round, s.reopen())
    CHECK(s.keys->tag(key, "x").error().code == errc::key_destroyed);
}

TEST_CASE("an erasure is final once every copy has destroyed the key, and not before",
          "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.time.advance(1min);
  auto seq = s.log->opening(0)->seq + 1;
  auto grave = s.erase("ann");
  CHECK(!grave.final_at);
  s.time.advance(1min);
  CHECK(s.people->sweep(4, seq - 1)->empty());
  CHECK(!s.erase("ann").final_at);
  auto noted = s.people->sweep(4, seq);
  REQUIRE(noted->size() == 1);
  s.append(std::move(noted->front()));
  grave.final_at = s.time.now();
  for (auto round = 0; round < 2; ++round, s.reopen()) {
    CHECK(s.erase("ann") == grave);
    CHECK(s.people->sweep(4, seq + 100)->empty()); // it is noted once
  }
  CHECK(s.say("e2", "ann", after, "hiking") == verdict::withheld(reason::erased));
  auto actions = audit_actions(*s.db);
  CHECK(std::ranges::count(actions, "erasure_final") == 1);
  REQUIRE(stores::read_audit(*s.db, 0, actions.size(), [&](const stores::audit_record& r) {
    CHECK(r.event.action == "erasure_final");
    CHECK(r.event.subject == grave.subject);
    CHECK(r.event.detail.find(grave.receipt) != std::string::npos);
    return true;
  }));
}

TEST_CASE("whoever leads the shard next makes an erasure final", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.erase("ann");
  s.reopen();
  auto opened_at = s.log->opening(0)->seq;
  CHECK(s.people->sweep(4, opened_at - 1)->empty());
  CHECK(s.people->sweep(4, opened_at)->size() == 1);
}

TEST_CASE("a tombstone outlives its window until the erasure is final", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  auto grave = s.erase("ann");
  s.time.advance(25h);
  CHECK(s.people->sweep(4, 0)->empty());
  CHECK(s.erase("ann") == grave);
  s.sweep();
  CHECK(s.people->erase(user("ann"), "test").error().code == errc::user_not_found);
  CHECK(audit_actions(*s.db).back() == "erasure_final");
}

TEST_CASE("who came back and was erased again has two erasures that become final", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.time.advance(1min);
  auto first = s.erase("ann");
  s.time.advance(1min);
  CHECK(s.like("l1", "ann", s.time.now(), food) == verdict::accepted());
  // The second is drafted when the first is found to be final.
  auto between = s.log->opening(0)->seq;
  auto second = s.people->erase(user("ann"), "test");
  REQUIRE(second);
  auto noted = s.people->sweep(4, between);
  REQUIRE(noted->size() == 1);
  CHECK(noted->front().audit.front().subject == first.subject);
  CHECK(!s.people->erase(user("ann"), "test")->answer.grave.final_at);
  auto at = s.append(std::move(*second->entry)).front().seq;
  s.append(std::move(noted->front()));
  s.people->erased(user("ann"), second->answer.grave, at);
  s.sweep();
  CHECK(s.erase("ann").receipt == second->answer.grave.receipt);
  CHECK(s.erase("ann").final_at);
  auto actions = audit_actions(*s.db);
  CHECK(std::ranges::count(actions, "erasure_final") == 2);
}

TEST_CASE("a tombstone decodes for ever as it was written", "[profile]") {
  auto open = from_hex(
#include "tests/golden/tombstone_v1.inc"
  );
  auto final = from_hex(
#include "tests/golden/tombstone_v2.inc"
  );
  REQUIRE(open);
  REQUIRE(final);
  profile::tombstone grave{
      at("2025-12-17T12:00:00Z"), {0x0001'0000'0020'0003, 517}, "r-0a1b", "s-2c3d", {}};
  CHECK(profile::decode_tombstone(*open) == grave);
  CHECK(profile::encode(grave) == *open);
  grave.final_at = at("2025-12-17T12:00:01.5Z");
  CHECK(profile::decode_tombstone(*final) == grave);
  CHECK(profile::encode(grave) == *final);
  for (const auto& whole : {*open, *final})
    for (std::size_t cut = 0; cut < whole.find('\n'); ++cut)
      CHECK(profile::decode_tombstone(whole.substr(0, cut)).error().code == errc::corrupt);
  CHECK(profile::decode_tombstone(std::string(9, '\2') + *final).error().code == errc::corrupt);
}

TEST_CASE("what an erased person left in the log opens with no key", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.say("e1", "ann", after, "hiking");
  auto key = stores::derive_storage_key(s.secrets, user("ann"));
  std::vector<std::string> sealed;
  REQUIRE(s.db->scan(engine::table::user, engine::shard_begin(0), engine::shard_end(0),
                     [&](std::string_view, std::string_view value) {
                       sealed.emplace_back(value);
                       return true;
                     }));
  auto erased = s.commit(s.people->erase(user("ann"), "test"));
  REQUIRE(s.keys->destroy(erased.grave.key));
  for (const auto& bytes : sealed)
    CHECK(!s.keys->open(erased.grave.key, key.view(), bytes));
}

TEST_CASE("on disk nobody has a name and nothing a meaning", "[profile][canary]") {
  shard s{after};
  s.introduce("ann-of-green-gables", "US", told);
  s.say("event-id-canary", "ann-of-green-gables", after, "hiking");
  auto bytes = all_rows(*s.db);
  for (auto word : {"ann-of", "gables", "event-id", "hiking", "outdoors"})
    CHECK(bytes.find(word) == std::string::npos);
  s.people->export_user(user("ann-of-green-gables"), "test");
}

TEST_CASE("exports, erasures and admin messages stand in the audit log under a pseudonym",
          "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  auto name = s.people->read(user("ann"))->record.pseudonym;
  s.commit(s.people->export_user(user("ann"), "support"));
  s.commit(s.people->erase(user("ann"), "support"));
  CHECK(audit_actions(*s.db) == std::vector<std::string>{"policy_applied", "notice_recorded",
                                                         "user_exported", "user_erased"});
  REQUIRE(stores::read_audit(*s.db, 0, 3, [&](const stores::audit_record& r) {
    CHECK(r.event.subject == name);
    CHECK(r.event.actor == "support");
    return true;
  }));
}

TEST_CASE("a version is applied once, and another text under its name is refused", "[profile]") {
  shard s{after};
  CHECK(!s.people->apply_policy(shipped_policy(), "test")->answer);
  auto other = shipped_policy();
  other.replace(other.find("minimum_age = 18"), 16, "minimum_age = 16");
  CHECK(s.people->apply_policy(other, "test").error().code == errc::policy_conflict);
  s.reopen();
  CHECK(s.people->policies().versions().size() == 1);
}

TEST_CASE("a category that the filter has no terms for is not promised", "[profile]") {
  shard s{after};
  auto more = shipped_policy();
  more.replace(more.find("sensitive_extra = []"), 20, "sensitive_extra = [\"gambling\"]");
  more.replace(more.find("2025-12-16.1"), 12, "2025-12-16.2");
  CHECK(s.people->store_policy(more, "test").error().code == errc::policy_invalid);
  CHECK(s.people->apply_policy(more, "test").error().code == errc::policy_invalid);
}

TEST_CASE("a shard's clock goes forward only", "[profile]") {
  shard s{after};
  CHECK(s.people->follow_clock(after - 1h, "test").error().code == errc::conflict);
  s.time.set(after + 48h);
  s.commit(s.people->follow_clock(after + 48h, "test"));
  CHECK(s.people->log_time() == after + 48h);
  s.reopen();
  CHECK(s.people->log_time() == after + 48h);
}

TEST_CASE("a person's record that was tampered with is an error and never an empty answer",
          "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  auto key = stores::derive_storage_key(s.secrets, user("ann"));
  auto row = engine::user_key(0, key, engine::user_row::base);
  auto bytes = **s.db->get(engine::table::user, row);
  bytes[40] = static_cast<char>(bytes[40] ^ 1);
  REQUIRE(s.db->write({{engine::operation::what::put, engine::table::user, row, bytes}},
                      engine::sync::yes));
  s.reopen();
  CHECK(s.people->read(user("ann")).error().code == errc::crypto_failed);
  CHECK(!s.people->admit({"e1", "ann", after, after, model::event_kind::ai_interaction, {}, 0}));
}

TEST_CASE("one person's sealed record does not open as another's", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.introduce("bob", "US", told);
  auto row = [&](const char* who) {
    return engine::user_key(0, stores::derive_storage_key(s.secrets, user(who)),
                            engine::user_row::base);
  };
  auto ann = **s.db->get(engine::table::user, row("ann"));
  REQUIRE(s.db->write({{engine::operation::what::put, engine::table::user, row("bob"), ann}},
                      engine::sync::yes));
  s.reopen();
  CHECK(s.people->read(user("bob")).error().code == errc::crypto_failed);
}

TEST_CASE("far more people than fit in memory keep what they have", "[profile]") {
  shard s{after};
  const auto persons = static_cast<int>(limits::cached_users_per_shard) + 200;
  for (auto round = 0; round < 2; ++round)
    for (auto i = 0; i < persons; ++i)
      REQUIRE(s.like("l" + std::to_string(round), "u" + std::to_string(i), after, outdoors) ==
              verdict::accepted());
  CHECK(s.people->cached() <= limits::cached_users_per_shard);
  for (auto i = 0; i < persons; i += 97)
    CHECK(s.weight("u" + std::to_string(i), outdoors, source::engagement) ==
          2 * std::int64_t{model::one_mention});
}

TEST_CASE("log time neither goes back with the wall clock nor follows it in a leap", "[profile]") {
  shard s{at("2025-12-20T12:00:00Z")};
  s.time.advance(10h); // of running time, in which the log stood still
  REQUIRE(s.like("e1", "ann", s.time.now(), food) == model::verdict::accepted());
  auto before = s.people->log_time();
  CHECK(before == at("2025-12-20T22:00:00Z"));
  REQUIRE(s.time.set(at("2025-12-20T20:00:00Z"))); // back
  CHECK(s.people->log_time() == before);
  REQUIRE(s.time.set(at("2025-12-22T22:00:00Z"))); // two days ahead
  CHECK(s.people->log_time() == before);
  s.time.advance(1h);
  CHECK(s.people->log_time() == before + 2h);
}

TEST_CASE(
    "what arrived before an erasure starts no new person after it, whatever its own clock says",
    "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  model::event e{"l1", user("ann"), after + 2min, model::event_kind::engagement};
  e.object_topics = {food};
  model::admission header{e.id, "ann", e.at, after, e.kind, {}, 0};
  CHECK(s.commit(s.people->admit(header)) == verdict::accepted());
  auto signal = s.filter->sanitize(header, e);
  REQUIRE(signal);
  s.time.advance(1min);
  s.erase("ann");
  CHECK(s.commit(s.people->learn(*signal)) == verdict::withheld(reason::erased));
  CHECK(s.people->read(user("ann")).error().code == errc::user_not_found);
}

TEST_CASE("a tombstone outlives its window while an import could bring the past back",
          "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  s.commit(s.people->open_import(1, "history", "test"));
  CHECK(s.like("l1", "ann", told, food, 1) == verdict::accepted());
  s.time.advance(1min);
  s.erase("ann");
  s.time.advance(25h);
  s.sweep();
  CHECK(s.like("l1", "ann", told, food, 1) == verdict::withheld(reason::erased));
  s.commit(s.people->close_import(1, "test"));
  s.sweep();
  CHECK(s.people->erase(user("ann"), "test").error().code == errc::user_not_found);
}

TEST_CASE("a move counts at once, also where a clock was set back meanwhile", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.say("e1", "ann", after, "hiking") == verdict::accepted());
  s.time.advance(1min);
  model::user_details moved;
  moved.region = *s.regions.find("DE");
  s.commit(s.people->put(user("ann"), moved)); // since now
  s.time.set(after + 30s);
  if (GENERATE(false, true))
    s.reopen(); // or another, whose clock is behind, leads the shard next
  CHECK(s.people->read(user("ann"))->region == profile::region_state::excluded);
  CHECK(s.people->read(user("ann"))->interests.at(0).ads == reason::region_excluded);
  CHECK(s.people->read_use(user("ann"), model::use::ads)->topics.empty());
  CHECK(s.say("e2", "ann", s.time.now(), "hiking") == verdict::withheld(reason::region_excluded));
}

TEST_CASE(
    "what was said before a move out of an excluded region is not used where a clock is behind",
    "[profile]") {
  shard s{after};
  s.introduce("ann", "DE", told);
  s.time.advance(1h);
  s.like("l1", "ann", s.time.now(), food); // the log knows how late it is
  s.time.set(after);
  model::user_details moved;
  moved.region = *s.regions.find("US");
  s.commit(s.people->put(user("ann"), moved)); // since now
  s.time.set(after + 1h + 1min);
  CHECK(s.say("e1", "ann", after + 30min, "hiking") == verdict::withheld(reason::region_excluded));
  CHECK(s.say("e2", "ann", s.time.now(), "hiking") == verdict::accepted());
}

TEST_CASE("a half-life of a policy that is applied late holds from then on", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.like("l1", "ann", after, food) == verdict::accepted());
  s.time.advance(std::chrono::days{30});
  s.commit(s.people->follow_clock(s.time.now(), "test"));
  auto half = s.weight("ann", food, source::engagement);
  CHECK(half == model::one_mention / 2);
  auto text = shipped_policy();
  auto put = [&](const std::string& key, const std::string& value) {
    auto from = text.find("\n" + key + " = ") + 1;
    text.replace(from, text.find('\n', from) - from, key + " = " + value);
  };
  put("version", "\"2025-12-17.1\"");
  put("effective_at", "2025-12-17T00:00:00Z");
  put("half_life", "\"1d\"");
  s.commit(s.people->apply_policy(text, "test"));
  for (auto round = 0; round < 2; ++round, s.reopen())
    CHECK(s.weight("ann", food, source::engagement) == half);
  s.time.advance(std::chrono::days{1});
  CHECK(s.weight("ann", food, source::engagement) == half / 2);
}

TEST_CASE("an interest that is too old goes, also where another one came meanwhile", "[profile]") {
  shard s{after};
  s.introduce("ann", "US", told);
  CHECK(s.like("l1", "ann", after, food) == verdict::accepted());
  s.commit(s.people->put(user("ann"), {})); // folds
  s.time.advance(std::chrono::days{500});
  s.commit(s.people->follow_clock(s.time.now(), "test"));
  CHECK(s.like("l2", "ann", s.time.now(), outdoors) == verdict::accepted());
  auto swept = s.people->sweep(4, 0);
  REQUIRE(swept);
  CHECK(swept->size() == 1);
}
