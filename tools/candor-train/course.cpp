#include "tools/candor-train/course.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/lexicon.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "tools/candor-train/corpus.hpp"
#include "tools/candor-train/distort.hpp"
#include "tools/candor-train/invent.hpp"
#include "tools/candor-train/wordnet.hpp"

namespace candor::train {

namespace {

using namespace topic_filter;
using what = sentence_template::what;

constexpr std::uint64_t held_out_of = 12; ///< one template of so many
constexpr std::size_t times_english =
    4; ///< as many sentences of a template: vectors carry them far
constexpr std::size_t background = 20'000; ///< samples of words drawn blindly
constexpr int no_topic = static_cast<int>(interest_count);
constexpr std::size_t times_other = 2; ///< as many in other languages: most values get their turn
constexpr std::size_t times_plain = 2; ///< a sentence that nothing varies in: now and then hidden
/// Of an interest's sentence that names many things so many times as many: each should be met.
constexpr std::size_t times_varied = 3, variants_many = 8;
constexpr std::size_t times_invented = 6; ///< as many of a harmless one with a word nobody knows
// Shares of the samples, in a thousand.
constexpr std::uint64_t with_another = 120, distorted = 220, with_invented = 80;

/// A sentence with what it teaches.
struct text {
  std::string said, lang;
  bool sensitive = false;
  std::uint16_t categories = 0;
  int topic = -1;
  float weight = 1;
  bool blunt = false;         ///< the lexicon's own term: its hits teach nothing
  bool is_clear_only = false; ///< to be left out where the lexicon finds something
};

/// Turns texts into samples as a node would read them.
class encoder {
public:
  encoder(const finder& terms, const word_vectors& vectors, std::size_t groups)
    : terms_{terms}
    , groups_{groups} {
    view v;
    for (std::size_t i = 0; i < vectors.words.size(); ++i) {
      const auto& w = vectors.words[i];
      // What the normalizer would change or split is never asked for.
      if (!normalize(w, v) || v.text != w ||
          !std::ranges::all_of(v.kind, [](byte_kind k) { return k == byte_kind::word; }))
        continue;
      auto hash = word_hash(w);
      if (known_.emplace(network::key(hash, wording::english), units.size()).second)
        units.push_back({static_cast<std::int64_t>(i), {}, network::key(hash, wording::english)});
    }
    with_vectors_ = !vectors.words.empty();
    terms_.prepare(w_);
  }

  /// All of a sample but its words, which stand in `said()` then. nullopt: a node could not judge
  /// it, or it holds no word.
  std::optional<sample> read(const text& t, bool disguised) {
    terms_.start(w_);
    std::array<char, 40> memory;
    auto primary = primary_subtag(t.lang, memory);
    w_.spoken = terms_.languages(primary);
    if (!terms_.read(w_, t.said) || !terms_.scan(w_, w_.plain, 0))
      return std::nullopt;
    auto best = reading::plain;
    for (auto r : other_readings) {
      if ((r == reading::unmarked && t.lang != "en") || !read_as(r, w_.plain, w_.other))
        continue;
      if (!terms_.scan(w_, w_.other, static_cast<std::uint8_t>(r)))
        return std::nullopt;
      best = r;
    }
    terms_.decide(w_, true);
    if (t.is_clear_only && w_.categories != 0)
      return std::nullopt;
    sample s;
    s.how = primary == "en" && with_vectors_ ? wording::english : wording::other;
    s.sensitive = t.sensitive;
    s.categories = t.categories;
    // What the lexicon finds beside what is said to be there may be there.
    if (t.sensitive)
      s.open = static_cast<std::uint16_t>(w_.categories & ~t.categories);
    s.topic = t.topic;
    s.weight = t.weight;
    if (!t.blunt) {
      lexical_features said;
      lexical_features_of(w_.counts, w_.topics, said);
      for (std::size_t f = 0; f < lexical; ++f)
        if (said[f] != 0)
          s.lexical.emplace_back(static_cast<std::uint16_t>(f), said[f]);
    }
    said_ = &w_.plain;
    if (disguised && best != reading::plain && read_as(best, w_.plain, w_.other))
      said_ = &w_.other;
    split_words(*said_, words_);
    return words_.empty() ? std::nullopt : std::optional{std::move(s)};
  }

  const view& said() const { return *said_; }

  /// With its words, which are learned from then.
  std::optional<sample> encode(const text& t, bool disguised) {
    auto made = read(t, disguised);
    if (!made)
      return made;
    auto& s = *made;
    if (words_.size() > 64)
      words_.resize(64);
    for (const auto& word : words_)
      s.units.push_back(unit_of(
          word, std::string_view{said_->text}.substr(word.begin, word.end - word.begin), s.how));
    if (!t.blunt) {
      ++number_;
      ++sentences_[t.lang];
      seen_.resize(units.size());
      for (auto u : s.units) {
        auto& known = seen_[u];
        if (known.last == number_)
          continue;
        known.last = number_;
        if (known.times++ == 0)
          known.lang = t.lang;
      }
    }
    return made;
  }

  /// Of words by how rare they are (after Arora et al. 2017): by the share of sentences that hold
  /// them, and by the rank among the word vectors.
  void weigh() {
    constexpr double rare = 0.02, frequent = 150;
    for (std::size_t u = 0; u < units.size(); ++u) {
      auto share = 0.0;
      if (u < seen_.size() && seen_[u].times > 0)
        share =
            static_cast<double>(seen_[u].times) / static_cast<double>(sentences_[seen_[u].lang]);
      auto weight = rare / (rare + share);
      if (auto rank = static_cast<double>(units[u].vector); rank >= 0)
        weight = std::min(weight, (rank + 20) / (rank + frequent));
      units[u].weight = static_cast<float>(std::max(weight, 0.02));
    }
  }

  std::vector<unit> units;

  const std::string& lang_of(std::uint32_t unit) const { return seen_[unit].lang; }
  std::size_t counted() const { return seen_.size(); }

private:
  struct seen {
    std::uint32_t times = 0, last = 0;
    std::string lang;
  };
  std::uint32_t unit_of(const word& w, std::string_view letters, wording how) {
    auto key = network::key(w.hash, how);
    auto [it, is_new] = known_.emplace(key, units.size());
    if (is_new)
      units.push_back({-1, {}, key});
    auto& u = units[it->second];
    if (u.groups.empty()) {
      parts_of(w, letters, hashes_);
      hashes_.push_back(w.hash);
      for (auto h : hashes_)
        u.groups.push_back(static_cast<std::uint32_t>(h & (groups_ - 1)));
    }
    return static_cast<std::uint32_t>(it->second);
  }

  const finder& terms_;
  std::size_t groups_;
  bool with_vectors_ = false;
  finder::workspace w_;
  const view* said_ = nullptr;
  std::vector<word> words_;
  std::vector<std::uint64_t> hashes_;
  std::vector<seen> seen_;                         ///< by unit
  std::map<std::string, std::uint32_t> sentences_; ///< by language
  std::uint32_t number_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> known_; ///< never gone through
};

/// The place among the classifier's topics, which are those of the first tier: a finer one teaches
/// the one above it.
int place_of(model::topic_id topic) {
  auto above = model::find_topic(model::info(topic).parent);
  return static_cast<int>(above.value_or(topic)) - 1;
}

text teach(const corpus& c, const sentence_template& t, rng& chance) {
  text made{expand(c, t, chance), t.lang};
  if (t.teaches == what::sensitive) {
    made.sensitive = true;
    made.categories = static_cast<std::uint16_t>(1U << static_cast<unsigned>(*t.category));
  } else if (t.teaches == what::interest) {
    made.topic = place_of(t.topic);
  } else if (t.teaches == what::everyday) {
    made.topic = no_topic;
  }
  return made;
}

bool holds_invented(const sentence_template& t) {
  return t.text.find('{' + std::string{invented_slot} + '}') != std::string::npos;
}

/// In how many ways the alternatives that are written in a sentence can be chosen; slots aside.
std::size_t variants(const sentence_template& t) {
  std::size_t all = 1, here = 1;
  for (auto c : t.text)
    if (c == '|')
      ++here;
    else if (c == '}')
      all *= std::exchange(here, 1);
  return all;
}

/// A word nobody knows beside what is said changes nothing of it.
void put_invented(text& to, rng& chance) {
  auto word = invented_word(to.lang, chance);
  auto at = to.said.find(' ', chance.next() % (to.said.size() + 1));
  if (at == std::string::npos)
    to.said = chance.next() % 2 == 0 ? word + " " + to.said : to.said + " " + word;
  else
    to.said.insert(at, " " + word);
}

/// Each of its words hidden, or half of them.
void disguise(std::string& said, rng& chance) {
  auto how = static_cast<distortion>(chance.next() % distortion_names.size());
  // Half of the time what other readings undo least.
  constexpr std::array hard = {distortion::signs_inside, distortion::glued, distortion::no_vowels,
                               distortion::swapped};
  if (chance.next() % 2 == 0)
    how = hard[chance.next() % hard.size()];
  if (how == distortion::lookalike) // is withheld whatever it says
    how = distortion::no_vowels;
  std::size_t begin = 0, end = said.size();
  if (chance.next() % 2 == 0) {
    begin = chance.next() % (said.size() + 1);
    end = begin + said.size() / 2;
  }
  said = distort(said, how, begin, end, chance);
}

constexpr unsigned topics_one_of = 2; ///< of the terms of interests in other languages

/// The lexicon's terms as sentences of their own.
void add_lexicon(const lexicon& words, unsigned one_of, rng& chance, std::vector<text>& to) {
  // In English all: what they say is carried on to the words that stand near them.
  auto chosen = [&](const std::string& lang) {
    return lang == "en" || chance.next() % one_of == 0;
  };
  for (const auto& s : words.sensitive)
    if (s.tier == tier::hard && chosen(s.lang))
      to.push_back({s.term.text, s.lang, true,
                    static_cast<std::uint16_t>(1U << static_cast<unsigned>(s.category)), -1, 0.5F,
                    true, false});
  // Of what is harmless more: most words that no sentence of the corpus holds are harmless too.
  for (const auto& t : words.topics)
    if (t.lang == "en" || chance.next() % topics_one_of == 0)
      to.push_back({t.term.text, t.lang, false, 0, place_of(t.topic),
                    0.2F * static_cast<float>(t.weight), true, true});
  for (const auto& e : words.exceptions)
    to.push_back({e.term.text, e.lang, false, 0, -1, 0.7F, false, true});
}

/// Names, definitions and examples.
void add_wordnet(const wordnet& from, unsigned one_of, rng& chance, std::vector<text>& to) {
  for (const auto& thing : from.things) {
    auto add = [&](const std::string& said, float weight) {
      if (said.empty() || (!thing.category && !thing.topic && chance.next() % one_of != 0))
        return;
      text t{said, "en"};
      t.sensitive = thing.category.has_value();
      t.categories = t.sensitive
                         ? static_cast<std::uint16_t>(1U << static_cast<unsigned>(*thing.category))
                         : 0;
      t.weight = weight;
      if (thing.topic) {
        t.topic = place_of(*thing.topic);
        t.weight /= 2;
      }
      t.is_clear_only = !t.sensitive;
      t.blunt = true;
      to.push_back(std::move(t));
    };
    for (const auto& name : thing.names)
      add(name, 0.4F);
    add(thing.definition, 0.3F);
    for (const auto& example : thing.examples)
      add(example, thing.category ? 0.3F : 0.4F);
  }
}

/// Words drawn blindly: most of what people write about is harmless, and a word that no sentence of
/// the corpus holds should not be taken for sensitive.
void add_background(const word_vectors& vectors, rng& chance, std::vector<text>& to) {
  constexpr std::size_t frequent = 60'000;
  for (std::size_t i = 0; i < background && !vectors.words.empty(); ++i) {
    text t{{}, "en"};
    for (auto n = 3 + chance.next() % 10; n > 0; --n) {
      // Frequent ones more often: evenly by the logarithm of their rank, or just evenly.
      auto u = static_cast<double>(chance.next() >> 11) * 0x1p-53;
      auto most = static_cast<double>(std::min(frequent, vectors.words.size()));
      auto rank = chance.next() % 2 == 0 ? std::exp(u * std::log(most)) - 1 : u * most;
      t.said += vectors.words[static_cast<std::size_t>(rank)] + " ";
    }
    t.weight = 0.3F;
    t.blunt = t.is_clear_only = true;
    to.push_back(std::move(t));
  }
}

/// Harmless sentences of a language, stirred: words of several, and words of which no sentence was
/// made (the beginning of one with the end of another). Neither is sensitive: what the corpus does
/// not know should not look so.
void add_stirred(const corpus& c,
                 const std::map<std::string, std::vector<const sentence_template*>>& clean,
                 rng& chance, std::vector<text>& to) {
  for (const auto& [lang, templates] : clean) {
    for (std::size_t i = 0; i < templates.size() / 2; ++i) {
      std::vector<std::string> words;
      for (auto n = 2 + chance.next() % 4; n > 0; --n) {
        auto said = expand(c, *templates[chance.next() % templates.size()], chance);
        for (std::string_view left = said; !left.empty();) {
          auto word = left.substr(0, left.find(' '));
          left.remove_prefix(std::min(left.size(), word.size() + 1));
          words.emplace_back(word);
        }
      }
      for (auto n = words.size(); n > 1; --n)
        std::swap(words[n - 1], words[chance.next() % n]);
      auto cut = [](const std::string& word) { // between characters, about the middle
        auto at = word.size() / 2;
        while (at < word.size() && (static_cast<unsigned char>(word[at]) & 0xc0) == 0x80)
          ++at;
        return at;
      };
      text t{{}, lang};
      for (std::size_t k = 0; k < words.size() && k < 24; ++k) {
        auto word = words[k];
        if (i % 2 == 0) {
          const auto& other = words[chance.next() % words.size()];
          word = word.substr(0, cut(word)) + other.substr(cut(other));
        }
        t.said += word + " ";
      }
      t.weight = 0.5F;
      t.blunt = t.is_clear_only = true;
      to.push_back(std::move(t));
    }
  }
}

/// Words of manner ("my wife", "I need", "tomorrow") stand in sensitive sentences of most
/// categories and say nothing of any. A classifier takes them for signs all the same where
/// sentences of interests are less personal. So some harmless samples are given again with such
/// words in them.
void add_manner(const encoder& encode, seeded_rng& chance, std::vector<sample>& samples) {
  constexpr int categories_least = 5;
  constexpr std::uint64_t one_of = 2; // harmless samples
  std::vector<std::uint16_t> stands_in(encode.units.size());
  for (const auto& s : samples)
    if (s.sensitive)
      for (auto u : s.units)
        stands_in[u] |= s.categories;
  // By language, as often as they stand in sensitive sentences.
  std::map<std::string, std::vector<std::uint32_t>> manner;
  for (const auto& s : samples)
    if (s.sensitive)
      for (auto u : s.units)
        if (u < encode.counted() && std::popcount(stands_in[u]) >= categories_least)
          manner[encode.lang_of(u)].push_back(u);
  auto size = samples.size();
  for (std::size_t i = 0; i < size; ++i) {
    if (samples[i].sensitive || samples[i].units.empty() || chance.next() % one_of != 0)
      continue;
    auto first = samples[i].units.front();
    auto words = manner.find(first < encode.counted() ? encode.lang_of(first) : "");
    if (words == manner.end())
      continue;
    auto more = samples[i];
    for (auto n = 1 + chance.next() % 5; n > 0; --n) {
      auto at = chance.next() % (more.units.size() + 1);
      more.units.insert(more.units.begin() + static_cast<std::ptrdiff_t>(at),
                        words->second[chance.next() % words->second.size()]);
    }
    samples.push_back(std::move(more));
  }
}

/// What the thresholds are chosen on: a sentence as a node meets it, with words that were not
/// learned from.
struct held_out_text {
  sample of;
  view said;
  std::string lang; ///< primary subtag
  sentence_template::how how;
  scores got{};
};

void judge(const classifier& model, held_out_text& t) {
  classifier::workspace w;
  model.read(w, t.said, t.of.how);
  lexical_features found{};
  for (auto [f, v] : t.of.lexical)
    found[f] = v;
  model.score(w, 0, w.words.size(), found, t.got);
}

/// The score that a share of these does not reach; each counts as often as its weight says.
float quantile(std::vector<std::pair<float, float>> weighted, double share) {
  if (weighted.empty())
    return 0;
  std::ranges::sort(weighted);
  double whole = 0, below = 0;
  for (auto [value, weight] : weighted)
    whole += weight;
  for (auto [value, weight] : weighted) {
    if (below >= share * whole)
      return value;
    below += weight;
  }
  return weighted.back().first + 0.01F;
}

/// A score as a node holds it against its threshold: "any" counts only where a category is near.
float counted(const scores& got, std::size_t o, wording how) {
  auto nearest = *std::max_element(got.begin(), got.begin() + any_output);
  return o == any_output && nearest < nearest_category_least(how)
             ? -std::numeric_limits<float>::infinity()
             : got[o];
}

/// Thresholds of a language, or of all for an empty one: its own sentences count more, but are too
/// few to decide alone.
network::threshold_row choose_thresholds(const std::vector<held_out_text>& all, wording how,
                                         const std::string& lang, double false_alarms) {
  constexpr float own = 4;
  // A category that few harmless sentences come near must be likelier than not all the same: where
  // it was not, "any" knew better.
  constexpr float category_least = 0.5F;
  constexpr float any_least = -1; // where few harmless ones have a category near
  network::threshold_row made{};
  for (std::size_t o = 0; o < sensitive_outputs; ++o) {
    std::vector<std::pair<float, float>> of_clean;
    for (const auto& t : all)
      if (t.of.how == how && !t.of.sensitive)
        of_clean.emplace_back(counted(t.got, o, how), t.lang == lang ? own : 1);
    if (o == any_output)
      made[o] = std::max(any_least, quantile(std::move(of_clean), 1 - false_alarms));
    else
      made[o] = std::max(category_least, quantile(std::move(of_clean), 1 - false_alarms / 6));
  }
  return made;
}

/// Words without a vector that stand in one sample alone (invented, hidden) are read by their
/// letter groups: a row of their own would not be worth its memory.
void keep_words(const std::vector<sample>& samples, std::vector<unit>& units) {
  std::vector<std::uint8_t> times(units.size());
  for (const auto& s : samples)
    for (auto u : s.units)
      times[u] = static_cast<std::uint8_t>(std::min(times[u] + 1, 2));
  for (std::size_t u = 0; u < units.size(); ++u)
    units[u].kept = times[u] > 1;
}

/// Which share of the held-out sentences was judged right, to whoever watches the training.
void tell_held_out(const network& n, const std::vector<held_out_text>& all, wording how) {
  std::array<std::size_t, 4> rows{}, right{};
  std::size_t of_interest = 0, named = 0;
  for (const auto& t : all) {
    if (t.of.how != how)
      continue;
    const auto& thresholds = n.thresholds_for(how, t.lang);
    auto over = false;
    for (std::size_t o = 0; o < sensitive_outputs; ++o)
      over |= counted(t.got, o, how) >= thresholds[o];
    auto at = t.of.sensitive ? static_cast<std::size_t>(t.how) : 3;
    ++rows[at];
    right[at] += over == t.of.sensitive ? 1 : 0;
    if (t.of.topic >= 0 && t.of.topic < no_topic) {
      auto first = t.got.begin() + topic_output;
      ++of_interest;
      named += std::max_element(first, t.got.end()) - first == t.of.topic ? 1 : 0;
    }
  }
  auto percent = [](std::size_t some, std::size_t whole) {
    return whole == 0 ? 0.0 : 100 * static_cast<double>(some) / static_cast<double>(whole);
  };
  fmt::print(stderr,
             "candor-train: held out, {}: recall plain {:.1f} of {}, implied {:.1f} of {}, mixed "
             "{:.1f} of {}; utility {:.1f} of {}; topic {:.1f} of {}\n",
             how == wording::english ? "English" : "other languages", percent(right[0], rows[0]),
             rows[0], percent(right[1], rows[1]), rows[1], percent(right[2], rows[2]), rows[2],
             percent(right[3], rows[3]), rows[3], percent(named, of_interest), of_interest);
}

} // namespace

result<made_files> hold(const course& c) {
  CANDOR_TRY(sentences, read_corpus(c.corpus));
  CANDOR_TRY(words, load_lexicon(c.lexicon));
  CANDOR_TRY(terms, finder::compile(std::move(words)));
  word_vectors vectors;
  if (!c.vectors.empty()) {
    CANDOR_TRY(read, read_vectors(c.vectors));
    vectors = std::move(read);
  } else {
    fmt::print(stderr, "candor-train: no word vectors: English is judged like the other languages, "
                       "by its lexicon and stricter thresholds\n");
  }
  if (sentences.templates.empty())
    return fail(errc::config_invalid, c.corpus.string() + ": the corpus holds no sentence");
  fmt::print(stderr, "candor-train: {} templates, {} terms, {} word vectors\n",
             sentences.templates.size(), terms->words().entries(), vectors.words.size());

  // Samples, and apart from them what the thresholds are chosen on.
  seeded_rng chance{c.how.seed * 2 + 1};
  encoder encode{*terms, vectors, c.groups};
  std::vector<sample> samples;
  std::vector<held_out_text> held_out;
  std::map<std::string, std::vector<const sentence_template*>> clean; // by language
  for (const auto& t : sentences.templates)
    if (t.teaches != what::sensitive)
      clean[t.lang].push_back(&t);
  auto each = std::clamp(c.samples / sentences.templates.size(), std::size_t{1},
                         limits::template_expansions);
  std::array<char, 40> memory;
  for (const auto& t : sentences.templates) {
    auto is_held_out = word_hash(t.text) % held_out_of == 0;
    auto varies = t.text.find('{') != std::string::npos;
    auto times =
        !varies       ? (is_held_out ? 1 : times_plain)
        : is_held_out ? std::min<std::size_t>(each, 3)
        : t.lang == "en" && !vectors.words.empty()
            ? times_english * each *
                  (t.teaches == what::interest && variants(t) >= variants_many ? times_varied : 1)
        : holds_invented(t) ? times_invented * each
                            : times_other * each;
    for (std::size_t i = 0; i < times; ++i) {
      auto made = teach(sentences, t, chance);
      if (is_held_out) {
        if (auto s = encode.read(made, false))
          held_out.push_back(
              {std::move(*s), encode.said(), std::string{primary_subtag(t.lang, memory)}, t.said});
        continue;
      }
      if (!varies)
        made.weight = 1.5F;
      auto dice = chance.next() % 1000;
      const auto& others = clean[t.lang];
      if (dice < with_another && !others.empty()) {
        // What is harmless beside it changes nothing.
        auto other = expand(sentences, *others[chance.next() % others.size()], chance);
        made.said = chance.next() % 2 == 0 ? made.said + ". " + other : other + ". " + made.said;
        made.topic = -1;
      }
      if (dice >= with_another && dice < with_another + with_invented)
        put_invented(made, chance);
      auto disguised = dice >= 1000 - distorted;
      if (disguised)
        disguise(made.said, chance);
      if (auto s = encode.encode(made, disguised))
        samples.push_back(std::move(*s));
    }
  }
  add_manner(encode, chance, samples);
  std::vector<text> blunt;
  add_lexicon(terms->words(), c.lexicon_share, chance, blunt);
  add_background(vectors, chance, blunt);
  add_stirred(sentences, clean, chance, blunt);
  std::string wordnet_version = "none";
  if (!c.wordnet.empty() && !vectors.words.empty()) {
    CANDOR_TRY(names, read_wordnet(c.wordnet, c.wordnet_choice));
    wordnet_version = names.version;
    add_wordnet(names, c.wordnet_share, chance, blunt);
  }
  for (const auto& t : blunt)
    if (auto s = encode.encode(t, false))
      samples.push_back(std::move(*s));
  encode.weigh();
  keep_words(samples, encode.units);
  auto sensitive = std::ranges::count_if(samples, &sample::sensitive);
  fmt::print(stderr, "candor-train: {} samples, {} of them sensitive; {} held out; {} words\n",
             samples.size(), sensitive, held_out.size(), encode.units.size());

  auto net = learn(samples, encode.units, vectors, c.groups, c.how);
  net.made_of = {{"lexicon", terms->words().version},
                 {"corpus", sentences.version},
                 {"vectors", vectors.words.empty() ? "none" : vectors.version},
                 {"wordnet", wordnet_version},
                 {"seed", std::to_string(c.how.seed)},
                 {"passes", std::to_string(c.how.epochs)}};

  // Thresholds, on what was not learned from.
  classifier model{std::move(net)};
  auto made = model.inside();
  std::set<std::string> languages;
  for (auto& t : held_out) {
    judge(model, t);
    if (t.of.how == wording::other)
      languages.insert(t.lang);
  }
  made.thresholds[0] = choose_thresholds(held_out, wording::english, {}, c.false_alarms);
  made.thresholds[1] = choose_thresholds(held_out, wording::other, {}, c.false_alarms_other);
  for (const auto& lang : languages)
    made.thresholds_of.emplace(
        lang, choose_thresholds(held_out, wording::other, lang, c.false_alarms_other));
  for (auto how : {wording::english, wording::other})
    tell_held_out(made, held_out, how);
  CANDOR_TRY(compiled, terms->kept_bytes());
  return made_files{to_bytes(made), std::move(compiled)};
}

} // namespace candor::train
