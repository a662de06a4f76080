#include <catch2/catch.hpp>

#include "storage/model/targeting/expression.hpp"
#include "storage/model/topic.hpp"

using namespace candor;
using namespace candor::model::targeting;

namespace {

attributes hiker() {
  attributes of;
  of.set_word(attribute::country, "US");
  of.set_word(attribute::lang, "en");
  of.set_word(attribute::device, "phone");
  of.set_list(attribute::topics, {"outdoors", "music"});
  of.set_list(attribute::ctx, {"travel"});
  of.set_number(attribute::hour_of_week, 20);
  of.set_flag(attribute::consent, true);
  return of;
}

expression parse(const std::string& text) {
  auto made = expression::parse(text);
  INFO(text);
  if (!made)
    FAIL(made.error().to_string());
  return *made;
}

} // namespace

TEST_CASE("each clause holds as the language says", "[targeting]") {
  auto [text, holds] = GENERATE(table<std::string, bool>({
      {"", true},
      {"country in (US, CA)", true},
      {"country = US", true},
      {"country <> US", false},
      {"country not in (US)", false},
      {"region = US-CA", false}, // not known of the request
      {"region <> US-CA", true}, // so it is not that one either
      {"region not in (US-CA)", true},
      {"segments none of (vip)", true},
      {"segments one of (vip)", false},
      {"segments all of (vip)", false},
      {"hour_of_week >= 20", true},
      {"hour_of_week <= 19", false},
      {"consent", true},
      {"coppa", false},
      {"not coppa", true},
      {"topics one of (fitness, outdoors)", true},
      {"topics all of (music, outdoors)", true},
      {"topics all of (fitness, outdoors)", false},
      {"topics none of (fitness)", true},
      {"not not consent", true},
      {"(country = US and (topics one of (fitness) or ctx one of (travel)))", true},
      {"country = US and device = phone and not lang = fr", true},
      {"(country = DE or country = US)", true},
      {"not (country = US and device = tv)", true},
      {"not (country = US or device = tv)", false},
  }));
  CAPTURE(text);
  CHECK(parse(text).holds(hiker()) == holds);
}

TEST_CASE("a topic may be named by its id of the IAB taxonomy", "[targeting]") {
  const auto& travel = model::info(*model::find_topic("travel"));
  CHECK(parse("topics one of (" + std::string{travel.iab} + ")").to_text() ==
        "topics one of (travel)");
  // Two topics here share one there.
  const auto& outdoors = model::info(*model::find_topic("outdoors"));
  auto shared = expression::parse("topics one of (" + std::string{outdoors.iab} + ")");
  REQUIRE(!shared);
  CHECK_THAT(shared.error().detail, Catch::Matchers::Contains("hobbies, outdoors"));
}

TEST_CASE("a mistake is named with line and column", "[targeting]") {
  auto [text, code, detail] = GENERATE(table<std::string, errc, std::string>({
      {"contry = US", errc::targeting_invalid, "line 1, column 1: expected an attribute"},
      {"country = US and\nlang = en or consent", errc::targeting_invalid,
       "line 2, column 11: put parentheses"},
      {"country in US", errc::targeting_invalid, "line 1, column 12: expected ("},
      {"country in (US", errc::targeting_invalid, "line 1, column 15: expected )"},
      {"country in ()", errc::targeting_invalid, "line 1, column 13: expected a value"},
      {"country = usa", errc::targeting_invalid, "line 1, column 11: country is an ISO 3166-1"},
      {"hour_of_week >= 168", errc::targeting_invalid, "within 0 and 167"},
      {"topics one of (stamps)", errc::targeting_invalid, "not a topic of the taxonomy"},
      {"topics one of (outdoors, religion)", errc::sensitive_targeting,
       "line 1, column 26: religion is a sensitive category"},
      {"segments one of (health)", errc::sensitive_targeting, "health"},
      {"ctx none of (politics)", errc::sensitive_targeting, "politics"},
      {"age_band = 12-17", errc::targeting_invalid, "18-24"},
      {"consent consent", errc::targeting_invalid, "expected the end"},
      {"country = \"US", errc::targeting_invalid, "no end"},
      {"country = US;", errc::targeting_invalid, "no meaning"},
      {std::string(100, '('), errc::targeting_invalid, "deep"},
      {std::string(9000, ' ') + "consent", errc::targeting_invalid, "at most"},
  }));
  CAPTURE(text);
  auto made = expression::parse(text);
  REQUIRE(!made);
  CHECK(made.error().code == code);
  CHECK_THAT(made.error().detail, Catch::Matchers::Contains(detail));
}

TEST_CASE("why names the clauses that made it hold, why not the first that did not",
          "[targeting]") {
  auto x = parse("country in (US, CA) and (ctx one of (gaming) or topics one of (outdoors)) and "
                 "device = phone");
  CHECK(x.reasons(hiker()) == std::vector<std::string>{"country in (CA, US)",
                                                       "topics one of (outdoors)",
                                                       "device = phone"});
  CHECK(x.first_failing(hiker()).empty());
  auto tv = hiker();
  tv.set_word(attribute::device, "tv");
  CHECK(x.first_failing(tv) == "device = phone");
  CHECK(x.reasons(tv).empty());
  tv.set_list(attribute::topics, {});
  CHECK(x.first_failing(tv) == "(ctx one of (gaming) or topics one of (outdoors))");
}
