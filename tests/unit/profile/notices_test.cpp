#include <catch2/catch.hpp>

#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;
using model::channel;
using model::notice_state;
using model::reason;
using model::verdict;
using profile::mail_result;

namespace {

const auto announced = at("2025-10-08T12:00:00Z");
const auto in_force = at("2025-12-17T12:00:00Z");

void put(shard& s, const std::string& who, std::string_view region, std::string email,
         bool uses_assistant = true) {
  model::user_details d;
  d.region = *s.regions.find(region);
  d.region_since = at("2020-01-01T00:00:00Z");
  d.email = std::move(email);
  if (uses_assistant)
    d.assistant_user_since = at("2025-09-01T00:00:00Z");
  s.commit(s.people->put(user(who), d));
}

/// One round, made durable.
profile::notice_round go_round(shard& s, std::size_t lines_max = 100) {
  auto round = s.people->find_notices(1000, lines_max);
  REQUIRE(round);
  for (auto& entry : round->entries)
    s.append(std::move(entry));
  return std::move(*round);
}

std::vector<model::notice> ledger(shard& s, const std::string& who) {
  return s.people->read(user(who))->record.notices;
}

std::string another_version(std::string version, int revision, std::string announce,
                            std::string effective, std::string excluded) {
  auto text = shipped_policy();
  auto put = [&](const std::string& key, const std::string& value) {
    auto from = text.find("\n" + key + " = ") + 1;
    text.replace(from, text.find('\n', from) - from, key + " = " + value);
  };
  put("version", '"' + version + '"');
  put("notice_revision", std::to_string(revision));
  put("announce_at", announce);
  put("effective_at", effective);
  put("complete_by", effective);
  put("excluded_regions", excluded);
  return text;
}

} // namespace

TEST_CASE("everybody in the audience gets one line a channel, once, over restarts", "[notices]") {
  shard s{announced};
  put(s, "ann", "US", "ann@example.org");
  put(s, "bob", "US", ""); // told in the app
  for (auto i = 0; i < 4; ++i) {
    go_round(s);
    s.reopen();
  }
  auto ann = ledger(s, "ann"), bob = ledger(s, "bob");
  REQUIRE(ann.size() == 2);
  CHECK(ann[0].channel == channel::in_app);
  CHECK(ann[1].channel == channel::email);
  CHECK(ann[1].state == notice_state::intended);
  REQUIRE(bob.size() == 1);
  CHECK(bob[0].channel == channel::in_app);
}

TEST_CASE("who is outside the audience is not told", "[notices]") {
  shard s{announced};
  put(s, "likes-only", "US", "", false);
  put(s, "gus", "GB", "");
  s.like("l1", "nowhere", announced, outdoors);
  go_round(s);
  for (auto who : {"likes-only", "gus", "nowhere"})
    CHECK(ledger(s, who).empty());
}

TEST_CASE("nobody is told before the announcement", "[notices]") {
  shard s{at("2025-10-06T00:00:00Z")};
  put(s, "ann", "US", "");
  go_round(s);
  CHECK(ledger(s, "ann").empty());
  s.time.set(announced);
  go_round(s);
  CHECK(ledger(s, "ann").size() == 1);
}

TEST_CASE("who first uses the assistant later is told then", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "", false);
  go_round(s);
  CHECK(ledger(s, "ann").empty());
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::withheld(reason::not_notified));
  go_round(s);
  CHECK(ledger(s, "ann").size() == 1);
}

TEST_CASE("an inbox reaches a person when they fetch it, not before", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "");
  go_round(s);
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::withheld(reason::not_notified));
  s.commit(s.people->inbox(user("ann"), {}));
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::withheld(reason::not_notified));
  s.time.advance(1s);
  s.commit(s.people->inbox(user("ann"), s.inbox_of("ann")));
  s.reopen();
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::withheld(reason::not_notified));
  CHECK(s.say("e1", "ann", in_force + 1s, "hiking") == verdict::accepted());
}

TEST_CASE("what was said before a person was told does not count where a clock was set back",
          "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "");
  put(s, "bob", "US", "bob@example.org");
  go_round(s);
  auto mails = go_round(s).mails;
  REQUIRE(mails.size() == 1);
  s.time.advance(10s);
  CHECK(s.like("e0", "cem", s.time.now(), food) == verdict::accepted()); // the log goes on
  s.time.set(s.time.now() - 1h);
  s.time.advance(5s); // in which nothing is written
  SECTION("in the app") {
    s.commit(s.people->inbox(user("ann"), s.inbox_of("ann")));
    CHECK(s.say("e1", "ann", in_force + 14s, "hiking") == verdict::withheld(reason::not_notified));
    s.time.set(in_force + 1min);
    CHECK(s.say("e2", "ann", in_force + 14s, "hiking") == verdict::withheld(reason::not_notified));
    CHECK(s.say("e3", "ann", in_force + 15s, "hiking") == verdict::accepted());
  }
  SECTION("by mail") {
    s.commit(s.people->record_mail(user("bob"), mails[0].notice, mail_result::accepted,
                                   s.time.now(), {}, {}));
    s.time.set(in_force + 1min);
    CHECK(s.say("e2", "bob", in_force + 14s, "hiking") == verdict::withheld(reason::not_notified));
    CHECK(s.say("e3", "bob", in_force + 15s, "hiking") == verdict::accepted());
  }
  SECTION("of an erasure") {
    CHECK(s.erase("ann").erased_at == in_force + 15s);
  }
}

TEST_CASE("a mail is due when its intent is durable, and until its outcome is known", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "ann@example.org");
  CHECK(go_round(s).mails.empty());
  auto mails = go_round(s).mails;
  REQUIRE(mails.size() == 1);
  CHECK(mails[0].address == "ann@example.org");
  s.reopen(); // a crash after the mail went out
  auto again = go_round(s).mails;
  REQUIRE(again.size() == 1);
  CHECK(again[0].notice == mails[0].notice); // the same Message-ID
  CHECK(s.commit(
      s.people->record_mail(user("ann"), mails[0].notice, mail_result::accepted, in_force, {})));
  CHECK(!s.commit(
      s.people->record_mail(user("ann"), mails[0].notice, mail_result::accepted, in_force, {})));
  CHECK(go_round(s).mails.empty());
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::accepted());
}

TEST_CASE("a deferred mail waits, a refused one falls back to the app", "[notices]") {
  auto text = shipped_policy();
  auto channels = text.find("channels = [\"in_app\", \"email\"]");
  REQUIRE(channels != std::string::npos);
  text.replace(channels, 30, "channels = [\"email\"]");
  shard only_mail{in_force, text};
  put(only_mail, "ann", "US", "ann@example.org");
  go_round(only_mail);
  auto mail = go_round(only_mail).mails.at(0);
  only_mail.commit(only_mail.people->record_mail(user("ann"), mail.notice, mail_result::deferred,
                                                 in_force, in_force + 5min));
  CHECK(go_round(only_mail).mails.empty());
  only_mail.time.advance(5min);
  CHECK(go_round(only_mail).mails.size() == 1);
  only_mail.commit(
      only_mail.people->record_mail(user("ann"), mail.notice, mail_result::failed, in_force, {}));
  go_round(only_mail);
  auto lines = ledger(only_mail, "ann");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].state == notice_state::failed);
  CHECK(lines[1].channel == channel::in_app);
}

TEST_CASE("a mail that bounces after it was accepted has not reached anybody", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "ann@example.org");
  go_round(s);
  auto mail = go_round(s).mails.at(0);
  s.commit(s.people->record_mail(user("ann"), mail.notice, mail_result::accepted, in_force, {}));
  CHECK(s.say("e1", "ann", in_force, "hiking") == verdict::accepted());
  s.commit(s.people->record_mail(user("ann"), mail.notice, mail_result::failed, in_force, {}));
  CHECK(s.say("e2", "ann", in_force, "hiking") == verdict::withheld(reason::not_notified));
}

TEST_CASE("a mail that failed is due again when an operator says so", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "ann@example.org");
  go_round(s);
  auto mail = go_round(s).mails.at(0);
  CHECK(s.people->retry_mails(user("ann"), "op").error().code == errc::not_found);
  s.commit(s.people->record_mail(user("ann"), mail.notice, mail_result::accepted, in_force, {}));
  s.commit(
      s.people->record_mail(user("ann"), mail.notice, mail_result::failed, in_force, {}, "op"));
  CHECK(go_round(s).mails.empty());
  s.commit(s.people->retry_mails(user("ann"), "op"));
  s.reopen();
  auto again = go_round(s).mails;
  REQUIRE(again.size() == 1);
  CHECK(again[0].notice == mail.notice);
  CHECK(again[0].attempts == 0);
  CHECK(s.people->retry_mails(user("bob"), "op").error().code == errc::user_not_found);
}

TEST_CASE("a step of a campaign stands in the audit log once, whoever says it again", "[notices]") {
  shard s{in_force};
  CHECK(s.commit(s.people->record_step("notices_began", "p/1", {}, "notification", true)));
  CHECK(!s.commit(s.people->record_step("notices_began", "p/1", {}, "notification", true)));
  s.reopen();
  CHECK(!s.commit(s.people->record_step("notices_began", "p/1", {}, "notification", true)));
  CHECK(s.commit(s.people->record_step("notices_began", "p/2", {}, "notification", true)));
  CHECK(s.commit(s.people->record_step("notices_paused", {}, {}, "op", false)));
  CHECK(s.commit(s.people->record_step("notices_paused", {}, {}, "op", false)));
}

TEST_CASE("that notices are paused outlives whoever led the shard", "[notices]") {
  shard s{announced};
  CHECK(!s.people->notices_paused());
  CHECK(s.commit(s.people->set_notices_paused(true, "ops")));
  CHECK(!s.commit(s.people->set_notices_paused(true, "ops")));
  s.reopen();
  CHECK(s.people->notices_paused());
  CHECK(s.commit(s.people->set_notices_paused(false, "ops")));
  s.reopen();
  CHECK(!s.people->notices_paused());
}

TEST_CASE("a rollback notifies nobody anew, a new revision everybody", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "");
  go_round(s);
  s.commit(s.people->inbox(user("ann"), s.inbox_of("ann")));
  s.commit(s.people->apply_policy(another_version("2025-12-18.1", 2, "2025-12-17T00:00:00Z",
                                                  "2025-12-18T00:00:00Z", "[\"GB\"]"),
                                  "test"));
  go_round(s);
  CHECK(ledger(s, "ann").size() == 2);
  s.time.set(at("2025-12-19T00:00:00Z"));
  s.commit(
      s.people->apply_policy(another_version("2025-12-19.1", 1, "2025-12-19T00:00:00Z",
                                             "2025-12-19T00:00:00Z", "[\"GB\", \"EU\", \"KR\"]"),
                             "test"));
  go_round(s);
  CHECK(ledger(s, "ann").size() == 2);
}

TEST_CASE("a region that is admitted later is told first", "[notices]") {
  shard s{in_force};
  put(s, "gus", "GB", "");
  s.commit(s.people->apply_policy(another_version("2026-01-10.1", 2, "2025-12-17T00:00:00Z",
                                                  "2026-01-10T00:00:00Z", "[\"EU\", \"KR\"]"),
                                  "test"));
  go_round(s);
  CHECK(ledger(s, "gus").size() == 1);
  CHECK(s.say("e1", "gus", in_force, "hiking") == verdict::withheld(reason::region_excluded));
  s.commit(s.people->inbox(user("gus"), s.inbox_of("gus")));
  s.time.set(at("2026-01-11T00:00:00Z"));
  s.commit(s.people->follow_clock(s.time.now(), "test"));
  CHECK(s.say("e2", "gus", s.time.now(), "hiking") == verdict::accepted());
}

TEST_CASE(
    "whom a later version with the same notice admits is told before it is in force, the others "
    "not again",
    "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "");
  put(s, "gus", "GB", "gus@example.org");
  go_round(s);
  CHECK(ledger(s, "gus").empty());
  s.commit(s.people->apply_policy(another_version("2026-01-10.1", 1, "2025-12-17T00:00:00Z",
                                                  "2026-01-10T00:00:00Z", "[\"EU\", \"KR\"]"),
                                  "test"));
  go_round(s);
  CHECK(ledger(s, "ann").size() == 1);
  CHECK(ledger(s, "gus").size() == 2);
  auto round = go_round(s);
  CHECK(round.entries.empty());
  CHECK(round.mails.size() == 1);
  REQUIRE(round.counts.size() == 1);
  CHECK(round.counts[0].audience == 2);
}

TEST_CASE("no more lines are created than asked for, and the counts say who waits", "[notices]") {
  shard s{announced};
  for (auto i = 0; i < 10; ++i)
    put(s, "u" + std::to_string(i), "US", "");
  CHECK(go_round(s, 4).created == 4);
  auto counts = go_round(s, 0).counts;
  REQUIRE(counts.size() == 1);
  CHECK(counts[0].audience == 10);
  CHECK(counts[0].waiting == 6);
  CHECK(counts[0].in_app == 4);
  CHECK(counts[0].reached == 0);
}

TEST_CASE("a person with two channels is told by both, a line at a time", "[notices]") {
  shard s{announced};
  put(s, "ann", "US", "ann@example.org");
  CHECK(go_round(s, 1).created == 1);
  CHECK(ledger(s, "ann").size() == 1);
  CHECK(go_round(s, 1).created == 1);
  CHECK(ledger(s, "ann").size() == 2);
  CHECK(go_round(s, 1).created == 0);
}

TEST_CASE("an opt-out is taken where it is offered, refused where not", "[notices]") {
  shard s{in_force};
  s.introduce("ann", "US", announced);
  CHECK(s.people->opt_out(user("ann"), "test").error().code == errc::opt_out_not_offered);
  auto text = shipped_policy();
  text.replace(text.find("opt_out = \"none\""), 16, "opt_out = \"all\"");
  shard offering{in_force, text};
  offering.introduce("ann", "US", announced);
  CHECK(offering.say("e1", "ann", in_force, "hiking") == verdict::accepted());
  offering.commit(offering.people->opt_out(user("ann"), "test"));
  offering.reopen();
  CHECK(offering.say("e2", "ann", in_force, "hiking") == verdict::withheld(reason::opted_out));
}

TEST_CASE("a simulation counts whom a policy would change, and changes nothing", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "");
  put(s, "gus", "GB", "");
  put(s, "br", "BR", "");
  s.commit(
      s.people->record_notice(user("br"), {"ai-interactions", 1, channel::in_app, announced}, "t"));
  s.say("e1", "br", in_force, "hiking");
  auto run = s.people->begin_simulation(another_version("2026-02-01.1", 2, "2025-12-20T00:00:00Z",
                                                        "2026-02-01T00:00:00Z", "[\"BR\"]"));
  REQUIRE(run);
  CHECK(*s.people->simulate_on(*run, 2)); // two at a time: there are more
  CHECK(run->effect.persons == 2);
  CHECK(!*s.people->simulate_on(*run, 2));
  auto effect = &run->effect;
  CHECK(effect->persons == 3);
  CHECK(effect->excluded == 1);
  CHECK(effect->newly_excluded == 1);
  CHECK(effect->interests_to_purge == 1);
  CHECK(effect->audience == 2);
  CHECK(effect->notices_needed == 2);
  CHECK(s.people->policies().versions().size() == 1);
  CHECK(s.people->begin_simulation("nonsense").error().code == errc::policy_invalid);
}

TEST_CASE("a mail whose time was set by a clock that was ahead is due all the same", "[notices]") {
  shard s{announced + std::chrono::days{700}};
  put(s, "ann", "US", "ann@example.org");
  go_round(s);
  s.time.set(announced);
  CHECK(go_round(s).mails.size() == 1);
}

TEST_CASE("who left the audience after a mail was intended gets none, unless they come back",
          "[notices]") {
  shard s{announced};
  put(s, "ann", "US", "ann@example.org");
  go_round(s);
  s.move("ann", "DE", announced);
  CHECK(go_round(s).mails.empty());
  s.time.advance(1s);
  s.move("ann", "US", s.time.now());
  CHECK(go_round(s).mails.size() == 1);
}

TEST_CASE("what lies in the app does not bounce", "[notices]") {
  shard s{in_force};
  put(s, "ann", "US", "ann@example.org");
  go_round(s);
  auto mail = go_round(s).mails.at(0);
  s.commit(s.people->record_mail(user("ann"), mail.notice, mail_result::accepted, in_force, {}));
  s.commit(s.people->inbox(user("ann"), s.inbox_of("ann")));
  for (const auto& line : ledger(s, "ann"))
    if (line.channel == channel::in_app)
      CHECK(s.people->record_mail(user("ann"), line.id, mail_result::failed, in_force, {})
                .error()
                .code == errc::not_found);
  CHECK(s.people->read(user("ann"))->record.person.notices.size() == 2); // both have reached
}
