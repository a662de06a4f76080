#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <thread>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/topic_filter/filter.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::topic_filter;
using model::category;

namespace {

// What the types promise, held by the compiler.
static_assert(!std::is_copy_constructible_v<model::raw_utterance>);
static_assert(!std::is_copy_assignable_v<model::raw_utterance>);
static_assert(!std::is_default_constructible_v<model::raw_utterance::reader>);
static_assert(!fmt::is_formattable<model::raw_utterance>::value);
static_assert(!std::is_constructible_v<std::string, model::raw_utterance>);
static_assert(!std::is_constructible_v<nlohmann::json, model::raw_utterance>);
static_assert(!std::is_constructible_v<model::sanitized_signal, model::admission,
                                       std::vector<model::topic_weight>>);

struct lexicon_folder {
  test::temporary_folder folder;
  lexicon_folder& with(const std::string& file, const std::string& text) {
    auto path = folder.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path} << text;
    return *this;
  }
  result<std::unique_ptr<filter>> load() { return filter::load(folder.path()); }
};

std::unique_ptr<filter> small() {
  lexicon_folder f;
  f.with("sensitive/health.en.txt",
         "# illnesses\n[hard]\ndiabet*\nheart attack\nVIRUS\n"
         "[soft]\nfever\ncough\ncoughs\ncan't sleep\n[bound]\npatch ~ nicotine | quit smok*\n")
      .with("sensitive/religion.en.txt", "[hard]\nchurch\nbishop\n")
      .with("sensitive/health.de.txt", "[hard]\ngift\nzuckerkrankheit\n")
      .with("sensitive/health.ja.txt", "[hard]\n糖尿病\n")
      .with("topics/outdoors.en.txt", "hiking\nwinter boots = 3\n")
      .with("topics/technology.en.txt", "laptop = 2\nvirus scan\n")
      .with("topics/gaming.en.txt", "chess\n")
      .with("exceptions.en.txt", "virus scan : health\nbishop to : religion\nchurch key : *\n");
  auto loaded = f.load();
  if (!loaded)
    throw std::runtime_error{loaded.error().to_string()};
  return std::move(*loaded);
}

std::vector<category> found(std::string_view text, std::string_view lang = "en") {
  static const auto f = small();
  return f->classify(text, lang).sensitive;
}

const std::vector<category> nothing, health{category::health}, religion{category::religion},
    unknown{category::unknown};

} // namespace

TEST_CASE("a hard term blocks alone, at word boundaries, with any ending where it is a stem",
          "[topic_filter]") {
  CHECK(found("my heart attack last year") == health);
  CHECK(found("diabetes") == health);
  CHECK(found("is he diabetic?") == health);
  CHECK(found("prediabetes") == nothing);
  CHECK(found("heart attacks") == nothing); // no stem
  CHECK(found("the churchill biography") == nothing);
}

TEST_CASE("two different soft terms of a category block, one does not", "[topic_filter]") {
  CHECK(found("football fever") == nothing);
  CHECK(found("fever fever fever") == nothing);
  CHECK(found("coughs and a cough") == nothing);
  CHECK(found("fever and a cough") == health);
}

TEST_CASE("a bound term blocks near its neighbour alone", "[topic_filter]") {
  CHECK(found("a patch for my jeans") == nothing);
  CHECK(found("which nicotine patch works") == health);
  CHECK(found("a patch to quit smoking") == health);
  CHECK(found("a patch one two three four five six seven nicotine") == nothing);
}

TEST_CASE("an exception cancels its own hit and never the message", "[topic_filter]") {
  CHECK(found("run a virus scan on my laptop") == nothing);
  CHECK(found("a virus scan while I have a virus") == health);
  CHECK(found("bishop to e5 is the best move") == nothing);
  CHECK(found("bishop to e5, said the bishop") == religion);
  CHECK(found("a church key for the bottle") == nothing);
}

TEST_CASE("case, width, spacing and invisible characters hide nothing", "[topic_filter]") {
  CHECK(found("a cough, I can’t sleep") == health);
  CHECK(found("HEART ATTACK") == health);
  CHECK(found("heart-attack") == health);
  CHECK(found("heart \n\t attack") == health);
  CHECK(found("ｈｅａｒｔ　ａｔｔａｃｋ") == health);
  CHECK(found("v\xCC\xB6i\xCC\xB6r\xCC\xB6us") == health); // struck through
  CHECK(found("vïrús") == health);
  CHECK(found("heart at\xE2\x80\x8Btack") == health); // zero-width space
  CHECK(found("diab\xC2\xAD"
              "etes") == health); // soft hyphen
}

TEST_CASE("letters apart, signs for letters and stretched words are read too", "[topic_filter]") {
  CHECK(found("d i a b e t e s") == health);
  CHECK(found("v.i.r.u.s") == health);
  CHECK(found("d1abetes") == health);
  CHECK(found("diabeeeeetes") == health);
  CHECK(found("churrrrch") == religion);
  CHECK(found("my dia_betes") == health);
  CHECK(found("run a vir.us scan") == nothing);
  CHECK(found("I  h a v e  d i a b e t e s") == health); // where words begin is lost
  CHECK(found("f l u t e s") == nothing);
  CHECK(found("fever and a c0ugh") == health); // two readings, one message
  CHECK(found("p a t c h with nicotine") == health);
  CHECK(found("run a v1rus scan") == nothing); // an exception is read in other ways too
}

TEST_CASE("a hit is told once, in the plainest reading that finds it", "[topic_filter]") {
  auto j = small()->classify("d1abetes and a virus", "en");
  REQUIRE(j.evidence.size() == 2);
  for (const auto& e : j.evidence)
    CHECK(e.view == (e.rule.ends_with("virus") ? "plain" : "leet"));
}

TEST_CASE("another language's words count in that language, in English, or where none is named",
          "[topic_filter]") {
  CHECK(found("a gift for my mother", "en") == nothing);
  CHECK(found("das gift der schlange", "de") == health);
  CHECK(found("diabetes", "de") == health); // English is mixed in everywhere
  CHECK(found("a gift", "") == health);
  CHECK(found("a gift", "und") == health);
  CHECK(found("糖尿病です", "ja") == health);
  CHECK(found("糖尿病", "en") == health); // a script can't be taken for another
}

TEST_CASE("what cannot be judged is withheld as unknown", "[topic_filter]") {
  CHECK(found("hello \xff\xfe") == unknown);
  CHECK(found("сегодня хорошая погода", "en") == unknown); // no lexicon knows this script
  CHECK(found("dobry den", "cs") == unknown);              // nor this language
  CHECK(found(std::string(limits::utterance_bytes + 1, 'a')) == unknown);
  CHECK(found(std::string(1 << 20, 'x')) == unknown);
  CHECK(found("สวัสดี") == unknown);
  CHECK(found("a vіrus") == unknown); // a Cyrillic і
  std::vector<std::string> too_many(limits::context_turns + 1, "hello");
  CHECK(small()->classify("hello", "en", too_many).sensitive == unknown);
  std::vector<std::string> broken{"hello", "\xff"};
  CHECK(small()->classify("hello", "en", broken).sensitive == unknown);
  CHECK(found("") == nothing);
  CHECK(found(" \n ") == nothing);
}

TEST_CASE("Latin letters are judged only where a lexicon is written in them", "[topic_filter]") {
  auto f = lexicon_folder{}.with("sensitive/health.ja.txt", "[hard]\n糖尿病\nhiv\n").load();
  REQUIRE(f);
  CHECK((*f)->classify("hello there", "").sensitive == unknown);
  CHECK((*f)->classify("こんにちは", "ja").sensitive == nothing);
  CHECK((*f)->classify("糖尿病", "").sensitive == health);
  CHECK((*f)->classify("12:30 😀", "").sensitive == nothing); // no letters
}

TEST_CASE("letters that look alike do not hide a word where both scripts have a lexicon",
          "[topic_filter]") {
  auto f = lexicon_folder{}
               .with("sensitive/health.en.txt", "[hard]\nvirus\n")
               .with("sensitive/health.ru.txt", "[hard]\nвирус\n")
               .load();
  REQUIRE(f);
  CHECK((*f)->classify("хорошая погода today", "").sensitive == nothing);
  CHECK((*f)->classify("vіrus", "").sensitive == unknown);
}

TEST_CASE("one thread judges by many filters, also by one made where another was",
          "[topic_filter]") {
  for (int round = 0; round < 20; ++round) {
    std::string terms = "[hard]\nvirus\n";
    for (int i = 0; i < round * 300; ++i)
      terms += fmt::format("term{}x{}*\n", i, round);
    auto f = lexicon_folder{}.with("sensitive/health.en.txt", terms).load();
    REQUIRE(f);
    CHECK((*f)->classify("a virus", "en").sensitive == health);
    CHECK((*f)->classify("weather", "en").sensitive == nothing);
  }
}

TEST_CASE("threads judge by one filter at a time", "[topic_filter]") {
  auto f = small();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        wrong += f->classify("d1abetes", "en").sensitive == health ? 0 : 1;
        wrong += f->classify("hiking in winter boots", "en").topics.size() == 1 ? 0 : 1;
      }
    });
  for (auto& t : threads)
    t.join();
  CHECK(wrong == 0);
}

TEST_CASE("whatever the bytes, evidence lies within the text", "[topic_filter]") {
  auto f = small();
  seeded_rng chance{11};
  const std::vector<std::string> pieces = {
      "diabet", "virus", "patch",    "nicotine", "fever", "cough", " ",    " scan", ".",     "1",
      "ｖ",     "é",     "\xCC\xB6", "糖尿病",   "s",     "i",     "\xff", "\n",    "hiking"};
  std::size_t told = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (auto n = chance.next() % 12; n > 0; --n)
      text += pieces[chance.next() % pieces.size()];
    for (const auto& e : f->classify(text, "").evidence) {
      REQUIRE(e.begin < e.end);
      REQUIRE(e.end <= text.size());
      ++told;
    }
  }
  CHECK(told > 1000);
}

TEST_CASE("a text with more hits than can be judged is withheld", "[topic_filter]") {
  std::string many;
  while (many.size() < limits::utterance_bytes - 10)
    many += "a b ";
  auto f = lexicon_folder{}
               .with("sensitive/health.en.txt", "[hard]\nflu\n")
               .with("topics/books.en.txt", "a\nb\n")
               .load();
  REQUIRE(f);
  CHECK((*f)->classify(many, "en").sensitive == unknown);
}

TEST_CASE("earlier turns are judged with the text and teach nothing", "[topic_filter]") {
  auto f = small();
  std::vector<std::string> turns{"I have diabetes"};
  CHECK(f->classify("which boots for hiking?", "en", turns).sensitive == health);
  turns = {"tell me about my laptop"};
  auto j = f->classify("hiking", "en", turns);
  REQUIRE(j.topics.size() == 1);
  CHECK(model::info(j.topics[0].topic).slug == "outdoors");
}

TEST_CASE("topics weigh by their terms, one mention at the least and two at the most",
          "[topic_filter]") {
  auto f = small();
  auto weight = [&](const char* text) {
    auto j = f->classify(text, "en");
    return j.topics.empty() ? 0 : j.topics[0].weight;
  };
  CHECK(weight("nothing of it") == 0);
  CHECK(weight("hiking") == model::one_mention);
  CHECK(weight("hiking hiking hiking") == model::one_mention);
  CHECK(weight("hiking in winter boots") == 2 * model::one_mention);
  CHECK(f->classify("hiking and chess", "en").topics.size() == 2);
  CHECK(f->classify("hiking in winter boots and chess", "en").topics.size() == 1);
}

TEST_CASE("a term of a finer topic gives that and the one above it, which stands first",
          "[topic_filter]") {
  lexicon_folder folder;
  auto f = folder.with("sensitive/health.en.txt", "[hard]\nflu\n")
               .with("topics/sports.en.txt", "stadium = 2\n")
               .with("topics/soccer.en.txt", "penalty shootout = 3\n")
               .with("topics/tennis.en.txt", "racket = 3\n")
               .load();
  REQUIRE(f);
  auto topics = [&](std::string_view text) {
    std::vector<std::string_view> slugs;
    for (const auto& t : (*f)->classify(text, "en").topics)
      slugs.push_back(model::info(t.topic).slug);
    return slugs;
  };
  CHECK(topics("a penalty shootout") == std::vector<std::string_view>{"sports", "soccer"});
  CHECK(topics("a full stadium") == std::vector<std::string_view>{"sports"});
  CHECK(topics("a racket and a penalty shootout") ==
        std::vector<std::string_view>{"sports", "soccer", "tennis"});
  CHECK(topics("a penalty shootout with the flu").empty());
}

TEST_CASE("evidence names rules and spans that occur in the text", "[topic_filter]") {
  auto f = small();
  for (std::string text :
       {"Ünlucky: a HEART  attack", "d1abetes", "ＶＩＲＵＳ", "v.i.r.u.s is out"}) {
    INFO(text);
    auto j = f->classify(text, "en");
    REQUIRE(j.sensitive == health);
    REQUIRE(!j.evidence.empty());
    const auto& e = j.evidence.front();
    CHECK(e.rule.starts_with("health/en/hard/"));
    CHECK(e.begin < e.end);
    CHECK(e.end <= text.size());
  }
  auto span = [&](const std::string& text) {
    auto j = f->classify(text, "en");
    REQUIRE(!j.evidence.empty());
    return text.substr(j.evidence[0].begin, j.evidence[0].end - j.evidence[0].begin);
  };
  CHECK(span("virus   ") == "virus");
  CHECK(span("so v.i.r.u.s!") == "v.i.r.u.s");
  CHECK(span("a ＶＩＲＵＳ　b") == "ＶＩＲＵＳ");
  CHECK(span("is he diabetic, then") == "diabetic");
  auto j = f->classify("Ünlucky: a HEART  attack", "en");
  std::string text{"Ünlucky: a HEART  attack"};
  CHECK(text.substr(j.evidence[0].begin, j.evidence[0].end - j.evidence[0].begin) ==
        "HEART  attack");
}

TEST_CASE("a withheld event makes no signal, and neither does a badly understood voice",
          "[topic_filter]") {
  auto f = small();
  auto say = [&](const char* text, double confidence) {
    model::event e{"e1", *user_id::parse("ann"), timestamp{}};
    e.lang = "en";
    e.modality = model::modality::voice;
    e.confidence = confidence;
    e.utterance = model::raw_utterance{text};
    return f->sanitize({"e1", "ann", {}, {}, e.kind, {}, 0}, e);
  };
  CHECK(!say("diabetes and hiking", 0.9));
  CHECK(say("hiking", 0.9));
  CHECK(!say("hiking", 0.49));
  CHECK(!say("hiking", std::nan("")));
}

TEST_CASE("a liked object's stated topics count beside its text", "[topic_filter]") {
  auto f = small();
  model::event e{"l1", *user_id::parse("ann"), timestamp{}, model::event_kind::engagement};
  e.lang = "en";
  e.object_topics = {*model::find_topic("pets"), *model::find_topic("outdoors")};
  e.utterance = model::raw_utterance{"hiking"};
  auto signal = f->sanitize({"l1", "ann", {}, {}, e.kind, {}, 0}, e);
  REQUIRE(signal);
  CHECK(signal->topics() ==
        std::vector<model::topic_weight>{{*model::find_topic("outdoors"), 2 * model::one_mention},
                                         {*model::find_topic("pets"), model::one_mention}});
  auto stated = e.object_topics;
  e.object_topics = {0, 999, stated[0], stated[0]}; // not in the allow-list, and one twice
  e.utterance = model::raw_utterance{""};
  signal = f->sanitize({"l1", "ann", {}, {}, e.kind, {}, 0}, e);
  REQUIRE(signal);
  CHECK(signal->topics() == std::vector<model::topic_weight>{{stated[0], model::one_mention}});
  e.utterance = model::raw_utterance{"church"};
  CHECK(!f->sanitize({"l1", "ann", {}, {}, e.kind, {}, 0}, e));
}

TEST_CASE("a lexicon with a fault is refused with its place", "[topic_filter]") {
  struct row {
    std::string file, text, words;
  };
  for (const auto& r : std::vector<row>{
           {"sensitive/health.en.txt", "flu\n", ":1: "},
           {"sensitive/health.en.txt", "[hard]\n\nfl*u\n", ":3: "},
           {"sensitive/health.en.txt", "[firm]\nflu\n", "[hard], [soft] or [bound]"},
           {"sensitive/health.en.txt", "[bound]\nflu\n", "neighbour"},
           {"sensitive/health.en.txt", "[hard]\n\xff\n", "UTF-8"},
           {"sensitive/wealth.en.txt", "[hard]\nflu\n", "not a sensitive category"},
           {"sensitive/health.txt", "[hard]\nflu\n", "SUBJECT.LANG.txt"},
           {"sensitive/health.en.txt", "", ":1: "},
           {"sensitive/health.en.txt", "[hard]\n# flu\n", "no term"},
           {"sensitive/health.en.txt", "[hard]\nflu\npatch ~ nicotine\n", ":3: "},
           {"sensitive/health.en.txt", "[hard]\nflu\x01\n", ":2: "},
           {"sensitive/health.en.txt", "[hard]\n...\n", "letter"},
           {"sensitive/health.en.txt", "\xEF\xBB\xBF[hard]\nflu\n", "byte order"},
           {"sensitive/health.en.text", "[hard]\nflu\n", "SUBJECT.LANG.txt"},
           {"sensitive/health.english.txt", "[hard]\nflu\n", "SUBJECT.LANG.txt"},
           {"sensitive/health.xx.txt", "[hard]\nflu\n", "no script"},
           {"sensitive/unknown.en.txt", "[hard]\nflu\n", "not a sensitive category"},
           {"topics/pets.en.txt", "[hard]\ncat\n", ":1: "},
           {"exceptions.en.txt", "virus scan : unknown\n", "not a sensitive category"},
           {"notes.en.txt", "cat : *\n", "exceptions.LANG.txt"},
           {"topics/health.en.txt", "flu\n", "not an interest topic"},
           {"topics/pets.en.txt", "cat = 9\n", "1..3"},
           {"exceptions.en.txt", "virus scan\n", "phrase"},
           {"exceptions.en.txt", "virus scan : wealth\n", "not a sensitive category"},
       }) {
    INFO(r.file << " " << r.text);
    auto f = lexicon_folder{}
                 .with("sensitive/religion.en.txt", "[hard]\nchurch\n")
                 .with(r.file, r.text)
                 .load();
    REQUIRE(!f);
    CHECK(f.error().code == errc::config_invalid);
    CHECK_THAT(f.error().detail, Catch::Contains(r.words));
  }
}

TEST_CASE("without sensitive terms there is no filter", "[topic_filter]") {
  CHECK(!filter::load("/nowhere"));
  CHECK(!lexicon_folder{}.with("topics/pets.en.txt", "cat\n").load());
}

TEST_CASE("the version names the lexicon to the byte", "[topic_filter]") {
  auto version = [](const char* terms) {
    auto f = lexicon_folder{}.with("sensitive/health.en.txt", terms).load();
    REQUIRE(f);
    return (*f)->version();
  };
  CHECK(version("[hard]\nflu\n") == version("[hard]\nflu\n"));
  CHECK(version("[hard]\nflu\n") != version("[hard]\nflu\n#\n"));
}

TEST_CASE("a wiped utterance is empty", "[topic_filter]") {
  model::raw_utterance u{"diabetes", {"one"}};
  CHECK(u.size() == 11);
  auto moved = std::move(u);
  CHECK(u.empty()); // NOLINT: emptiness after a move is what is promised
  moved.wipe();
  CHECK(moved.empty());
}

TEST_CASE("the shipped lexicon withholds and keeps on the labelled development rows",
          "[topic_filter][data]") {
  std::ifstream rows{CANDOR_SOURCE_DIR "/../shared/topics/sensitive.jsonl"};
  if (!rows) {
    WARN("skipped: the labelled rows (../shared/topics) are not here");
    return;
  }
  auto f = filter::load(CANDOR_SOURCE_DIR "/configs/lexicon");
  if (!f)
    FAIL(f.error().to_string());
  // Languages without a lexicon are withheld whole: they would flatter one number and spoil the
  // other.
  int sensitive = 0, withheld = 0, clean = 0, kept = 0;
  for (std::string line; std::getline(rows, line);) {
    auto row = nlohmann::json::parse(line);
    if (row["lang"] != "en")
      continue;
    auto judged = (*f)->classify(row["text"].get<std::string>(), "en").withheld();
    if (!row["sensitive"].empty()) {
      ++sensitive;
      withheld += judged ? 1 : 0;
    } else if (row["maybe"].empty()) {
      ++clean;
      kept += judged ? 0 : 1;
    }
  }
  REQUIRE(sensitive > 0);
  REQUIRE(clean > 0);
  auto recall = 100.0 * withheld / sensitive, utility = 100.0 * kept / clean;
  WARN(fmt::format("English: recall {:.1f} % of {}, utility {:.1f} % of {}", recall, sensitive,
                   utility, clean));
  CHECK(recall > 85);
  CHECK(utility > 90);
}

TEST_CASE("the shipped lexicon withholds every category and keeps everyday talk",
          "[topic_filter][data]") {
  auto f = filter::load(CANDOR_SOURCE_DIR "/configs/lexicon");
  if (!f)
    FAIL(f.error().to_string());
  CHECK((*f)->terms() > 5000);
  struct row {
    const char* text;
    category expected;
  };
  for (const auto& r : std::vector<row>{
           {"who should I vote for in the election", category::politics},
           {"my diabetes medication makes me dizzy", category::health},
           {"which mosque is near the hotel", category::religion},
           {"I am gay and looking for a quiet bar", category::sexual_orientation},
           {"where do I apply for food stamps", category::financial_hardship},
           {"what does a DNA test cost", category::genetic_biometric},
           {"we want to join the trade union", category::union_membership},
           {"I was arrested last night", category::criminal},
       }) {
    INFO(r.text);
    auto found = (*f)->classify(r.text, "en").sensitive;
    CHECK(std::ranges::find(found, r.expected) != found.end());
  }
  for (const char* text :
       {"which hiking boots are good for wet weather", "run a virus scan on my laptop",
        "bishop to e5 is the best move", "a recipe with extra virgin olive oil"}) {
    INFO(text);
    CHECK((*f)->classify(text, "en").sensitive.empty());
  }
}
