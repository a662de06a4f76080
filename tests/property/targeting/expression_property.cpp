/// Random expressions over random requests, held against a plain reading of the language over a
/// representation of the test's own: a tree of closures.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <functional>
#include <map>
#include <set>

#include "storage/model/targeting/expression.hpp"

using namespace candor::model::targeting;

namespace {

/// A request as a person would write it down: an attribute that is not in a map is not known.
struct request {
  std::map<std::string, std::string> words;
  std::map<std::string, std::set<std::string>> lists;
  std::map<std::string, int> numbers;
};

struct tree {
  std::string text;
  std::function<bool(const request&)> holds;
};

const std::map<std::string, std::vector<std::string>> vocabulary{
    {"country", {"US", "CA", "BR", "DE"}},
    {"lang", {"en", "pt", "de"}},
    {"device", {"phone", "tv"}},
    {"topics", {"outdoors", "music", "travel", "fitness"}},
    {"ctx", {"outdoors", "gaming", "travel"}},
    {"segments", {"vip", "new one", "and"}},
};
const std::set<std::string> lists{"topics", "ctx", "segments"};

std::string quoted(const std::string& word) {
  return word == "and" || word.find(' ') != word.npos ? '"' + word + '"' : word;
}

std::set<std::string> some_of(const std::vector<std::string>& all) {
  std::set<std::string> some;
  for (const auto& word : all)
    if (*rc::gen::arbitrary<bool>())
      some.insert(word);
  return some;
}

rc::Gen<tree> clause() {
  return rc::gen::exec([] {
    auto kind = *rc::gen::inRange(0, 10);
    if (kind == 0)
      return tree{"consent", [](const request& r) {
                    auto it = r.numbers.find("consent");
                    return it != r.numbers.end() && it->second != 0;
                  }};
    if (kind == 1) {
      auto n = *rc::gen::inRange(0, 168);
      auto least = *rc::gen::arbitrary<bool>();
      return tree{"hour_of_week " + std::string{least ? ">=" : "<="} + " " + std::to_string(n),
                  [=](const request& r) {
                    auto it = r.numbers.find("hour_of_week");
                    return it != r.numbers.end() && (least ? it->second >= n : it->second <= n);
                  }};
    }
    auto [name, all] = *rc::gen::elementOf(vocabulary);
    auto picked = some_of(all);
    picked.insert(*rc::gen::elementOf(all));
    std::string list;
    for (const auto& v : picked)
      list += (list.empty() ? "(" : ", ") + quoted(v);
    list += ")";
    if (!lists.contains(name)) {
      auto negative = *rc::gen::arbitrary<bool>();
      auto text = picked.size() == 1 ? name + (negative ? " <> " : " = ") + quoted(*picked.begin())
                                     : name + (negative ? " not in " : " in ") + list;
      return tree{text, [name = name, picked, negative](const request& r) {
                    auto it = r.words.find(name);
                    auto among = it != r.words.end() && picked.contains(it->second);
                    return among != negative;
                  }};
    }
    auto how = *rc::gen::inRange(0, 3);
    return tree{name +
                    (how == 0   ? " one of "
                     : how == 1 ? " none of "
                                : " all of ") +
                    list,
                [name = name, picked, how](const request& r) {
                  std::size_t shared = 0;
                  if (auto it = r.lists.find(name); it != r.lists.end())
                    for (const auto& v : picked)
                      shared += it->second.count(v);
                  return how == 0 ? shared > 0 : how == 1 ? shared == 0 : shared == picked.size();
                }};
  });
}

rc::Gen<tree> any_tree(int depth) {
  return rc::gen::exec([depth]() -> tree {
    auto kind = depth == 0 ? 3 : *rc::gen::inRange(0, 5);
    if (kind == 0) {
      auto x = *any_tree(depth - 1);
      return {"not " + x.text, [x](const request& r) { return !x.holds(r); }};
    }
    if (kind > 2)
      return *clause();
    std::vector<tree> members;
    for (auto i = *rc::gen::inRange(2, 4); i > 0; --i)
      members.push_back(*any_tree(depth - 1));
    auto all = kind == 1;
    std::string text;
    for (const auto& m : members)
      text += (text.empty() ? "(" : all ? " and " : " or ") + m.text;
    return {text + ")", [members, all](const request& r) {
              for (const auto& m : members)
                if (m.holds(r) != all)
                  return !all;
              return all;
            }};
  });
}

rc::Gen<request> any_request() {
  return rc::gen::exec([] {
    request r;
    for (const auto& [name, all] : vocabulary) {
      if (*rc::gen::inRange(0, 4) == 0)
        continue;
      if (lists.contains(name))
        r.lists[name] = some_of(all);
      else
        r.words[name] = *rc::gen::elementOf(all);
    }
    if (*rc::gen::arbitrary<bool>())
      r.numbers["consent"] = *rc::gen::inRange(0, 2);
    if (*rc::gen::arbitrary<bool>())
      r.numbers["hour_of_week"] = *rc::gen::inRange(0, 168);
    return r;
  });
}

attributes to_attributes(const request& r) {
  attributes of;
  for (const auto& [name, word] : r.words)
    of.set_word(*find_attribute(name), word);
  for (const auto& [name, items] : r.lists)
    of.set_list(*find_attribute(name), {items.begin(), items.end()});
  for (const auto& [name, n] : r.numbers)
    of.set_number(*find_attribute(name), n);
  return of;
}

} // namespace

TEST_CASE("an expression holds exactly where a plain reading of it does", "[targeting]") {
  CHECK(rc::check([] {
    auto x = *any_tree(4);
    auto made = expression::parse(x.text);
    RC_ASSERT(made.has_value());
    for (int i = 0; i < 8; ++i) {
      auto r = *any_request();
      auto of = to_attributes(r);
      RC_ASSERT(made->holds(of) == x.holds(r));
      RC_ASSERT(made->first_failing(of).empty() == x.holds(r));
      RC_ASSERT(made->reasons(of).empty() == !x.holds(r));
    }
    auto again = expression::parse(made->to_text());
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == *made);
  }));
}

TEST_CASE("every clause that why names holds by itself", "[targeting]") {
  CHECK(rc::check([] {
    auto x = *any_tree(3);
    auto made = expression::parse(x.text);
    RC_PRE(made.has_value());
    auto of = to_attributes(*any_request());
    for (const auto& clause : made->reasons(of))
      RC_ASSERT(expression::parse(clause)->holds(of));
    if (auto failing = made->first_failing(of); !failing.empty())
      RC_ASSERT(!expression::parse(failing)->holds(of));
  }));
}
