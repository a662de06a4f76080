/// For who counts all matches: which campaigns a value of a list satisfies, and which it excludes,
/// where the columns of the attributes (attribute_columns.hpp) do not say it exactly. What it says
/// too need not be tested campaign by campaign. Where in the flow: only an index that is made for
/// `asked_for::all` has them, so `candor-bench match --all` and tests; the product asks for the
/// best and pays nothing for this.
///
/// A clause is a part of a wish of which one value suffices (`topics one of (a) or ctx one of
/// (b)`), or one value of `all of`; of each campaign two are kept. A veto is a part of which one
/// value is too much (`none of`). What certainly holds while a request has no value of it (`device
/// = 1 or not (segments one of (a) and lang = 2)`) is tested only where a request has one, which
/// triggers it. For each value that campaigns name there is the list of those whose clause, veto or
/// trigger names it: their places, or where there are many a bitmap (as in Roaring, Chambi, Lemire
/// and others 2016).
///
/// Guarantees: exact for the places that it was made of, and says nothing of later ones; immutable,
/// so readers need no lock. Must never be asked of a value that was not named when it was made: no
/// campaign of its places names that.
#pragma once

#include <array>

#include "actors/ad_matching/index/residual.hpp"

namespace candor::ad_matching::index {

class clause_lists {
public:
  /// `bits_begin` as in make_residual; both must outlive it.
  clause_lists(const std::vector<attribute_columns>& columns,
               const std::vector<std::uint32_t>& bits_begin, std::size_t list_words);

  /// The wish at the next place.
  void add(const wish& w);
  /// All were added; places up to that many are asked of: whole blocks.
  void close(std::size_t capacity);

  /// The places that a request with these values (by their numbers in prepared_request::list_bits)
  /// leaves open, a bit each, in `into`; of them those of whose wishes neither the columns nor this
  /// say all, in `tested`; the other is for its use.
  void leave_open(std::span<const std::uint32_t> values, std::vector<std::uint64_t>& into,
                  std::vector<std::uint64_t>& tested, std::vector<std::uint64_t>& satisfied) const;

  std::size_t bytes() const noexcept;

private:
  static constexpr std::size_t clauses_max = 2; ///< of one campaign
  static constexpr std::size_t vetoes = clauses_max;
  static constexpr std::size_t triggers = clauses_max + 1;

  /// Of one kind, by value.
  struct lists {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> added; ///< value, place
    std::vector<std::uint32_t> begins;                          ///< in places
    std::vector<std::uint32_t> places;
    std::vector<std::uint32_t> bitmaps_of; ///< 1 + which of the bitmaps; 0: none
    std::vector<std::uint64_t> bitmaps;

    void close(std::size_t values, std::size_t words);
    void put(std::uint32_t value, std::size_t words, std::vector<std::uint64_t>& into) const;
    std::size_t bytes() const noexcept;
  };

  void put(std::uint16_t attribute, std::int64_t value, lists& into);
  void put(const wish& w, std::uint32_t part, lists& into);

  const std::vector<attribute_columns>& columns_;
  const std::vector<std::uint32_t>& bits_begin_;
  std::size_t values_ = 0, size_ = 0;
  std::array<lists, clauses_max + 2> lists_;
  std::array<std::vector<std::uint64_t>, clauses_max> without_; ///< by place: no such clause
  std::vector<std::uint64_t> unsaid_; ///< by place: tested whatever a request has
};

} // namespace candor::ad_matching::index
