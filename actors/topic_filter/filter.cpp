#include "actors/topic_filter/filter.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include <fmt/format.h>
#include <unicode/uscript.h>

#include "actors/topic_filter/classifier.hpp"
#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/language_guess.hpp"
#include "actors/topic_filter/lexicon.hpp"
#include "actors/topic_filter/mender.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/limits.hpp"

namespace candor::topic_filter {

namespace {

constexpr double confidence_least = 0.5;
// A long text is classified in windows, so that what stands around a sentence does not hide it.
constexpr std::size_t window_words = 48, window_step = 32;
/// Of an untagged text's words that the word vectors know; from then on it is read as English.
constexpr double english_share = 0.6;
/// By how much more a sentence alone may have to be over a threshold, in log odds, where the whole
/// is far from it.
constexpr float alone_most = 1;
constexpr std::size_t words_told = 3; ///< by the classifier, for each subject
/// Of a topic's probability: what is less sure teaches nothing. And of the probability among the
/// topics alone, where that there is none is not likely either.
constexpr double topic_share_least = 0.12, topic_share_sure = 0.6, topic_among_least = 0.35,
                 no_topic_most = 0.97;

/// Of a finer topic's terms together: one that is sure, or more that are not.
constexpr std::uint32_t finer_least = 3;

bool may_be_interest(double share, double of_none) {
  return share >= topic_share_least ||
         (of_none < no_topic_most && share >= topic_among_least * (1 - of_none));
}

double probability(double log_odds) {
  return 1 / (1 + std::exp(-log_odds));
}

} // namespace

struct filter::parts {
  std::unique_ptr<finder> terms;           ///< none: closed
  std::unique_ptr<const classifier> model; ///< none: the lexicon decides alone
  std::unique_ptr<const mender> mend;      ///< with the model
  bool has_vectors = false;
  std::string no_version;
};

/// What a thread needs to judge; kept, so that judging allocates next to nothing.
struct filter::workspace {
  finder::workspace find;
  classifier::workspace classify;
  mender::workspace mend;
  std::array<view, other_readings.size()> others; ///< by place in `other_readings`
  std::array<bool, other_readings.size()> differs{};
  view mended; ///< of the plain reading, or of the joined one where there is one
  bool is_mended = false;
  wording how = wording::other;
  lexical_features said;
  std::array<double, outputs> topics;   ///< probabilities, of all windows of the text
  std::vector<std::uint32_t> sentences; ///< of the reading that is judged

  /// Makes the other readings of the plain one. In other languages than English accents tell words
  /// apart: there they are not left out.
  void read_otherwise(bool without_accents);
  const view& joined_or_plain() const { return differs[0] ? others[0] : find.plain; }

  /// Nothing of what a person said stays in memory.
  void wipe() noexcept {
    find.wipe();
    for (auto& v : others)
      v.wipe();
    mended.wipe();
    classify.wipe();
  }
};

void filter::workspace::read_otherwise(bool without_accents) {
  static_assert(other_readings[0] == reading::joined && other_readings[2] == reading::collapsed &&
                other_readings[3] == reading::doubled);
  for (std::size_t i = 0; i < others.size(); ++i) {
    auto r = other_readings[i];
    // What has no letter three times in a row has none to write twice either.
    auto is_vain =
        (r == reading::doubled && !differs[2]) || (r == reading::unmarked && !without_accents);
    differs[i] = !is_vain && read_as(r, find.plain, others[i]);
  }
}

// -- making ------------------------------------------------------------------------------------

filter::filter(std::unique_ptr<parts> inside)
  : inside_{std::move(inside)} {}
filter::~filter() = default;

result<std::unique_ptr<filter>> filter::load(const std::filesystem::path& lexicon_folder) {
  return load_terms(lexicon_folder, {});
}

result<std::unique_ptr<filter>> filter::load_terms(const std::filesystem::path& lexicon_folder,
                                                   const std::filesystem::path& compiled) {
  auto inside = std::make_unique<parts>();
  CANDOR_TRY(words, load_lexicon(lexicon_folder));
  CANDOR_TRY(terms, finder::compile(std::move(words), compiled));
  inside->terms = std::move(terms);
  return std::unique_ptr<filter>{new filter{std::move(inside)}};
}

result<std::unique_ptr<filter>> filter::load(const std::filesystem::path& lexicon_folder,
                                             const std::filesystem::path& model_file) {
  CANDOR_TRY(made, load_terms(lexicon_folder, compiled_lexicon(model_file)));
  CANDOR_TRY(model, classifier::load(model_file));
  const auto& of = model->inside().made_of;
  if (auto lexicon = of.find("lexicon"); lexicon == of.end() || lexicon->second != made->version())
    return fail(errc::config_invalid, model_file.string() +
                                          ": was trained with another lexicon than " +
                                          lexicon_folder.string());
  auto vectors = of.find("vectors");
  made->inside_->has_vectors = vectors != of.end() && vectors->second != "none";
  made->inside_->mend = std::make_unique<mender>(*model);
  made->inside_->model = std::move(model);
  return std::move(made);
}

std::filesystem::path filter::compiled_lexicon(const std::filesystem::path& model_file) {
  return model_file.parent_path() / "lexicon.scan";
}

std::unique_ptr<filter> filter::closed() {
  return std::unique_ptr<filter>{new filter{std::make_unique<parts>()}};
}

std::size_t filter::terms() const noexcept {
  return inside_->terms ? inside_->terms->words().entries() : 0;
}

const std::string& filter::version() const noexcept {
  return inside_->terms ? inside_->terms->words().version : inside_->no_version;
}

std::map<std::string, std::string> filter::model_made_of() const {
  return inside_->model ? inside_->model->inside().made_of : std::map<std::string, std::string>{};
}

std::map<std::string, std::string> filter::made_of() const {
  std::map<std::string, std::string> made{{"lexicon", version()}};
  if (inside_->model)
    made.emplace("model", inside_->model->inside().checksum);
  return made;
}

hook_question filter::ask_hook(const model::event& e) {
  model::raw_utterance::reader may_read;
  return {e.utterance.text(may_read), e.lang, e.utterance.earlier_turns(may_read)};
}

// -- judging -----------------------------------------------------------------------------------

/// Every reading of the turn, by the classifier; what any of them uncovers counts.
void filter::ask_classifier(workspace& w, std::string_view primary, bool is_text, judgement& j,
                            bool explain) const {
  const auto& model = *inside_->model;
  auto& find = w.find;
  auto how = w.how;
  // Topics are the text's alone: those of an earlier turn were not counted.
  lexical_features_of(find.counts,
                      is_text ? std::span<const std::uint32_t>{find.topics}
                              : std::span<const std::uint32_t>{},
                      w.said);
  const auto& thresholds = model.inside().thresholds_for(how, primary);
  // The lexicon found most by its places in the original; the classifier's are of a reading.
  auto tell = [&](const view& v, std::size_t begin, std::size_t end, std::size_t output,
                  std::string_view subject, double score, double threshold) {
    model.explain(w.classify, begin, end, w.said, output, words_told);
    for (const auto& c : w.classify.told)
      if (j.evidence.size() < limits::evidence_items)
        j.evidence.push_back({fmt::format("{}/model", subject), std::string{subject},
                              v.begin[c.begin], v.end[c.end - 1], std::string{v.name}, score,
                              threshold});
  };
  scores got;
  network::threshold_row over; // by how much the words that were judged last are
  auto judge_words = [&](const view& v, std::size_t begin, std::size_t end,
                         const network::threshold_row& from) {
    model.score(w.classify, begin, end, w.said, got);
    auto nearest = static_cast<std::size_t>(
        std::max_element(got.begin(), got.begin() + any_output) - got.begin());
    auto named = false;
    for (std::size_t c = 0; c < sensitive_outputs; ++c) {
      over[c] = got[c] - from[c];
      if (c == any_output)
        over[c] = std::min(over[c], got[nearest] - nearest_category_least(how));
      j.margin = std::max<double>(j.margin, over[c]);
      if (over[c] < 0 || (c == any_output && named))
        continue;
      // "Any" without a category of its own goes to the likeliest.
      auto category = c == any_output ? nearest : c;
      named = true;
      find.categories |= static_cast<std::uint16_t>(1U << category);
      if (explain)
        tell(v, begin, end, c, model::to_string(static_cast<model::category>(category)),
             probability(got[c]), probability(from[c]));
    }
  };
  // Of the words that were judged last.
  auto take_topics = [&](const view& v, std::size_t begin, std::size_t end) {
    auto most = *std::max_element(got.begin() + topic_output, got.end());
    std::array<double, outputs> share{};
    double sum = 0;
    for (auto o = topic_output; o < outputs; ++o)
      sum += share[o] = std::exp(static_cast<double>(got[o] - most));
    for (auto o = topic_output; o < outputs; ++o)
      w.topics[o] = std::max(w.topics[o], share[o] / sum);
    if (explain)
      for (auto o = topic_output; o < no_topic_output; ++o)
        if (may_be_interest(share[o] / sum, share[no_topic_output] / sum))
          tell(v, begin, end, o,
               model::info(static_cast<model::topic_id>(o - topic_output + 1)).slug, share[o] / sum,
               topic_share_least);
  };
  auto judge = [&](const view& v, bool is_plain) {
    model.read(w.classify, v, how);
    auto size = w.classify.words.size();
    network::threshold_row nearest_to; // by how much the whole is over; less than nothing: under
    nearest_to.fill(-std::numeric_limits<float>::infinity());
    for (std::size_t begin = 0; begin < size; begin += window_step) {
      auto end = std::min(size, begin + window_words);
      judge_words(v, begin, end, thresholds);
      for (std::size_t c = 0; c < sensitive_outputs; ++c)
        nearest_to[c] = std::max(nearest_to[c], over[c]);
      if (is_plain && is_text)
        take_topics(v, begin, end);
      if (end == size)
        break;
    }
    // Each sentence alone too: what stands beside it should not hide it, neither by its words nor
    // by the harmless terms that the lexicon found in it.
    sentence_ends(v, w.classify.words, w.sentences);
    if (w.sentences.size() == 1)
      return;
    auto of_all = w.said;
    std::fill(w.said.begin() + lexical_topics, w.said.end(), 0);
    // What the whole says counts too, half and within bounds.
    auto from = thresholds;
    for (std::size_t c = 0; c < sensitive_outputs; ++c)
      from[c] += std::clamp(-nearest_to[c] / 2, 0.0F, alone_most);
    std::size_t begin = 0;
    for (auto end : w.sentences) {
      judge_words(v, begin, std::min<std::size_t>(end, begin + window_words), from);
      begin = end;
    }
    w.said = of_all;
  };
  judge(find.plain, true);
  for (std::size_t i = 0; i < w.others.size(); ++i)
    if (w.differs[i])
      judge(w.others[i], false);
  if (w.is_mended)
    judge(w.mended, false);
}

/// False: cannot be judged.
bool filter::judge_turn(workspace& w, std::string_view turn, std::string_view primary, bool is_text,
                        judgement& j, bool explain) const {
  struct wiping {
    workspace& w;
    ~wiping() { w.wipe(); }
  } after{w};
  const auto& terms = *inside_->terms;
  auto& find = w.find;
  if (!terms.read(find, turn))
    return false;
  // Terms of other scripts can't be mistaken for another language's words.
  auto other_scripts = find.plain.scripts;
  other_scripts.reset(USCRIPT_LATIN);
  auto is_latin = other_scripts.none();
  auto is_guessed = false;
  if (primary.empty() && is_latin)
    if (auto likely = likely_language(find.plain.text); terms.judges(likely)) {
      primary = likely;
      is_guessed = true;
    }
  find.spoken = is_latin ? terms.languages(primary) : ~language_set{0};
  // Hindi in Latin letters is no language that a guess would tell.
  if (is_guessed)
    find.spoken |= terms.languages("hi");
  if (!terms.scan(find, find.plain, 0))
    return false;
  w.read_otherwise(primary.empty() || primary == "en");
  for (std::size_t i = 0; i < w.others.size(); ++i)
    if (w.differs[i] &&
        !terms.scan(find, w.others[i], static_cast<std::uint8_t>(other_readings[i])))
      return false;
  w.is_mended = false;
  if (inside_->model) {
    // A model without word vectors knows English as it knows other languages.
    auto is_english =
        inside_->has_vectors &&
        (primary == "en" ||
         (primary.empty() && inside_->model->share_known(find.plain, w.classify) >= english_share));
    w.how = is_english ? wording::english : wording::other;
    if (w.how == wording::english) {
      w.is_mended = inside_->mend->read(w.joined_or_plain(), w.mended, w.mend);
      if (w.is_mended && !terms.scan(find, w.mended, static_cast<std::uint8_t>(reading::mended)))
        return false;
    }
  }
  find.explain = explain ? &j.evidence : nullptr;
  terms.decide(find, is_text);
  find.explain = nullptr;
  if (find.categories != 0)
    j.margin = judgement::certain;
  // It can only add to what is withheld already: asked for where somebody wants to know.
  if (inside_->model && (explain || find.categories == 0))
    ask_classifier(w, primary, is_text, j, explain);
  return true;
}

void filter::judge(std::string_view text, std::string_view lang,
                   std::span<const std::string> earlier_turns, bool explain, judgement& j) const {
  thread_local workspace w;
  const auto& in = *inside_;
  auto start_anew = [&] {
    j.sensitive.clear();
    j.topics.clear();
    j.evidence.clear();
    j.margin = -judgement::certain;
  };
  auto unknown = [&] {
    start_anew();
    j.sensitive.push_back(model::category::unknown);
    j.margin = judgement::certain;
  };
  start_anew();
  std::array<char, 40> memory;
  auto primary = primary_subtag(lang.substr(0, limits::language_tag_bytes), memory);
  if (primary == "und")
    primary = {};
  if (!in.terms || (!primary.empty() && !in.terms->judges(primary)) ||
      earlier_turns.size() > limits::context_turns || !in.terms->prepare(w.find)) {
    unknown();
    return;
  }

  in.terms->start(w.find);
  w.topics.fill(0);
  auto can_be_judged = judge_turn(w, text, primary, true, j, explain);
  for (const auto& turn : earlier_turns)
    can_be_judged = can_be_judged && judge_turn(w, turn, primary, false, j, explain);
  if (!can_be_judged) {
    unknown();
    return;
  }

  for (std::size_t c = 0; c < model::category_count; ++c)
    if ((w.find.categories >> c & 1) != 0)
      j.sensitive.push_back(static_cast<model::category>(c));
  if (j.withheld())
    return;
  auto add = [&](std::size_t topic, std::uint32_t weight) {
    j.topics.push_back(
        {static_cast<model::topic_id>(topic),
         std::clamp<std::uint32_t>(weight, model::one_mention, 2 * model::one_mention)});
  };
  if (in.model) {
    // One mention where it is likely, two where it is sure.
    for (auto o = topic_output; o < no_topic_output; ++o)
      if (may_be_interest(w.topics[o], w.topics[no_topic_output]))
        add(o - topic_output + 1,
            static_cast<std::uint32_t>(2 * model::one_mention *
                                       std::min(1.0, w.topics[o] / topic_share_sure)));
    // A finer one as much as the one above it, and never without it.
    for (std::size_t finer = interest_count + 1; finer < w.find.topics.size(); ++finer) {
      if (w.find.topics[finer] < finer_least)
        continue;
      auto above = std::ranges::find(j.topics, in.terms->above(finer), &model::topic_weight::topic);
      if (above != j.topics.end())
        add(finer, above->weight);
    }
  } else {
    // A topic counts in proportion to its terms' weights; what is far weaker than the strongest
    // was mentioned by the way.
    std::uint32_t strongest = 0;
    for (auto score : w.find.topics)
      strongest = std::max(strongest, score);
    for (std::size_t topic = 0; topic < w.find.topics.size(); ++topic)
      if (auto score = w.find.topics[topic]; score > 0 && score * 3 >= strongest)
        add(topic, score * (model::one_mention / 2));
  }
  // Of the same weight, as all weak ones are, the likelier stands first.
  auto share = [&](model::topic_id topic) {
    auto of = topic <= interest_count ? topic : in.terms->above(topic);
    return of != 0 ? w.topics[topic_output + of - 1] : 0;
  };
  std::ranges::sort(j.topics, [&](const model::topic_weight& a, const model::topic_weight& b) {
    if (a.weight != b.weight)
      return a.weight > b.weight;
    return share(a.topic) != share(b.topic) ? share(a.topic) > share(b.topic) : a.topic < b.topic;
  });
  if (j.topics.size() > limits::signal_topics)
    j.topics.resize(limits::signal_topics);
}

judgement filter::classify(std::string_view text, std::string_view lang,
                           std::span<const std::string> earlier_turns) const {
  judgement j;
  judge(text, lang, earlier_turns, true, j);
  return j;
}

void filter::judge_only(std::string_view text, std::string_view lang, judgement& to) const {
  judge(text, lang, {}, false, to);
}

std::optional<model::sanitized_signal> filter::sanitize(const model::admission& header,
                                                        const model::event& e) const {
  if (e.kind == model::event_kind::ai_interaction && e.modality == model::modality::voice &&
      !(e.confidence >= confidence_least))
    return std::nullopt;
  model::raw_utterance::reader may_read;
  thread_local judgement judged; // its memory is used again
  judge(e.utterance.text(may_read), e.lang, e.utterance.earlier_turns(may_read), false, judged);
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
  if (!stated.empty())
    std::ranges::stable_sort(topics, std::greater{}, &model::topic_weight::weight);
  if (topics.size() > limits::signal_topics)
    topics.resize(limits::signal_topics);
  return model::sanitized_signal{header, topics};
}

} // namespace candor::topic_filter
