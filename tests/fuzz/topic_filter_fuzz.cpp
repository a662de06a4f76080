/// Any bytes as what a person said: every reading leads back into the original, in order; evidence
/// lies within the text; what is judged without evidence has the same verdict; where the bytes are
/// no UTF-8, or the text is too long, it is withheld; a sensitive word in front is never passed
/// for what follows it in a sentence of its own; nothing throws.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/temporary_folder.hpp"

namespace {

using namespace candor;
using namespace candor::topic_filter;

std::unique_ptr<filter> small_filter() {
  test::temporary_folder folder;
  auto write = [&](const char* file, std::string_view text) {
    auto path = folder.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream{path} << text;
  };
  write("sensitive/health.en.txt",
        "[hard]\ndiabet*\nheart attack\n[soft]\nfever\ncough\n[bound]\npatch ~ nicotine\n");
  write("sensitive/religion.en.txt", "[hard]\nbishop\n");
  write("sensitive/health.ja.txt", "[hard]\n糖尿病\n");
  write("sensitive/health.ru.txt", "[hard]\nдиабет\n");
  write("topics/outdoors.en.txt", "hiking\n");
  write("exceptions.en.txt", "bishop to : religion\n");
  auto made = filter::load(folder.path());
  CANDOR_ASSERT(made.has_value());
  return std::move(*made);
}

void check(const view& v, std::size_t original_bytes) {
  CANDOR_ASSERT(v.begin.size() == v.text.size() && v.end.size() == v.text.size() &&
                v.kind.size() == v.text.size());
  CANDOR_ASSERT(valid_utf8(v.text));
  for (std::size_t i = 0; i < v.text.size(); ++i)
    CANDOR_ASSERT(v.begin[i] < v.end[i] && v.end[i] <= original_bytes &&
                  (i == 0 || v.begin[i - 1] <= v.begin[i]));
}

void check_readings(std::string_view text) {
  view plain, other;
  auto made = normalize(text, plain);
  CANDOR_ASSERT(made.has_value() == valid_utf8(text));
  if (!made)
    return;
  check(plain, text.size());
  for (auto how : other_readings)
    if (read_as(how, plain, other))
      check(other, text.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto judge = small_filter();
  std::string_view text{reinterpret_cast<const char*>(data), size};
  check_readings(text);
  for (const char* lang : {"en", "ja", ""}) {
    auto whole = judge->classify(text, lang);
    CANDOR_ASSERT(whole.evidence.size() <= limits::evidence_items);
    for (const auto& e : whole.evidence)
      CANDOR_ASSERT(e.begin < e.end && e.end <= size);
    CANDOR_ASSERT(!whole.withheld() || whole.topics.empty());
    CANDOR_ASSERT(whole.withheld() || (valid_utf8(text) && size <= limits::utterance_bytes));
    judgement fast;
    judge->judge_only(text, lang, fast);
    CANDOR_ASSERT(fast.withheld() == whole.withheld() && fast.topics == whole.topics);
  }
  CANDOR_ASSERT(judge->classify("I have diabetes.\n" + std::string{text}, "en").withheld());
  return 0;
}
