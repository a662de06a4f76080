/// Asks the node's index of campaigns: which of them win a decision, and where one would stand.
/// Each ad_matching_actor has one of its own; what they ask is shared.
///
/// Guarantees: the winners, prices and standings are those of `match` and `standing` (match.hpp)
/// over the same catalogue; beside a follower, over one in which each campaign is as before or as
/// after its change. What the index does not know of (schedules, caps, what is hidden, blocked or
/// without money) is asked of every campaign that could enter the best, by the rules of match.cpp.
/// Must never be used from two threads at once.
#pragma once

#include "actors/ad_matching/catalogue_index.hpp"

namespace candor::ad_matching {

class index_reader {
public:
  /// `of` must outlive the reader.
  explicit index_reader(const catalogue_index& of)
    : of_{of} {}

  std::vector<winner> match(const ad_request& asked, std::size_t k);
  objection standing(const ad_request& asked, const std::string& id, std::size_t k);

private:
  using live = index_edition::live;
  std::vector<live> best(const ad_request& asked, const model::targeting::attributes& of,
                         std::size_t k);

  const catalogue_index& of_;
  index::searcher search_;
  std::vector<std::pair<std::size_t, const live*>> admitted_; ///< by slot, in the order of asking
};

} // namespace candor::ad_matching
