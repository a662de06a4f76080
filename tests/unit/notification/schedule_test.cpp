#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

#include <date/tz.h>

#include "actors/notification/schedule.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"

using namespace candor;
using namespace candor::notification;
using namespace std::chrono_literals;

namespace {

timestamp at(std::string_view text) {
  return parse_time(text).value();
}

/// Twelve zones: both hemispheres, half and quarter hours, a half-hour step, midnight steps, a
/// whole day left out, and none.
constexpr std::array<const char*, 12> zones{
    "UTC",           "America/New_York",    "America/St_Johns", "America/Santiago",
    "Europe/Berlin", "Africa/Cairo",        "Asia/Kolkata",     "Asia/Kathmandu",
    "Asia/Tokyo",    "Australia/Lord_Howe", "Pacific/Chatham",  "Pacific/Apia"};

/// Minutes since midnight on the wall, straight from the library.
long wall_minutes(const date::time_zone* zone, timestamp t) {
  auto local = zone->to_local(t);
  return std::chrono::duration_cast<std::chrono::minutes>(local - date::floor<date::days>(local))
      .count();
}

long minutes_of(std::string_view text) {
  return std::stol(std::string{text.substr(0, 2)}) * 60 + std::stol(std::string{text.substr(3)});
}

bool is_quiet(long wall, long from, long until) {
  return from < until ? from <= wall && wall < until : wall >= from || wall < until;
}

} // namespace

TEST_CASE("outside of the quiet hours a mail may go at once", "[notification]") {
  auto noon = at("2025-10-07T12:00:00Z");
  CHECK(next_allowed(noon, "UTC", "21:00", "08:00") == noon);
  CHECK(next_allowed(at("2025-10-07T20:59:59.999Z"), "UTC", "21:00", "08:00") ==
        at("2025-10-07T20:59:59.999Z"));
  CHECK(next_allowed(at("2025-10-07T08:00:00Z"), "UTC", "21:00", "08:00") ==
        at("2025-10-07T08:00:00Z"));
}

TEST_CASE("the quiet hours run across midnight", "[notification]") {
  CHECK(next_allowed(at("2025-10-07T21:00:00Z"), "UTC", "21:00", "08:00") ==
        at("2025-10-08T08:00:00Z"));
  CHECK(next_allowed(at("2025-10-08T07:59:59.999Z"), "UTC", "21:00", "08:00") ==
        at("2025-10-08T08:00:00Z"));
  CHECK(next_allowed(at("2025-12-31T23:30:00Z"), "UTC", "21:00", "08:00") ==
        at("2026-01-01T08:00:00Z"));
}

TEST_CASE("quiet hours within a day end on that day", "[notification]") {
  CHECK(next_allowed(at("2025-10-07T13:10:00Z"), "UTC", "13:00", "15:00") ==
        at("2025-10-07T15:00:00Z"));
  CHECK(next_allowed(at("2025-10-07T23:10:00Z"), "UTC", "13:00", "15:00") ==
        at("2025-10-07T23:10:00Z"));
}

TEST_CASE("no quiet hours, and values that are none, hold nothing back", "[notification]") {
  auto night = at("2025-10-07T23:00:00Z");
  struct row {
    const char *from, *until;
  };
  for (auto [from, until] :
       {row{"", ""}, row{"21:00", ""}, row{"", "08:00"}, row{"08:00", "08:00"},
        row{"24:00", "08:00"}, row{"21:60", "08:00"}, row{"9:00", "08:00"}, row{"21:00", "0x:00"}})
    CHECK(next_allowed(night, "UTC", from, until) == night);
}

TEST_CASE("an unknown zone is UTC", "[notification]") {
  for (auto zone : {"", "Mars/Olympus", "../../etc/passwd", "europe/berlin\n", "EST5EDT,M3"})
    CHECK(next_allowed(at("2025-10-07T22:00:00Z"), zone, "21:00", "08:00") ==
          at("2025-10-08T08:00:00Z"));
  CHECK(next_allowed(at("2025-10-07T22:00:00Z"), std::string(10'000, 'a'), "21:00", "08:00") ==
        at("2025-10-08T08:00:00Z"));
}

TEST_CASE("quiet hours follow each zone's own clock", "[notification]") {
  struct row {
    const char *zone, *now, *allowed;
  };
  // Ends worked out by hand from the zones' published offsets.
  auto [zone, now, allowed] = GENERATE(values<row>({
      {"America/New_York", "2025-10-07T02:00:00Z", "2025-10-07T12:00:00Z"},
      {"America/New_York", "2025-12-07T02:00:00Z", "2025-12-07T13:00:00Z"},
      {"America/St_Johns", "2025-12-07T02:00:00Z", "2025-12-07T11:30:00Z"},
      {"America/Santiago", "2025-10-07T02:00:00Z", "2025-10-07T11:00:00Z"},
      {"Europe/Berlin", "2025-10-07T20:00:00Z", "2025-10-08T06:00:00Z"},
      {"Africa/Cairo", "2025-10-07T20:00:00Z", "2025-10-08T05:00:00Z"},
      {"Asia/Kolkata", "2025-10-07T16:00:00Z", "2025-10-08T02:30:00Z"},
      {"Asia/Kathmandu", "2025-10-07T16:00:00Z", "2025-10-08T02:15:00Z"},
      {"Asia/Tokyo", "2025-10-07T13:00:00Z", "2025-10-07T23:00:00Z"},
      {"Australia/Lord_Howe", "2025-10-07T13:00:00Z", "2025-10-07T21:00:00Z"},
      {"Pacific/Chatham", "2025-10-07T13:00:00Z", "2025-10-07T18:15:00Z"},
      {"Pacific/Apia", "2025-10-07T13:00:00Z", "2025-10-07T19:00:00Z"},
  }));
  CAPTURE(zone, now);
  CHECK(next_allowed(at(now), zone, "21:00", "08:00") == at(allowed));
}

TEST_CASE("the night of a clock change is an hour shorter or longer", "[notification]") {
  // New York: 2025-03-09 (7 h from 01:00 EST to 08:00 EDT becomes 6), 2025-11-02 (8).
  CHECK(next_allowed(at("2025-03-09T06:00:00Z"), "America/New_York", "21:00", "08:00") ==
        at("2025-03-09T12:00:00Z"));
  CHECK(next_allowed(at("2025-11-02T05:00:00Z"), "America/New_York", "21:00", "08:00") ==
        at("2025-11-02T13:00:00Z"));
  // Lord Howe steps by half an hour: 2025-10-05 02:00 becomes 02:30.
  CHECK(next_allowed(at("2025-10-04T15:00:00Z"), "Australia/Lord_Howe", "21:00", "08:00") ==
        at("2025-10-04T21:00:00Z"));
}

TEST_CASE("where the end is skipped, the quiet ends with the jump", "[notification]") {
  // Berlin, 2025-03-30: 02:00 CET becomes 03:00 CEST at 01:00Z.
  CHECK(next_allowed(at("2025-03-30T00:30:00Z"), "Europe/Berlin", "22:00", "02:30") ==
        at("2025-03-30T01:00:00Z"));
  // Cairo, 2025-04-25: 00:00 becomes 01:00 at 22:00Z.
  CHECK(next_allowed(at("2025-04-24T21:00:00Z"), "Africa/Cairo", "22:00", "00:15") ==
        at("2025-04-24T22:00:00Z"));
}

TEST_CASE("where the end comes twice, the first ends the quiet", "[notification]") {
  // Berlin, 2025-10-26: 03:00 CEST becomes 02:00 CET at 01:00Z. 02:30 is 00:30Z and 01:30Z.
  CHECK(next_allowed(at("2025-10-26T00:10:00Z"), "Europe/Berlin", "22:00", "02:30") ==
        at("2025-10-26T00:30:00Z"));
  CHECK(next_allowed(at("2025-10-26T00:40:00Z"), "Europe/Berlin", "22:00", "02:30") ==
        at("2025-10-26T00:40:00Z"));
  // The wall is back in the quiet hours.
  CHECK(next_allowed(at("2025-10-26T01:10:00Z"), "Europe/Berlin", "22:00", "02:30") ==
        at("2025-10-26T01:30:00Z"));
}

TEST_CASE("a day that a zone left out is slept over", "[notification]") {
  // Apia had no 2011-12-30: after 23:59:59 on the 29th (-10) came the 31st (+14), at 10:00Z.
  CHECK(next_allowed(at("2011-12-30T09:00:00Z"), "Pacific/Apia", "21:00", "08:00") ==
        at("2011-12-30T18:00:00Z"));
}

TEST_CASE("in twelve zones through a year the answer is the first minute that is not quiet",
          "[notification]") {
  // Against a walk in steps of a minute, on and around every clock change of 2025 and at random.
  static constexpr std::array<std::array<const char*, 2>, 6> quiets{{{"21:00", "08:00"},
                                                                     {"22:00", "02:30"},
                                                                     {"23:15", "00:30"},
                                                                     {"01:30", "02:15"},
                                                                     {"00:00", "03:00"},
                                                                     {"02:10", "02:05"}}};
  seeded_rng rng{7};
  auto start = at("2025-01-01T00:00:00Z");
  std::size_t held = 0, changes = 0;
  for (auto name : zones) {
    auto zone = date::locate_zone(name);
    std::vector<timestamp> instants;
    for (auto info = zone->get_info(start); info.end < at("2026-01-01T00:00:00Z");
         info = zone->get_info(info.end)) {
      ++changes;
      for (auto minute = -200; minute <= 200; minute += 13)
        instants.push_back(timestamp{info.end} + std::chrono::minutes{minute});
    }
    for (auto i = 0; i < 60; ++i)
      instants.push_back(start + std::chrono::minutes{rng.next() % (365 * 24 * 60)});
    for (auto [from, until] : quiets) {
      auto first = minutes_of(from), end = minutes_of(until);
      for (auto now : instants) {
        auto expected = now;
        while (is_quiet(wall_minutes(zone, expected), first, end))
          expected += 1min;
        held += expected != now;
        if (next_allowed(now, name, from, until) != expected) {
          CAPTURE(name, from, until, format_time(now), format_time(expected));
          REQUIRE(next_allowed(now, name, from, until) == expected);
        }
      }
    }
  }
  CHECK(changes >= 12);
  CHECK(held > 1000);
}

TEST_CASE("a day is the person's own", "[notification]") {
  auto t = at("2025-12-16T00:00:00Z");
  CHECK(format_date(local_day(t, "America/New_York")) == "2025-12-15");
  CHECK(format_date(local_day(t, "Asia/Tokyo")) == "2025-12-16");
  CHECK(format_date(local_day(t, "nowhere")) == "2025-12-16");
  CHECK(format_date(local_day(at("2025-12-16T23:59:00Z"), "Pacific/Apia")) == "2025-12-17");
}

TEST_CASE("waits between attempts grow, and then it is given up", "[notification]") {
  CHECK(wait_after(0) == 0ms);
  CHECK(wait_after(1) == 1min);
  CHECK(wait_after(2) == 5min);
  CHECK(wait_after(3) == 30min);
  CHECK(wait_after(4) == 2h);
  CHECK(wait_after(5) == 8h);
  CHECK(wait_after(6) == 24h);
  CHECK_FALSE(wait_after(7));
  CHECK_FALSE(wait_after(4'000'000'000));
}

TEST_CASE("the rate is kept, with a burst at first", "[notification]") {
  manual_clock clock{at("2025-10-07T00:00:00Z")};
  rate_limit limit{200, 50, clock.now()};
  std::size_t taken = 0;
  while (limit.take(clock.now()))
    ++taken;
  CHECK(taken == 50);
  CHECK(limit.wait(clock.now()) == 5ms);
  clock.advance(4ms);
  CHECK_FALSE(limit.take(clock.now()));
  CHECK(limit.wait(clock.now()) == 1ms);
  clock.advance(1ms);
  CHECK(limit.wait(clock.now()) == 0ms);
  CHECK(limit.take(clock.now()));
  CHECK_FALSE(limit.take(clock.now()));

  taken = 0;
  for (auto ms = 0; ms < 60'000; ++ms) {
    clock.advance(1ms);
    while (limit.take(clock.now()))
      ++taken;
  }
  CHECK(taken == 12'000);
}

TEST_CASE("a slow rate loses nothing to rounding", "[notification]") {
  manual_clock clock{at("2025-10-07T00:00:00Z")};
  rate_limit limit{3, 1, clock.now()};
  std::size_t taken = 0;
  for (auto ms = 0; ms < 100'000; ++ms) {
    taken += limit.take(clock.now());
    clock.advance(1ms);
  }
  CHECK(taken >= 299);
  CHECK(taken <= 301);
}

TEST_CASE("setting the clock fills the bucket and no more, and never empties it",
          "[notification]") {
  manual_clock clock{at("2025-10-07T00:00:00Z")};
  rate_limit limit{1'000'000, 1'000'000, clock.now()};
  REQUIRE(clock.set(at("2199-01-01T00:00:00Z")));
  CHECK(limit.take(clock.now()));
  rate_limit small{1, 2, clock.now()};
  CHECK(small.take(clock.now()));
  REQUIRE(clock.set(at("2025-10-07T00:00:00Z")));
  CHECK(small.take(clock.now()));
  CHECK_FALSE(small.take(clock.now()));
  CHECK(small.wait(clock.now()) == 1000ms);
  REQUIRE(clock.set(at("2025-12-16T00:00:00Z")));
  CHECK(small.take(clock.now()));
  CHECK(small.take(clock.now()));
  CHECK_FALSE(small.take(clock.now()));
}
