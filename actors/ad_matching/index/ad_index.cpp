#include "actors/ad_matching/index/ad_index.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include <fmt/format.h>
#include <sys/mman.h>

#include "actors/ad_matching/auction.hpp"

namespace candor::ad_matching::index {

namespace {

constexpr std::size_t cluster_depth = 4;
constexpr std::uint32_t no_topic = 0xffff; ///< nobody's interest; higher ones lie in the pool
constexpr std::size_t small_page = 4096, huge_page = 2 << 20;

void store(std::uint64_t& word, std::uint64_t value) {
  std::atomic_ref{word}.store(value, std::memory_order_relaxed);
}

void raise(std::uint64_t& word, std::uint64_t value) {
  if (word < value)
    store(word, value);
}

/// Rows to columns: bit j of word i becomes bit i of word j (Warren, Hacker's Delight, 7-3).
void transpose(std::uint64_t* words) {
  std::uint64_t mask = 0x00000000ffffffff;
  for (std::size_t width = 32; width != 0; width >>= 1, mask ^= mask << width)
    for (std::size_t i = 0; i < 64; i = ((i | width) + 1) & ~width) {
      auto swapped = ((words[i] >> width) ^ words[i | width]) & mask;
      words[i] ^= swapped << width;
      words[i | width] ^= swapped;
    }
}

std::uint32_t relevance_bound(const campaign& c) {
  std::uint64_t weights = 0;
  for (auto t : c.relevance)
    weights += t.weight;
  return relevance_of(weights * 255);
}

/// A campaign on its way to its place.
struct laid_out {
  std::uint64_t bound, cluster, id;
  std::size_t from;
};

/// Bands by the bound of rank, each half as large as all before it; within a band what is alike
/// lies in the same block, in which the highest bound stands first. A request with many matches
/// ends in the small bands; one with few meets large bands, of which whole blocks have nothing for
/// it.
void lay_out(std::vector<laid_out>& order) {
  auto by_bound = [](const auto& a, const auto& b) {
    return a.bound != b.bound ? a.bound > b.bound : a.id < b.id;
  };
  auto by_cluster = [](const auto& a, const auto& b) {
    return a.cluster != b.cluster ? a.cluster < b.cluster : a.id < b.id;
  };
  auto at = [&](std::size_t i) { return order.begin() + static_cast<std::ptrdiff_t>(i); };
  std::ranges::sort(order, by_bound);
  for (std::size_t begin = 0; begin < order.size();) {
    auto blocks = std::max<std::size_t>(1, begin / block_slots / 2);
    auto end = std::min(order.size(), begin + blocks * block_slots);
    std::sort(at(begin), at(end), by_cluster);
    for (; begin < end; begin = std::min(end, begin + block_slots))
      std::sort(at(begin), at(std::min(end, begin + block_slots)), by_bound);
  }
}

} // namespace

zeroed_pages::zeroed_pages(std::size_t bytes) {
  auto page = bytes >= 2 * huge_page ? huge_page : small_page;
  bytes_ = (bytes + page - 1) / page * page;
  data_.reset(std::aligned_alloc(page, std::max(bytes_, page)));
  CANDOR_ASSERT(data_ != nullptr);
  if (page == huge_page) // fewer misses of the address cache, where it is granted
    ::madvise(data_.get(), bytes_, MADV_HUGEPAGE);
  std::memset(data_.get(), 0, bytes_);
}

void zeroed_pages::release::operator()(void* data) const noexcept {
  std::free(data);
}

word_pool::word_pool() {
  chunks_.reserve((std::size_t{1} << 32) / chunk_words);
  chunks_.push_back(std::make_unique<std::uint32_t[]>(chunk_words));
}

std::uint32_t word_pool::add(std::span<const std::uint32_t> words) {
  CANDOR_ASSERT(words.size() <= chunk_words);
  if (used_ % chunk_words + words.size() > chunk_words || used_ == chunks_.size() * chunk_words) {
    used_ = chunks_.size() * chunk_words;
    CANDOR_ASSERT(chunks_.size() < chunks_.capacity());
    chunks_.push_back(std::make_unique<std::uint32_t[]>(chunk_words));
  }
  auto place = used_;
  std::ranges::copy(words, chunks_[place / chunk_words].get() + place % chunk_words);
  used_ += words.size();
  return static_cast<std::uint32_t>(place);
}

std::size_t word_pool::bytes() const noexcept {
  return chunks_.size() * chunk_words * sizeof(std::uint32_t);
}

std::int64_t price_of(const ranked& winner, std::uint64_t next_rank) noexcept {
  return ad_matching::price_of(winner.bid_micros, wide(winner.quality) * winner.relevance,
                               next_rank, reserve_micros);
}

ad_index::ad_index(schema attributes)
  : schema_{std::move(attributes)}
  , topic_weight_most_(no_topic + 1) {}

result<std::unique_ptr<ad_index>> ad_index::make(schema attributes,
                                                 std::span<const campaign> campaigns,
                                                 std::size_t spare, asked_for what) {
  if (attributes.size() > attributes_max)
    return fail(errc::bad_value, fmt::format("a schema has at most {} attributes", attributes_max));
  std::unique_ptr<ad_index> made{new ad_index{std::move(attributes)}};
  auto& x = *made;
  std::vector<attribute_columns::named_constants> named(x.schema_.size());
  for (const auto& c : campaigns)
    for (const auto& n : c.wish.nodes) {
      if (!n.is_leaf())
        continue;
      auto& of = named[n.attribute];
      for (auto v : c.wish.values_of(n))
        if (n.what == operation::at_least || n.what == operation::at_most)
          ++of.cuts[v + (n.what == operation::at_least ? 0 : 1)];
        else
          ++of.values[v];
    }
  auto& topics = named.emplace_back();
  for (const auto& c : campaigns)
    for (auto t : c.relevance)
      ++topics.values[t.topic];
  for (std::size_t a = 0; a < named.size(); ++a) {
    x.columns_.emplace_back(a < x.schema_.size() ? x.schema_[a].kind : value_kind::list, named[a]);
    x.first_column_.push_back(static_cast<std::uint32_t>(x.column_count_));
    x.column_count_ += x.columns_.back().size();
    x.bits_begin_.push_back(static_cast<std::uint32_t>(x.list_words_));
    x.list_words_ += (x.columns_.back().dense_count() + 63) / 64;
  }
  named.clear();
  x.newly_named_.assign(x.schema_.size(), 0);
  x.reserve(campaigns.size() + spare);
  if (what == asked_for::all) {
    x.clauses_.emplace(x.columns_, x.bits_begin_, x.list_words_);
    x.mixes_ = field<std::uint64_t>{x.capacity()};
  }
  x.choose_cluster_attributes(campaigns);
  std::vector<laid_out> order;
  for (const auto& c : campaigns)
    order.push_back({static_cast<std::uint64_t>(c.bid_micros) * c.quality * relevance_bound(c),
                     x.cluster_of(project(c.wish, x.columns_)), c.id, order.size()});
  lay_out(order);
  std::vector<const campaign*> row;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto& c = campaigns[order[i].from];
    if (x.find(c.id))
      return fail(errc::bad_value, fmt::format("campaign {} is there twice", c.id));
    CANDOR_TRY_VOID(x.describe(i, c));
    x.remember(i);
    if (x.clauses_)
      x.clauses_->add(c.wish);
    row.push_back(&c);
    if (row.size() == 64 || i + 1 == order.size()) {
      x.place_rows(i / 64 * 64, row);
      row.clear();
    }
  }
  x.size_ = campaigns.size();
  x.used_ = campaigns.size();
  x.summarize();
  if (x.clauses_)
    x.clauses_->close(x.capacity());
  return made;
}

void ad_index::reserve(std::size_t slots) {
  // An odd number of blocks, so that columns do not all fall on the same lines of a cache.
  block_count_ = (slots + block_slots - 1) / block_slots | 1;
  stride_ = block_count_ * block_words;
  summary_stride_ = (block_count_ + 63) / 64;
  bits_ = word_field{column_count_ * stride_};
  tested_ = word_field{stride_};
  summaries_ = word_field{column_count_ * summary_stride_};
  full_.assign(column_count_, 1);
  population_.assign(column_count_, 0);
  block_bound_.assign(block_count_, 0);
  block_base_.assign(block_count_, 0);
  group_bound_.assign(summary_stride_, 0);
  auto n = block_count_ * block_slots;
  word_bound_.assign(stride_, 0);
  rows_ = field<row>{n};
  ids_ = field<std::uint64_t>{n};
  places_.assign(std::bit_ceil(n * 3 / 2 + 2), 0);
  // What a place that is not used yet has: columns of numbers let everything through.
  for (std::size_t a = 0; a < columns_.size(); ++a) {
    auto unconstrained = unconstrained_in(a);
    for (std::size_t c = 0; c < columns_[a].size(); ++c)
      if (unconstrained.test(c)) {
        std::fill_n(column(first_column_[a] + c), stride_, ~std::uint64_t{0});
        std::fill_n(summary(first_column_[a] + c), summary_stride_, ~std::uint64_t{0});
      }
  }
}

/// Those first whose values exclude most, if requests have values as often as campaigns name them.
void ad_index::choose_cluster_attributes(std::span<const campaign> campaigns) {
  std::vector<std::vector<std::uint64_t>> populations, named;
  for (const auto& c : columns_) {
    populations.emplace_back(c.size());
    named.emplace_back(c.size());
  }
  constexpr std::size_t sample = 20'000;
  auto step = std::max<std::size_t>(1, campaigns.size() / sample);
  std::uint64_t n = 0;
  std::vector<std::uint64_t> constrained(columns_.size());
  for (std::size_t i = 0; i < campaigns.size(); i += step, ++n)
    for (const auto& [a, set] : project(campaigns[i].wish, columns_)) {
      ++constrained[a];
      auto narrow = set.count() * 4 <= columns_[a].size();
      for (std::size_t c = 0; c < columns_[a].size(); ++c)
        if (set.test(c)) {
          ++populations[a][c];
          named[a][c] += narrow;
        }
    }
  std::vector<std::pair<double, std::uint16_t>> passing;
  for (std::size_t a = 0; a < columns_.size(); ++a) {
    double weight = 0, passed = 0;
    for (std::size_t c = 0; c < columns_[a].size(); ++c) {
      auto w = static_cast<double>(named[a][c]);
      weight += w;
      passed += w * static_cast<double>(n - constrained[a] + populations[a][c]);
    }
    if (weight > 0)
      passing.emplace_back(passed / weight / static_cast<double>(n), static_cast<std::uint16_t>(a));
  }
  std::ranges::sort(passing);
  for (std::size_t i = 0; i < std::min(cluster_depth, passing.size()); ++i) {
    auto a = passing[i].second;
    cluster_attributes_.push_back(a);
    // Rarer columns get higher places, and so come later.
    std::vector<std::uint16_t> order(columns_[a].size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](auto x, auto y) { return named[a][x] > named[a][y]; });
    auto& places = cluster_places_.emplace_back(order.size());
    for (std::size_t place = 0; place < order.size(); ++place)
      places[order[place]] = static_cast<std::uint16_t>(place);
  }
}

/// 16 bits for each of the chosen attributes: the most frequent column that the campaign wants, and
/// something of the others.
std::uint64_t ad_index::cluster_of(const projection& projected) const {
  std::uint64_t made = 0;
  for (std::size_t i = 0; i < cluster_depth; ++i) {
    std::uint64_t part = 0xffff;
    if (i < cluster_attributes_.size())
      for (const auto& [a, set] : projected)
        if (a == cluster_attributes_[i] && set.count() * 4 <= columns_[a].size()) {
          std::uint64_t first = columns_max, others = 0;
          for (std::size_t c = 0; c < columns_[a].size(); ++c)
            if (set.test(c)) {
              first = std::min<std::uint64_t>(first, cluster_places_[i][c]);
              others = mix64(others + c + 1);
            }
          part = first << 7 | others >> 57;
        }
    made = made << 16 | part;
  }
  return made;
}

result<void> ad_index::describe(std::size_t at, const campaign& x) {
  auto& into = rows_[at];
  auto refuse = [&](std::string_view what) {
    return fail(errc::bad_value, fmt::format("campaign {}: {}", x.id, what));
  };
  if (x.bid_micros < 0 || x.bid_micros > bid_most)
    return refuse(fmt::format("a bid is within 0 and {} micros", bid_most));
  if (x.quality == 0)
    return refuse("quality is within 1 and 255");
  auto program = make_residual(x.wish, columns_, bits_begin_);
  if (!program)
    return refuse("its targeting is too large");
  into.base = static_cast<std::uint64_t>(x.bid_micros) * x.quality;
  ids_[at] = x.id;
  if (clauses_)
    mixes_[at] = mix64(x.id);
  into.quality = x.quality;
  into.state = x.paused ? state::paused : state::live;
  into.program = program->empty() ? 0 : pool_.add(*program);
  if (!program->empty()) {
    auto& word = tested_.data()[at / 64];
    store(word, word | std::uint64_t{1} << (at % 64));
  }
  std::ranges::fill(into.topics, static_cast<std::uint16_t>(no_topic));
  std::vector<std::uint32_t> more;
  std::size_t here = 0;
  for (auto t : x.relevance) {
    if (t.topic < no_topic && here < inline_topics) {
      into.topics[here] = static_cast<std::uint16_t>(t.topic);
      into.weights[here++] = t.weight;
    } else {
      more.push_back(t.topic);
      more.push_back(t.weight);
    }
    std::uint32_t weight = 0; // of a topic that it names twice too
    for (auto u : x.relevance)
      weight += u.topic == t.topic ? u.weight : 0;
    auto& most = topic_weight_most_[std::min(t.topic, no_topic)];
    if (most < weight)
      std::atomic_ref{most}.store(weight, std::memory_order_relaxed);
  }
  if (!more.empty()) {
    more.insert(more.begin(), static_cast<std::uint32_t>(more.size() / 2));
    if (more.size() > program_words_max)
      return refuse("it has too many topics");
    into.more = pool_.add(more);
  }
  return {};
}

/// The columns of its wish, and of the topics that it is relevant for.
projection ad_index::rows_of(const campaign& x) const {
  auto made = project(x.wish, columns_);
  if (x.relevance.empty())
    return made;
  column_set topics;
  for (auto t : x.relevance)
    topics.set(columns_.back().list_place_of(t.topic).column);
  made.emplace_back(static_cast<std::uint16_t>(schema_.size()), topics);
  return made;
}

column_set ad_index::unconstrained_in(std::size_t a) const {
  return a == schema_.size() ? column_set{} : columns_[a].unconstrained();
}

/// Up to 64 neighbours from a multiple of 64 on, whose slots are described.
void ad_index::place_rows(std::size_t first, std::span<const campaign* const> some) {
  std::vector<projection> projected;
  for (const auto* c : some)
    projected.push_back(rows_of(*c));
  std::array<std::uint64_t, 64> rows;
  for (std::size_t a = 0; a < columns_.size(); ++a) {
    std::array<const column_set*, 64> sets{};
    auto named = false;
    for (std::size_t i = 0; i < some.size(); ++i)
      for (const auto& [attribute, set] : projected[i])
        if (attribute == a) {
          sets[i] = &set;
          named = true;
        }
    if (!named)
      continue;
    auto unconstrained = unconstrained_in(a);
    for (std::size_t w = 0; w * 64 < columns_[a].size(); ++w) {
      for (std::size_t i = 0; i < 64; ++i)
        rows[i] = sets[i] ? sets[i]->words[w] : unconstrained.words[w];
      transpose(rows.data());
      for (std::size_t c = w * 64; c < std::min((w + 1) * 64, columns_[a].size()); ++c)
        column(first_column_[a] + c)[first / 64] = rows[c % 64];
    }
  }
  for (std::size_t i = 0; i < some.size(); ++i) {
    if (rows_[first + i].state == state::live)
      column(0)[first / 64] |= std::uint64_t{1} << i;
    raise_bounds(first + i, rows_[first + i].base);
  }
}

std::uint64_t ad_index::rank_bound(std::size_t at, std::uint64_t base) const {
  const auto& s = rows_[at];
  std::uint64_t weights = 0;
  for (auto w : s.weights)
    weights += w;
  if (s.more != 0)
    for (std::uint32_t i = 0; i < *pool_.at(s.more); ++i)
      weights += pool_.at(s.more)[2 + 2 * i];
  return base * relevance_of(weights * 255);
}

void ad_index::raise_bounds(std::size_t at, std::uint64_t base) {
  auto block = at / block_slots;
  auto bound = rank_bound(at, base);
  raise(group_bound_[block / 64], bound);
  raise(block_bound_[block], bound);
  raise(word_bound_[at / 64], bound);
  raise(block_base_[block], base);
}

/// Once the used places are filled.
void ad_index::summarize() {
  auto used_blocks = (used_ + block_slots - 1) / block_slots;
  for (std::size_t c = 0; c < column_count_; ++c) {
    const auto* words = column(c);
    std::uint32_t population = 0;
    for (std::size_t b = 0; b < used_blocks; ++b) {
      std::uint64_t any = 0;
      for (std::size_t i = 0; i < block_words; ++i) {
        auto word = words[b * block_words + i];
        any |= word;
        population += static_cast<std::uint32_t>(std::popcount(word));
      }
      auto bit = std::uint64_t{1} << (b % 64);
      auto& into = summary(c)[b / 64];
      into = any ? into | bit : into & ~bit;
    }
    population_[c] = population;
    // Places that are not used are let through by what excludes nobody.
    full_[c] = c != 0 && population == used_blocks * block_slots;
  }
}

void ad_index::remember(std::size_t at) {
  auto mask = places_.size() - 1;
  for (auto i = mix64(ids_[at]) & mask;; i = (i + 1) & mask)
    if (places_[i] == 0 || ids_[places_[i] - 1] == ids_[at]) {
      places_[i] = static_cast<std::uint32_t>(at + 1);
      return;
    }
}

std::optional<std::size_t> ad_index::find(std::uint64_t id) const {
  auto mask = places_.size() - 1;
  for (auto i = mix64(id) & mask; places_[i] != 0; i = (i + 1) & mask)
    if (ids_[places_[i] - 1] == id)
      return rows_[places_[i] - 1].state == state::removed ? std::nullopt
                                                           : std::optional{places_[i] - 1u};
  return std::nullopt;
}

void ad_index::set_live(std::size_t at, bool on) {
  auto& word = column(0)[at / 64];
  auto bit = std::uint64_t{1} << (at % 64);
  if (on) {
    auto& s = summary(0)[at / block_slots / 64];
    store(s, s | std::uint64_t{1} << (at / block_slots % 64));
    store(word, word | bit);
  } else {
    store(word, word & ~bit);
  }
}

bool ad_index::pause(std::uint64_t id) {
  auto at = find(id);
  if (!at || rows_[*at].state != state::live)
    return false;
  rows_[*at].state = state::paused;
  set_live(*at, false);
  return true;
}

bool ad_index::resume(std::uint64_t id) {
  auto at = find(id);
  if (!at || rows_[*at].state != state::paused)
    return false;
  rows_[*at].state = state::live;
  set_live(*at, true);
  return true;
}

bool ad_index::set_bid(std::uint64_t id, std::int64_t micros) {
  auto at = find(id);
  if (!at || micros < 0 || micros > bid_most)
    return false;
  auto base = static_cast<std::uint64_t>(micros) * rows_[*at].quality;
  if (base == rows_[*at].base)
    return true;
  // The bound first: who reads the new bid must not have passed the block by for ever.
  raise_bounds(*at, base);
  store(rows_[*at].base, base);
  return true;
}

bool ad_index::remove(std::uint64_t id) {
  auto at = find(id);
  if (!at)
    return false;
  rows_[*at].state = state::removed;
  set_live(*at, false);
  --size_;
  return true;
}

/// Of a request's list values those that no campaign named when the index was made are passed over.
/// From the first addition on that names another one, what is unknown of that list is looked up
/// too, in the columns that such values share.
void ad_index::note_new_values(const wish& w) {
  for (const auto& n : w.nodes)
    if (n.is_leaf() && columns_[n.attribute].kind() == value_kind::list)
      for (auto v : w.values_of(n))
        if (!columns_[n.attribute].list_place_of(v).dense)
          std::atomic_ref{newly_named_[n.attribute]}.store(1, std::memory_order_relaxed);
}

result<ad_index::added> ad_index::add(const campaign& x) {
  if (find(x.id))
    return added::known_already;
  if (used_ == capacity())
    return added::full;
  auto at = used_.load();
  CANDOR_TRY_VOID(describe(at, x));
  note_new_values(x.wish);
  auto bit = std::uint64_t{1} << (at % 64);
  auto projected = rows_of(x);
  for (const auto& [a, set] : projected) {
    auto unconstrained = unconstrained_in(a);
    for (std::size_t w = 0; w < set.words.size(); ++w)
      for (auto other = set.words[w] ^ unconstrained.words[w]; other != 0; other &= other - 1) {
        auto c = first_column_[a] + w * 64 + static_cast<std::size_t>(std::countr_zero(other));
        auto& word = column(c)[at / 64];
        if ((set.words[w] & other & -other) != 0) {
          store(word, word | bit);
          auto& s = summary(c)[at / block_slots / 64];
          store(s, s | std::uint64_t{1} << (at / block_slots % 64));
        } else {
          store(word, word & ~bit);
          std::atomic_ref{full_[c]}.store(0, std::memory_order_relaxed);
        }
      }
  }
  ++size_;
  remember(at);
  raise_bounds(at, rows_[at].base);
  if (rows_[at].state == state::live)
    set_live(at, true);
  used_.store(at + 1, std::memory_order_release);
  return added::yes;
}

std::size_t ad_index::bytes() const noexcept {
  return (clauses_ ? clauses_->bytes() : 0) + bits_.bytes() + tested_.bytes() + summaries_.bytes() +
         pool_.bytes() + full_.size() + population_.size() * sizeof(std::uint32_t) +
         (2 * block_bound_.size() + group_bound_.size() + word_bound_.size()) *
             sizeof(std::uint64_t) +
         rows_.bytes() + ids_.bytes() + mixes_.bytes() + places_.size() * sizeof(std::uint32_t) +
         topic_weight_most_.size() * sizeof(std::uint32_t);
}

} // namespace candor::ad_matching::index
