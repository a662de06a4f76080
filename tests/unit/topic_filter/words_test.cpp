// Where sentences end, and which language a text without a tag is in.
#include <catch2/catch.hpp>

#include "actors/topic_filter/language_guess.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "actors/topic_filter/words.hpp"

using namespace candor::topic_filter;

namespace {

/// The sentences of a text, as the words of its normal form.
std::vector<std::string> sentences(std::string_view text) {
  view v;
  REQUIRE(normalize(text, v));
  std::vector<word> words;
  std::vector<std::uint32_t> ends;
  split_words(v, words);
  sentence_ends(v, words, ends);
  REQUIRE(!ends.empty());
  CHECK(ends.back() == words.size());
  std::vector<std::string> made;
  std::size_t begin = 0;
  for (auto end : ends) {
    REQUIRE(end >= begin);
    if (end > begin)
      made.push_back(v.text.substr(words[begin].begin, words[end - 1].end - words[begin].begin));
    begin = end;
  }
  return made;
}

using list = std::vector<std::string>;

} // namespace

TEST_CASE("a sentence ends at its sign, in each script", "[topic_filter]") {
  CHECK(sentences("the first one stands. And the second stands! does a third?") ==
        list{"the first one stands", "and the second stands", "does a third"});
  CHECK(sentences("यह पहला वाक्य है। यह दूसरा वाक्य है।") == list{"यह पहला वाक्य है", "यह दूसरा वाक्य है"});
  CHECK(sentences("今日は天気がいい。明日は雨が降る？そうですか") ==
        list{"今日は天気がいい", "明日は雨が降る", "そうですか"});
  CHECK(sentences("هل هذا هو السؤال؟ هذا هو الجواب هنا") ==
        list{"هل هذا هو السؤال", "هذا هو الجواب هنا"});
}

TEST_CASE("neither a figure nor a name nor an abbreviation is a sentence's end", "[topic_filter]") {
  for (auto one : {"it costs 3.50 in example.com shops", "dr. smith has a boat", "no end here",
                   "a, b and c - and d", "so it is. yes", "", "...", "what is it?"})
    CHECK(sentences(one).size() <= 1);
}

TEST_CASE("a language is guessed where it is plain, and not from a word", "[topic_filter]") {
  CHECK(likely_language("which boots are good for a long walk in the hills?") == "en");
  CHECK(likely_language("welche schuhe sind gut für eine lange wanderung in den bergen?") == "de");
  CHECK(likely_language("¿qué zapatos son buenos para una caminata larga por la montaña?") == "es");
  CHECK(likely_language("quali scarpe sono adatte per una lunga passeggiata in montagna?") == "it");
  for (auto unsure : {"", "ok", "xqzt", "12 34"})
    CHECK(likely_language(unsure).empty());
}
