/// The one index of a node's campaigns, for all who match: follows their changes in place and, when
/// an edition (index_edition.hpp) is worn, makes the next one. A small one is made where it is
/// followed, which takes milliseconds; a larger one on a thread of its own.
///
/// Guarantees: a decision waits neither for a follower nor for a making; the answers (index_reader)
/// are those of `match` and `standing` over the campaigns that were followed, whichever edition is
/// asked; no change is passed over unseen. Must never be asked for an edition that is kept: take it
/// anew for each decision.
#pragma once

#include <atomic>
#include <thread>

#include "actors/ad_matching/index_edition.hpp"

namespace candor::ad_matching {

class catalogue_index {
public:
  static constexpr std::size_t at_once_most = 4096;
  static constexpr std::size_t no_thread = ~std::size_t{0}; ///< as the simulator needs it

  /// Up to so many campaigns an edition is made where it is followed.
  explicit catalogue_index(std::size_t at_once = at_once_most);
  /// Waits for a making that is under way.
  ~catalogue_index();

  /// Takes a change over; when it returns, decisions see it. False: it is not the one after the
  /// last, and nothing of it was taken (model::campaigns_follower). In the product the catalogue
  /// calls this itself, change after change, so that none is lost; it is checked all the same,
  /// since a campaign that was passed over would be shown and charged wrongly until the node ends.
  /// A whole is also how an index is filled at once. From any thread, in order. May wait for a part
  /// of what a new edition has to take over, never for its making beside.
  bool follow(const model::campaigns_change& change);

  std::shared_ptr<const index_edition> edition() const;
  /// The number of the last change.
  std::uint64_t followed() const noexcept { return followed_.load(std::memory_order_relaxed); }

  /// How many editions there were.
  std::size_t times_made() const noexcept { return times_made_.load(std::memory_order_relaxed); }
  /// One is made beside, or the one before it is taken apart.
  bool is_making() const noexcept { return making_.load(std::memory_order_relaxed); }

private:
  using changes = std::vector<model::campaigns_change>;

  std::size_t room_for(std::size_t campaigns) const;
  void begin_making();
  void make_at_once();
  void make_beside();
  model::campaign_list all_by_parts();
  bool catch_up(index_edition& made);
  std::shared_ptr<index_edition> put(std::shared_ptr<index_edition> made);

  const std::size_t at_once_;
  std::mutex writing_;        ///< who follows, and who puts a new edition in its place
  mutable std::mutex newest_; ///< for the copy of a pointer
  std::shared_ptr<index_edition> edition_;
  changes since_;           ///< what was followed since a making beside began
  bool collecting_ = false; ///< it did, and the edition that it makes is not asked yet
  std::thread maker_;
  std::atomic<std::uint64_t> followed_{0};
  std::atomic<bool> making_{false}, stopping_{false};
  std::atomic<std::size_t> times_made_{1};
};

} // namespace candor::ad_matching
