/// `candor-bench match --explain N`: what a decision and its explanations cost over the node's
/// index (actors/ad_matching/index_reader.hpp) of N generated campaigns in the product's own
/// language: the best ten with price and reasons, why an ad was shown, why a named campaign was
/// not; beside their targets. And what it costs to take over a catalogue in which something
/// changed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/base/error.hpp"

namespace candor::bench {

struct explain_options {
  std::size_t campaigns = 100'000;
  std::uint64_t seed = 1;
  bool json = false; ///< figures as one object
};

/// Figures go to stderr, as those of `match`.
result<void> run_explain(const explain_options& options);

} // namespace candor::bench
