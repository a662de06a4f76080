/// One making of the index of campaigns over a catalogue, and its following of later catalogues in
/// place, by what changed in them. catalogue_index has the edition that is asked, and makes
/// another beside it when this one is worn; index_reader asks it.
///
/// Guarantees: one writer at a time; readers take no lock and wait for nobody; each sees a campaign
/// as it was before a change or as it is after it, never half of it (while its targeting changes it
/// may be absent for a moment, never there twice). What has no room here waits aside
/// (`waiting`) and is evaluated one by one: slower, never wrong. Must never forget what it once
/// held: readers may still look at it, so what was replaced lives as long as the edition.
#pragma once

#include <atomic>
#include <deque>
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

  explicit index_edition(const std::shared_ptr<const model::catalogue>& of);

  // By the one writer.

  /// Takes over what changed since the last one. Walks over all campaigns, by their pointers.
  void follow(const std::shared_ptr<const model::catalogue>& newest);
  const std::shared_ptr<const model::catalogue>& followed() const noexcept { return followed_; }

  /// So much was changed, or so much waits, that a new edition is worth its making.
  bool is_worn() const noexcept;

  // By readers, in this order.

  /// What is not in the index. Null: nothing.
  std::shared_ptr<const std::vector<live>> waiting() const;
  index::request to_request(const ad_request& asked, const model::targeting::attributes& of) const;
  const index::ad_index& index() const noexcept { return *index_; }
  /// Whose place the index found.
  const live& at(std::size_t slot) const noexcept {
    return *by_slot_[slot].load(std::memory_order_acquire);
  }
  /// The bid * quality that the index ranks it by.
  static std::uint64_t base_of(const model::live_campaign& c) noexcept;

private:
  static constexpr std::uint32_t no_slot = 0xffffffff;

  /// In the order of the catalogue. Places rise with the campaigns' ids (ties go to the lower one),
  /// with gaps for later ones.
  struct entry {
    std::uint64_t place = 0;
    const live* campaign = nullptr; ///< in kept_
    std::uint32_t slot = no_slot;   ///< none: it waits
    bool sensitive = false;         ///< it names what is no interest: takes no part
  };

  const live* keep(const live& c);
  std::optional<index::campaign> translate(const entry& e);
  void change(entry& e, const live& c);
  void replace(entry& e, const live& c, std::uint64_t after);
  void place(entry& e, std::uint64_t at);
  void leave(const entry& e);
  void publish_waiting();

  std::shared_ptr<const model::catalogue> followed_;
  std::vector<entry> entries_;
  std::deque<live> kept_; ///< never move
  std::size_t changes_ = 0, size_when_made_ = 0;
  bool waiting_changed_ = false;

  word_numbers words_;
  std::unique_ptr<index::ad_index> index_;
  std::vector<std::atomic<const live*>> by_slot_;
  std::atomic<bool> some_wait_{false};
  mutable std::mutex waiting_mutex_; ///< taken only while some wait, for the copy of a pointer
  std::shared_ptr<const std::vector<live>> waiting_;
};

} // namespace candor::ad_matching
