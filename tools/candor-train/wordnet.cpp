#include "tools/candor-train/wordnet.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <sodium.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::train {

namespace {

/// A synset of a data file.
struct entry {
  unsigned file = 0; ///< of the lexicographer
  named_thing thing;
  std::vector<std::uint32_t> beneath;
};

/// "03-digit" counts and hexadecimal ones, as the format has them.
unsigned long number(const std::string& text, int base) {
  return std::strtoul(text.c_str(), nullptr, base);
}

std::string readable(std::string name) {
  if (auto mark = name.find('('); mark != std::string::npos)
    name.resize(mark); // of adjectives: "(a)"
  std::ranges::replace(name, '_', ' ');
  return name;
}

/// `definition; "example"; "example"`
void split_gloss(std::string_view gloss, named_thing& to) {
  auto quote = gloss.find('"');
  to.definition = gloss.substr(0, quote);
  while (!to.definition.empty() && (to.definition.back() == ' ' || to.definition.back() == ';'))
    to.definition.pop_back();
  while (quote != std::string_view::npos) {
    auto close = gloss.find('"', quote + 1);
    if (close == std::string_view::npos)
      break;
    to.examples.emplace_back(gloss.substr(quote + 1, close - quote - 1));
    quote = gloss.find('"', close + 1);
  }
}

class reader {
public:
  reader(std::filesystem::path folder, std::filesystem::path choice)
    : folder_{std::move(folder)}
    , choice_{std::move(choice)} {
    crypto_generichash_init(&hash_, nullptr, 0, 16);
  }

  result<wordnet> read() {
    CANDOR_TRY(nouns, read_entries("data.noun"));
    CANDOR_TRY(chosen, read_whole(choice_));
    struct subject_of {
      std::optional<model::category> category;
      std::optional<model::topic_id> topic;
    };
    std::map<std::uint32_t, subject_of> chosen_things;
    std::set<unsigned> clean_files;
    std::istringstream lines{chosen};
    std::string line;
    for (int at = 1; std::getline(lines, line); ++at) {
      if (line.empty() || line[0] == '#')
        continue;
      std::istringstream fields{line};
      std::string subject, lemma;
      std::size_t sense = 1;
      fields >> subject >> lemma >> sense;
      subject_of is{model::find_category(subject), model::find_topic(subject)};
      auto fault = [&](const char* why) {
        return fail(errc::config_invalid, fmt::format("{}:{}: {}", choice_.string(), at, why));
      };
      if (subject == "clean") {
        clean_files.insert(static_cast<unsigned>(number(lemma, 10)));
        continue;
      }
      if (is.category == model::category::unknown || (!is.category && !is.topic))
        return fault("neither a category nor a topic nor clean");
      CANDOR_TRY(root, find_sense(lemma, sense));
      if (!nouns.contains(root))
        return fault("WordNet has no such sense");
      std::vector<std::uint32_t> open{root};
      while (!open.empty()) {
        auto offset = open.back();
        open.pop_back();
        // What stands first wins.
        if (!nouns.contains(offset) || !chosen_things.emplace(offset, is).second)
          continue;
        const auto& more = nouns.at(offset).beneath;
        open.insert(open.end(), more.begin(), more.end());
      }
    }
    wordnet made;
    for (auto& [offset, e] : nouns) {
      auto known = chosen_things.find(offset);
      if (known != chosen_things.end()) {
        e.thing.category = known->second.category;
        e.thing.topic = known->second.topic;
      } else if (!clean_files.contains(e.file))
        continue;
      made.things.push_back(std::move(e.thing));
    }
    // Of verbs and adjectives the examples alone: sentences of ordinary English.
    for (auto file : {"data.verb", "data.adj"}) {
      CANDOR_TRY(others, read_entries(file));
      for (auto& [offset, e] : others) {
        e.thing.names.clear();
        e.thing.definition.clear();
        if (!e.thing.examples.empty())
          made.things.push_back(std::move(e.thing));
      }
    }
    std::array<unsigned char, 16> digest;
    crypto_generichash_final(&hash_, digest.data(), digest.size());
    made.version = to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
    return made;
  }

private:
  result<std::string> read_whole(const std::filesystem::path& file) {
    std::ifstream from{file, std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{from}, {}};
    if (text.empty() || text.size() > limits::wordnet_file_bytes)
      return fail(errc::config_invalid, file.string() + ": cannot be read, or is over 64 MiB");
    crypto_generichash_update(&hash_, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size());
    return text;
  }

  result<std::map<std::uint32_t, entry>> read_entries(const char* file) {
    CANDOR_TRY(text, read_whole(folder_ / file));
    std::map<std::uint32_t, entry> found;
    std::istringstream lines{text};
    std::string line;
    while (std::getline(lines, line)) {
      if (line.empty() || line[0] == ' ')
        continue; // the licence
      auto bar = line.find(" | ");
      std::istringstream fields{line.substr(0, bar)};
      std::string offset, lex_file, kind, count, word, skipped;
      fields >> offset >> lex_file >> kind >> count;
      entry e;
      e.file = static_cast<unsigned>(number(lex_file, 10));
      for (auto n = number(count, 16); n > 0; --n) {
        fields >> word >> skipped;
        e.thing.names.push_back(readable(word));
      }
      fields >> count;
      for (auto n = number(count, 10); n > 0; --n) {
        std::string sign, target, part;
        fields >> sign >> target >> part >> skipped;
        if ((sign == "~" || sign == "~i") && part == "n")
          e.beneath.push_back(static_cast<std::uint32_t>(number(target, 10)));
      }
      if (bar != std::string::npos)
        split_gloss(std::string_view{line}.substr(bar + 3), e.thing);
      found.emplace(static_cast<std::uint32_t>(number(offset, 10)), std::move(e));
    }
    return found;
  }

  /// The offset of a noun's sense; 0: there is none.
  result<std::uint32_t> find_sense(const std::string& lemma, std::size_t sense) {
    if (index_.empty()) {
      CANDOR_TRY(text, read_whole(folder_ / "index.noun"));
      std::istringstream lines{text};
      std::string line;
      while (std::getline(lines, line)) {
        if (line.empty() || line[0] == ' ')
          continue;
        std::istringstream fields{line};
        std::string name, skipped, senses, pointers;
        fields >> name >> skipped >> senses >> pointers;
        for (auto n = number(pointers, 10) + 2; n > 0; --n)
          fields >> skipped;
        std::vector<std::uint32_t> offsets;
        for (std::uint32_t offset; fields >> offset;)
          offsets.push_back(offset);
        index_.emplace(std::move(name), std::move(offsets));
      }
    }
    auto known = index_.find(lemma);
    return known == index_.end() || sense == 0 || sense > known->second.size()
               ? 0
               : known->second[sense - 1];
  }

  std::filesystem::path folder_, choice_;
  crypto_generichash_state hash_;
  std::map<std::string, std::vector<std::uint32_t>> index_;
};

} // namespace

result<wordnet> read_wordnet(const std::filesystem::path& folder,
                             const std::filesystem::path& choice) {
  return reader{folder, choice}.read();
}

} // namespace candor::train
