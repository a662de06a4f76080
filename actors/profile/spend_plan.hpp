/// How an evenly paced campaign spends its day: a plan by the forecast of each hour's traffic, made
/// anew every five minutes from what is left. Part of the campaign's ledger. Pure, integers only.
///
///     plan of a slot = (daily budget - spent before it) * traffic of the slot
///                      / traffic from it to the end of the day or of the schedule
///
/// so that what was not spent while nobody came is spread over the rest of the day and not spent at
/// once (feedback against a forecast, as Lee et al., ADKDD 2013, describe for display ads). Within
/// a slot money is set free as time goes on, a dozen impressions ahead of it: they come in no even
/// row, and what a lull at the slot's end leaves is lost to it. Of what a slot leaves, a fiftieth
/// of its plan goes on to the next, or the price of two impressions, so that a small budget gathers
/// it.
///
/// The forecast of an hour (UTC) is a mean of the days before, the newest counting at least a
/// quarter; no hour counts for less than a quarter of an even share, so that one without traffic
/// yesterday can still spend today.
///
/// Guarantees: what is free never goes back within a slot while nothing is spent, and over a whole
/// day is the daily budget at most. Must never be asked for a moment before an earlier one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::profile {

inline constexpr std::size_t slots_of_day = 24 * 12;
inline constexpr millis slot_length = std::chrono::minutes{5};

/// Traffic by hour (UTC), as parts of 24 000; even at first.
class traffic_forecast {
public:
  traffic_forecast() { share_.fill(even); }

  /// Decisions that somebody saw in this hour of today.
  void count(std::size_t hour, std::int64_t decisions);
  /// The day is over: what was counted becomes part of the forecast, where it is enough to tell.
  void end_day();

  /// Of a slot: that of its hour, drawn evenly towards the hours beside it, in parts of 24 000 a
  /// slot length.
  std::int64_t at(std::size_t slot) const;

  void encode(std::string& to) const;
  static constexpr std::size_t encoded_bytes = 24 * 2 * 4 + 4;
  static traffic_forecast decode(std::string_view bytes); ///< of `encoded_bytes`

  friend bool operator==(const traffic_forecast&, const traffic_forecast&) = default;

private:
  static constexpr std::uint32_t even = 1000;
  std::array<std::uint32_t, 24> share_{};
  std::array<std::uint32_t, 24> counted_{}; ///< today
  std::uint32_t days_ = 0;                  ///< learned from, up to four
};

class spend_plan {
public:
  struct day_so_far {
    std::int64_t daily = 0; ///< budget
    std::int64_t spent = 0; ///< of it
    std::int64_t bid = 0;   ///< the most that an impression costs
    timestamp end;          ///< of the schedule
  };
  /// What may be spent of the day's money up to `now`, what is spent included. Makes a plan anew
  /// where a slot began.
  std::int64_t free_until(timestamp now, const day_so_far& day, const traffic_forecast& traffic);

  /// Of the slot that the last call was in.
  std::int64_t planned_before() const { return before_; }
  std::int64_t planned() const { return planned_; }

  void encode(std::string& to) const;
  static constexpr std::size_t encoded_bytes = 4 * 8;
  static spend_plan decode(std::string_view bytes); ///< of `encoded_bytes`

  friend bool operator==(const spend_plan&, const spend_plan&) = default;

private:
  std::int64_t slot_ = -1;   ///< since 1970
  std::int64_t before_ = 0;  ///< spent of the day before the slot
  std::int64_t planned_ = 0; ///< for the slot
  std::int64_t carried_ = 0; ///< from the slots before
};

} // namespace candor::profile
