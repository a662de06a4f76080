// `candorctl cluster`: how the cluster is, and what an operator does with its nodes and shards.
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "storage/base/time.hpp"
#include "tools/candorctl/cluster_view.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr auto look_every = 1s;

http_client::outcome<json> look(const session& with) {
  return with.connect().get("/v1/cluster");
}

std::string machine_time() {
  return format_time(std::chrono::floor<millis>(std::chrono::system_clock::now()));
}

int show_status(const session& with, bool all_shards) {
  auto answer = look(with);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, [all_shards](const json& a) {
    print_table(summary_rows(a));
    for (const auto& sentence : find_problems(a))
      fmt::print("problem   {}\n", sentence);
    if (auto nodes = node_rows(a); nodes.size() > 1) {
      fmt::print("\n");
      print_table(nodes);
    }
    if (all_shards) {
      fmt::print("\n");
      print_table(shard_rows(a, false));
    }
  });
  return exit_fine;
}

struct health_options {
  bool watch = false;
  bool exit_when_healthy = false;
  std::optional<millis> within;
};

json health_of(const http_client::outcome<json>& answer) {
  auto problems = answer ? find_problems(*answer)
                         : std::vector{"no node answers: " + answer.error().why.to_string()};
  return {{"healthy", problems.empty()}, {"problems", std::move(problems)}};
}

void print_health(const json& health) {
  if (health.at("problems").empty())
    fmt::print("healthy\n");
  for (const auto& sentence : health.at("problems"))
    fmt::print("{}\n", plain(sentence));
}

/// Tells what changes until it is healthy (where that is waited for), too late, or interrupted.
int watch_health(const session& with, const health_options& o) {
  json told;
  auto until = steady::now() + o.within.value_or(0ms);
  for (;;) {
    auto health = health_of(look(with));
    if (health != told) {
      auto line = json{{"at", machine_time()}};
      line.update(health);
      with.print(line, [&](const json& l) {
        fmt::print("{}  ", field(l, "at"));
        print_health(l);
      });
      std::fflush(stdout);
      told = health;
    }
    if (o.exit_when_healthy && health.at("healthy") == true)
      return exit_fine;
    if (o.within && steady::now() >= until)
      return health.at("healthy") == true ? exit_fine : exit_unhealthy;
    std::this_thread::sleep_for(look_every);
  }
}

int show_health(const session& with, const health_options& o) {
  if (o.watch || o.exit_when_healthy)
    return watch_health(with, o);
  auto answer = look(with);
  if (!answer)
    return with.complain(answer.error());
  auto health = health_of(answer);
  with.print(health, print_health);
  return health.at("healthy") == true ? exit_fine : exit_unhealthy;
}

/// A part of the state as a list.
int show_list(const session& with, const char* items,
              const std::function<table(const json&)>& rows) {
  auto answer = look(with);
  if (!answer)
    return with.complain(answer.error());
  json part = {{items, answer->contains(items) ? answer->at(items) : json::array()}};
  with.print_list(part, items, [&](const json&) { print_table(rows(*answer)); });
  return exit_fine;
}

/// Calls the verb, and says its answer's "said", or its fields.
int tell(const session& with, std::string_view verb, const json& arguments,
         const std::string& sentence) {
  auto answer = with.admin(verb, arguments);
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, [&](const json&) { fmt::print("{}\n", sentence); });
  return exit_fine;
}

struct drain_options {
  std::string node;
  bool wait = false;
  millis within{300'000};
};

/// Until the node leads nothing, so that stopping it interrupts nobody.
int drain(const session& with, const drain_options& o) {
  if (!o.wait)
    return tell(with, "drain", {{"node", o.node}},
                fmt::format("{} is draining: it hands its shards off, and gets no others", o.node));
  auto answer = with.admin("drain", {{"node", o.node}});
  if (!answer)
    return with.complain(answer.error());
  auto until = steady::now() + o.within;
  std::optional<std::uint64_t> left;
  for (;;) {
    auto cluster = look(with);
    if (cluster) {
      left = shards_led(*cluster, o.node);
      if (!left)
        return with.complain(error{errc::not_found, "there is no node " + o.node});
      if (*left == 0)
        break;
    }
    if (steady::now() >= until) {
      fmt::print(stderr, "{} still leads {} shards\n", o.node,
                 left ? fmt::format("{}", *left) : "an unknown number of");
      return exit_unhealthy;
    }
    std::this_thread::sleep_for(100ms);
  }
  with.print({{"node", o.node}, {"led", 0}},
             [&](const json&) { fmt::print("{} leads nothing: it may be stopped\n", o.node); });
  return exit_fine;
}

int rebalance(const session& with, bool dry_run) {
  auto answer = with.admin("rebalance", {{"dry_run", dry_run}});
  if (!answer)
    return with.complain(answer.error());
  with.print(*answer, [dry_run](const json& a) {
    auto moves = a.find("moves");
    if (moves == a.end() || !moves->is_array() || moves->empty()) {
      fmt::print("every shard is where it should be\n");
      return;
    }
    table rows = {{"SHARD", "FROM", "TO"}};
    for (const auto& m : *moves)
      rows.push_back({field(m, "shard"), field(m, "from"), field(m, "to")});
    print_table(rows);
    fmt::print("{} moves{}\n", moves->size(), dry_run ? " would be made" : " are under way");
  });
  return exit_fine;
}

/// Until interrupted or enough; a stream that ends is opened again where it ended.
int show_events(const session& with, std::uint64_t enough) {
  std::string last;
  std::uint64_t told = 0;
  auto show = [&](const http_client::server_event& e) {
    auto data = json::parse(e.data, nullptr, false);
    if (data.is_discarded())
      data = e.data;
    if (with.as == output::text)
      fmt::print("{}\n", event_line(e.name, data));
    else
      fmt::print("{}\n", json{{"id", e.id}, {"event", e.name}, {"data", data}}.dump());
    std::fflush(stdout);
    if (!e.id.empty())
      last = e.id; // kept also where the stream breaks off
    return ++told != enough;
  };
  auto was_open = false;
  while (enough == 0 || told < enough) {
    auto read = with.connect().listen("/v1/cluster/events", last, show);
    if (!read && (read.error().status != 0 || !was_open))
      return with.complain(read.error());
    was_open = true;
    if (!read && with.as == output::text)
      fmt::print(stderr, "the stream broke off ({}); opening another\n",
                 read.error().why.to_string());
    if (enough == 0 || told < enough)
      std::this_thread::sleep_for(500ms);
  }
  return exit_fine;
}

/// An option that takes a duration.
template <class To>
CLI::Option* add_duration(CLI::App& c, const std::string& name, To set, const std::string& what) {
  return c
      .add_option_function<std::string>(
          name, [set](const std::string& text) { set(*parse_duration(text)); }, what)
      ->type_name("TIME")
      ->check([](const std::string& text) {
        return parse_duration(text) ? std::string{} : "a duration such as 60s is needed";
      });
}

} // namespace

void add_cluster(CLI::App& app, session& with, command& chosen) {
  auto* group = add_group(app, "cluster", "All nodes");

  auto* status = add_command(*group, "status", "What the cluster says of itself",
                             "  candorctl cluster status\n  candorctl cluster status --shards");
  auto all = std::make_shared<bool>(false);
  status->add_flag("--shards", *all, "a line for each shard");
  status->callback(
      [=, &with, &chosen] { chosen = [=, &with] { return show_status(with, *all); }; });

  auto* health = add_command(
      *group, "health",
      "Whether every shard has a primary and all its copies and every node is up; exits 10 if not",
      "  candorctl cluster health\n"
      "  candorctl cluster health --exit-when-healthy --within 2m");
  auto h = std::make_shared<health_options>();
  health->add_flag("--watch", h->watch, "go on looking, and print what changes");
  health->add_flag("--exit-when-healthy", h->exit_when_healthy, "wait until it is healthy");
  add_duration(
      *health, "--within", [h](millis t) { h->within = t; },
      "of both: end after this long, with 10 where it is not healthy then");
  health->callback([=, &with, &chosen] { chosen = [=, &with] { return show_health(with, *h); }; });

  auto* nodes = add_command(*group, "nodes", "List the nodes", "  candorctl cluster nodes");
  nodes->callback(
      [&with, &chosen] { chosen = [&with] { return show_list(with, "nodes", node_rows); }; });

  auto* shards = add_command(*group, "shards", "List the shards: who leads each, who is in sync",
                             "  candorctl cluster shards\n  candorctl cluster shards --troubled");
  auto troubled = std::make_shared<bool>(false);
  shards->add_flag("--troubled", *troubled,
                   "only those without a primary or with too few copies in sync (text)");
  shards->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return show_list(with, "shards", [=](const json& a) { return shard_rows(a, *troubled); });
    };
  });

  auto* out = add_command(*group, "drain", "Hand off what a node leads and give it nothing more",
                          "  candorctl cluster drain node-2 --wait && systemctl restart candord");
  auto d = std::make_shared<drain_options>();
  out->add_option("NODE", d->node, "its name")->required();
  out->add_flag("--wait", d->wait, "until it leads nothing; exits 10 where that takes too long");
  add_duration(
      *out, "--within", [d](millis t) { d->within = t; }, "how long to wait [5m]");
  out->callback([=, &with, &chosen] { chosen = [=, &with] { return drain(with, *d); }; });

  auto name = std::make_shared<std::string>();
  auto* in = add_command(*group, "undrain", "Let a node lead and hold shards again",
                         "  candorctl cluster undrain node-2");
  in->add_option("NODE", *name, "its name")->required();
  in->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return tell(with, "undrain", {{"node", *name}}, fmt::format("{} takes shards again", *name));
    };
  });

  auto* forget = add_command(
      *group, "forget",
      "Say that a node that is down will not come back, nor its disk: erasures wait for it no more",
      "  candorctl cluster forget node-2");
  auto lost = std::make_shared<std::string>();
  forget->add_option("NODE", *lost, "its name")->required();
  forget->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return tell(with, "forget", {{"node", *lost}},
                  fmt::format("{} is forgotten: nothing waits for its disk any more", *lost));
    };
  });

  auto* move = add_command(*group, "move", "Let another node lead a shard",
                           "  candorctl cluster move 17 node-3");
  auto shard = std::make_shared<std::uint32_t>();
  move->add_option("SHARD", *shard, "its number")->required();
  move->add_option("NODE", *name, "who is to lead it")->required();
  move->callback([=, &with, &chosen] {
    chosen = [=, &with] {
      return tell(with, "move", {{"shard", *shard}, {"node", *name}},
                  fmt::format("shard {} moves to {}", *shard, *name));
    };
  });

  auto* balance = add_command(*group, "rebalance", "Spread the shards evenly over the nodes",
                              "  candorctl cluster rebalance --dry-run");
  auto dry = std::make_shared<bool>(false);
  balance->add_flag("--dry-run", *dry, "only say what would move");
  balance->callback([=, &with, &chosen] { chosen = [=, &with] { return rebalance(with, *dry); }; });

  auto* events = add_command(*group, "events", "Tell what happens in the cluster as it happens",
                             "  candorctl cluster events\n  candorctl cluster events -o jsonl");
  auto enough = std::make_shared<std::uint64_t>(0);
  events->add_option("--count", *enough, "end after so many [never]")->type_name("N");
  events->callback(
      [=, &with, &chosen] { chosen = [=, &with] { return show_events(with, *enough); }; });
}

} // namespace candor::ctl
