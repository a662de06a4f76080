// What an operator tells a node: notice, import, audit, node.
#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "actors/supervision/config/config.hpp"
#include "storage/base/limits.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

/// Calls the admin verb and prints its answer.
int ask(const session& with, std::string_view verb, const json& arguments,
        const std::function<void(const json&)>& text) {
  auto answer = with.admin(verb, arguments);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, text);
  return exit_fine;
}

std::string short_hash(const std::string& hash) {
  return hash.substr(0, 12);
}

} // namespace

void add_notice(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "notice", "Notices to people");
  auto* c = add_command(*group, "reached", "Record that a notice reached a person (audited)",
                        "  candorctl notice reached u-42 --policy ai-interactions --revision 1 "
                        "--channel in_app");
  struct given {
    std::string user, policy, channel;
    std::uint32_t revision = 1;
    std::optional<std::string> at;
  };
  auto g = std::make_shared<given>();
  c->add_option("USER", g->user, "the person")->required();
  c->add_option("--policy", g->policy, "the policy's id")->required()->type_name("ID");
  c->add_option("--revision", g->revision, "the notice's revision")->required()->type_name("N");
  c->add_option("--channel", g->channel, "in_app or email")
      ->required()
      ->type_name("CHANNEL")
      ->check(CLI::IsMember({"in_app", "email"}).description(""));
  c->add_option("--at", g->at, "when it reached them [now]")->type_name("TIME");
  c->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      json arguments = {{"user", g->user},
                        {"policy", g->policy},
                        {"revision", g->revision},
                        {"channel", g->channel}};
      if (g->at)
        arguments["at"] = *g->at;
      return ask(with, "notice_reached", arguments,
                 [](const json& a) { fmt::print("recorded, reached at {}\n", field(a, "at")); });
    };
  });
  auto* list = add_command(*group, "list", "What a person was told; looking reaches nobody",
                           "  candorctl notice list u-42");
  auto whom = std::make_shared<std::string>();
  list->add_option("USER", *whom, "the person")->required();
  list->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto answer = with.connect().get(
          fmt::format("/v1/users/{}/notices?peek=true", http_client::escape(*whom)));
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "notices", [](const json& a) {
        std::vector<std::vector<std::string>> rows = {
            {"NOTICE", "POLICY", "REVISION", "CHANNEL", "LANG", "SENT", "REACHED"}};
        for (const auto& n : a.at("notices"))
          rows.push_back({field(n, "notice"), field(n, "policy"), field(n, "revision"),
                          field(n, "channel"), field(n, "lang"), field(n, "sent"),
                          field(n, "reached")});
        print_table(rows);
      });
      return int{exit_fine};
    };
  });
  auto* bounced = add_command(*group, "bounced",
                              "A mail came back: its notice counts as not delivered (audited)",
                              "  candorctl notice bounced u-42 n-abcdefghijklmnop");
  auto notice = std::make_shared<std::string>();
  bounced->add_option("USER", *whom, "the person")->required();
  bounced->add_option("NOTICE", *notice, "its id, which is the mail's Message-ID")->required();
  bounced->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "notice_bounced", {{"user", *whom}, {"notice", *notice}},
                 [](const json&) { fmt::print("recorded; the person is told in the app\n"); });
    };
  });
  auto* retry = add_command(*group, "retry", "Send a person's mails that failed again (audited)",
                            "  candorctl notice retry u-42");
  retry->add_option("USER", *whom, "the person")->required();
  retry->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "notice_retry", {{"user", *whom}},
                 [](const json&) { fmt::print("they are due again\n"); });
    };
  });
  auto* standing =
      add_command(*group, "status", "How the notices of every policy stand (as `policy readiness`)",
                  "  candorctl notice status");
  standing->callback([&with, &chosen] { chosen = [&with] { return show_readiness(with); }; });
  for (auto pausing : {true, false}) {
    auto* p = add_command(*group, pausing ? "pause" : "resume",
                          pausing ? "Create and send no notices until resumed (audited)"
                                  : "Go on creating and sending notices (audited)",
                          pausing ? "  candorctl notice pause" : "  candorctl notice resume");
    p->callback([=, &with, &chosen] {
      chosen = [=, &with] {
        return ask(with, "notices_pause", {{"paused", pausing}}, [](const json& a) {
          fmt::print("{}\n", a.value("paused", false) ? "paused" : "going on");
        });
      };
    });
  }
}

void add_import(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "import", "Import runs: the way in for events older than a day");
  auto* open = add_command(*group, "open", "Open a run; its event ids are remembered until closed",
                           "  run=$(candorctl import open history -o json | jq .run)\n"
                           "  candorctl ingest history.ndjson --import $run");
  auto name = std::make_shared<std::string>();
  open->add_option("NAME", *name, "what it is called in the audit log")->required();
  open->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "import_open", {{"name", *name}},
                 [](const json& a) { fmt::print("run {} is open\n", field(a, "run")); });
    };
  });
  auto* close = add_command(*group, "close", "Close a run", "  candorctl import close 81233");
  auto run = std::make_shared<std::uint32_t>();
  close->add_option("RUN", *run, "the run's number")->required();
  close->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "import_close", {{"run", *run}},
                 [](const json& a) { fmt::print("run {} is closed\n", field(a, "run")); });
    };
  });
  auto* list = add_command(*group, "list", "List the open runs", "  candorctl import list");
  list->callback([&with, &chosen] {
    chosen = [&with] {
      return ask(with, "imports", json::object(), [](const json& a) {
        if (a.at("open").empty())
          fmt::print("no run is open\n");
        for (const auto& r : a.at("open"))
          fmt::print("{}\n", r.dump());
      });
    };
  });
}

/// What an auditor holds of the chains: kept answers of `audit verify`, and receipts.
static result<json> read_known(const std::vector<std::string>& kept,
                               const std::vector<std::string>& receipts) {
  auto read = [](const std::string& file) -> result<json> {
    CANDOR_TRY(text, config::read_file(file, limits::bulk_body_bytes));
    auto read = json::parse(text, nullptr, false);
    if (!read.is_object())
      return fail(errc::malformed, file + ": is not a JSON object");
    return read;
  };
  auto add = [](json& to, const json& from, const char* entries, const char* head) {
    if (!from.is_object() || !from.contains("shard") || !from.contains(entries) ||
        !from.contains(head))
      return false;
    if (from[entries] != 0) // of an empty chain there is nothing to know
      to.push_back({{"shard", from["shard"]}, {"entries", from[entries]}, {"head", from[head]}});
    return true;
  };
  auto known = json::array();
  for (const auto& file : kept) {
    CANDOR_TRY(answer, read(file));
    if (!answer.value("ok", false) || !answer.contains("shards"))
      return fail(errc::malformed, file + ": is no answer of `audit verify` that held");
    for (const auto& shard : answer["shards"])
      if (!add(known, shard, "entries", "head"))
        return fail(errc::malformed, file + ": a shard has no entries or no head");
  }
  for (const auto& file : receipts) {
    CANDOR_TRY(receipt, read(file));
    if (!receipt.contains("audit") || !add(known, receipt["audit"], "entry", "hash"))
      return fail(errc::malformed, file + ": is no receipt of an erasure");
  }
  return known;
}

void add_audit(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "audit", "The hash-chained audit log");
  struct given {
    std::optional<std::uint32_t> shard;
    std::optional<std::uint64_t> from;
    std::uint32_t limit = 100;
    std::optional<std::string> user, subject, action;
  };
  auto g = std::make_shared<given>();
  auto show = [=, &with] {
    auto node = with.connect();
    auto path = fmt::format("/v1/audit?limit={}", g->limit);
    if (g->shard)
      path += fmt::format("&shard={}", *g->shard);
    if (g->from)
      path += fmt::format("&from={}", *g->from);
    if (g->user) {
      auto who = node.get("/v1/users/" + http_client::escape(*g->user));
      if (!who)
        return with.complain(who.error());
      g->subject = field(*who, "pseudonym");
    }
    if (g->subject)
      path += "&subject=" + http_client::escape(*g->subject);
    if (g->action)
      path += "&action=" + http_client::escape(*g->action);
    auto answer = node.get(path);
    if (!answer)
      return with.complain(answer.error());
    with.print_list(*answer, "records", [](const json& a) {
      std::vector<std::vector<std::string>> rows = {
          {"AT", "SHARD", "INDEX", "ACTOR", "ACTION", "SUBJECT", "HASH", "DETAIL"}};
      for (const auto& r : a.at("records"))
        rows.push_back({field(r, "at"), field(r, "shard"), field(r, "index"), field(r, "actor"),
                        field(r, "action"), field(r, "subject"), short_hash(field(r, "hash")),
                        field(r, "detail")});
      print_table(rows);
    });
    return int{exit_fine};
  };
  auto* tail = add_command(*group, "tail", "Print the newest entries",
                           "  candorctl audit tail --limit 20 -o jsonl");
  tail->add_option("--shard", g->shard, "of one shard only")->type_name("SHARD");
  tail->add_option("--from", g->from, "entries from this index on")->type_name("INDEX");
  auto* find = add_command(*group, "find", "Print the entries about a person, a thing or an action",
                           "  candorctl audit find --user u-42\n"
                           "  candorctl audit find --action policy_applied -o jsonl");
  auto* user = find->add_option("--user", g->user,
                                "about this person, by the name that the log knows them under")
                   ->type_name("USER");
  find->add_option("--subject", g->subject, "about this pseudonym, version or name")
      ->type_name("NAME")
      ->excludes(user);
  find->add_option("--action", g->action, "of this kind")->type_name("ACTION");
  for (auto* c : {tail, find}) {
    c->add_option("--limit", g->limit, "at most this many, the newest [100]")->type_name("N");
    c->callback([=, &chosen] { chosen = show; });
  }
  auto* verify = add_command(
      *group, "verify", "Recompute every shard's chain; exits 10 where one is broken",
      "  candorctl audit verify -o json > heads.json   # keep it where no operator writes\n"
      "  candorctl audit verify --against heads.json --receipt receipt.json");
  auto kept = std::make_shared<std::vector<std::string>>();
  auto receipts = std::make_shared<std::vector<std::string>>();
  verify
      ->add_option("--against", *kept,
                   "an earlier answer of this command (-o json): the chains must go on from it")
      ->type_name("FILE");
  verify->add_option("--receipt", *receipts, "of an erasure (-o json): its record must stand there")
      ->type_name("FILE");
  verify->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto known = read_known(*kept, *receipts);
      if (!known)
        return with.complain(known.error());
      json answer;
      bool ok = false;
      std::size_t sent = 0;
      do { // as many as a request has room for
        auto end = std::min(known->size(), sent + limits::known_audit_heads);
        auto part = json::array();
        for (; sent < end; ++sent)
          part.push_back((*known)[sent]);
        auto answered = with.admin("audit_verify", {{"known", std::move(part)}});
        if (!answered)
          return with.complain(answered.error());
        answer = std::move(*answered);
        ok = answer.value("ok", false);
      } while (ok && sent < known->size());
      with.print_list(answer, "shards", [ok, known = known->size()](const json& a) {
        for (const auto& s : a.at("shards"))
          if (!s.value("ok", false))
            fmt::print("shard {}: {}\n", field(s, "shard"), field(s, "error"));
        fmt::print("{}: {} entries in {} shards\n", ok ? "the chains hold" : "BROKEN",
                   field(a, "entries"), a.at("shards").size());
        if (ok && known > 0)
          fmt::print("{} entries known from elsewhere stand where they stood\n", known);
      });
      return int{ok ? exit_fine : exit_unhealthy};
    };
  });
}

void add_node(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "node", "The node that --node names");
  auto* stop = add_command(*group, "stop", "End the node in order", "  candorctl node stop");
  stop->callback([&with, &chosen] {
    chosen = [&with] {
      return ask(with, "stop", json::object(), [](const json&) { fmt::print("stopping\n"); });
    };
  });
  auto* level = add_command(*group, "log-level", "Set how much the node logs",
                            "  candorctl node log-level debug");
  auto name = std::make_shared<std::string>();
  level->add_option("LEVEL", *name, "debug, info, warn or error")
      ->required()
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}).description(""));
  level->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "log_level", {{"level", *name}},
                 [](const json& a) { fmt::print("log level {}\n", field(a, "level")); });
    };
  });
  auto* clock = add_group(*group, "clock", "The node's clock");
  auto* show =
      add_command(*clock, "show", "What time it is for the node", "  candorctl node clock show");
  show->callback([&with, &chosen] {
    chosen = [&with] {
      return ask(with, "clock_show", json::object(), [](const json& a) {
        fmt::print("{} ({})\n", field(a, "now"),
                   a.value("settable", false) ? "settable" : "system");
      });
    };
  });
  auto* set = add_command(*clock, "set", "Set a settable clock forward (the playground's)",
                          "  candorctl node clock set 2025-12-17T09:00:00Z");
  auto time = std::make_shared<std::string>();
  set->add_option("TIME", *time, "RFC 3339, UTC")->required();
  set->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return ask(with, "clock_set", {{"time", *time}},
                 [](const json& a) { fmt::print("it is {}\n", field(a, "now")); });
    };
  });
}

} // namespace candor::ctl
