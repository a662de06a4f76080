#include <catch2/catch.hpp>

#include "actors/profile/budget_ledger.hpp"
#include "storage/engine/keys.hpp"

using namespace candor;
using namespace candor::profile;
using namespace std::chrono_literals;

namespace {

const timestamp midnight = *parse_time("2025-12-20T00:00:00Z");
constexpr std::int64_t daily = 288'000;
constexpr std::int64_t ahead = 12 * 10; ///< twelve impressions' price

spend_plan::day_so_far spent(std::int64_t micros, timestamp end = midnight + 24h * 30) {
  return {daily, micros, 10, end};
}

/// A forecast that has seen all of its traffic in the given hours.
traffic_forecast seen_in(std::initializer_list<std::size_t> hours) {
  traffic_forecast made;
  for (auto h : hours)
    made.count(h, 10'000);
  made.end_day();
  return made;
}

} // namespace

TEST_CASE("without a forecast a day is spent evenly", "[pacing]") {
  traffic_forecast none;
  spend_plan plan;
  CHECK(plan.free_until(midnight, spent(0), none) == ahead + daily / 288 / 300); // a second ahead
  CHECK(plan.planned() == daily / 288);
  CHECK(plan.free_until(midnight + 150s, spent(0), none) == ahead + 1000 * 151 / 300);
  CHECK(plan.free_until(midnight + 290s, spent(0), none) == 1000); // no more than the slot's plan
  CHECK(plan.free_until(midnight + 299s, spent(0), none) == 1000);
}

TEST_CASE("what was not spent is spread over the rest of the day", "[pacing]") {
  traffic_forecast none;
  spend_plan plan;
  plan.free_until(midnight, spent(0), none);
  plan.free_until(midnight + 12h, spent(0), none);
  CHECK(plan.planned() == 2000);
  // Only a fiftieth of a slot, or two impressions, is made up for at once.
  CHECK(plan.free_until(midnight + 12h, spent(0), none) == ahead + 2000 / 50 + 2000 / 300);
}

TEST_CASE("a small budget gathers the price of an impression", "[pacing]") {
  traffic_forecast none;
  spend_plan plan;
  auto poor = spent(0);
  poor.daily = 288; // a micro a slot, where an impression costs up to ten
  auto free = plan.free_until(midnight, poor, none);
  for (auto slot = 1; slot < 20; ++slot)
    free = plan.free_until(midnight + slot * slot_length, poor, none);
  CHECK(free >= 10);
  CHECK(free <= 22);
}

TEST_CASE("the plan follows the traffic of the days before", "[pacing]") {
  spend_plan plan;
  auto evening = seen_in({20, 21});
  plan.free_until(midnight + 3h, spent(0), evening);
  auto night = plan.planned();
  plan.free_until(midnight + 20h + 30min, spent(daily / 8), evening);
  CHECK(plan.planned() > 30 * night);
  CHECK(night > 0); // an hour without traffic yesterday can still spend today
}

TEST_CASE("a schedule that ends today ends the plan", "[pacing]") {
  traffic_forecast none;
  spend_plan plan;
  plan.free_until(midnight, spent(0, midnight + 1h), none);
  CHECK(plan.planned() == daily / 12);
  plan.free_until(midnight + 23h + 59min, spent(1000, midnight + 1h), none);
  CHECK(plan.planned() == daily - 1000); // late, and never to be divided by nothing
}

TEST_CASE("too little traffic tells nothing, and each day counts", "[pacing]") {
  traffic_forecast f;
  f.count(3, 999);
  f.end_day();
  CHECK(f == traffic_forecast{});
  auto once = seen_in({12});
  auto peak = once.at(12 * 12 + 6);
  CHECK(peak > 20'000);
  once.count(0, 10'000);
  once.end_day();
  CHECK(once.at(12 * 12 + 6) < peak);
  CHECK(once.at(6) > 10'000);
}

TEST_CASE("a plan and a forecast are read back as they were written", "[pacing]") {
  auto f = seen_in({7, 8, 9});
  f.count(3, 12);
  spend_plan plan;
  plan.free_until(midnight + 7h, spent(500), f);
  std::string bytes;
  plan.encode(bytes);
  CHECK(bytes.size() == spend_plan::encoded_bytes);
  CHECK(spend_plan::decode(bytes) == plan);
  bytes.clear();
  f.encode(bytes);
  CHECK(bytes.size() == traffic_forecast::encoded_bytes);
  CHECK(traffic_forecast::decode(bytes) == f);
}

TEST_CASE("a ledger of the first version is still read", "[pacing]") {
  std::string bytes(1, '\1');
  for (std::int64_t n : {20'000, 700})
    engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
  engine::append_big_endian(bytes, 3, 2);
  for (std::int64_t n : {900, 200, 20'000, 0})
    engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
  auto read = budget_ledger::decode(bytes);
  REQUIRE(read);
  CHECK(read->lent_net() == 700);
  auto again = budget_ledger::decode(read->encode());
  REQUIRE(again);
  CHECK(*again == *read);
  CHECK(!budget_ledger::decode(bytes + "x"));
  CHECK(!budget_ledger::decode("\3"));
  CHECK(!budget_ledger::decode(""));
}

TEST_CASE("an evenly paced campaign lends no more than its plan, and a report alone writes nothing",
          "[pacing]") {
  model::campaign c;
  c.bid_micros = 10;
  c.daily_micros = daily;
  c.total_micros = 10 * daily;
  c.even_pacing = true;
  c.to = midnight + 24h * 30;
  budget_ledger ledger;
  money_lent lent;
  money_report report{1, 0, 0, 0, 0, 500, 7};
  CHECK(!ledger.answer(report, c, midnight + 10s, lent));
  CHECK(lent.exhausted);
  CHECK(lent.paced); // there is more, for later
  lent = {};
  CHECK(ledger.answer(report, c, midnight + 200s, lent));
  CHECK((!lent.exhausted && !lent.paced && lent.lent == 500));
  report.lent_seen = 500;
  report.wanted = 0;
  report.decisions = 900;
  CHECK(!ledger.answer(report, c, midnight + 201s, lent));
}
