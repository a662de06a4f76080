// `candorctl node`: one node is stopped, made to log more, its clock shown and set.
#include <memory>

#include <fmt/format.h>

#include "tools/candorctl/session.hpp"

namespace candor::ctl {

void add_node(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "node", "The node that --node names");
  auto* stop = add_command(*group, "stop", "End the node in order", "  candorctl node stop");
  stop->callback([&with, &chosen] {
    chosen = [&with] {
      return call_and_print(with, "stop", json::object(),
                            [](const json&) { fmt::print("stopping\n"); });
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
      return call_and_print(with, "log_level", {{"level", *name}},
                            [](const json& a) { fmt::print("log level {}\n", field(a, "level")); });
    };
  });
  auto* clock = add_group(*group, "clock", "The node's clock");
  auto* show =
      add_command(*clock, "show", "What time it is for the node", "  candorctl node clock show");
  show->callback([&with, &chosen] {
    chosen = [&with] {
      return call_and_print(with, "clock_show", json::object(), [](const json& a) {
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
      return call_and_print(with, "clock_set", {{"time", *time}},
                            [](const json& a) { fmt::print("it is {}\n", field(a, "now")); });
    };
  });
}

} // namespace candor::ctl
