/// Random timelines, people and events, judged a second time by an oracle that is written as
/// plainly as semantics put it: every rule over every version, instant by instant, without a
/// shortcut.

#include <algorithm>
#include <iostream>
#include <set>

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include "storage/model/policy/policy.hpp"

namespace candor::model {

namespace {

constexpr int first_day = 20'000; // 2024-10-04
constexpr int days_in_all = 120;

/// One of `runs_max` random cases a property is held against; rapidcheck's own default is 100.
constexpr int runs_max = 2000;

template <class Property>
bool holds(Property property) {
  auto params = rc::detail::configuration().testParams;
  params.maxSuccess = std::max(params.maxSuccess, runs_max);
  auto outcome = rc::detail::checkTestable(property, rc::detail::TestMetadata{}, params);
  rc::detail::printResultMessage(outcome, std::cerr);
  std::cerr << '\n';
  return outcome.template is<rc::detail::SuccessResult>();
}

/// Evenly from `from` to just before `to`, in small cases as well.
int number(int from, int to) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(from, to));
}

timestamp day(int n) {
  return timestamp{std::chrono::days{first_day + n}};
}

/// AA is never in a group, BB always, CC from day 40, DD until day 80, EE from day 20 until 60.
const region_table& regions() {
  static const auto table = [] {
    auto date = [](int n) { return format_date(day(n)); };
    auto made = region_table::parse(
        "[codes]\nAA = \"a\"\nBB = \"b\"\nCC = \"c\"\nDD = \"d\"\nEE = \"e\"\n"
        "[[group]]\nname = \"UNION\"\ntitle = \"t\"\nsource = \"s\"\nmembers = [\n"
        "{ region = \"BB\", from = 1970-01-01 },\n"
        "{ region = \"CC\", from = " +
            date(40) +
            " },\n"
            "{ region = \"DD\", from = 1970-01-01, until = " +
            date(80) +
            " },\n"
            "{ region = \"EE\", from = " +
            date(20) + ", until = " + date(60) + " },\n]\n",
        "regions.toml");
    RC_ASSERT(made.has_value());
    return *made;
  }();
  return table;
}

bool in_union(std::string_view code, timestamp t) {
  if (code == "BB")
    return true;
  if (code == "CC")
    return t >= day(40);
  if (code == "DD")
    return t < day(80);
  return code == "EE" && t >= day(20) && t < day(60);
}

/// XX is a code that the table does not know.
region_code any_region() {
  auto code = *rc::gen::weightedElement<std::string>(
      {{8, "AA"}, {2, "BB"}, {2, "CC"}, {2, "DD"}, {2, "EE"}, {1, "XX"}});
  return {{code[0], code[1]}};
}

/// A day's first instant, or a millisecond beside it, where boundaries are.
timestamp any_instant(int from, int to) {
  return day(number(from, to)) + millis{*rc::gen::element(-1, 0, 0, 1)};
}

bool chance(int percent) {
  return number(0, 100) < percent;
}

policy any_policy(int n) {
  policy p;
  p.id = chance(90) ? "ai" : "other";
  p.version = std::to_string(n);
  p.text = p.version;
  p.notice_revision = *rc::gen::element<std::uint32_t>(1, 1, 2);
  p.effective_at = day(number(0, 70));
  p.minimum_age = *rc::gen::element(0, 13, 18);
  p.unknown_age = chance(70) ? unknown_age_rule::adult : unknown_age_rule::minor;
  p.opt_out = *rc::gen::element(opt_out_mode::none, opt_out_mode::ads, opt_out_mode::all);
  p.require_notice = chance(80);
  p.notice_lead = std::chrono::days{*rc::gen::element(0, 0, 7)};
  for (auto name : {"AA", "CC", "UNION"})
    if (chance(name == std::string_view{"UNION"} ? 50 : 8))
      p.excluded_regions.emplace_back(name);
  if (chance(90))
    p.ads_sources.insert(source::ai);
  if (chance(90))
    p.content_sources.insert(source::ai);
  if (chance(80))
    p.ads_sources.insert(source::engagement);
  return p;
}

timeline any_timeline() {
  timeline policies;
  for (int n = number(0, 4); n > 0; --n)
    RC_ASSERT(policies.apply(any_policy(n), day(0)).has_value());
  return policies;
}

person any_person() {
  person who;
  auto since = day(chance(80) ? -100 : number(0, 60));
  for (int n = number(chance(95) ? 1 : 0, 4); n > 0; --n) {
    who.regions.push_back({any_region(), since});
    since = std::max(since, day(0)) + std::chrono::days{number(1, 40)};
  }
  if (chance(70))
    who.birth_year = number(1995, 2014);
  for (std::uint32_t revision : {1u, 2u})
    if (chance(85))
      who.notices.push_back({chance(95) ? "ai" : "other", revision,
                             chance(50) ? channel::in_app : channel::email, any_instant(-10, 60)});
  if (chance(25))
    who.opt_outs.push_back({chance(80) ? "ai" : "other", any_instant(0, days_in_all)});
  return who;
}

interaction any_interaction() {
  interaction what;
  what.at = any_instant(0, days_in_all);
  what.received = what.at + millis{*rc::gen::element(-300'000, 0, 0, 1, 86'400'000)};
  if (chance(20))
    what.region = any_region();
  what.duplicate = chance(4);
  what.erased = chance(4);
  what.sensitive = chance(4);
  return what;
}

// The oracle.

const policy* version_at(const timeline& policies, timestamp t) {
  const policy* found = nullptr;
  for (const auto& a : policies.versions()) {
    if (a.policy.effective_at > t)
      continue;
    if (found == nullptr || a.policy.effective_at >= found->effective_at)
      found = &a.policy;
  }
  return found;
}

std::string home_at(const person& who, timestamp t) {
  std::string home;
  for (const auto& r : who.regions)
    if (r.since <= t)
      home = r.region.view();
  return home;
}

bool is_excluded(const policy& p, std::string_view home, timestamp t) {
  for (const auto& name : p.excluded_regions)
    if (name == home || (name == "UNION" && in_union(home, t)))
      return true;
  return false;
}

bool is_known(std::string_view home) {
  return !home.empty() && home != "XX";
}

int year_of(timestamp t) {
  return std::stoi(format_date(t).substr(0, 4));
}

/// Every reason that one version alone has at one instant, for one home.
std::set<reason> objections(const policy& p, timestamp chosen_at, timestamp at, const person& who,
                            std::string_view home) {
  std::set<reason> all;
  if (!is_known(home))
    all.insert(reason::region_unknown);
  else if (is_excluded(p, home, chosen_at))
    all.insert(reason::region_excluded);
  if (who.birth_year ? year_of(at) - *who.birth_year < p.minimum_age
                     : p.minimum_age > 0 && p.unknown_age == unknown_age_rule::minor)
    all.insert(reason::minor);
  auto told = !p.require_notice;
  for (const auto& n : who.notices)
    if (n.policy == p.id && n.revision == p.notice_revision && n.at + p.notice_lead <= at)
      told = true;
  if (!told)
    all.insert(reason::not_notified);
  for (const auto& o : who.opt_outs)
    if (o.policy == p.id && p.opt_out == opt_out_mode::all)
      all.insert(reason::opted_out);
  return all;
}

std::set<reason> expected(const timeline& policies, const person& who, const interaction& what) {
  std::set<reason> all;
  if (what.duplicate)
    all.insert(reason::duplicate);
  if (what.erased)
    all.insert(reason::erased);
  if (what.sensitive)
    all.insert(reason::sensitive);
  auto then = version_at(policies, what.at), now = version_at(policies, what.received);
  if (!then || !now || what.received < then->effective_at)
    all.insert(reason::policy_not_effective);
  std::vector<std::string> homes{home_at(who, what.at), home_at(who, what.received)};
  if (what.region)
    homes.emplace_back(what.region->view());
  for (const auto& home : homes) {
    if (then)
      all.merge(objections(*then, what.at, what.at, who, home));
    if (now)
      all.merge(objections(*now, what.received, what.at, who, home));
  }
  return all;
}

} // namespace

TEST_CASE("decide allows exactly where no rule objects, and names the first that does",
          "[policy][property]") {
  CHECK(holds([] {
    auto policies = any_timeline();
    auto who = any_person();
    auto what = any_interaction();
    auto reasons = expected(policies, who, what);
    auto decided = decide(policies, regions(), who, what);
    RC_CLASSIFY(!decided, "allowed");
    if (decided)
      RC_TAG(std::string{to_string(*decided)});
    RC_ASSERT(decided.has_value() == !reasons.empty());
    if (decided)
      RC_ASSERT(*decided == *reasons.begin()); // a set ascends in the order of the enumeration
  }));
}

TEST_CASE("excluding one more region never allows more", "[policy][property]") {
  CHECK(holds([] {
    auto who = any_person();
    auto what = any_interaction();
    auto name = *rc::gen::element<std::string>("AA", "BB", "CC", "DD", "EE", "UNION", "NOBODY");
    timeline fewer = any_timeline(), more;
    for (auto a : fewer.versions()) {
      if (chance(60))
        a.policy.excluded_regions.push_back(name);
      RC_ASSERT(more.apply(a.policy, a.applied_at).has_value());
    }
    if (decide(fewer, regions(), who, what))
      RC_ASSERT(decide(more, regions(), who, what).has_value());
    for (auto use_of : {use::ads, use::content})
      if (decide_use(fewer, regions(), who, source::ai, use_of, what.received))
        RC_ASSERT(decide_use(more, regions(), who, source::ai, use_of, what.received).has_value());
  }));
}

TEST_CASE("an event's own region never allows more", "[policy][property]") {
  CHECK(holds([] {
    auto policies = any_timeline();
    auto who = any_person();
    auto what = any_interaction();
    auto silent = what;
    silent.region.reset();
    what.region = any_region();
    if (auto without = decide(policies, regions(), who, silent)) {
      auto with = decide(policies, regions(), who, what);
      RC_ASSERT(with.has_value());
      RC_ASSERT(*with <= *without);
    }
  }));
}

TEST_CASE("a use is granted exactly where the version in force has no objection",
          "[policy][property]") {
  CHECK(holds([] {
    auto policies = any_timeline();
    auto who = any_person();
    auto now = any_instant(0, days_in_all);
    auto what = chance(50) ? use::ads : use::content;
    auto p = version_at(policies, now);

    std::set<reason> reasons;
    if (!p) {
      reasons.insert(reason::policy_not_effective);
    } else {
      if (!p->sources(what).contains(source::ai))
        reasons.insert(reason::policy_not_effective);
      reasons.merge(objections(*p, now, now, who, home_at(who, now)));
      for (const auto& o : who.opt_outs)
        if (o.policy == p->id && p->opt_out == opt_out_mode::ads && what == use::ads)
          reasons.insert(reason::opted_out);
    }
    auto decided = decide_use(policies, regions(), who, source::ai, what, now);
    RC_CLASSIFY(!decided, "allowed");
    RC_ASSERT(decided.has_value() == !reasons.empty());
    if (decided)
      RC_ASSERT(*decided == *reasons.begin());

    auto engagement = decide_use(policies, regions(), who, source::engagement, what, now);
    RC_ASSERT(engagement.has_value() == (p && !p->sources(what).contains(source::engagement)));
  }));
}

TEST_CASE("what was allowed to be learned just now may be used just now, where [uses] says so",
          "[policy][property]") {
  CHECK(holds([] {
    auto policies = any_timeline();
    auto who = any_person();
    auto what = any_interaction();
    what.received = what.at;
    if (decide(policies, regions(), who, what))
      return;
    auto p = policies.in_force(what.at);
    auto refused = decide_use(policies, regions(), who, source::ai, use::content, what.at);
    RC_ASSERT(refused.has_value() == !p->sources(use::content).contains(source::ai));
  }));
}

TEST_CASE("the time since when somebody is excluded is found step by step back through the days",
          "[policy][property]") {
  CHECK(holds([] {
    auto policies = any_timeline();
    auto who = any_person();
    auto today = number(0, days_in_all);
    // Everything changes at a day's first instant here, so that a look at each day misses nothing.
    auto excluded_on = [&](int n) {
      auto p = version_at(policies, day(n));
      auto home = home_at(who, day(n));
      return p && !home.empty() && is_excluded(*p, home, day(n));
    };
    auto since = excluded_since(policies, regions(), who, day(today));
    RC_ASSERT(since.has_value() == excluded_on(today));
    if (since) {
      auto first = today;
      while (excluded_on(first - 1))
        --first;
      RC_CLASSIFY(first < today, "for longer than a day");
      RC_ASSERT(*since == day(first));
    }
  }));
}

} // namespace candor::model
