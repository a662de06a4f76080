/// Lists of campaigns as the changes that lead to them, for tests of who follows them.
#pragma once

#include <map>

#include "storage/model/targeting/catalogue.hpp"

namespace candor::test {

inline model::campaigns_change whole_of(const model::campaign_list& all, std::uint64_t number) {
  model::campaigns_change made{number, true, {}};
  for (const auto& c : all)
    made.items.push_back({c->campaign.id, c});
  return made;
}

/// What leads from one list to another.
inline model::campaigns_change difference(const model::campaign_list& from,
                                          const model::campaign_list& to, std::uint64_t number) {
  std::map<std::string, std::shared_ptr<const model::live_campaign>> changed, before;
  for (const auto& c : from) {
    changed[c->campaign.id] = nullptr;
    before[c->campaign.id] = c;
  }
  for (const auto& c : to)
    if (auto it = before.find(c->campaign.id); it != before.end() && it->second == c)
      changed.erase(c->campaign.id);
    else
      changed[c->campaign.id] = c;
  model::campaigns_change made{number, false, {}};
  for (auto& [id, now] : changed)
    made.items.push_back({id, std::move(now)});
  return made;
}

} // namespace candor::test
