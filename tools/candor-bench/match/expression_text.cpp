#include "tools/candor-bench/match/expression_text.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace candor::bench {

using namespace ad_matching::index;

namespace {

bool word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == ':' || c == '+' || c == '-';
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return low(x) == low(y);
  });
}

} // namespace

/// Recursive descent, one function a rule.
class wish_parser {
public:
  wish_parser(std::string_view text, const wish_reader& known)
    : text_{text}
    , known_{known} {}

  result<wish> whole() {
    CANDOR_TRY_VOID(advance());
    if (token_.empty() && !quoted_)
      return wish{};
    CANDOR_TRY_VOID(chain(0));
    if (!token_.empty())
      return refuse("expected the end");
    return std::move(made_);
  }

private:
  tl::unexpected<error> refuse(const std::string& what) const {
    return fail(errc::malformed, fmt::format("column {}: {}", begin_ + 1, what));
  }

  result<void> advance() {
    while (at_ < text_.size() && is_space(text_[at_]))
      ++at_;
    begin_ = at_;
    quoted_ = false;
    token_ = {};
    if (at_ == text_.size())
      return {};
    auto c = text_[at_];
    if (c == '"' || c == '\'') {
      auto end = text_.find(c, at_ + 1);
      if (end == std::string_view::npos)
        return refuse("this quotation has no end");
      token_ = text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
      quoted_ = true;
      return {};
    }
    if (word_char(c)) {
      while (at_ < text_.size() && word_char(text_[at_]))
        ++at_;
      token_ = text_.substr(begin_, at_ - begin_);
      return {};
    }
    for (std::string_view sign :
         {"<>", ">=", "<=", "==", "!=", "&&", "||", "(", ")", ",", "=", "<", ">"})
      if (text_.substr(at_).starts_with(sign)) {
        token_ = text_.substr(at_, sign.size());
        at_ += sign.size();
        return {};
      }
    return refuse("this character has no meaning here");
  }

  bool says(std::string_view word) const { return !quoted_ && equal_in_any_case(token_, word); }
  bool says_and() const { return says("and") || says("&&"); }
  bool says_or() const { return says("or") || says("||"); }

  result<void> expect(std::string_view word) {
    if (!says(word))
      return refuse(fmt::format("expected {}", word));
    return advance();
  }

  node& add(node n) {
    made_.nodes.push_back(n);
    return made_.nodes.back();
  }
  void close(std::size_t at) {
    made_.nodes[at].end = static_cast<std::uint32_t>(made_.nodes.size());
  }

  /// unary { "and" unary } | unary { "or" unary }
  result<void> chain(std::size_t depth) {
    auto first = made_.nodes.size();
    CANDOR_TRY_VOID(unary(depth + 1));
    if (!says_and() && !says_or())
      return {};
    auto all = says_and();
    // The joint stands before its members: they move up by one.
    for (auto i = first; i < made_.nodes.size(); ++i)
      ++made_.nodes[i].end;
    node joint;
    joint.what = all ? operation::all : operation::any;
    made_.nodes.insert(made_.nodes.begin() + static_cast<std::ptrdiff_t>(first), joint);
    while (all ? says_and() : says_or()) {
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(unary(depth + 1));
    }
    close(first);
    if (says_and() || says_or())
      return refuse("put parentheses where `and` and `or` meet");
    return {};
  }

  /// "not" unary | "(" chain ")" | clause
  result<void> unary(std::size_t depth) {
    if (depth > expression_depth_max)
      return refuse(fmt::format("an expression is at most {} deep", expression_depth_max));
    if (says("not")) {
      CANDOR_TRY_VOID(advance());
      auto at = made_.nodes.size();
      add({}).what = operation::negation;
      CANDOR_TRY_VOID(unary(depth + 1));
      close(at);
      return {};
    }
    if (says("(")) {
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(chain(depth + 1));
      return expect(")");
    }
    return clause();
  }

  result<void> clause() {
    auto it = known_.names_.find(token_);
    if (token_.empty() || it == known_.names_.end())
      return refuse(token_.empty()
                        ? "expected an attribute"
                        : fmt::format("{} is not an attribute of the schema", std::string{token_}));
    node n;
    n.attribute = it->second;
    n.first = static_cast<std::uint32_t>(made_.values.size());
    auto kind = known_.schema_[n.attribute].kind;
    auto list = kind == value_kind::list;
    CANDOR_TRY_VOID(advance());
    auto conjunction = false; // a number that is all of several values
    if (says("in")) {
      n.what = operation::in;
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(values(kind));
    } else if (says("not")) {
      n.what = operation::not_in;
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(expect("in"));
      CANDOR_TRY_VOID(values(kind));
    } else if (says("one") || says("none") || says("all")) {
      n.what = says("one") ? operation::in : says("none") ? operation::not_in : operation::all_of;
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(expect("of"));
      CANDOR_TRY_VOID(values(kind));
      conjunction = n.what == operation::all_of && !list;
    } else if (says("=") || says("==") || says("<>") || says("!=")) {
      n.what = says("=") || says("==") ? operation::in : operation::not_in;
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(value(kind));
    } else if (says(">=") || says("<=") || says(">") || says("<")) {
      if (list)
        return refuse("a list is not compared: expected one of, none of or all of");
      auto least = token_.front() == '>';
      auto step = token_.size() == 2 ? 0 : least ? 1 : -1;
      n.what = least ? operation::at_least : operation::at_most;
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(value(kind));
      made_.values.back() = std::clamp(made_.values.back() + step, value_least, value_most);
    } else if (kind == value_kind::flag) {
      n.what = operation::in;
      made_.values.push_back(1);
    } else {
      return refuse(list ? "expected one of, none of or all of"
                         : "expected in, not in, =, <>, >=, <=, > or <");
    }
    if (list && n.what == operation::in)
      n.what = operation::one_of;
    else if (list && n.what == operation::not_in)
      n.what = operation::none_of;
    n.count = static_cast<std::uint32_t>(made_.values.size()) - n.first;
    auto at = made_.nodes.size();
    if (!conjunction) {
      add(n);
    } else {
      add({}).what = operation::all;
      for (std::uint32_t i = 0; i < n.count; ++i) {
        node each = n;
        each.what = operation::in;
        each.first += i;
        each.count = 1;
        add(each);
        close(made_.nodes.size() - 1);
      }
    }
    close(at);
    return {};
  }

  /// "(" [ value { "," value } ] ")"
  result<void> values(value_kind kind) {
    CANDOR_TRY_VOID(expect("("));
    if (says(")"))
      return advance();
    CANDOR_TRY_VOID(value(kind));
    while (says(",")) {
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(value(kind));
    }
    return expect(")");
  }

  result<void> value(value_kind kind) {
    if (kind == value_kind::flag && (says("true") || says("false"))) {
      made_.values.push_back(says("true"));
      return advance();
    }
    auto digits = token_;
    while (quoted_ && !digits.empty() && is_space(digits.front()))
      digits.remove_prefix(1);
    while (quoted_ && !digits.empty() && is_space(digits.back()))
      digits.remove_suffix(1);
    if (digits.starts_with('+'))
      digits.remove_prefix(1);
    std::int64_t number = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || ec != std::errc{} || end != digits.data() + digits.size() ||
        number < value_least || number > value_most)
      return refuse("expected an integer");
    made_.values.push_back(number);
    return advance();
  }

  std::string_view text_;
  const wish_reader& known_;
  std::size_t at_ = 0, begin_ = 0;
  std::string_view token_;
  bool quoted_ = false;
  wish made_;
};

wish_reader::wish_reader(const schema& schema)
  : schema_{schema} {
  for (std::size_t a = 0; a < schema.size(); ++a)
    names_.emplace(schema[a].name, static_cast<std::uint16_t>(a));
}

result<wish> wish_reader::read(std::string_view text) const {
  return wish_parser{text, *this}.whole();
}

namespace {

std::string text_at(const wish& w, std::uint32_t at, const schema& schema) {
  const auto& n = w.nodes[at];
  if (n.what == operation::negation)
    return "not " + text_at(w, at + 1, schema);
  if (!n.is_leaf()) {
    std::string made = "(";
    for (auto c = at + 1; c < n.end; c = w.nodes[c].end)
      made += (made.size() == 1           ? ""
               : n.what == operation::all ? " and "
                                          : " or ") +
              text_at(w, c, schema);
    return made + ")";
  }
  const auto& name = schema[n.attribute].name;
  auto values = fmt::format("({})", fmt::join(w.values_of(n), ", "));
  switch (n.what) {
    case operation::in:
      return schema[n.attribute].kind == value_kind::flag && values == "(1)"
                 ? name
                 : fmt::format("{} in {}", name, values);
    case operation::not_in:
      return fmt::format("{} not in {}", name, values);
    case operation::at_least:
      return fmt::format("{} >= {}", name, w.values[n.first]);
    case operation::at_most:
      return fmt::format("{} <= {}", name, w.values[n.first]);
    case operation::one_of:
      return fmt::format("{} one of {}", name, values);
    case operation::none_of:
      return fmt::format("{} none of {}", name, values);
    default:
      return fmt::format("{} all of {}", name, values);
  }
}

} // namespace

std::string to_text(const wish& w, const schema& schema) {
  return w.nodes.empty() ? std::string{} : text_at(w, 0, schema);
}

} // namespace candor::bench
