#include "storage/base/time.hpp"

#include <charconv>

#include <fmt/format.h>

namespace candor {

namespace {

using namespace std::chrono;

/// Reads fixed-width decimal digits; -1 where one is not a digit.
int digits(std::string_view text, std::size_t from, std::size_t count) {
  if (from + count > text.size())
    return -1;
  int value = 0;
  for (auto c : text.substr(from, count)) {
    if (c < '0' || c > '9')
      return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

result<sys_days> read_date(std::string_view text) {
  auto y = digits(text, 0, 4), m = digits(text, 5, 2), d = digits(text, 8, 2);
  if (y < 0 || m < 0 || d < 0 || text[4] != '-' || text[7] != '-')
    return fail(errc::bad_time, "not of the form YYYY-MM-DD");
  auto date = year{y} / month{static_cast<unsigned>(m)} / day{static_cast<unsigned>(d)};
  if (!date.ok())
    return fail(errc::bad_time, "no such day in the calendar");
  if (y < 1970 || y > 2199)
    return fail(errc::bad_time, "the year is not within 1970 to 2199");
  return sys_days{date};
}

} // namespace

result<timestamp> parse_time(std::string_view text) {
  CANDOR_TRY(day, read_date(text.substr(0, 10)));
  auto hh = digits(text, 11, 2), mm = digits(text, 14, 2), ss = digits(text, 17, 2);
  auto form_holds = text.size() >= 20 && (text[10] == 'T' || text[10] == 't') && text[13] == ':' &&
                    text[16] == ':';
  if (!form_holds || hh < 0 || mm < 0 || ss < 0 || hh > 23 || mm > 59 || ss > 60)
    return fail(errc::bad_time, "not of the form YYYY-MM-DDTHH:MM:SSZ");
  if (ss == 60)
    ss = 59; // a leap second is counted as the second before it
  auto rest = text.substr(19);
  int ms = 0;
  if (rest.front() == '.') {
    rest.remove_prefix(1);
    int scale = 100;
    std::size_t n = 0;
    for (; n < rest.size() && rest[n] >= '0' && rest[n] <= '9'; ++n, scale /= 10)
      ms += (rest[n] - '0') * scale;
    if (n == 0 || n > 9)
      return fail(errc::bad_time, "a fraction of a second has 1 to 9 digits");
    rest.remove_prefix(n);
  }
  minutes offset{0};
  if (rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':') {
    auto oh = digits(rest, 1, 2), om = digits(rest, 4, 2);
    if (oh < 0 || om < 0 || oh > 23 || om > 59)
      return fail(errc::bad_time, "the offset is not of the form +HH:MM");
    offset = minutes{oh * 60 + om} * (rest[0] == '-' ? -1 : 1);
  } else if (rest != "Z" && rest != "z") {
    return fail(errc::bad_time, "it must end with Z or an offset such as +01:00");
  }
  auto instant = timestamp{day} + hours{hh} + minutes{mm} + seconds{ss} + millis{ms} - offset;
  if (instant < sys_days{year{1970} / 1 / 1} || instant >= sys_days{year{2200} / 1 / 1})
    return fail(errc::bad_time, "in UTC the year is not within 1970 to 2199");
  return instant;
}

result<timestamp> parse_date(std::string_view text) {
  if (text.size() != 10)
    return fail(errc::bad_time, "not of the form YYYY-MM-DD");
  CANDOR_TRY(day, read_date(text));
  return timestamp{day};
}

std::string format_date(timestamp t) {
  year_month_day date{floor<days>(t)};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string format_time(timestamp t) {
  hh_mm_ss<millis> time{t - floor<days>(t)};
  auto text = fmt::format("{}T{:02}:{:02}:{:02}", format_date(t), time.hours().count(),
                          time.minutes().count(), time.seconds().count());
  if (auto ms = time.subseconds().count(); ms != 0)
    text += fmt::format(".{:03}", ms);
  return text + "Z";
}

result<millis> parse_duration(std::string_view text) {
  std::int64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (ec != std::errc{} || value < 0 || unit.size() != 1 || value > 400'000'000)
    return fail(errc::bad_value, "a duration is a whole number and a unit, such as 30d or 12h");
  millis span{};
  switch (unit.front()) {
    case 'd':
      span = days{value};
      break;
    case 'h':
      span = hours{value};
      break;
    case 'm':
      span = minutes{value};
      break;
    case 's':
      span = seconds{value};
      break;
    default:
      return fail(errc::bad_value, "a duration's unit is d, h, m or s");
  }
  if (span > days{3650})
    return fail(errc::bad_value, "a duration is at most 3650d");
  return span;
}

} // namespace candor
