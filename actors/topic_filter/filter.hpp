/// The topic filter: text in; out come a verdict, the interest topics of what may pass, and the
/// evidence.
///
/// Where it stands: ingestion asks it, after admission, on the node that received the event; nobody
/// else reads what a person said, and what it makes (`sanitized_signal`) is all that leaves it.
///
/// Two locks: what is sensitive is withheld, *and* only topics of a closed list can become an
/// interest. It fails closed. Whatever it cannot judge is withheld as `unknown`: invalid UTF-8, a
/// text over its bound, a language or script without a lexicon of sensitive terms, a word of mixed
/// scripts that look alike, a transcript that was not understood well, a failing scanner.
///
/// How: the text is normalized (and read in other ways, where it may hide a word); one Vectorscan
/// database finds every term of the lexicon at once; word boundaries are checked here; what all
/// readings found is put together by its place in the original; exceptions cancel the hits within
/// their span, never the message; then tiers decide: a hard term alone, a bound term near a
/// neighbour, two soft terms of a category.
///
/// Must never log, count by category of a person, or hand on a rule id or a span: they are the
/// text.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/topic_filter/hook.hpp"
#include "storage/base/error.hpp"
#include "storage/model/event.hpp"
#include "storage/model/signal.hpp"
#include "storage/model/topic.hpp"

namespace candor::topic_filter {

/// Why: to be returned to whoever asked to classify, and nobody else.
struct evidence {
  std::string rule;               ///< e.g. "health/en/hard/diabet*"
  std::string subject;            ///< the category or topic
  std::size_t begin = 0, end = 0; ///< bytes of the original text
  std::string view; ///< the reading in which it was found, as in normalizer.hpp: "plain", "leet"
  /// Of what the classifier says: the subject's probability, and from which one it counts.
  std::optional<double> score, threshold;
};

struct judgement {
  std::vector<model::category> sensitive;  ///< ascending; {unknown} where it could not be judged
  std::vector<model::topic_weight> topics; ///< strongest first; empty where withheld
  std::vector<topic_filter::evidence> evidence; ///< at most limits::evidence_items
  /// By how much it is over the threshold that it is nearest to, in log odds; withheld from 0.
  /// `certain` where a rule withheld it.
  double margin = -certain;
  static constexpr double certain = 100;

  bool withheld() const noexcept { return !sensitive.empty(); }
};

class filter {
public:
  /// The lexicon alone. Error: `config_invalid` with file and line.
  static result<std::unique_ptr<filter>> load(const std::filesystem::path& lexicon_folder);
  /// And the model that was trained with this lexicon. Error: `config_invalid`: also where the
  /// model is missing, damaged, or was trained with another lexicon. Takes seconds where
  /// `compiled_lexicon` has no file that fits.
  static result<std::unique_ptr<filter>> load(const std::filesystem::path& lexicon_folder,
                                              const std::filesystem::path& model_file);
  /// Beside the model: "lexicon.scan" (scan_file.hpp).
  static std::filesystem::path compiled_lexicon(const std::filesystem::path& model_file);
  /// Withholds everything as `unknown`: for who goes on where loading failed.
  static std::unique_ptr<filter> closed();

  ~filter();
  filter(const filter&) = delete;
  filter& operator=(const filter&) = delete;

  /// `lang`: BCP 47, or empty where unknown (then every language's terms count). Thread-safe.
  judgement classify(std::string_view text, std::string_view lang,
                     std::span<const std::string> earlier_turns = {}) const;

  /// As a node judges events: the same verdict and topics, without evidence; once a rule of the
  /// lexicon withholds, further categories are not looked for. Replaces `to`, whose memory it uses
  /// again.
  void judge_only(std::string_view text, std::string_view lang, judgement& to) const;

  /// What may be learned from an event; nullopt: withheld as sensitive. Topics that the platform
  /// states for an object count one mention each. The only maker of a sanitized_signal.
  std::optional<model::sanitized_signal> sanitize(const model::admission& header,
                                                  const model::event& e) const;

  std::size_t terms() const noexcept;
  /// Names the lexicon that judged: changes with every byte of it.
  const std::string& version() const noexcept;
  /// What the model was made of, by name; empty without one.
  std::map<std::string, std::string> model_made_of() const;
  /// Names all that judges: "lexicon" and "model" are hashes of their bytes; no "model" without
  /// one.
  std::map<std::string, std::string> made_of() const;

  /// What the hook is asked of an event that passes; lives no longer than the event's text.
  static hook_question ask_hook(const model::event& e);

private:
  struct parts;
  struct workspace;
  explicit filter(std::unique_ptr<parts> inside);
  static result<std::unique_ptr<filter>> load_terms(const std::filesystem::path& lexicon_folder,
                                                    const std::filesystem::path& compiled);
  void judge(std::string_view text, std::string_view lang,
             std::span<const std::string> earlier_turns, bool explain, judgement& j) const;
  bool judge_turn(workspace& w, std::string_view turn, std::string_view primary, bool is_text,
                  judgement& j, bool explain) const;
  void ask_classifier(workspace& w, std::string_view primary, bool is_text, judgement& j,
                      bool explain) const;
  std::unique_ptr<parts> inside_;
};

} // namespace candor::topic_filter
