/// What the columns of an index leave open of a campaign's wish, as a small program that is run for
/// the few campaigns that the columns let through.
///
/// A program is its length and a row of tests in words of 32 bits, each with where to go on if it
/// holds and if not (short-circuit code, as in Aho, Sethi, Ullman, Compilers, 8.4); the most
/// selective stand first. Guarantees: exact; reads nothing but the program and the prepared
/// request.
#pragma once

#include "actors/ad_matching/index/attribute_columns.hpp"

namespace candor::ad_matching::index {

/// A request in terms of an index: made once, read for each campaign that is looked at.
struct prepared_request {
  const request* asked = nullptr;
  std::vector<std::uint32_t> columns;   ///< by attribute, of numbers
  std::vector<std::uint64_t> list_bits; ///< by dense value, each attribute from its own word on
};

/// Columns by attribute, ascending.
using projection = std::vector<std::pair<std::uint16_t, column_set>>;

/// In which columns of each attribute that it names the wish may hold; other attributes do not
/// constrain it. A three-valued projection: sound for any nesting of not and or.
projection project(const wish& w, const std::vector<attribute_columns>& columns);

/// The parts of a wish, of which each must hold, that `project` does not say exactly, without those
/// in `said`, which are seen to elsewhere.
std::vector<std::uint32_t> open_parts(const wish& w, const std::vector<attribute_columns>& columns,
                                      std::span<const std::uint32_t> said);

/// The program of what `project` does not say exactly. Empty: it says all. Nothing: it would be too
/// large. `bits_begin`: by attribute, its first word in prepared_request::list_bits.
std::optional<std::vector<std::uint32_t>>
make_residual(const wish& w, const std::vector<attribute_columns>& columns,
              std::span<const std::uint32_t> bits_begin);

bool holds(const std::uint32_t* program, const prepared_request& asked) noexcept;

/// How long a program is.
std::size_t program_words(const std::uint32_t* program) noexcept;

/// Most words that a program has.
inline constexpr std::size_t program_words_max = 60'000;

} // namespace candor::ad_matching::index
