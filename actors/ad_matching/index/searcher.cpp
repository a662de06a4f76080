#include <algorithm>
#include <bit>

#include "actors/ad_matching/index/ad_index.hpp"

namespace candor::ad_matching::index {

namespace {

constexpr std::uint32_t no_topic = 0xffff;
constexpr std::size_t batch_blocks = 8;

std::uint64_t load(const std::uint64_t& word) {
  return std::atomic_ref{const_cast<std::uint64_t&>(word)}.load(std::memory_order_relaxed);
}

} // namespace

searcher::searcher()
  : interest_(no_topic + 1)
  , masks_(batch_blocks * block_words + 8) {}

searcher::~searcher() = default;

const matched& searcher::best(const ad_index& of, const request& asked, std::size_t k,
                              const admission& admits) {
  admits_ = admits ? &admits : nullptr;
  return search<false>(of, asked, k);
}

const matched& searcher::all(const ad_index& of, const request& asked, std::size_t k) {
  return search<true>(of, asked, k);
}

namespace {

bool is_set(const std::uint8_t& flag) {
  return std::atomic_ref{const_cast<std::uint8_t&>(flag)}.load(std::memory_order_relaxed) != 0;
}

} // namespace

void searcher::prepare(const ad_index& of, const request& asked) {
  prepared_.asked = &asked;
  prepared_.columns.resize(of.schema_.size());
  prepared_.list_bits.resize(of.list_words_);
  every_columns_.clear();
  any_columns_.clear();
  plan_.group_ends.clear();
  for (std::size_t a = 0; a < of.schema_.size(); ++a) {
    const auto& columns = of.columns_[a];
    auto first = of.first_column_[a];
    if (columns.kind() != value_kind::list) {
      const auto& number = asked.numbers[a];
      auto c = number ? columns.column_of(*number) : columns.absent();
      prepared_.columns[a] = static_cast<std::uint32_t>(c);
      if (!is_set(of.full_[first + c]))
        every_columns_.push_back(static_cast<std::uint32_t>(first + c));
      continue;
    }
    auto begin = any_columns_.size();
    any_columns_.push_back(first);
    auto newly_named = is_set(of.newly_named_[a]);
    std::uint32_t shared = 0; ///< those that stand in the group already
    for (auto v : asked.lists[a]) {
      auto [column, dense] = columns.list_place_of(v);
      if (!dense && !newly_named) // no campaign names it
        continue;
      if (column < columns.first_shared()) {
        any_columns_.push_back(first + column);
      } else if (auto bit = 1u << (column - columns.first_shared()); (shared & bit) == 0) {
        shared |= bit;
        any_columns_.push_back(first + column);
      }
      if (dense) {
        auto value = of.bits_begin_[a] * 64 + *dense;
        prepared_.list_bits[value / 64] |= std::uint64_t{1} << (value % 64);
        values_.push_back(value);
      }
    }
    if (is_set(of.full_[first])) {
      any_columns_.resize(begin);
      continue;
    }
    plan_.group_ends.push_back(static_cast<std::uint32_t>(any_columns_.size()));
  }
  plan_.every.assign(1, of.column(0));
  for (auto c : every_columns_)
    plan_.every.push_back(of.column(c));
  plan_.any.clear();
  for (auto c : any_columns_)
    plan_.any.push_back(of.column(c));

  auto most = [](const std::uint32_t& weight) {
    return std::atomic_ref{const_cast<std::uint32_t&>(weight)}.load(std::memory_order_relaxed);
  };
  topic_bounds_.clear();
  for (auto [topic, weight] : asked.interests) {
    if (topic < no_topic)
      interest_[topic] = weight;
    auto gives = std::uint64_t{weight} * most(of.topic_weight_most_[std::min(topic, no_topic)]);
    if (gives != 0)
      topic_bounds_.push_back(
          {gives, of.first_column_.back() + of.columns_.back().list_place_of(topic).column});
  }
  std::ranges::sort(topic_bounds_, std::greater{}, &topic_bound::sum);
  for (auto i = topic_bounds_.size(); i-- > 1;)
    topic_bounds_[i - 1].sum += topic_bounds_[i].sum;
  auto sum = topic_bounds_.empty() ? 0 : topic_bounds_.front().sum;
  relevance_bound_ = relevance_of(sum);
  for (auto id : asked.left_out)
    left_out_mixes_[mix64(id) % left_out_mixes_.size()] = true;
  for (const auto& t : topic_bounds_)
    plan_.any.push_back(of.column(t.column));
}

/// Of campaigns with at most this `base`, only one that shares one of the first so many topics can
/// reach the threshold: all the others together don't give enough (MaxScore, Turtle and Flood
/// 1995). 0: every campaign can.
std::size_t searcher::topics_needed(std::uint64_t base) const {
  auto relevance = base == 0 ? 0 : threshold_ / base; // at least
  if (relevance < relevance_least + 1)
    return 0;
  auto needed = (relevance - relevance_least) << 8;
  std::size_t n = 0;
  while (n < topic_bounds_.size() && topic_bounds_[n].sum >= needed)
    ++n;
  return n;
}

void searcher::forget(const request& asked) {
  for (auto value : values_)
    prepared_.list_bits[value / 64] = 0;
  values_.clear();
  for (auto [topic, _] : asked.interests)
    if (topic < no_topic)
      interest_[topic] = 0;
  for (auto id : asked.left_out)
    left_out_mixes_[mix64(id) % left_out_mixes_.size()] = false;
}

/// Keeps best_ in order: it is short.
void searcher::insert(const candidate& c) {
  auto better = [](const candidate& a, const candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
  };
  auto full = best_.size() == wanted_;
  if (full && !better(c, best_.back()))
    return;
  if (full)
    best_.pop_back();
  best_.insert(std::upper_bound(best_.begin(), best_.end(), c, better), c);
  if (best_.size() == wanted_)
    threshold_ = best_.back().rank;
}

std::uint32_t searcher::relevance_in(const ad_index& of, std::size_t at) const {
  const auto& s = of.slots_[at];
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < 4; ++i)
    sum += std::uint32_t{s.weights[i]} * interest_[s.topics[i]];
  if (s.topics[4] != no_topic)
    for (std::size_t i = 4; i < 8; ++i)
      sum += std::uint32_t{s.weights[i]} * interest_[s.topics[i]];
  if (s.more != 0) {
    const auto* more = of.pool_.at(s.more);
    for (std::uint32_t i = 0; i < *more; ++i)
      for (auto [topic, weight] : prepared_.asked->interests)
        if (topic == more[1 + 2 * i])
          sum += std::uint64_t{more[2 + 2 * i]} * weight;
  }
  return relevance_of(sum);
}

bool searcher::wants(const ad_index& of, std::size_t at) const {
  return of.programs_[at] == 0 || holds(of.pool_.at(of.programs_[at]), prepared_);
}

bool searcher::is_left_out(std::uint64_t id) const {
  const auto& left_out = prepared_.asked->left_out;
  return !left_out.empty() && std::ranges::binary_search(left_out, id);
}

/// The best of those that pass.
void searcher::look_at(const ad_index& of, std::uint32_t block, const std::uint64_t* passing) {
  auto first = std::size_t{block} * block_slots;
  const auto* bases = of.bases_.data();
  // First who they are, so that what is read of them is under way when its turn comes.
  std::array<std::uint32_t, block_slots> found;
  std::size_t count = 0;
  for (std::size_t w = 0; w < block_words; ++w)
    for (auto word = passing[w]; word != 0; word &= word - 1) {
      auto at = first + w * 64 + static_cast<std::size_t>(std::countr_zero(word));
      if (at >= readable_)
        break;
      found[count++] = static_cast<std::uint32_t>(at);
      __builtin_prefetch(&bases[at]);
      __builtin_prefetch(&of.slots_[at]);
    }
  answer_.looked_at += count;
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t at = found[i];
    auto base = load(bases[at]);
    if (base * relevance_bound_ < threshold_)
      continue;
    auto relevance = relevance_in(of, at);
    auto rank = base * relevance;
    if (rank < threshold_ || !wants(of, at) || is_left_out(of.ids_[at]))
      continue;
    if (admits_ != nullptr && !(*admits_)(at, base))
      continue;
    insert({rank, of.ids_[at], base, static_cast<std::uint32_t>(at), relevance});
  }
}

/// Counts those that match among those that pass; ranks them only where one could enter the best.
void searcher::count(const ad_index& of, std::uint32_t block, const std::uint64_t* passing) {
  auto first = std::size_t{block} * block_slots;
  const auto* tested = of.tested_.data();
  if (of.clauses_)
    tested = of.clauses_->unsaid().data();
  auto ranks = std::min(load(of.block_bound_[block]),
                        load(of.block_base_[block]) * relevance_bound_) >= threshold_;
  for (std::size_t w = 0; w < block_words && first + w * 64 < readable_; ++w) {
    auto from = first + w * 64;
    auto matching = passing[w];
    if (of.clauses_)
      matching &= open_[from / 64];
    if (readable_ - from < 64)
      matching &= (std::uint64_t{1} << (readable_ - from)) - 1;
    answer_.looked_at += static_cast<std::uint64_t>(std::popcount(matching));
    // Of most the columns say all.
    for (auto word = matching & load(tested[from / 64]); word != 0; word &= word - 1)
      if (!wants(of, from + static_cast<std::size_t>(std::countr_zero(word))))
        matching &= ~(word & -word);
    answer_.count += static_cast<std::uint64_t>(std::popcount(matching));
    for (auto word = matching; word != 0; word &= word - 1) {
      auto at = from + static_cast<std::size_t>(std::countr_zero(word));
      auto mix = mix64(of.ids_[at]);
      answer_.id_mix ^= mix;
      if (left_out_mixes_[mix % left_out_mixes_.size()] && is_left_out(of.ids_[at]))
        continue;
      ++answer_.uncapped;
      if (!ranks)
        continue;
      auto base = load(of.bases_[at]);
      if (base * relevance_bound_ < threshold_)
        continue;
      auto relevance = relevance_in(of, at);
      if (base * relevance >= threshold_)
        insert({base * relevance, of.ids_[at], base, static_cast<std::uint32_t>(at), relevance});
    }
  }
}

template <bool All>
const matched& searcher::search(const ad_index& of, const request& asked, std::size_t k) {
  // What is added later may be known only in part to what is prepared now.
  readable_ = std::min(of.readable(), asked.readable);
  prepare(of, asked);
  best_.clear();
  wanted_ = std::max<std::size_t>(k, 1) + 1;
  threshold_ = 0;
  if (All && of.clauses_)
    of.clauses_->leave_open(values_, open_, satisfied_);
  answer_.count = answer_.id_mix = answer_.uncapped = answer_.looked_at = 0;
  auto* masks = masks_.data();
  while (reinterpret_cast<std::uintptr_t>(masks) % 64 != 0)
    ++masks;
  std::array<std::uint32_t, batch_blocks> batch;
  std::size_t gathered = 0, batch_size = All ? batch_blocks : 1;
  auto groups = plan_.group_ends.size();
  auto flush = [&] {
    if constexpr (!All) {
      std::uint64_t base = 0;
      for (std::size_t i = 0; i < gathered; ++i)
        base = std::max(base, load(of.block_base_[batch[i]]));
      plan_.group_ends.resize(groups);
      if (auto n = topics_needed(base); n != 0)
        plan_.group_ends.push_back(static_cast<std::uint32_t>(any_columns_.size() + n));
    }
    mask_blocks(plan_, {batch.data(), gathered}, masks);
    for (std::size_t i = 0; i < gathered; ++i)
      if constexpr (All)
        count(of, batch[i], masks + i * block_words);
      else
        look_at(of, batch[i], masks + i * block_words);
    gathered = 0;
    batch_size = std::min(batch_blocks, batch_size * 2);
  };
  for (std::size_t g = 0; g < of.summary_stride_; ++g) {
    if (!All && load(of.group_bound_[g]) < threshold_)
      continue;
    auto open = load(of.summary(0)[g]);
    for (auto c : every_columns_)
      open &= load(of.summary(c)[g]);
    std::size_t i = 0;
    for (std::size_t group = 0; group < groups; ++group) {
      std::uint64_t one = 0;
      for (auto end = plan_.group_ends[group]; i < end; ++i)
        one |= load(of.summary(any_columns_[i])[g]);
      open &= one;
    }
    for (; open != 0; open &= open - 1) {
      auto b = g * 64 + static_cast<std::size_t>(std::countr_zero(open));
      if constexpr (!All)
        if (std::min(load(of.block_bound_[b]), load(of.block_base_[b]) * relevance_bound_) <
            threshold_)
          continue;
      batch[gathered++] = static_cast<std::uint32_t>(b);
      if (gathered == batch_size)
        flush();
    }
  }
  if (gathered != 0)
    flush();
  answer_.best.clear();
  for (const auto& c : best_) {
    const auto& s = of.slots_[c.slot];
    answer_.best.push_back({c.id, c.rank, static_cast<std::int64_t>(c.base / s.quality),
                            c.relevance, s.quality, c.slot});
  }
  forget(asked);
  return answer_;
}

} // namespace candor::ad_matching::index
