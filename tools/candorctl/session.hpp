/// What every command of candorctl shares: how it speaks to a node, how it prints, how it ends.
/// Guarantees: results go to stdout and everything else to stderr; errors come as "slug: sentence
/// (detail)", the remedy and the trace id, or as one JSON object where -o is json or jsonl.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "storage/base/error.hpp"
#include "tools/http_client/http_client.hpp"

namespace candor::ctl {

using json = nlohmann::ordered_json;

enum class output { text, json, jsonl };

/// What the process answers with.
enum exit_code : int {
  exit_fine = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_unhealthy = 10, ///< the cluster is unhealthy or a check does not hold
};

/// The same for people: of --help and of the reference.
inline constexpr std::string_view exit_codes_line =
    "Exit codes: 0 fine, 1 failed, 2 wrong usage, 10 the cluster is unhealthy or a check does not "
    "hold.";

struct session {
  output as = output::text;
  std::string node;               ///< as named; empty where `nodes` are
  std::vector<std::string> nodes; ///< of a cluster of this machine: any of them will do
  std::string key;
  std::string ca_file;
  millis timeout{30'000};

  /// To the node; of several to the first that answers, found anew with each call.
  http_client::client connect() const;

  /// Where no node was named: those of a cluster of this machine, with its authority and key, or
  /// the address that a node has by default. Error: `config_invalid`.
  result<void> find_nodes();

  /// Prints why and says what to exit with.
  int complain(const http_client::failure& why) const;
  int complain(const error& why) const;

  /// JSON as it is, or what `text` prints.
  void print(const json& answer, const std::function<void(const json&)>& text) const;

  /// The items of a list: a line each (jsonl), the whole (json), or what `text` prints.
  void print_list(const json& whole, const char* items,
                  const std::function<void(const json&)>& text) const;

  /// POST /v1/admin/{verb}
  http_client::outcome<json> admin(std::string_view verb, const json& arguments) const;
};

/// Calls the admin verb and prints its answer; an exit code.
int call_and_print(const session& with, std::string_view verb, const json& arguments,
                   const std::function<void(const json&)>& text);

/// The command that the command line chose.
using command = std::function<int()>;

/// Adds a command. `examples` stands at the end of its --help and in the reference.
CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& sentence,
                      const std::string& examples);

/// A command that holds others.
CLI::App* add_group(CLI::App& parent, const std::string& name, const std::string& sentence);

/// Fields one below another, names aligned; nested values as JSON.
void print_fields(const json& object);

/// Rows with columns aligned; the first row is the head.
void print_table(const std::vector<std::vector<std::string>>& rows);

/// A value as a person reads it: text without quotes, null as "-".
std::string plain(const json& value);

/// The field as `plain`, or "-".
std::string field(const json& object, std::string_view name);

bool is_terminal(int fd);

// One function a group; each adds its commands to `app`, and sets `chosen` when one is named.
void add_ingest(CLI::App& app, session& with, command& chosen);
void add_user(CLI::App& app, session& with, command& chosen);
void add_topics(CLI::App& app, session& with, command& chosen);
void add_notice(CLI::App& app, session& with, command& chosen);
void add_import(CLI::App& app, session& with, command& chosen);
void add_policy(CLI::App& app, session& with, command& chosen);
/// Prints who has been told of each policy; an exit code. Of two commands.
int show_readiness(session& with);
void add_audit(CLI::App& app, session& with, command& chosen);
void add_ads(CLI::App& app, session& with, command& chosen);        ///< campaign, content, ads
void add_user_ads(CLI::App& group, session& with, command& chosen); ///< of the group `user`
void add_backup(CLI::App& app, session& with, command& chosen);
void add_cluster(CLI::App& app, session& with, command& chosen);
void add_node(CLI::App& app, session& with, command& chosen);
void add_doctor(CLI::App& app, session& with, command& chosen);
void add_config(CLI::App& app, session& with, command& chosen);
void add_key(CLI::App& app, session& with, command& chosen);
void add_house(CLI::App& app, session& with, command& chosen); ///< version, completion, reference

} // namespace candor::ctl
