#include "actors/notification/schedule.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>

#include <date/tz.h>

#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::notification {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

/// nullptr: UTC. The library throws at a name it does not know, and where there is no database.
const date::time_zone* find_zone(std::string_view name) noexcept {
  if (name.empty() || name.size() > limits::zone_bytes)
    return nullptr;
  try {
    return date::locate_zone(std::string{name});
  } catch (const std::exception&) {
    return nullptr;
  }
}

/// What holds around an instant: the offset from UTC, and until when.
struct period {
  millis offset{0};
  timestamp end = timestamp::max();
};

period period_at(const date::time_zone* zone, timestamp t) {
  if (!zone)
    return {};
  auto info = zone->get_info(t);
  // The last period ends with the type's last day, which is beyond a timestamp's range.
  auto last = info.end.time_since_epoch() >=
              std::chrono::floor<std::chrono::seconds>(timestamp::max().time_since_epoch());
  return {info.offset, last ? timestamp::max() : timestamp{info.end}};
}

std::optional<millis> time_of_day(std::string_view text) {
  auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4))
    return std::nullopt;
  auto hour = (text[0] - '0') * 10 + (text[1] - '0');
  auto minute = (text[3] - '0') * 10 + (text[4] - '0');
  if (hour > 23 || minute > 59)
    return std::nullopt;
  return hours{hour} + minutes{minute};
}

} // namespace

timestamp next_allowed(timestamp now, std::string_view zone_name, std::string_view quiet_from,
                       std::string_view quiet_until) {
  auto from = time_of_day(quiet_from);
  auto until = time_of_day(quiet_until);
  if (!from || !until || *from == *until)
    return now;
  auto quiet = [&](millis wall) {
    return *from < *until ? *from <= wall && wall < *until : *from <= wall || wall < *until;
  };
  auto zone = find_zone(zone_name);
  auto t = now;
  // Each round ends with the quiet or with the offset, whichever is first; a second is needed where
  // the clock is changed in the night, a third where it jumps from one night into the next.
  for (auto rounds = 0; rounds < 8; ++rounds) {
    auto holds = period_at(zone, t);
    auto wall = t + holds.offset;
    auto since_midnight = wall - date::floor<days>(wall);
    if (!quiet(since_midnight))
      break;
    auto left = *until - since_midnight;
    t = std::min(t + (left > millis{0} ? left : left + hours{24}), holds.end);
  }
  return t;
}

timestamp local_day(timestamp t, std::string_view zone) {
  return date::floor<days>(t + period_at(find_zone(zone), t).offset);
}

std::optional<millis> wait_after(std::uint32_t attempts) noexcept {
  static constexpr std::array<millis, 6> waits{minutes{1}, minutes{5}, minutes{30},
                                               hours{2},   hours{8},   hours{24}};
  if (attempts == 0)
    return millis{0};
  if (attempts > waits.size())
    return std::nullopt;
  return waits[attempts - 1];
}

rate_limit::rate_limit(std::uint32_t per_second, std::uint32_t burst, timestamp now)
  : per_second_{per_second}
  , most_{std::int64_t{burst} * 1000}
  , tokens_{most_}
  , filled_{now} {
  CANDOR_ASSERT(per_second >= 1 && per_second <= 1'000'000 && burst >= 1 && burst <= 1'000'000);
}

void rate_limit::refill(timestamp now) {
  // Tokens a second is thousandths of a token a millisecond. A bucket of 1 000 000 tokens is full
  // after 10^9 ms at the latest, which bounds the product.
  auto elapsed = std::clamp<std::int64_t>((now - filled_).count(), 0, 1'000'000'000);
  tokens_ = std::min(most_, tokens_ + elapsed * per_second_);
  filled_ = now;
}

bool rate_limit::take(timestamp now) {
  refill(now);
  if (tokens_ < 1000)
    return false;
  tokens_ -= 1000;
  return true;
}

millis rate_limit::wait(timestamp now) {
  refill(now);
  if (tokens_ >= 1000)
    return millis{0};
  return millis{(1000 - tokens_ + per_second_ - 1) / per_second_};
}

} // namespace candor::notification
