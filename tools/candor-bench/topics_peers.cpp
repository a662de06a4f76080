#include "tools/candor-bench/topics_peers.hpp"

#include <algorithm>
#include <fstream>
#include <istream>
#include <numeric>
#include <set>
#include <streambuf>
#include <vector>

#include <fasttext/fasttext.h>
#include <hs/hs.h>
#include <unistd.h>

namespace candor::bench {

namespace {

namespace fs = std::filesystem;

/// A text as a stream, without a copy.
class text_buffer : public std::streambuf {
public:
  void hold(const std::string& text) {
    auto* begin = const_cast<char*>(text.data()); // a streambuf's interface; it is only read
    setg(begin, begin, begin + text.size());
  }
};

class fasttext_peer final : public topics_peer {
public:
  result<void> train(const fs::path& corpus) {
    auto lines =
        fs::temp_directory_path() / ("candor-bench-" + std::to_string(::getpid()) + ".txt");
    {
      std::ofstream to{lines};
      std::error_code ec;
      for (const auto& entry : fs::recursive_directory_iterator{corpus, ec})
        if (entry.path().filename().string().ends_with(".en.txt"))
          add(entry.path(), to);
      if (ec || !to.flush())
        return fail(errc::config_invalid, corpus.string() + ": no corpus for fastText");
    }
    fasttext::Args args;
    args.input = lines.string();
    args.model = fasttext::model_name::sup;
    args.loss = fasttext::loss_name::softmax;
    args.dim = 100;
    args.wordNgrams = 2;
    args.minn = 3;
    args.maxn = 5;
    args.bucket = 200'000;
    args.minCount = 1;
    args.epoch = 1;
    args.lr = 0.1;
    args.thread = 1;
    args.verbose = 0;
    try {
      model_.train(args);
    } catch (const std::exception& e) {
      fs::remove(lines);
      return fail(errc::config_invalid, std::string{"fastText: "} + e.what());
    }
    fs::remove(lines);
    return {};
  }

  void judge(const std::string& text) override {
    // Each line ends, as in a file of lines.
    line_.assign(text).push_back('\n');
    buffer_.hold(line_);
    stream_.clear();
    model_.predictLine(stream_, labels_, 1, 0);
  }

private:
  static void add(const fs::path& file, std::ofstream& to) {
    std::ifstream from{file};
    auto name = file.filename().string();
    auto label = "__label__" + name.substr(0, name.find('.'));
    for (std::string line; std::getline(from, line);) {
      if (line.empty() || line[0] == '#' || line[0] == '[')
        continue;
      for (auto& c : line)
        if (c == '{' || c == '}' || c == '|')
          c = ' ';
      to << label << ' ' << line << '\n';
    }
  }

  fasttext::FastText model_;
  std::string line_;
  text_buffer buffer_;
  std::istream stream_{&buffer_};
  std::vector<std::pair<fasttext::real, std::string>> labels_;
};

class bare_scan final : public topics_peer {
public:
  ~bare_scan() override {
    hs_free_scratch(scratch_);
    hs_free_database(database_);
  }

  result<void> compile(const topic_filter::lexicon& words) {
    std::set<std::string> texts;
    for (const auto& s : words.sensitive) {
      texts.insert(s.term.text);
      for (const auto& n : s.neighbours)
        texts.insert(n.text);
    }
    for (const auto& t : words.topics)
      texts.insert(t.term.text);
    for (const auto& e : words.exceptions)
      texts.insert(e.term.text);
    std::vector<const char*> pointers;
    std::vector<std::size_t> lengths;
    for (const auto& t : texts) {
      pointers.push_back(t.data());
      lengths.push_back(t.size());
    }
    // An id each: of terms that share one Vectorscan makes automata, for minutes and gigabytes.
    std::vector<unsigned> flags(texts.size(), 0), ids(texts.size());
    std::iota(ids.begin(), ids.end(), 0U);
    hs_compile_error_t* problem = nullptr;
    if (hs_compile_lit_multi(pointers.data(), flags.data(), ids.data(), lengths.data(),
                             static_cast<unsigned>(pointers.size()), HS_MODE_BLOCK, nullptr,
                             &database_, &problem) != HS_SUCCESS ||
        hs_alloc_scratch(database_, &scratch_) != HS_SUCCESS) {
      hs_free_compile_error(problem);
      return fail(errc::config_invalid, "Vectorscan does not compile the lexicon");
    }
    return {};
  }

  void judge(const std::string& text) override {
    auto count = [](unsigned, unsigned long long, unsigned long long, unsigned, void* hits) {
      ++*static_cast<std::uint64_t*>(hits);
      return 0;
    };
    hs_scan(database_, text.data(), static_cast<unsigned>(text.size()), 0, scratch_, count, &hits_);
  }

private:
  hs_database_t* database_ = nullptr;
  hs_scratch_t* scratch_ = nullptr;
  std::uint64_t hits_ = 0;
};

} // namespace

result<std::unique_ptr<topics_peer>> make_fasttext(const fs::path& corpus) {
  auto made = std::make_unique<fasttext_peer>();
  CANDOR_TRY_VOID(made->train(corpus));
  return std::unique_ptr<topics_peer>{std::move(made)};
}

result<std::unique_ptr<topics_peer>> make_bare_scan(const topic_filter::lexicon& words) {
  auto made = std::make_unique<bare_scan>();
  CANDOR_TRY_VOID(made->compile(words));
  return std::unique_ptr<topics_peer>{std::move(made)};
}

} // namespace candor::bench
