#include "tools/candor-bench/topics.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/supervision/config/config.hpp"
#include "actors/topic_filter/classifier.hpp"
#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/rng.hpp"

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

struct measured {
  double per_second = 0, p50_us = 0, p99_us = 0;
};

measured measure(const std::vector<std::string>& texts, int seconds,
                 const std::function<void(const std::string&)>& one) {
  for (const auto& t : texts) // warm
    one(t);
  std::vector<double> latencies_us;
  latencies_us.reserve(1 << 22);
  auto start = steady::now(), last = start;
  std::size_t count = 0;
  while (last - start < std::chrono::seconds{seconds}) {
    one(texts[count++ % texts.size()]);
    auto now = steady::now();
    latencies_us.push_back(std::chrono::duration<double, std::micro>(now - last).count());
    last = now;
  }
  auto spent = std::chrono::duration<double>(last - start).count();
  std::ranges::sort(latencies_us);
  auto at = [&](double q) {
    return latencies_us[static_cast<std::size_t>(q * static_cast<double>(latencies_us.size() - 1))];
  };
  return {static_cast<double>(count) / spent, at(0.5), at(0.99)};
}

} // namespace

result<void> run_topics(const topics_options& o) {
  using namespace topic_filter;
  auto lexicon = o.lexicon.empty() ? config::shipped_folder() / "lexicon" : o.lexicon;
  auto file = o.model.empty() ? config::shipped_topics_model() : o.model;
  CANDOR_TRY(whole, filter::load(lexicon, file));
  CANDOR_TRY(alone, filter::load(lexicon));
  CANDOR_TRY(words, load_lexicon(lexicon));
  CANDOR_TRY(terms, finder::compile(std::move(words)));
  CANDOR_TRY(model, classifier::load(file));
  auto texts = workload();
  double bytes = 0;
  for (const auto& t : texts)
    bytes += static_cast<double>(t.size());

  finder::workspace find;
  terms->prepare(find);
  classifier::workspace classify;
  lexical_features said{};
  scores got;
  view plain;
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  auto run = [&](const char* name, const std::function<void(const std::string&)>& one) {
    auto m = measure(texts, o.seconds, one);
    all[name] = {{"per_second", m.per_second}, {"p50_us", m.p50_us}, {"p99_us", m.p99_us}};
    if (!o.json)
      fmt::print("{:<28} {:>9.0f} messages/s   p50 {:>6.2f} us   p99 {:>6.2f} us\n", name,
                 m.per_second, m.p50_us, m.p99_us);
  };
  if (!o.json)
    fmt::print("{} English texts of {:.0f} bytes in the mean, one thread, {} terms\n", texts.size(),
               bytes / static_cast<double>(texts.size()), whole->terms());
  run("normalize", [&](const std::string& t) { (void)normalize(t, plain); });
  run("normalize and scan", [&](const std::string& t) {
    (void)(terms->read(find, t) && terms->scan(find, find.plain, 0));
  });
  run("normalize and classify", [&](const std::string& t) {
    (void)normalize(t, plain);
    model->read(classify, plain, wording::english);
    model->score(classify, 0, classify.words.size(), said, got);
  });
  run("lexicon alone, whole", [&](const std::string& t) { (void)alone->classify(t, "en"); });
  run("filter, whole, explained", [&](const std::string& t) { (void)whole->classify(t, "en"); });
  run("filter, whole", [&](const std::string& t) { (void)whole->judge_only(t, "en"); });
  if (o.json)
    fmt::print("{}\n", all.dump());
  return {};
}

} // namespace candor::bench
