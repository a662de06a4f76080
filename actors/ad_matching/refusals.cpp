#include "actors/ad_matching/refusals.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace candor::ad_matching {

namespace {

bool among(const std::vector<std::string>& all, std::string_view x) {
  return std::ranges::find(all, x) != all.end();
}

/// A blocked domain blocks those under it: example.org also shop.example.org.
bool lies_in(std::string_view host, std::string_view domain) {
  return host == domain || (host.size() > domain.size() && host.ends_with(domain) &&
                            host[host.size() - domain.size() - 1] == '.');
}

/// Any creative's address counts: which one would be shown is not chosen yet.
bool advertises(const model::campaign& c, const std::string& blocked) {
  return c.advertiser == blocked || std::ranges::any_of(c.creatives, [&](const auto& x) {
           return lies_in(model::host_of(x.url), blocked);
         });
}

} // namespace

std::int64_t reserve_of(const page& on) {
  return std::max(reserve_micros, on.floor_micros);
}

std::vector<const model::creative*> creatives_for(const page& on, const model::campaign& campaign) {
  std::vector<const model::creative*> taken;
  for (const auto& x : campaign.creatives)
    if (on.wlang.empty() || among(on.wlang, x.lang))
      taken.push_back(&x);
  return taken;
}

objection refused_by(const page& on, const model::campaign& c) {
  if (auto reserve = reserve_of(on); c.bid_micros < reserve)
    return {"under_reserve", fmt::format("bids {}, the reserve is {}", c.bid_micros, reserve)};
  for (const auto& blocked : on.badv)
    if (advertises(c, blocked))
      return {"advertiser_blocked", blocked};
  for (const auto& t : c.relevance)
    if (auto slug = model::info(t.topic).slug; among(on.bcat, slug))
      return {"topic_blocked", std::string{slug}};
  if (!on.wlang.empty() && creatives_for(on, c).empty())
    return {"language_blocked", "no creative is stated to be in a language that the page takes"};
  return {};
}

} // namespace candor::ad_matching
