/// How relevant a campaign or a content item is to a person. Integers only.
///
///     relevance = 256 + min(1023, (sum of weight_item * weight_person) >> 8)
#pragma once

#include <cstdint>
#include <vector>

#include "storage/model/campaign.hpp"
#include "storage/model/impression.hpp"
#include "storage/model/relevance_range.hpp"

namespace candor::model {

/// What a person is interested in, 1..255 each; ascending by topic.
using interests = std::vector<topic_strength>;

/// 256..1279. Both ascending by topic.
std::uint32_t relevance(const std::vector<topic_strength>& of, const interests& to);

/// A topic's sources added, to a bound. `topics` is ascending by topic.
interests strengths_of(const std::vector<topic_used>& topics);

} // namespace candor::model
