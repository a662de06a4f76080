/// Two other ways to match, to be measured beside the index in the same run: a plain loop over the
/// parsed expressions, and a counting index of the k-index family (Whang et al., Indexing Boolean
/// Expressions, VLDB 2009). Never part of the product.
/// Guarantees: both give the count of matches and the best as the index does.
#pragma once

#include <memory>

#include "actors/ad_matching/index/ad_index.hpp"
#include "tools/candor-bench/match/match_folder.hpp"

namespace candor::bench {

class match_peer {
public:
  virtual ~match_peer() = default;
  virtual const ad_matching::index::matched& ask(const ad_matching::index::request& asked,
                                                 std::size_t k) = 0;
};

/// Both refer to `folder`.
std::unique_ptr<match_peer> make_plain_loop(const match_folder& folder);
std::unique_ptr<match_peer> make_counting_index(const match_folder& folder);

} // namespace candor::bench
