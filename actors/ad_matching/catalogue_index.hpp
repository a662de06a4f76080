/// The index over a node's catalogue: which campaigns win a decision, as `match` (match.hpp) says,
/// without evaluating every campaign. Follows the catalogue by what changed in it; is made anew
/// once a quarter was added. Belongs to one ad_matching_actor; several share nothing.
///
/// Guarantees: the winners, prices and standings are those of `match` and `standing` over the same
/// catalogue. What the index does not know of (schedules, caps, what is hidden, blocked or without
/// money) is asked of every campaign that could enter the best, by the rules of match.cpp.
#pragma once

#include <unordered_map>

#include "actors/ad_matching/index/ad_index.hpp"
#include "actors/ad_matching/match.hpp"

namespace candor::ad_matching {

class catalogue_index {
public:
  catalogue_index();

  /// Takes over what changed since the last one.
  void follow(const std::shared_ptr<const model::catalogue>& newest);

  std::vector<winner> match(const ad_request& asked, std::size_t k);
  objection standing(const ad_request& asked, const std::string& id, std::size_t k);

  std::size_t times_made() const noexcept { return times_made_; }

private:
  /// In the order of the catalogue. Places rise with the campaigns' ids, with gaps for later ones.
  struct entry {
    std::uint64_t place = 0;
    std::shared_ptr<const model::live_campaign> campaign;
    bool sensitive = false; ///< it names what is no interest: takes no part
  };

  static bool same_wish(const entry& a, const model::live_campaign& b);
  index::campaign translate(const entry& e);
  std::int64_t number_of(model::targeting::attribute a, const std::string& word);
  void make();
  bool change(std::vector<entry>& next);
  const entry& at_place(std::uint64_t place) const;
  index::request to_request(const ad_request& asked, const model::targeting::attributes& of) const;
  std::vector<const entry*> best(const ad_request& asked, const model::targeting::attributes& of,
                                 std::size_t k);

  std::shared_ptr<const model::catalogue> followed_;
  std::vector<entry> entries_;
  std::array<std::unordered_map<std::string, std::int64_t>, model::targeting::attribute_count>
      words_;
  std::unique_ptr<index::ad_index> index_;
  index::searcher search_;
  std::size_t size_when_made_ = 0, times_made_ = 0;
};

} // namespace candor::ad_matching
