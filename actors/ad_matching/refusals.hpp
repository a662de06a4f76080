/// What a page refuses of a campaign: its advertiser, its topics, the language of its creatives,
/// and a bid under the page's floor. One rule for every path that decides (auction, why not,
/// index). Pure. Must never depend on the person.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "actors/ad_matching/match.hpp"
#include "storage/model/domain.hpp"

namespace candor::ad_matching {

/// An objection with its detail, for who asks why not.
struct in_words {
  template <class Detail>
  objection operator()(std::string_view code, Detail detail) const {
    return {std::string{code}, detail()};
  }
  objection nothing() const { return {}; }
};

/// Only that there is one: the detail's text is not made.
struct in_silence {
  template <class Detail>
  bool operator()(std::string_view, Detail) const {
    return true;
  }
  bool nothing() const { return false; }
};

/// The least that this page's places are sold for: its floor, or the house's reserve.
std::int64_t reserve_of(const page& on);

inline bool among(const std::vector<std::string>& all, std::string_view x) {
  return std::ranges::find(all, x) != all.end();
}

/// Any creative's address counts: which one would be shown is not chosen yet.
bool advertises(const model::live_campaign& c, std::string_view blocked);

/// A creative that the page takes.
inline bool takes(const page& on, const model::creative& x) {
  return on.wlang.empty() || among(on.wlang, x.lang);
}

/// `under_reserve`, `advertiser_blocked`, `topic_blocked` or `language_blocked`, or nothing.
template <class Tell>
auto objects_of_page(const page& on, const model::live_campaign& live, Tell tell)
    -> decltype(tell.nothing()) {
  const auto& c = live.campaign;
  if (auto reserve = reserve_of(on); c.bid_micros < reserve)
    return tell("under_reserve",
                [&] { return fmt::format("bids {}, the reserve is {}", c.bid_micros, reserve); });
  for (const auto& blocked : on.badv)
    if (advertises(live, blocked))
      return tell("advertiser_blocked", [&] { return blocked; });
  if (!on.bcat.empty())
    for (const auto& t : c.relevance)
      if (auto slug = model::info(t.topic).slug; among(on.bcat, slug))
        return tell("topic_blocked", [&] { return std::string{slug}; });
  if (!on.wlang.empty() &&
      std::ranges::none_of(c.creatives, [&](const auto& x) { return takes(on, x); }))
    return tell("language_blocked", [] {
      return std::string{"no creative is stated to be in a language that the page takes"};
    });
  return tell.nothing();
}

/// The creatives that the page takes.
std::vector<const model::creative*> creatives_for(const page& on, const model::campaign& campaign);

} // namespace candor::ad_matching
