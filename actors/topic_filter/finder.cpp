#include "actors/topic_filter/finder.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>
#include <hs/hs.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/scan_file.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

constexpr unsigned bound_words = 6;        ///< how far a neighbour may stand, in words
constexpr int soft_needed = 2;             ///< different soft terms of one category that block
constexpr std::size_t spelled_letters = 5; ///< of a term that is found within spelled letters

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

/// As a term's list of neighbours names it.
std::uint32_t neighbour_key(std::uint32_t literal, bool stem) {
  return literal << 1 | (stem ? 1 : 0);
}

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

/// A soft term and its plural are one.
std::string_view without_plural(std::string_view term) {
  return term.substr(0, term.size() - (term.size() > 3 && term.ends_with('s') ? 1 : 0));
}

std::atomic<std::uint64_t> finders_made{0};

} // namespace

/// One role of a literal. A term's neighbours are kept with the term.
struct finder::rule {
  enum class what : std::uint8_t { sensitive, topic, exception };
  what kind;
  bool stem;
  std::uint8_t lang;        ///< place in `langs_`
  topic_filter::tier tier;  ///< of a sensitive term
  model::category category; ///< of a sensitive term
  std::uint32_t index;      ///< into the lexicon's list of that kind
};

/// A text of the database and what it stands for.
struct finder::literal {
  std::uint32_t bytes;
  std::uint32_t rules_begin = 0, rules_end = 0; ///< in `rules_`
  bool found_spelled;     ///< long enough to be found anywhere within spelled letters
  bool neighbour = false; ///< of a bound term
  bool stem = false;      ///< in one of its roles
  language_set langs = 0; ///< of its roles
};

namespace {

std::uint32_t end_of(const finder::hit& h, bool stem) {
  return stem ? h.stem_end : h.end;
}

} // namespace

std::string_view primary_subtag(std::string_view lang, std::array<char, 40>& memory) {
  auto bytes = std::min(lang.find('-'), std::min(lang.size(), memory.size()));
  std::ranges::transform(lang.substr(0, bytes), memory.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  return {memory.data(), bytes};
}

// -- compiling ---------------------------------------------------------------------------------

finder::~finder() {
  hs_free_database(database_);
}

finder::workspace::~workspace() {
  hs_free_scratch(scratch);
}

void finder::workspace::wipe() noexcept {
  plain.wipe();
  other.wipe();
}

result<std::unique_ptr<finder>> finder::compile(lexicon words, const std::filesystem::path& kept) {
  std::unique_ptr<finder> made{new finder};
  made->words_ = std::move(words);
  made->number_ = ++finders_made;
  CANDOR_TRY_VOID(made->fill(kept));
  return made;
}

result<std::uint8_t> finder::language(const std::string& tag) {
  auto known = std::ranges::find(langs_, tag);
  if (known == langs_.end()) {
    if (langs_.size() == limits::lexicon_languages)
      return fail(errc::config_invalid, "the lexicon holds more than 64 languages");
    known = langs_.insert(langs_.end(), tag);
  }
  return static_cast<std::uint8_t>(known - langs_.begin());
}

result<std::string> finder::kept_bytes() const {
  return make_scan_file(scan_key_, database_);
}

result<void> finder::fill(const std::filesystem::path& kept) {
  std::array<char, 40> memory;
  std::map<std::string, std::uint32_t> places;
  std::vector<const std::string*> texts;
  std::vector<std::vector<rule>> roles; ///< by literal
  auto place = [&](const term& t) {
    auto [it, is_new] = places.emplace(t.text, static_cast<std::uint32_t>(literals_.size()));
    if (is_new) {
      auto letters = std::ranges::count_if(
          t.text, [](char c) { return !U8_IS_TRAIL(static_cast<unsigned char>(c)); });
      literals_.push_back({.bytes = static_cast<std::uint32_t>(t.text.size()),
                           .found_spelled = static_cast<std::size_t>(letters) >= spelled_letters});
      texts.push_back(&it->first);
      roles.emplace_back();
    }
    return it->second;
  };

  near_by_.resize(words_.sensitive.size());
  std::map<std::string_view, std::uint32_t> softs;
  for (std::uint32_t i = 0; i < words_.sensitive.size(); ++i) {
    const auto& s = words_.sensitive[i];
    auto langs_before = langs_.size();
    CANDOR_TRY(lang, language(s.lang));
    if (langs_.size() > langs_before) {
      auto scripts = scripts_of(s.lang);
      if (scripts.none())
        return fail(errc::config_invalid, "no script is known for the language " + s.lang);
      judged_scripts_ |= scripts;
      judged_langs_.insert(std::string{primary_subtag(s.lang, memory)});
    }
    roles[place(s.term)].push_back(
        {rule::what::sensitive, s.term.stem, lang, s.tier, s.category, i});
    for (const auto& n : s.neighbours) {
      auto at = place(n);
      literals_[at].neighbour = true;
      literals_[at].stem |= n.stem;
      near_by_[i].push_back(neighbour_key(at, n.stem));
    }
    std::ranges::sort(near_by_[i]);
    auto id = static_cast<std::uint32_t>(softs.size());
    soft_ids_.push_back(softs.emplace(without_plural(s.term.text), id).first->second);
  }
  for (std::uint32_t i = 0; i < words_.topics.size(); ++i) {
    const auto& t = words_.topics[i];
    CANDOR_TRY(lang, language(t.lang));
    roles[place(t.term)].push_back(
        {rule::what::topic, t.term.stem, lang, {}, model::category::unknown, i});
    if (above_.size() <= t.topic)
      above_.resize(t.topic + std::size_t{1});
    above_[t.topic] = model::find_topic(model::info(t.topic).parent).value_or(0);
  }
  for (std::uint32_t i = 0; i < words_.exceptions.size(); ++i) {
    const auto& e = words_.exceptions[i];
    CANDOR_TRY(lang, language(e.lang));
    roles[place(e.term)].push_back(
        {rule::what::exception, e.term.stem, lang, {}, model::category::unknown, i});
  }
  for (std::size_t i = 0; i < literals_.size(); ++i) {
    literals_[i].rules_begin = static_cast<std::uint32_t>(rules_.size());
    rules_.insert(rules_.end(), roles[i].begin(), roles[i].end());
    literals_[i].rules_end = static_cast<std::uint32_t>(rules_.size());
    for (const auto& r : roles[i]) {
      literals_[i].stem |= r.stem;
      literals_[i].langs |= language_set{1} << r.lang;
    }
  }
  english_ = 0;
  for (std::size_t i = 0; i < langs_.size(); ++i)
    if (langs_[i] == "en")
      english_ |= language_set{1} << i;

  scan_key_ = scan_key(texts);
  if (!kept.empty() && (database_ = read_scan_file(kept, scan_key_)))
    return {};
  std::vector<const char*> pointers;
  std::vector<std::size_t> lengths;
  std::vector<unsigned> flags(literals_.size(), 0), ids(literals_.size());
  for (std::size_t i = 0; i < literals_.size(); ++i) {
    pointers.push_back(texts[i]->data());
    lengths.push_back(texts[i]->size());
    ids[i] = static_cast<unsigned>(i);
  }
  hs_compile_error_t* problem = nullptr;
  if (hs_compile_lit_multi(pointers.data(), flags.data(), ids.data(), lengths.data(),
                           static_cast<unsigned>(pointers.size()), HS_MODE_BLOCK, nullptr,
                           &database_, &problem) != HS_SUCCESS) {
    std::string why = problem ? problem->message : "unknown";
    hs_free_compile_error(problem);
    return fail(errc::config_invalid, "the lexicon could not be compiled: " + why);
  }
  return {};
}

language_set finder::languages(std::string_view primary) const {
  if (primary.empty())
    return ~language_set{0};
  auto found = english_;
  for (std::size_t i = 0; i < langs_.size(); ++i)
    if (std::string_view{langs_[i]}.substr(0, langs_[i].find('-')) == primary)
      found |= language_set{1} << i;
  return found;
}

// -- finding -----------------------------------------------------------------------------------

bool finder::prepare(workspace& w) const {
  if (w.finder_number == number_)
    return true;
  // Grown where this database needs more than the thread's last one.
  w.finder_number = hs_alloc_scratch(database_, &w.scratch) == HS_SUCCESS ? number_ : 0;
  return w.finder_number == number_;
}

void finder::start(workspace& w) const {
  w.categories = 0;
  w.topics.assign(above_.size(), 0);
}

bool finder::read(workspace& w, std::string_view turn) const {
  w.hits.clear();
  w.counts.fill({});
  return turn.size() <= limits::utterance_bytes && normalize(turn, w.plain) && !w.plain.mixed &&
         !(w.plain.scripts & ~judged_scripts_).any();
}

/// Adds the hits of one reading. False: the scanner failed, or found more than can be judged.
bool finder::scan(workspace& w, const view& v, std::uint8_t reading) const {
  struct context {
    const std::vector<literal>& literals;
    const view& v;
    std::vector<hit>& hits;
    language_set spoken;
    std::uint8_t reading;
  } c{literals_, v, w.hits, w.spoken, reading};
  auto found = [](unsigned id, unsigned long long, unsigned long long to, unsigned, void* data) {
    auto& c = *static_cast<context*>(data);
    const auto& l = c.literals[id];
    // Most of what is found in a text belongs to other languages.
    if ((l.langs & c.spoken) == 0 && !l.neighbour)
      return 0;
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
    if (!whole && !l.stem)
      return 0;
    auto past = end;
    while (!whole && past < kind.size() && in_word(past))
      ++past;
    if (c.hits.size() == limits::term_hits)
      return 1;
    c.hits.push_back({id, c.v.begin[begin], c.v.end[end - 1], c.v.end[past - 1], c.reading, whole});
    return 0;
  };
  return v.text.empty() || hs_scan(database_, v.text.data(), static_cast<unsigned>(v.text.size()),
                                   0, w.scratch, found, &c) == HS_SUCCESS;
}

/// The hits of all readings, each once, in the plainest reading that found it.
void finder::put_together(workspace& w) const {
  if (std::ranges::all_of(w.hits, [](const hit& h) { return h.reading == 0; }))
    return;
  auto same = [](const hit& h) { return std::tie(h.literal, h.begin, h.end, h.stem_end, h.whole); };
  std::ranges::sort(w.hits, [&](const hit& a, const hit& b) {
    return std::tuple_cat(same(a), std::tie(a.reading)) <
           std::tuple_cat(same(b), std::tie(b.reading));
  });
  auto twice = std::unique(w.hits.begin(), w.hits.end(),
                           [&](const hit& a, const hit& b) { return same(a) == same(b); });
  w.hits.erase(twice, w.hits.end());
}

// -- deciding ----------------------------------------------------------------------------------

evidence finder::explained(const hit& h, const rule& r) const {
  static constexpr std::array<std::string_view, 3> tiers = {"hard", "soft", "bound"};
  auto star = r.stem ? "*" : "";
  evidence e{{}, {}, h.begin, end_of(h, r.stem), std::string{reading_names[h.reading]}, {}, {}};
  if (r.kind == rule::what::topic) {
    const auto& t = words_.topics[r.index];
    e.subject = model::info(t.topic).slug;
    e.rule = fmt::format("{}/{}/{}{}", e.subject, t.lang, t.term.text, star);
  } else {
    const auto& s = words_.sensitive[r.index];
    e.subject = to_string(s.category);
    e.rule = fmt::format("{}/{}/{}/{}{}", e.subject, s.lang,
                         tiers[static_cast<std::size_t>(s.tier)], s.term.text, star);
  }
  return e;
}

/// From hits to categories and topics.
void finder::decide(workspace& w, bool is_text) const {
  if (w.hits.empty())
    return;
  put_together(w);
  auto each = [&](rule::what kind, auto&& take) {
    for (const auto& h : w.hits) {
      const auto& l = literals_[h.literal];
      for (auto i = l.rules_begin; i < l.rules_end; ++i)
        if (const auto& r = rules_[i];
            r.kind == kind && (h.whole || r.stem) && (w.spoken >> r.lang & 1) != 0)
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
    w.exceptions.push_back({h.begin, end_of(h, r.stem), &words_.exceptions[r.index].categories});
  });
  // Of exceptions that lie within each other each cancels the categories that it names: so the
  // longest wins, and may leave to the shorter what it need not repeat.
  auto cancelled = [&](const hit& h, const rule& r) {
    return std::ranges::any_of(w.exceptions, [&](const workspace::exception_span& e) {
      return e.begin <= h.begin && end_of(h, r.stem) <= e.end &&
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
        if (literals_[n.literal].neighbour)
          w.neighbours.push_back({far->at(n.begin), &n});
      std::ranges::sort(w.neighbours, {}, &workspace::placed_hit::at);
    }
    const auto& wanted = near_by_[r.index];
    auto end = end_of(h, r.stem);
    auto is_near = [&](std::uint32_t n_begin, std::uint32_t n_end) {
      return far->near(h.begin, end, n_begin, n_end);
    };
    // One that begins farther off than this can't end near.
    constexpr std::uint32_t reach = 2 * bound_words + limits::term_bytes;
    auto here = far->at(h.begin), past = far->at(end) + reach;
    auto from = std::ranges::lower_bound(w.neighbours, here - std::min(here, reach), {},
                                         &workspace::placed_hit::at);
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
  w.terms.clear();
  auto count = [&](std::uint8_t tier_counts::*what, const rule& r) {
    // The same word, also where it stands in the lexica of several languages.
    auto key = soft_ids_[r.index] * 16 + static_cast<std::uint32_t>(r.category);
    if (std::ranges::find(w.terms, key) != w.terms.end())
      return false;
    w.terms.push_back(key);
    auto& n = w.counts[static_cast<std::size_t>(r.category)].*what;
    if (n < 255)
      ++n;
    return true;
  };
  each(rule::what::sensitive, [&](const hit& h, const rule& r) {
    if (cancelled(h, r)) {
      count(&tier_counts::cancelled, r);
    } else if (r.tier == tier::hard) {
      count(&tier_counts::hard, r);
      block(h, r);
    } else if (r.tier == tier::bound) {
      auto near = has_neighbour(h, r);
      count(near ? &tier_counts::bound : &tier_counts::unbound, r);
      if (near)
        block(h, r);
    } else if (count(&tier_counts::soft, r)) {
      w.softs.push_back({soft_ids_[r.index], &h, &r});
    }
  });
  for (const auto& s : w.softs)
    if (w.counts[static_cast<std::size_t>(s.by->category)].soft >= soft_needed)
      block(*s.found, *s.by);

  // Topics come from the plain reading of the text itself, each term once.
  if (!is_text)
    return;
  w.terms.clear();
  each(rule::what::topic, [&](const hit& h, const rule& r) {
    if (h.reading != 0 || std::ranges::find(w.terms, r.index) != w.terms.end())
      return;
    w.terms.push_back(r.index);
    const auto& t = words_.topics[r.index];
    w.topics[t.topic] += t.weight;
    if (auto above = above_[t.topic]; above != 0)
      w.topics[above] += t.weight;
    if (w.explain && w.explain->size() < limits::evidence_items)
      w.explain->push_back(explained(h, r));
  });
}

} // namespace candor::topic_filter
