/// `candor-bench feed`: the recommendation's core (actors/recommendation/rank) on generated
/// behaviour, offline, beside what is most popular and what is random. Every way of ranking lives
/// in a world of its own with the same people and items, and learns from what its people click.
///
/// People have tastes (a few topics of a Zipf distribution), publishers lean to some topics, items
/// have a quality that no ranking is told; a person clicks with a probability that rises with
/// taste, quality and freshness. Deterministic for a seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::bench {

struct feed_options {
  std::size_t people = 200;
  std::size_t items = 2000; ///< over all days
  std::size_t days = 20;    ///< a session a day for everybody
  std::size_t places = 10;
  std::int64_t likeness_tenths = -1; ///< of MMR, 0 to 10; -1: as the product has it
  std::uint64_t seed = 1;
  bool json = false;
};

/// Means over all sessions.
struct feed_figures {
  std::string ranking;
  double ndcg = 0;       ///< of the probability of a click; what was shown before is worth nothing
  double first_ndcg = 0; ///< of everybody's first session: nothing is known of them
  double coverage = 0;   ///< part of the items that anybody was shown
  double repetition = 0; ///< part of what was shown that the person had been shown before
  double variety = 0;    ///< 1 - the mean likeness of two items of a feed
  double clicks = 0;     ///< of a session
};

std::vector<feed_figures> evaluate_feed(const feed_options& options);

/// Prints them.
result<void> run_feed(const feed_options& options);

} // namespace candor::bench
