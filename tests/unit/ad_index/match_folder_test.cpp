#include <catch2/catch.hpp>

#include <fstream>

#include "tests/support/plain_match.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/candor-bench/match/expression_text.hpp"
#include "tools/candor-bench/match/match_folder.hpp"

using namespace candor;
using namespace candor::ad_matching::index;

namespace {

const schema attributes{{"country", value_kind::number},
                        {"age", value_kind::number},
                        {"coppa", value_kind::flag},
                        {"topics", value_kind::list}};

bool holds(std::string_view text, const request& asked) {
  auto w = bench::wish_reader{attributes}.read(text);
  INFO(text);
  REQUIRE(w.has_value());
  return w->nodes.empty() || plain_match::wants(*w, 0, asked);
}

std::string refusal(std::string_view text) {
  auto w = bench::wish_reader{attributes}.read(text);
  return w ? "" : w.error().detail;
}

request asked_with(std::optional<std::int64_t> country, std::optional<std::int64_t> age,
                   std::vector<std::int64_t> topics) {
  request asked;
  asked.numbers = {country, age, std::nullopt, std::nullopt};
  asked.lists = {{}, {}, {}, std::move(topics)};
  return asked;
}

void write(const std::filesystem::path& folder, const char* name, std::string_view text) {
  std::ofstream{folder / name} << text;
}

constexpr auto good_schema = "country|integer|false|0|300\nage|integer|false|0|99\n"
                             "coppa|boolean|false\ntopics|integer list|false|0|700\n";
constexpr auto good_campaigns = "1\t50000\t10\t9\t3:200\tcountry in (1, 2)\n";
constexpr auto good_events = "e1\t3:7\t\t{\"country\": 1, \"age\": 20, \"topics\": []}\n";

/// What the folder is refused for, or nothing.
std::string reading(std::string_view campaigns, std::string_view events,
                    std::string_view schema_text = good_schema, std::string_view ops = "") {
  test::temporary_folder folder;
  write(folder.path(), "schema.txt", schema_text);
  write(folder.path(), "campaigns.tsv", campaigns);
  write(folder.path(), "events.tsv", events);
  write(folder.path(), "ops.tsv", ops);
  auto x = bench::read_match_folder(folder.path(), true);
  if (x)
    return "";
  auto name = x.error().detail;
  return name.substr(name.rfind('/', name.find(", line")) + 1);
}

} // namespace

TEST_CASE("every form of a clause is read", "[ad_index]") {
  auto asked = asked_with(5, 30, {1, 2});
  CHECK(holds("", asked));
  CHECK(holds("country in (5, 6)", asked));
  CHECK(holds("country in(\"5\",'6')", asked));
  CHECK_FALSE(holds("country not in (5)", asked));
  CHECK(holds("country = 5 and age<>31", asked));
  CHECK(holds("age >= 30 and age <= 30", asked));
  CHECK_FALSE(holds("age > 30", asked));
  CHECK(holds("age<31", asked));
  CHECK(holds("age > -5", asked));
  CHECK(holds("topics one of (2, 9)", asked));
  CHECK_FALSE(holds("topics none of (2, 9)", asked));
  CHECK(holds("topics all of (2, 1)", asked));
  CHECK_FALSE(holds("topics all of (2, 9)", asked));
  CHECK_FALSE(holds("coppa", asked));
  CHECK(holds("not coppa", asked));
  CHECK(holds("not (country = 6 or (age >= 40 and coppa))", asked));
  CHECK(holds("  (country = 5\tAND (NOT coppa))  ", asked));
}

TEST_CASE("what a request does not have makes a comparison false", "[ad_index]") {
  auto asked = asked_with({}, {}, {});
  for (auto text : {"country in (5)", "country = 5", "age >= 0", "age <= 99", "coppa",
                    "topics one of (1)", "topics all of (1)"}) {
    INFO(text);
    CHECK_FALSE(holds(text, asked));
    CHECK(holds(std::string{"not "} + text, asked));
  }
  CHECK(holds("country not in (5) and country <> 5 and topics none of (1)", asked));
}

TEST_CASE("a malformed expression is refused with its column", "[ad_index]") {
  CHECK(refusal("country in 5") == "column 12: expected (");
  CHECK(refusal("country in (5") == "column 14: expected )");
  CHECK(refusal("planet = 5") == "column 1: planet is not an attribute of the schema");
  CHECK(refusal("country = five") == "column 11: expected an integer");
  CHECK(refusal("country = 99999999999999999999") == "column 11: expected an integer");
  CHECK(refusal("coppa and age = 1 or age = 2") ==
        "column 19: put parentheses where `and` and `or` meet");
  CHECK(refusal("country") == "column 8: expected in, not in, =, <>, >=, <=, > or <");
  CHECK(refusal("topics >= 5") ==
        "column 8: a list is not compared: expected one of, none of or all of");
  CHECK(refusal("coppa coppa") == "column 7: expected the end");
  CHECK(refusal("coppa and") == "column 10: expected an attribute");
  CHECK(refusal("coppa %") == "column 7: this character has no meaning here");
  CHECK(refusal(std::string(5000, '(')).find("deep") != std::string::npos);
  std::string nots;
  for (auto i = 0; i < 5000; ++i)
    nots += "not ";
  CHECK(refusal(nots + "coppa").find("deep") != std::string::npos);
}

TEST_CASE("a folder that is not in the format is refused with file and line", "[ad_index]") {
  CHECK(reading(good_campaigns, good_events) == "");
  CHECK(reading("\n1\t5\n", good_events).starts_with("campaigns.tsv, line 2: expected id, bid"));
  CHECK(reading("1\t5\t0\t9\t\t\n", good_events) ==
        "campaigns.tsv, line 1: the quality is not within 1 and 255");
  CHECK(reading("1\t-5\t1\t9\t\t\n", good_events).starts_with("campaigns.tsv, line 1: the bid -5"));
  CHECK(reading("1\t5\t1\t9\t3:900\t\n", good_events) ==
        "campaigns.tsv, line 1: the weight `900` is not a number within bounds");
  CHECK(reading("1\t5\t1\t9\t\tcountry ~ 3\n", good_events) ==
        "campaigns.tsv, line 1: expression, column 9: this character has no meaning here");
  CHECK(reading("1\t5\t1\t9\t\t\n1\t5\t1\t9\t\t\n", good_events) ==
        "campaigns.tsv: campaign 1 is there twice");
  CHECK(reading(good_campaigns, "e1\t\t\t{\"country\": }\n") ==
        "events.tsv, line 1: the last field is not a JSON object");
  CHECK(reading(good_campaigns, "e1\t\t\t{\"country\": [1]}\n") ==
        "events.tsv, line 1: country is not an integer");
  CHECK(reading(good_campaigns, good_events, "country|float|false|0|1\n") ==
        "schema.txt, line 1: the type `float` is not integer, boolean or integer list");
  CHECK(reading(good_campaigns, good_events, good_schema, "P 1\nX 2\n") ==
        "ops.tsv, line 2: `X` is none of P, R, B, A, D and Q");
  CHECK(reading(good_campaigns, good_events, good_schema, "B 1\n") ==
        "ops.tsv, line 1: B has 1 fields too few");
  CHECK(bench::read_match_folder("/nowhere", false).error().code == errc::io_failed);
}

TEST_CASE("white space, absent and null attributes do no harm", "[ad_index]") {
  test::temporary_folder folder;
  write(folder.path(), "schema.txt",
        "country | integer | false | 0 | 9\r\n\r\nage|integer\n"
        "coppa|boolean|false||\ntopics|integer list|false|0|9");
  write(folder.path(), "campaigns.tsv",
        "2 \t 50000\t10\t9\t \t country = -1 \r\n1\t7\t1\t9\t1:2,3:4\t\n");
  write(folder.path(), "events.tsv",
        "e1\t\t\t{\"country\": -1, \"age\": null, \"coppa\": true, \"topics\": null, \"other\": "
        "[1]}\n"
        "e2\t3:7\t2, 1\t{ }\ne3\t\t\t{\"country\": \"4\", \"age\": 3.0, \"coppa\": 0, \"topics\": "
        "[7,null]}");
  write(folder.path(), "ops.tsv", "P 1\nB\t2\t70000 \n\nQ e2\nQ nobody\nA 9\nD 9");
  auto x = bench::read_match_folder(folder.path(), true);
  REQUIRE(x.has_value());
  CHECK(x->campaigns.size() == 2);
  CHECK(x->campaigns[0].id == 1);
  CHECK(x->campaigns[1].wish.values == std::vector<std::int64_t>{-1});
  REQUIRE(x->events.size() == 3);
  CHECK(x->events[0].request.numbers[0] == -1);
  CHECK_FALSE(x->events[0].request.numbers[1].has_value());
  CHECK(x->events[0].request.numbers[2] == 1);
  CHECK(x->events[1].request.left_out == std::vector<std::uint64_t>{1, 2});
  CHECK(x->events[2].request.numbers[0] == 4);
  CHECK(x->events[2].request.numbers[2] == 0);
  CHECK(x->events[2].request.lists[3] == std::vector<std::int64_t>{7});
  CHECK(x->operations.size() == 5); // a query of nobody is none
}
