/// Ranks content for a person, or for a stranger by language and age alone. Pure, integers only.
///
///     score = relevance * freshness
///
/// with relevance as an ad's (256..1279) and freshness halving every week.
/// Guarantees: an item is shown only where its regions allow. Must never see an event or a text.
#pragma once

#include <string>
#include <vector>

#include "storage/model/relevance.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::recommendation {

struct reader {
  std::string country, lang;  ///< empty: not known
  model::interests interests; ///< that may serve content
};

struct ranked {
  std::shared_ptr<const model::content_item> item;
  std::int64_t score = 0;
  std::vector<model::topic_id> topics; ///< that made it relevant
};

/// The best `k`. What is in the reader's language comes before what is not; ties go to the newer,
/// then to the lower id. Items of the future are left out.
std::vector<ranked> rank(const model::catalogue& all, const reader& who, timestamp now,
                         std::size_t k);

} // namespace candor::recommendation
