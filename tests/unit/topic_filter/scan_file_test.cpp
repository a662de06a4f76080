#include <catch2/catch.hpp>

#include <fstream>
#include <sstream>

#include <hs/hs.h>

#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/scan_file.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::topic_filter;

namespace {

struct bench {
  test::temporary_folder folder;
  std::filesystem::path kept = folder.path() / "lexicon.scan";

  lexicon words(const std::string& term) {
    auto path = folder.path() / "lexicon" / "sensitive" / "health.en.txt";
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path} << "[hard]\n" << term << "\n";
    auto read = load_lexicon(folder.path() / "lexicon");
    REQUIRE(read);
    return std::move(*read);
  }
  std::string bytes() {
    std::ostringstream all;
    all << std::ifstream{kept, std::ios::binary}.rdbuf();
    return all.str();
  }
  void put(const std::string& bytes) { std::ofstream{kept, std::ios::binary} << bytes; }
};

bool finds(const finder& f, std::string_view text) {
  finder::workspace w;
  REQUIRE(f.prepare(w));
  f.start(w);
  REQUIRE(f.read(w, text));
  REQUIRE(f.scan(w, w.plain, 0));
  return !w.hits.empty();
}

bool is_read(const std::filesystem::path& file, const std::string& key) {
  auto* made = read_scan_file(file, key);
  auto was = made != nullptr;
  hs_free_database(made);
  return was;
}

} // namespace

TEST_CASE("a compiled lexicon that was kept finds what it found", "[filter]") {
  bench b;
  auto first = finder::compile(b.words("virus"));
  REQUIRE(first);
  b.put((*first)->kept_bytes().value());
  auto again = finder::compile(b.words("virus"), b.kept);
  REQUIRE(again);
  CHECK(finds(**again, "a virus"));
  CHECK_FALSE(finds(**again, "a cold"));
}

TEST_CASE("what was kept is used, and only for the same words", "[filter]") {
  bench b;
  std::string virus = "virus", cold = "cold";
  auto of_colds = finder::compile(b.words("cold"));
  b.put((*of_colds)->kept_bytes().value());
  // The words are told by the key in front: with another one it passes for theirs.
  b.put(scan_key({&virus}) + b.bytes().substr(scan_key({&cold}).size()));
  CHECK(finds(**finder::compile(b.words("virus"), b.kept), "a cold"));

  b.put((*of_colds)->kept_bytes().value());
  CHECK(finds(**finder::compile(b.words("virus"), b.kept), "a virus"));
  CHECK(scan_key({&virus, &cold}) != scan_key({&cold, &virus}));
}

TEST_CASE("a file that is missing, cut or damaged is as none", "[filter]") {
  bench b;
  std::string virus = "virus";
  auto key = scan_key({&virus});
  CHECK_FALSE(is_read(b.kept, key));
  b.put((*finder::compile(b.words("virus")))->kept_bytes().value());
  CHECK(is_read(b.kept, key));
  auto whole = b.bytes();
  for (auto size : {std::size_t{0}, key.size(), key.size() + 10, whole.size() - 1}) {
    b.put(whole.substr(0, size));
    CHECK_FALSE(is_read(b.kept, key));
    CHECK(finds(**finder::compile(b.words("virus"), b.kept), "a virus"));
  }
  auto damaged = whole;
  damaged[whole.size() - 40] = static_cast<char>(damaged[whole.size() - 40] ^ 1);
  b.put(damaged);
  CHECK_FALSE(is_read(b.kept, key));
}
