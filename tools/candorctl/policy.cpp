// Policies: checked and compared without a node, shown by one.
#include <map>
#include <memory>

#include <fmt/format.h>

#include "actors/supervision/config/config.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/policy/policy.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

result<model::policy> read_policy(const std::string& file, const std::string& regions_file) {
  auto regions_path = regions_file.empty() ? config::shipped_folder() / "regions.toml"
                                           : std::filesystem::path{regions_file};
  CANDOR_TRY(regions_text, config::read_file(regions_path, limits::config_file_bytes));
  CANDOR_TRY(regions, model::region_table::parse(regions_text, regions_path.string()));
  CANDOR_TRY(text, config::read_file(file, limits::policy_file_bytes));
  return model::parse_policy(text, file, regions);
}

std::string duration(millis span) {
  auto s = span.count() / 1000;
  for (auto [unit, seconds] : {std::pair{'d', 86'400}, {'h', 3600}, {'m', 60}})
    if (s != 0 && s % seconds == 0)
      return fmt::format("{}{}", s / seconds, unit);
  return fmt::format("{}s", s);
}

template <class List, class Name>
std::string join(const List& list, Name name) {
  std::string made;
  for (const auto& item : list)
    made += (made.empty() ? "" : ", ") + std::string{name(item)};
  return made.empty() ? "none" : made;
}

/// Everything that a version says, by its name in the file.
json fields_of(const model::policy& p) {
  auto same = [](const std::string& text) { return text; };
  auto slug = [](auto value) { return to_string(value); };
  return {{"id", p.id},
          {"version", p.version},
          {"notice_revision", std::to_string(p.notice_revision)},
          {"announce_at", format_time(p.announce_at)},
          {"effective_at", format_time(p.effective_at)},
          {"audience", p.audience},
          {"minimum_age", std::to_string(p.minimum_age)},
          {"unknown_age", p.unknown_age == model::unknown_age_rule::adult ? "adult" : "minor"},
          {"opt_out", to_string(p.opt_out)},
          {"require_notice", p.require_notice ? "true" : "false"},
          {"notice_lead", duration(p.notice_lead)},
          {"excluded_regions", join(p.excluded_regions, same)},
          {"purge_grace", duration(p.purge_grace)},
          {"sensitive_extra", join(p.sensitive_extra, same)},
          {"uses.ads", join(p.ads_sources, slug)},
          {"uses.content", join(p.content_sources, slug)},
          {"decay.half_life", duration(p.half_life)},
          {"decay.retention", duration(p.retention)},
          {"notices.channels", join(p.notice_channels, slug)},
          {"notices.complete_by",
           p.notices_complete_by ? format_time(*p.notices_complete_by) : std::string{"none"}},
          {"notices.quiet_hours",
           p.quiet_from.empty() ? "none" : p.quiet_from + " to " + p.quiet_until},
          {"notices.rate_per_second", std::to_string(p.notices_per_second)},
          {"notices.templates", p.notice_templates.empty() ? "none" : p.notice_templates}};
}

/// The file's text, checked by the node that gets it; and the version that it says.
struct policy_file {
  std::string text, version;
};

result<policy_file> read_checked(const std::string& file) {
  CANDOR_TRY(policy, read_policy(file, {}));
  return policy_file{policy.text, policy.version};
}

void add_changes(CLI::App& group, session& with, command& chosen) {
  auto file = std::make_shared<std::string>();
  auto* s = add_command(group, "simulate", "Whom a policy would change; nothing is changed",
                        "  candorctl policy simulate policies/next.toml");
  s->add_option("FILE", *file, "the policy")->required();
  s->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto read = read_checked(*file);
      if (!read)
        return with.complain(read.error());
      auto answer = with.admin("policy_simulate", {{"text", read->text}});
      if (!answer)
        return with.complain(answer.error());
      with.print(*answer, [](const json& effect) { print_fields(effect); });
      return int{exit_fine};
    };
  });
  auto late = std::make_shared<bool>(false);
  auto* a = add_command(group, "apply",
                        "Hand a version to every shard; exits 10 where some have not logged it yet",
                        "  candorctl policy apply policies/next.toml");
  a->add_option("FILE", *file, "the policy")->required();
  a->add_flag("--late", *late, "although its effective time has passed");
  a->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto read = read_checked(*file);
      if (!read)
        return with.complain(read.error());
      if (auto put = with.admin("policy_put", {{"text", read->text}}); !put)
        return with.complain(put.error());
      auto answer = with.admin("policy_apply", {{"version", read->version}, {"late", *late}});
      if (!answer)
        return with.complain(answer.error());
      auto applied = answer->value("applied", false);
      with.print(*answer, [applied](const json& done) {
        if (applied)
          fmt::print("every shard has logged {}\n", field(done, "version"));
        else
          fmt::print("{} is applied; it is being handed to shards {}\n", field(done, "version"),
                     field(done, "shards_missing"));
      });
      return int{applied ? exit_fine : exit_unhealthy};
    };
  });
}

/// "████████··" of 30 characters.
std::string bar(std::uint64_t done, std::uint64_t of) {
  constexpr std::uint64_t width = 30;
  auto full = of == 0 ? width : done * width / of;
  std::string made;
  for (std::uint64_t i = 0; i < width; ++i)
    made += i < full ? "█" : "·";
  return made;
}

void add_readiness(CLI::App& group, session& with, command& chosen) {
  auto* r = add_command(group, "readiness",
                        "Who has been told, who not yet, and whether the deadline will be met",
                        "  candorctl policy readiness");
  r->callback([&with, &chosen] { chosen = [&with] { return show_readiness(with); }; });
}

} // namespace

int show_readiness(session& with) {
  auto answer = with.admin("policy_readiness", json::object());
  if (!answer)
    return with.complain(answer.error());
  with.print_list(*answer, "notices", [](const json& shown) {
    if (shown.at("notices").empty())
      fmt::print("no notices are going out, or none has been counted yet\n");
    for (const auto& n : shown.at("notices")) {
      auto audience = n.value("audience", std::uint64_t{0});
      auto told = audience - n.value("waiting", std::uint64_t{0});
      const auto& mails = n.at("mails");
      fmt::print("{} revision {}\n  {} {} of {} told, {} reached\n", field(n, "policy"),
                 field(n, "revision"), bar(told, audience), told, audience, field(n, "reached"));
      fmt::print("  in the app {}, mails sent {}, waiting {}, failed {}\n", field(n, "in_app"),
                 field(mails, "sent"), field(mails, "intended"), field(mails, "failed"));
      if (auto by = n.find("complete_by"); by != n.end()) {
        auto met = n.at("will_be_met");
        fmt::print("  complete by {}: {}\n", field(n, "complete_by"),
                   met.is_null()     ? "not known yet"
                   : met.get<bool>() ? "will be met"
                                     : "WILL NOT BE MET at this rate");
      }
    }
    fmt::print("{:.1f} notices a second{}\n", shown.value("notices_per_second", 0.0),
               shown.value("paused", false) ? ", paused" : "");
  });
  return exit_fine;
}

void add_policy(CLI::App& app, session& with, command& chosen) {
  auto* group =
      add_group(app, "policy", "Policies: check, compare, try out, apply, and see who was told");
  auto regions = std::make_shared<std::string>();
  auto options = [&](CLI::App* c) {
    c->add_option("--regions", *regions, "regions.toml [the shipped one]")->type_name("FILE");
  };
  auto* v = add_command(*group, "validate",
                        "Check a policy file; a mistake is named with line and column",
                        "  candorctl policy validate configs/policies/ai-interactions-2025-12-16.1"
                        ".toml");
  auto file = std::make_shared<std::string>();
  v->add_option("FILE", *file, "the policy")->required();
  options(v);
  v->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto p = read_policy(*file, *regions);
      if (!p)
        return with.complain(p.error());
      with.print(fields_of(*p), [&](const json& fields) {
        fmt::print("{} is valid\n", *file);
        print_fields(fields);
      });
      return int{exit_fine};
    };
  });
  auto* d = add_command(*group, "diff", "What differs between two policy files",
                        "  candorctl policy diff policies/old.toml policies/new.toml");
  auto a = std::make_shared<std::string>(), b = std::make_shared<std::string>();
  d->add_option("A", *a, "one")->required();
  d->add_option("B", *b, "the other")->required();
  options(d);
  d->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      auto one = read_policy(*a, *regions), other = read_policy(*b, *regions);
      if (!one || !other)
        return with.complain((one ? other : one).error());
      auto left = fields_of(*one), right = fields_of(*other);
      json changes = json::array();
      for (const auto& [name, value] : left.items())
        if (value != right.at(name))
          changes.push_back({{"field", name}, {"a", value}, {"b", right.at(name)}});
      with.print_list({{"changes", std::move(changes)}}, "changes", [](const json& found) {
        if (found.at("changes").empty()) {
          fmt::print("they say the same\n");
          return;
        }
        std::vector<std::vector<std::string>> rows = {{"FIELD", "A", "B"}};
        for (const auto& c : found.at("changes"))
          rows.push_back({field(c, "field"), field(c, "a"), field(c, "b")});
        print_table(rows);
      });
      return int{exit_fine};
    };
  });
  auto* s = add_command(*group, "show", "The versions that the node has, and which is in force",
                        "  candorctl policy show\n"
                        "  candorctl policy show -o jsonl | jq -r .text");
  s->callback([&with, &chosen] {
    chosen = [&with] {
      auto answer = with.admin("policy_show", json::object());
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "versions", [](const json& shown) {
        fmt::print("in force: {}\n",
                   plain(shown.at("in_force")) == "-" ? "none" : field(shown, "in_force"));
        for (const auto& v : shown.at("versions"))
          fmt::print("  {}  effective {}\n", field(v, "version"), field(v, "effective_at"));
        if (auto missing = shown.find("shards_missing");
            missing != shown.end() && !missing->empty())
          fmt::print("not yet at every shard: {} are missing\n", missing->size());
      });
      return int{exit_fine};
    };
  });
  auto* h = add_command(*group, "history", "Which version was applied when, and held from when",
                        "  candorctl policy history");
  h->callback([&with, &chosen] {
    chosen = [&with] {
      auto answer = with.admin("policy_show", json::object());
      if (!answer)
        return with.complain(answer.error());
      with.print_list(*answer, "versions", [](const json& shown) {
        std::vector<std::vector<std::string>> rows = {{"VERSION", "APPLIED", "EFFECTIVE"}};
        for (const auto& v : shown.at("versions"))
          rows.push_back({field(v, "version"), field(v, "applied_at"), field(v, "effective_at")});
        print_table(rows);
      });
      return int{exit_fine};
    };
  });
  add_changes(*group, with, chosen);
  add_readiness(*group, with, chosen);
}

} // namespace candor::ctl
