/// One making of the index of campaigns over a list of them, and its following of what changes in
/// that, in place. catalogue_index has the edition that is asked, and makes another when this one
/// is worn; index_reader asks it.
///
/// Guarantees: one writer at a time; a change costs what it changes; who matches takes no lock and
/// waits for nobody; each sees a campaign as it was before a change or as it is after it, never
/// half of it (while its targeting changes it may be absent for a moment, never there twice). What
/// has no room here waits aside (`waiting`) and is evaluated one by one: slower, never wrong. Must
/// never forget what it once held: readers may still look at it, so what was replaced lives as long
/// as the edition.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "actors/ad_matching/index/ad_index.hpp"
#include "actors/ad_matching/match.hpp"
#include "actors/ad_matching/word_numbers.hpp"

namespace candor::ad_matching {

class index_edition {
public:
  using live = std::shared_ptr<const model::live_campaign>;

  /// `room`: for so many later ones.
  index_edition(const model::campaign_list& of, std::size_t room);

  // By the one writer.

  void follow(const model::campaigns_change& change);

  /// So much was changed, or so much waits, that a new edition is worth its making.
  bool is_worn() const noexcept;
  std::size_t size() const noexcept { return entries_.size(); }
  std::size_t size_when_made() const noexcept { return size_when_made_; }
  /// Up to `n` whose ids are above `id`.
  model::campaign_list campaigns_after(std::string_view id, std::size_t n) const;

  // By readers, in this order.

  /// What is not in the index. Null: nothing.
  std::shared_ptr<const model::campaign_list> waiting() const;
  index::request to_request(const ad_request& asked, const model::targeting::attributes& of) const;
  const index::ad_index& index() const noexcept { return *index_; }
  /// Whose place the index found.
  const live& at(std::size_t slot) const noexcept {
    return *by_slot_[slot].load(std::memory_order_acquire);
  }
  /// The campaign of that id; null: there is none. (Takes a lock, for as long as one change does.)
  live find(std::string_view id) const;
  /// The bid * quality that the index ranks it by.
  static std::uint64_t base_of(const model::live_campaign& c) noexcept;

private:
  static constexpr std::uint32_t no_slot = 0xffffffff;

  /// Places rise with the campaigns' ids (ties go to the lower one), with gaps for later ones.
  struct entry {
    std::uint64_t place = 0;
    const live* campaign = nullptr; ///< in kept_
    std::uint32_t slot = no_slot;   ///< none: it waits
    bool sensitive = false;         ///< it names what is no interest: takes no part
  };
  /// By id, which lies in kept_.
  using entries = std::map<std::string_view, entry>;

  void take(std::string_view id, const live& now);
  entries::iterator drop(entries::iterator it);
  const live* keep(const live& c);
  std::optional<index::campaign> translate(const entry& e);
  void change(entry& e, const live& c);
  void replace(entry& e, const live& c, std::uint64_t after);
  void place(entry& e, std::uint64_t at);
  void leave(const entry& e);
  void set_waiting(const entry& e, bool waits);
  void publish_waiting();

  entries entries_;
  mutable std::mutex entries_mutex_; ///< for one change, and for who asks for one by its id
  std::deque<live> kept_;            ///< never move
  std::size_t changes_ = 0, size_when_made_ = 0;
  std::map<std::string_view, const live*> waits_;
  bool waiting_changed_ = false;

  word_numbers words_;
  std::unique_ptr<index::ad_index> index_;
  std::vector<std::atomic<const live*>> by_slot_;
  std::atomic<bool> some_wait_{false};
  mutable std::mutex waiting_mutex_; ///< taken only while some wait, for the copy of a pointer
  std::shared_ptr<const model::campaign_list> waiting_;
};

} // namespace candor::ad_matching
