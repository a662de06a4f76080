/// A training from its inputs to the bytes of a model: expands the corpus, reads each sentence as a
/// node would, holds a part out, learns, and chooses thresholds on what was held out. Guarantees:
/// the same inputs and seed give the same model.
#pragma once

#include <filesystem>
#include <string>

#include "storage/base/error.hpp"
#include "tools/candor-train/learner.hpp"

namespace candor::train {

struct course {
  std::filesystem::path corpus, lexicon;
  std::filesystem::path vectors;        ///< empty: none
  std::filesystem::path wordnet;        ///< folder of its files; empty: none
  std::filesystem::path wordnet_choice; ///< what of it is meant
  std::size_t samples = 80'000;         ///< about how many to make
  std::size_t groups = 1 << 17;         ///< rows of letter groups
  unsigned wordnet_share = 4;           ///< one of its harmless texts in so many is learned from
  unsigned lexicon_share = 6;           ///< one of its terms in so many is learned from
  // Shares of clean held-out sentences that may be withheld: in English, where there are vectors,
  // and in other languages, where the classifier knows less and the lexicon decides more.
  double false_alarms = 0.03, false_alarms_other = 0.004;
  learning how;
};

/// Two files' bytes.
struct made_files {
  std::string model;
  std::string compiled_lexicon; ///< for this processor; beside the model (scan_file.hpp)
};

/// Error: `config_invalid`.
result<made_files> hold(const course& c);

} // namespace candor::train
