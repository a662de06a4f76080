// The classifier, its trainer and the filter with both: reproducible to the byte, closed where
// anything is wrong, and no disguise lets a sensitive text pass.
#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "actors/topic_filter/classifier.hpp"
#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/candor-train/course.hpp"
#include "tools/candor-train/distort.hpp"

using namespace candor;
using namespace candor::topic_filter;
using model::category;

namespace {

const std::filesystem::path shipped_lexicon = CANDOR_SOURCE_DIR "/configs/lexicon";

void write(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream{path, std::ios::binary} << text;
}

/// A corpus, a lexicon and vectors of a few words: learned in moments.
struct small_course {
  test::temporary_folder folder;
  train::course course;

  small_course() {
    const auto& at = folder.path();
    write(at / "lexicon/sensitive/health.en.txt", "[hard]\ndiabetes\n[soft]\nfever\n");
    write(at / "corpus/sensitive/health.en.txt",
          "[plain]\nmy {organ} hurts{| today}\nmy {organ} is ill\n[implied]\nthey found a shadow\n"
          "[mixed]\na gift for my {organ} doctor\n");
    write(at / "corpus/hard_negatives/health.en.txt", "my {thing} is ill made\n");
    write(at / "corpus/interests/outdoors.en.txt",
          "hiking with my {thing}\nboots for {snow|rain}\n");
    write(at / "corpus/everyday/en.txt", "set a timer\nwhat time is it\n");
    write(at / "corpus/slots/en.txt", "[organ]\nliver\nkidney\nlung\n[thing]\nlaptop\nboots\n");
    std::string vectors = "{\"vectors\":{";
    int place = 0;
    for (auto word : {"my", "liver", "kidney", "lung", "hiking", "boots", "laptop", "timer"}) {
      vectors += fmt::format("{}\"{}\":[", place ? "," : "", word);
      for (int d = 0; d < 100; ++d)
        vectors += fmt::format("{},", (place * 37 + d * 11) % 23 / 23.0);
      vectors += fmt::format("1.5,{}]", place++);
    }
    write(at / "vectors.json", vectors + "}}");
    course.corpus = at / "corpus";
    course.lexicon = at / "lexicon";
    course.vectors = at / "vectors.json";
    course.samples = 2000;
    course.groups = 1 << 10;
    course.how.epochs = 2;
  }
};

/// The filter as the build makes it, or none where the build made no model.
const filter* whole() {
  static const auto loaded = [] {
    auto program = std::filesystem::read_symlink("/proc/self/exe");
    return filter::load(shipped_lexicon,
                        program.parent_path().parent_path() / "share/candor/topics.model");
  }();
  if (!loaded) {
    WARN("skipped: " << loaded.error().to_string());
    return nullptr;
  }
  return loaded->get();
}

struct contrast {
  std::string lang, category, sensitive, harmless;
};

std::vector<contrast> contrasts() {
  std::vector<contrast> all;
  std::filesystem::path folder = CANDOR_SOURCE_DIR "/tests/topics";
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(folder))
    for (const auto& entry : std::filesystem::directory_iterator{folder})
      files.push_back(entry.path());
  std::ranges::sort(files);
  for (const auto& file : files) {
    auto name = file.filename().string(); // contrasts.LANG.tsv
    if (!name.starts_with("contrasts.") || file.extension() != ".tsv")
      continue;
    std::ifstream rows{file};
    for (std::string line; std::getline(rows, line);) {
      auto first = line.find('\t'), second = line.find('\t', first + 1);
      if (line.starts_with("#") || second == std::string::npos)
        continue;
      all.push_back({name.substr(10, name.size() - 14), line.substr(0, first),
                     line.substr(first + 1, second - first - 1), line.substr(second + 1)});
    }
  }
  return all;
}

} // namespace

TEST_CASE("the same inputs and seed make the same model, to the byte", "[topic_filter]") {
  small_course one;
  auto first = train::hold(one.course), second = train::hold(one.course);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->model == second->model);
  one.course.how.seed = 2;
  auto other = train::hold(one.course);
  REQUIRE(other);
  CHECK(first->model != other->model);
}

TEST_CASE("a model names what it was made of, and is refused with another lexicon",
          "[topic_filter]") {
  small_course c;
  auto made = train::hold(c.course);
  REQUIRE(made);
  auto file = c.folder.path() / "topics.model";
  write(file, made->model);
  auto loaded = filter::load(c.course.lexicon, file);
  REQUIRE(loaded);
  CHECK((*loaded)->model_made_of().at("lexicon") == (*loaded)->version());
  CHECK((*loaded)->classify("diabetes", "en").withheld());
  write(c.course.lexicon / "sensitive/health.en.txt", "[hard]\ndiabetes\nflu\n");
  auto refused = filter::load(c.course.lexicon, file);
  REQUIRE(!refused);
  CHECK_THAT(refused.error().detail, Catch::Contains("another lexicon"));
}

TEST_CASE("a model with any byte changed, cut off or missing is refused", "[topic_filter]") {
  small_course c;
  auto made = train::hold(c.course);
  REQUIRE(made);
  CHECK(parse_network(made->model));
  seeded_rng chance{3};
  for (int i = 0; i < 40; ++i) {
    auto broken = made->model;
    broken[chance.next() % broken.size()] ^= static_cast<char>(1 + chance.next() % 255);
    CHECK(!parse_network(broken));
    CHECK(!parse_network(
        std::string_view{made->model}.substr(0, chance.next() % made->model.size())));
  }
  CHECK(!filter::load(c.course.lexicon, c.folder.path() / "none.model"));
}

TEST_CASE("a model keeps the thresholds of each language, and those of all for the others",
          "[topic_filter]") {
  small_course c;
  std::string sentences; // enough that some of them are held out
  for (int i = 0; i < 60; ++i)
    sentences += fmt::format("das ist der satz {} von heute\n", i);
  write(c.folder.path() / "corpus/everyday/de.txt", sentences);
  auto made = train::hold(c.course);
  REQUIRE(made);
  auto read = parse_network(made->model);
  REQUIRE(read);
  REQUIRE(read->thresholds_of.contains("de"));
  auto& german = read->thresholds_of.at("de");
  german[any_output] += 1;
  auto again = parse_network(to_bytes(*read));
  REQUIRE(again);
  CHECK(again->thresholds_for(wording::other, "de") == german);
  CHECK(again->thresholds_for(wording::other, "xx") == again->thresholds[1]);
  CHECK(again->thresholds_for(wording::english, "de") == again->thresholds[0]);
  CHECK(again->thresholds_for(wording::other, "de") != again->thresholds[1]);
}

TEST_CASE("a closed filter withholds everything as unknown", "[topic_filter]") {
  auto closed = filter::closed();
  for (auto text : {"", "hello", "which hiking boots are good?", "\xff"})
    CHECK(closed->classify(text, "en").sensitive == std::vector{category::unknown});
}

TEST_CASE("with the model too, what cannot be judged is withheld", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  for (const auto& text : {std::string{"boots \xff"}, std::string(1 << 20, 'x'),
                           std::string(limits::utterance_bytes + 1, ' ')})
    CHECK(f->classify(text, "en").sensitive == std::vector{category::unknown});
}

TEST_CASE("what is judged without evidence has the verdict and the topics of what is explained",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  judgement fast; // its memory goes from text to text, as in a node
  seeded_rng chance{9};
  std::size_t texts = 0;
  auto check = [&](const std::string& text, const std::string& lang) {
    INFO(text);
    auto slow = f->classify(text, lang);
    f->judge_only(text, lang, fast);
    CHECK(fast.withheld() == slow.withheld());
    CHECK(fast.topics == slow.topics);
    CHECK(fast.evidence.empty());
    for (auto c : fast.sensitive) // it looks for no further ones
      CHECK(std::ranges::find(slow.sensitive, c) != slow.sensitive.end());
    ++texts;
  };
  for (const auto& c : contrasts())
    for (const auto& text : {c.sensitive, c.harmless}) {
      check(text, c.lang);
      check(text, "");
      auto how = static_cast<train::distortion>(chance.next() % train::distortion_names.size());
      check(train::distort(text, how, 0, text.size(), chance), c.lang);
    }
  check("\xff", "en");
  check(std::string(limits::utterance_bytes + 1, 'x'), "en");
  CHECK(texts > 1000);
}

TEST_CASE("of fifty withheld messages the named rule and span stand in the text",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  // One message of each category and language in turn, so that fifty speak for all.
  auto all = contrasts();
  std::map<std::string, std::vector<std::string>> by_subject;
  for (const auto& c : all)
    by_subject[c.category + " " + c.lang].push_back(c.sensitive);
  int withheld = 0, rules = 0, words = 0;
  for (std::size_t round = 0; round < 40 && withheld < 50; ++round)
    for (const auto& [subject, texts] : by_subject) {
      if (round >= texts.size() || withheld == 50)
        continue;
      const auto& text = texts[round];
      auto j = f->classify(text, "");
      if (!j.withheld())
        continue;
      INFO(text);
      ++withheld;
      // Every category that it is withheld for is accounted for by somebody.
      for (auto c : j.sensitive)
        CHECK(std::ranges::any_of(j.evidence,
                                  [&](const auto& e) { return e.subject == to_string(c); }));
      for (const auto& e : j.evidence) {
        REQUIRE(e.begin < e.end);
        REQUIRE(e.end <= text.size());
        view span, term;
        REQUIRE(normalize(std::string_view{text}.substr(e.begin, e.end - e.begin), span));
        CHECK(!span.text.empty());
        if (e.score) { // the classifier: a word, and why it counts
          CHECK(e.rule == e.subject + "/model");
          CHECK(*e.score >= 0);
          CHECK(*e.score <= 1);
          ++words;
          continue;
        }
        // The lexicon: "category/language/tier/term", a stem with a star. In the plain reading the
        // span is the term; in another it is what stands for it.
        auto named = e.rule.substr(e.rule.rfind('/') + 1);
        auto stem = named.ends_with('*');
        if (stem)
          named.pop_back();
        CHECK(e.rule.starts_with(e.subject + "/"));
        if (e.view != "plain")
          continue;
        REQUIRE(normalize(named, term));
        if (stem)
          CHECK(span.text.starts_with(term.text));
        else
          CHECK(span.text == term.text);
        ++rules;
      }
    }
  if (all.empty()) {
    WARN("skipped: there is no contrast table");
    return;
  }
  CHECK(withheld == 50);
  CHECK(rules > 20);
  CHECK(words > 20);
}

TEST_CASE("of an interest the words that speak for it are named", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  int told = 0, topics = 0;
  for (const std::string text :
       {"which hiking boots are good for the mountains", "a recipe for pasta with tomatoes",
        "the best laptop for programming", "cheap flights and a hotel in Rome",
        "which guitar should a beginner buy", "the football match of last night"}) {
    INFO(text);
    auto j = f->classify(text, "en");
    CHECK(!j.withheld());
    for (const auto& t : j.topics) {
      ++topics;
      auto slug = model::info(t.topic).slug;
      auto is_finer = !model::info(t.topic).parent.empty();
      auto named = false;
      for (const auto& e : j.evidence) // of a finer one a term, of others the classifier's words
        if (e.subject == slug && (e.score || is_finer) && e.begin < e.end && e.end <= text.size()) {
          // Whole words of the text.
          CHECK((e.begin == 0 || text[e.begin - 1] == ' '));
          CHECK((e.end == text.size() || text[e.end] == ' '));
          named = true;
        }
      CHECK(named);
      told += named ? 1 : 0;
    }
  }
  CHECK(topics >= 4);
  CHECK(told == topics);
}

TEST_CASE("most sensitive sentences of the contrast tables are withheld, most twins pass",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  std::map<std::string, std::array<int, 3>> by_lang; // withheld, passed, rows
  for (const auto& c : contrasts()) {
    auto& n = by_lang[c.lang];
    n[0] += f->classify(c.sensitive, c.lang).withheld() ? 1 : 0;
    n[1] += f->classify(c.harmless, c.lang).withheld() ? 0 : 1;
    ++n[2];
  }
  std::string told;
  int withheld = 0, passed = 0, rows = 0;
  for (const auto& [lang, n] : by_lang) {
    told += fmt::format("\n  {}: withheld {} of {}, twins passed {}", lang, n[0], n[2], n[1]);
    withheld += n[0];
    passed += n[1];
    rows += n[2];
  }
  if (rows == 0) {
    WARN("skipped: there is no contrast table");
    return;
  }
  WARN("contrasts:" << told);
  CHECK(withheld > rows * 3 / 4);
  CHECK(passed > rows * 3 / 5);
}

TEST_CASE("few short harmless sentences are withheld for a word that nobody knows",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  std::map<std::string, std::array<std::vector<std::string>, 2>> by_lang; // frames, words
  std::ifstream rows{CANDOR_SOURCE_DIR "/tests/topics/unknown_words.tsv"};
  for (std::string line; std::getline(rows, line);) {
    auto first = line.find('\t'), second = line.find('\t', first + 1);
    if (!line.starts_with("#") && second != std::string::npos)
      by_lang[line.substr(0, first)][line.substr(first + 1, second - first - 1) == "word"]
          .push_back(line.substr(second + 1));
  }
  REQUIRE(by_lang.size() == 17);
  std::string told;
  int all = 0, all_withheld = 0;
  judgement judged;
  for (const auto& [lang, of] : by_lang) {
    int sentences = 0, withheld = 0;
    for (const auto& frame : of[0])
      for (const auto& word : of[1]) {
        auto said = frame;
        said.replace(said.find("{}"), 2, word);
        ++sentences;
        f->judge_only(said, lang, judged);
        withheld += judged.withheld() ? 1 : 0;
      }
    told += fmt::format("\n  {}: {} of {} withheld", lang, withheld, sentences);
    all += sentences;
    all_withheld += withheld;
    INFO(lang);
    CHECK(withheld * 8 <= sentences);
  }
  WARN("unknown words:" << told);
  CHECK(all_withheld * 25 <= all);
}

TEST_CASE("neither case nor width nor a harmless sentence beside it lets a sensitive text pass",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  int rows = 0, passed = 0;
  seeded_rng chance{5};
  for (const auto& c : contrasts()) {
    if (c.lang != "en" || !f->classify(c.sensitive, "en").withheld())
      continue;
    INFO(c.sensitive);
    auto size = c.sensitive.size();
    for (auto how : {train::distortion::case_noise, train::distortion::full_width,
                     train::distortion::invisible})
      CHECK(f->classify(train::distort(c.sensitive, how, 0, size, chance), "en").withheld());
    ++rows;
    passed += f->classify(c.sensitive + ". which boots are good for a long walk?", "en").withheld()
                  ? 0
                  : 1;
  }
  INFO(passed << " of " << rows << " pass with a sentence beside them");
  CHECK(passed * 20 <= rows);
}

TEST_CASE("without a tag harmless texts pass about as often, and sensitive ones no more often",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  std::array<int, 2> passed{}, withheld{}; // with a tag, without
  int rows = 0;
  for (const auto& c : contrasts()) {
    if (c.lang == "en")
      continue;
    ++rows;
    for (std::size_t i : {0U, 1U}) {
      auto lang = i == 0 ? c.lang : std::string{};
      passed[i] += f->classify(c.harmless, lang).withheld() ? 0 : 1;
      withheld[i] += f->classify(c.sensitive, lang).withheld() ? 1 : 0;
    }
  }
  INFO("passed " << passed[0] << " with a tag, " << passed[1] << " without; withheld "
                 << withheld[0] << ", " << withheld[1] << " of " << rows);
  CHECK((passed[0] - passed[1]) * 33 <= rows);
  CHECK((withheld[0] - withheld[1]) * 100 <= rows);
}

TEST_CASE("of topics the likelier stands first, also where all are weak", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  int compared = 0;
  for (const auto& c : contrasts()) {
    auto j = f->classify(c.harmless, c.lang);
    double before = 1;
    for (const auto& t : j.topics) {
      auto told = std::ranges::find_if(j.evidence, [&](const auto& e) {
        return e.score && e.subject == model::info(t.topic).slug;
      });
      if (told == j.evidence.end())
        continue;
      INFO(c.harmless << ": " << told->subject);
      CHECK(*told->score <= before);
      before = *told->score;
      ++compared;
    }
  }
  if (compared == 0)
    WARN("skipped: there is no contrast table");
}

TEST_CASE("a plain sentence of an interest gets that interest first", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  const std::vector<std::pair<std::string, std::string>> all = {
      {"automotive", "the brakes of my old pickup truck squeal when I slow down"},
      {"books", "which of her novels has the best last chapter"},
      {"business", "our small company wants to find more customers and suppliers"},
      {"careers", "how do I prepare for a second interview with the hiring team"},
      {"education", "my professor moved the exam to the last week of the semester"},
      {"family", "our toddler loves the playground and bedtime stories"},
      {"fashion_beauty", "does this lipstick go with a green dress"},
      {"fitness", "how many squats and push-ups make a good workout"},
      {"food_drink", "roast the potatoes with garlic and rosemary"},
      {"gaming", "the second boss of this rpg is harder than the final level"},
      {"hobbies", "I knit a scarf and built a model railway this winter"},
      {"home_garden", "when should I prune the roses and mow the lawn"},
      {"movies_tv", "the director's latest film has a great soundtrack and actors"},
      {"music", "she plays the bass guitar in a jazz band"},
      {"outdoors", "a tent and a sleeping bag for a night on the trail"},
      {"personal_finance", "which bank account pays interest on my savings"},
      {"pets", "my puppy chews on its leash and barks at cats"},
      {"arts_photo", "which lens gives a soft background in portrait photos"},
      {"real_estate", "the landlord rents out an apartment with two bedrooms"},
      {"science", "astronomers measured the orbit of a distant planet"},
      {"sports", "the striker scored twice before the goalkeeper was replaced"},
      {"technology", "my laptop needs more memory to compile this software"},
      {"travel", "a cheap flight and a hotel near the old town of Lisbon"},
      {"weather", "will it rain tomorrow or will the sun shine"}};
  std::size_t right = 0;
  std::string wrong;
  for (const auto& [topic, text] : all) {
    auto j = f->classify(text, "en");
    auto first = j.topics.empty() ? std::string_view{} : model::info(j.topics[0].topic).slug;
    if (first == topic)
      ++right;
    else
      wrong += fmt::format("\n  {}: {}", topic, first);
  }
  INFO("wrong:" << wrong);
  CHECK(right * 6 >= all.size() * 5);
}

TEST_CASE("a finer topic comes with the one above it, of the same weight and after it",
          "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  const std::vector<std::pair<std::string, std::string>> all = {
      {"soccer", "the goalkeeper saved a penalty kick in the champions league final"},
      {"dogs", "my labrador needs a new dog food and leash training"},
      {"gardening", "compost and mulch for the raised beds in my vegetable garden"},
      {"programming", "a python script that calls a rest api, and its unit tests"},
      {"astronomy", "which telescope shows nebulae and the milky way"},
      {"weddings", "the wedding venue, the bridesmaids and a best man speech"}};
  std::size_t right = 0;
  for (const auto& [topic, text] : all) {
    auto j = f->classify(text, "en");
    for (auto t = j.topics.begin(); t != j.topics.end(); ++t) {
      const auto& is = model::info(t->topic);
      if (is.parent.empty())
        continue;
      INFO(text << ": " << is.slug);
      auto above =
          std::ranges::find(j.topics, *model::find_topic(is.parent), &model::topic_weight::topic);
      REQUIRE(above < t);
      CHECK(above->weight == t->weight);
      right += is.slug == topic ? 1 : 0;
    }
  }
  CHECK(right >= 5);
}

TEST_CASE("words glued and letters repeated in several ways are mended", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  for (const auto* text : {"sincemayihavediabetesagain", "she hhaass ddiiabbeettees now",
                           "i'msurethatthisisdiabetes"}) {
    INFO(text);
    auto judged = f->classify(text, "en");
    CHECK(std::ranges::find(judged.sensitive, category::health) != judged.sensitive.end());
    CHECK(std::ranges::find(judged.evidence, "mended", &evidence::view) != judged.evidence.end());
  }
}

TEST_CASE("few disguises of a sensitive text let it pass", "[topic_filter][data]") {
  const auto* f = whole();
  if (!f)
    return;
  seeded_rng chance{7};
  std::string told;
  int all = 0, all_passed = 0;
  for (std::size_t d = 0; d < train::distortion_names.size(); ++d) {
    int rows = 0, passed = 0;
    for (const auto& c : contrasts()) {
      if (c.lang != "en" || !f->classify(c.sensitive, "en").withheld())
        continue;
      auto hidden = train::distort(c.sensitive, static_cast<train::distortion>(d), 0,
                                   c.sensitive.size(), chance);
      ++rows;
      passed += f->classify(hidden, "en").withheld() ? 0 : 1;
    }
    told += fmt::format("\n  {}: {} of {} pass", train::distortion_names[d], passed, rows);
    all += rows;
    all_passed += passed;
  }
  WARN("disguises:" << told);
  CHECK(all_passed * 12 <= all);
}
