/// The words that campaigns name, as the integers that the index works with: one table for all
/// attributes, grown by the one writer and read beside it without a lock.
///
/// Guarantees: a word keeps its number; who saw a campaign that was added later finds its words
/// too. Must never take a word away: a table lives as long as the index that it is made for.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/targeting/schema.hpp"

namespace candor::ad_matching {

class word_numbers {
public:
  word_numbers();

  std::optional<std::int64_t> find(model::targeting::attribute a,
                                   std::string_view word) const noexcept;

  /// By the writer. Nothing: there is no room for another word.
  std::optional<std::int64_t> number_of(model::targeting::attribute a, std::string_view word);

  /// From now on others read: there is room for so many more words, and no more is made.
  void open(std::size_t more);

private:
  struct word {
    model::targeting::attribute of;
    std::string text;
    std::int64_t number;
  };
  std::size_t place_of(model::targeting::attribute a, std::string_view word) const noexcept;
  void grow(std::size_t places);

  std::deque<word> words_; ///< never move
  std::array<std::int64_t, model::targeting::attribute_count> counts_{};
  std::vector<std::atomic<const word*>> places_; ///< by hash, at most half full
  bool open_ = false;
};

} // namespace candor::ad_matching
