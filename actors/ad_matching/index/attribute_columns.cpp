#include "actors/ad_matching/index/attribute_columns.hpp"

#include <algorithm>
#include <bit>

namespace candor::ad_matching::index {

namespace {

constexpr std::uint64_t near_span_max = 1 << 16;

} // namespace

column_set column_set::first(std::size_t n) {
  column_set made;
  for (std::size_t i = 0; i < made.words.size(); ++i)
    if (n >= (i + 1) * 64)
      made.words[i] = ~std::uint64_t{0};
    else if (n > i * 64)
      made.words[i] = (std::uint64_t{1} << (n - i * 64)) - 1;
  return made;
}

bool column_set::any() const noexcept {
  return std::ranges::any_of(words, [](auto w) { return w != 0; });
}

std::size_t column_set::count() const noexcept {
  std::size_t n = 0;
  for (auto w : words)
    n += static_cast<std::size_t>(std::popcount(w));
  return n;
}

column_set& column_set::operator&=(const column_set& x) noexcept {
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] &= x.words[i];
  return *this;
}

column_set& column_set::operator|=(const column_set& x) noexcept {
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] |= x.words[i];
  return *this;
}

attribute_columns::attribute_columns(value_kind k, const named_constants& named)
  : kind_{k} {
  if (k == value_kind::list)
    make_list(named);
  else
    make_intervals(named);
}

void attribute_columns::make_intervals(const named_constants& named) {
  // A value is an interval of its own: cuts before and after it.
  std::unordered_map<std::int64_t, std::uint64_t> weights = {named.cuts.begin(), named.cuts.end()};
  for (auto [value, n] : named.values) {
    weights[value] += n;
    weights[value + 1] += n;
  }
  std::vector<std::pair<std::int64_t, std::uint64_t>> sorted{weights.begin(), weights.end()};
  std::ranges::sort(sorted);
  std::uint64_t total = 0;
  for (auto [_, n] : sorted)
    total += n;
  if (sorted.size() < intervals_max) {
    for (auto [cut, _] : sorted)
      cuts_.push_back(cut);
  } else {
    // Too many: what is named often keeps its cuts, the rest is merged into equal parts.
    auto share = total / (intervals_max / 2 - 1) + 1;
    std::uint64_t gathered = 0;
    for (auto [cut, n] : sorted) {
      gathered += n;
      if (n >= share || gathered >= share) {
        cuts_.push_back(cut);
        gathered = 0;
      }
    }
  }
  size_ = cuts_.size() + 2;
  if (!cuts_.empty() && span_of(cuts_.front(), cuts_.back()) <= near_span_max) {
    near_from_ = cuts_.front();
    near_.resize(static_cast<std::size_t>(cuts_.back() - cuts_.front()));
    for (std::size_t i = 0; i + 1 < cuts_.size(); ++i)
      std::fill(near_.begin() + (cuts_[i] - near_from_),
                near_.begin() + (cuts_[i + 1] - near_from_), static_cast<std::uint32_t>(i + 1));
  }
}

void attribute_columns::make_list(const named_constants& named) {
  std::vector<std::pair<std::int64_t, std::uint32_t>> sorted{named.values.begin(),
                                                             named.values.end()};
  std::ranges::sort(sorted, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  dense_count_ = sorted.size();
  own_ = std::min(sorted.size(), own_values_max);
  size_ = 1 + own_ + shared_columns;
  if (sorted.empty())
    return;
  auto [low, high] =
      std::ranges::minmax(sorted, {}, &std::pair<std::int64_t, std::uint32_t>::first);
  auto near = span_of(low.first, high.first) < near_span_max;
  if (near) {
    near_from_ = low.first;
    near_.resize(static_cast<std::size_t>(high.first - low.first + 2)); // and the last place
  }
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    auto place = static_cast<std::uint32_t>(i + 1);
    if (near)
      near_[static_cast<std::size_t>(sorted[i].first - near_from_)] = place;
    else
      far_.emplace(sorted[i].first, place);
  }
}

std::size_t attribute_columns::column_of(std::int64_t number) const noexcept {
  if (cuts_.empty() || number < cuts_.front())
    return 0;
  if (number >= cuts_.back())
    return cuts_.size();
  if (!near_.empty())
    return near_[static_cast<std::size_t>(number - near_from_)];
  return static_cast<std::size_t>(std::ranges::upper_bound(cuts_, number) - cuts_.begin());
}

bool attribute_columns::has_own_column(std::int64_t value) const noexcept {
  return list_place_of(value).column <= own_;
}

bool attribute_columns::is_point(std::size_t column) const noexcept {
  return column > 0 && column < cuts_.size() && cuts_[column] - cuts_[column - 1] == 1;
}

column_set attribute_columns::unconstrained() const {
  return column_set::first(kind_ == value_kind::list ? 1 : size_);
}

std::pair<column_set, column_set> attribute_columns::of_leaf(const wish& w,
                                                             const node& leaf) const {
  column_set yes, no = column_set::first(size_);
  auto swapped = false;
  switch (leaf.what) {
    case operation::not_in:
      swapped = true;
      [[fallthrough]];
    case operation::in:
      for (auto v : w.values_of(leaf)) {
        auto c = column_of(v);
        yes.set(c);
        if (is_point(c))
          no.reset(c);
      }
      break;
    case operation::at_least:
    case operation::at_most: {
      // In terms of the cut before it: all intervals from there on are at least the value.
      auto least = leaf.what == operation::at_least;
      auto cut = w.values[leaf.first] + (least ? 0 : 1);
      auto c = column_of(cut);
      auto begins = c > 0 && cuts_[c - 1] == cut;
      auto below = column_set::first(c);
      auto reached = column_set::first(size_ - 1);
      auto above = reached;
      for (std::size_t i = 0; i < above.words.size(); ++i)
        above.words[i] &= ~below.words[i];
      yes = least ? above : below;
      no = least ? below : above;
      if (!begins) {
        yes.set(c);
        no.set(c);
      }
      no.set(absent());
      break;
    }
    default:
      break;
  }
  return swapped ? std::pair{no, yes} : std::pair{yes, no};
}

} // namespace candor::ad_matching::index
