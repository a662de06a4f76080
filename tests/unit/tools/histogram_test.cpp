#include <catch2/catch.hpp>

#include "tools/candor-load/histogram.hpp"

using candor::load::histogram;
using std::chrono::microseconds;

TEST_CASE("an empty histogram has no latency", "[load]") {
  histogram h;
  CHECK(h.count() == 0);
  CHECK(h.quantile(0.5) == microseconds{0});
  CHECK(h.max() == microseconds{0});
}

TEST_CASE("small values are kept exactly", "[load]") {
  histogram h;
  for (int us = 1; us <= 20; ++us)
    h.record(microseconds{us});
  CHECK(h.quantile(0.5) == microseconds{10});
  CHECK(h.quantile(0.95) == microseconds{19});
  CHECK(h.quantile(1) == microseconds{20});
}

TEST_CASE("a quantile is within a thirty-second of the truth, whatever the size", "[load]") {
  for (std::int64_t size : {100ll, 12'345ll, 999'983ll, 3'000'000'019ll, 1ll << 50}) {
    histogram h;
    for (int i = 0; i < 99; ++i)
      h.record(microseconds{size});
    h.record(microseconds{size * 4});
    auto found = h.quantile(0.5).count();
    CHECK(found >= size);
    CHECK(found <= size + size / 32);
    CHECK(h.quantile(1).count() == size * 4);
  }
}

TEST_CASE("histograms add up", "[load]") {
  histogram fast, slow;
  for (int i = 0; i < 50; ++i) {
    fast.record(microseconds{10});
    slow.record(microseconds{30});
  }
  fast.add(slow);
  CHECK(fast.count() == 100);
  CHECK(fast.quantile(0.5) == microseconds{10});
  CHECK(fast.quantile(0.51) == microseconds{30});
  CHECK(fast.max() == microseconds{30});
}

TEST_CASE("a clock that went back counts as no time", "[load]") {
  histogram h;
  h.record(microseconds{-5});
  CHECK(h.count() == 1);
  CHECK(h.max() == microseconds{0});
}
