#include "actors/topic_filter/filter.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <hs/hs.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include "actors/topic_filter/lexicon.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

constexpr unsigned bound_words = 6; ///< how far a neighbour may stand, in words
constexpr int soft_needed = 2;      ///< different soft terms of one category that block
constexpr double confidence_least = 0.5;
constexpr std::size_t hits_max = 4096;     ///< in one turn; more cannot be judged
constexpr std::size_t spelled_letters = 5; ///< of a term that is found within spelled letters
constexpr std::size_t languages_max = 64;

/// Which languages' terms count; bits are places in `compiled::langs`.
using language_set = std::uint64_t;

std::string primary_subtag(std::string_view lang) {
  std::string primary{lang.substr(0, lang.find('-'))};
  std::ranges::transform(primary, primary.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return primary;
}

/// The scripts in which a language is written.
script_set scripts_of(const std::string& lang) {
  script_set found;
  std::array<UScriptCode, 16> codes;
  auto status = U_ZERO_ERROR;
  auto n = uscript_getCode(lang.c_str(), codes.data(), codes.size(), &status);
  for (int i = 0; U_SUCCESS(status) && i < n; ++i)
    if (auto code = static_cast<std::size_t>(codes[static_cast<std::size_t>(i)]);
        code < found.size())
      found.set(code);
  return found;
}

/// One role of a literal. A term's neighbours are kept with the term.
struct rule {
  enum class what : std::uint8_t { sensitive, topic, exception };
  what kind;
  bool stem;
  std::uint8_t lang;        ///< place in `compiled::langs`
  topic_filter::tier tier;  ///< of a sensitive term
  model::category category; ///< of a sensitive term
  std::uint32_t index;      ///< into the lexicon's list of that kind
};

/// A text of the database and what it stands for.
struct literal {
  std::uint32_t bytes;
  std::uint32_t rules_begin = 0, rules_end = 0; ///< in `compiled::rules`
  bool found_spelled;     ///< long enough to be found anywhere within spelled letters
  bool neighbour = false; ///< of a bound term
};

/// As a term's list of neighbours names it.
std::uint32_t neighbour_key(std::uint32_t literal, bool stem) {
  return literal << 1 | (stem ? 1 : 0);
}

/// A literal that begins at a word's beginning. Places are bytes of the original.
struct hit {
  std::uint32_t literal;
  std::uint32_t begin, end;
  std::uint32_t stem_end; ///< of the word in which the literal ends
  std::uint8_t reading;   ///< place in the list of readings; 0: plain
  bool whole;             ///< ends at a word's end
};

std::uint32_t end_of(const hit& h, const rule& r) {
  return r.stem ? h.stem_end : h.end;
}

struct exception_span {
  std::uint32_t begin, end;
  const std::vector<model::category>* categories;
};

/// A hit of a word that some bound term may stand near.
struct placed_hit {
  std::uint32_t at; ///< in half words, see `distances`
  const hit* found;
};

struct soft_hit {
  std::uint32_t id;
  const hit* found;
  const rule* by;
};

/// What a thread needs to judge; kept, so that judging allocates next to nothing.
struct workspace {
  view plain, other;
  std::vector<hit> hits;
  std::vector<exception_span> exceptions;
  std::vector<soft_hit> softs;
  std::vector<placed_hit> neighbours; ///< ascending
  std::vector<std::uint32_t> topic_terms;
  std::vector<std::uint32_t> half_words; ///< see `distances`

  // Of the whole message
  std::uint16_t categories = 0;      ///< a bit each
  std::vector<std::uint32_t> topics; ///< sums of weights by topic
  std::vector<evidence>* explain = nullptr;

  hs_scratch_t* scratch = nullptr;
  std::uint64_t filter_number = 0; ///< for which the scratch was last made

  workspace() = default;
  ~workspace() { hs_free_scratch(scratch); }
  workspace(const workspace&) = delete;
  workspace& operator=(const workspace&) = delete;
};

/// Leaves nothing of what a person said in memory that stays.
struct wiping {
  workspace& w;
  ~wiping() {
    w.plain.wipe();
    w.other.wipe();
  }
};

/// How many words lie between two places of a text, in half words: a character of a script without
/// spaces counts for half a word.
class distances {
public:
  distances(const view& plain, std::vector<std::uint32_t>& memory)
    : plain_{plain}
    , before_{memory} {
    before_.assign(plain.text.size() + 1, 0);
    for (std::size_t i = 0; i < plain.text.size(); ++i) {
      auto kind = plain.kind[i];
      auto first = !U8_IS_TRAIL(static_cast<unsigned char>(plain.text[i]));
      auto starts = kind == byte_kind::word && (i == 0 || plain.kind[i - 1] != byte_kind::word);
      before_[i + 1] = before_[i] + (starts ? 2U : kind == byte_kind::unspaced && first ? 1U : 0U);
    }
  }

  /// Where two spans of the original do not overlap and stand near each other.
  bool near(std::uint32_t a_begin, std::uint32_t a_end, std::uint32_t b_begin,
            std::uint32_t b_end) const {
    if (b_end <= a_begin)
      return apart(b_end, a_begin) <= 2 * bound_words;
    return a_end <= b_begin && apart(a_end, b_begin) <= 2 * bound_words;
  }

  /// Where a place of the original stands, from the text's beginning.
  std::uint32_t at(std::uint32_t original) const { return before_[place(original)]; }

private:
  /// From the end of one to and with the beginning of the next.
  unsigned apart(std::uint32_t end, std::uint32_t begin) const {
    return before_[std::min(place(begin) + 1, before_.size() - 1)] - before_[place(end)];
  }
  std::size_t place(std::uint32_t original) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(plain_.begin, original) -
                                    plain_.begin.begin());
  }

  const view& plain_;
  std::vector<std::uint32_t>& before_;
};

constexpr std::array<std::string_view, 6> reading_names = {"plain",     "joined",  "leet",
                                                           "collapsed", "doubled", "unmarked"};

/// A soft term and its plural are one.
std::string_view without_plural(std::string_view term) {
  return term.substr(0, term.size() - (term.size() > 3 && term.ends_with('s') ? 1 : 0));
}

std::atomic<std::uint64_t> filters_made{0};

} // namespace

struct filter::compiled {
  lexicon words;
  std::vector<literal> literals;                   ///< by the database's pattern id
  std::vector<rule> rules;                         ///< by literal
  std::vector<std::vector<std::uint32_t>> near_by; ///< neighbour_keys by sensitive term, ascending
  std::vector<std::uint32_t> soft_ids;             ///< by sensitive term; one for a plural
  std::vector<std::string> langs;                  ///< of all files
  std::set<std::string> judged_langs;              ///< primary subtags with sensitive terms
  script_set judged_scripts;                       ///< of those languages
  language_set english = 0;
  std::size_t topics_end = 0; ///< past the greatest topic's number
  hs_database_t* database = nullptr;
  /// Tells filters apart for a thread's scratch: an address may come again after a reload.
  std::uint64_t number = ++filters_made;

  compiled() = default;
  ~compiled() { hs_free_database(database); }
  compiled(const compiled&) = delete;
  compiled& operator=(const compiled&) = delete;

  result<void> compile();
  result<std::uint8_t> language(const std::string& tag);
  language_set languages(std::string_view primary) const;
  bool prepare(workspace& w) const;
  bool scan(workspace& w, const view& v, std::uint8_t reading) const;
  bool read_all(workspace& w, std::string_view turn, bool may_be_unmarked) const;
  bool judge_turn(workspace& w, std::string_view turn, language_set spoken, bool may_be_unmarked,
                  bool is_text) const;
  void decide(workspace& w, language_set counted, bool is_text) const;
  evidence explained(const hit& h, const rule& r) const;
};

// -- compiling ---------------------------------------------------------------------------------

result<std::uint8_t> filter::compiled::language(const std::string& tag) {
  auto known = std::ranges::find(langs, tag);
  if (known == langs.end()) {
    if (langs.size() == languages_max)
      return fail(errc::config_invalid, "the lexicon holds more than 64 languages");
    known = langs.insert(langs.end(), tag);
  }
  return static_cast<std::uint8_t>(known - langs.begin());
}

result<void> filter::compiled::compile() {
  std::map<std::string, std::uint32_t> places;
  std::vector<const std::string*> texts;
  std::vector<std::vector<rule>> roles; ///< by literal
  auto place = [&](const term& t) {
    auto [it, is_new] = places.emplace(t.text, static_cast<std::uint32_t>(literals.size()));
    if (is_new) {
      auto letters = std::ranges::count_if(
          t.text, [](char c) { return !U8_IS_TRAIL(static_cast<unsigned char>(c)); });
      literals.push_back({.bytes = static_cast<std::uint32_t>(t.text.size()),
                          .found_spelled = static_cast<std::size_t>(letters) >= spelled_letters});
      texts.push_back(&it->first);
      roles.emplace_back();
    }
    return it->second;
  };

  near_by.resize(words.sensitive.size());
  std::map<std::string_view, std::uint32_t> softs;
  for (std::uint32_t i = 0; i < words.sensitive.size(); ++i) {
    const auto& s = words.sensitive[i];
    auto langs_before = langs.size();
    CANDOR_TRY(lang, language(s.lang));
    if (langs.size() > langs_before) {
      auto scripts = scripts_of(s.lang);
      if (scripts.none())
        return fail(errc::config_invalid, "no script is known for the language " + s.lang);
      judged_scripts |= scripts;
      judged_langs.insert(primary_subtag(s.lang));
    }
    roles[place(s.term)].push_back(
        {rule::what::sensitive, s.term.stem, lang, s.tier, s.category, i});
    for (const auto& n : s.neighbours) {
      auto at = place(n);
      literals[at].neighbour = true;
      near_by[i].push_back(neighbour_key(at, n.stem));
    }
    std::ranges::sort(near_by[i]);
    auto id = static_cast<std::uint32_t>(softs.size());
    soft_ids.push_back(softs.emplace(without_plural(s.term.text), id).first->second);
  }
  for (std::uint32_t i = 0; i < words.topics.size(); ++i) {
    const auto& t = words.topics[i];
    CANDOR_TRY(lang, language(t.lang));
    roles[place(t.term)].push_back(
        {rule::what::topic, t.term.stem, lang, {}, model::category::unknown, i});
    topics_end = std::max<std::size_t>(topics_end, t.topic + 1U);
  }
  for (std::uint32_t i = 0; i < words.exceptions.size(); ++i) {
    const auto& e = words.exceptions[i];
    CANDOR_TRY(lang, language(e.lang));
    roles[place(e.term)].push_back(
        {rule::what::exception, e.term.stem, lang, {}, model::category::unknown, i});
  }
  for (std::size_t i = 0; i < literals.size(); ++i) {
    literals[i].rules_begin = static_cast<std::uint32_t>(rules.size());
    rules.insert(rules.end(), roles[i].begin(), roles[i].end());
    literals[i].rules_end = static_cast<std::uint32_t>(rules.size());
  }
  english = languages("en");

  std::vector<const char*> pointers;
  std::vector<std::size_t> lengths;
  std::vector<unsigned> flags(literals.size(), 0), ids(literals.size());
  for (std::size_t i = 0; i < literals.size(); ++i) {
    pointers.push_back(texts[i]->data());
    lengths.push_back(texts[i]->size());
    ids[i] = static_cast<unsigned>(i);
  }
  hs_compile_error_t* problem = nullptr;
  if (hs_compile_lit_multi(pointers.data(), flags.data(), ids.data(), lengths.data(),
                           static_cast<unsigned>(pointers.size()), HS_MODE_BLOCK, nullptr,
                           &database, &problem) != HS_SUCCESS) {
    std::string why = problem ? problem->message : "unknown";
    hs_free_compile_error(problem);
    return fail(errc::config_invalid, "the lexicon could not be compiled: " + why);
  }
  return {};
}

language_set filter::compiled::languages(std::string_view primary) const {
  language_set found = 0;
  for (std::size_t i = 0; i < langs.size(); ++i)
    if (std::string_view{langs[i]}.substr(0, langs[i].find('-')) == primary)
      found |= language_set{1} << i;
  return found;
}

// -- finding -----------------------------------------------------------------------------------

bool filter::compiled::prepare(workspace& w) const {
  if (w.filter_number == number)
    return true;
  // Grown where this database needs more than the thread's last one.
  w.filter_number = hs_alloc_scratch(database, &w.scratch) == HS_SUCCESS ? number : 0;
  return w.filter_number == number;
}

/// Adds the hits of one reading. False: the scanner failed, or found more than can be judged.
bool filter::compiled::scan(workspace& w, const view& v, std::uint8_t reading) const {
  struct context {
    const std::vector<literal>& literals;
    const view& v;
    std::vector<hit>& hits;
    std::uint8_t reading;
  } c{literals, v, w.hits, reading};
  auto found = [](unsigned id, unsigned long long, unsigned long long to, unsigned, void* data) {
    auto& c = *static_cast<context*>(data);
    const auto& l = c.literals[id];
    const auto& kind = c.v.kind;
    auto in_word = [&](std::size_t i) {
      return kind[i] == byte_kind::word || kind[i] == byte_kind::spelled;
    };
    auto end = static_cast<std::size_t>(to), begin = end - l.bytes;
    auto spelled =
        l.found_spelled && kind[begin] == byte_kind::spelled && kind[end - 1] == byte_kind::spelled;
    if (!spelled && begin > 0 && in_word(begin - 1) && in_word(begin))
      return 0;
    auto whole = spelled || end == kind.size() || !in_word(end) || !in_word(end - 1);
    auto past = end;
    while (!whole && past < kind.size() && in_word(past))
      ++past;
    if (c.hits.size() == hits_max)
      return 1;
    c.hits.push_back({id, c.v.begin[begin], c.v.end[end - 1], c.v.end[past - 1], c.reading, whole});
    return 0;
  };
  return v.text.empty() || hs_scan(database, v.text.data(), static_cast<unsigned>(v.text.size()), 0,
                                   w.scratch, found, &c) == HS_SUCCESS;
}

/// Fills the workspace with the plain view and the hits of all readings, each once. False: cannot
/// be judged.
bool filter::compiled::read_all(workspace& w, std::string_view turn, bool may_be_unmarked) const {
  w.hits.clear();
  if (turn.size() > limits::utterance_bytes || !normalize(turn, w.plain) || w.plain.mixed ||
      (w.plain.scripts & ~judged_scripts).any() || !scan(w, w.plain, 0))
    return false;
  auto plain_hits = w.hits.size();
  if ((read_joined(w.plain, w.other) && !scan(w, w.other, 1)) ||
      (read_leet(w.plain, w.other) && !scan(w, w.other, 2)) ||
      (read_collapsed(w.plain, 1, w.other) &&
       (!scan(w, w.other, 3) || !read_collapsed(w.plain, 2, w.other) || !scan(w, w.other, 4))) ||
      (may_be_unmarked && read_unmarked(w.plain, w.other) && !scan(w, w.other, 5)))
    return false;
  if (w.hits.size() > plain_hits) {
    auto same = [](const hit& h) {
      return std::tie(h.literal, h.begin, h.end, h.stem_end, h.whole);
    };
    std::ranges::sort(w.hits, [&](const hit& a, const hit& b) {
      return std::tuple_cat(same(a), std::tie(a.reading)) <
             std::tuple_cat(same(b), std::tie(b.reading));
    });
    auto twice =
        std::ranges::unique(w.hits, [&](const hit& a, const hit& b) { return same(a) == same(b); });
    w.hits.erase(twice.begin(), twice.end());
  }
  return true;
}

// -- judging -----------------------------------------------------------------------------------

evidence filter::compiled::explained(const hit& h, const rule& r) const {
  static constexpr std::array<std::string_view, 3> tiers = {"hard", "soft", "bound"};
  auto star = r.stem ? "*" : "";
  evidence e{{}, {}, h.begin, end_of(h, r), std::string{reading_names[h.reading]}};
  if (r.kind == rule::what::topic) {
    const auto& t = words.topics[r.index];
    e.subject = model::info(t.topic).slug;
    e.rule = fmt::format("{}/{}/{}{}", e.subject, t.lang, t.term.text, star);
  } else {
    const auto& s = words.sensitive[r.index];
    e.subject = to_string(s.category);
    e.rule = fmt::format("{}/{}/{}/{}{}", e.subject, s.lang,
                         tiers[static_cast<std::size_t>(s.tier)], s.term.text, star);
  }
  return e;
}

/// From hits to categories and topics.
void filter::compiled::decide(workspace& w, language_set counted, bool is_text) const {
  auto each = [&](rule::what kind, auto&& take) {
    for (const auto& h : w.hits) {
      const auto& l = literals[h.literal];
      for (auto i = l.rules_begin; i < l.rules_end; ++i)
        if (const auto& r = rules[i];
            r.kind == kind && (h.whole || r.stem) && (counted >> r.lang & 1) != 0)
          take(h, r);
    }
  };
  auto block = [&](const hit& h, const rule& r) {
    w.categories |= static_cast<std::uint16_t>(1U << static_cast<unsigned>(r.category));
    if (w.explain && w.explain->size() < limits::evidence_items)
      w.explain->push_back(explained(h, r));
  };

  w.exceptions.clear();
  each(rule::what::exception, [&](const hit& h, const rule& r) {
    w.exceptions.push_back({h.begin, end_of(h, r), &words.exceptions[r.index].categories});
  });
  // Of exceptions that lie within each other each cancels the categories that it names: so the
  // longest wins, and may leave to the shorter what it need not repeat.
  auto cancelled = [&](const hit& h, const rule& r) {
    return std::ranges::any_of(w.exceptions, [&](const exception_span& e) {
      return e.begin <= h.begin && end_of(h, r) <= e.end &&
             (e.categories->empty() ||
              std::ranges::find(*e.categories, r.category) != e.categories->end());
    });
  };

  std::optional<distances> far;
  auto has_neighbour = [&](const hit& h, const rule& r) {
    if (!far) {
      far.emplace(w.plain, w.half_words);
      w.neighbours.clear();
      for (const auto& n : w.hits)
        if (literals[n.literal].neighbour)
          w.neighbours.push_back({far->at(n.begin), &n});
      std::ranges::sort(w.neighbours, {}, &placed_hit::at);
    }
    const auto& wanted = near_by[r.index];
    auto end = end_of(h, r);
    auto is_near = [&](std::uint32_t n_begin, std::uint32_t n_end) {
      return far->near(h.begin, end, n_begin, n_end);
    };
    // One that begins farther off than this can't end near.
    constexpr std::uint32_t reach = 2 * bound_words + term_bytes_max;
    auto here = far->at(h.begin), past = far->at(end) + reach;
    auto from =
        std::ranges::lower_bound(w.neighbours, here - std::min(here, reach), {}, &placed_hit::at);
    for (; from != w.neighbours.end() && from->at <= past; ++from) {
      const auto& n = *from->found;
      auto named = [&](bool stem) {
        return std::ranges::binary_search(wanted, neighbour_key(n.literal, stem));
      };
      if ((n.whole && named(false) && is_near(n.begin, n.end)) ||
          (named(true) && is_near(n.begin, n.stem_end)))
        return true;
    }
    return false;
  };

  w.softs.clear();
  std::array<int, model::category_count> soft_found{};
  each(rule::what::sensitive, [&](const hit& h, const rule& r) {
    if (cancelled(h, r) || (r.tier == tier::bound && !has_neighbour(h, r)))
      return;
    if (r.tier != tier::soft)
      return block(h, r);
    auto id = soft_ids[r.index];
    if (std::ranges::any_of(w.softs, [&](const soft_hit& known) {
          return known.id == id && known.by->category == r.category;
        }))
      return;
    w.softs.push_back({id, &h, &r});
    ++soft_found[static_cast<std::size_t>(r.category)];
  });
  for (const auto& s : w.softs)
    if (soft_found[static_cast<std::size_t>(s.by->category)] >= soft_needed)
      block(*s.found, *s.by);

  // Topics come from the plain reading of the text itself, each term once.
  if (!is_text)
    return;
  w.topic_terms.clear();
  each(rule::what::topic, [&](const hit& h, const rule& r) {
    if (h.reading != 0 || std::ranges::find(w.topic_terms, r.index) != w.topic_terms.end())
      return;
    w.topic_terms.push_back(r.index);
    w.topics[words.topics[r.index].topic] += words.topics[r.index].weight;
    if (w.explain && w.explain->size() < limits::evidence_items)
      w.explain->push_back(explained(h, r));
  });
}

bool filter::compiled::judge_turn(workspace& w, std::string_view turn, language_set spoken,
                                  bool may_be_unmarked, bool is_text) const {
  wiping after{w};
  if (!read_all(w, turn, may_be_unmarked))
    return false;
  if (w.hits.empty())
    return true;
  // Terms of other scripts can't be mistaken for another language's words.
  auto other_scripts = w.plain.scripts;
  other_scripts.reset(USCRIPT_LATIN);
  decide(w, other_scripts.any() ? ~language_set{0} : spoken, is_text);
  return true;
}

// -- the interface -----------------------------------------------------------------------------

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
  return inside_->words.entries();
}

const std::string& filter::version() const noexcept {
  return inside_->words.version;
}

judgement filter::judge(std::string_view text, std::string_view lang,
                        std::span<const std::string> earlier_turns, bool explain) const {
  thread_local workspace w;
  const auto& in = *inside_;
  auto unknown = [] {
    judgement withheld;
    withheld.sensitive = {model::category::unknown};
    return withheld;
  };

  auto primary = primary_subtag(lang.substr(0, limits::language_tag_bytes));
  auto is_named = !primary.empty() && primary != "und";
  if ((is_named && !in.judged_langs.contains(primary)) ||
      earlier_turns.size() > limits::context_turns || !in.prepare(w))
    return unknown();
  // English is mixed into every language.
  auto spoken = is_named ? in.languages(primary) | in.english : ~language_set{0};
  // Elsewhere accents tell words apart.
  auto may_be_unmarked = !is_named || primary == "en";

  judgement j;
  w.categories = 0;
  w.topics.assign(in.topics_end, 0);
  w.explain = explain ? &j.evidence : nullptr;
  if (!in.judge_turn(w, text, spoken, may_be_unmarked, true))
    return unknown();
  for (const auto& turn : earlier_turns)
    if (!in.judge_turn(w, turn, spoken, may_be_unmarked, false))
      return unknown();
  w.explain = nullptr;

  for (std::size_t c = 0; c < model::category_count; ++c)
    if ((w.categories >> c & 1) != 0)
      j.sensitive.push_back(static_cast<model::category>(c));
  if (j.withheld())
    return j;
  // A topic counts in proportion to its terms' weights, one mention at the least and two at the
  // most; what is far weaker than the strongest was mentioned by the way.
  std::uint32_t strongest = 0;
  for (auto score : w.topics)
    strongest = std::max(strongest, score);
  for (std::size_t topic = 0; topic < w.topics.size(); ++topic)
    if (auto score = w.topics[topic]; score > 0 && score * 3 >= strongest)
      j.topics.push_back({static_cast<model::topic_id>(topic),
                          std::clamp(score * (model::one_mention / 2), model::one_mention,
                                     2 * model::one_mention)});
  std::ranges::stable_sort(j.topics, std::greater{}, &model::topic_weight::weight);
  if (j.topics.size() > limits::signal_topics)
    j.topics.resize(limits::signal_topics);
  return j;
}

judgement filter::classify(std::string_view text, std::string_view lang,
                           std::span<const std::string> earlier_turns) const {
  return judge(text, lang, earlier_turns, true);
}

std::optional<model::sanitized_signal> filter::sanitize(const model::admission& header,
                                                        const model::event& e) const {
  if (e.kind == model::event_kind::ai_interaction && e.modality == model::modality::voice &&
      !(e.confidence >= confidence_least))
    return std::nullopt;
  model::raw_utterance::reader may_read;
  auto judged =
      judge(e.utterance.text(may_read), e.lang, e.utterance.earlier_turns(may_read), false);
  if (judged.withheld())
    return std::nullopt;
  // What the platform states of a liked object counts beside what the object's text says. Nothing
  // but the allow-list becomes an interest, whoever names it.
  auto& topics = judged.topics;
  std::set<model::topic_id> stated;
  for (auto topic : e.object_topics) {
    if (!model::is_topic(topic) || !stated.insert(topic).second)
      continue;
    auto known = std::ranges::find(topics, topic, &model::topic_weight::topic);
    if (known == topics.end())
      topics.push_back({topic, model::one_mention});
    else
      known->weight = std::min(known->weight + model::one_mention, 2 * model::one_mention);
  }
  std::ranges::stable_sort(topics, std::greater{}, &model::topic_weight::weight);
  if (topics.size() > limits::signal_topics)
    topics.resize(limits::signal_topics);
  return model::sanitized_signal{header, std::move(topics)};
}

} // namespace candor::topic_filter
