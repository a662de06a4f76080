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

} // namespace

void add_policy(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "policy", "Policies: check and compare files, show what a node has");
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
}

} // namespace candor::ctl
