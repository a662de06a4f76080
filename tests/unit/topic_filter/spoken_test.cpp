// What recognisers write of speech: fillers, repeats, no punctuation, letters one by one, numbers
// in words (tests/topics/spoken.en.tsv).
#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "actors/topic_filter/filter.hpp"

using namespace candor;
using topic_filter::filter;

namespace {

/// The shipped lexicon with the model that the build made; nothing where it made none.
std::unique_ptr<filter> whole() {
  auto named = std::getenv("CANDOR_TOPICS_MODEL");
  auto program = std::filesystem::read_symlink("/proc/self/exe");
  std::filesystem::path model =
      named ? named : program.parent_path().parent_path() / "share/candor/topics.model";
  if (!std::filesystem::exists(model)) {
    WARN("skipped: there is no " << model.string());
    return nullptr;
  }
  auto loaded = filter::load(CANDOR_SOURCE_DIR "/configs/lexicon", model);
  if (!loaded) {
    WARN("skipped: " << loaded.error().to_string());
    return nullptr;
  }
  return std::move(*loaded);
}

} // namespace

TEST_CASE("sensitive things are withheld as they are spoken too, and most harmless twins pass",
          "[topic_filter][data]") {
  auto f = whole();
  if (!f)
    return;
  std::ifstream from{CANDOR_SOURCE_DIR "/tests/topics/spoken.en.tsv"};
  int rows = 0, withheld = 0, passed = 0;
  std::string told;
  for (std::string line; std::getline(from, line);) {
    auto first = line.find('\t'), second = line.find('\t', first + 1);
    if (line.starts_with("#") || second == std::string::npos)
      continue;
    auto sensitive = line.substr(first + 1, second - first - 1), harmless = line.substr(second + 1);
    ++rows;
    if (f->classify(sensitive, "en").withheld())
      ++withheld;
    else
      told += "\n  passed: " + sensitive;
    if (!f->classify(harmless, "en").withheld())
      ++passed;
    else
      told += "\n  withheld: " + harmless;
  }
  WARN(fmt::format("spoken: withheld {} of {}, twins passed {}{}", withheld, rows, passed, told));
  REQUIRE(rows > 30);
  CHECK(withheld * 10 >= rows * 9);
  CHECK(passed * 4 >= rows * 3);
}
