/// `campaign`, `content` and `ads`: what advertisers, editors and whoever asks why do.

#include <fstream>
#include <iostream>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

struct item_group {
  const char* name;   ///< of the group, and of an item's id
  const char* path;   ///< /v1/{path}/{id}
  const char* plural; ///< in sentences
};

std::string path_of(const item_group& g, const std::string& id, const char* rest = "") {
  return fmt::format("/v1/{}/{}{}", g.path, http_client::escape(id), rest);
}

/// Puts each line of a file of NDJSON; stops at the first that is refused.
int put_file(session& with, const item_group& g, const std::string& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened)
      return with.complain(error{errc::not_found, file});
  }
  std::istream& in = file == "-" ? std::cin : opened;
  auto node = with.connect();
  std::string line;
  std::size_t number = 0, created = 0, changed = 0;
  while (std::getline(in, line)) {
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos)
      continue;
    auto item = json::parse(line, nullptr, false);
    if (!item.is_object() || !item.contains(g.name) || !item[g.name].is_string())
      return with.complain(
          error{errc::malformed,
                fmt::format("{}:{}: a line is a JSON object with `{}`", file, number, g.name)});
    auto answer = node.call("PUT", path_of(g, item[g.name].get<std::string>()), item);
    if (!answer) {
      fmt::print(stderr, "{}:{}, {}:\n", file, number, plain(item[g.name]));
      return with.complain(answer.error());
    }
    ++(answer->value("created", false) ? created : changed);
  }
  with.print({{"created", created}, {"changed", changed}}, [&](const json&) {
    fmt::print("{} {} created, {} changed\n", created, g.plural, changed);
  });
  return exit_fine;
}

void print_campaigns(const json& a) {
  std::vector<std::vector<std::string>> rows = {
      {"CAMPAIGN", "ADVERTISER", "BID", "QUALITY", "STATE", "UNTIL", "TARGETING"}};
  for (const auto& c : a.at("items"))
    rows.push_back({field(c, "campaign"), field(c, "advertiser"), field(c, "bid_micros"),
                    field(c, "quality"), field(c, "state"), field(c.at("schedule"), "to"),
                    field(c, "targeting")});
  print_table(rows);
}

void print_content(const json& a) {
  std::vector<std::vector<std::string>> rows = {{"CONTENT", "LANG", "PUBLISHED", "TITLE"}};
  for (const auto& c : a.at("items"))
    rows.push_back(
        {field(c, "content"), field(c, "lang"), field(c, "published"), field(c, "title")});
  print_table(rows);
}

/// One command on one item.
void add_one(CLI::App& group, session& with, command& chosen, const item_group& g, const char* verb,
             const char* method, const char* rest, const std::string& sentence) {
  auto* c = add_command(group, verb, sentence, fmt::format("  candorctl {} {} x-7", g.name, verb));
  auto id = std::make_shared<std::string>();
  c->add_option("ID", *id, "its id")->required();
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().call(method, path_of(g, *id, rest));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, print_fields);
      return int{exit_fine};
    };
  });
}

CLI::App* add_items(CLI::App& app, session& with, command& chosen, const item_group& g,
                    const std::string& sentence, void (*print)(const json&)) {
  auto* group = add_group(app, g.name, sentence);
  auto* put =
      add_command(*group, "put", fmt::format("Create or change {}, a JSON object a line", g.plural),
                  fmt::format("  candorctl {} put {}.ndjson", g.name, g.path));
  auto file = std::make_shared<std::string>();
  put->add_option("FILE", *file, "NDJSON; - for stdin")->required();
  put->callback([=, &with, &chosen] { chosen = [=, &with] { return put_file(with, g, *file); }; });
  auto* list = add_command(*group, "list", fmt::format("List {}", g.plural),
                           fmt::format("  candorctl {} list --after x-7", g.name));
  auto after = std::make_shared<std::string>();
  auto limit = std::make_shared<std::uint32_t>(100);
  list->add_option("--after", *after, "ids above this one")->type_name("ID");
  list->add_option("--limit", *limit, "at most this many [100]")->type_name("N");
  list->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(
          fmt::format("/v1/{}?limit={}&after={}", g.path, *limit, http_client::escape(*after)));
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "items", print);
      return int{exit_fine};
    };
  });
  add_one(*group, with, chosen, g, "show", "GET", "", "Show one");
  add_one(*group, with, chosen, g, "delete", "DELETE", "", "Delete one (audited)");
  return group;
}

struct asking {
  std::string user, campaign, context_file;
  std::uint32_t k = 3;
  bool why = false;
};

/// The file's JSON object, or an empty one.
result<json> context_of(const asking& g) {
  if (g.context_file.empty())
    return json::object();
  std::ifstream in{g.context_file};
  if (!in)
    return fail(errc::not_found, g.context_file);
  auto made = json::parse(in, nullptr, false);
  return made.is_object() ? result<json>{made}
                          : fail(errc::malformed, g.context_file + ": a context is a JSON object");
}

void print_why(const json& why) {
  for (const auto& m : why.at("matched"))
    fmt::print("      because {}\n", plain(m));
  for (const auto& t : why.at("topics"))
    fmt::print("      interest in {} from {}, since {}\n", field(t, "topic"),
               field(t, "source") == "ai" ? "conversations with the assistant"
                                          : "likes and follows",
               field(t, "since"));
  for (const auto& n : why.at("not_used"))
    fmt::print("      not used: {} ({})\n", field(n, "what"), field(n, "reason"));
}

int match(session& with, const asking& g) {
  auto context = context_of(g);
  if (!context)
    return with.complain(context.error());
  auto node = with.connect();
  json asked = {{"match", {{"user", g.user}, {"k", g.k}, {"context", *context}}}};
  auto answer = node.call("POST", "/v1/ads/match", asked);
  if (!answer)
    return with.complain(answer.error());
  if (g.why && answer->value("personal", false))
    for (auto& ad : (*answer)["ads"]) {
      auto why = node.get(fmt::format("/v1/users/{}/ads/{}/why", http_client::escape(g.user),
                                      field(ad, "impression")));
      if (!why)
        return with.complain(why.error());
      ad["why"] = *why;
    }
  with.print_list(*answer, "ads", [](const json& a) {
    if (!a.value("personal", false))
      fmt::print("nothing personal was used: {}\n", field(a, "why_not_personal"));
    if (a.at("ads").empty())
      fmt::print("no ads\n");
    for (const auto& ad : a.at("ads")) {
      fmt::print("{}. {}  {}  {} micros  {}\n", field(ad, "place"), field(ad, "campaign"),
                 field(ad, "title"), field(ad, "price_micros"), field(ad, "impression"));
      if (ad.contains("why"))
        print_why(ad.at("why"));
    }
  });
  return exit_fine;
}

int why_not(session& with, const asking& g) {
  auto context = context_of(g);
  if (!context)
    return with.complain(context.error());
  json asked = {{"why_not", {{"user", g.user}, {"campaign", g.campaign}, {"context", *context}}}};
  auto answer = with.connect().call("POST", "/v1/ads/why-not", asked);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, print_fields);
  return exit_fine;
}

} // namespace

void add_ads(CLI::App& app, session& with, command& chosen) {
  static const item_group campaigns{"campaign", "campaigns", "campaigns"};
  static const item_group content{"content", "content", "content items"};
  auto* campaign =
      add_items(app, with, chosen, campaigns, "Campaigns of advertisers", print_campaigns);
  add_one(*campaign, with, chosen, campaigns, "pause", "POST", "/pause",
          "Serve it no more until resumed");
  add_one(*campaign, with, chosen, campaigns, "resume", "POST", "/resume", "Serve it again");
  add_one(*campaign, with, chosen, campaigns, "budget", "GET", "/budget",
          "What is settled, reserved and left, over all shards");
  add_items(app, with, chosen, content, "Content to recommend", print_content);

  auto* group = add_group(app, "ads", "Ads for a person, and why");
  auto g = std::make_shared<asking>();
  auto* m = add_command(*group, "match", "Decide on ads for a person: reserves price and caps",
                        "  candorctl ads match u-42 --why\n"
                        "  candorctl ads match u-42 --context page.json -o jsonl");
  m->add_option("USER", g->user, "the person")->required();
  m->add_option("-k,--places", g->k, "how many at most [3]")->type_name("N");
  m->add_flag("--why", g->why, "what each was chosen by");
  auto* n = add_command(*group, "why-not", "What keeps a campaign from a person",
                        "  candorctl ads why-not u-42 c-7");
  n->add_option("USER", g->user, "the person")->required();
  n->add_option("CAMPAIGN", g->campaign, "the campaign")->required();
  for (auto* c : {m, n})
    c->add_option("--context", g->context_file, "the request's context, a JSON object")
        ->type_name("FILE");
  m->callback([=, &with, &chosen] { chosen = [=, &with] { return match(with, *g); }; });
  n->callback([=, &with, &chosen] { chosen = [=, &with] { return why_not(with, *g); }; });
}

void add_user_ads(CLI::App& group, session& with, command& chosen) {
  auto user = std::make_shared<std::string>(), impression = std::make_shared<std::string>();
  auto* why = add_command(group, "why", "Why a person was shown an ad",
                          "  candorctl user why u-42 i-0017-abcdefghjkmnpqrs");
  why->add_option("USER", *user, "the person")->required();
  why->add_option("IMPRESSION", *impression, "from the decision")->required();
  why->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(fmt::format(
          "/v1/users/{}/ads/{}/why", http_client::escape(*user), http_client::escape(*impression)));
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, [](const json& a) {
        fmt::print("{} of {} at {}\n", field(a, "why"), field(a, "campaign"), field(a, "at"));
        print_why(a);
      });
      return int{exit_fine};
    };
  });
  auto k = std::make_shared<std::uint32_t>(10);
  auto* feed =
      add_command(group, "feed", "Content ranked for a person", "  candorctl user feed u-42");
  feed->add_option("USER", *user, "the person")->required();
  feed->add_option("-k,--items", *k, "how many at most [10]")->type_name("N");
  feed->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer =
          with.connect().get(fmt::format("/v1/users/{}/feed?k={}", http_client::escape(*user), *k));
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "items", [](const json& a) {
        std::vector<std::vector<std::string>> rows = {
            {"CONTENT", "LANG", "SCORE", "BECAUSE", "TITLE"}};
        for (const auto& i : a.at("items"))
          rows.push_back({field(i, "content"), field(i, "lang"), field(i, "score"),
                          field(i, "because"), field(i, "title")});
        print_table(rows);
      });
      return int{exit_fine};
    };
  });
}

} // namespace candor::ctl
