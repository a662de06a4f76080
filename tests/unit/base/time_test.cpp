#include <catch2/catch.hpp>

#include "storage/base/time.hpp"

namespace candor {

namespace {

std::string normal(std::string_view text) {
  auto t = parse_time(text);
  return t ? format_time(*t) : std::string{info(t.error().code).slug};
}

std::int64_t span(std::string_view text) {
  auto d = parse_duration(text);
  return d ? d->count() : -1;
}

} // namespace

TEST_CASE("a time has one normal form", "[time]") {
  CHECK(normal("2025-12-16T09:30:00Z") == "2025-12-16T09:30:00Z");
  CHECK(normal("2025-12-16t09:30:00z") == "2025-12-16T09:30:00Z");
  CHECK(normal("2025-12-16T09:30:00.5Z") == "2025-12-16T09:30:00.500Z");
  CHECK(normal("2025-12-16T09:30:00.123999999Z") == "2025-12-16T09:30:00.123Z");
  CHECK(normal("2025-12-16T00:30:00+01:00") == "2025-12-15T23:30:00Z");
  CHECK(normal("2025-12-15T16:00:00-08:00") == "2025-12-16T00:00:00Z");
  CHECK(normal("2024-02-29T00:00:00Z") == "2024-02-29T00:00:00Z");
  CHECK(normal("2016-12-31T23:59:60Z") == "2016-12-31T23:59:59Z");
  CHECK(normal("1970-01-01T00:00:00Z") == "1970-01-01T00:00:00Z");
  CHECK(normal("2199-12-31T23:59:59.999Z") == "2199-12-31T23:59:59.999Z");
}

TEST_CASE("what is not a time is refused", "[time]") {
  for (auto text : {"",
                    "2025",
                    "2025-12-16",
                    "2025-12-16T09:30Z",
                    "2025-12-16T09:30:00",
                    "2025-12-16 09:30:00Z",
                    "2025-13-01T00:00:00Z",
                    "2025-02-29T00:00:00Z",
                    "2025-00-10T00:00:00Z",
                    "2025-12-16T24:00:00Z",
                    "2025-12-16T09:60:00Z",
                    "2025-12-16T09:30:61Z",
                    "2025-12-16T09:30:00.Z",
                    "2025-12-16T09:30:00.1234567890Z",
                    "2025-12-16T09:30:00+1:00",
                    "2025-12-16T09:30:00+24:00",
                    "2025-12-16T09:30:00ZZ",
                    "+025-12-16T09:30:00Z",
                    "1600-01-01T00:00:00Z",
                    "1969-12-31T23:59:59Z",
                    "2200-01-01T00:00:00Z",
                    "1970-01-01T00:00:00+01:00",
                    "2199-12-31T23:30:00-01:00",
                    "9999-12-31T23:59:59Z"}) {
    INFO(text);
    CHECK(normal(text) == "bad_time");
  }
}

TEST_CASE("a date is its first instant in UTC", "[time]") {
  CHECK(format_time(*parse_date("2025-12-16")) == "2025-12-16T00:00:00Z");
  CHECK(format_date(*parse_time("2025-12-16T23:59:59.999Z")) == "2025-12-16");
  for (auto text :
       {"", "2025-12-1", "2025-12-16T00:00:00Z", "2025/12/16", "2025-02-30", "1969-12-31"}) {
    INFO(text);
    CHECK_FALSE(parse_date(text));
  }
}

TEST_CASE("an instant survives its number", "[time]") {
  auto t = *parse_time("2025-12-16T09:30:00.123Z");
  CHECK(to_int(t) == 1765877400123);
  CHECK(from_int(to_int(t)) == t);
}

TEST_CASE("a duration is a whole number and one unit", "[time]") {
  CHECK(span("0d") == 0);
  CHECK(span("90s") == 90'000);
  CHECK(span("15m") == 900'000);
  CHECK(span("12h") == 43'200'000);
  CHECK(span("30d") == 2'592'000'000);
  CHECK(span("3650d") == 315'360'000'000);
  for (auto text : {"", "d", "30", "30 d", "1.5d", "-1d", "+1d", "1w", "1D", "1ms", "1dd", "3651d",
                    "99999999999999999999d"}) {
    INFO(text);
    CHECK(span(text) == -1);
  }
}

} // namespace candor
