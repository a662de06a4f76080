#include "actors/ad_matching/index/residual.hpp"

#include <algorithm>
#include <cstring>

namespace candor::ad_matching::index {

namespace {

/// Where it may hold, and where it may not.
struct three_valued {
  column_set yes, no;
};

/// Numbers: for all columns at once.
three_valued of_numbers(const wish& w, std::uint32_t at, std::uint16_t a,
                        const attribute_columns& columns, const column_set& everywhere) {
  const auto& n = w.nodes[at];
  if (n.is_leaf()) {
    if (n.attribute != a)
      return {everywhere, everywhere};
    auto [yes, no] = columns.of_leaf(w, n);
    return {yes, no};
  }
  if (n.what == operation::negation) {
    auto x = of_numbers(w, at + 1, a, columns, everywhere);
    return {x.no, x.yes};
  }
  auto all = n.what == operation::all;
  three_valued made;
  (all ? made.yes : made.no) = everywhere;
  for (auto c = at + 1; c < n.end; c = w.nodes[c].end) {
    auto x = of_numbers(w, c, a, columns, everywhere);
    if (all) {
      made.yes &= x.yes;
      made.no |= x.no;
    } else {
      made.yes |= x.yes;
      made.no &= x.no;
    }
  }
  return made;
}

struct maybe {
  bool yes, no;
};

/// Lists: when one value is in it and the others are not known, or (without a value) when nothing
/// that the campaign names is in it.
maybe of_list(const wish& w, std::uint32_t at, std::uint16_t a, std::optional<std::int64_t> value) {
  const auto& n = w.nodes[at];
  if (n.is_leaf()) {
    if (n.attribute != a)
      return {true, true};
    auto named = w.values_of(n);
    auto has = value && std::ranges::find(named, *value) != named.end();
    maybe in{has || (value && !named.empty()), !has}; // of one_of
    if (n.what == operation::all_of)
      in = {named.empty() || value, !(named.empty() || (has && named.size() == 1))};
    return n.what == operation::none_of ? maybe{in.no, in.yes} : in;
  }
  if (n.what == operation::negation) {
    auto x = of_list(w, at + 1, a, value);
    return {x.no, x.yes};
  }
  auto all = n.what == operation::all;
  maybe made{all, !all};
  for (auto c = at + 1; c < n.end; c = w.nodes[c].end) {
    auto x = of_list(w, c, a, value);
    made =
        all ? maybe{made.yes && x.yes, made.no || x.no} : maybe{made.yes || x.yes, made.no && x.no};
  }
  return made;
}

/// The attributes below a node, ascending.
std::vector<std::uint16_t> named_below(const wish& w, std::uint32_t at) {
  std::vector<std::uint16_t> named;
  for (auto i = at; i < w.nodes[at].end; ++i)
    if (w.nodes[i].is_leaf())
      named.push_back(w.nodes[i].attribute);
  std::ranges::sort(named);
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return named;
}

enum class test : std::uint8_t {
  columns,
  in,
  at_least,
  at_most,
  one_dense,
  all_dense,
  one,
  all,
  no
};

constexpr std::uint32_t accept = 0xffff, reject = 0xfffe;

/// Of list values with a number, so many are tested at a time: few lists that campaigns name are
/// longer, and a loop that always ends after the first round is foreseen by the processor.
constexpr std::size_t dense_at_once = 4;

struct instruction {
  index::test test;
  std::uint16_t attribute;
  std::uint32_t on_true, on_false; ///< places in the row of instructions, which is made backwards
  std::vector<std::uint32_t> operands;
};

class compiler {
public:
  compiler(const wish& w, const std::vector<attribute_columns>& columns,
           std::span<const std::uint32_t> bits_begin)
    : w_{w}
    , columns_{columns}
    , bits_begin_{bits_begin} {}

  std::optional<std::vector<std::uint32_t>> compile(std::vector<std::uint32_t> parts) {
    auto entry = joint(std::move(parts), true, accept, reject);
    if (entry == accept)
      return std::vector<std::uint32_t>{};
    // Joints without members leave tests behind that nobody comes to: one begins at the right one.
    if (entry + 1 != made_.size())
      emit({test::no, 0, entry, entry, {}});
    std::size_t words = 1; // the length
    std::vector<std::size_t> places(made_.size());
    for (auto i = made_.size(); i-- > 0;) {
      places[i] = words;
      words += 2 + made_[i].operands.size();
    }
    if (words > program_words_max)
      return std::nullopt;
    auto target = [&](std::uint32_t t) {
      return t == accept || t == reject ? t : static_cast<std::uint32_t>(places[t]);
    };
    std::vector<std::uint32_t> program{static_cast<std::uint32_t>(words)};
    for (auto i = made_.size(); i-- > 0;) {
      const auto& x = made_[i];
      program.push_back(static_cast<std::uint32_t>(x.test) | std::uint32_t{x.attribute} << 8 |
                        static_cast<std::uint32_t>(x.operands.size()) << 16);
      program.push_back(target(x.on_true) | target(x.on_false) << 16);
      program.insert(program.end(), x.operands.begin(), x.operands.end());
    }
    return program;
  }

private:
  std::uint32_t emit(instruction x) {
    made_.push_back(std::move(x));
    return static_cast<std::uint32_t>(made_.size() - 1);
  }

  /// Where to begin, so that one goes on at `on_true` if the node holds and at `on_false` if not.
  std::uint32_t node_at(std::uint32_t at, std::uint32_t on_true, std::uint32_t on_false) {
    const auto& n = w_.nodes[at];
    if (n.is_leaf())
      return leaf(n, on_true, on_false);
    if (n.what == operation::negation)
      return node_at(at + 1, on_false, on_true);
    std::vector<std::uint32_t> children;
    for (auto c = at + 1; c < n.end; c = w_.nodes[c].end)
      children.push_back(c);
    return joint(std::move(children), n.what == operation::all, on_true, on_false);
  }

  std::uint32_t joint(std::vector<std::uint32_t> members, bool all, std::uint32_t on_true,
                      std::uint32_t on_false) {
    // What decides soonest comes first, so is emitted last.
    std::ranges::stable_sort(members, [&](auto x, auto y) {
      return all ? chance(x) > chance(y) : chance(x) < chance(y);
    });
    auto entry = all ? on_true : on_false;
    for (auto m : members)
      entry = all ? node_at(m, entry, on_false) : node_at(m, on_true, entry);
    return entry;
  }

  /// A guess at how often it holds; only speed depends on it.
  double chance(std::uint32_t at) const {
    const auto& n = w_.nodes[at];
    auto few = [&](double each) { return std::min(0.95, each * n.count); };
    switch (n.what) {
      case operation::negation:
        return 1 - chance(at + 1);
      case operation::in:
      case operation::one_of:
        return few(0.06);
      case operation::not_in:
      case operation::none_of:
        return 1 - few(0.06);
      case operation::all_of:
        return 0.05 / (n.count + 1.0);
      case operation::at_least:
      case operation::at_most:
        return 0.6;
      default:
        break;
    }
    auto all = n.what == operation::all;
    auto product = 1.0;
    for (auto c = at + 1; c < n.end; c = w_.nodes[c].end)
      product *= all ? chance(c) : 1 - chance(c);
    return all ? product : 1 - product;
  }

  void add_values(instruction& x, const node& n) const {
    for (auto v : w_.values_of(n)) {
      x.operands.push_back(static_cast<std::uint32_t>(v));
      x.operands.push_back(static_cast<std::uint32_t>(static_cast<std::uint64_t>(v) >> 32));
    }
  }

  std::uint32_t leaf(const node& n, std::uint32_t on_true, std::uint32_t on_false) {
    const auto& columns = columns_[n.attribute];
    if (n.what == operation::none_of || n.what == operation::not_in)
      std::swap(on_true, on_false);
    instruction x{test::columns, n.attribute, on_true, on_false, {}};
    if (columns.kind() == value_kind::list) {
      auto every = n.what == operation::all_of;
      auto dense = true;
      for (auto v : w_.values_of(n))
        dense &= columns.list_place_of(v).dense.has_value();
      if (dense) {
        x.test = every ? test::all_dense : test::one_dense;
        for (auto v : w_.values_of(n))
          x.operands.push_back(bits_begin_[n.attribute] * 64 + *columns.list_place_of(v).dense);
        while (x.operands.size() % dense_at_once != 0)
          x.operands.push_back(x.operands.back()); // (of no values: nothing)
      } else {
        x.test = every ? test::all : test::one;
        add_values(x, n);
      }
      return emit(std::move(x));
    }
    auto [yes, no] = columns.of_leaf(w_, n);
    if (n.what == operation::not_in)
      std::swap(yes, no);
    auto both = yes;
    both &= no;
    if (!both.any()) {
      for (std::size_t i = 0; i * 32 < columns.size(); ++i)
        x.operands.push_back(static_cast<std::uint32_t>(yes.words[i / 2] >> (i % 2 * 32)));
      return emit(std::move(x));
    }
    x.test = n.what == operation::at_least  ? test::at_least
             : n.what == operation::at_most ? test::at_most
                                            : test::in;
    add_values(x, n);
    return emit(std::move(x));
  }

  const wish& w_;
  const std::vector<attribute_columns>& columns_;
  std::span<const std::uint32_t> bits_begin_;
  std::vector<instruction> made_;
};

std::int64_t value_at(const std::uint32_t* operands) noexcept {
  std::uint64_t v = 0;
  std::memcpy(&v, operands, sizeof v);
  return static_cast<std::int64_t>(v);
}

} // namespace

projection project(const wish& w, const std::vector<attribute_columns>& columns) {
  projection made;
  if (w.nodes.empty())
    return made;
  for (auto a : named_below(w, 0)) {
    const auto& of = columns[a];
    if (of.kind() != value_kind::list) {
      made.emplace_back(a, of_numbers(w, 0, a, of, column_set::first(of.size())).yes);
      continue;
    }
    column_set may;
    if (of_list(w, 0, a, std::nullopt).yes)
      may.set(0);
    std::vector<std::int64_t> values;
    for (const auto& n : w.nodes)
      if (n.is_leaf() && n.attribute == a)
        values.insert(values.end(), w.values_of(n).begin(), w.values_of(n).end());
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    for (auto v : values)
      if (of_list(w, 0, a, v).yes)
        may.set(of.list_place_of(v).column);
    made.emplace_back(a, may);
  }
  return made;
}

/// The parts of which each must hold.
static std::vector<std::uint32_t> parts_of(const wish& w) {
  std::vector<std::uint32_t> parts;
  std::vector<std::uint32_t> open;
  if (!w.nodes.empty())
    open.push_back(0);
  while (!open.empty()) {
    auto at = open.back();
    open.pop_back();
    if (w.nodes[at].what != operation::all) {
      parts.push_back(at);
      continue;
    }
    for (auto c = at + 1; c < w.nodes[at].end; c = w.nodes[c].end)
      open.push_back(c);
  }
  return parts;
}

std::vector<std::uint32_t> open_parts(const wish& w, const std::vector<attribute_columns>& columns,
                                      std::span<const std::uint32_t> said) {
  auto parts = parts_of(w);
  std::erase_if(parts, [&](auto p) { return std::ranges::find(said, p) != said.end(); });
  std::vector<std::vector<std::uint16_t>> named;
  for (auto p : parts)
    named.push_back(named_below(w, p));
  auto said_by_columns = [&](std::size_t i) {
    if (named[i].size() != 1)
      return false;
    auto a = named[i].front();
    const auto& of = columns[a];
    if (of.kind() != value_kind::list) {
      auto x = of_numbers(w, parts[i], a, of, column_set::first(of.size()));
      x.yes &= x.no;
      return !x.yes.any();
    }
    const auto& n = w.nodes[parts[i]];
    auto alone = std::ranges::count_if(named, [&](const auto& other) {
                   return std::ranges::find(other, a) != other.end();
                 }) == 1;
    auto single = n.what == operation::one_of || (n.what == operation::all_of && n.count == 1);
    return alone && single &&
           std::ranges::all_of(w.values_of(n), [&](auto v) { return of.has_own_column(v); });
  };
  std::vector<std::uint32_t> open;
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (!said_by_columns(i))
      open.push_back(parts[i]);
  return open;
}

std::optional<std::vector<std::uint32_t>>
make_residual(const wish& w, const std::vector<attribute_columns>& columns,
              std::span<const std::uint32_t> bits_begin) {
  auto open = open_parts(w, columns, {});
  if (open.empty())
    return std::vector<std::uint32_t>{};
  return compiler{w, columns, bits_begin}.compile(std::move(open));
}

std::size_t program_words(const std::uint32_t* program) noexcept {
  return *program;
}

bool holds(const std::uint32_t* program, const prepared_request& asked) noexcept {
  std::uint32_t at = 1;
  for (;;) {
    auto head = program[at], targets = program[at + 1];
    auto count = head >> 16;
    std::size_t a = (head >> 8) & 0xff;
    const auto* operands = program + at + 2;
    auto has_dense = [&](std::uint32_t d) { return (asked.list_bits[d / 64] >> (d % 64)) & 1; };
    auto has = [&](std::uint32_t i) {
      const auto& list = asked.asked->lists[a];
      return std::ranges::find(list, value_at(operands + 2 * i)) != list.end();
    };
    auto yes = false;
    switch (static_cast<test>(head & 0xff)) {
      case test::columns: {
        auto c = asked.columns[a];
        yes = (operands[c / 32] >> (c % 32)) & 1;
        break;
      }
      case test::one_dense:
        for (std::uint32_t i = 0; i < count && !yes; i += dense_at_once)
          yes = (has_dense(operands[i]) | has_dense(operands[i + 1]) | has_dense(operands[i + 2]) |
                 has_dense(operands[i + 3])) != 0;
        break;
      case test::all_dense:
        yes = true;
        for (std::uint32_t i = 0; i < count && yes; i += dense_at_once)
          yes = (has_dense(operands[i]) & has_dense(operands[i + 1]) & has_dense(operands[i + 2]) &
                 has_dense(operands[i + 3])) != 0;
        break;
      case test::one:
        for (std::uint32_t i = 0; 2 * i < count && !yes; ++i)
          yes = has(i);
        break;
      case test::all:
        yes = true;
        for (std::uint32_t i = 0; 2 * i < count && yes; ++i)
          yes = has(i);
        break;
      case test::in:
        if (const auto& number = asked.asked->numbers[a])
          for (std::uint32_t i = 0; 2 * i < count && !yes; ++i)
            yes = value_at(operands + 2 * i) == *number;
        break;
      case test::at_least:
        if (const auto& number = asked.asked->numbers[a])
          yes = *number >= value_at(operands);
        break;
      case test::at_most:
        if (const auto& number = asked.asked->numbers[a])
          yes = *number <= value_at(operands);
        break;
      case test::no:
        break;
    }
    auto next = yes ? targets & 0xffff : targets >> 16;
    if (next >= reject)
      return next == accept;
    at = next;
  }
}

} // namespace candor::ad_matching::index
