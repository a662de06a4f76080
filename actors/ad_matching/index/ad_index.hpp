/// The index of campaigns: which match a request, and the best of them, exactly, in microseconds.
///
/// For each attribute and each value (attribute_columns.hpp) it has a bitmap of the campaigns that
/// this value does not certainly exclude. A request ANDs the bitmaps of what it has, a block of 512
/// campaigns at a time; blocks carry an upper bound of the rank of what is in them, and one that
/// can't enter the best k is not looked at (block-max, Ding and Suel 2011). Of the few that are
/// left the rest of the wish is tested (residual.hpp).
///
/// Guarantees: the answer is that of testing every campaign; integers only; ties go to the lower
/// id. Readers take no lock: one writer at a time changes single words in place, and a new
/// campaign's place is published last. A reader sees a campaign before or after a change, never
/// half of it. Places are not used again, and bounds only rise: an index fills up, and is slower
/// the more bids fell; index_edition.hpp counts both and makes another. Must never guess: what is
/// pruned cannot match, or cannot win.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "actors/ad_matching/index/clause_lists.hpp"
#include "actors/ad_matching/index/vector_kernel.hpp"
#include "storage/base/error.hpp"

namespace candor::ad_matching::index {

/// Memory that starts at a page and is zero; in large pages where there is much of it.
class zeroed_pages {
public:
  zeroed_pages() = default;
  explicit zeroed_pages(std::size_t bytes);
  void* data() const noexcept { return data_.get(); }
  std::size_t bytes() const noexcept { return bytes_; }

private:
  struct release {
    void operator()(void* data) const noexcept;
  };
  std::size_t bytes_ = 0;
  std::unique_ptr<void, release> data_;
};

/// An array in such memory. Zero must be a value of its items.
template <class T>
class field {
public:
  field() = default;
  explicit field(std::size_t n)
    : pages_{n * sizeof(T)} {}
  T* data() const noexcept { return static_cast<T*>(pages_.data()); }
  T& operator[](std::size_t i) const noexcept { return data()[i]; }
  std::size_t bytes() const noexcept { return pages_.bytes(); }

private:
  zeroed_pages pages_;
};
using word_field = field<std::uint64_t>;

/// Programs and long lists of topics. What was added stays where it is.
class word_pool {
public:
  word_pool();
  std::uint32_t add(std::span<const std::uint32_t> words); ///< never 0
  const std::uint32_t* at(std::uint32_t place) const noexcept {
    return chunks_[place / chunk_words].get() + place % chunk_words;
  }
  std::size_t bytes() const noexcept;

private:
  static constexpr std::size_t chunk_words = 1 << 16;
  std::vector<std::unique_ptr<std::uint32_t[]>> chunks_; ///< never moves
  std::size_t used_ = 1;
};

/// What an index is asked.
enum class asked_for : std::uint8_t {
  best,
  /// All matches too: it takes more memory then (clause_lists.hpp). For the bench and tests.
  all,
};

/// One place of the best.
struct ranked {
  std::uint64_t id = 0;
  std::uint64_t rank = 0;
  std::int64_t bid_micros = 0;
  std::uint32_t relevance = relevance_least;
  std::uint8_t quality = 1;
  std::uint32_t slot = 0; ///< as ad_index::slot_of
};

struct matched {
  std::uint64_t count = 0;     ///< of `all_matches` only
  std::uint64_t id_mix = 0;    ///< exclusive or over mix64 of the ids; of `all_matches` only
  std::uint64_t uncapped = 0;  ///< of them not left out; of `all_matches` only
  std::uint64_t looked_at = 0; ///< campaigns that passed the columns
  std::vector<ranked> best;    ///< rank falling, then id rising; what is left out is not in it
};

/// The price of the first of two neighbours; `next_rank` 0: there is none.
std::int64_t price_of(const ranked& winner, std::uint64_t next_rank) noexcept;

class ad_index {
public:
  /// `spare`: places for later additions. Whatever it is made for, all answers are the same. Error:
  /// `bad_value` (which campaign, and why).
  static result<std::unique_ptr<ad_index>> make(schema attributes,
                                                std::span<const campaign> campaigns,
                                                std::size_t spare,
                                                asked_for what = asked_for::best);

  // By the one writer. False: there is no such campaign (or it is so already).
  bool pause(std::uint64_t id);
  bool resume(std::uint64_t id);
  bool set_bid(std::uint64_t id, std::int64_t micros);
  bool remove(std::uint64_t id);

  enum class added : std::uint8_t { yes, known_already, full };
  /// Error: `bad_value`.
  result<added> add(const campaign& x);

  /// The place of a campaign, which is its own as long as this index is. By the writer.
  std::optional<std::size_t> slot_of(std::uint64_t id) const { return find(id); }

  std::size_t size() const noexcept { return size_; } ///< live or paused
  std::size_t capacity() const noexcept { return block_count_ * block_slots; }
  std::size_t spare() const noexcept { return capacity() - used_; }
  /// Places that may be looked at. Who maps words to integers asks before: a campaign that is added
  /// later may name what was not known yet.
  std::size_t readable() const noexcept { return used_.load(std::memory_order_acquire); }
  std::size_t bytes() const noexcept;

private:
  friend class searcher;

  enum class state : std::uint8_t { removed, live, paused };

  /// Topics that lie in the row itself: few campaigns have more.
  static constexpr std::size_t inline_topics = 4;

  /// All that is read to rank a campaign that the columns let through, and to test the rest of its
  /// wish: half a line of the cache, for where there are many campaigns that memory is waited for.
  struct alignas(32) row {
    std::uint64_t base = 0;    ///< bid * quality
    std::uint32_t program = 0; ///< in pool_; 0: the columns say all
    std::uint32_t more = 0;    ///< in pool_: count, then topic and weight of each; 0: none
    std::uint16_t topics[inline_topics] = {};
    std::uint8_t weights[inline_topics] = {};
    std::uint8_t quality = 0;
    ad_index::state state = state::removed;
  };
  static_assert(sizeof(row) == 32);

  explicit ad_index(schema attributes);
  void reserve(std::size_t slots);
  result<void> describe(std::size_t at, const campaign& x);
  void choose_cluster_attributes(std::span<const campaign> campaigns);
  std::uint64_t cluster_of(const projection& projected) const;
  projection rows_of(const campaign& x) const;
  column_set unconstrained_in(std::size_t attribute) const;
  void place_rows(std::size_t first, std::span<const campaign* const> some);
  std::uint64_t rank_bound(std::size_t at, std::uint64_t base) const;
  void raise_bounds(std::size_t at, std::uint64_t base);
  void summarize();
  void set_live(std::size_t at, bool on);
  void remember(std::size_t at);
  void note_new_values(const wish& w);
  std::optional<std::size_t> find(std::uint64_t id) const;
  std::uint64_t* column(std::size_t c) const noexcept { return bits_.data() + c * stride_; }
  std::uint64_t* summary(std::size_t c) const noexcept {
    return summaries_.data() + c * summary_stride_;
  }

  schema schema_;
  std::vector<attribute_columns> columns_;  ///< of the schema's attributes, then of relevance
  std::vector<std::uint32_t> first_column_; ///< by attribute; column 0 is `live`
  std::vector<std::uint32_t> bits_begin_;   ///< by attribute, of lists: in prepared_request
  std::size_t column_count_ = 1, list_words_ = 0;

  std::size_t block_count_ = 0; ///< that there is room for
  std::size_t stride_ = 0;      ///< words from one column to the next
  std::size_t summary_stride_ = 0;
  word_field bits_;                       ///< column_count_ bitmaps over the slots
  word_field tested_;                     ///< by slot: it has a program
  word_field summaries_;                  ///< a bit a block: something of the column is in it
  std::vector<std::uint8_t> full_;        ///< by column: it excludes no campaign
  std::vector<std::uint8_t> newly_named_; ///< by list: an addition named a value that was not known
  std::vector<std::uint32_t> population_; ///< by column, when it was made
  std::vector<std::uint64_t> block_bound_, block_base_; ///< highest rank bound and bid * quality
  std::vector<std::uint64_t> group_bound_;              ///< of 64 blocks
  /// Of 64 slots. In a block the highest bounds stand first: most of it need not be looked at.
  std::vector<std::uint64_t> word_bound_;
  field<row> rows_;          ///< by slot
  field<std::uint64_t> ids_; ///< by slot
  std::vector<std::uint16_t> cluster_attributes_;
  std::vector<std::vector<std::uint16_t>> cluster_places_; ///< of their columns: the frequent first
  std::vector<std::uint32_t> places_;                      ///< slot + 1 by hash of the id
  word_pool pool_;
  std::optional<clause_lists> clauses_;          ///< for all matches
  field<std::uint64_t> mixes_;                   ///< mix64 of the ids, by slot; for all matches
  std::vector<std::uint32_t> topic_weight_most_; ///< by topic: of any campaign
  std::atomic<std::size_t> used_{0};             ///< places that may be read; published last
  std::size_t size_ = 0;
};

/// Asks an index; keeps what it needs for that from one request to the next. One thread each.
class searcher {
public:
  searcher();
  ~searcher();

  /// What else must hold of a campaign, asked only of those that could enter the best. `base` is
  /// the bid * quality that it is ranked by.
  using admission = std::function<bool(std::size_t slot, std::uint64_t base)>;

  /// The best `k` and the one after them (which makes the last price): at most k + 1.
  const matched& best(const ad_index& of, const request& asked, std::size_t k,
                      const admission& admits = {});

  /// All matches counted, and the best `k` + 1. The bench asks for this, and tests that hold it
  /// against the oracle; the product does not.
  const matched& all(const ad_index& of, const request& asked, std::size_t k);

private:
  template <bool All>
  const matched& search(const ad_index& of, const request& asked, std::size_t k);
  void look_at(const ad_index& of, std::span<const std::uint32_t> blocks,
               const std::uint64_t* passing);
  void settle(const ad_index& of);
  void count(const ad_index& of, std::uint32_t block, const std::uint64_t* passing);
  std::uint32_t relevance_in(const ad_index& of, std::size_t at) const;
  bool wants(const ad_index& of, std::size_t at) const;
  bool is_left_out(std::uint64_t id) const;
  void prepare(const ad_index& of, const request& asked);
  void prepare_list(const ad_index& of, std::size_t attribute);
  void order_topics(const ad_index& of);
  void forget(const request& asked);

  struct candidate {
    std::uint64_t rank, base;
    std::uint32_t slot, relevance;
    std::uint64_t id;
  };
  void insert(const candidate& c);
  const admission* admits_ = nullptr;
  std::size_t topics_needed(const ad_index& of, std::uint64_t base);

  prepared_request prepared_;
  mask_plan plan_;
  std::vector<std::uint32_t> every_columns_, any_columns_; ///< of plan_, without the topics'
  std::vector<std::uint32_t> values_;                      ///< set in list_bits
  std::vector<std::uint64_t> open_, tested_, satisfied_;   ///< of clause_lists
  std::vector<std::uint8_t> interest_;                     ///< by topic
  /// For `all`, by mix64 of the id: one of them may be left out. Most that match are told at once
  /// that they are not.
  std::array<bool, 1024> left_out_mixes_{};
  std::uint64_t relevance_bound_ = relevance_least;
  struct topic_bound {
    std::uint64_t sum; ///< the most that this topic (and, ordered, those after it) gives
    std::uint32_t topic;
  };
  std::vector<topic_bound> topic_bounds_; ///< the strongest first, once they are ordered
  bool topics_ordered_ = false;
  std::vector<candidate> best_;
  /// What could enter the best. Of them the highest rank is tested first: once enough of them
  /// match, the rest is not.
  std::array<candidate, keys_max> hopeful_;
  std::array<std::uint64_t, keys_max> hopeful_ranks_;
  std::size_t hopeful_count_ = 0;
  std::vector<std::uint32_t> found_; ///< slots that passed the columns
  std::size_t wanted_ = 0, readable_ = 0;
  std::uint64_t threshold_ = 0;      ///< a rank below it can't enter
  std::vector<std::uint64_t> masks_; ///< with room to align them
  matched answer_;
};

} // namespace candor::ad_matching::index
