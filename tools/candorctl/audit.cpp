// `candorctl audit`: reading the hash-chained log and holding it against what is known.
#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "actors/supervision/config/config.hpp"
#include "storage/base/limits.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

std::string short_hash(const std::string& hash) {
  return hash.substr(0, 12);
}

/// What an auditor holds of the chains: kept answers of `audit verify`, and receipts.
result<json> read_known(const std::vector<std::string>& kept,
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

} // namespace

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

} // namespace candor::ctl
