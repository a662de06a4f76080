#include "tools/candor-bench/topics.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <malloc.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "actors/supervision/config/config.hpp"
#include "actors/topic_filter/classifier.hpp"
#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/rng.hpp"
#include "tools/candor-bench/allocations.hpp"
#include "tools/candor-bench/topics_peers.hpp"

namespace candor::bench {

namespace {

using steady = std::chrono::steady_clock;

/// English sentences of about 80 bytes, made of these parts: the workload is stated, not read.
std::vector<std::string> workload() {
  const std::vector<std::string> begin = {
      "which hiking boots are best for",   "how do I cook",
      "remind me tomorrow to buy",         "what is the price of",
      "can you recommend a game about",    "I am looking for",
      "my brother wants to learn more of", "please play a song about"};
  const std::vector<std::string> middle = {
      "a long winter walk in the mountains", "rice with vegetables",
      "a new laptop for photo editing",      "cheap flights to the coast",
      "the garden behind our old house",     "a small electric car",
      "the football match on Sunday",        "an afternoon with two dogs"};
  const std::vector<std::string> end = {"and is it worth it?",  "without spending much",
                                        "for my sister",        "by the end of the week",
                                        "when it rains",        "if there is time",
                                        "near the city centre", "with good reviews"};
  std::vector<std::string> made;
  seeded_rng chance{1};
  for (int i = 0; i < 4096; ++i) {
    auto pick = [&](const auto& from) { return from[chance.next() % from.size()]; };
    made.push_back(pick(begin) + " " + pick(middle) + " " + pick(end));
  }
  return made;
}

/// One part: what it does with a text, and what was measured of it.
struct part {
  std::string name;
  std::function<void(const std::string&)> one;
  std::vector<double> per_second{}; ///< by round
  std::vector<float> latencies_us{};
  double allocations = 0; ///< a text, in the last round
};

void measure(part& p, const std::vector<std::string>& texts, int seconds) {
  for (const auto& t : texts) // warm
    p.one(t);
  p.latencies_us.reserve(p.latencies_us.size() + (1U << 22));
  auto allocations = allocations_so_far();
  auto start = steady::now(), last = start;
  std::size_t count = 0;
  while (last - start < std::chrono::seconds{seconds}) {
    p.one(texts[count++ % texts.size()]);
    auto now = steady::now();
    if (p.latencies_us.size() < p.latencies_us.capacity())
      p.latencies_us.push_back(std::chrono::duration<float, std::micro>(now - last).count());
    last = now;
  }
  p.allocations =
      static_cast<double>(allocations_so_far() - allocations) / static_cast<double>(count);
  p.per_second.push_back(static_cast<double>(count) /
                         std::chrono::duration<double>(last - start).count());
}

template <class T>
double quantile(std::vector<T> values, double q) {
  auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

/// Of this process, in MiB.
double resident_mib() {
  std::ifstream from{"/proc/self/statm"};
  double size = 0, resident = 0;
  from >> size >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

} // namespace

result<void> run_topics(const topics_options& o) {
  using namespace topic_filter;
  auto lexicon = o.lexicon.empty() ? config::shipped_folder() / "lexicon" : o.lexicon;
  auto file = o.model.empty() ? config::shipped_topics_model() : o.model;
  auto before_mib = resident_mib();
  auto begun = steady::now();
  CANDOR_TRY(whole, filter::load(lexicon, file));
  auto load_s = std::chrono::duration<double>(steady::now() - begun).count();
  ::malloc_trim(0); // what loading took for a while
  auto filter_mib = resident_mib() - before_mib;
  CANDOR_TRY(alone, filter::load(lexicon));
  CANDOR_TRY(words, load_lexicon(lexicon));
  CANDOR_TRY(bare, make_bare_scan(words));
  CANDOR_TRY(terms, finder::compile(std::move(words)));
  CANDOR_TRY(model, classifier::load(file));
  CANDOR_TRY(fasttext, make_fasttext(lexicon.parent_path() / "topics/corpus"));
  auto texts = workload();
  double bytes = 0;
  for (const auto& t : texts)
    bytes += static_cast<double>(t.size());

  finder::workspace find;
  terms->prepare(find);
  find.spoken = terms->languages("en");
  classifier::workspace classify;
  lexical_features said{};
  scores got;
  view plain, other;
  judgement judged;
  std::vector<part> parts = {
      {"bare Vectorscan scan", [&](const std::string& t) { bare->judge(t); }},
      {"fastText predictLine", [&](const std::string& t) { fasttext->judge(t); }},
      {"normalize", [&](const std::string& t) { (void)normalize(t, plain); }},
      {"normalize, other readings",
       [&](const std::string& t) {
         (void)normalize(t, plain);
         for (auto r : other_readings)
           (void)read_as(r, plain, other);
       }},
      {"normalize, scan",
       [&](const std::string& t) {
         (void)(terms->read(find, t) && terms->scan(find, find.plain, 0));
       }},
      {"normalize, scan, decide",
       [&](const std::string& t) {
         terms->start(find);
         if (terms->read(find, t) && terms->scan(find, find.plain, 0))
           terms->decide(find, true);
       }},
      {"normalize, classify",
       [&](const std::string& t) {
         (void)normalize(t, plain);
         model->read(classify, plain, wording::english);
         model->score(classify, 0, classify.words.size(), said, got);
       }},
      {"lexicon alone, whole", [&](const std::string& t) { alone->judge_only(t, "en", judged); }},
      {"filter, whole, explained", [&](const std::string& t) { (void)whole->classify(t, "en"); }},
      {"filter, whole", [&](const std::string& t) { whole->judge_only(t, "en", judged); }},
  };
  if (!o.only.empty())
    std::erase_if(parts, [&](const part& p) { return p.name != o.only; });
  for (int round = 0; round < o.rounds; ++round)
    for (auto& p : parts)
      measure(p, texts, o.seconds);

  if (!o.json)
    fmt::print("{} English texts of {:.0f} bytes in the mean, one thread, {} terms; the filter was "
               "loaded in {:.1f} s and is {:.0f} MiB\n",
               texts.size(), bytes / static_cast<double>(texts.size()), whole->terms(), load_s,
               filter_mib);
  nlohmann::ordered_json all = {{"load_s", load_s}, {"filter_mib", filter_mib}};
  for (const auto& p : parts) {
    auto rate = quantile(p.per_second, 0.5), p50 = quantile(p.latencies_us, 0.5),
         p99 = quantile(p.latencies_us, 0.99);
    all[p.name] = {{"per_second", rate},
                   {"per_second_most", quantile(p.per_second, 1)},
                   {"p50_us", p50},
                   {"p99_us", p99},
                   {"allocations", p.allocations}};
    if (!o.json)
      fmt::print(
          "{:<26} {:>9.0f} messages/s (best round {:>9.0f})   p50 {:>6.2f} us   p99 {:>6.2f} "
          "us   {:.2f} allocations\n",
          p.name, rate, quantile(p.per_second, 1), p50, p99, p.allocations);
  }
  if (o.json)
    fmt::print("{}\n", all.dump());
  return {};
}

} // namespace candor::bench
