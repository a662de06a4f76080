// A filter is put in another's place while threads judge: nothing fails, nothing goes unfiltered.
#include <catch2/catch.hpp>

#include <atomic>
#include <fstream>
#include <thread>

#include "actors/topic_filter/hook.hpp"
#include "actors/topic_filter/live_filter.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tools/candor-train/course.hpp"

using namespace candor;
using namespace candor::topic_filter;

namespace {

judgement judgement_by(const std::shared_ptr<const filter>& by, std::string_view text) {
  judgement j;
  by->judge_only(text, "en", j);
  return j;
}

void write(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream{path, std::ios::binary} << text;
}

struct folder_of_files {
  test::temporary_folder folder;
  std::filesystem::path lexicon = folder.path() / "lexicon";
  std::filesystem::path model = folder.path() / "topics.model";

  void hold_lexicon(std::string_view terms) const {
    write(lexicon / "sensitive/health.en.txt", terms);
    write(lexicon / "topics/outdoors.en.txt", "hiking\n");
  }

  /// Trained with the lexicon that lies there now, of a few sentences.
  void hold_model() const {
    const auto& at = folder.path();
    write(at / "corpus/sensitive/health.en.txt", "[plain]\nmy {organ} hurts\nmy {organ} is ill\n");
    write(at / "corpus/interests/outdoors.en.txt", "hiking with my {thing}\n");
    write(at / "corpus/everyday/en.txt", "set a timer\nwhat time is it\n");
    write(at / "corpus/slots/en.txt", "[organ]\nliver\nkidney\n[thing]\nlaptop\nboots\n");
    train::course c;
    c.corpus = at / "corpus";
    c.lexicon = lexicon;
    c.samples = 500;
    c.groups = 1 << 8;
    c.how.epochs = 1;
    auto made = train::hold(c);
    REQUIRE(made);
    write(model, made->model);
  }
};

} // namespace

TEST_CASE("while filters are put in each other's place every message has a verdict by one of them",
          "[topic_filter]") {
  folder_of_files files;
  files.hold_lexicon("[hard]\ndiabetes\n");
  auto opened = live_filter::open({files.lexicon, {}});
  REQUIRE(opened);
  auto& live = **opened;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> judged{0}, unfiltered{0}, failed{0}, torn{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!stop) {
        auto by = live.in_use();
        // What every lexicon withholds is always withheld, what none does always passes, and within
        // a batch a text is judged alike.
        auto flu = judgement_by(by, "the flu").withheld();
        unfiltered += judgement_by(by, "I have diabetes").withheld() ? 0 : 1;
        failed += judgement_by(by, "hiking").topics.size() == 1 ? 0 : 1;
        torn += judgement_by(by, "the flu").withheld() == flu ? 0 : 1;
        ++judged;
      }
    });
  int taken = 0, refused = 0;
  for (int round = 0; round < 60 || judged < 3000; ++round) {
    auto before = live.in_use()->version();
    if (round % 3 == 2) {
      files.hold_lexicon(round % 2 == 0 ? "[hard]\n" : "diabetes without a section\n");
      auto bad = live.reload();
      REQUIRE(!bad);
      CHECK_THAT(bad.error().detail, Catch::Contains("health.en.txt"));
      CHECK(live.in_use()->version() == before);
      ++refused;
    } else {
      files.hold_lexicon(round % 3 == 0 ? "[hard]\ndiabetes\nflu\n" : "[hard]\ndiabetes\n");
      auto done = live.reload();
      REQUIRE(done);
      CHECK(done->before.at("lexicon") == before);
      CHECK(done->now.at("lexicon") == live.in_use()->version());
      CHECK(judgement_by(live.in_use(), "the flu").withheld() == (round % 3 == 0));
      ++taken;
    }
  }
  stop = true;
  for (auto& t : threads)
    t.join();
  CHECK(taken >= 40);
  CHECK(refused >= 20);
  CHECK(judged >= 3000);
  CHECK(unfiltered == 0);
  CHECK(failed == 0);
  CHECK(torn == 0);
}

TEST_CASE("a model that is damaged, missing or of another lexicon is refused and the old one stays",
          "[topic_filter]") {
  folder_of_files files;
  files.hold_lexicon("[hard]\ndiabetes\n");
  files.hold_model();
  auto opened = live_filter::open({files.lexicon, files.model});
  REQUIRE(opened);
  auto& live = **opened;
  auto first = live.in_use();
  auto refuses = [&](const char* why) {
    INFO(why);
    auto bad = live.reload();
    REQUIRE(!bad);
    CHECK_THAT(bad.error().detail, Catch::Contains(why));
    CHECK(live.in_use() == first);
    CHECK(judgement_by(live.in_use(), "diabetes").withheld());
  };
  auto again = live.reload();
  REQUIRE(again);
  CHECK(again->before == again->now);
  CHECK(again->now.contains("model"));
  first = live.in_use();

  files.hold_lexicon("[hard]\ndiabetes\nflu\n");
  refuses("was trained with another lexicon");
  files.hold_model();
  auto size = std::filesystem::file_size(files.model);
  std::fstream{files.model, std::ios::in | std::ios::out | std::ios::binary}.seekp(
      static_cast<std::streamoff>(size / 2))
      << "spoilt";
  refuses("the checksum of the model does not hold");
  std::filesystem::remove(files.model);
  refuses("there is no model");
  files.hold_model();
  auto done = live.reload();
  REQUIRE(done);
  CHECK(done->before.at("model") != done->now.at("model"));
  CHECK(judgement_by(live.in_use(), "the flu").withheld());
}

TEST_CASE("a filter that was not read from files is not reloaded", "[topic_filter]") {
  live_filter live{std::shared_ptr<const filter>{filter::closed()}};
  CHECK(!live.reload());
  CHECK(judgement_by(live.in_use(), "hiking").withheld());
}
