#include "storage/model/targeting/catalogue.hpp"

#include <algorithm>

#include "storage/model/domain.hpp"

namespace candor::model {

live_campaign::live_campaign(model::campaign of, targeting::expression wanted)
  : campaign{std::move(of)}
  , wants{std::move(wanted)}
  , advertiser{canonical_domain(campaign.advertiser)} {
  for (const auto& c : campaign.creatives)
    if (auto domain = host_of(c.url); std::ranges::find(domains, domain) == domains.end())
      domains.push_back(std::move(domain));
}

} // namespace candor::model
