/// A reading that undoes what hides an English word and no table of letters can: words glued
/// together, letters swapped or repeated, vowels left out, a sign within. It asks which words
/// exist, so it needs the classifier's vocabulary. Between the normalizer and the finder. Only
/// words that nobody knows are touched, and pairs of a rare one and a neighbour that are a far more
/// frequent one together; what is made of one stands for all of its letters. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "actors/topic_filter/classifier.hpp"
#include "actors/topic_filter/normalizer.hpp"

namespace candor::topic_filter {

class mender {
public:
  struct workspace {
    std::vector<float> cost;          ///< of the best split of a word's first letters
    std::vector<std::uint8_t> length; ///< of its last part
  };

  /// `model` outlives it.
  explicit mender(const classifier& model);

  /// False where nothing was mended; `to` is then of no use.
  bool read(const view& from, view& to, workspace& w) const;

private:
  struct skeleton {
    std::uint64_t hash = 0; ///< of the word without its vowels but the first letter
    std::uint32_t place = 0;
    std::uint8_t bytes = 0; ///< of the word at `place` in `letters_`; 0: empty
  };
  std::string_view restored(std::string_view word) const;

  const classifier& model_;
  std::vector<skeleton> skeletons_; ///< a power of two
  std::string letters_;
};

} // namespace candor::topic_filter
