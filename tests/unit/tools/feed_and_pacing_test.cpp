#include <catch2/catch.hpp>

#include "tools/candor-bench/feed.hpp"
#include "tools/candor-bench/pacing.hpp"

using namespace candor;
using namespace candor::bench;

TEST_CASE("a feed is worth more than popularity and chance, and repeats nothing", "[bench]") {
  feed_options o;
  o.people = 25;
  o.items = 400;
  o.days = 8;
  auto all = evaluate_feed(o);
  REQUIRE(all.size() == 4);
  CHECK(all[0].ranking == "candor");
  CHECK(all[0].repetition == 0);
  for (std::size_t i = 1; i < all.size(); ++i) {
    INFO(all[i].ranking);
    CHECK(all[0].ndcg > all[i].ndcg);
    CHECK(all[0].clicks > all[i].clicks);
  }
  CHECK(all[1].repetition > 0.5); // the popular stays so
  auto again = evaluate_feed(o);
  CHECK(again[0].ndcg == all[0].ndcg);
  CHECK(again[3].clicks == all[3].clicks);
  o.seed = 2;
  CHECK(evaluate_feed(o)[0].ndcg != all[0].ndcg);
}

TEST_CASE("diversity makes the items of a feed less alike", "[bench]") {
  feed_options o;
  o.people = 25;
  o.items = 400;
  o.days = 4;
  o.likeness_tenths = 0;
  auto none = evaluate_feed(o)[0].variety;
  o.likeness_tenths = 3;
  CHECK(evaluate_feed(o)[0].variety > none);
}

TEST_CASE("spend keeps to its plan over a day's curve with a step in it", "[bench]") {
  pacing_options o;
  o.days = 2;
  for (auto step : {0.6, 1.0, 2.0}) {
    o.step = step;
    auto f = simulate_pacing(o);
    INFO(step);
    CHECK(f.slots.size() == 288);
    CHECK(f.lasting >= 280);
    CHECK(f.within * 100 >= f.lasting * 95);
    CHECK(f.overspent == 0);
    CHECK(f.stranded < 0.01);
    CHECK(f.spent_of_day > 0.99);
  }
}

TEST_CASE("where demand fails nothing is overspent to make up for it", "[bench]") {
  pacing_options o;
  o.days = 2;
  o.step = 0;
  auto f = simulate_pacing(o);
  CHECK(f.overspent == 0);
  CHECK(f.stranded < 0.01);
  CHECK(f.lasting < 200); // after 15:00 nobody comes
  CHECK(f.within * 100 >= f.lasting * 95);
}
