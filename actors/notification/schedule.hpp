/// When a notice may go out: quiet hours, the waits between attempts, and the rate.
/// Where it stands: the notification room asks before it sends a mail; notices in the app are bound
/// by none of it. Pure: time comes in as a value, zones from the system's IANA database.
/// Must never lose a notice to a bad value: an unknown zone is UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "storage/base/time.hpp"

namespace candor::notification {

/// The first instant from `now` on at which a clock on the wall in `zone` (IANA name) is not in the
/// quiet hours: at or after `quiet_from` and before `quiet_until` ("HH:MM"; across midnight where
/// `quiet_from` is the later). `now` itself where either is empty or no time of day, or both are
/// equal. An hour that is skipped or repeated (daylight saving) counts as the wall shows it: where
/// `quiet_until` is skipped, the quiet ends with the jump; where it comes twice, with the first.
timestamp next_allowed(timestamp now, std::string_view zone, std::string_view quiet_from,
                       std::string_view quiet_until);

/// The first instant of the day that `t` falls on in `zone`, counted as if it were in UTC.
timestamp local_day(timestamp t, std::string_view zone);

/// How long to wait after the `attempts`-th failed attempt (from 1): 1 min, 5 min, 30 min, 2 h, 8
/// h, 24 h; then nullopt: given up.
std::optional<millis> wait_after(std::uint32_t attempts) noexcept;

/// A token bucket over the time that it is told, which may be set forward (the bucket is full, no
/// more) and back (what is in it stays).
class rate_limit {
public:
  /// `per_second` and `burst` are at least 1 and at most 1 000 000. Starts full.
  rate_limit(std::uint32_t per_second, std::uint32_t burst, timestamp now);

  /// Takes one token, if there is one.
  bool take(timestamp now);

  /// How long until there is one; 0: now.
  millis wait(timestamp now);

private:
  void refill(timestamp now);

  std::int64_t per_second_;
  std::int64_t most_; ///< in thousandths of a token, like `tokens_`
  std::int64_t tokens_;
  timestamp filled_;
};

} // namespace candor::notification
