#include "actors/ad_matching/index/clause_lists.hpp"

#include <algorithm>

#include "actors/ad_matching/index/vector_kernel.hpp"

namespace candor::ad_matching::index {

namespace {

constexpr auto every_bit = ~std::uint64_t{0};

void set(std::vector<std::uint64_t>& words, std::size_t bit) {
  words[bit / 64] |= std::uint64_t{1} << (bit % 64);
}

void reset(std::vector<std::uint64_t>& words, std::size_t bit) {
  words[bit / 64] &= ~(std::uint64_t{1} << (bit % 64));
}

/// One value of it suffices.
bool is_clause(const wish& w, std::uint32_t at) {
  const auto& n = w.nodes[at];
  if (n.what == operation::one_of || (n.what == operation::all_of && n.count == 1))
    return true;
  if (n.what != operation::any)
    return false;
  for (auto c = at + 1; c < n.end; c = w.nodes[c].end)
    if (!is_clause(w, c))
      return false;
  return true;
}

/// One value of it is too much.
bool is_veto(const wish& w, std::uint32_t at) {
  const auto& n = w.nodes[at];
  return n.what == operation::none_of || (n.what == operation::negation && is_clause(w, at + 1));
}

/// It certainly `holds` (or does not) for a request whose lists have nothing that it names.
bool is_certain(const wish& w, std::uint32_t at, bool holds) {
  const auto& n = w.nodes[at];
  if (n.what == operation::negation)
    return is_certain(w, at + 1, !holds);
  if (n.what == operation::none_of)
    return holds;
  if (n.what == operation::one_of)
    return !holds;
  if (n.what == operation::all_of)
    return holds == (n.count == 0);
  if (n.is_leaf()) // of numbers nothing is known
    return false;
  // One member decides, or all of them do.
  auto one_decides = (n.what == operation::any) == holds;
  for (auto c = at + 1; c < n.end; c = w.nodes[c].end)
    if (is_certain(w, c, holds) == one_decides)
      return one_decides;
  return !one_decides;
}

} // namespace

clause_lists::clause_lists(const std::vector<attribute_columns>& columns,
                           const std::vector<std::uint32_t>& bits_begin, std::size_t list_words)
  : columns_{columns}
  , bits_begin_{bits_begin}
  , values_{list_words * 64} {}

void clause_lists::put(std::uint16_t a, std::int64_t value, lists& into) {
  into.added.emplace_back(bits_begin_[a] * 64 + *columns_[a].list_place_of(value).dense,
                          static_cast<std::uint32_t>(size_));
}

void clause_lists::put(const wish& w, std::uint32_t part, lists& into) {
  for (auto i = part; i < w.nodes[part].end; ++i)
    if (auto a = w.nodes[i].attribute;
        w.nodes[i].is_leaf() && columns_[a].kind() == value_kind::list)
      for (auto v : w.values_of(w.nodes[i]))
        put(a, v, into);
}

void clause_lists::add(const wish& w) {
  if (size_ % 64 == 0) {
    unsaid_.push_back(0);
    for (auto& words : without_)
      words.push_back(every_bit);
  }
  std::vector<std::uint32_t> said;
  for (auto part : open_parts(w, columns_, {}))
    if (is_veto(w, part)) {
      put(w, part, lists_[vetoes]);
      said.push_back(part);
    }
  std::size_t clause = 0;
  auto next_clause = [&]() -> lists& {
    reset(without_[clause], size_);
    return lists_[clause++];
  };
  for (auto part : open_parts(w, columns_, said)) {
    const auto& n = w.nodes[part];
    if (clause < clauses_max && is_clause(w, part)) {
      put(w, part, next_clause());
    } else if (n.what == operation::all_of && clause + n.count <= clauses_max) {
      for (auto v : w.values_of(n)) // a clause each
        put(n.attribute, v, next_clause());
    } else if (is_certain(w, part, true)) {
      put(w, part, lists_[triggers]);
    } else {
      set(unsaid_, size_);
    }
  }
  ++size_;
}

void clause_lists::close(std::size_t capacity) {
  // Later places are left open, and tested.
  auto words = capacity / 64;
  for (auto at = size_; at < unsaid_.size() * 64; ++at)
    set(unsaid_, at);
  unsaid_.resize(words, every_bit);
  for (auto& of : without_)
    of.resize(words, every_bit);
  for (auto& l : lists_)
    l.close(values_, words);
}

void clause_lists::lists::close(std::size_t values, std::size_t words) {
  std::vector<std::uint32_t> counts(values);
  for (auto [value, _] : added)
    ++counts[value];
  begins.resize(values + 1);
  bitmaps_of.resize(values);
  std::uint32_t total = 0;
  for (std::size_t v = 0; v < values; ++v) {
    begins[v] = total;
    if (counts[v] > words) { // half the places that would need as much memory, and twice as fast
      bitmaps.resize(bitmaps.size() + words);
      bitmaps_of[v] = static_cast<std::uint32_t>(bitmaps.size() / words);
    } else {
      total += counts[v];
    }
  }
  begins[values] = total;
  places.resize(total);
  auto next = begins;
  for (auto [value, place] : added)
    if (auto of = bitmaps_of[value]; of != 0)
      bitmaps[(of - 1) * words + place / 64] |= std::uint64_t{1} << (place % 64);
    else
      places[next[value]++] = place;
  added = {};
}

void clause_lists::lists::put(std::uint32_t value, std::size_t words,
                              std::vector<std::uint64_t>& into) const {
  if (auto of = bitmaps_of[value]; of != 0) {
    const auto* __restrict from = bitmaps.data() + (of - 1) * words;
    auto* __restrict to = into.data();
    for (std::size_t i = 0; i < words; i += block_words) // as many at a time as the compiler likes
      for (std::size_t j = 0; j < block_words; ++j)
        to[i + j] |= from[i + j];
    return;
  }
  for (auto i = begins[value]; i < begins[value + 1]; ++i)
    set(into, places[i]);
}

void clause_lists::leave_open(std::span<const std::uint32_t> values,
                              std::vector<std::uint64_t>& into, std::vector<std::uint64_t>& tested,
                              std::vector<std::uint64_t>& satisfied) const {
  auto words = unsaid_.size();
  tested = unsaid_;
  for (auto v : values)
    lists_[triggers].put(v, words, tested);
  into.assign(words, 0);
  for (auto v : values)
    lists_[vetoes].put(v, words, into);
  for (auto& word : into)
    word = ~word;
  for (std::size_t clause = 0; clause < clauses_max; ++clause) {
    satisfied = without_[clause];
    for (auto v : values)
      lists_[clause].put(v, words, satisfied);
    for (std::size_t i = 0; i < words; ++i)
      into[i] &= satisfied[i];
  }
}

std::size_t clause_lists::lists::bytes() const noexcept {
  return (begins.size() + places.size() + bitmaps_of.size()) * sizeof(std::uint32_t) +
         bitmaps.size() * sizeof(std::uint64_t);
}

std::size_t clause_lists::bytes() const noexcept {
  auto n = unsaid_.size() * sizeof(std::uint64_t);
  for (const auto& words : without_)
    n += words.size() * sizeof(std::uint64_t);
  for (const auto& l : lists_)
    n += l.bytes();
  return n;
}

} // namespace candor::ad_matching::index
