/// candor-bench: benchmarks in one process, on real files. Exit codes: 0 fine, 1 failed, 2 wrong
/// usage.

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "tools/candor-bench/explain.hpp"
#include "tools/candor-bench/feed.hpp"
#include "tools/candor-bench/ingest.hpp"
#include "tools/candor-bench/match.hpp"
#include "tools/candor-bench/pacing.hpp"
#include "tools/candor-bench/store.hpp"
#include "tools/candor-bench/topics.hpp"

int main(int argc, char** argv) {
  using namespace candor;
  CLI::App app{"candor-bench: benchmarks in one process, on real files", "candor-bench"};
  app.require_subcommand(1);
  auto add_folder = [](CLI::App* c, std::optional<std::filesystem::path>& folder) {
    c->add_option_function<std::string>(
         "--folder", [&folder](const std::string& path) { folder = path; },
         "on the disk to measure [the temporary folder]")
        ->type_name("FOLDER");
  };

  auto add_output = [](CLI::App* c, bool& json) {
    c->add_option_function<std::string>(
         "-o,--output", [&json](const std::string& form) { json = form == "json"; },
         "text or json [text]")
        ->check(CLI::IsMember({"text", "json"}));
  };

  bench::ingest_options ingest;
  auto* i =
      app.add_subcommand("ingest", "events to durable, sealed profiles, beside the disk alone");
  i->footer("\nExample:\n  candor-bench ingest --events 100000 --folder /var/lib/candor-bench");
  i->add_option("--events", ingest.events, "a run")->capture_default_str();
  i->add_option("--users", ingest.users, "persons")->capture_default_str();
  i->add_option("--batch", ingest.batch, "events in one message")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, limits::batch_events));
  i->add_option("--outstanding", ingest.outstanding, "batches on their way at a time")
      ->capture_default_str();
  i->add_option("--repeats", ingest.repeats, "runs; medians are of these")
      ->capture_default_str()
      ->check(CLI::Range(1, 100));
  add_output(i, ingest.json);
  add_folder(i, ingest.folder);

  bench::store_options store;
  auto* s = app.add_subcommand("store", "RocksDB with a sync for each batch of 1, 16 and 128 rows");
  s->footer("\nExample:\n  candor-bench store --seconds 5");
  int seconds = 3;
  s->add_option("--row-bytes", store.row_bytes, "of a row")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  s->add_option("--seconds", seconds, "for each batch size")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  add_output(s, store.json);
  add_folder(s, store.folder);

  bench::feed_options feed;
  auto* f = app.add_subcommand("feed", "recommendation on generated behaviour, beside popularity "
                                       "and chance");
  f->footer("\nExample:\n  candor-bench feed --people 500 --seed 7 -o json");
  f->add_option("--people", feed.people)->capture_default_str()->check(CLI::Range(1, 100'000));
  f->add_option("--items", feed.items)->capture_default_str()->check(CLI::Range(1, 100'000));
  f->add_option("--days", feed.days, "a session a day for everybody")
      ->capture_default_str()
      ->check(CLI::Range(1, 365));
  f->add_option("--places", feed.places, "of a feed")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, limits::feed_items));
  f->add_option("--diversity", feed.likeness_tenths, "of ten: how much likeness counts [1]")
      ->check(CLI::Range(0, 10));
  f->add_option("--seed", feed.seed)->capture_default_str();
  add_output(f, feed.json);

  bench::pacing_options pacing;
  auto* p = app.add_subcommand("pacing", "a campaign's spend beside its plan, over a day's curve "
                                         "with a step");
  p->footer("\nExample:\n  candor-bench pacing --svg pacing.svg\n\nEnds with 1 where less than "
            "95 % of the slots are within 2 % of plan.");
  p->add_option("--days", pacing.days, "the last one is measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 30));
  p->add_option("--shards", pacing.shards, "of people")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  p->add_option("--daily-micros", pacing.daily_micros, "budget")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1'000'000}, limits::money_micros));
  p->add_option("--price-micros", pacing.price_micros, "the mean")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{10'000}, limits::money_micros / 10));
  p->add_option("--demand", pacing.demand, "of what the budget needs")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 100.0));
  p->add_option("--step", pacing.step, "from 15:00 on, traffic is this part")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 10.0));
  p->add_option("--seed", pacing.seed)->capture_default_str();
  p->add_option("--svg", pacing.svg, "draws to this file")->type_name("FILE");
  add_output(p, pacing.json);

  bench::match_options match;
  auto* m = app.add_subcommand("match", "which ads of a folder match its events, and how fast");
  m->footer("\nExamples:\n  candor-bench match --generate realistic 100000 2000 1 /tmp/folder\n"
            "  candor-bench match /tmp/folder --top 10 >answers.tsv");
  std::string match_folder, match_output;
  std::vector<std::string> generate;
  m->add_option("DIR", match_folder, "in the bench format of docs/ads.md");
  m->add_option(
       "--generate", generate,
       "makes a folder instead: realistic, narrow, broad or equalities; campaigns; events; "
       "seed; folder")
      ->expected(5)
      ->type_name("PROFILE N EVENTS SEED DIR");
  m->add_flag("--all", match.all, "time counting all matches, not only finding the best");
  m->add_option("--top", match.top, "how many places")->capture_default_str();
  m->add_flag("--ops", match.operations, "the updates and queries of ops.tsv");
  m->add_flag("--peers", match.peers, "also a plain loop and a counting index, with the ratio");
  m->add_option("--repeats", match.repeats, "of every event; the best counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  m->add_option("--update-rate", match.updates_per_s,
                "updates a second by another thread meanwhile");
  m->add_option("--vectors", match.vector_target,
                "the instruction set, e.g. AVX2 or scalar [the best]");
  m->add_flag("--quiet", match.quiet, "no answers");
  bench::explain_options explain;
  auto* explained =
      m->add_option("--explain", explain.campaigns,
                    "no folder: decisions, why and why-not over so many campaigns of its own")
          ->type_name("N")
          ->check(CLI::Range(1, 2'000'000));
  m->add_option("-o,--output", match_output, "text or json: how figures are written to stderr")
      ->check(CLI::IsMember({"text", "json"}));

  bench::topics_options topics;
  auto* t = app.add_subcommand("topics", "what the topic filter judges in a second, by stage");
  t->footer("\nExample:\n  candor-bench topics --rounds 9");
  t->add_option("--lexicon", topics.lexicon, "folder of the lexicon [the shipped one]");
  t->add_option("--model", topics.model, "file of the model [the shipped one]");
  t->add_option("--rounds", topics.rounds, "of which the median is told")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  t->add_option("--only", topics.only, "this part alone, by its name");
  t->add_option("--seconds", topics.seconds, "of each part in each round")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  add_output(t, topics.json);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  store.span = std::chrono::seconds{seconds};
  match.folder = match_folder;
  match.json = match_output == "json";
  explain.json = match.json;
  if (m->parsed() && generate.empty() && match_folder.empty() && explained->count() == 0) {
    fmt::print(stderr, "candor-bench match: name a folder, or --generate one\n");
    return 2;
  }
  auto done = i->parsed()               ? bench::run_ingest(ingest)
              : f->parsed()             ? bench::run_feed(feed)
              : p->parsed()             ? bench::run_pacing(pacing)
              : s->parsed()             ? bench::run_store(store)
              : t->parsed()             ? bench::run_topics(topics)
              : explained->count() != 0 ? bench::run_explain(explain)
              : generate.empty()        ? bench::run_match(match)
                                        : bench::generate_match(generate);
  if (done)
    return 0;
  fmt::print(stderr, "candor-bench: {}\n  {}\n", done.error().to_string(),
             info(done.error().code).remedy);
  return 1;
}
