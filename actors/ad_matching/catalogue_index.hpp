/// The one index of a node's catalogue, for all who match: follows the catalogue in place and,
/// when an edition (index_edition.hpp) is worn, makes the next one on a thread of its own.
///
/// Guarantees: a decision waits neither for a follower nor for a making; the answers (index_reader)
/// are those of `match` and `standing` over the catalogue that was followed, whichever edition is
/// asked. Must never be asked for an edition that is kept: take it anew for each decision.
#pragma once

#include <atomic>
#include <thread>

#include "actors/ad_matching/index_edition.hpp"

namespace candor::ad_matching {

class catalogue_index {
public:
  catalogue_index();
  /// Waits for a making that is under way.
  ~catalogue_index();

  /// Takes over what changed since the last one; when it returns, decisions see it. From any
  /// thread, in the order of the catalogues. May wait for a new edition to take over what changed
  /// while it was made.
  void follow(const std::shared_ptr<const model::catalogue>& newest);

  std::shared_ptr<const index_edition> edition() const;
  std::shared_ptr<const model::catalogue> followed() const;

  /// How many editions there were.
  std::size_t times_made() const noexcept { return times_made_.load(std::memory_order_relaxed); }
  bool is_making() const noexcept { return making_.load(std::memory_order_relaxed); }

private:
  void make(std::shared_ptr<const model::catalogue> of);

  std::mutex writing_;        ///< who follows, and who puts a new edition in its place
  mutable std::mutex newest_; ///< for the copy of a pointer
  std::shared_ptr<index_edition> edition_;
  std::shared_ptr<const model::catalogue> followed_;
  std::thread maker_;
  std::atomic<bool> making_{false}, stopping_{false};
  std::atomic<std::size_t> times_made_{1};
};

} // namespace candor::ad_matching
