#include "storage/model/targeting/expression.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace candor::model::targeting {

namespace {

bool word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '+' || c == '.' || c == ':' || c == '/' || c == '@';
}

bool needs_quotes(std::string_view word) {
  return !std::ranges::all_of(word, word_char) || word == "and" || word == "or" || word == "not" ||
         word == "in" || word == "one" || word == "none" || word == "all" || word == "of";
}

std::string spelled(const std::string& word) {
  if (!needs_quotes(word))
    return word;
  std::string quoted = "\"";
  for (auto c : word) {
    if (c == '"' || c == '\\')
      quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

} // namespace

/// Recursive descent, one function a rule of the grammar; its depth is the expression's.
class parser {
public:
  explicit parser(std::string_view text)
    : text_{text} {}

  result<expression> whole() {
    if (text_.size() > text_bytes_max)
      return refuse(fmt::format("an expression has at most {} bytes", text_bytes_max));
    CANDOR_TRY_VOID(advance());
    if (token_.empty())
      return expression{};
    CANDOR_TRY_VOID(chain(0));
    if (!token_.empty())
      return refuse("expected the end");
    return std::move(made_);
  }

private:
  /// Where the token that was read last begins.
  tl::unexpected<error> refuse(const std::string& what, errc code = errc::targeting_invalid) const {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i < begin_; ++i) {
      ++column;
      if (text_[i] == '\n') {
        ++line;
        column = 1;
      }
    }
    return fail(code, fmt::format("line {}, column {}: {}", line, column, what));
  }

  /// Reads the next token: a word, a quoted text, or a sign. Empty at the end.
  result<void> advance() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
      ++at_;
    begin_ = at_;
    quoted_ = false;
    token_.clear();
    if (at_ == text_.size())
      return {};
    if (text_[at_] == '"')
      return quoted();
    if (word_char(text_[at_])) {
      while (at_ < text_.size() && word_char(text_[at_]))
        token_ += text_[at_++];
      return {};
    }
    for (std::string_view sign : {"<>", ">=", "<=", "(", ")", ",", "="})
      if (text_.substr(at_).starts_with(sign)) {
        token_ = sign;
        at_ += sign.size();
        return {};
      }
    return refuse("this character has no meaning here");
  }

  result<void> quoted() {
    quoted_ = true;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && ++at_ == text_.size())
        break;
      token_ += text_[at_];
    }
    if (at_ >= text_.size())
      return refuse("this quotation has no end");
    ++at_;
    if (token_.empty())
      return refuse("a value has 1 to 64 bytes of plain text");
    return {};
  }

  bool is(std::string_view token) const { return !quoted_ && token_ == token; }

  result<void> expect(std::string_view token) {
    if (!is(token))
      return refuse(fmt::format("expected {}", token));
    return advance();
  }

  result<std::uint32_t> add(node n) {
    if (made_.nodes_.size() >= nodes_max)
      return refuse(fmt::format("an expression has at most {} clauses", nodes_max));
    made_.nodes_.push_back(std::move(n));
    return static_cast<std::uint32_t>(made_.nodes_.size() - 1);
  }

  /// unary { "and" unary } | unary { "or" unary }
  result<void> chain(std::size_t depth) {
    auto first = made_.nodes_.size();
    CANDOR_TRY_VOID(unary(depth + 1));
    if (!is("and") && !is("or"))
      return {};
    auto joint = token_;
    // The joint stands before its members: they move up by one.
    node parent;
    parent.what = joint == "and" ? operation::all : operation::any;
    if (made_.nodes_.size() >= nodes_max)
      return refuse(fmt::format("an expression has at most {} clauses", nodes_max));
    for (auto i = first; i < made_.nodes_.size(); ++i)
      for (auto& child : made_.nodes_[i].children)
        ++child;
    made_.nodes_.insert(made_.nodes_.begin() + static_cast<std::ptrdiff_t>(first),
                        std::move(parent));
    made_.nodes_[first].children.push_back(static_cast<std::uint32_t>(first + 1));
    while (is(joint)) {
      CANDOR_TRY_VOID(advance());
      auto member = static_cast<std::uint32_t>(made_.nodes_.size());
      CANDOR_TRY_VOID(unary(depth + 1));
      made_.nodes_[first].children.push_back(member);
    }
    if (is("and") || is("or"))
      return refuse("put parentheses where `and` and `or` meet");
    return {};
  }

  /// "not" unary | "(" chain ")" | clause
  result<void> unary(std::size_t depth) {
    if (depth > depth_max)
      return refuse(fmt::format("an expression is at most {} deep", depth_max));
    if (is("not")) {
      CANDOR_TRY_VOID(advance());
      node n;
      n.what = operation::negation;
      CANDOR_TRY(at, add(std::move(n)));
      made_.nodes_[at].children.push_back(at + 1);
      return unary(depth + 1);
    }
    if (is("(")) {
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(chain(depth));
      return expect(")");
    }
    return clause();
  }

  result<void> clause() {
    auto named = quoted_ ? std::nullopt : find_attribute(token_);
    if (!named) {
      std::string known;
      for (const auto& a : schema())
        known += (known.empty() ? "" : ", ") + std::string{a.name};
      return refuse("expected an attribute: " + known);
    }
    node n;
    n.attribute = *named;
    CANDOR_TRY_VOID(advance());
    switch (info(*named).type) {
      case type::flag:
        n.what = operation::flag;
        break;
      case type::word:
        CANDOR_TRY_VOID(word_clause(n));
        break;
      case type::number:
        CANDOR_TRY_VOID(number_clause(n));
        break;
      case type::list:
        CANDOR_TRY_VOID(list_clause(n));
        break;
    }
    std::ranges::sort(n.values);
    n.values.erase(std::unique(n.values.begin(), n.values.end()), n.values.end());
    CANDOR_TRY(at, add(std::move(n)));
    (void)at;
    return {};
  }

  result<void> word_clause(node& n) {
    n.what = is("in") || is("=") ? operation::in : operation::not_in;
    if (is("=") || is("<>")) {
      CANDOR_TRY_VOID(advance());
      return value(n);
    }
    if (is("not")) {
      CANDOR_TRY_VOID(advance());
    }
    if (!is("in"))
      return refuse("expected in, not in, = or <>");
    CANDOR_TRY_VOID(advance());
    return values(n);
  }

  result<void> number_clause(node& n) {
    if (!is(">=") && !is("<="))
      return refuse("expected >= or <=");
    n.what = is(">=") ? operation::at_least : operation::at_most;
    CANDOR_TRY_VOID(advance());
    const auto& bounds = info(n.attribute);
    auto digits = !token_.empty() && token_.size() < 10 && !quoted_ &&
                  std::ranges::all_of(token_, [](char c) { return c >= '0' && c <= '9'; });
    n.number = digits ? std::stoll(token_) : -1;
    if (!digits || n.number < bounds.least || n.number > bounds.most)
      return refuse(fmt::format("{} is within {} and {}", bounds.name, bounds.least, bounds.most));
    return advance();
  }

  result<void> list_clause(node& n) {
    if (is("one"))
      n.what = operation::one_of;
    else if (is("none"))
      n.what = operation::none_of;
    else if (is("all"))
      n.what = operation::all_of;
    else
      return refuse("expected one of, none of or all of");
    CANDOR_TRY_VOID(advance());
    CANDOR_TRY_VOID(expect("of"));
    return values(n);
  }

  /// "(" value { "," value } ")"
  result<void> values(node& n) {
    CANDOR_TRY_VOID(expect("("));
    CANDOR_TRY_VOID(value(n));
    while (is(",")) {
      CANDOR_TRY_VOID(advance());
      CANDOR_TRY_VOID(value(n));
    }
    return expect(")");
  }

  result<void> value(node& n) {
    if (token_.empty() || (!quoted_ && !word_char(token_.front())))
      return refuse("expected a value");
    if (n.values.size() >= values_max)
      return refuse(fmt::format("a clause has at most {} values", values_max));
    auto spelling = canonical(n.attribute, token_);
    if (!spelling) {
      auto code = spelling.error().code;
      auto sensitive = code == errc::sensitive_targeting;
      auto what = sensitive ? token_ + " is a sensitive category"
                  : code == errc::unknown_topic
                      ? token_ + " is not a topic of the taxonomy"
                      : std::string{info(n.attribute).name} + " " + spelling.error().detail;
      return refuse(what, sensitive ? code : errc::targeting_invalid);
    }
    n.values.push_back(std::move(*spelling));
    return advance();
  }

  std::string_view text_;
  std::size_t at_ = 0, begin_ = 0;
  std::string token_;
  bool quoted_ = false;
  expression made_;
};

result<expression> expression::parse(std::string_view text) {
  return parser{text}.whole();
}

bool expression::holds(std::uint32_t at, const attributes& of) const {
  const auto& n = nodes_[at];
  auto has = [&](const std::string& word) { return std::ranges::binary_search(n.values, word); };
  const auto& words = of.words(n.attribute);
  const auto& number = of.number(n.attribute);
  switch (n.what) {
    case operation::all:
      return std::ranges::all_of(n.children, [&](auto c) { return holds(c, of); });
    case operation::any:
      return std::ranges::any_of(n.children, [&](auto c) { return holds(c, of); });
    case operation::negation:
      return !holds(n.children.front(), of);
    case operation::in:
    case operation::one_of:
      return std::ranges::any_of(words, has);
    case operation::not_in:
    case operation::none_of:
      return std::ranges::none_of(words, has);
    case operation::all_of:
      return std::ranges::all_of(
          n.values, [&](const auto& v) { return std::ranges::find(words, v) != words.end(); });
    case operation::at_least:
      return number && *number >= n.number;
    case operation::at_most:
      return number && *number <= n.number;
    case operation::flag:
      return number && *number != 0;
  }
  return false;
}

void expression::reasons(std::uint32_t at, const attributes& of,
                         std::vector<std::string>& into) const {
  const auto& n = nodes_[at];
  if (n.what == operation::all) {
    for (auto c : n.children)
      reasons(c, of, into);
  } else if (n.what == operation::any) {
    auto first = std::ranges::find_if(n.children, [&](auto c) { return holds(c, of); });
    reasons(*first, of, into);
  } else {
    into.push_back(to_text(at));
  }
}

std::vector<std::string> expression::reasons(const attributes& of) const {
  std::vector<std::string> found;
  if (!for_everyone() && holds(of))
    reasons(0, of, found);
  return found;
}

std::string expression::first_failing(const attributes& of) const {
  if (holds(of))
    return {};
  std::uint32_t at = 0;
  while (nodes_[at].what == operation::all)
    at = *std::ranges::find_if(nodes_[at].children, [&](auto c) { return !holds(c, of); });
  return to_text(at);
}

std::vector<std::string> expression::topics_named() const {
  std::vector<std::string> named;
  for (const auto& n : nodes_)
    if (n.attribute == attribute::topics || n.attribute == attribute::ctx)
      named.insert(named.end(), n.values.begin(), n.values.end());
  std::ranges::sort(named);
  named.erase(std::unique(named.begin(), named.end()), named.end());
  return named;
}

std::string expression::to_text(std::uint32_t at) const {
  const auto& n = nodes_[at];
  auto join = [&](std::string_view by) {
    std::string made = "(";
    for (auto c : n.children)
      made += (made.size() > 1 ? std::string{by} : std::string{}) + to_text(c);
    return made + ")";
  };
  auto list = [&] {
    std::string made = "(";
    for (const auto& v : n.values)
      made += (made.size() > 1 ? ", " : "") + spelled(v);
    return made + ")";
  };
  auto name = info(n.attribute).name;
  auto single = n.values.size() == 1;
  switch (n.what) {
    case operation::all:
      return join(" and ");
    case operation::any:
      return join(" or ");
    case operation::negation:
      return "not " + to_text(n.children.front());
    case operation::in:
      return single ? fmt::format("{} = {}", name, spelled(n.values[0]))
                    : fmt::format("{} in {}", name, list());
    case operation::not_in:
      return single ? fmt::format("{} <> {}", name, spelled(n.values[0]))
                    : fmt::format("{} not in {}", name, list());
    case operation::one_of:
      return fmt::format("{} one of {}", name, list());
    case operation::none_of:
      return fmt::format("{} none of {}", name, list());
    case operation::all_of:
      return fmt::format("{} all of {}", name, list());
    case operation::at_least:
      return fmt::format("{} >= {}", name, n.number);
    case operation::at_most:
      return fmt::format("{} <= {}", name, n.number);
    case operation::flag:
      return std::string{name};
  }
  return {};
}

} // namespace candor::model::targeting
