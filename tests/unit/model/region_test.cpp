#include <fstream>
#include <iterator>

#include <catch2/catch.hpp>

#include "storage/base/limits.hpp"
#include "storage/model/region.hpp"

namespace candor::model {

namespace {

region_table shipped() {
  std::ifstream in{CANDOR_SOURCE_DIR "/configs/regions.toml"};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  auto table = region_table::parse(text, "configs/regions.toml");
  if (!table)
    FAIL(table.error().to_string());
  return *table;
}

std::vector<std::string> members(const region_table& table, std::string_view group,
                                 std::string_view date) {
  std::vector<std::string> names;
  for (auto code : table.codes())
    if (table.contains(group, code, *parse_date(date)))
      names.emplace_back(code.view());
  return names;
}

using names = std::vector<std::string>;

const names eu_states{"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES",
                      "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
                      "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"};

names together(std::initializer_list<names> parts) {
  names all;
  for (const auto& part : parts)
    all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  return all;
}

} // namespace

TEST_CASE("every assigned code is known, and no other", "[region]") {
  auto table = shipped();
  CHECK(table.codes().size() == 249);
  CHECK(std::is_sorted(table.codes().begin(), table.codes().end()));
  for (auto code : {"AD", "US", "GB", "KR", "DE", "ZW", "GF", "AX", "IM"})
    CHECK(table.find(code)->view() == code);
  for (auto code :
       {"", "U", "USA", "us", "UK", "EU", "XK", "IC", "EA", "AN", "SU", "ZZ", "12", "Ü"}) {
    INFO(code);
    auto found = table.find(code);
    REQUIRE_FALSE(found);
    CHECK(found.error().code == errc::bad_region);
  }
}

TEST_CASE("the Union has its 27 states, the outermost regions and Åland", "[region]") {
  auto table = shipped();
  REQUIRE(eu_states.size() == 27);
  CHECK(members(table, "EU", "2025-12-16") ==
        together({eu_states, {"GF", "GP", "MQ", "RE", "YT", "MF", "AX"}}));
  CHECK(members(table, "EEA", "2025-12-16") ==
        together({eu_states, {"GF", "GP", "MQ", "RE", "YT", "MF", "AX", "IS", "LI", "NO"}}));
}

TEST_CASE("states join and leave at their dates", "[region]") {
  auto table = shipped();
  auto in_eu = [&](std::string_view code, std::string_view when) {
    return table.contains("EU", *table.find(code), *parse_time(when));
  };
  CHECK(in_eu("GB", "2020-01-31T23:59:59.999Z"));
  CHECK_FALSE(in_eu("GB", "2020-02-01T00:00:00Z"));
  CHECK(in_eu("GI", "2020-01-31T23:59:59.999Z"));
  CHECK_FALSE(in_eu("GI", "2020-02-01T00:00:00Z"));
  CHECK_FALSE(in_eu("HR", "2013-06-30T23:59:59.999Z"));
  CHECK(in_eu("HR", "2013-07-01T00:00:00Z"));
  CHECK(in_eu("BL", "2011-12-31T23:59:59.999Z"));
  CHECK_FALSE(in_eu("BL", "2012-01-01T00:00:00Z"));
  CHECK_FALSE(in_eu("PL", "2004-04-30T23:59:59.999Z"));
  CHECK(in_eu("PL", "2004-05-01T00:00:00Z"));
}

TEST_CASE("every territory with a code of its own is decided", "[region]") {
  auto table = shipped();
  auto today = *parse_date("2025-12-16");
  auto where = [&](std::string_view code) {
    std::string groups;
    for (auto name : {"EU", "EEA", "EU_AND_TERRITORIES", "GB_AND_DEPENDENCIES"})
      if (table.contains(name, *table.find(code), today))
        groups += std::string{groups.empty() ? "" : " "} + name;
    return groups;
  };
  for (auto code : {"GF", "GP", "MQ", "RE", "YT", "MF", "AX", "DE"})
    CHECK(where(code) == "EU EEA EU_AND_TERRITORIES");
  for (auto code : {"PM", "BL", "NC", "PF", "WF", "TF", "GL", "FO", "AW", "CW", "SX", "BQ"})
    CHECK(where(code) == "EU_AND_TERRITORIES");
  for (auto code : {"GB", "IM", "JE", "GG", "GI", "FK", "AI", "BM", "IO", "VG", "KY", "MS", "PN",
                    "SH", "GS", "TC"})
    CHECK(where(code) == "GB_AND_DEPENDENCIES");
  for (auto code : {"SJ", "CH", "AD", "MC", "SM", "VA", "US", "KR"})
    CHECK(where(code).empty());
  for (auto code : {"IM", "GG", "FK"})
    CHECK_FALSE(table.contains("GB", *table.find(code), today));
}

TEST_CASE("a code stands for itself, and what is no group contains nothing", "[region]") {
  auto table = shipped();
  auto t = *parse_date("2025-12-16");
  CHECK(table.contains("KR", *table.find("KR"), t));
  CHECK_FALSE(table.contains("KR", *table.find("KP"), t));
  CHECK_FALSE(table.contains("EFTA", *table.find("NO"), t));
  CHECK(table.is_group("EU"));
  CHECK_FALSE(table.is_group("KR"));
  CHECK_FALSE(table.is_group("eu"));
}

TEST_CASE("the instants of change are ascending and each once", "[region]") {
  auto changes = shipped().changes();
  CHECK(std::is_sorted(changes.begin(), changes.end()));
  CHECK(std::adjacent_find(changes.begin(), changes.end()) == changes.end());
  CHECK(std::count(changes.begin(), changes.end(), *parse_date("2020-02-01")) == 1);
}

TEST_CASE("a region file's mistakes are refused at their line and column", "[region]") {
  struct row {
    std::string text, where, words;
  };
  const std::string codes = "[codes]\nDE = \"Germany\"\nFR = \"France\"\n";
  const std::string group = codes + "[[group]]\nname = \"EU\"\ntitle = \"t\"\nsource = \"s\"\n";
  const std::vector<row> rows{
      {"", "r.toml:1:1: ", "codes is missing"},
      {"codes = 1", "r.toml:1:9: ", "codes must be a table"},
      {"[codes]\nde = \"Germany\"", "r.toml:2:1: ", "two letters from A to Z"},
      {"[codes]\nDE = 1", "r.toml:2:6: ", "codes.DE must be the region's name"},
      {"[codes]\nDE = \"\"", "r.toml:2:6: ", "codes.DE must be the region's name"},
      {"[codes]\nDE = \"a\"\nDE = \"b\"", "r.toml:3:", "DE"},
      {codes + "[groups]", "r.toml:4:2: ", "\"groups\" is not known here"},
      {codes + "[group]", "r.toml:4:1: ", "group must be a list of tables"},
      {codes + "[[group]]\nnames = 1", "r.toml:5:1: ", "\"names\" is not known in [group]"},
      {codes + "[[group]]\nname = \"DE\"", "r.toml:5:8: ", "must not be a region code"},
      {codes + "[[group]]\nname = \"eu\"", "r.toml:5:8: ", "letters from A to Z"},
      {group, "r.toml:4:1: ", "group.members is missing"},
      {group + "members = [ 1 ]", "r.toml:8:13: ", "must be a list of tables"},
      {group + "members = [ { region = \"XX\", from = 1958-01-01 } ]",
       "r.toml:8:24: ", "must be one of the codes"},
      {group + "members = [ { region = \"DE\" } ]", "r.toml:8:13: ", "from is missing"},
      {group + "members = [ { region = \"DE\", from = \"1958\" } ]",
       "r.toml:8:37: ", "must be a date, unquoted"},
      {group + "members = [ { region = \"DE\", from = 1600-01-01 } ]",
       "r.toml:8:37: ", "1900 to 2199"},
      {group + "members = [ { region = \"DE\", from = 1958-01-01, until = 1958-01-01 } ]",
       "r.toml:8:57: ", "must be later than from"},
      {group + "members = [ { region = \"DE\", from = 1958-01-01, until = 1990-01-01 },\n"
               " { region = \"DE\", from = 1989-12-31 } ]",
       "r.toml:9:13: ", "belongs to the group at that time already"},
      {group + "includes = [\"EEA\"]\nmembers = []", "r.toml:8:13: ", "stand earlier"},
      {group + "members = []\n[[group]]\nname = \"EU\"",
       "r.toml:10:8: ", "taken by an earlier group"},
      {"[codes", "r.toml:1:", "Error while parsing"},
      {"\xff", "r.toml:1:1: ", "not valid UTF-8"},
      {std::string(limits::config_file_bytes + 1, '#'), "r.toml:1:1: ", "at most 262144"},
  };
  for (const auto& r : rows) {
    auto table = region_table::parse(r.text, "r.toml");
    INFO(r.text.substr(0, 300));
    REQUIRE_FALSE(table);
    CHECK(table.error().code == errc::config_invalid);
    CHECK_THAT(table.error().detail, Catch::StartsWith(r.where));
    CHECK_THAT(table.error().detail, Catch::Contains(r.words));
  }
}

TEST_CASE("a group may be left and joined again", "[region]") {
  auto table = region_table::parse(R"(
[codes]
DE = "Germany"
[[group]]
name = "CLUB"
title = "t"
source = "s"
members = [
  { region = "DE", from = 1990-01-01, until = 2000-01-01 },
  { region = "DE", from = 2010-01-01 },
]
[[group]]
name = "LARGER"
title = "t"
source = "s"
includes = ["CLUB"]
members = [ { region = "DE", from = 2005-01-01, until = 2010-01-01 } ]
)",
                                   "r.toml");
  REQUIRE(table);
  auto in = [&](std::string_view name, std::string_view date) {
    return table->contains(name, *table->find("DE"), *parse_date(date));
  };
  CHECK(in("CLUB", "1999-12-31"));
  CHECK_FALSE(in("CLUB", "2000-01-01"));
  CHECK_FALSE(in("CLUB", "2005-01-01"));
  CHECK(in("CLUB", "2010-01-01"));
  CHECK(in("LARGER", "1999-12-31"));
  CHECK_FALSE(in("LARGER", "2004-12-31"));
  CHECK(in("LARGER", "2005-01-01"));
  CHECK(in("LARGER", "2030-01-01"));
}

} // namespace candor::model
