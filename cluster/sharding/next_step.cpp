#include "cluster/sharding/next_step.hpp"

#include <algorithm>

namespace candor::sharding {

membership_step next_step(const shard_config& config, const std::vector<std::string>& desired,
                          const std::map<std::string, std::string>& disks) {
  using what = membership_step::what;
  auto in_sync = [&](const member& m) {
    return std::ranges::find(config.in_sync, m) != config.in_sync.end();
  };

  std::vector<member> wanted; // what of the desired is known
  for (auto& name : desired)
    if (auto disk = disks.find(name); disk != disks.end())
      wanted.push_back({name, disk->second});
  if (wanted.empty())
    return {};
  for (auto& m : wanted)
    if (!in_sync(m))
      return {what::add_learner, m};

  // A desired node that is not known may be on its way back: its member stays.
  auto is_foreign = [&](const member& m) {
    auto disk = disks.find(m.node);
    return std::ranges::find(desired, m.node) == desired.end() ||
           (disk != disks.end() && disk->second != m.disk_id);
  };
  if (config.in_sync.size() > std::max<std::size_t>(config.in_sync_min, desired.size()))
    for (auto& m : config.in_sync)
      if (is_foreign(m) && m != config.primary)
        return {what::drop, m};

  auto preferred_is_known = wanted.front().node == desired.front();
  if (config.primary != wanted.front() && (preferred_is_known || is_foreign(config.primary)))
    return {what::hand_off, wanted.front()};
  return {};
}

} // namespace candor::sharding
