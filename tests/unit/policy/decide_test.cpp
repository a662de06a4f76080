#include <functional>

#include "tests/unit/policy/fixture.hpp"

namespace candor::model {

using namespace testing;

namespace {

/// What a case may change before `decide` is asked.
struct scene {
  std::vector<policy> versions{reference_policy()};
  person who = someone();
  interaction what = happened("2025-12-17T09:30:00Z");

  std::string verdict() const {
    timeline policies;
    for (const auto& p : versions)
      REQUIRE(policies.apply(p, at("2025-10-01")));
    return shown(decide(policies, shipped_regions(), who, what));
  }
};

/// One way to break each rule, in the order in which semantics fix the reasons.
struct breach {
  reason code;
  std::function<void(scene&)> make;
};

const std::vector<breach>& breaches() {
  static const std::vector<breach> all{
      {reason::duplicate, [](scene& s) { s.what.duplicate = true; }},
      {reason::policy_not_effective,
       [](scene& s) { s.versions.front().effective_at = at("2025-12-18"); }},
      {reason::region_unknown, [](scene& s) { s.who.regions.clear(); }},
      {reason::region_excluded,
       [](scene& s) {
         // Where another breach took the record's region away, the event's own is left to be
         // excluded.
         for (auto& period : s.who.regions)
           period.region = region("KR");
         s.what.region = region("KR");
       }},
      {reason::minor, [](scene& s) { s.who.birth_year = 2010; }},
      {reason::not_notified, [](scene& s) { s.who.notices.clear(); }},
      {reason::opted_out,
       [](scene& s) {
         s.versions.front().opt_out = opt_out_mode::all;
         s.who.opt_outs = {{"ai-interactions", at("2025-11-20")}};
       }},
      {reason::erased, [](scene& s) { s.what.erased = true; }},
      {reason::sensitive, [](scene& s) { s.what.sensitive = true; }},
  };
  return all;
}

} // namespace

TEST_CASE("an adult who was told in time, in an allowed region, after the date, is learned from",
          "[policy]") {
  REQUIRE(scene{}.verdict() == "allowed");
}

TEST_CASE("every broken rule is named by its own reason", "[policy]") {
  REQUIRE(breaches().size() == static_cast<std::size_t>(reason::sensitive) + 1);
  for (const auto& [code, make] : breaches()) {
    scene s;
    make(s);
    INFO(to_string(code));
    CHECK(s.verdict() == to_string(code));
  }
}

TEST_CASE("of several broken rules the first in the fixed order is named", "[policy]") {
  const auto& all = breaches();
  for (std::size_t first = 0; first < all.size(); ++first) {
    for (std::size_t second = first + 1; second < all.size(); ++second) {
      scene s;
      all[second].make(s);
      all[first].make(s);
      INFO(to_string(all[first].code) << " before " << to_string(all[second].code));
      CHECK(s.verdict() == to_string(all[first].code));
    }
    scene s; // this one and all later ones
    for (std::size_t i = all.size(); i-- > first;)
      all[i].make(s);
    CHECK(s.verdict() == to_string(all[first].code));
  }
}

TEST_CASE("a table of interactions and what the reference policy says of each", "[policy]") {
  struct row {
    std::string name;
    std::function<void(scene&)> change;
    std::string expected;
  };
  auto when = [](std::string_view happened_at, std::string_view received) {
    return [=](scene& s) {
      s.what.at = at(happened_at);
      s.what.received = at(received);
    };
  };
  auto lives = [](std::vector<region_period> periods) {
    return [=](scene& s) { s.who.regions = periods; };
  };
  const std::vector<row> rows{
      // the date
      {"at the effective instant", when("2025-12-16T00:00:00Z", "2025-12-16T00:00:00Z"), "allowed"},
      {"one millisecond before", when("2025-12-15T23:59:59.999Z", "2025-12-16T00:00:00Z"),
       "policy_not_effective"},
      {"before, received long after", when("2025-12-15T12:00:00Z", "2026-03-01T00:00:00Z"),
       "policy_not_effective"},
      {"a caller's clock ahead, received one millisecond before",
       when("2025-12-16T00:00:00Z", "2025-12-15T23:59:59.999Z"), "policy_not_effective"},
      {"on the day people are first told", when("2025-10-07T00:00:00Z", "2025-10-07T00:00:00Z"),
       "policy_not_effective"},

      // regions
      {"no record of a region", lives({}), "region_unknown"},
      {"an event's region does not replace the record's",
       [](scene& s) {
         s.who.regions.clear();
         s.what.region = region("US");
       },
       "region_unknown"},
      {"a region that the table does not know", lives({{region("XX"), at("2020-01-01")}}),
       "region_unknown"},
      {"GB", lives({{region("GB"), at("2020-01-01")}}), "region_excluded"},
      {"a state of the Union", lives({{region("DE"), at("2020-01-01")}}), "region_excluded"},
      {"KR", lives({{region("KR"), at("2020-01-01")}}), "region_excluded"},
      {"an outermost region of the Union", lives({{region("RE"), at("2020-01-01")}}),
       "region_excluded"},
      {"an overseas country of the Union's members", lives({{region("PF"), at("2020-01-01")}}),
       "allowed"},
      {"Switzerland", lives({{region("CH"), at("2020-01-01")}}), "allowed"},
      {"the event's region restricts", [](scene& s) { s.what.region = region("FR"); },
       "region_excluded"},
      {"the event's region restricts where it is not known",
       [](scene& s) { s.what.region = region("XX"); }, "region_unknown"},
      {"the event's region never widens",
       [](scene& s) {
         s.who.regions.front().region = region("FR");
         s.what.region = region("US");
       },
       "region_excluded"},
      {"the event's region agrees", [](scene& s) { s.what.region = region("US"); }, "allowed"},
      {"older than the record's region, nothing known before",
       lives({{region("US"), at("2025-12-18")}}), "region_unknown"},
      {"older than the record's region, an earlier one is known and allowed",
       [](scene& s) {
         s.who.regions = {{region("CA"), at("2020-01-01")}, {region("US"), at("2025-12-18")}};
         s.what.received = at("2025-12-18T01:00:00Z");
       },
       "allowed"},
      {"older than the record's region, the earlier one is excluded",
       [](scene& s) {
         s.who.regions = {{region("GB"), at("2020-01-01")}, {region("US"), at("2025-12-18")}};
         s.what.received = at("2025-12-18T01:00:00Z");
       },
       "region_excluded"},
      {"older than the record's region, nothing known before, received after",
       [](scene& s) {
         s.who.regions = {{region("US"), at("2025-12-18")}};
         s.what.received = at("2025-12-18T01:00:00Z");
       },
       "region_unknown"},
      {"at the very instant of the move in",
       lives({{region("GB"), at("2020-01-01")}, {region("US"), at("2025-12-17T09:30:00Z")}}),
       "allowed"},
      {"a millisecond before the move in",
       [](scene& s) {
         s.who.regions = {{region("GB"), at("2020-01-01")},
                          {region("US"), at("2025-12-17T09:30:00.001Z")}};
         s.what.received = at("2025-12-17T09:31:00Z");
       },
       "region_excluded"},
      {"moved away before it arrived",
       [](scene& s) {
         s.who.regions = {{region("US"), at("2020-01-01")},
                          {region("KR"), at("2025-12-17T10:00:00Z")}};
         s.what.received = at("2025-12-17T10:00:00Z");
       },
       "region_excluded"},
      {"moved away and back between happening and arrival",
       [](scene& s) {
         s.who.regions = {{region("US"), at("2020-01-01")},
                          {region("KR"), at("2025-12-17T10:00:00Z")},
                          {region("US"), at("2025-12-17T11:00:00Z")}};
         s.what.received = at("2025-12-17T12:00:00Z");
       },
       "allowed"},
      {"a move to come does not count yet",
       lives({{region("US"), at("2020-01-01")}, {region("KR"), at("2026-01-01")}}), "allowed"},

      // age
      {"eighteen in this year", [](scene& s) { s.who.birth_year = 2007; }, "allowed"},
      {"seventeen in this year", [](scene& s) { s.who.birth_year = 2008; }, "minor"},
      {"seventeen when it happened, eighteen when it arrived",
       [](scene& s) {
         s.who.birth_year = 2008;
         s.what.at = at("2025-12-31T23:59:59.999Z");
         s.what.received = at("2026-01-01");
       },
       "minor"},
      {"of unknown age, taken for an adult", [](scene& s) { s.who.birth_year.reset(); }, "allowed"},
      {"of unknown age, taken for a minor",
       [](scene& s) {
         s.who.birth_year.reset();
         s.versions.front().unknown_age = unknown_age_rule::minor;
       },
       "minor"},
      {"of unknown age, where there is no minimum",
       [](scene& s) {
         s.who.birth_year.reset();
         s.versions.front().unknown_age = unknown_age_rule::minor;
         s.versions.front().minimum_age = 0;
       },
       "allowed"},

      // notices
      {"told at the same millisecond", [](scene& s) { s.who.notices.front().at = s.what.at; },
       "allowed"},
      {"told a millisecond later",
       [](scene& s) { s.who.notices.front().at = s.what.at + millis{1}; }, "not_notified"},
      {"told between happening and arrival",
       [](scene& s) {
         s.who.notices.front().at = s.what.at + millis{1};
         s.what.received = s.what.at + millis{5000};
       },
       "not_notified"},
      {"told exactly the lead time before",
       [](scene& s) {
         s.versions.front().notice_lead = std::chrono::days{14};
         s.who.notices.front().at = s.what.at - std::chrono::days{14};
       },
       "allowed"},
      {"told a millisecond less than the lead time before",
       [](scene& s) {
         s.versions.front().notice_lead = std::chrono::days{14};
         s.who.notices.front().at = s.what.at - std::chrono::days{14} + millis{1};
       },
       "not_notified"},
      {"told by mail", [](scene& s) { s.who.notices.front().channel = channel::email; }, "allowed"},
      {"told of another policy", [](scene& s) { s.who.notices.front().policy = "other"; },
       "not_notified"},
      {"told of an earlier revision", [](scene& s) { s.versions.front().notice_revision = 2; },
       "not_notified"},
      {"one of many notices is the right one",
       [](scene& s) {
         s.who.notices.insert(s.who.notices.begin(),
                              {"ai-interactions", 2, channel::in_app, at("2025-10-08")});
         s.who.notices.insert(s.who.notices.begin(),
                              {"other", 1, channel::email, at("2025-10-08")});
       },
       "allowed"},
      {"not told, where the policy requires no notice",
       [](scene& s) {
         s.who.notices.clear();
         s.versions.front().require_notice = false;
       },
       "allowed"},

      // opting out
      {"opted out where nothing is offered",
       [](scene& s) {
         s.who.opt_outs = {{"ai-interactions", at("2025-11-20")}};
       },
       "allowed"},
      {"opted out of ads: learning goes on",
       [](scene& s) {
         s.versions.front().opt_out = opt_out_mode::ads;
         s.who.opt_outs = {{"ai-interactions", at("2025-11-20")}};
       },
       "allowed"},
      {"opted out of another policy",
       [](scene& s) {
         s.versions.front().opt_out = opt_out_mode::all;
         s.who.opt_outs = {{"other", at("2025-11-20")}};
       },
       "allowed"},
      {"opted out after it happened",
       [](scene& s) {
         s.versions.front().opt_out = opt_out_mode::all;
         s.who.opt_outs = {{"ai-interactions", s.what.at + millis{1}}};
         s.what.received = s.what.at + millis{2};
       },
       "opted_out"},

      // a table and a policy that do not fit
      {"an excluded group that the table does not know excludes everybody",
       [](scene& s) { s.versions.front().excluded_regions = {"EFTA"}; }, "region_excluded"},
      {"no policy at all", [](scene& s) { s.versions.clear(); }, "policy_not_effective"},
  };
  for (const auto& r : rows) {
    scene s;
    r.change(s);
    INFO(r.name);
    CHECK(s.verdict() == r.expected);
  }
}

TEST_CASE("the version at the event's time and the one now must both allow", "[policy]") {
  auto v1 = reference_policy();
  auto none = [](policy&) {};
  scene s;
  s.what.at = at("2026-01-31T23:59:59.999Z");
  s.what.received = at("2026-02-01T00:00:01Z");
  auto then_and_now = [&](const policy& later) {
    s.versions = {v1, later};
    return s.verdict();
  };

  SECTION("the same rules twice") {
    CHECK(then_and_now(version_of("2026-02-01.1", "2026-02-01", none)) == "allowed");
  }
  SECTION("a later version that excludes the region") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01",
                         [](policy& p) { p.excluded_regions.push_back("US"); });
    CHECK(then_and_now(v2) == "region_excluded");
  }
  SECTION("a region that a later version admits: what came earlier is never used") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01", [](policy& p) {
      p.excluded_regions = {"EU", "KR"};
    });
    s.who.regions.front().region = region("GB");
    CHECK(then_and_now(v2) == "region_excluded");
    s.what.at = at("2026-02-01");
    CHECK(then_and_now(v2) == "allowed");
    v2.notice_revision = 2; // people are told first
    CHECK(then_and_now(v2) == "not_notified");
    s.who.notices.push_back({"ai-interactions", 2, channel::email, at("2026-01-20")});
    CHECK(then_and_now(v2) == "allowed");
  }
  SECTION("a later version with a higher age") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01", [](policy& p) { p.minimum_age = 21; });
    s.who.birth_year = 2007;
    CHECK(then_and_now(v2) == "minor");
  }
  SECTION("a later version with a lower age does not reach back") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01", [](policy& p) { p.minimum_age = 13; });
    s.who.birth_year = 2010;
    CHECK(then_and_now(v2) == "minor");
    s.what.at = at("2026-02-01");
    CHECK(then_and_now(v2) == "allowed");
  }
  SECTION("a later version that people were not told of") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01", [](policy& p) { p.notice_revision = 2; });
    CHECK(then_and_now(v2) == "not_notified");
    s.who.notices.push_back({"ai-interactions", 2, channel::in_app, at("2026-01-20")});
    CHECK(then_and_now(v2) == "allowed");
    s.who.notices.erase(s.who.notices.begin()); // told of the new one only
    CHECK(then_and_now(v2) == "not_notified");
  }
  SECTION("a later version that offers an opt-out") {
    auto v2 =
        version_of("2026-02-01.1", "2026-02-01", [](policy& p) { p.opt_out = opt_out_mode::all; });
    s.who.opt_outs = {{"ai-interactions", at("2026-01-10")}};
    CHECK(then_and_now(v2) == "opted_out");
  }
  SECTION("a rollback with the old revision notifies nobody anew") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01", [](policy& p) { p.notice_revision = 2; });
    auto v3 = version_of("2026-02-03.1", "2026-02-03", none);
    s.versions = {v1, v2, v3};
    s.what = happened("2026-02-02T00:00:00Z");
    CHECK(s.verdict() == "not_notified");
    s.what = happened("2026-02-03T00:00:00Z");
    CHECK(s.verdict() == "allowed");
  }
  SECTION("a caller's clock ahead of a change of versions") {
    s.versions = {v1, version_of("2026-02-01.1", "2026-02-01", none)};
    s.what.at = at("2026-02-01T00:00:01Z");
    s.what.received = at("2026-01-31T23:59:59Z");
    CHECK(s.verdict() == "policy_not_effective");
  }
  SECTION("an order of reasons across versions: a rule is asked of both before the next") {
    auto v2 = version_of("2026-02-01.1", "2026-02-01",
                         [](policy& p) { p.excluded_regions.push_back("US"); });
    s.who.birth_year = 2015; // the first version says minor, the second says region_excluded
    CHECK(then_and_now(v2) == "region_excluded");
  }
}

TEST_CASE("groups count as they stood when each version was chosen", "[policy]") {
  auto table = region_table::parse(R"(
[codes]
UA = "Ukraine"
GB = "United Kingdom"
[[group]]
name = "EU"
title = "European Union"
source = "made up"
members = [
  { region = "UA", from = 2026-02-01 },
  { region = "GB", from = 1973-01-01, until = 2026-02-01 },
]
)",
                                   "test.toml");
  REQUIRE(table);
  auto policies = timeline_of(
      {version_of("2025-12-16.1", "2025-12-16", [](policy& p) { p.excluded_regions = {"EU"}; })});
  auto who = someone();
  auto asked = [&](std::string_view code, std::string_view when, std::string_view received) {
    who.regions = {{region(code), at("2020-01-01")}};
    return shown(decide(policies, *table, who, {.at = at(when), .received = at(received)}));
  };
  CHECK(asked("UA", "2026-01-31T23:59:59.999Z", "2026-01-31T23:59:59.999Z") == "allowed");
  CHECK(asked("UA", "2026-01-31T23:59:59.999Z", "2026-02-01") == "region_excluded");
  CHECK(asked("GB", "2026-01-31T23:59:59.999Z", "2026-02-01") == "region_excluded");
  CHECK(asked("GB", "2026-02-01", "2026-02-01") == "allowed");
}

TEST_CASE("a use is granted by the version in force now", "[policy]") {
  auto v1 = reference_policy();
  auto who = someone();
  auto now = at("2025-12-20");
  auto asked = [&](const policy& p, source from = source::ai, use what = use::ads) {
    return shown(decide_use(timeline_of({p}), shipped_regions(), who, from, what, now));
  };

  SECTION("both uses of both sources by the reference policy") {
    for (auto from : {source::ai, source::engagement})
      for (auto what : {use::ads, use::content})
        CHECK(asked(v1, from, what) == "allowed");
  }
  SECTION("before the date, and where nothing was applied") {
    now = at("2025-12-15T23:59:59.999Z");
    CHECK(asked(v1) == "policy_not_effective");
    CHECK(asked(v1, source::engagement) == "allowed");
    CHECK(decide_use({}, shipped_regions(), who, source::ai, use::content, now) ==
          reason::policy_not_effective);
    CHECK_FALSE(decide_use({}, shipped_regions(), who, source::engagement, use::ads, now));
    now = at("2025-12-16");
    CHECK(asked(v1) == "allowed");
  }
  SECTION("what [uses] leaves out is not used") {
    v1.ads_sources = {source::engagement};
    CHECK(asked(v1, source::ai, use::ads) == "policy_not_effective");
    CHECK(asked(v1, source::ai, use::content) == "allowed");
    v1.content_sources = {};
    CHECK(asked(v1, source::engagement, use::ads) == "allowed");
    CHECK(asked(v1, source::engagement, use::content) == "policy_not_effective");
  }
  SECTION("a move into an excluded region stops it at once, engagement goes on") {
    who.regions.push_back({region("DE"), at("2025-12-19")});
    CHECK(asked(v1) == "region_excluded");
    CHECK(asked(v1, source::engagement) == "allowed");
    now = at("2025-12-18T23:59:59.999Z");
    CHECK(asked(v1) == "allowed");
  }
  SECTION("an unknown region") {
    who.regions.clear();
    CHECK(asked(v1) == "region_unknown");
    CHECK(asked(v1, source::engagement) == "allowed");
  }
  SECTION("a minor, in the year of the use") {
    who.birth_year = 2008;
    CHECK(asked(v1) == "minor");
    now = at("2026-01-01");
    CHECK(asked(v1) == "allowed");
  }
  SECTION("a notice that is missing or too young") {
    v1.notice_lead = std::chrono::days{7};
    who.notices.front().at = now - std::chrono::days{7};
    CHECK(asked(v1) == "allowed");
    who.notices.front().at += millis{1};
    CHECK(asked(v1) == "not_notified");
  }
  SECTION("an opt-out, by its mode") {
    who.opt_outs = {{"ai-interactions", at("2025-12-19")}};
    CHECK(asked(v1, source::ai, use::ads) == "allowed");
    v1.opt_out = opt_out_mode::ads;
    CHECK(asked(v1, source::ai, use::ads) == "opted_out");
    CHECK(asked(v1, source::ai, use::content) == "allowed");
    v1.opt_out = opt_out_mode::all;
    CHECK(asked(v1, source::ai, use::ads) == "opted_out");
    CHECK(asked(v1, source::ai, use::content) == "opted_out");
    CHECK(asked(v1, source::engagement, use::ads) == "allowed");
  }
}

TEST_CASE("the time since when a person is excluded starts the purge", "[policy]") {
  auto v1 = reference_policy();
  auto who = someone();
  auto since = [&](const timeline& policies, std::string_view now) -> std::string {
    auto t = excluded_since(policies, shipped_regions(), who, at(now));
    return t ? format_time(*t) : "never";
  };
  auto policies = timeline_of({v1});

  SECTION("somebody who is not excluded") {
    CHECK(since(policies, "2026-01-01") == "never");
    who.regions.clear();
    CHECK(since(policies, "2026-01-01") == "never");
  }
  SECTION("somebody who moved: from the move") {
    who.regions.push_back({region("GB"), at("2026-01-10T08:00:00Z")});
    CHECK(since(policies, "2026-01-10T07:59:59.999Z") == "never");
    CHECK(since(policies, "2026-01-10T08:00:00Z") == "2026-01-10T08:00:00Z");
    CHECK(since(policies, "2026-03-01") == "2026-01-10T08:00:00Z");
  }
  SECTION("somebody who moved on to another excluded region: from the first move") {
    who.regions.push_back({region("GB"), at("2026-01-10")});
    who.regions.push_back({region("FR"), at("2026-01-20")});
    CHECK(since(policies, "2026-03-01") == "2026-01-10T00:00:00Z");
  }
  SECTION("somebody who came back within the grace period, and left again") {
    who.regions.push_back({region("GB"), at("2026-01-10")});
    who.regions.push_back({region("US"), at("2026-01-20")});
    CHECK(since(policies, "2026-01-25") == "never");
    who.regions.push_back({region("GB"), at("2026-02-10")});
    CHECK(since(policies, "2026-03-01") == "2026-02-10T00:00:00Z");
  }
  SECTION("a region that a later version excludes: from its effective time") {
    policies = timeline_of({v1, version_of("2026-02-01.1", "2026-02-01",
                                           [](policy& p) { p.excluded_regions.push_back("US"); })});
    CHECK(since(policies, "2026-01-31T23:59:59.999Z") == "never");
    CHECK(since(policies, "2026-02-20") == "2026-02-01T00:00:00Z");
  }
  SECTION("a region that was excluded all along: from the first effective time") {
    who.regions = {{region("DE"), at("2020-01-01")}};
    policies = timeline_of({v1, version_of("2026-02-01.1", "2026-02-01", [](policy&) {})});
    CHECK(since(policies, "2025-12-15T23:59:59.999Z") == "never");
    CHECK(since(policies, "2026-02-20") == "2025-12-16T00:00:00Z");
  }
}

} // namespace candor::model
