// `candorctl ingest`: events from files to a node, each with its verdict.
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "storage/base/limits.hpp"
#include "tools/candorctl/item_source.hpp"
#include "tools/candorctl/session.hpp"

namespace candor::ctl {

namespace {

using steady = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t request_bytes = limits::bulk_body_bytes / 2;
constexpr std::size_t complaints_shown = 5;
constexpr millis first_pause = 50ms;
constexpr millis longest_pause = 2s;

struct ingest_options {
  std::vector<std::string> files;
  std::string verdicts_file;
  std::string format; ///< empty: by the file's name
  std::uint32_t import_run = 0;
  std::size_t batch = 500;
  millis patience{60'000};
};

/// What the node refuses for now: the same may be taken later.
bool worth_repeating(int status) {
  return status == 408 || status == 429 || status == 503 || status == 504;
}

/// Counts of verdicts, by status and reason.
struct tally {
  std::map<std::string, std::uint64_t> statuses;
  std::map<std::string, std::map<std::string, std::uint64_t>> reasons;
  std::uint64_t events = 0;

  void count(const json& verdict) {
    ++events;
    auto status = field(verdict, "status");
    ++statuses[status];
    if (auto reason = verdict.find("reason"); reason != verdict.end())
      ++reasons[status][plain(*reason)];
  }
  std::uint64_t of(const std::string& status) const {
    auto it = statuses.find(status);
    return it == statuses.end() ? 0 : it->second;
  }
};

class ingest_run {
public:
  ingest_run(const session& with, const ingest_options& options)
    : with_{with}
    , options_{options}
    , node_{with.connect()} {}

  int run() {
    if (!options_.verdicts_file.empty()) {
      verdicts_.open(options_.verdicts_file);
      if (!verdicts_)
        return with_.complain(error{errc::io_failed, "cannot write " + options_.verdicts_file});
    }
    for (const auto& file : options_.files) {
      auto code = take(file);
      if (code != exit_fine) {
        end_progress();
        return code;
      }
    }
    end_progress();
    if (verdicts_.is_open() && !verdicts_.flush())
      return with_.complain(error{errc::io_failed, "cannot write " + options_.verdicts_file});
    print_tally();
    return tally_.of("invalid") + tally_.of("unknown") + tally_.of("overloaded") == 0 ? exit_fine
                                                                                      : exit_failed;
  }

private:
  using failed = http_client::failure;

  int take(const std::string& file) {
    std::ifstream opened;
    if (file != "-") {
      opened.open(file, std::ios::binary);
      if (!opened)
        return with_.complain(error{errc::io_failed, "cannot read " + file});
    }
    auto& in = file == "-" ? std::cin : opened;
    auto is_msgpack = options_.format.empty() ? file.ends_with(".msgpack") || file.ends_with(".mp")
                                              : options_.format == "msgpack";
    auto source = is_msgpack ? read_msgpack_stream(in) : read_lines(in);
    std::vector<item> batch;
    std::size_t bytes = 0;
    auto send_batch = [&]() -> int {
      auto why = deliver(batch, is_msgpack);
      batch.clear();
      bytes = 0;
      return why ? with_.complain(*why) : int{exit_fine};
    };
    while (auto one = source->next()) {
      bytes += one->bytes.size() + 1;
      batch.push_back(std::move(*one));
      if (batch.size() >= options_.batch || bytes >= request_bytes)
        if (auto code = send_batch(); code != exit_fine)
          return code;
    }
    if (file != "-" && opened.bad())
      return with_.complain(error{errc::io_failed, "cannot read all of " + file});
    return batch.empty() ? int{exit_fine} : send_batch();
  }

  /// Until each item has a verdict that is not to be repeated, or patience ends. A failure: the
  /// node will not take these at all.
  std::optional<failed> deliver(const std::vector<item>& batch, bool is_msgpack) {
    std::vector<json> judged(batch.size());
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (batch[i].refused)
        judged[i] = {{"id", nullptr},
                     {"status", "invalid"},
                     {"reason", info(batch[i].refused->code).slug},
                     {"detail", batch[i].refused->detail}};
      else
        open.push_back(i);
    }
    auto pause = first_pause;
    auto progress_at = steady::now();
    while (!open.empty()) {
      auto before = open.size();
      auto trouble = send_once(batch, is_msgpack, open, judged);
      if (open.size() < before) {
        progress_at = steady::now();
        pause = first_pause;
      }
      if (open.empty())
        break;
      if (trouble && !may_pass(*trouble))
        return trouble;
      if (steady::now() - progress_at > options_.patience) {
        give_up(batch, is_msgpack, open, judged, trouble);
        break;
      }
      auto wait = std::max(pause, trouble ? trouble->retry_after : millis{0});
      show_progress(trouble ? "waiting: " + trouble->why.to_string() : "sending again");
      std::this_thread::sleep_for(std::min(wait, longest_pause));
      pause = std::min(2 * pause, longest_pause);
    }
    for (std::size_t i = 0; i < batch.size(); ++i)
      settle(batch[i], judged[i]);
    show_progress({});
    return std::nullopt;
  }

  /// Before the first answer, a node that is not there is a wrong address rather than a restart.
  bool may_pass(const failed& why) const {
    if (why.status != 0)
      return worth_repeating(why.status);
    return answered_ && (why.why.code == errc::unavailable || why.why.code == errc::timed_out);
  }

  /// Takes from `open` what has its verdict now.
  std::optional<failed> send_once(const std::vector<item>& batch, bool is_msgpack,
                                  std::vector<std::size_t>& open, std::vector<json>& judged) {
    std::string body;
    for (auto i : open) {
      body += batch[i].bytes;
      if (!is_msgpack)
        body += '\n';
    }
    std::string path = "/v1/events";
    if (options_.import_run != 0)
      path += fmt::format("?import={}", options_.import_run);
    auto answer =
        node_.send("POST", path, body, is_msgpack ? "application/msgpack" : "application/x-ndjson");
    if (!answer) {
      node_ = with_.connect(); // where there are several, another may answer
      return http_client::to_failure(answer.error());
    }
    answered_ = true;
    if (!answer->ok())
      return http_client::to_failure(*answer);
    std::vector<std::size_t> again;
    std::size_t at = 0, next = 0;
    for (; at < answer->body.size() && next < open.size(); ++next) {
      auto end = std::min(answer->body.find('\n', at), answer->body.size());
      auto verdict =
          json::parse(answer->body.begin() + static_cast<std::ptrdiff_t>(at),
                      answer->body.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      at = end + 1;
      auto status = verdict.is_object() ? field(verdict, "status") : "-";
      if (status == "-")
        return http_client::to_failure(error{errc::internal, "the node's answer has no verdicts"});
      if (status == "unknown" || status == "overloaded")
        again.push_back(open[next]);
      judged[open[next]] = std::move(verdict);
    }
    if (next < open.size()) // the node read a stream differently: never guess whose verdict it is
      return http_client::to_failure(
          error{errc::internal, fmt::format("{} verdicts for {} events", next, open.size())});
    open = std::move(again);
    return std::nullopt;
  }

  void give_up(const std::vector<item>& batch, bool is_msgpack,
               const std::vector<std::size_t>& open, std::vector<json>& judged,
               const std::optional<failed>& trouble) {
    for (auto i : open)
      if (judged[i].is_null())
        judged[i] = {{"id", id_of(batch[i], is_msgpack)}, {"status", "unknown"}};
    end_progress();
    if (trouble)
      with_.complain(*trouble);
    fmt::print(stderr,
               "gave up on {} events after {} s without progress; send them again with the same "
               "ids\n",
               open.size(), options_.patience.count() / 1000);
  }

  static json id_of(const item& from, bool is_msgpack) {
    auto event = is_msgpack ? json::from_msgpack(from.bytes, true, false)
                            : json::parse(from.bytes, nullptr, false);
    auto id = event.is_object() ? event.find("id") : event.end();
    return event.is_object() && id != event.end() && id->is_string() ? *id : json{};
  }

  /// Writes and counts an item's verdict, its line being the file's.
  void settle(const item& from, json& verdict) {
    tally_.count(verdict);
    auto invalid = field(verdict, "status") == "invalid";
    if (invalid)
      verdict["line"] = from.line;
    if (verdicts_.is_open())
      verdicts_ << verdict.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
    if (invalid && ++complaints_ <= complaints_shown && with_.as == output::text) {
      end_progress();
      fmt::print(stderr, "line {}: {}{}\n", from.line, field(verdict, "reason"),
                 verdict.contains("detail") ? ": " + field(verdict, "detail") : "");
    }
  }

  double seconds() const { return std::chrono::duration<double>(steady::now() - start_).count(); }

  void show_progress(const std::string& note) {
    if (with_.as != output::text || !is_terminal(STDERR_FILENO))
      return;
    auto now = steady::now();
    if (now - shown_at_ < 200ms && note.empty())
      return;
    shown_at_ = now;
    shown_ = true;
    fmt::print(stderr, "\r\x1b[K{} events, {:.0f}/s  {}", tally_.events,
               static_cast<double>(tally_.events) / std::max(seconds(), 0.001), note);
    std::fflush(stderr);
  }

  void end_progress() {
    if (shown_)
      fmt::print(stderr, "\r\x1b[K");
    shown_ = false;
  }

  void print_tally() const {
    json answer = {{"events", tally_.events},
                   {"seconds", std::round(seconds() * 1000) / 1000},
                   {"verdicts", json::object()},
                   {"reasons", json::object()}};
    for (const auto& [status, n] : tally_.statuses)
      answer["verdicts"][status] = n;
    for (const auto& [status, reasons] : tally_.reasons)
      for (const auto& [reason, n] : reasons)
        answer["reasons"][status][reason] = n;
    with_.print(answer, [&](const json&) {
      fmt::print("{} events in {:.1f} s ({:.0f}/s)\n", tally_.events, seconds(),
                 static_cast<double>(tally_.events) / std::max(seconds(), 0.001));
      for (const auto& [status, n] : tally_.statuses) {
        fmt::print("  {:<24} {:>10}\n", status, n);
        auto reasons = tally_.reasons.find(status);
        if (reasons != tally_.reasons.end())
          for (const auto& [reason, m] : reasons->second)
            fmt::print("    {:<22} {:>10}\n", reason, m);
      }
    });
  }

  const session& with_;
  const ingest_options& options_;
  http_client::client node_;
  std::ofstream verdicts_;
  tally tally_;
  std::size_t complaints_ = 0;
  bool answered_ = false; ///< the node has answered anything
  bool shown_ = false;
  steady::time_point start_ = steady::now();
  steady::time_point shown_at_{};
};

} // namespace

void add_ingest(CLI::App& app, session& with, command& chosen) {
  auto* c = add_command(
      app, "ingest",
      "Send events and count their verdicts. What is unknown, overloaded or cut off is sent again "
      "with the same ids, so that a run may be repeated as it is; exits 1 if any event is invalid",
      "  candorctl ingest monday.ndjson tuesday.msgpack --verdicts verdicts.ndjson\n"
      "  candor-load --write - --events 1000 --users 50 | candorctl ingest -");
  auto o = std::make_shared<ingest_options>();
  c->add_option("FILE", o->files, "NDJSON, or msgpack where named *.msgpack; - is stdin")
      ->required();
  c->add_option("--verdicts", o->verdicts_file, "write each verdict to this file, in order")
      ->type_name("FILE");
  c->add_option("--import", o->import_run, "within this open import run")->type_name("RUN");
  c->add_option("--batch", o->batch, "events a request [500]")
      ->type_name("N")
      ->check(CLI::Range(std::size_t{1}, limits::bulk_events).description(""));
  c->add_option("--format", o->format, "ndjson or msgpack, whatever the names are")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"ndjson", "msgpack"}).description(""));
  c->add_option_function<std::string>(
       "--patience", [o](const std::string& text) { o->patience = *parse_duration(text); },
       "give up after this long without progress [60s]")
      ->type_name("TIME")
      ->check([](const std::string& text) {
        return parse_duration(text) ? std::string{} : "a duration such as 60s is needed";
      });
  c->callback([=, &with, &chosen] { chosen = [=, &with] { return ingest_run{with, *o}.run(); }; });
}

} // namespace candor::ctl
