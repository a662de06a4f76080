#include "actors/ad_matching/index_reader.hpp"

#include <algorithm>

namespace candor::ad_matching {

namespace {

constexpr auto rounds_max = 16; ///< of asking again because a bid was changed in that moment

} // namespace

/// The first k and one more of the index, and what waits beside it; not in order.
std::vector<index_reader::live>
index_reader::best(const ad_request& asked, const model::targeting::attributes& of, std::size_t k) {
  auto edition = of_.edition();
  std::vector<live> found;
  for (auto round = 1;; ++round) {
    found.clear();
    admitted_.clear();
    auto torn = false;
    // Before the index is asked: what leaves it to wait here is then seen once at most.
    auto waiting = edition->waiting();
    auto request = edition->to_request(asked, of);
    auto admits = [&](std::size_t slot, std::uint64_t base) {
      const auto& c = edition->at(slot);
      if (index_edition::base_of(*c) != base) {
        torn = true;
        return false;
      }
      if (is_kept_away(*c, asked))
        return false;
      admitted_.emplace_back(slot, &c);
      return true;
    };
    const auto& best = search_.best(edition->index(), request, k, admits).best;
    // In the last round what is changed in this very moment is left out.
    if (torn && round < rounds_max)
      continue;
    for (const auto& x : best)
      found.push_back(*std::ranges::find(admitted_.rbegin(), admitted_.rend(), x.slot,
                                         &decltype(admitted_)::value_type::first)
                           ->second);
    if (waiting)
      std::ranges::copy_if(*waiting, std::back_inserter(found),
                           [&](const live& c) { return !why_not(*c, asked, of); });
    return found;
  }
}

std::vector<winner> index_reader::match(const ad_request& asked, std::size_t k) {
  auto of = attributes_of(asked.who, asked.on, asked.now);
  return winners_of(best(asked, of, k), asked, of, k);
}

objection index_reader::standing(const ad_request& asked, const std::string& id, std::size_t k) {
  auto own = of_.edition()->find(id);
  if (!own)
    return not_found();
  auto of = attributes_of(asked.who, asked.on, asked.now);
  if (auto found = why_not(*own, asked, of))
    return found;
  auto eligible = best(asked, of, k);
  // (It may have been changed since.)
  std::erase_if(eligible, [&](const live& c) { return c->campaign.id == id; });
  eligible.push_back(own);
  return standing_among(eligible, asked, id, k);
}

} // namespace candor::ad_matching
