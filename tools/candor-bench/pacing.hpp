/// `candor-bench pacing`: an evenly paced campaign over some days, second by second, with the very
/// ledgers of the product (actors/profile: budget_ledger lends, spend_table of each shard spends),
/// against a curve of the day's traffic with a step in it. Deterministic for a seed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::bench {

struct pacing_options {
  std::size_t days = 4;   ///< the forecast learns from those before the last, which is measured
  std::size_t shards = 8; ///< of people
  std::int64_t daily_micros = 100'000'000'000;
  std::int64_t price_micros = 400'000; ///< the mean; half to one and a half of it
  double demand = 2;                   ///< decisions that would win, in parts of the plan's need
  double step = 0.6;                   ///< from 15:00 on the last day, traffic is this part
  std::uint64_t seed = 1;
  std::string svg; ///< a file to draw to; empty: none
  bool json = false;
};

struct pacing_slot {
  std::int64_t planned = 0, spent = 0; ///< micros within the slot
  std::int64_t wished = 0;             ///< what the decisions of the slot could have cost
  /// A tenth more than the plan, so that chance within the slot can be made up for.
  bool demand_lasts() const { return wished * 10 >= planned * 11; }
};

struct pacing_figures {
  std::vector<pacing_slot> slots; ///< of the last day
  std::size_t lasting = 0;        ///< slots in which demand lasts
  std::size_t within = 0;         ///< of them: spent within 2 % of plan
  double spent_of_day = 0;        ///< part of the daily budget
  std::int64_t overspent = 0;     ///< micros above the daily budget or what was lent, on any day
  double stranded = 0; ///< part of the day's budget lent and not spent when the day was over
};

pacing_figures simulate_pacing(const pacing_options& options);

/// Prints the figures and draws. Error: `io_failed`; `conflict` where pacing missed its aim.
result<void> run_pacing(const pacing_options& options);

} // namespace candor::bench
