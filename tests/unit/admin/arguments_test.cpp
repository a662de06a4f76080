#include <catch2/catch.hpp>

#include "actors/admin/arguments.hpp"

using namespace candor;
using candor::admin::arguments;

TEST_CASE("an operator's arguments are asked for by name", "[admin]") {
  auto a = arguments::parse(R"({"run":7,"name":"history","time":"2025-12-17T00:00:00Z"})");
  REQUIRE(a);
  CHECK(*a->number("run", 100) == 7);
  CHECK(*a->text("name") == "history");
  CHECK(format_time(*a->time("time")) == "2025-12-17T00:00:00Z");
  CHECK(a->all_known());
}

TEST_CASE("what is missing, unknown or of the wrong kind is named", "[admin]") {
  auto a = arguments::parse(R"({"run":-1,"big":101,"name":5,"time":"noon"})");
  REQUIRE(a);
  CHECK(a->number("run", 100).error().code == errc::bad_value);
  CHECK(a->number("big", 100).error().code == errc::bad_value);
  CHECK(a->text("name").error().detail == "name is not a string");
  CHECK(a->text("absent").error().code == errc::missing_field);
  CHECK(a->time("time").error().code == errc::bad_time);
  CHECK(a->all_known());
  auto b = arguments::parse(R"({"x":1})");
  CHECK(b->all_known().error().code == errc::unknown_field);
  CHECK(b->all_known().error().detail == "x");
}

TEST_CASE("what is not a JSON object is malformed", "[admin]") {
  for (auto text : {"[]", "{", "1", "\"x\"", "{} {}"})
    CHECK(arguments::parse(text).error().code == errc::malformed);
  CHECK(arguments::parse(""));
}
