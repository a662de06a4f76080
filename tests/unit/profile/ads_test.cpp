#include <catch2/catch.hpp>

#include "storage/base/limits.hpp"
#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;

namespace {

const auto now = at("2025-12-20T12:00:00Z");

model::impression chosen(const shard& s, const std::string& id, const std::string& campaign) {
  model::impression x;
  x.id = id;
  x.decision = "d-1";
  x.campaign = campaign;
  x.at = s.time.now();
  x.price_micros = 20'000;
  return x;
}

void add(shard& s, const std::string& who, const std::vector<model::impression>& all) {
  auto entry = s.people->begin_entry();
  REQUIRE(*s.people->add_impressions(user(who), all, entry));
  s.append(std::move(entry));
}

void mark(shard& s, const std::string& who, const std::string& id, model::impression_state to) {
  auto entry = s.people->begin_entry();
  REQUIRE(*s.people->mark_impression(user(who), id, to, entry));
  s.append(std::move(entry));
}

void put(shard& s, const std::string& who, std::optional<int> birth_year = {}) {
  model::user_details d;
  d.region = model::region_code{{'U', 'S'}};
  d.region_since = at("2020-01-01T00:00:00Z");
  d.lang = "en-US";
  d.birth_year = birth_year;
  s.commit(s.people->put(user(who), d));
}

profile::use_view ads_of(shard& s, const std::string& who) {
  return *s.people->read_use(user(who), model::use::ads);
}

} // namespace

TEST_CASE("what serves ads is what the policy lets serve them", "[ads]") {
  shard s{now};
  s.introduce("ann", "US", at("2025-10-08T00:00:00Z"));
  CHECK(s.say("e1", "ann", now, "hiking") == model::verdict::accepted());
  CHECK(s.like("e2", "ann", now, food) == model::verdict::accepted());
  auto seen = ads_of(s, "ann");
  CHECK(seen.personal);
  CHECK(seen.country == "US");
  REQUIRE(seen.topics.size() == 2);
  s.move("ann", "DE", now);
  seen = ads_of(s, "ann");
  REQUIRE(seen.topics.size() == 1); // from a like, which no region excludes
  CHECK(seen.topics[0].topic == food);
  CHECK(seen.topics[0].source == model::source::engagement);
}

TEST_CASE("of a minor and of who is not known nothing serves, not even the country", "[ads]") {
  shard s{now};
  put(s, "tim", 2012);
  CHECK(s.like("e1", "tim", now, food) == model::verdict::accepted());
  auto seen = ads_of(s, "tim");
  CHECK(!seen.personal);
  CHECK(seen.why_not_personal == "minor");
  CHECK((seen.country.empty() && seen.lang.empty() && seen.topics.empty()));
  CHECK(ads_of(s, "nobody").why_not_personal == "unknown");
}

TEST_CASE("impressions count while they are reserved or were shown, over a restart", "[ads]") {
  shard s{now};
  put(s, "ann", 1990);
  add(s, "ann", {chosen(s, "i-1", "c-1"), chosen(s, "i-2", "c-2"), chosen(s, "i-3", "c-3")});
  mark(s, "ann", "i-1", model::impression_state::shown);
  mark(s, "ann", "i-3", model::impression_state::hidden);
  s.reopen();
  CHECK(ads_of(s, "ann").shown.size() == 3);
  CHECK(ads_of(s, "ann").hidden == std::vector<std::string>{"c-3"});
  CHECK(ads_of(s, "ann").age_band == "35-44");
  s.time.advance(11min);
  auto shown = ads_of(s, "ann").shown; // i-2 has lapsed
  REQUIRE(shown.size() == 2);
  CHECK(shown[0].first == "c-1");
  auto entry = s.people->begin_entry();
  CHECK(!*s.people->mark_impression(user("ann"), "i-3", model::impression_state::shown, entry));
  CHECK(s.people->mark_impression(user("ann"), "i-9", model::impression_state::shown, entry)
            .error()
            .code == errc::not_found);
}

TEST_CASE("a clock that is set ahead lapses no reservation", "[ads]") {
  shard s{now};
  put(s, "ann", 1990);
  add(s, "ann", {chosen(s, "i-1", "c-1")});
  s.time.set(s.time.now() + 1h);
  CHECK(ads_of(s, "ann").shown.size() == 1);
  s.time.advance(11min);
  CHECK(ads_of(s, "ann").shown.empty());
}

TEST_CASE("who is erased leaves no impression behind", "[ads]") {
  shard s{now};
  put(s, "ann");
  add(s, "ann", {chosen(s, "i-1", "c-1")});
  s.commit(s.people->erase(user("ann"), "op"));
  s.reopen();
  CHECK(s.people->impressions(user("ann"))->empty());
  put(s, "ann");
  CHECK(ads_of(s, "ann").shown.empty());
  CHECK(s.people->find_impression(user("ann"), "i-1").error().code == errc::not_found);
}

TEST_CASE("the oldest impressions make room, and it is known from when on all are there", "[ads]") {
  shard s{now};
  put(s, "ann");
  for (int i = 0; i < 260; ++i) {
    s.time.advance(1s);
    add(s, "ann", {chosen(s, "i-" + std::to_string(i), "c-1")});
  }
  s.reopen();
  auto seen = ads_of(s, "ann");
  CHECK(seen.shown.size() == limits::impressions_remembered);
  CHECK(seen.shown_since == now + 5s);
}

namespace {

bool note(shard& s, const std::string& who, const std::string& item, bool hidden) {
  auto entry = s.people->begin_entry();
  auto changed = *s.people->note_content(user(who), item, hidden, entry);
  CHECK(changed == !entry.rows.empty());
  if (changed)
    s.append(std::move(entry));
  return changed;
}

profile::use_view content_of(shard& s, const std::string& who) {
  return *s.people->read_use(user(who), model::use::content);
}

} // namespace

TEST_CASE("what of a feed was seen or hidden is remembered over a restart, once", "[feed]") {
  shard s{now};
  put(s, "ann", 1990);
  CHECK(note(s, "ann", "p-1", false));
  CHECK(note(s, "ann", "p-2", false));
  CHECK(!note(s, "ann", "p-1", false));
  CHECK(note(s, "ann", "p-1", true));
  CHECK(!note(s, "ann", "p-1", false)); // who hides an item wants that to stay
  s.reopen();
  auto seen = content_of(s, "ann");
  CHECK(seen.hidden == std::vector<std::string>{"p-1"});
  REQUIRE(seen.shown.size() == 1);
  CHECK(seen.shown[0].first == "p-2");
  CHECK(ads_of(s, "ann").shown.empty()); // ads and content are told apart
  CHECK(ads_of(s, "ann").hidden.empty());
  CHECK(s.people->content_shown(user("ann"))->size() == 2); // what an export shows
  auto entry = s.people->begin_entry();
  CHECK(s.people->note_content(user("bob"), "p-1", false, entry).error().code ==
        errc::user_not_found);
}

TEST_CASE("the oldest items that were seen make room, and those that were hidden stay", "[feed]") {
  shard s{now};
  put(s, "ann", 1990);
  note(s, "ann", "hidden", true);
  for (std::size_t i = 0; i < limits::content_remembered; ++i)
    note(s, "ann", "p-" + std::to_string(i), false);
  s.reopen();
  auto seen = content_of(s, "ann");
  CHECK(seen.hidden == std::vector<std::string>{"hidden"});
  REQUIRE(seen.shown.size() == limits::content_remembered - 1);
  CHECK(seen.shown.front().first == "p-1");
  CHECK(s.people->content_shown(user("ann"))->size() == limits::content_remembered);
}

TEST_CASE("who is erased leaves no item behind that they saw", "[feed]") {
  shard s{now};
  put(s, "ann", 1990);
  note(s, "ann", "p-1", false);
  s.commit(s.people->erase(user("ann"), "op"));
  s.reopen();
  CHECK(s.people->content_shown(user("ann"))->empty());
  put(s, "ann", 1990);
  CHECK(content_of(s, "ann").shown.empty());
}
