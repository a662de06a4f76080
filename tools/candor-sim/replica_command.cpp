#include "tools/candor-sim/replica_command.hpp"

#include <chrono>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/candor-sim/replica_world.hpp"

namespace candor::sim::one_shard {

namespace {

using json = nlohmann::ordered_json;

void print_rows(const outcome& o) {
  fmt::print("{:>10}  {:<5} {}\n", "ms", "node", "what");
  for (const auto& r : o.rows)
    fmt::print("{:>10.3f}  {:<5} {}\n", static_cast<double>(r.at_us) / 1000, r.node, r.what);
}

} // namespace

int replica_command(int argc, char** argv) {
  world_options o;
  std::uint64_t seeds = 1, from = 1, shrinks = 5;
  std::string scenario = "replica", form = "text";
  bool verify = false;
  CLI::App app{"candor-sim: clusters in virtual time, each from a seed, checked", "candor-sim"};
  app.footer("\nExample:\n"
             "  candor-sim --scenario replica --seeds 10000\n"
             "  candor-sim --scenario replica --seed 17 --trace\n"
             "  candor-sim --scenario replica --seeds 500 --from 1000 --profile wipes -o json");
  app.add_option("--scenario", scenario, "what is simulated")
      ->capture_default_str()
      ->type_name("NAME")
      ->check(CLI::IsMember({"replica"}).description(""));
  auto* one = app.add_option("--seed", from, "run this seed")->type_name("N");
  app.add_option("--seeds", seeds, "run so many")->type_name("N")->capture_default_str();
  app.add_option("--from", from, "the first of them")
      ->type_name("N")
      ->capture_default_str()
      ->excludes(one);
  app.add_option("--profile", o.profile,
                 "which faults: mixed, races, wipes, moves; or staged: restarts, "
                 "appointments, successions")
      ->capture_default_str()
      ->type_name("NAME")
      ->check([](const std::string& p) {
        return known_profile(p) ? std::string{} : "no such profile: " + p;
      });
  app.add_flag("--trace", o.trace, "print what happens (of the last seed)");
  app.add_flag("--verify", verify, "run each seed twice; both must be the same");
  app.add_option("--shrink", shrinks, "of so many violations, look for the shortest trace")
      ->type_name("N")
      ->capture_default_str();
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

  auto began = std::chrono::steady_clock::now();
  std::uint64_t runs = 0, events = 0, acknowledged = 0, reads = 0, copy_reads = 0, terms = 0,
                first_seed = 0, found_after = 0, found = 0, best_seed = 0;
  std::optional<outcome> best;
  outcome last;
  for (auto seed = from; seed < from + seeds; ++seed) {
    o.seed = seed;
    auto run = run_replica_world(o);
    ++runs;
    if (verify && run_replica_world(o).hash != run.hash) {
      fmt::print(stderr, "seed {} does not repeat itself\n", seed);
      return 1;
    }
    events += run.events;
    acknowledged += run.acknowledged;
    reads += run.strong_reads;
    copy_reads += run.copy_reads;
    terms += run.terms;
    if (!run.violated.empty()) {
      if (found++ == 0) {
        first_seed = seed;
        found_after = runs;
      }
      auto shorter = shrink(o, run);
      if (!best || shorter.rows.size() < best->rows.size()) {
        best = std::move(shorter);
        best_seed = seed;
      }
      if (found >= shrinks)
        break;
    }
    last = std::move(run);
  }
  auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();

  if (form == "json") {
    json all = {{"scenario", scenario},     {"profile", o.profile},         {"seeds", runs},
                {"events", events},         {"acknowledged", acknowledged}, {"strong_reads", reads},
                {"copy_reads", copy_reads}, {"seconds", seconds},           {"violations", found}};
    if (best) {
      all["first_seed"] = first_seed;
      all["found_after_seeds"] = found_after;
      all["seed"] = best_seed;
      all["violated"] = best->violated;
      all["detail"] = best->detail;
      all["trace_rows"] = best->rows.size();
      all["faults"] = json::array();
      for (const auto& f : best->faults)
        all["faults"].push_back(to_string(f));
      all["trace"] = json::array();
      for (const auto& r : best->rows)
        all["trace"].push_back({{"us", r.at_us}, {"node", r.node}, {"what", r.what}});
    }
    fmt::print("{}\n", all.dump());
  } else if (best) {
    print_rows(*best);
    fmt::print("seed {}: {} does not hold: {}\n", best_seed, best->violated, best->detail);
    fmt::print("first at seed {}, after {} seeds; the shortest of {} traces has {} rows and {} "
               "faults\n",
               first_seed, found_after, found, best->rows.size(), best->faults.size());
  } else {
    if (o.trace)
      print_rows(last);
    fmt::print("{} seeds in {:.1f} s: nothing found; {} events, {} acknowledged, {} strong reads, "
               "{} terms\n",
               runs, seconds, events, acknowledged, reads, terms);
  }
  return best ? 10 : 0;
}

} // namespace candor::sim::one_shard
