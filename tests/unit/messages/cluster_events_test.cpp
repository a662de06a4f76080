#include "actors/messages/cluster_events.hpp"

#include <thread>

#include <catch2/catch.hpp>

using namespace candor;

namespace {

std::vector<std::uint64_t> numbers(const cluster_events::news& found) {
  std::vector<std::uint64_t> all;
  for (const auto& e : found.events)
    all.push_back(e.number);
  return all;
}

} // namespace

TEST_CASE("a reader goes on after the event that it was told last", "[messages]") {
  cluster_events held{"life", 10};
  CHECK(held.after(held.place_after("")).events.empty());
  for (auto name : {"a", "b", "c"})
    held.add(name, "{}");
  CHECK(numbers(held.after(held.place_after(""))) == std::vector<std::uint64_t>{1, 2, 3});
  auto place = held.place_after(held.id_of(2));
  REQUIRE(numbers(held.after(place)) == std::vector<std::uint64_t>{3});
  CHECK(held.after(place).events.front().name == "c");
  CHECK(held.after(place).missed == 0);
  CHECK(held.after(3).events.empty());
  held.add("d", "{}");
  CHECK(numbers(held.after(3)) == std::vector<std::uint64_t>{4});
}

TEST_CASE("a reader that comes too late learns how many it missed", "[messages]") {
  cluster_events held{"life", 3};
  for (int i = 0; i < 10; ++i)
    held.add("x", "{}");
  auto found = held.after(held.place_after(held.id_of(2)));
  CHECK(found.missed == 5);
  CHECK(numbers(found) == std::vector<std::uint64_t>{8, 9, 10});
  CHECK(held.after(7).missed == 0);
  // Who was told nothing yet misses nothing.
  CHECK(held.after(held.place_after("")).missed == 0);
  CHECK(numbers(held.after(held.place_after(""))).front() == 8);
}

TEST_CASE("an id of another life is followed by all that is held", "[messages]") {
  cluster_events held{"life-2", 10};
  held.add("a", "{}");
  held.add("b", "{}");
  CHECK(held.id_of(2) == "life-2-2");
  for (auto id : {"life-1-2", "life-2", "life-2-", "life-2-x", "life-2-3", "life-2-2 ", "2", "-",
                  "life-2--1", "life-2-99999999999999999999999"})
    CHECK(numbers(held.after(held.place_after(id))) == std::vector<std::uint64_t>{1, 2});
  CHECK(held.place_after("life-2-2") == 2);
}

TEST_CASE("a long ring is read part by part", "[messages]") {
  cluster_events held{"life"};
  for (std::size_t i = 0; i < limits::cluster_events_kept + 5; ++i)
    held.add("x", "{}");
  std::uint64_t told = held.place_after(""), count = 0;
  for (;;) {
    auto found = held.after(told);
    CHECK(found.events.size() <= limits::cluster_events_at_a_time);
    if (found.events.empty())
      break;
    CHECK(found.events.front().number == told + 1);
    told = found.events.back().number;
    count += found.events.size();
  }
  CHECK(count == limits::cluster_events_kept);
}

TEST_CASE("events come in from several threads without a gap", "[messages]") {
  cluster_events held{"life", 10'000};
  std::vector<std::thread> writers;
  for (int t = 0; t < 4; ++t)
    writers.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        held.add("x", "{}");
    });
  std::uint64_t told = 0;
  while (told < 2000)
    for (const auto& e : held.after(told).events)
      REQUIRE(e.number == ++told);
  for (auto& w : writers)
    w.join();
  CHECK(held.after(told).events.empty());
}
