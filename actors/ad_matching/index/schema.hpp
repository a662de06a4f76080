/// What an ad index is asked about: typed attributes, a campaign's wishes over them, and a request.
/// All values are integers here; who uses the index maps its words to them. Where in the flow: the
/// product's expressions and the bench's folders are both turned into these.
///
/// Guarantees: plain data. What an attribute's absence means is as in
/// storage/model/targeting/expression.hpp: a comparison is false, `not_in` and `none_of` are true.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "storage/model/relevance_range.hpp"

namespace candor::ad_matching::index {

enum class value_kind : std::uint8_t {
  number, ///< one integer (an enumeration too), or absent
  flag,   ///< 0 or 1, or absent
  list,   ///< integers
};

struct attribute {
  std::string name;
  value_kind kind = value_kind::number;
};

/// At most `attributes_max`.
using schema = std::vector<attribute>;
inline constexpr std::size_t attributes_max = 250;

enum class operation : std::uint8_t {
  all, ///< of the children; of none of them: holds
  any, ///< of the children; of none of them: does not
  negation,
  in, ///< of a number or a flag
  not_in,
  at_least,
  at_most,
  one_of, ///< of a list
  none_of,
  all_of,
};

/// A node of a wish. Children follow their parent, each with all that is below it.
struct node {
  operation what = operation::all;
  std::uint16_t attribute = 0;
  std::uint32_t first = 0; ///< of its values
  std::uint32_t count = 0; ///< of its values
  std::uint32_t end = 0;   ///< one past the last node below it
  bool is_leaf() const noexcept { return what > operation::negation; }
};

/// Which requests a campaign wants: a tree, its root first; without nodes it is for everyone.
struct wish {
  std::vector<node> nodes;
  std::vector<std::int64_t> values;

  std::span<const std::int64_t> values_of(const node& n) const {
    return {values.data() + n.first, n.count};
  }
};

/// Values lie within these bounds, so that one more or less is a value too.
inline constexpr std::int64_t value_least = -(std::int64_t{1} << 62);
inline constexpr std::int64_t value_most = std::int64_t{1} << 62;

struct weighted_topic {
  std::uint32_t topic = 0;
  std::uint8_t weight = 0;
};

/// At most so many micros, so that a rank fits into 64 bits.
inline constexpr std::int64_t bid_most = 50'000'000'000'000;

struct campaign {
  std::uint64_t id = 0;
  std::int64_t bid_micros = 0; ///< 0 to bid_most
  std::uint8_t quality = 1;    ///< 1 to 255
  bool paused = false;
  std::vector<weighted_topic> relevance;
  index::wish wish;
};

struct request {
  std::vector<std::optional<std::int64_t>> numbers; ///< by attribute; of a list: not read
  std::vector<std::vector<std::int64_t>> lists;     ///< by attribute; of another: not read
  std::vector<weighted_topic> interests;            ///< each topic once
  std::vector<std::uint64_t> left_out;              ///< campaigns at their cap, ascending
  std::size_t readable = ~std::size_t{0}; ///< places that are looked at: ad_index::readable()
};

using model::relevance_least;
using model::relevance_of;

/// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
inline std::uint64_t mix64(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

} // namespace candor::ad_matching::index
