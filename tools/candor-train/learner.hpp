/// Learns the network of actors/topic_filter/classifier.hpp from samples: minibatches, Adam for
/// what is dense, AdaGrad for the rows of letter groups (Kingma and Ba 2015; Duchi et al. 2011).
/// One thread, every sum in a fixed order, all chance from one seed: the same samples give the same
/// bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "actors/topic_filter/classifier.hpp"
#include "tools/candor-train/vectors.hpp"

namespace candor::train {

/// A word as the learner knows it.
struct unit {
  std::int64_t vector = -1;          ///< place among the word vectors, or none
  std::vector<std::uint32_t> groups; ///< rows of letter groups, the word's own among them
  std::uint64_t key = 0;             ///< under which the network finds it
  float weight = 1; ///< of its row: little for words that every other sentence holds
  bool kept = true; ///< has a row of its own in the network
};

struct sample {
  std::vector<std::uint32_t> units;
  std::vector<std::pair<std::uint16_t, float>> lexical; ///< what is not zero
  topic_filter::wording how = topic_filter::wording::english;
  bool sensitive = false;
  std::uint16_t categories = 0; ///< that it is to be found for
  std::uint16_t open = 0;       ///< that nothing is known of
  int topic = -1;               ///< 0..23, 24: of none; -1: not to be learned from
  float weight = 1;
};

struct learning {
  std::uint64_t seed = 1;
  int epochs = 7;
  std::size_t batch = 128;
  float rate = 0.005F;      ///< of Adam
  float group_rate = 0.15F; ///< of AdaGrad
  // Share of words that a pass leaves out; more where an interest is taught: most of its words say
  // something of it, and none should be needed (Iyyer et al. 2015).
  float word_drop = 0.1F, word_drop_interest = 0.25F;
  float topic_doubt = 0.1F; ///< of a topic's label, spread over all (Szegedy et al. 2016)
  float hidden_drop = 0.1F;
  float lexical_drop = 0.5F; ///< share of samples whose lexical features are left out
  float vector_drop = 0.08F; ///< share of words with a vector that are read by letter groups
  float decay = 0.05F;       ///< of weights, decoupled
};

/// `groups` is a power of two. What it returns lacks `made_of` and thresholds.
topic_filter::network learn(const std::vector<sample>& samples, const std::vector<unit>& units,
                            const word_vectors& vectors, std::size_t groups, const learning& how);

} // namespace candor::train
