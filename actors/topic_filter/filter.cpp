#include "actors/topic_filter/filter.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>
#include <hs/hs.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include "actors/topic_filter/lexicon.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

constexpr unsigned bound_words = 6;    ///< how far a neighbour may stand, in words
constexpr std::size_t soft_needed = 2; ///< different soft terms of one category that block
constexpr double confidence_least = 0.5;
constexpr std::size_t hits_max = 4096; ///< in one text; more cannot be judged

std::string primary_subtag(std::string_view lang) {
  std::string primary{lang.substr(0, lang.find('-'))};
  std::ranges::transform(primary, primary.begin(), [](unsigned char c) { return std::tolower(c); });
  return primary;
}

/// Scripts of the letters in a normalized text; Latin, Common and Inherited are left out.
std::set<UScriptCode> scripts(std::string_view text) {
  std::set<UScriptCode> found;
  auto size = static_cast<std::int32_t>(text.size());
  for (std::int32_t i = 0; i < size;) {
    UChar32 c;
    U8_NEXT_UNSAFE(text.data(), i, c);
    if (c < 0x80 || !u_isalpha(c))
      continue;
    auto status = U_ZERO_ERROR;
    auto script = uscript_getScript(c, &status);
    if (script != USCRIPT_LATIN && script != USCRIPT_COMMON && script != USCRIPT_INHERITED)
      found.insert(script);
  }
  return found;
}

/// What a literal of the database stands for.
struct rule {
  enum class what : std::uint8_t { sensitive, topic, exception, neighbour };
  what kind;
  std::uint32_t index; ///< into the lexicon's list; of a neighbour: its sensitive term
  bool stem;
};

struct literal {
  std::string text;
  std::vector<rule> rules;
};

struct hit {
  const rule* what;
  std::uint32_t begin, end; ///< of the normalized view
};

class scratch {
public:
  scratch() = default;
  ~scratch() { hs_free_scratch(space_); }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;

  /// nullptr where there is no memory.
  hs_scratch_t* of(const hs_database_t* database) {
    // Grown for a database the first time this thread meets it.
    if (database != last_ && hs_alloc_scratch(database, &space_) != HS_SUCCESS)
      return nullptr;
    last_ = database;
    return space_;
  }

private:
  hs_scratch_t* space_ = nullptr;
  const hs_database_t* last_ = nullptr;
};

} // namespace

struct filter::compiled {
  lexicon words;
  std::vector<literal> literals; ///< by the database's pattern id
  hs_database_t* database = nullptr;
  std::set<std::string> langs;   ///< with sensitive terms
  std::set<UScriptCode> scripts; ///< of sensitive terms

  ~compiled() { hs_free_database(database); }

  result<void> compile();
  void add(std::map<std::string, std::size_t>& places, const term& t, rule r);
  bool speaks(const std::string& term_lang, const std::string& text_lang, bool latin) const;
  /// false: the scanner failed, or found more than can be judged.
  bool scan(const view& v, std::vector<hit>& hits) const;
  std::string rule_id(const rule& r) const;
};

void filter::compiled::add(std::map<std::string, std::size_t>& places, const term& t, rule r) {
  auto [it, is_new] = places.emplace(t.text, literals.size());
  if (is_new)
    literals.push_back({t.text, {}});
  literals[it->second].rules.push_back(r);
}

result<void> filter::compiled::compile() {
  std::map<std::string, std::size_t> places;
  for (std::uint32_t i = 0; i < words.sensitive.size(); ++i) {
    const auto& s = words.sensitive[i];
    add(places, s.term, {rule::what::sensitive, i, s.term.stem});
    for (const auto& n : s.neighbours)
      add(places, n, {rule::what::neighbour, i, n.stem});
    langs.insert(primary_subtag(s.lang));
    scripts.merge(topic_filter::scripts(s.term.text));
  }
  // Languages that mix scripts: a lexicon of one may happen to hold terms in some of them alone.
  if (langs.contains("ja"))
    scripts.insert({USCRIPT_HAN, USCRIPT_HIRAGANA, USCRIPT_KATAKANA});
  if (langs.contains("ko"))
    scripts.insert({USCRIPT_HANGUL, USCRIPT_HAN});
  for (std::uint32_t i = 0; i < words.topics.size(); ++i)
    add(places, words.topics[i].term, {rule::what::topic, i, words.topics[i].term.stem});
  for (std::uint32_t i = 0; i < words.exceptions.size(); ++i)
    add(places, words.exceptions[i].term,
        {rule::what::exception, i, words.exceptions[i].term.stem});

  std::vector<const char*> texts;
  std::vector<std::size_t> lengths;
  std::vector<unsigned> flags(literals.size(), 0), ids(literals.size());
  for (std::size_t i = 0; i < literals.size(); ++i) {
    texts.push_back(literals[i].text.data());
    lengths.push_back(literals[i].text.size());
    ids[i] = static_cast<unsigned>(i);
  }
  hs_compile_error_t* problem = nullptr;
  if (hs_compile_lit_multi(texts.data(), flags.data(), ids.data(), lengths.data(),
                           static_cast<unsigned>(texts.size()), HS_MODE_BLOCK, nullptr, &database,
                           &problem) != HS_SUCCESS) {
    std::string why = problem ? problem->message : "unknown";
    hs_free_compile_error(problem);
    return fail(errc::config_invalid, "the lexicon could not be compiled: " + why);
  }
  return {};
}

bool filter::compiled::speaks(const std::string& term_lang, const std::string& text_lang,
                              bool latin) const {
  // Terms of other scripts can't be mistaken for another language's words; English is mixed into
  // every language.
  return text_lang.empty() || !latin || term_lang == "en" || primary_subtag(term_lang) == text_lang;
}

bool filter::compiled::scan(const view& v, std::vector<hit>& hits) const {
  thread_local scratch space;
  auto memory = space.of(database);
  if (!memory)
    return false;
  auto in_word = word_bytes(v.text);
  struct context {
    const compiled* self;
    const std::vector<bool>* in_word;
    std::vector<hit>* hits;
  } c{this, &in_word, &hits};
  auto found = [](unsigned id, unsigned long long, unsigned long long to, unsigned, void* data) {
    auto& c = *static_cast<context*>(data);
    const auto& l = c.self->literals[id];
    const auto& in_word = *c.in_word;
    auto end = static_cast<std::size_t>(to), begin = end - l.text.size();
    auto starts = begin == 0 || !in_word[begin - 1] || !in_word[begin];
    auto ends = end == in_word.size() || !in_word[end] || !in_word[end - 1];
    if (!starts)
      return 0;
    for (const auto& r : l.rules) {
      if (!ends && !r.stem)
        continue;
      if (c.hits->size() == hits_max)
        return 1;
      auto whole = end;
      if (r.stem)
        while (whole < in_word.size() && in_word[whole])
          ++whole;
      c.hits->push_back({&r, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(whole)});
    }
    return 0;
  };
  return hs_scan(database, v.text.data(), static_cast<unsigned>(v.text.size()), 0, memory, found,
                 &c) == HS_SUCCESS;
}

std::string filter::compiled::rule_id(const rule& r) const {
  static constexpr std::string_view tiers[] = {"hard", "soft", "bound"};
  auto star = r.stem ? "*" : "";
  if (r.kind == rule::what::topic) {
    const auto& t = words.topics[r.index];
    return fmt::format("{}/{}/{}{}", model::info(t.topic).slug, t.lang, t.term.text, star);
  }
  const auto& s = words.sensitive[r.index];
  return fmt::format("{}/{}/{}/{}{}", to_string(s.category), s.lang,
                     tiers[static_cast<int>(s.tier)], s.term.text, star);
}

// -- judging -----------------------------------------------------------------------------------

namespace {

/// The number of the word in which each byte stands.
std::vector<std::uint16_t> word_numbers(std::string_view text) {
  auto in_word = word_bytes(text);
  std::vector<std::uint16_t> numbers(text.size());
  std::uint16_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    // lead byte.
    if (i > 0 && in_word[i] && !in_word[i - 1] && n < UINT16_MAX)
      ++n;
    numbers[i] = n;
  }
  return numbers;
}

/// A soft term and its plural are one.
std::string_view without_plural(std::string_view term) {
  return term.substr(0, term.size() - (term.size() > 3 && term.ends_with('s') ? 1 : 0));
}

} // namespace

filter::filter(std::unique_ptr<compiled> inside)
  : inside_{std::move(inside)} {}
filter::~filter() = default;

result<std::unique_ptr<filter>> filter::load(const std::filesystem::path& lexicon_folder) {
  auto inside = std::make_unique<compiled>();
  CANDOR_TRY(words, load_lexicon(lexicon_folder));
  inside->words = std::move(words);
  CANDOR_TRY_VOID(inside->compile());
  return std::unique_ptr<filter>{new filter{std::move(inside)}};
}

std::size_t filter::terms() const noexcept {
  return inside_->words.sensitive.size() + inside_->words.topics.size() +
         inside_->words.exceptions.size();
}

const std::string& filter::version() const noexcept {
  return inside_->words.version;
}

judgement filter::classify(std::string_view text, std::string_view lang,
                           std::span<const std::string> earlier_turns) const {
  judgement j;
  auto unknown = [] {
    judgement withheld;
    withheld.sensitive = {model::category::unknown};
    return withheld;
  };
  const auto& in = *inside_;
  auto text_lang = primary_subtag(lang);
  if (!text_lang.empty() && text_lang != "und" && !in.langs.contains(text_lang))
    return unknown();
  if (text_lang == "und")
    text_lang.clear();

  std::set<model::category> categories;
  std::map<model::topic_id, std::uint32_t> topics;
  auto note = [&](const rule& r, std::string_view subject, const view& v, std::uint32_t begin,
                  std::uint32_t end) {
    if (j.evidence.size() < limits::evidence_items)
      j.evidence.push_back(
          {in.rule_id(r), std::string{subject}, v.origin[begin], v.origin[end], v.name});
  };

  /// One reading of one turn. Topics are taken from the plain reading of the text itself only.
  auto judge = [&](const view& v, bool is_text) {
    std::vector<hit> hits;
    if (!in.scan(v, hits))
      return false;
    auto latin = scripts(v.text).empty();
    auto numbers = word_numbers(v.text);
    std::vector<const hit*> exceptions, neighbours;
    std::vector<const hit*> sensitive;
    std::set<std::uint32_t> topic_terms;
    for (const auto& h : hits) {
      switch (h.what->kind) {
        case rule::what::sensitive:
          if (in.speaks(in.words.sensitive[h.what->index].lang, text_lang, latin))
            sensitive.push_back(&h);
          break;
        case rule::what::neighbour:
          neighbours.push_back(&h);
          break;
        case rule::what::exception:
          if (in.speaks(in.words.exceptions[h.what->index].lang, text_lang, latin))
            exceptions.push_back(&h);
          break;
        case rule::what::topic: {
          const auto& t = in.words.topics[h.what->index];
          if (is_text && v.name == "plain" && in.speaks(t.lang, text_lang, latin) &&
              topic_terms.insert(h.what->index).second) {
            topics[t.topic] += t.weight;
            note(*h.what, model::info(t.topic).slug, v, h.begin, h.end);
          }
          break;
        }
      }
    }
    auto cancelled = [&](const hit& h, model::category category) {
      return std::ranges::any_of(exceptions, [&](const hit* e) {
        const auto& named = in.words.exceptions[e->what->index].categories;
        return e->begin <= h.begin && h.end <= e->end &&
               (named.empty() || std::ranges::find(named, category) != named.end());
      });
    };
    std::map<model::category, std::map<std::string_view, const hit*>> soft;
    for (auto h : sensitive) {
      const auto& s = in.words.sensitive[h->what->index];
      if (cancelled(*h, s.category))
        continue;
      auto blocks = s.tier == tier::hard;
      if (s.tier == tier::soft)
        soft[s.category].emplace(without_plural(s.term.text), h);
      if (s.tier == tier::bound)
        blocks = std::ranges::any_of(neighbours, [&](const hit* n) {
          auto apart = std::abs(int{numbers[n->begin]} - int{numbers[h->begin]});
          auto elsewhere = n->end <= h->begin || h->end <= n->begin;
          return n->what->index == h->what->index && elsewhere &&
                 apart <= static_cast<int>(bound_words);
        });
      if (blocks) {
        categories.insert(s.category);
        note(*h->what, to_string(s.category), v, h->begin, h->end);
      }
    }
    for (const auto& [category, found] : soft)
      if (found.size() >= soft_needed) {
        categories.insert(category);
        for (const auto& [_, h] : found)
          note(*h->what, to_string(category), v, h->begin, h->end);
      }
    return true;
  };

  auto judge_turn = [&](std::string_view turn, bool is_text) {
    if (turn.size() > limits::utterance_bytes)
      return false;
    auto plain = normalize(turn);
    if (!plain)
      return false;
    for (auto script : scripts(plain->text))
      if (!in.scripts.contains(script))
        return false;
    if (!judge(*plain, is_text))
      return false;
    return std::ranges::all_of(alternate_views(*plain),
                               [&](const view& v) { return judge(v, is_text); });
  };

  if (!judge_turn(text, true))
    return unknown();
  for (const auto& turn : earlier_turns)
    if (!judge_turn(turn, false))
      return unknown();

  j.sensitive.assign(categories.begin(), categories.end());
  if (j.withheld())
    return j;
  // A topic counts in proportion to its terms' weights, one mention at the least and two at the
  // most; what is far weaker than the strongest was mentioned by the way.
  std::uint32_t strongest = 0;
  for (const auto& [_, score] : topics)
    strongest = std::max(strongest, score);
  for (const auto& [topic, score] : topics)
    if (score * 3 >= strongest)
      j.topics.push_back({topic, std::clamp(score * (model::one_mention / 2), model::one_mention,
                                            2 * model::one_mention)});
  std::ranges::stable_sort(j.topics, std::greater{}, &model::topic_weight::weight);
  if (j.topics.size() > limits::signal_topics)
    j.topics.resize(limits::signal_topics);
  return j;
}

std::optional<model::sanitized_signal> filter::sanitize(const model::admission& header,
                                                        const model::event& e) const {
  if (e.kind == model::event_kind::ai_interaction && e.modality == model::modality::voice &&
      !(e.confidence >= confidence_least))
    return std::nullopt;
  model::raw_utterance::reader may_read;
  auto judged = classify(e.utterance.text(may_read), e.lang, e.utterance.earlier_turns(may_read));
  if (judged.withheld())
    return std::nullopt;
  // What the platform says of a liked object counts once, beside what the object's text says.
  for (auto topic : e.object_topics) {
    auto known = std::ranges::find(judged.topics, topic, &model::topic_weight::topic);
    if (known == judged.topics.end() && judged.topics.size() < limits::signal_topics)
      judged.topics.push_back({topic, model::one_mention});
  }
  return model::sanitized_signal{header, std::move(judged.topics)};
}

} // namespace candor::topic_filter
