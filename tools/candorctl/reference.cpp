#include "tools/candorctl/reference.hpp"

#include <fmt/format.h>

#include "actors/gateway/keys.hpp"
#include "actors/supervision/config/config.hpp"
#include "storage/base/error.hpp"

namespace candor::ctl {

std::string cell(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2)
    text.insert(i, "\\");
  return text;
}

std::string config_page() {
  std::string page =
      "# A node's configuration\n\n"
      "<!-- Made by `candorctl reference config`; a stale file fails a test. -->\n\n"
      "A TOML file ([node.toml](../../configs/node.toml) is the shipped one), named by `--config` "
      "or `CANDOR_CONFIG`. Every key\n"
      "of the first table is also a flag of `candord` and an environment variable; the flag wins "
      "over the environment, and that\n"
      "over the file. Paths in the file are relative to its folder, but that of `data`, which is "
      "relative to where the node is\n"
      "started, as paths of flags and variables are. `candorctl config check FILE` reads a file "
      "and all that it names.\n\n"
      "| key | flag | variable | what | default |\n| --- | --- | --- | --- | --- |\n";
  for (const auto& p : config::properties())
    page += fmt::format("| `{}` | `{}` | `{}` | {} | {} |\n", p.name, p.flag(), p.variable(),
                        cell(p.sentence), p.fallback.empty() ? "" : cell(p.fallback));
  page +=
      "\nIn a file alone:\n\n"
      "| key | what |\n| --- | --- |\n"
      "| `policies` | the paths of the policies' files, 1 to 64; required |\n"
      "| `[[keys]]` | one table for each API key: `name` stands in the audit log; `role` is " +
      gateway::key_roles() +
      "; `hash` is what `candorctl key hash` prints. None: allowed on loopback only, and "
      "everyone may do everything |\n"
      "\nIn the environment alone: `CANDOR_CONFIGS`, the folder of the shipped configuration.\n";
  return page;
}

std::string errors_page() {
  std::string page =
      "# Errors\n\n"
      "<!-- Made by `candorctl reference errors`; a stale file fails a test. -->\n\n"
      "Over HTTP an error is a problem (RFC 9457, `application/problem+json`) with the name as its "
      "`code`, the sentence as `title`,\n"
      "`remedy` and mostly a `detail`. `candorctl` and `candord` print \"name: sentence (detail)\" "
      "and "
      "the remedy. Names are a promise; sentences\n"
      "may change.\n";
  for (const auto& row : error_table())
    page +=
        fmt::format("\n## {}\n\n{}. {} {}\n", row.slug, row.http_status, row.sentence, row.remedy);
  return page;
}

} // namespace candor::ctl
