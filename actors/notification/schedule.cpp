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
using local_time = date::local_time<millis>;

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

/// The zone's offset at an instant.
date::sys_info info_at(const date::time_zone* zone, timestamp t) {
  return zone->get_info(t);
}

local_time to_local(const date::time_zone* zone, timestamp t) {
  auto since = t.time_since_epoch();
  return local_time{zone ? since + info_at(zone, t).offset : since};
}

/// The first instant after `after` at which the wall shows `wanted`, or jumps over it.
timestamp first_showing(const date::time_zone* zone, local_time wanted, timestamp after) {
  if (!zone)
    return timestamp{wanted.time_since_epoch()};
  auto info = zone->get_info(wanted);
  if (info.result == date::local_info::nonexistent)
    return timestamp{info.first.end};
  timestamp first{wanted.time_since_epoch() - info.first.offset};
  if (info.result == date::local_info::ambiguous && first <= after)
    return timestamp{wanted.time_since_epoch() - info.second.offset};
  return first;
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
  // Once, but where the wall jumps from one night into the next (a day that was left out).
  for (auto rounds = 0; rounds < 4; ++rounds) {
    auto wall = to_local(zone, t);
    auto day = date::floor<days>(wall);
    auto since_midnight = wall - day;
    if (!quiet(since_midnight))
      return t;
    auto end_day = since_midnight < *until ? day : day + days{1};
    auto end = first_showing(zone, end_day + *until, t);
    CANDOR_ASSERT(end > t);
    t = end;
  }
  return t;
}

timestamp local_day(timestamp t, std::string_view zone) {
  auto day = date::floor<days>(to_local(find_zone(zone), t));
  return timestamp{day.time_since_epoch()};
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
