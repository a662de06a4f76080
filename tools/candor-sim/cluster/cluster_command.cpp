#include "tools/candor-sim/cluster/cluster_command.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"
#include "tools/candor-sim/cluster/cluster_world.hpp"

#ifdef CANDOR_PLANTED
namespace candor::inline planted_build {
bug planted_bug = bug::none;
} // namespace candor::inline planted_build
#endif

namespace candor::sim {

namespace {

using json = nlohmann::ordered_json;

#ifdef CANDOR_PLANTED

struct planted_row {
  std::string_view name;
  bug which;
};
constexpr planted_row planted_rows[] = {
    {"none", bug::none},
    {"ack_before_copies", bug::ack_before_copies},
    {"no_fsync", bug::no_fsync},
    {"cut_too_far", bug::cut_too_far},
    {"copy_short", bug::copy_short},
    {"audit_tail_lost", bug::audit_tail_lost},
    {"key_kept_by_copies", bug::key_kept_by_copies},
    {"erased_key_cached", bug::erased_key_cached},
    {"erased_rows_stay", bug::erased_rows_stay},
    {"dedupe_forgotten", bug::dedupe_forgotten},
    {"applied_twice", bug::applied_twice},
    {"policy_at_start_only", bug::policy_at_start_only},
    {"learned_untold", bug::learned_untold},
    {"intent_not_recorded", bug::intent_not_recorded},
    {"outcome_without_send", bug::outcome_without_send},
    {"stale_map", bug::stale_map},
    {"window_of_lost_link", bug::window_of_lost_link},
    {"money_forgotten", bug::money_forgotten},
    {"damage_unheard", bug::damage_unheard},
    {"log_time_is_wall", bug::log_time_is_wall},
    {"day_renewed", bug::day_renewed},
    {"stamped_early", bug::stamped_early},
    {"session_unasked", bug::session_unasked},
    {"drain_ignored", bug::drain_ignored},
};

/// False: no bug has this name.
bool plant(std::string_view name) {
  for (const auto& row : planted_rows)
    if (row.name == name) {
      planted_bug = row.which;
      return true;
    }
  return false;
}

#else

bool plant(std::string_view) {
  return false;
}

#endif

/// What runs, for whoever finds the process aborted by an assertion of the product's.
char running[256] = "nothing";

void tell_what_ran(int) {
  (void)!::write(STDERR_FILENO, running, std::strlen(running));
  ::_exit(134);
}

void print_failure(const scenario& s, std::uint64_t seed, const cluster_outcome& o) {
  fmt::print("\n{:>10}  {:<4} what\n", "s", "node");
  for (const auto& r : o.rows)
    fmt::print("{:>10.3f}  {:<4} {}\n", static_cast<double>(r.at_us) / 1e6, r.node, r.what);
  fmt::print(
      "\nLegend: s: seconds of virtual time since the load began. node: n1, n2, ..., or - for\n"
      "the whole. FAULT: what the simulator does, and for how long; \"<fault> ends\": it is\n"
      "over. \"shard N: X leads in term T, in sync: ...\": the coordinator's record changed.\n"
      "VIOLATED: the check that failed, and what it saw.\n\n");
  fmt::print("seed {}, scenario {}, version {}: {} does not hold: {}\n", seed, s.name,
             CANDOR_COMMIT, o.violated, o.detail);
  fmt::print("faults ({}):\n", o.faults.size());
  for (const auto& f : o.faults)
    fmt::print("  {}\n", to_string(f));
  fmt::print("again: candor-sim --scenario {} --seed {} --trace\n", s.name, seed);
}

/// "all" and names are of the folder; what ends with .toml is a file. Error: `config_invalid`.
result<std::vector<scenario>> choose_scenarios(const std::string& name,
                                               const std::filesystem::path& folder) {
  if (name.ends_with(".toml")) {
    CANDOR_TRY(one, load_scenario(name));
    one.name = name; // as "again: candor-sim --scenario" needs it
    return std::vector<scenario>{std::move(one)};
  }
  CANDOR_TRY(all, load_scenarios(folder));
  if (name != "all")
    std::erase_if(all, [&](const scenario& s) { return s.name != name; });
  if (all.empty())
    return fail(errc::config_invalid, "there is no scenario " + name + " in " + folder.string());
  return all;
}

struct totals {
  std::uint64_t runs = 0, events = 0, acknowledged = 0, withheld = 0, reads = 0, mails = 0, ads = 0,
                erased = 0, leaderships = 0, messages = 0, given_up = 0, session_reads = 0,
                drained = 0;
  std::int64_t simulated_us = 0;

  void add(const cluster_outcome& o) {
    ++runs;
    events += o.events;
    acknowledged += o.acknowledged;
    withheld += o.withheld;
    reads += o.reads;
    mails += o.mails;
    ads += o.ads;
    erased += o.erased;
    leaderships += o.leaderships;
    messages += o.messages;
    given_up += o.given_up;
    session_reads += o.session_reads;
    drained += o.drained;
    simulated_us += o.simulated_us;
  }
};

} // namespace

int cluster_command(int argc, char** argv) {
  std::uint64_t seeds = 1, from = 1;
  std::string name = "all", form = "text", plant_name;
  std::filesystem::path folder = CANDOR_SIM_SCENARIOS, configs = CANDOR_SIM_CONFIGS;
  bool trace = false, messages = false, once = false, want_shrink = false, loud = false;
  CLI::App app{"candor-sim: clusters in virtual time, each from a seed, checked", "candor-sim"};
  app.footer("\nExample:\n"
             "  candor-sim --seeds 100\n"
             "  candor-sim --scenario partitions --seed 17 --trace\n"
             "  candor-sim --scenario my/flood.toml --seeds 20\n"
             "  candor-sim --scenario replica --seeds 10000");
  app.add_option("--scenario", name,
                 "one of tests/sim by its name, a file (.toml), all, or replica: one shard's "
                 "protocol, a million times faster than real (its own --help: --scenario replica "
                 "--help)")
      ->capture_default_str()
      ->type_name("NAME|FILE");
  app.add_option("--scenarios", folder, "the folder of scenarios")->type_name("FOLDER");
  app.add_option("--configs", configs, "the shipped configuration: lexica, regions, notices")
      ->type_name("FOLDER");
  auto* one = app.add_option("--seed", from, "run this seed")->type_name("N");
  app.add_option("--seeds", seeds, "run so many of each scenario")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--from", from, "the first of them")
      ->type_name("N")
      ->capture_default_str()
      ->excludes(one);
  app.add_flag("--trace", trace, "print what happens");
  app.add_flag("--messages", messages, "with --trace: every message too");
  app.add_flag("--once", once, "run each seed once; else twice, and both must be the same");
  app.add_flag("--shrink", want_shrink, "look for a smaller schedule of faults");
  app.add_option(
         "--plant", plant_name,
         "leave out a rule of the product (candor-sim-planted only; storage/base/planted.hpp)")
      ->type_name("BUG");
  app.add_flag("--log", loud, "the nodes' logs, on stderr");
  app.add_option("-o,--output", form, "text or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "json"}).description(""));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    app.exit(e);
    return 2;
  }
  if (!plant_name.empty() && !plant(plant_name)) {
    fmt::print(stderr, "this build plants no bug {}\n", plant_name);
    return 2;
  }
  log::set_level(loud ? log::level::info : log::level::off);
  auto all = choose_scenarios(name, folder);
  if (!all) {
    fmt::print(stderr, "{}\n", all.error().to_string());
    return 2;
  }
  std::signal(SIGABRT, tell_what_ran);
  auto files = load_cluster_files(configs);

  auto began = std::chrono::steady_clock::now();
  totals sum;
  json found;
  auto bad = false;
  for (const auto& s : *all) {
    for (auto seed = from; seed < from + seeds && !bad; ++seed) {
      std::snprintf(running, sizeof running, "an assertion failed in scenario %s, seed %llu\n",
                    s.name.c_str(), static_cast<unsigned long long>(seed));
      cluster_options o;
      o.seed = seed;
      o.trace = trace;
      o.messages = messages;
      auto run = run_cluster_world(s, *files, o);
      sum.add(run);
      if (!once) {
        auto again = run_cluster_world(s, *files, o);
        if (again.hash != run.hash) {
          fmt::print(stderr, "scenario {}, seed {} does not repeat itself: {:x}, {:x}\n", s.name,
                     seed, run.hash, again.hash);
          return 1;
        }
      }
      if (run.violated.empty()) {
        if (trace)
          for (const auto& r : run.rows)
            fmt::print("{:>10.3f}  {:<4} {}\n", static_cast<double>(r.at_us) / 1e6, r.node, r.what);
        continue;
      }
      bad = true;
      found = {{"scenario", s.name},       {"seed", seed},         {"found_after_seeds", sum.runs},
               {"violated", run.violated}, {"detail", run.detail}, {"faults", run.faults.size()}};
      if (want_shrink) {
        run = shrink_cluster(s, *files, o, run);
        found["faults_shrunk"] = run.faults.size();
      } else if (!trace) {
        o.trace = true;
        run = run_cluster_world(s, *files, o);
      }
      if (form == "text")
        print_failure(s, seed, run);
    }
  }
  auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  auto hours = static_cast<double>(sum.simulated_us) / 3.6e9 * (once ? 1 : 2);
  if (form == "json") {
    json said = {{"runs", sum.runs},
                 {"events", sum.events},
                 {"acknowledged", sum.acknowledged},
                 {"withheld", sum.withheld},
                 {"reads", sum.reads},
                 {"mails", sum.mails},
                 {"ads", sum.ads},
                 {"erased", sum.erased},
                 {"leaderships", sum.leaderships},
                 {"messages", sum.messages},
                 {"disks_given_up", sum.given_up},
                 {"session_reads", sum.session_reads},
                 {"drained", sum.drained},
                 {"simulated_hours", hours},
                 {"seconds", seconds},
                 {"found", found}};
    fmt::print("{}\n", said.dump());
  } else if (!bad) {
    fmt::print(
        "{} runs{} in {:.1f} s, {:.2f} simulated hours ({:.4f} a second): nothing found\n"
        "{} events: {} acknowledged, {} withheld; {} strong reads, {} mails, {} ads, {} erasures, "
        "{} leaderships, {} messages; {} reads by sessions, {} disks given up, {} nodes drained\n",
        sum.runs, once ? "" : ", each twice,", seconds, hours, hours / seconds, sum.events,
        sum.acknowledged, sum.withheld, sum.reads, sum.mails, sum.ads, sum.erased, sum.leaderships,
        sum.messages, sum.session_reads, sum.given_up, sum.drained);
  }
  return bad ? 10 : 0;
}

} // namespace candor::sim
