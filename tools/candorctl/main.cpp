/// candorctl: the operator's and auditor's command line.
/// Exit codes: `exit_code` in session.hpp.

#include <map>

#include "storage/base/time.hpp"
#include "tools/candorctl/session.hpp"

namespace {

using namespace candor;
using namespace candor::ctl;

void add_common_options(CLI::App& app, session& with) {
  static const std::map<std::string, output> forms = {
      {"text", output::text}, {"json", output::json}, {"jsonl", output::jsonl}};
  app.add_option_function<std::string>(
         "-o,--output", [&with](const std::string& form) { with.as = forms.at(form); },
         "how results are printed: text, json or jsonl (a JSON object a line) [text]")
      ->type_name("FORM")
      ->check(CLI::IsMember(forms).description(""));
  app.add_option("--node", with.node,
                 "URL of a node [one of `tools/cluster up`, or http://127.0.0.1:8080]")
      ->envname("CANDOR_NODE")
      ->type_name("URL");
  app.add_option("--key", with.key, "API key")->envname("CANDOR_KEY")->type_name("KEY");
  app.add_option("--ca", with.ca_file, "certificate authority of an https node (PEM)")
      ->envname("CANDOR_CA")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--timeout", [&with](const std::string& text) { with.timeout = *parse_duration(text); },
         "of one call, such as 30s or 2m [30s]")
      ->type_name("TIME")
      ->check([](const std::string& text) {
        auto given = parse_duration(text);
        return given && given->count() > 0 ? std::string{}
                                           : "a duration such as 30s is needed, not " + text;
      });
}

} // namespace

int main(int argc, char** argv) {
  session with;
  command chosen;
  CLI::App app{"candorctl: the command line of Candor's operators and auditors.", "candorctl"};
  app.require_subcommand(1);
  app.fallthrough(); // common options may stand after the command too
  add_common_options(app, with);
  app.footer("Every command takes these options, before or after its name.\n" +
             std::string{exit_codes_line} +
             "\n\nExample:\n  candorctl doctor\n  candorctl user interests u-42 -o json");
  add_ingest(app, with, chosen);
  add_user(app, with, chosen);
  add_topics(app, with, chosen);
  add_notice(app, with, chosen);
  add_import(app, with, chosen);
  add_policy(app, with, chosen);
  add_audit(app, with, chosen);
  add_ads(app, with, chosen);
  add_cluster(app, with, chosen);
  add_backup(app, with, chosen);
  add_node(app, with, chosen);
  add_doctor(app, with, chosen);
  add_config(app, with, chosen);
  add_key(app, with, chosen);
  add_house(app, with, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? exit_fine : exit_usage;
  }
  if (auto found = with.find_nodes(); !found)
    return with.complain(found.error());
  try {
    return chosen();
  } catch (const std::exception& e) {
    return with.complain(error{errc::internal, e.what()});
  }
}
