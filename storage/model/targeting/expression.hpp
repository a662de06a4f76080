/// A targeting expression: which requests a campaign wants. Parsed once, when a campaign is made or
/// read, and evaluated for every request.
///
/// The language (fully parenthesised where `and` and `or` meet):
///
///     country in (US, CA)   lang not in (fr)   device = phone   placement <> banner
///     hour_of_week >= 8     hour_of_week <= 20   consent   not coppa
///     topics one of (outdoors, fitness)   ctx none of (news)   segments all of (a, b)
///     (country = US and (topics one of (outdoors) or ctx one of (outdoors)))
///
/// Guarantees: depth and size are bounded; `parse(to_text(x))` is x; an attribute that a request
/// does not have makes a comparison false, and `not in`, `<>` and `none of` true. Must never name a
/// sensitive category: schema.hpp refuses it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/targeting/schema.hpp"

namespace candor::model::targeting {

inline constexpr std::size_t depth_max = 16;
inline constexpr std::size_t nodes_max = 256;
inline constexpr std::size_t values_max = 256;
inline constexpr std::size_t text_bytes_max = 8 * 1024;

/// What a request has. Words and lists hold canonical values (schema.hpp).
class attributes {
public:
  void set_word(attribute a, std::string word) { words_[index(a)] = {std::move(word)}; }
  void set_list(attribute a, std::vector<std::string> items) {
    words_[index(a)] = std::move(items);
  }
  void set_number(attribute a, std::int64_t n) { numbers_[index(a)] = n; }
  void set_flag(attribute a, bool on) { numbers_[index(a)] = on; }

  /// A word is a list of one; empty where the request does not have it.
  const std::vector<std::string>& words(attribute a) const { return words_[index(a)]; }
  const std::optional<std::int64_t>& number(attribute a) const { return numbers_[index(a)]; }

private:
  static std::size_t index(attribute a) { return static_cast<std::size_t>(a); }
  std::array<std::vector<std::string>, attribute_count> words_;
  std::array<std::optional<std::int64_t>, attribute_count> numbers_;
};

enum class operation : std::uint8_t {
  all, ///< (x and y …)
  any, ///< (x or y …)
  negation,
  in, ///< of a word; `=` has one value
  not_in,
  at_least,
  at_most,
  one_of, ///< of a list
  none_of,
  all_of,
  flag,
};

struct node {
  operation what = operation::all;
  targeting::attribute attribute = attribute::country;
  std::vector<std::string> values; ///< ascending, without repeats
  std::int64_t number = 0;
  std::vector<std::uint32_t> children; ///< places in `nodes`, all above its own
  friend bool operator==(const node&, const node&) = default;
};

class expression {
public:
  /// Holds for every request.
  expression() = default;

  /// An empty text holds for everyone. Error: `targeting_invalid` with line and column,
  /// `sensitive_targeting`.
  static result<expression> parse(std::string_view text);

  bool for_everyone() const noexcept { return nodes_.empty(); }
  const std::vector<node>& nodes() const noexcept { return nodes_; } ///< the root is first

  bool holds(const attributes& of) const { return for_everyone() || holds(0, of); }

  /// The clauses without which it might not hold: every clause of an `and`, the first that holds of
  /// an `or`. Empty where it does not hold.
  std::vector<std::string> reasons(const attributes& of) const;

  /// The first clause, from the left, that keeps it from holding; empty where it holds.
  std::string first_failing(const attributes& of) const;

  /// Topics that its clauses on `topics` and `ctx` ask for, ascending: an assertion at the match
  /// that none of them is what it must not be.
  std::vector<std::string> topics_named() const;

  std::string to_text() const { return for_everyone() ? std::string{} : to_text(0); }

  friend bool operator==(const expression&, const expression&) = default;

private:
  friend class parser;

  bool holds(std::uint32_t at, const attributes& of) const;
  void reasons(std::uint32_t at, const attributes& of, std::vector<std::string>& into) const;
  std::string to_text(std::uint32_t at) const;

  std::vector<node> nodes_;
};

} // namespace candor::model::targeting
