/// What a page refuses of a campaign: its advertiser, its topics, the language of its creatives,
/// and a bid under the page's floor. One rule for every path that decides (auction, why not,
/// index). Pure. Must never depend on the person.
#pragma once

#include <string_view>
#include <vector>

#include "actors/ad_matching/match.hpp"

namespace candor::ad_matching {

/// `under_reserve`, `advertiser_blocked`, `topic_blocked` or `language_blocked`; empty: nothing.
objection refused_by(const page& on, const model::campaign& campaign);

/// The least that this page's places are sold for: its floor, or the house's reserve.
std::int64_t reserve_of(const page& on);

/// The creatives that the page takes.
std::vector<const model::creative*> creatives_for(const page& on, const model::campaign& campaign);

} // namespace candor::ad_matching
