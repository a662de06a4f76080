/// candor-bench: benchmarks in one process, on real files. Exit codes: 0 fine, 1 failed, 2 wrong
/// usage.

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "tools/candor-bench/ingest.hpp"
#include "tools/candor-bench/store.hpp"

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
  i->add_flag("--json", ingest.json, "print JSON");
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
  s->add_flag("--json", store.json, "print JSON");
  add_folder(s, store.folder);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  store.span = std::chrono::seconds{seconds};
  auto done = i->parsed() ? bench::run_ingest(ingest) : bench::run_store(store);
  if (done)
    return 0;
  fmt::print(stderr, "candor-bench: {}\n  {}\n", done.error().to_string(),
             info(done.error().code).remedy);
  return 1;
}
