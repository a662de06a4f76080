// `candorctl import`: runs by which events older than a day come in.
#include <memory>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

void add_import(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "import", "Import runs: the way in for events older than a day");
  auto* open = add_command(*group, "open", "Open a run; its event ids are remembered until closed",
                           "  run=$(candorctl import open history -o json | jq .run)\n"
                           "  candorctl ingest history.ndjson --import $run");
  auto name = std::make_shared<std::string>();
  open->add_option("NAME", *name, "what it is called in the audit log")->required();
  open->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return call_and_print(with, "import_open", {{"name", *name}},
                            [](const json& a) { fmt::print("run {} is open\n", field(a, "run")); });
    };
  });
  auto* close = add_command(*group, "close", "Close a run", "  candorctl import close 81233");
  auto run = std::make_shared<std::uint32_t>();
  close->add_option("RUN", *run, "the run's number")->required();
  close->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return call_and_print(with, "import_close", {{"run", *run}}, [](const json& a) {
        fmt::print("run {} is closed\n", field(a, "run"));
      });
    };
  });
  auto* list = add_command(*group, "list", "List the open runs", "  candorctl import list");
  list->callback([&with, &chosen] {
    chosen = [&with] {
      return call_and_print(with, "imports", json::object(), [](const json& a) {
        if (a.at("open").empty())
          fmt::print("no run is open\n");
        for (const auto& r : a.at("open"))
          fmt::print("{}\n", r.dump());
      });
    };
  });
}

} // namespace candor::ctl
