/// Any configuration, any desired nodes: the steps lead there, and no copy is given up before the
/// one that replaces it is in sync.

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include "cluster/sharding/next_step.hpp"

using namespace candor::sharding;
using what = membership_step::what;

namespace {

struct situation {
  shard_config config;
  std::vector<std::string> desired;
  std::map<std::string, std::string> disks;
};

std::string node(int n) {
  return "n" + std::to_string(n);
}

std::vector<std::string> some_nodes(int least, int most) {
  auto all = *rc::gen::exec([] {
    std::vector<std::pair<std::uint32_t, std::string>> order;
    for (int n = 0; n < 7; ++n)
      order.emplace_back(*rc::gen::arbitrary<std::uint32_t>(), node(n));
    std::ranges::sort(order);
    return order;
  });
  std::vector<std::string> some;
  for (int i = *rc::gen::inRange(least, most + 1); i > 0; --i)
    some.push_back(all[static_cast<std::size_t>(i)].second);
  return some;
}

/// A node is known with the disk that its member has, with another one, or not at all.
situation any_situation() {
  situation s;
  for (auto& name : some_nodes(1, 5))
    s.config.in_sync.push_back({name, "d" + std::to_string(*rc::gen::inRange(0, 2))});
  s.config.primary = s.config.in_sync[*rc::gen::inRange<std::size_t>(0, s.config.in_sync.size())];
  s.config.in_sync_min = *rc::gen::inRange(1u, 4u);
  s.desired = some_nodes(1, 4);
  for (int n = 0; n < 7; ++n)
    if (auto disk = *rc::gen::inRange(0, 4); disk < 3)
      s.disks[node(n)] = "d" + std::to_string(std::min(disk, 1));
  s.disks[s.config.primary.node] = s.config.primary.disk_id; // it is alive: it asks
  return s;
}

void apply(shard_config& config, const membership_step& step) {
  auto at = std::ranges::find(config.in_sync, step.member);
  switch (step.kind) {
    case what::none:
      break;
    case what::add_learner:
      RC_ASSERT(at == config.in_sync.end());
      config.in_sync.push_back(step.member);
      break;
    case what::drop:
      RC_ASSERT(at != config.in_sync.end());
      RC_ASSERT(step.member != config.primary);
      config.in_sync.erase(at);
      break;
    case what::hand_off:
      RC_ASSERT(at != config.in_sync.end());
      RC_ASSERT(step.member != config.primary);
      config.primary = step.member;
      break;
  }
}

/// Steps until there is none, holding on the way what must always hold.
void run(situation& s) {
  for (int steps = 0;; ++steps) {
    RC_ASSERT(steps < 20);
    auto step = next_step(s.config, s.desired, s.disks);
    if (step.kind == what::none)
      return;
    auto before = s.config.in_sync.size();
    if (step.kind == what::drop)
      for (auto& name : s.desired)
        if (auto disk = s.disks.find(name); disk != s.disks.end())
          RC_ASSERT(std::ranges::count(s.config.in_sync, member{name, disk->second}) == 1);
    apply(s.config, step);
    RC_ASSERT(s.config.in_sync.size() >= std::min<std::size_t>(s.config.in_sync_min, before));
    RC_ASSERT(s.config.in_sync.size() >= std::min(s.desired.size(), before));
  }
}

} // namespace

TEST_CASE("from any configuration the steps end at the desired nodes, never with fewer in sync",
          "[sharding]") {
  REQUIRE(rc::check([] {
    auto s = any_situation();
    auto start = s.config.in_sync.size();
    // what is desired and known may change on the way
    for (int steps = *rc::gen::inRange(0, 4); steps > 0; --steps)
      apply(s.config, next_step(s.config, s.desired, s.disks));
    s.desired = some_nodes(1, 4);
    start = std::min(start, s.config.in_sync.size());
    run(s);
    RC_ASSERT(s.config.in_sync.size() >= std::min(s.desired.size(), start));

    // at rest, all that is known of the desired is in sync
    std::size_t known = 0;
    for (auto& name : s.desired)
      if (auto disk = s.disks.find(name); disk != s.disks.end()) {
        ++known;
        RC_ASSERT(std::ranges::count(s.config.in_sync, member{name, disk->second}) == 1);
      }
    // and once all are known, they alone are (but for what in_sync_min asks for)
    for (auto& name : s.desired)
      s.disks.try_emplace(name, "d0");
    run(s);
    RC_ASSERT(s.config.primary == (member{s.desired.front(), s.disks[s.desired.front()]}));
    RC_ASSERT(s.config.in_sync.size() >= s.desired.size());
    if (s.desired.size() >= s.config.in_sync_min)
      RC_ASSERT(s.config.in_sync.size() == s.desired.size());
    RC_CLASSIFY(known < s.desired.size(), "a desired node was not known");
    RC_CLASSIFY(start < s.desired.size(), "too few in sync at first");
  }));
}
