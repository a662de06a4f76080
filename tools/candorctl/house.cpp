// candorctl about itself and what is on this machine: version, completion, reference, config, key.
#include <iostream>
#include <memory>

#include <fmt/format.h>

#include "actors/gateway/keys.hpp"
#include "actors/supervision/config/config.hpp"
#include "actors/supervision/config/rehearsal.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"
#include "tools/candorctl/reference.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

/// Commands that are shown: those in no hidden group.
std::vector<const CLI::App*> shown_commands(const CLI::App& app) {
  std::vector<const CLI::App*> made;
  for (const auto* c : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!c->get_group().empty())
      made.push_back(c);
  return made;
}

std::vector<const CLI::Option*> shown_options(const CLI::App& app) {
  std::vector<const CLI::Option*> made;
  for (const auto* o : app.get_options())
    if (o->get_name() != "--help")
      made.push_back(o);
  return made;
}

std::string option_names(const CLI::Option& o) {
  if (o.get_positional())
    return o.get_name(true);
  std::string made;
  for (const auto& s : o.get_snames())
    made += "-" + s + ", ";
  for (const auto& l : o.get_lnames())
    made += "--" + l + ", ";
  made.resize(made.size() - 2);
  if (o.get_items_expected_max() > 0 && !o.get_type_name().empty())
    made += " " + o.get_type_name();
  return made;
}

void write_options(const CLI::App& app) {
  auto options = shown_options(app);
  if (options.empty())
    return;
  fmt::print("\n| option | what |\n| --- | --- |\n");
  for (const auto* o : options)
    fmt::print("| `{}` | {}{} |\n", cell(option_names(*o)), cell(o->get_description()),
               o->get_envname().empty() ? ""
                                        : fmt::format("; environment: `{}`", o->get_envname()));
}

void write_footer(const CLI::App& app) {
  auto footer = app.get_footer();
  while (footer.starts_with('\n'))
    footer.erase(0, 1);
  if (!footer.starts_with("Example:\n"))
    return;
  fmt::print("\n```\n");
  for (std::size_t at = footer.find('\n') + 1; at < footer.size();) {
    auto end = std::min(footer.find('\n', at), footer.size());
    std::string_view line{footer.data() + at, end - at};
    if (line.starts_with("  "))
      line.remove_prefix(2);
    fmt::print("{}\n", line);
    at = end + 1;
  }
  fmt::print("```\n");
}

void write_command(const CLI::App& app, const std::string& path) {
  auto name = path.empty() ? app.get_name() : path + " " + app.get_name();
  auto inner = shown_commands(app);
  fmt::print("\n{} {}\n\n{}.\n", inner.empty() ? "###" : "##", name, app.get_description());
  write_options(app);
  write_footer(app);
  for (const auto* c : inner)
    write_command(*c, name);
}

int write_reference(const CLI::App& app) {
  fmt::print("# candorctl\n\n"
             "<!-- Made by `candorctl reference`; a stale file fails a test. -->\n\n"
             "{}\n\nEvery command takes, before or after its name:\n",
             exit_codes_line);
  write_options(app);
  for (const auto* c : shown_commands(app))
    write_command(*c, {});
  return exit_fine;
}

/// "path) words" for each level of the tree.
void write_cases(const CLI::App& app, const std::string& path, const std::string& common) {
  std::string words;
  for (const auto* c : shown_commands(app))
    words += c->get_name() + " ";
  for (const auto* o : app.get_options()) {
    for (const auto& l : o->get_lnames())
      words += "--" + l + " ";
  }
  fmt::print("    \"{}\") words=\"{}{}\" ;;\n", path, words, common);
  for (const auto* c : shown_commands(app))
    write_cases(*c, path + " " + c->get_name(), common);
}

void write_paths(const CLI::App& app, const std::string& path, std::string& to) {
  for (const auto* c : shown_commands(app)) {
    auto next = path + " " + c->get_name();
    to += (to.empty() ? "\"" : "|\"") + next + "\"";
    write_paths(*c, next, to);
  }
}

int write_bash_completion(const CLI::App& app) {
  std::string paths;
  write_paths(app, "", paths);
  fmt::print("# bash completion of candorctl: source <(candorctl completion bash)\n"
             "_candorctl() {{\n"
             "  local path=\"\" words=\"\" i\n"
             "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "    case \"$path ${{COMP_WORDS[i]}}\" in\n"
             "    {}) path=\"$path ${{COMP_WORDS[i]}}\" ;;\n"
             "    esac\n"
             "  done\n"
             "  case \"$path\" in\n",
             paths);
  write_cases(app, "", "--output --node --key --ca --timeout");
  fmt::print("  esac\n"
             "  COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n"
             "}}\n"
             "complete -o default -F _candorctl candorctl\n");
  return exit_fine;
}

int check_config(const session& with, const std::string& file) {
  auto config =
      config::load(file.empty() ? std::nullopt : std::optional<std::filesystem::path>{file},
                   config::shipped_folder(), {});
  if (!config)
    return with.complain(config.error());
  auto files = config::check(*config);
  if (!files)
    return with.complain(files.error());
  if (auto tried = config::rehearse(*config, *files); !tried)
    return with.complain(tried.error());
  json policies = json::array();
  for (const auto& p : files->policies)
    policies.push_back(p.id + " " + p.version);
  auto operators = config->admin.value_or(config->http);
  json answer = {{"file", config->file.string()},
                 {"name", config->name},
                 {"data", config->data.string()},
                 {"http", fmt::format("{}:{}", config->http.address, config->http.port)},
                 {"admin", fmt::format("{}:{}", operators.address, operators.port)},
                 {"tls", !config->tls_certificate.empty()},
                 {"keys", config->keys.size()},
                 {"clock", config->settable_clock ? "settable" : "system"},
                 {"shards", config->shards},
                 {"regions", files->regions.codes().size()},
                 {"policies", std::move(policies)}};
  if (!config->cluster.empty()) {
    answer["cluster"] = config->cluster;
    answer["etcd"] = config->etcd;
    answer["node_address"] = config->node_address;
    answer["zone"] = config->zone;
    answer["replicas"] = config->replicas;
    answer["in_sync_min"] = config->in_sync_min;
    answer["cluster_nodes"] = config->cluster_nodes;
    answer["advertise"] = config->advertise;
    answer["log_kept_bytes"] = config->log_kept_bytes;
  }
  auto doubts = config::warnings(*config);
  if (!doubts.empty())
    answer["warnings"] = doubts;
  with.print(answer, [&doubts](json fields) {
    fields.erase("warnings");
    fmt::print("{} is valid\n", field(fields, "file"));
    print_fields(fields);
    for (const auto& sentence : doubts)
      fmt::print("warning: {}\n", sentence);
  });
  return exit_fine;
}

/// From stdin, so that it stands in no shell history and no list of processes.
int hash_key(const session& with, bool make) {
  std::string key;
  if (make) {
    auto random = make_system_rng();
    key = random_id(*random, "ck-") + random_id(*random, "");
  } else {
    std::getline(std::cin, key);
  }
  auto hash = gateway::hash_api_key(key);
  if (!hash)
    return with.complain(hash.error());
  json answer = {{"hash", *hash}};
  if (make)
    answer["key"] = key;
  with.print(answer, [&](const json& a) {
    fmt::print("hash = \"{}\"\n", field(a, "hash"));
    if (make)
      fmt::print(stderr, "key    {}\n  It is shown only now; the configuration keeps the hash.\n",
                 field(a, "key"));
  });
  return exit_fine;
}

struct token_order {
  std::string user, lifetime, secret_file;
};

/// As a platform signs them; nothing is asked of a node.
int make_token(const session& with, const token_order& o) {
  auto user = user_id::parse(o.user);
  if (!user)
    return with.complain(user.error());
  auto secret = config::read_user_token_secret(o.secret_file);
  if (!secret)
    return with.complain(secret.error());
  auto expires = make_system_clock()->now() + *parse_duration(o.lifetime);
  auto token = gateway::make_user_token(*secret, *user, expires);
  if (!token)
    return with.complain(token.error());
  with.print({{"token", *token}, {"expires", format_time(expires)}},
             [](const json& a) { fmt::print("{}\n", field(a, "token")); });
  return exit_fine;
}

} // namespace

void add_config(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "config", "A node's configuration");
  auto* c = add_command(*group, "check",
                        "Check a configuration and every file that it names, without a node",
                        "  candorctl config check /etc/candor/node.toml");
  auto file = std::make_shared<std::string>();
  c->add_option("FILE", *file, "the configuration [the shipped one]");
  c->callback([=, &with, &chosen] { chosen = [=, &with] { return check_config(with, *file); }; });
}

void add_key(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "key", "API keys");
  auto* c = add_command(*group, "hash",
                        "Read a key from stdin and print what the configuration keeps of it",
                        "  candorctl key hash < key.txt\n  candorctl key hash --new");
  auto make = std::make_shared<bool>(false);
  c->add_flag("--new", *make, "make a key first, and show it once");
  c->callback([=, &with, &chosen] { chosen = [=, &with] { return hash_key(with, *make); }; });
  auto* t = add_command(
      *group, "user-token", "Sign a token with which one person's own client may ask for them",
      "  candorctl key user-token u-42 --for 1h --secret /etc/candor/user-tokens.secret");
  auto o = std::make_shared<token_order>();
  t->add_option("USER", o->user, "the person, as the platform names them")->required();
  t->add_option("--for", o->lifetime, "how long from now it is valid, by this machine's clock")
      ->type_name("TIME")
      ->required()
      ->check([](const std::string& text) {
        auto given = parse_duration(text);
        return given && given->count() > 0 ? std::string{}
                                           : "a duration such as 1h is needed, not " + text;
      });
  t->add_option("--secret", o->secret_file, "the nodes' user_token_secret_file")
      ->type_name("FILE")
      ->required();
  t->callback([=, &with, &chosen] { chosen = [=, &with] { return make_token(with, *o); }; });
}

void add_house(CLI::App& app, session& with, command& chosen) {
  auto* version = add_command(app, "version", "Print candorctl's version", "  candorctl version");
  version->callback([&with, &chosen] {
    chosen = [&with] {
      with.print({{"candorctl", CANDOR_VERSION}},
                 [](const json& a) { fmt::print("candorctl {}\n", field(a, "candorctl")); });
      return int{exit_fine};
    };
  });
  auto* completion = add_command(app, "completion", "Print a completion script for a shell",
                                 "  source <(candorctl completion bash)");
  completion->add_option("SHELL", "bash")
      ->required()
      ->check(CLI::IsMember({"bash"}).description(""));
  completion->callback([&app, &chosen] { chosen = [&app] { return write_bash_completion(app); }; });
  auto* reference = add_command(app, "reference", "Print a page of docs/reference",
                                "  candorctl reference > docs/reference/cli.md");
  reference->group(""); // hidden: only whoever changes Candor needs it
  auto page = std::make_shared<std::string>("cli");
  reference->add_option("PAGE", *page, "cli, config or errors [cli]")
      ->check(CLI::IsMember({"cli", "config", "errors"}).description(""));
  reference->callback([=, &app, &chosen] {
    chosen = [=, &app] {
      if (*page == "cli")
        return write_reference(app);
      fmt::print("{}", *page == "config" ? config_page() : errors_page());
      return int{exit_fine};
    };
  });
}

} // namespace candor::ctl
