/// The lexicon, compiled: finds every term in every reading of a text, cancels what exceptions
/// cover, and decides by tiers. Second step of the topic filter, after the normalizer and before
/// the classifier, which takes the counts made here as features.
///
/// One Vectorscan database finds all terms at once; word boundaries are checked here; what all
/// readings found is put together by its place in the original. Thread-safe with a workspace a
/// thread. Allocates nothing once a workspace has grown.
///
/// Must never log what it finds: rule ids and spans are the text.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/topic_filter/lexicon.hpp"
#include "actors/topic_filter/normalizer.hpp"
#include "storage/base/error.hpp"

struct hs_database;
struct hs_scratch;

namespace candor::topic_filter {

struct evidence;

/// Which languages' terms count; bits are places in the finder's list of languages.
using language_set = std::uint64_t;

/// "pt-BR" -> "pt".
std::string_view primary_subtag(std::string_view lang, std::array<char, 40>& memory);

/// How often a category's terms were found in a turn, each term once. What an exception cancelled
/// counts in `cancelled` alone.
struct tier_counts {
  std::uint8_t hard = 0, soft = 0, bound = 0;
  std::uint8_t unbound = 0; ///< bound terms without a neighbour
  std::uint8_t cancelled = 0;
};

class finder {
public:
  /// A literal that begins at a word's beginning. Places are bytes of the original.
  struct hit {
    std::uint32_t literal;
    std::uint32_t begin, end;
    std::uint32_t stem_end; ///< of the word in which the literal ends
    std::uint8_t reading;   ///< place in the list of readings; 0: plain
    bool whole;             ///< ends at a word's end
  };

  struct rule;

  /// What a thread needs to find and decide; kept, so that judging allocates next to nothing.
  struct workspace {
    view plain, other;
    std::array<tier_counts, model::category_count> counts{};
    language_set spoken = ~language_set{0}; ///< whose terms count in this turn; set before a scan
    std::uint16_t categories = 0;      ///< that hard, bound or two soft terms block; a bit each
    std::vector<std::uint32_t> topics; ///< sums of the weights of terms, by topic; a finer one's
                                       ///< count for the one above too
    std::vector<evidence>* explain = nullptr;

    // Of the finder alone.
    struct exception_span {
      std::uint32_t begin, end;
      const std::vector<model::category>* categories;
    };
    struct placed_hit {
      std::uint32_t at; ///< in half words
      const hit* found;
    };
    struct soft_hit {
      std::uint32_t id;
      const hit* found;
      const rule* by;
    };
    std::vector<hit> hits;
    std::vector<exception_span> exceptions;
    std::vector<soft_hit> softs;
    std::vector<placed_hit> neighbours; ///< ascending
    std::vector<std::uint32_t> terms;   ///< that were counted
    std::vector<std::uint32_t> half_words;
    hs_scratch* scratch = nullptr;
    std::uint64_t finder_number = 0; ///< for which the scratch was last made

    workspace() = default;
    ~workspace();
    workspace(const workspace&) = delete;
    workspace& operator=(const workspace&) = delete;
    void wipe() noexcept;
  };

  /// `kept`: where a database may lie that was made of these words before (scan_file.hpp).
  static result<std::unique_ptr<finder>> compile(lexicon words,
                                                 const std::filesystem::path& kept = {});
  /// The file for the next to compile the same words. Error: `internal`.
  result<std::string> kept_bytes() const;
  ~finder();
  finder(const finder&) = delete;
  finder& operator=(const finder&) = delete;

  const lexicon& words() const noexcept { return words_; }
  /// Of this and English, which is mixed into every language; all for an empty tag.
  language_set languages(std::string_view primary) const;
  bool judges(std::string_view primary) const { return judged_langs_.contains(primary); }
  /// The topic of the first tier that a finer one of the lexicon lies in; 0 of any other.
  model::topic_id above(std::size_t topic) const noexcept {
    return topic < above_.size() ? above_[topic] : model::topic_id{0};
  }

  /// Makes the workspace fit. False: no memory for the scanner.
  bool prepare(workspace& w) const;
  /// Forgets the last message.
  void start(workspace& w) const;
  /// Forgets the last turn, normalizes this one into `w.plain`. False: cannot be judged.
  bool read(workspace& w, std::string_view turn) const;
  /// Adds the hits of a reading, by its place in `reading_names`. False: the scanner failed, or
  /// found more than can be judged.
  bool scan(workspace& w, const view& v, std::uint8_t reading) const;
  /// From hits to `w.categories`, `w.counts` and, where it `is_text`, `w.topics` and evidence.
  void decide(workspace& w, bool is_text) const;

private:
  struct literal;
  finder() = default;
  result<void> fill(const std::filesystem::path& kept);
  result<std::uint8_t> language(const std::string& tag);
  void put_together(workspace& w) const;
  evidence explained(const hit& h, const rule& r) const;

  lexicon words_;
  std::vector<literal> literals_;                   ///< by the database's pattern id
  std::vector<rule> rules_;                         ///< by literal
  std::vector<std::vector<std::uint32_t>> near_by_; ///< neighbour keys by sensitive term, ascending
  std::vector<std::uint32_t> soft_ids_;             ///< by sensitive term; one for a plural
  std::vector<std::string> langs_;                  ///< of all files
  std::set<std::string, std::less<>> judged_langs_; ///< primary subtags with sensitive terms
  script_set judged_scripts_;                       ///< of those languages
  language_set english_ = 0;
  std::vector<model::topic_id> above_; ///< by topic, to the greatest that has a term
  std::string scan_key_;
  hs_database* database_ = nullptr;
  std::uint64_t number_ = 0; ///< tells finders apart: an address may come again after a reload
};

} // namespace candor::topic_filter
