// The topic filter without a node: what it makes of a text, and why. And a node's, reloaded.
#include <cmath>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "actors/supervision/config/config.hpp"
#include "actors/topic_filter/filter.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "tools/candorctl/evaluate.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

using topic_filter::filter;
using topic_filter::judgement;

constexpr std::size_t context_turns = limits::context_turns;

/// What judges: from which folder and file; empty: as shipped.
struct parts {
  std::string lexicon, model;
};

/// Never none: where the filter cannot be had, everything is withheld, and stderr says why.
std::unique_ptr<filter> load_filter(const parts& from) {
  auto lexicon = from.lexicon.empty() ? config::shipped_folder() / "lexicon"
                                      : std::filesystem::path{from.lexicon};
  auto loaded = from.model == "none"
                    ? filter::load(lexicon)
                    : filter::load(lexicon, from.model.empty() ? config::shipped_topics_model()
                                                               : std::filesystem::path{from.model});
  if (loaded)
    return std::move(*loaded);
  fmt::print(stderr, "candorctl: everything is withheld: {}\n", loaded.error().to_string());
  return filter::closed();
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
  for (const auto& e : j.evidence) {
    json one = {{"rule", e.rule},
                {"subject", e.subject},
                {"begin", e.begin},
                {"end", e.end},
                {"view", e.view}};
    if (e.score && e.threshold) {
      one["score"] = std::round(1000 * *e.score) / 1000;
      one["threshold"] = std::round(1000 * *e.threshold) / 1000;
    }
    made["evidence"].push_back(std::move(one));
  }
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
int classify(const session& with, const parts& from, bool jsonl, const std::string& lang) {
  auto loaded = load_filter(from);
  const auto& judge = *loaded;
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

int explain(const session& with, const parts& from, const std::string& text,
            const std::string& lang) {
  auto loaded = load_filter(from);
  auto judged = loaded->classify(text, lang);
  auto answer = to_json(judged);
  answer["lexicon"] = loaded->version();
  answer["model"] = loaded->model_made_of();
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
    std::vector<std::vector<std::string>> rows = {
        {"SUBJECT", "FOUND", "READ AS", "RULE", "SCORE", "FROM"}};
    for (const auto& e : answer["evidence"])
      rows.push_back({field(e, "subject"), field(e, "span"), field(e, "view"), field(e, "rule"),
                      field(e, "score"), field(e, "threshold")});
    print_table(rows);
  }
  fmt::print("lexicon {}\n", field(answer, "lexicon"));
  return exit_fine;
}

int evaluate_rows(const session& with, const parts& from, const std::string& file,
                  const std::string& svg) {
  std::ifstream rows{file};
  if (!rows)
    return with.complain(error{errc::not_found, file + " cannot be read"});
  auto made = evaluate(*load_filter(from), rows);
  if (!made)
    return with.complain(error{made.error().code, file + ": " + made.error().detail});
  if (!svg.empty() && !(std::ofstream{svg} << draw_curve(*made)).flush())
    return with.complain(error{errc::io_failed, svg + " cannot be written"});
  with.print(*made, print_evaluation);
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

int reload(const session& with, const std::string& node) {
  json arguments = json::object();
  if (!node.empty())
    arguments["node"] = node;
  auto answer = with.admin("topics_reload", arguments);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, [](const json& a) {
    fmt::print("{} judges with\n", field(a, "node"));
    for (const auto& [name, hash] : a.at("now").items())
      fmt::print("  {:<8} {}{}\n", name, plain(hash),
                 a.at("before").value(name, "") == plain(hash) ? " (as before)" : "");
  });
  return exit_fine;
}

} // namespace

void add_topics(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "topics", "The topic filter; all but reload without a node");
  auto from = std::make_shared<parts>();
  auto lang = std::make_shared<std::string>();
  auto files = [&](CLI::App* c) {
    c->add_option("--lexicon", from->lexicon, "folder of the lexicon [the shipped one]")
        ->type_name("FOLDER");
    c->add_option("--model", from->model,
                  "file of the model, or none: the lexicon alone [the shipped one]")
        ->type_name("FILE");
  };
  auto options = [&](CLI::App* c) {
    files(c);
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
    chosen = [=, &with] { return classify(with, *from, *jsonl, *lang); };
  });
  auto* e = add_command(*group, "explain", "Judge one text and show which rules spoke",
                        "  candorctl topics explain 'a bishop in chess'");
  auto text = std::make_shared<std::string>();
  e->add_option("TEXT", *text, "what to judge")->required();
  options(e);
  e->callback(
      [=, &with, &chosen] { chosen = [=, &with] { return explain(with, *from, *text, *lang); }; });
  auto* v = add_command(
      *group, "evaluate",
      "Judge labelled rows: recall, utility, by category, language and kind, the curve, topics",
      "  candorctl topics evaluate rows.jsonl --svg curve.svg\n"
      "  candorctl topics evaluate rows.jsonl -o json | jq .languages");
  auto file = std::make_shared<std::string>(), svg = std::make_shared<std::string>();
  v->add_option("FILE", *file,
                "JSON lines: {\"text\",\"lang\",\"sensitive\",\"maybe\",\"kind\"} or "
                "{\"text\",\"lang\",\"topics\"}")
      ->required();
  v->add_option("--svg", *svg, "draws recall against utility here")->type_name("FILE");
  files(v);
  v->callback([=, &with, &chosen] {
    chosen = [=, &with] { return evaluate_rows(with, *from, *file, *svg); };
  });
  auto* r = add_command(
      *group, "reload",
      "A node reads its lexicon and model anew; bad ones are refused, the old ones stay (audited)",
      "  candorctl topics reload\n"
      "  for n in node-1 node-2 node-3; do candorctl topics reload --of $n; done");
  auto of = std::make_shared<std::string>();
  r->add_option("--of", *of, "the node [the one that is asked]")->type_name("NODE");
  r->callback([=, &with, &chosen] { chosen = [=, &with] { return reload(with, *of); }; });
  auto* l = add_command(*group, "list", "Every topic that can be an interest",
                        "  candorctl topics list -o jsonl");
  l->callback([&with, &chosen] { chosen = [&with] { return list_topics(with); }; });
}

} // namespace candor::ctl
