#include "actors/ad_matching/refusals.hpp"

namespace candor::ad_matching {

std::int64_t reserve_of(const page& on) {
  return std::max(reserve_micros, on.floor_micros);
}

bool advertises(const model::live_campaign& c, std::string_view blocked) {
  return c.advertiser == blocked || std::ranges::any_of(c.domains, [&](const auto& domain) {
           return model::lies_in(domain, blocked);
         });
}

std::vector<const model::creative*> creatives_for(const page& on, const model::campaign& campaign) {
  std::vector<const model::creative*> taken;
  for (const auto& x : campaign.creatives)
    if (takes(on, x))
      taken.push_back(&x);
  return taken;
}

} // namespace candor::ad_matching
