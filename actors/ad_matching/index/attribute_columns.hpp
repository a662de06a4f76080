/// How the values of one attribute are spread over the columns of an index. A column stands for a
/// set of values; its bitmap says which campaigns such a value does not certainly exclude.
///
/// A number: a column for each interval between the constants that campaigns name (all values in it
/// behave alike), merged where there are too many; the last column is absence.
/// A list: column 0 is a list with nothing in it that the campaign names; then one for each
/// frequent value, and some that the other values share by their hash.
///
/// Guarantees: every possible value has a column, also one that no campaign named when this was
/// made; immutable, so readers need no lock.
#pragma once

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "actors/ad_matching/index/schema.hpp"

namespace candor::ad_matching::index {

inline constexpr std::size_t columns_max = 320; ///< of one attribute
inline constexpr std::size_t intervals_max = 256;
inline constexpr std::size_t own_values_max = 96; ///< list values with a column of their own
inline constexpr std::size_t shared_columns = 16; ///< of the other list values

/// A set of one attribute's columns.
struct column_set {
  std::array<std::uint64_t, columns_max / 64> words{};

  static column_set first(std::size_t n);
  bool test(std::size_t i) const noexcept { return (words[i / 64] >> (i % 64)) & 1; }
  void set(std::size_t i) noexcept { words[i / 64] |= std::uint64_t{1} << (i % 64); }
  void reset(std::size_t i) noexcept { words[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  bool any() const noexcept;
  std::size_t count() const noexcept;
  column_set& operator&=(const column_set& x) noexcept;
  column_set& operator|=(const column_set& x) noexcept;
  friend bool operator==(const column_set&, const column_set&) = default;
};

class attribute_columns {
public:
  /// How often each constant is named: `value` itself, or (of `at_least` v) the cut before v, or
  /// (of `at_most` v) the cut before v + 1.
  struct named_constants {
    std::unordered_map<std::int64_t, std::uint32_t> values, cuts;
  };

  attribute_columns(value_kind k, const named_constants& named);

  value_kind kind() const noexcept { return kind_; }
  std::size_t size() const noexcept { return size_; }
  std::size_t absent() const noexcept { return size_ - 1; } ///< of a number
  std::size_t column_of(std::int64_t number) const noexcept;

  /// Of a list's value: 1 + a small number, if it was named when this was made; else 0.
  std::uint32_t known_as(std::int64_t value) const noexcept {
    if (!near_.empty()) // (its last place is of all values that are not near, below it too)
      return near_[std::min<std::size_t>(span_of(near_from_, value), near_.size() - 1)];
    auto it = far_.find(value);
    return it == far_.end() ? 0 : it->second;
  }
  /// Of a list's value that is known as that. (No branch: nobody foresees which it would be.)
  std::uint32_t column_of_known(std::int64_t value, std::uint32_t known) const noexcept {
    auto shared = first_shared() + mix64(static_cast<std::uint64_t>(value)) % shared_columns;
    return known - std::size_t{1} < own_ ? known : static_cast<std::uint32_t>(shared);
  }
  /// Both.
  struct list_place {
    std::uint32_t column = 0;
    std::optional<std::uint32_t> dense;
  };
  list_place list_place_of(std::int64_t value) const noexcept {
    auto known = known_as(value);
    return {column_of_known(value, known), known == 0 ? std::nullopt : std::optional{known - 1}};
  }
  /// Of the columns that several values share.
  std::size_t first_shared() const noexcept { return 1 + own_; }
  std::size_t dense_count() const noexcept { return dense_count_; }
  bool has_own_column(std::int64_t value) const noexcept;

  /// The columns in which the leaf may hold, and in which it may not. A column in both is one whose
  /// values behave differently.
  std::pair<column_set, column_set> of_leaf(const wish& w, const node& leaf) const;

  /// What a campaign that says nothing of this attribute has.
  column_set unconstrained() const;

private:
  /// How far `high` is above `low`.
  static std::uint64_t span_of(std::int64_t low, std::int64_t high) noexcept {
    return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  }
  void make_intervals(const named_constants& named);
  void make_list(const named_constants& named);
  bool is_point(std::size_t column) const noexcept;

  value_kind kind_;
  std::size_t size_ = 0;
  std::vector<std::int64_t> cuts_;  ///< interval i is cuts_[i-1] to cuts_[i] - 1
  std::vector<std::uint32_t> near_; ///< of a small range: column (number) or known_as (list)
  std::int64_t near_from_ = 0;
  std::unordered_map<std::int64_t, std::uint32_t> far_; ///< known_as, where the range is large
  std::size_t dense_count_ = 0, own_ = 0;
};

} // namespace candor::ad_matching::index
