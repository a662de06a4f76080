/// Instants, and their one text form (RFC 3339, UTC, milliseconds at most).
/// Pure: what time it is now is the business of clock.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor {

using millis = std::chrono::milliseconds;

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
using timestamp = std::chrono::sys_time<millis>;

inline std::int64_t to_int(timestamp t) noexcept {
  return t.time_since_epoch().count();
}
inline timestamp from_int(std::int64_t ms) noexcept {
  return timestamp{millis{ms}};
}

/// RFC 3339 `date-time`, any offset, years 1970 to 2199; fractions finer than a millisecond are
/// cut. Error: `bad_time`.
result<timestamp> parse_time(std::string_view text);

/// `YYYY-MM-DD`, as its first instant in UTC. Error: `bad_time`.
result<timestamp> parse_date(std::string_view text);

/// e.g. "2025-12-16T09:30:00Z", with ".123" only where there are milliseconds.
std::string format_time(timestamp t);

/// e.g. "2025-12-16"
std::string format_date(timestamp t);

/// `30d`, `12h`, `15m`, `90s`: a whole number and one unit; up to 3650 days. Error: `bad_value`.
result<millis> parse_duration(std::string_view text);

} // namespace candor
