/// candor-load: makes events from word lists, and writes them to a file or sends them to a node and
/// measures. Exit codes: 0 fine, 1 failed, 2 wrong usage.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/limits.hpp"
#include "tools/candor-load/driver.hpp"

namespace {

using namespace candor;
using namespace candor::load;
using json = nlohmann::ordered_json;

timestamp machine_now() {
  return std::chrono::floor<millis>(std::chrono::system_clock::now());
}

int complain(const http_client::failure& why) {
  fmt::print(stderr, "{}: {}{}\n  {}\n", info(why.why.code).slug, why.sentence,
             why.why.detail.empty() ? "" : " (" + why.why.detail + ")", why.remedy);
  if (!why.trace_id.empty())
    fmt::print(stderr, "  trace {}\n", why.trace_id);
  return 1;
}

/// "ai=60,engagement=40,queries=10": parts of all operations.
result<void> read_mix(const std::string& text, driver_options& into) {
  std::map<std::string, unsigned> parts = {{"ai", 0}, {"engagement", 0}, {"queries", 0}};
  std::istringstream in{text};
  for (std::string one; std::getline(in, one, ',');) {
    auto eq = one.find('=');
    auto part = parts.find(one.substr(0, eq));
    unsigned value = 0;
    if (eq == one.npos || part == parts.end() ||
        std::sscanf(one.c_str() + eq + 1, "%4u", &value) != 1)
      return fail(errc::bad_value, "a mix is such as ai=60,engagement=40,queries=10");
    part->second = value;
  }
  auto events = parts["ai"] + parts["engagement"];
  if (events == 0)
    return fail(errc::bad_value, "a mix needs events: ai or engagement");
  into.events.ai_parts = parts["ai"];
  into.events.engagement_parts = parts["engagement"];
  into.query_percent = 100 * parts["queries"] / (events + parts["queries"]);
  return {};
}

int write_file(const std::string& file, const driver_options& o) {
  std::ofstream opened;
  if (file != "-")
    opened.open(file);
  auto& out = file == "-" ? std::cout : opened;
  generator make{o.events};
  auto at = o.at.value_or(machine_now());
  for (std::uint64_t i = 0; i < o.count.value_or(1000) && out; ++i)
    out << make.make(i, at).json << '\n';
  if (out.flush())
    return 0;
  return complain(http_client::to_failure(error{errc::io_failed, "cannot write " + file}));
}

json latencies(const histogram& h) {
  auto ms = [](std::chrono::microseconds us) { return static_cast<double>(us.count()) / 1000; };
  return {{"p50", ms(h.quantile(0.5))},
          {"p90", ms(h.quantile(0.9))},
          {"p99", ms(h.quantile(0.99))},
          {"p999", ms(h.quantile(0.999))},
          {"max", ms(h.max())}};
}

void print_text(const outcome& o, const json& all) {
  if (o.events == 0)
    fmt::print("{} questions in {:.1f} s: {:.0f}/s, {} failed; {} ads\n", o.queries, o.seconds,
               static_cast<double>(o.queries) / o.seconds, o.failed_requests, o.ads);
  else
    fmt::print("{} events in {:.1f} s: {:.0f} events/s, {} requests, {} failed\n", o.events,
               o.seconds, static_cast<double>(o.events) / o.seconds, o.requests, o.failed_requests);
  for (const auto& [status, n] : o.verdicts)
    fmt::print("  {:<32} {:>10}\n", status, n);
  for (const auto& [reason, n] : o.reasons)
    fmt::print("  {:<32} {:>10}\n", reason, n);
  auto line = [](const char* what, const json& l) {
    fmt::print("{:<8} p50 {:.2f} ms, p90 {:.2f}, p99 {:.2f}, p99.9 {:.2f}, max {:.2f}\n", what,
               l["p50"].get<double>(), l["p90"].get<double>(), l["p99"].get<double>(),
               l["p999"].get<double>(), l["max"].get<double>());
  };
  if (o.events > 0)
    line("requests", all["latency_ms"]);
  if (o.queries > 0)
    line("queries", all["query_latency_ms"]);
}

int send_all(const driver_options& o, bool as_json) {
  auto done = drive(o);
  if (!done)
    return complain(http_client::to_failure(done.error()));
  json all = {{"events", done->events},
              {"seconds", done->seconds},
              {"events_per_s", static_cast<double>(done->events) / done->seconds},
              {"requests", done->requests},
              {"failed_requests", done->failed_requests},
              {"verdicts", done->verdicts},
              {"reasons", done->reasons},
              {"latency_ms", latencies(done->latency)},
              {"queries", done->queries},
              {"queries_per_s", static_cast<double>(done->queries) / done->seconds},
              {"query_latency_ms", latencies(done->query_latency)},
              {"ads", done->ads}};
  if (as_json)
    fmt::print("{}\n", all.dump());
  else
    print_text(*done, all);
  std::fflush(stdout);
  return done->ended_by ? complain(*done->ended_by) : 0;
}

} // namespace

int main(int argc, char** argv) {
  driver_options o;
  std::string write_to, form = "text", mix = "ai=60,engagement=40", at, duration, patience, asked;
  CLI::App app{"candor-load: generated events, to a file or to a node", "candor-load"};
  app.footer("\nExample:\n"
             "  candor-load --write events.ndjson --events 100000 --users 1000 --seed 7\n"
             "  candor-load --prepare --users 1000 --duration 30s --concurrency 8\n"
             "  candor-load --users 1000 --rate 5000 --duration 1m --mix ai=50,engagement=40,"
             "queries=10 -o json\n"
             "  candor-load --ask ads --users 1000 --duration 30s");
  app.add_option("--write", write_to, "write NDJSON to this file (- is stdout), and send nothing")
      ->type_name("FILE");
  app.add_option("--node", o.node.url, "URL of a node")
      ->envname("CANDOR_NODE")
      ->capture_default_str()
      ->type_name("URL");
  app.add_option("--key", o.node.key, "API key")->envname("CANDOR_KEY")->type_name("KEY");
  app.add_option("--events", o.count, "how many [1000 where no duration is given]")->type_name("N");
  app.add_option("--duration", duration, "for how long, such as 30s")->type_name("TIME");
  app.add_option("--users", o.events.users, "of how many persons")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000).description(""));
  app.add_option("--seed", o.events.seed, "the same seed makes the same events")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--rate", o.events_per_s, "events a second; without it a closed loop")
      ->type_name("R")
      ->check(CLI::PositiveNumber.description(""));
  app.add_option("--concurrency", o.connections, "connections")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 512).description(""));
  app.add_option("--batch", o.batch, "events a request")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, limits::bulk_events).description(""));
  app.add_option("--mix", mix, "parts of ai, engagement and queries")
      ->capture_default_str()
      ->type_name("MIX");
  app.add_option(
         "--ask", asked,
         "questions in place of events, in a closed loop: ads (a decision for a person), or "
         "livez (answered without an actor, to compare)")
      ->type_name("WHAT")
      ->check(CLI::IsMember({"ads", "livez"}).description(""));
  app.add_option("--sensitive", o.events.sensitive_per_mille,
                 "how many of a thousand interactions are sensitive")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(0, 1000).description(""));
  app.add_option("--prefix", o.events.prefix, "of event ids")->capture_default_str();
  app.add_option("--at", at, "the time of all events [now]")->type_name("TIME");
  app.add_option("--acked", o.acked_file, "append id and user of every acknowledged event")
      ->type_name("FILE");
  app.add_option("--patience", patience, "end after this long without an answer [10s]")
      ->type_name("TIME");
  app.add_flag("--prepare", o.prepare,
               "first make the persons: region, and a notice that reached "
               "them");
  app.add_option("--region", o.region, "of prepared persons")
      ->capture_default_str()
      ->type_name("CODE");
  app.add_option("-o,--output", form, "text or json")
      ->capture_default_str()
      ->type_name("FORM")
      ->check(CLI::IsMember({"text", "json"}).description(""));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  auto usage = [](const error& why) {
    fmt::print(stderr, "{}\n", why.to_string());
    return 2;
  };
  if (auto read = read_mix(mix, o); !read)
    return usage(read.error());
  for (auto [text, set] : {std::pair<const std::string&, std::function<void(millis)>>{
                               duration, [&](millis t) { o.duration = t; }},
                           {patience, [&](millis t) { o.patience = t; }}}) {
    if (text.empty())
      continue;
    auto span = parse_duration(text);
    if (!span)
      return usage(span.error());
    set(*span);
  }
  if (!at.empty()) {
    auto time = parse_time(at);
    if (!time)
      return usage(time.error());
    o.at = *time;
  }
  if (!asked.empty())
    o.asked = asked == "ads" ? question::ads : question::livez;
  if (!o.count && !o.duration)
    o.count = 1000;
  return write_to.empty() ? send_all(o, form == "json") : write_file(write_to, o);
}
