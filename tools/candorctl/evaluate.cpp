#include "tools/candorctl/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <istream>
#include <map>

#include <fmt/format.h>

namespace candor::ctl {

namespace {

/// How many of how many.
struct share {
  std::size_t right = 0, all = 0;
  void count(bool is_right) {
    ++all;
    right += is_right ? 1 : 0;
  }
  json percent() const {
    if (all == 0)
      return nullptr;
    return std::round(1000.0 * static_cast<double>(right) / static_cast<double>(all)) / 10;
  }
};

struct pair_of_shares {
  share recall, utility;
  json to_json() const {
    return {{"recall", recall.percent()},
            {"sensitive", recall.all},
            {"utility", utility.percent()},
            {"clean", utility.all}};
  }
};

json by_name(const std::map<std::string, pair_of_shares>& of) {
  auto made = json::object();
  for (const auto& [name, shares] : of)
    made[name] = shares.to_json();
  return made;
}

std::vector<std::string> names(const json& row, const char* member) {
  std::vector<std::string> made;
  if (auto list = row.find(member); list != row.end() && list->is_array())
    for (const auto& name : *list)
      if (name.is_string())
        made.push_back(name.get<std::string>());
  return made;
}

std::string text_of(const json& row, const char* member) {
  auto found = row.find(member);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

json mean(const std::vector<json>& of) {
  double sum = 0;
  std::size_t n = 0;
  for (const auto& v : of)
    if (v.is_number()) {
      sum += v.get<double>();
      ++n;
    }
  return n == 0 ? json{} : json(std::round(10 * sum / static_cast<double>(n)) / 10);
}

} // namespace

result<json> evaluate(const topic_filter::filter& by, std::istream& rows) {
  pair_of_shares whole;
  std::size_t ambiguous = 0, count = 0;
  std::map<std::string, pair_of_shares> languages, kinds;
  std::map<std::string, share> withheld, named; // by category
  std::vector<double> of_sensitive, of_clean;   // margins
  share first, first_of_passed;
  struct topic_counts {
    std::size_t right = 0, said = 0, labelled = 0;
  };
  std::map<std::string, topic_counts> topics;
  std::string line;
  std::size_t number = 0;
  while (std::getline(rows, line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos)
      continue;
    auto row = json::parse(line, nullptr, false);
    if (!row.is_object() || !row.contains("text") || !row["text"].is_string())
      return fail(errc::malformed, fmt::format("line {} is not an object with `text`", number));
    ++count;
    auto lang = text_of(row, "lang"), kind = text_of(row, "kind");
    auto judged = by.classify(text_of(row, "text"), lang);
    if (row.contains("sensitive")) {
      auto wanted = names(row, "sensitive");
      auto is_withheld = judged.withheld();
      if (!wanted.empty()) {
        for (auto* shares : {&whole, &languages[lang], &kinds[kind]})
          shares->recall.count(is_withheld);
        of_sensitive.push_back(judged.margin);
        for (const auto& category : wanted) {
          withheld[category].count(is_withheld);
          named[category].count(std::ranges::any_of(
              judged.sensitive, [&](auto c) { return model::to_string(c) == category; }));
        }
      } else if (names(row, "maybe").empty()) {
        for (auto* shares : {&whole, &languages[lang], &kinds[kind]})
          shares->utility.count(!is_withheld);
        of_clean.push_back(judged.margin);
      } else {
        ++ambiguous;
      }
    }
    if (auto wanted = names(row, "topics"); !wanted.empty()) {
      auto said = judged.topics.empty() ? std::string{}
                                        : std::string{model::info(judged.topics[0].topic).slug};
      auto right = std::ranges::find(wanted, said) != wanted.end();
      first.count(right);
      if (!judged.withheld())
        first_of_passed.count(right);
      ++topics[wanted.front()].labelled;
      if (!said.empty())
        ++topics[said].said;
      if (right)
        ++topics[said].right;
    }
  }

  json made = {{"rows", count}};
  if (whole.recall.all + whole.utility.all > 0) {
    made.update(whole.to_json());
    made["ambiguous"] = ambiguous;
    auto categories = json::object();
    std::vector<json> withheld_shares, named_shares;
    for (const auto& [category, s] : withheld) {
      categories[category] = {
          {"recall", s.percent()}, {"named", named[category].percent()}, {"sensitive", s.all}};
      withheld_shares.push_back(s.percent());
      named_shares.push_back(named[category].percent());
    }
    made["macro_recall"] = mean(withheld_shares);
    made["macro_named"] = mean(named_shares);
    made["categories"] = std::move(categories);
    made["languages"] = by_name(languages);
    made["kinds"] = by_name(kinds);
    std::ranges::sort(of_sensitive);
    std::ranges::sort(of_clean);
    auto curve = json::array();
    auto over = [](const std::vector<double>& margins, double least) {
      auto n = margins.end() - std::ranges::lower_bound(margins, least);
      return margins.empty() ? 0.0 : static_cast<double>(n) / static_cast<double>(margins.size());
    };
    for (int step = -24; step <= 24; ++step) {
      auto least = step / 4.0;
      curve.push_back({{"margin", least},
                       {"recall", 100 * over(of_sensitive, least)},
                       {"utility", 100 * (1 - over(of_clean, least))}});
    }
    made["curve"] = std::move(curve);
  }
  if (first.all > 0) {
    auto of = json::object();
    std::vector<json> scores;
    for (const auto& [topic, n] : topics) {
      if (n.labelled == 0)
        continue;
      auto f1 = 200.0 * static_cast<double>(n.right) / static_cast<double>(n.said + n.labelled);
      scores.push_back(f1);
      of[topic] = {{"f1", std::round(10 * f1) / 10}, {"rows", n.labelled}};
    }
    made["topics"] = {{"top_1", first.percent()},
                      {"top_1_of_passed", first_of_passed.percent()},
                      {"macro_f1", mean(scores)},
                      {"rows", first.all},
                      {"of", std::move(of)}};
  }
  return made;
}

void print_evaluation(const json& made) {
  auto number = [](const json& of, const char* member) {
    auto found = of.find(member);
    return found == of.end() || found->is_null() ? std::string{"-"} : found->dump();
  };
  fmt::print("rows {}\n", number(made, "rows"));
  if (made.contains("recall")) {
    fmt::print("recall {} % of {} sensitive, utility {} % of {} clean, {} ambiguous\n"
               "macro recall {} % (named {} %)\n\n",
               number(made, "recall"), number(made, "sensitive"), number(made, "utility"),
               number(made, "clean"), number(made, "ambiguous"), number(made, "macro_recall"),
               number(made, "macro_named"));
    std::vector<std::vector<std::string>> rows = {{"CATEGORY", "RECALL", "NAMED", "ROWS"}};
    for (const auto& [name, c] : made["categories"].items())
      rows.push_back({name, number(c, "recall"), number(c, "named"), number(c, "sensitive")});
    print_table(rows);
    for (auto [member, title] : {std::pair{"languages", "LANGUAGE"}, std::pair{"kinds", "KIND"}}) {
      rows = {{title, "RECALL", "ROWS", "UTILITY", "ROWS"}};
      for (const auto& [name, s] : made[member].items())
        rows.push_back({name, number(s, "recall"), number(s, "sensitive"), number(s, "utility"),
                        number(s, "clean")});
      fmt::print("\n");
      print_table(rows);
    }
    rows = {{"MARGIN", "RECALL", "UTILITY"}};
    for (const auto& p : made["curve"])
      if (auto m = p["margin"].get<double>(); std::abs(m) <= 3)
        rows.push_back({fmt::format("{:.2f}", m), fmt::format("{:.1f}", p["recall"].get<double>()),
                        fmt::format("{:.1f}", p["utility"].get<double>())});
    fmt::print("\n");
    print_table(rows);
  }
  if (auto t = made.find("topics"); t != made.end()) {
    fmt::print("\ntopics: first right {} % of {} (of what passed {} %), macro F1 {}\n\n",
               number(*t, "top_1"), number(*t, "rows"), number(*t, "top_1_of_passed"),
               number(*t, "macro_f1"));
    std::vector<std::vector<std::string>> rows = {{"TOPIC", "F1", "ROWS"}};
    for (const auto& [name, of] : (*t)["of"].items())
      rows.push_back({name, number(of, "f1"), number(of, "rows")});
    print_table(rows);
  }
}

std::string draw_curve(const json& made) {
  // From 70 to 100 percent either way.
  constexpr double least = 70, left = 60, top = 20, size = 400;
  auto x = [&](double utility) {
    return left + (std::max(utility, least) - least) / (100 - least) * size;
  };
  auto y = [&](double recall) {
    return top + (100 - std::max(recall, least)) / (100 - least) * size;
  };
  std::string svg =
      fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"500\" height=\"480\" "
                  "font-family=\"sans-serif\" "
                  "font-size=\"12\">\n<rect width=\"500\" height=\"480\" fill=\"white\"/>\n");
  for (int percent = static_cast<int>(least); percent <= 100; percent += 5)
    svg += fmt::format(
        "<path d=\"M{0:.0f} {1:.0f}V{2:.0f}M{3:.0f} {4:.0f}H{5:.0f}\" stroke=\"#ddd\"/>\n"
        "<text x=\"{0:.0f}\" y=\"{6:.0f}\" text-anchor=\"middle\">{7}</text>\n"
        "<text x=\"{8:.0f}\" y=\"{9:.0f}\" text-anchor=\"end\">{7}</text>\n",
        x(percent), top, top + size, left, y(percent), left + size, top + size + 18, percent,
        left - 8, y(percent) + 4);
  std::string path;
  if (auto curve = made.find("curve"); curve != made.end())
    for (const auto& p : *curve)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L",
                          x(p["utility"].get<double>()), y(p["recall"].get<double>()));
  svg += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"#36c\" stroke-width=\"2\"/>\n", path);
  if (made.contains("recall") && made["recall"].is_number() && made["utility"].is_number())
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#c33\"/>\n",
                       x(made["utility"].get<double>()), y(made["recall"].get<double>()));
  svg += fmt::format(
      "<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">utility: clean rows kept, "
      "percent</text>\n<text transform=\"translate(16 {:.0f}) rotate(-90)\" "
      "text-anchor=\"middle\">recall: sensitive rows withheld, percent</text>\n</svg>\n",
      left + size / 2, top + size + 44, top + size / 2);
  return svg;
}

} // namespace candor::ctl
