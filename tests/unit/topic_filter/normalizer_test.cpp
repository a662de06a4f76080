#include <catch2/catch.hpp>

#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/rng.hpp"

using namespace candor;
using namespace candor::topic_filter;

namespace {

view plain(std::string_view text) {
  view v;
  auto done = normalize(text, v);
  REQUIRE(done);
  return v;
}

/// What a stretch of the normal form stands for in the original.
std::string source(const std::string& original, const view& v, std::string_view of) {
  auto at = v.text.find(of);
  REQUIRE(at != std::string::npos);
  auto begin = v.begin[at], end = v.end[at + of.size() - 1];
  return original.substr(begin, end - begin);
}

} // namespace

TEST_CASE("the normal form knows no case, width, accent composition or kind of space",
          "[topic_filter]") {
  CHECK(plain("Hello  WORLD").text == "hello world");
  CHECK(plain(" \t heart-attack\n").text == "heart attack");
  CHECK(plain("ＡＢＣ　１２").text == "abc 12");
  CHECK(plain("Cafe\xCC\x81").text == plain("CAF\xC3\x89").text);
  CHECK(plain("Straße").text == "strasse");
  CHECK(plain("can\xE2\x80\x99t").text == "can't");
  CHECK(plain("vi\xE2\x80\x8Brus").text == "virus"); // zero-width space
  CHECK(plain("").text.empty());
  CHECK(plain(" \n\t ").text.empty());
}

TEST_CASE("marks stacked upon letters go, marks that spell stay", "[topic_filter]") {
  CHECK(plain("v\xCC\xB6i\xCC\xB6r\xCC\xB7us").text == "virus");
  CHECK(plain("\xCC\xB6virus").text == "virus");
  CHECK(plain("हिन्दी").text == "हिन्दी");
  CHECK(plain("İzmir").text == "izmir");
}

TEST_CASE("every stretch of the normal form leads back to what it stands for", "[topic_filter]") {
  auto back = [](const std::string& original, std::string_view of) {
    return source(original, plain(original), of);
  };
  CHECK(back("Ünlucky: a HEART  attack", "heart attack") == "HEART  attack");
  CHECK(back("a virus   ", "virus") == "virus");
  CHECK(back("a virus\xE2\x80\x8B b", "virus") == "virus");
  CHECK(back("a ＶＩＲＵＳ b", "virus") == "ＶＩＲＵＳ");
  CHECK(back("5 ㎏", "kg") == "㎏");
  CHECK(back("oﬀer", "f") == "ﬀ"); // half of a ligature leads to all of it
  CHECK(back("v\xCC\xB6irus\xCC\xB6 x", "virus") == "v\xCC\xB6irus\xCC\xB6");
}

TEST_CASE("other readings differ from the plain one or are not made", "[topic_filter]") {
  view v;
  auto joined = [&](const char* t) { return read_joined(plain(t), v) ? v.text : "-"; };
  CHECK(joined("a b o u t it") == "about it");
  CHECK(joined("it is a.b.o.u.t") == "it is about");
  CHECK(joined("a b.c.d") == "a bcd");
  CHECK(joined("д и а") == "диа");
  CHECK(joined("a b") == "-");
  CHECK(joined("1 2 3 4") == "-");
  auto leet = [&](const char* t) { return read_leet(plain(t), v) ? v.text : "-"; };
  CHECK(leet("h3llo") == "hello");
  CHECK(leet("c@ncer!") == "cancer!");
  CHECK(leet("$100 or 4") == "-");
  CHECK(leet("hello!") == "-");
  auto once = [&](const char* t) { return read_collapsed(plain(t), 1, v) ? v.text : "-"; };
  auto twice = [&](const char* t) { return read_collapsed(plain(t), 2, v) ? v.text : "-"; };
  CHECK(once("heeeello all") == "hello all");
  CHECK(twice("illlness") == "illness");
  CHECK(once("дддом") == "дом");
  CHECK(once("hello 1000") == "-");
  auto unmarked = [&](const char* t) { return read_unmarked(plain(t), v) ? v.text : "-"; };
  CHECK(unmarked("vïrús") == "virus");
  CHECK(unmarked("smørbrød") == "smorbrod");
  CHECK(unmarked("virus") == "-");
  CHECK(unmarked("й") == "-");
  auto closed = [&](const char* t) { return read_closed(plain(t), v) ? v.text : "-"; };
  CHECK(closed("a vi.rus") == "a virus");
  CHECK(closed("v*i_rus, д/ом.") == "virus, дом.");
  CHECK(closed("the end. A 3.5 mm jack ...") == "-");
  CHECK(closed("don't re-use") == "-"); // apostrophes and hyphens tell words apart
}

TEST_CASE("scripts of letters are told, and words that mix those which look alike",
          "[topic_filter]") {
  CHECK(plain("123 !").scripts.none());
  CHECK(plain("abc").scripts.count() == 1);
  CHECK(plain("abc дом 糖").scripts.count() == 3);
  CHECK(!plain("abc дом").mixed);
  CHECK(!plain("IT-дом").mixed);
  CHECK(plain("vіrus").mixed); // a Cyrillic і
  CHECK(!plain("Tシャツ").mixed);
  CHECK(!plain("5 µm").mixed);
}

TEST_CASE("whatever the bytes, places lie in order within the original", "[topic_filter]") {
  seeded_rng chance{7};
  const std::vector<std::string> pieces = {"a",  "B",   "3",        "!",         " ",
                                           "-",  ".",   "é",        "e\xCC\x81", "\xCC\xB6",
                                           "ﬀ",  "㎏",  "\xC2\xAD", "糖",        "シ",
                                           "ม",  "हि",  "İ",        "ß",         "я",
                                           "’",  "☃",   "😀",        "\n",        "\xE2\x80\x8B",
                                           "oo", "zzz", "한",       "ّ",          "\xEF\xB7\xBA"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (auto n = chance.next() % 24; n > 0; --n)
      text += pieces[chance.next() % pieces.size()];
    INFO(round << " '" << text << "'");
    auto v = plain(text);
    auto holds = [&](const view& x) {
      REQUIRE(x.begin.size() == x.text.size());
      REQUIRE(x.end.size() == x.text.size());
      REQUIRE(x.kind.size() == x.text.size());
      for (std::size_t i = 0; i < x.text.size(); ++i) {
        REQUIRE(x.begin[i] < x.end[i]);
        REQUIRE(x.end[i] <= text.size());
        REQUIRE((i == 0 || x.begin[i - 1] <= x.begin[i]));
      }
    };
    holds(v);
    view other;
    for (auto read : {read_joined, read_leet, read_unmarked, read_closed})
      if (read(v, other))
        holds(other);
    for (auto times : {1U, 2U})
      if (read_collapsed(v, times, other))
        holds(other);
  }
}

TEST_CASE("bytes that are not UTF-8 have no normal form", "[topic_filter]") {
  view v;
  for (const char* bad : {"\xff", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80"})
    CHECK(normalize(bad, v).error().code == errc::bad_utf8);
}
