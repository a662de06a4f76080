#include <algorithm>
#include <bit>

#include "actors/ad_matching/index/ad_index.hpp"

namespace candor::ad_matching::index {

namespace {

constexpr std::uint32_t no_topic = 0xffff;
constexpr std::size_t batch_blocks = 8;
constexpr std::size_t few_left_out = 16;

std::uint64_t load(const std::uint64_t& word) {
  return std::atomic_ref{const_cast<std::uint64_t&>(word)}.load(std::memory_order_relaxed);
}

} // namespace

searcher::searcher()
  : interest_(no_topic + 1)
  , found_(batch_blocks * block_slots)
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

/// What a list allows. What depends on the single value is put down in any case, and kept or not
/// without a branch: nobody foresees what the next value is.
void searcher::prepare_list(const ad_index& of, std::size_t a) {
  const auto& columns = of.columns_[a];
  const auto& list = prepared_.asked->lists[a];
  auto newly_named = is_set(of.newly_named_[a]);
  auto first = of.first_column_[a];
  auto first_shared = static_cast<std::uint32_t>(columns.first_shared());
  auto any = any_columns_.size(), values = values_.size();
  auto begin = any;
  any_columns_.resize(any + 1 + list.size());
  values_.resize(values + list.size());
  any_columns_[any++] = first;
  std::uint32_t shared = 0; ///< those that stand in the group already
  for (auto v : list) {
    auto known_as = columns.known_as(v);
    auto known = known_as != 0;
    auto column = columns.column_of_known(v, known_as);
    auto bit = column < first_shared ? 0 : 1u << ((column - first_shared) % 32);
    auto kept = known | newly_named; // else no campaign names it
    any_columns_[any] = first + column;
    any += static_cast<std::size_t>(kept & ((shared & bit) == 0));
    shared |= kept ? bit : 0;
    auto value = known ? of.bits_begin_[a] * 64 + known_as - 1 : 0;
    prepared_.list_bits[value / 64] |= std::uint64_t{known} << (value % 64);
    values_[values] = value;
    values += known;
  }
  values_.resize(values);
  any_columns_.resize(is_set(of.full_[first]) ? begin : any);
  if (any_columns_.size() != begin)
    plan_.group_ends.push_back(static_cast<std::uint32_t>(any));
}

void searcher::prepare(const ad_index& of, const request& asked) {
  prepared_.asked = &asked;
  prepared_.columns.resize(of.schema_.size());
  prepared_.list_bits.resize(of.list_words_ + 1);
  every_columns_.resize(of.schema_.size());
  any_columns_.clear();
  plan_.group_ends.clear();
  std::size_t every = 0;
  for (std::size_t a = 0; a < of.schema_.size(); ++a) {
    const auto& columns = of.columns_[a];
    if (columns.kind() == value_kind::list) {
      prepare_list(of, a);
      continue;
    }
    const auto& number = asked.numbers[a];
    auto c = static_cast<std::uint32_t>(number ? columns.column_of(*number) : columns.absent());
    prepared_.columns[a] = c;
    every_columns_[every] = of.first_column_[a] + c;
    every += !is_set(of.full_[of.first_column_[a] + c]);
  }
  every_columns_.resize(every);
  plan_.every.resize(1 + every);
  plan_.every[0] = of.column(0);
  for (std::size_t i = 0; i < every; ++i)
    plan_.every[1 + i] = of.column(every_columns_[i]);
  plan_.any.resize(any_columns_.size());
  for (std::size_t i = 0; i < any_columns_.size(); ++i)
    plan_.any[i] = of.column(any_columns_[i]);

  auto most = [](const std::uint32_t& weight) {
    return std::atomic_ref{const_cast<std::uint32_t&>(weight)}.load(std::memory_order_relaxed);
  };
  topic_bounds_.clear();
  topics_ordered_ = false;
  std::uint64_t sum = 0;
  for (auto [topic, weight] : asked.interests) {
    if (topic < no_topic)
      interest_[topic] = weight;
    auto gives = std::uint64_t{weight} * most(of.topic_weight_most_[std::min(topic, no_topic)]);
    sum += gives;
    if (gives != 0)
      topic_bounds_.push_back({gives, topic});
  }
  relevance_bound_ = relevance_of(sum);
}

/// Few requests over few campaigns come to where it is needed.
void searcher::order_topics(const ad_index& of) {
  topics_ordered_ = true;
  std::ranges::sort(topic_bounds_, std::greater{}, &topic_bound::sum);
  for (auto i = topic_bounds_.size(); i-- > 1;)
    topic_bounds_[i - 1].sum += topic_bounds_[i].sum;
  for (const auto& t : topic_bounds_)
    plan_.any.push_back(
        of.column(of.first_column_.back() + of.columns_.back().list_place_of(t.topic).column));
}

/// Of campaigns with at most this `base`, only one that shares one of the first so many topics can
/// reach the threshold: all the others together don't give enough (MaxScore, Turtle and Flood
/// 1995). 0: every campaign can.
std::size_t searcher::topics_needed(const ad_index& of, std::uint64_t base) {
  auto relevance = base == 0 ? 0 : threshold_ / base; // at least
  if (relevance < relevance_least + 1)
    return 0;
  if (!topics_ordered_)
    order_topics(of);
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
}

/// Keeps best_ in order: it is short, and what comes seldom goes far up.
void searcher::insert(const candidate& c) {
  auto better = [](const candidate& a, const candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
  };
  if (best_.size() < wanted_)
    best_.push_back(c);
  else if (!better(c, best_.back()))
    return;
  auto at = best_.size() - 1;
  for (; at > 0 && better(c, best_[at - 1]); --at)
    best_[at] = best_[at - 1];
  best_[at] = c;
  if (best_.size() == wanted_)
    threshold_ = best_.back().rank;
}

std::uint32_t searcher::relevance_in(const ad_index& of, std::size_t at) const {
  const auto& row = of.rows_[at];
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < of.inline_topics; ++i)
    sum += std::uint32_t{row.weights[i]} * interest_[row.topics[i]];
  if (row.more != 0) {
    const auto* more = of.pool_.at(row.more);
    for (std::uint32_t i = 0; i < *more; ++i) {
      auto topic = more[1 + 2 * i], weight = more[2 + 2 * i];
      if (topic < no_topic)
        sum += weight * interest_[topic];
      else
        for (const auto& interest : prepared_.asked->interests)
          if (interest.topic == topic)
            sum += std::uint64_t{weight} * interest.weight;
    }
  }
  return relevance_of(sum);
}

bool searcher::wants(const ad_index& of, std::size_t at) const {
  auto program = of.rows_[at].program;
  return program == 0 || holds(of.pool_.at(program), prepared_);
}

bool searcher::is_left_out(std::uint64_t id) const {
  const auto& left_out = prepared_.asked->left_out;
  if (left_out.size() > few_left_out)
    return std::ranges::binary_search(left_out, id);
  auto found = false; // without a branch for each
  for (auto x : left_out)
    found |= x == id;
  return found;
}

/// The best of those that pass.
void searcher::look_at(const ad_index& of, std::span<const std::uint32_t> blocks,
                       const std::uint64_t* passing) {
  const auto* rows = of.rows_.data();
  // First who they are, so that what is read of them is under way when its turn comes.
  auto* found = found_.data();
  std::size_t count = 0;
  for (auto block : blocks) {
    const auto* bounds = of.word_bound_.data() + block * block_words;
    for (std::size_t w = 0; w < block_words; ++w, ++passing) {
      auto word = *passing;
      if (word == 0 || load(bounds[w]) < threshold_)
        continue;
      auto first = block * std::uint32_t{block_slots} + static_cast<std::uint32_t>(w) * 64;
      for (; word != 0; word &= word - 1) {
        auto at = first + static_cast<std::uint32_t>(std::countr_zero(word));
        found[count++] = at;
        __builtin_prefetch(&rows[at]);
      }
    }
  }
  // What was added since this began stands last.
  while (count != 0 && found[count - 1] >= readable_)
    --count;
  answer_.looked_at += count;
  for (std::size_t i = 0; i < count; ++i) {
    auto at = found[i];
    auto base = load(rows[at].base);
    auto relevance = relevance_in(of, at);
    auto rank = base * relevance;
    // Put there in any case, and left there if it could enter: nobody foresees which one could.
    hopeful_[hopeful_count_] = {rank, base, at, relevance, 0};
    hopeful_ranks_[hopeful_count_] = rank;
    hopeful_count_ += rank >= threshold_;
    if (hopeful_count_ == keys_max)
      settle(of);
  }
  settle(of);
}

/// Puts what is hopeful among the best, if it matches.
void searcher::settle(const ad_index& of) {
  for (std::size_t i = 0; i < hopeful_count_; ++i) {
    auto at = hopeful_[i].slot;
    __builtin_prefetch(of.pool_.at(of.rows_[at].program));
    __builtin_prefetch(&of.ids_[at]);
  }
  std::array<std::uint8_t, keys_max> order;
  order_falling(hopeful_ranks_.data(), hopeful_count_, order.data());
  for (std::size_t i = 0; i < hopeful_count_; ++i) {
    auto& c = hopeful_[order[i]];
    if (c.rank < threshold_)
      break;
    c.id = of.ids_[c.slot];
    if (wants(of, c.slot) && !is_left_out(c.id) &&
        (admits_ == nullptr || (*admits_)(c.slot, c.base)))
      insert(c);
  }
  hopeful_count_ = 0;
}

/// Counts those that match among those that pass; ranks them only where one could enter the best.
void searcher::count(const ad_index& of, std::uint32_t block, const std::uint64_t* passing) {
  auto first = std::size_t{block} * block_slots;
  const auto* tested = of.clauses_ ? tested_.data() : of.tested_.data();
  auto ranks = std::min(load(of.block_bound_[block]),
                        load(of.block_base_[block]) * relevance_bound_) >= threshold_;
  for (std::size_t w = 0; w < block_words && first + w * 64 < readable_; ++w) {
    auto from = first + w * 64;
    auto matching = passing[w];
    if (of.clauses_)
      matching &= open_[from / 64];
    if (readable_ - from < 64)
      matching &= (std::uint64_t{1} << (readable_ - from)) - 1;
    if (matching == 0)
      continue;
    // Of most the columns say all.
    for (auto word = matching & load(tested[from / 64]); word != 0; word &= word - 1)
      if (!wants(of, from + static_cast<std::size_t>(std::countr_zero(word)))) {
        matching &= ~(word & -word);
        ++answer_.looked_at;
      }
    auto matches = static_cast<std::uint64_t>(std::popcount(matching));
    answer_.looked_at += matches;
    answer_.count += matches;
    answer_.uncapped += matches;
    auto mix_of = [&](std::size_t at) { return of.clauses_ ? of.mixes_[at] : mix64(of.ids_[at]); };
    if (!ranks && prepared_.asked->left_out.empty()) { // which is so of most
      std::uint64_t mixes = 0;
      for (auto word = matching; word != 0; word &= word - 1)
        mixes ^= mix_of(from + static_cast<std::size_t>(std::countr_zero(word)));
      answer_.id_mix ^= mixes;
      continue;
    }
    for (auto word = matching; word != 0; word &= word - 1) {
      auto at = from + static_cast<std::size_t>(std::countr_zero(word));
      auto mix = mix_of(at);
      answer_.id_mix ^= mix;
      if (left_out_mixes_[mix % left_out_mixes_.size()] && is_left_out(of.ids_[at])) {
        --answer_.uncapped;
        continue;
      }
      if (!ranks)
        continue;
      auto base = load(of.rows_[at].base);
      if (base * relevance_bound_ < threshold_)
        continue;
      auto relevance = relevance_in(of, at);
      if (base * relevance >= threshold_)
        insert({base * relevance, base, static_cast<std::uint32_t>(at), relevance, of.ids_[at]});
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
    of.clauses_->leave_open(values_, open_, tested_, satisfied_);
  if (All)
    for (auto id : asked.left_out)
      left_out_mixes_[mix64(id) % left_out_mixes_.size()] = true;
  answer_.count = answer_.id_mix = answer_.uncapped = answer_.looked_at = 0;
  auto* masks = masks_.data();
  while (reinterpret_cast<std::uintptr_t>(masks) % 64 != 0)
    ++masks;
  std::array<std::uint32_t, batch_blocks> batch;
  std::size_t gathered = 0, batch_size = All ? batch_blocks : 1;
  auto groups = plan_.group_ends.size();
  auto flush = [&] {
    // Each block as strictly as its own bound allows: where there are a million campaigns that
    // spares a fifth of the longest requests. Neighbours mostly need the same topics, and are
    // masked together.
    std::array<std::size_t, batch_blocks> topics;
    for (std::size_t i = 0; i < gathered; ++i)
      topics[i] = All ? 0 : topics_needed(of, load(of.block_base_[batch[i]]));
    for (std::size_t i = 0, end = 0; i < gathered; i = end) {
      while (end < gathered && topics[end] == topics[i])
        ++end;
      plan_.group_ends.resize(groups);
      if (topics[i] != 0)
        plan_.group_ends.push_back(static_cast<std::uint32_t>(any_columns_.size() + topics[i]));
      mask_blocks(plan_, {batch.data() + i, end - i}, masks + i * block_words);
    }
    if constexpr (All)
      for (std::size_t i = 0; i < gathered; ++i)
        count(of, batch[i], masks + i * block_words);
    else
      look_at(of, {batch.data(), gathered}, masks);
    gathered = 0;
    batch_size = std::min(batch_blocks, batch_size * 2);
  };
  // So few blocks are masked sooner than their summaries are read.
  auto few = of.block_count_ <= batch_blocks;
  for (std::size_t g = 0; g < of.summary_stride_; ++g) {
    if (!All && load(of.group_bound_[g]) < threshold_)
      continue;
    auto open = load(of.summary(0)[g]);
    if (!few)
      for (auto c : every_columns_)
        open &= load(of.summary(c)[g]);
    std::size_t i = 0;
    for (std::size_t group = 0; group < groups && !few; ++group) {
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
    const auto& s = of.rows_[c.slot];
    answer_.best.push_back({c.id, c.rank, static_cast<std::int64_t>(c.base / s.quality),
                            c.relevance, s.quality, c.slot});
  }
  forget(asked);
  if (All)
    for (auto id : asked.left_out)
      left_out_mixes_[mix64(id) % left_out_mixes_.size()] = false;
  return answer_;
}

} // namespace candor::ad_matching::index
