#include <catch2/catch.hpp>

#include "cluster/sharding/next_step.hpp"

using namespace candor;
using namespace candor::sharding;
using what = membership_step::what;

namespace {

const member a{"a", "da"}, b{"b", "db"}, c{"c", "dc"}, d{"d", "dd"};
const std::map<std::string, std::string> disks{{"a", "da"}, {"b", "db"}, {"c", "dc"}, {"d", "dd"}};

shard_config led_by(member primary, std::vector<member> in_sync, std::uint32_t least = 2) {
  return {7, 3, std::move(primary), std::move(in_sync), least, 0};
}

} // namespace

TEST_CASE("a shard that lies where it should has nothing to do", "[sharding]") {
  CHECK(next_step(led_by(a, {c, a, b}), {"a", "b", "c"}, disks) == membership_step{});
}

TEST_CASE("nothing is done where nobody has decided, or nothing of it is known", "[sharding]") {
  CHECK(next_step(led_by(a, {a}), {}, disks) == membership_step{});
  CHECK(next_step(led_by(a, {a}), {"x", "y"}, disks) == membership_step{});
}

TEST_CASE("a move adds, then drops, then hands off", "[sharding]") {
  std::vector<std::string> desired{"d", "a", "b"};
  CHECK(next_step(led_by(a, {a, b, c}), desired, disks) == membership_step{what::add_learner, d});
  CHECK(next_step(led_by(a, {a, b, c, d}), desired, disks) == membership_step{what::drop, c});
  CHECK(next_step(led_by(a, {a, b, d}), desired, disks) == membership_step{what::hand_off, d});
  CHECK(next_step(led_by(d, {a, b, d}), desired, disks) == membership_step{});
}

TEST_CASE("a primary that should go hands off, and its successor drops it", "[sharding]") {
  std::vector<std::string> desired{"b", "c", "d"};
  CHECK(next_step(led_by(a, {a, b, c, d}), desired, disks) == membership_step{what::hand_off, b});
  CHECK(next_step(led_by(b, {a, b, c, d}), desired, disks) == membership_step{what::drop, a});
}

TEST_CASE("a wiped disk makes way for the new one of its node", "[sharding]") {
  auto now = disks;
  now["c"] = "new";
  std::vector<std::string> desired{"a", "b", "c"};
  CHECK(next_step(led_by(a, {a, b, c}), desired, now) ==
        membership_step{what::add_learner, {"c", "new"}});
  CHECK(next_step(led_by(a, {a, b, c, {"c", "new"}}), desired, now) ==
        membership_step{what::drop, c});
}

TEST_CASE("while a desired node is not known nobody is dropped in its place", "[sharding]") {
  auto now = disks;
  now.erase("c");
  std::vector<std::string> desired{"c", "a", "b"};
  CHECK(next_step(led_by(a, {a, b, d}), desired, now) == membership_step{}); // d stands in for c
  CHECK(next_step(led_by(a, {a, b, c}), desired, now) == membership_step{}); // c may come back
  CHECK(next_step(led_by(a, {a, b, c, d}), desired, now) == membership_step{what::drop, d});
  // a primary that should go does not wait for the preferred one
  CHECK(next_step(led_by(d, {a, b, d}), desired, now) == membership_step{what::hand_off, a});
  CHECK(next_step(led_by(a, {a, b, d}), desired, disks) == membership_step{what::add_learner, c});
}

TEST_CASE("no drop leaves fewer in sync than must be", "[sharding]") {
  CHECK(next_step(led_by(a, {a, b}, 2), {"a"}, disks) == membership_step{});
  CHECK(next_step(led_by(a, {a, b, c}, 2), {"a"}, disks) == membership_step{what::drop, b});
  CHECK(next_step(led_by(a, {a, b}, 1), {"a"}, disks) == membership_step{what::drop, b});
}
