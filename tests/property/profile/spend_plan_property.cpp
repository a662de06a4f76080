/// Plans over generated traffic, spending and pauses.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include "actors/profile/spend_plan.hpp"
#include "storage/base/rng.hpp"

using namespace candor;
using namespace candor::profile;
using namespace std::chrono_literals;

namespace {

const timestamp midnight = *parse_time("2025-12-20T00:00:00Z");

traffic_forecast any_forecast() {
  traffic_forecast made;
  for (auto days = *rc::gen::inRange(0, 4); days > 0; --days) {
    for (std::size_t h = 0; h < 24; ++h)
      made.count(h, *rc::gen::inRange<std::int64_t>(0, 100'000));
    made.end_day();
  }
  return made;
}

} // namespace

TEST_CASE("no more is free than the day's budget, and within a slot it only grows", "[pacing]") {
  CHECK(rc::check([] {
    auto traffic = any_forecast();
    spend_plan plan;
    spend_plan::day_so_far day;
    day.daily = *rc::gen::inRange<std::int64_t>(1, 1'000'000'000'000);
    day.bid = *rc::gen::inRange<std::int64_t>(1, 1'000'000);
    day.end = midnight + *rc::gen::inRange(1, 24 * 60) * 1min;
    // (Hundreds of draws from the framework itself would take minutes.)
    seeded_rng random{*rc::gen::arbitrary<std::uint64_t>()};
    auto below = [&](std::int64_t n) {
      return static_cast<std::int64_t>(random.next() % static_cast<std::uint64_t>(n));
    };
    auto now = midnight;
    std::int64_t last = 0, slot = -1;
    while (now < midnight + 24h) {
      auto free = plan.free_until(now, day, traffic);
      RC_ASSERT(free <= day.daily);
      RC_ASSERT(free >= 0);
      auto number = (now - midnight) / slot_length;
      if (number == slot)
        RC_ASSERT(free >= last);
      slot = number;
      last = free;
      // Some of what is free is spent; sometimes some comes back.
      if (free > day.spent)
        day.spent += below(free - day.spent + 1);
      if (below(20) == 0)
        day.spent -= day.spent / 10;
      now += millis{1 + below(20 * 60 * 1000)};
    }
  }));
}

TEST_CASE("whoever spends all that is free spends the day's budget by its end, along the plan",
          "[pacing]") {
  CHECK(rc::check([] {
    auto traffic = any_forecast();
    spend_plan plan;
    spend_plan::day_so_far day;
    day.daily = *rc::gen::inRange<std::int64_t>(1'000'000, 1'000'000'000'000);
    day.bid = 1;
    day.end = midnight + 24h * 30;
    for (std::size_t s = 0; s < slots_of_day; ++s) {
      auto before = day.spent;
      for (auto part : {0s, 120s, 299s})
        day.spent = std::max(
            day.spent, plan.free_until(midnight + static_cast<int>(s) * 5min + part, day, traffic));
      auto spent = day.spent - before;
      RC_ASSERT((spent >= plan.planned() && spent <= plan.planned() + plan.planned() / 50 + 2));
    }
    RC_ASSERT(day.spent == day.daily);
  }));
}
