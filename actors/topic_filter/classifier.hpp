/// The trained part of the topic filter: from the words of a reading and the counts of the lexicon
/// to a score for each sensitive category, for "any of them", and for each interest topic. It
/// stands after the finder and beside it: it may withhold more, and never less.
///
/// One hidden layer over pooled word rows (after Shen et al. 2018, "Baseline Needs More Love", and
/// fastText): a word has a row of small integers in four parts. The first are averaged over the
/// words, of the second each place keeps its greatest, and the last two are added over neighbouring
/// words before the greatest is kept. What is pooled, the lexicon's counts and a bias go through a
/// rectifier; the scores are linear in what comes out. Rows are made by the trainer, from word
/// vectors where the language has them, else from letter groups; a word that has no row gets the
/// mean of its letter groups'.
///
/// Guarantees: a model is loaded whole and only where its checksum holds; nothing in it is trusted
/// before. Thread-safe with a workspace a thread. Allocates nothing once a workspace has grown.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actors/topic_filter/finder.hpp"
#include "actors/topic_filter/words.hpp"
#include "storage/base/error.hpp"
#include "storage/model/topic.hpp"

namespace candor::topic_filter {

// The shape of the network.
inline constexpr std::size_t averaged = 32, greatest = 32, paired = 32; ///< parts of a row
inline constexpr std::size_t row_bytes = averaged + greatest + 2 * paired;
inline constexpr std::size_t hidden = averaged + greatest + paired;
inline constexpr std::size_t interest_count = 24; ///< of the first tier; ids 1..24

/// Places among the scores: the categories, any of them, the topics, and no topic.
inline constexpr std::size_t any_output = model::category_count;
inline constexpr std::size_t sensitive_outputs = model::category_count + 1;
inline constexpr std::size_t topic_output = sensitive_outputs; ///< of topic 1
inline constexpr std::size_t no_topic_output = topic_output + interest_count;
inline constexpr std::size_t outputs = no_topic_output + 1;

/// What the lexicon says, as numbers of about one: five for each category, then the topics.
inline constexpr std::size_t lexical_topics = 5 * model::category_count; ///< where they begin
inline constexpr std::size_t lexical = lexical_topics + interest_count;
using lexical_features = std::array<float, lexical>;
void lexical_features_of(std::span<const tier_counts> counts, std::span<const std::uint32_t> topics,
                         lexical_features& to);

using scores = std::array<float, outputs>; ///< log odds; of topics: logarithms up to a constant

/// Of a word in the average: a few words are not worth more than a sentence.
constexpr float share_of(std::size_t words) {
  return 4 / static_cast<float>(words + 4);
}

/// How the words of a text are looked up.
enum class wording : std::uint8_t {
  english, ///< by word vectors
  other,   ///< by the words and letter groups of the training corpus
};

/// "Any" counts only where a category is not far from likely, in log odds: in English what is of no
/// category is mostly a sentence of common words, which say nothing. In other languages, which are
/// learned from fewer sentences, "any" often knows what no category does.
constexpr float nearest_category_least(wording how) {
  return how == wording::english ? -1.25F : -std::numeric_limits<float>::infinity();
}

/// What the trainer makes and a file holds.
struct network {
  struct slot {
    std::uint32_t check, row; ///< of the hash; `row` is `no_row` in an empty slot
  };
  static constexpr std::uint32_t no_row = 0xffffffff;

  std::map<std::string, std::string> made_of; ///< hashes of the inputs by name; "lexicon" is one
  std::string checksum;    ///< of the bytes that it was parsed from, in hex; empty of one just made
  std::vector<slot> slots; ///< a power of two
  std::vector<std::string> frequent_words; ///< English, by falling frequency
  std::vector<std::int8_t> rows;           ///< of words; English ones by falling frequency
  std::vector<std::int8_t> groups;         ///< rows of letter groups, a power of two
  std::array<float, row_bytes> scale{};    ///< of each place of a row
  std::array<float, hidden> bias{};
  std::vector<float> lexical_in;  ///< [lexical][hidden]
  std::vector<float> lexical_out; ///< [lexical][outputs]
  std::vector<float> out;         ///< [hidden][outputs]
  std::array<float, outputs> out_bias{};
  /// Scores from which a text is withheld, by wording; and of languages that have their own.
  using threshold_row = std::array<float, sensitive_outputs>;
  std::array<threshold_row, 2> thresholds{};
  std::map<std::string, threshold_row, std::less<>> thresholds_of;

  /// Adds a word; the first of the same hash stays.
  void index(std::uint64_t key, std::uint32_t row);
  std::uint32_t find(std::uint64_t key) const noexcept;
  static std::uint64_t key(std::uint64_t hash, wording w) noexcept;
  /// `lang`: a primary subtag, or empty.
  const threshold_row& thresholds_for(wording w, std::string_view lang) const;
};

/// The bytes of a model's file; their last 32 are the BLAKE2b of what stands before.
std::string to_bytes(const network& n);
/// Error: `config_invalid` with what is wrong.
result<network> parse_network(std::string_view bytes);

/// A word that spoke, and how much.
struct contribution {
  std::uint32_t begin, end; ///< bytes of the reading
  float weight;             ///< of the score, in log odds
};

class classifier {
public:
  struct workspace {
    std::vector<word> words;
    std::vector<const std::int8_t*> rows; ///< by word
    std::vector<std::uint64_t> groups;
    std::vector<std::int8_t> mixed; ///< rows that are not in the model
    std::vector<contribution> told;

    /// Overwrites what a text left, hashes of its words too; memory is kept.
    void wipe() noexcept;
  };

  /// Error: `config_invalid`: no such file, a checksum or a shape that does not hold.
  static result<std::unique_ptr<classifier>> load(const std::filesystem::path& file);
  explicit classifier(network n);

  /// Looks up the words of a reading. What follows is said of them.
  void read(workspace& w, const view& v, wording how) const;
  /// The share of a reading's words that the word vectors know.
  double share_known(const view& v, workspace& w) const;
  bool is_known(std::uint64_t hash, wording how) const noexcept;
  /// Place by frequency among the words with vectors, or `network::no_row`.
  std::uint32_t rank(std::uint64_t hash) const noexcept;

  /// Of words [begin, end).
  void score(const workspace& w, std::size_t begin, std::size_t end, const lexical_features& said,
             scores& to) const;
  /// Which words spoke most for an output, strongest first, at most `most`; in `w.told`.
  void explain(workspace& w, std::size_t begin, std::size_t end, const lexical_features& said,
               std::size_t output, std::size_t most) const;

  const network& inside() const noexcept { return n_; }

  /// Rows of `out`, filled up to whole vectors of eight.
  static constexpr std::size_t out_row = (outputs + 7) / 8 * 8;

private:
  void pool(const workspace& w, std::size_t begin, std::size_t end, const lexical_features& said,
            std::array<float, hidden>& to) const;
  network n_;
  std::vector<float> out_; ///< [hidden][out_row]
};

} // namespace candor::topic_filter
