// The topic filter without a node: what it makes of a text, and why.
#include <iostream>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "actors/supervision/config/config.hpp"
#include "actors/topic_filter/filter.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

using topic_filter::filter;
using topic_filter::judgement;

constexpr std::size_t context_turns = limits::context_turns;

result<std::unique_ptr<filter>> load_filter(const std::string& folder) {
  return filter::load(folder.empty() ? config::shipped_folder() / "lexicon"
                                     : std::filesystem::path{folder});
}

json to_json(const judgement& j) {
  json made = {{"sensitive", json::array()},
               {"topics", json::array()},
               {"evidence", json::array()},
               {"verdict", j.withheld() ? "withheld" : "accepted"}};
  for (auto c : j.sensitive)
    made["sensitive"].push_back(to_string(c));
  for (const auto& t : j.topics)
    made["topics"].push_back(model::info(t.topic).slug);
  for (const auto& e : j.evidence)
    made["evidence"].push_back({{"rule", e.rule},
                                {"subject", e.subject},
                                {"begin", e.begin},
                                {"end", e.end},
                                {"view", e.view}});
  return made;
}

/// The text cannot be trusted to be UTF-8.
std::string dump(const json& j, int indent = -1) {
  return j.dump(indent, ' ', false, json::error_handler_t::replace);
}

struct question {
  json id; ///< as given back
  std::string text, lang;
  std::vector<std::string> turns;
};

result<question> read_question(const std::string& line) {
  auto object = json::parse(line, nullptr, false);
  if (!object.is_object())
    return fail(errc::malformed, "a line is not a JSON object");
  question made;
  if (auto id = object.find("id"); id != object.end())
    made.id = *id;
  auto text = object.find("text");
  if (text == object.end() || !text->is_string())
    return fail(errc::missing_field, "`text`");
  made.text = text->get<std::string>();
  if (auto lang = object.find("lang"); lang != object.end() && lang->is_string())
    made.lang = lang->get<std::string>();
  if (auto turns = object.find("context"); turns != object.end()) {
    if (!turns->is_array() || turns->size() > context_turns)
      return fail(errc::bad_value,
                  fmt::format("`context` is a list of at most {} texts", context_turns));
    for (const auto& t : *turns) {
      if (!t.is_string())
        return fail(errc::bad_value, "`context` is a list of texts");
      made.turns.push_back(t.get<std::string>());
    }
  }
  return made;
}

/// An answer for each line, in order. What cannot be read is answered too, and makes the exit 1.
int classify(const session& with, const std::string& folder, bool jsonl, const std::string& lang) {
  auto loaded = load_filter(folder);
  if (!loaded)
    return with.complain(loaded.error());
  const auto& judge = **loaded;
  std::string line;
  std::size_t number = 0, unreadable = 0;
  while (std::getline(std::cin, line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos)
      continue;
    question q;
    if (jsonl) {
      auto read = read_question(line);
      if (!read) {
        ++unreadable;
        std::cout << dump({{"line", number},
                           {"error", info(read.error().code).slug},
                           {"detail", read.error().detail}})
                  << '\n'
                  << std::flush;
        continue;
      }
      q = std::move(*read);
    } else {
      q.id = number;
      q.text = std::move(line);
    }
    if (q.lang.empty())
      q.lang = lang;
    auto judged = to_json(judge.classify(q.text, q.lang, q.turns));
    if (jsonl || with.as != output::text) {
      json answer = {{"id", q.id}};
      answer.update(judged);
      // Flushed for each line: another program may be waiting for its answer.
      std::cout << dump(answer) << '\n' << std::flush;
    } else {
      auto list = [](const json& names) {
        std::string made;
        for (const auto& n : names)
          made += (made.empty() ? "" : ", ") + plain(n);
        return made;
      };
      auto withheld = plain(judged["verdict"]) == "withheld";
      std::cout << fmt::format("{:<9} {}\n", withheld ? "withheld" : "accepted",
                               list(judged[withheld ? "sensitive" : "topics"]))
                << std::flush;
    }
  }
  return unreadable == 0 ? exit_fine : exit_failed;
}

int explain(const session& with, const std::string& folder, const std::string& text,
            const std::string& lang) {
  auto loaded = load_filter(folder);
  if (!loaded)
    return with.complain(loaded.error());
  auto judged = (*loaded)->classify(text, lang);
  auto answer = to_json(judged);
  answer["lexicon"] = (*loaded)->version();
  for (auto& e : answer["evidence"]) {
    auto begin = e["begin"].get<std::size_t>(), end = e["end"].get<std::size_t>();
    if (begin <= end && end <= text.size())
      e["span"] = text.substr(begin, end - begin);
  }
  if (with.as != output::text) {
    fmt::print("{}\n", dump(answer, with.as == output::json ? 2 : -1));
    return exit_fine;
  }
  fmt::print("{}\n", plain(answer["verdict"]));
  for (auto c : judged.sensitive)
    fmt::print("  sensitive  {}\n", to_string(c));
  for (const auto& t : judged.topics)
    fmt::print("  topic      {} ({:.2f} mentions)\n", model::info(t.topic).slug,
               static_cast<double>(t.weight) / model::one_mention);
  if (!judged.evidence.empty()) {
    std::vector<std::vector<std::string>> rows = {{"SUBJECT", "FOUND", "READ AS", "RULE"}};
    for (const auto& e : answer["evidence"])
      rows.push_back({field(e, "subject"), field(e, "span"), field(e, "view"), field(e, "rule")});
    print_table(rows);
  }
  fmt::print("lexicon {}\n", field(answer, "lexicon"));
  return exit_fine;
}

int list_topics(const session& with) {
  json whole = {{"topics", json::array()}};
  for (const auto& t : model::topics())
    whole["topics"].push_back({{"topic", t.slug},
                               {"title", t.title},
                               {"parent", t.parent.empty() ? json{} : json(t.parent)},
                               {"iab", t.iab}});
  with.print_list(whole, "topics", [](const json& a) {
    std::vector<std::vector<std::string>> rows = {{"TOPIC", "TITLE", "PARENT", "IAB"}};
    for (const auto& t : a.at("topics"))
      rows.push_back({field(t, "topic"), field(t, "title"), field(t, "parent"), field(t, "iab")});
    print_table(rows);
  });
  return exit_fine;
}

} // namespace

void add_topics(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "topics", "The topic filter, without a node");
  auto folder = std::make_shared<std::string>(), lang = std::make_shared<std::string>();
  auto options = [&](CLI::App* c) {
    c->add_option("--lexicon", *folder, "folder of the lexicon [the shipped one]")
        ->type_name("FOLDER");
    c->add_option("--lang", *lang, "BCP 47 language where none is given [unknown]")
        ->type_name("TAG");
  };
  auto* c = add_command(
      *group, "classify",
      "Judge texts from stdin: topics of what passes, or what makes it sensitive",
      "  echo 'which hiking boots are good in winter?' | candorctl topics classify --lang en\n"
      "  candorctl topics classify --jsonl < texts.jsonl > judged.jsonl");
  auto jsonl = std::make_shared<bool>(false);
  c->add_flag("--jsonl", *jsonl,
              "read {\"id\",\"text\",\"lang\"?,\"context\"?} a line, write "
              "{\"id\",\"sensitive\",\"topics\",\"evidence\",\"verdict\"} a line");
  options(c);
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] { return classify(with, *folder, *jsonl, *lang); };
  });
  auto* e = add_command(*group, "explain", "Judge one text and show which rules spoke",
                        "  candorctl topics explain 'a bishop in chess'");
  auto text = std::make_shared<std::string>();
  e->add_option("TEXT", *text, "what to judge")->required();
  options(e);
  e->callback([=, &with, &chosen] {
    chosen = [=, &with] { return explain(with, *folder, *text, *lang); };
  });
  auto* l = add_command(*group, "list", "Every topic that can be an interest",
                        "  candorctl topics list -o jsonl");
  l->callback([&with, &chosen] { chosen = [&with] { return list_topics(with); }; });
}

} // namespace candor::ctl
