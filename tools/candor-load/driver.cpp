#include "tools/candor-load/driver.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace candor::load {

namespace {

using steady = std::chrono::steady_clock;
using namespace std::chrono_literals;
using json = nlohmann::json;
using http_client::failure;

constexpr auto pause_before_again = 50ms;

timestamp machine_now() {
  return std::chrono::floor<millis>(std::chrono::system_clock::now());
}

bool worth_repeating(const failure& why) {
  if (why.status == 0)
    return why.why.code == errc::unavailable || why.why.code == errc::timed_out;
  return why.status == 408 || why.status == 429 || why.status == 503 || why.status == 504;
}

struct file_closer {
  void operator()(std::FILE* f) const { std::fclose(f); }
};

/// What the connections share.
struct shared_state {
  const driver_options& options;
  generator make;
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> ended{false};
  steady::time_point start;
  std::optional<steady::time_point> until;
  std::mutex mutex; ///< guards what follows
  std::unique_ptr<std::FILE, file_closer> acked;
  std::optional<failure> ended_by;
  bool acked_failed = false;

  void end(failure why) {
    std::lock_guard guard{mutex};
    if (!ended_by)
      ended_by = std::move(why);
    ended = true;
  }

  void note(const std::string& lines) {
    std::lock_guard guard{mutex};
    if (acked && (std::fwrite(lines.data(), 1, lines.size(), acked.get()) != lines.size() ||
                  std::fflush(acked.get()) != 0))
      acked_failed = true;
  }
};

/// One connection and its loop.
class connection {
public:
  explicit connection(shared_state& all)
    : all_{all}
    , node_{all.options.node}
    , random_{all.options.events.seed + 0x5eed} {}

  outcome counted;

  void run() {
    const auto& o = all_.options;
    while (!all_.ended) {
      auto first = all_.next.fetch_add(o.batch);
      if (o.count && first >= *o.count)
        return;
      auto last = o.count ? std::min(first + o.batch, *o.count) : first + o.batch;
      auto due = steady::now();
      if (o.events_per_s) {
        due = all_.start +
              std::chrono::duration_cast<steady::duration>(
                  std::chrono::duration<double>(static_cast<double>(first) / *o.events_per_s));
        std::this_thread::sleep_until(due);
      }
      if (all_.until && steady::now() >= *all_.until)
        return;
      if (o.asked != question::none) {
        for (auto i = first; i < last && !all_.ended; ++i)
          ask_one();
        continue;
      }
      if (!send(first, last, due))
        return;
      ask(last - first);
    }
  }

  /// The person and a notice that reached them.
  bool introduce(std::uint64_t number) {
    const auto& o = all_.options;
    auto user = generator::user(number);
    auto put = node_.call("PUT", "/v1/users/" + user,
                          {{"region", o.region}, {"region_since", "2020-01-01"}, {"lang", "en"}});
    if (!put) {
      all_.end(put.error());
      return false;
    }
    auto told = node_.call("POST", "/v1/admin/notice_reached",
                           {{"user", user},
                            {"policy", "ai-interactions"},
                            {"revision", 1},
                            {"channel", "in_app"},
                            {"at", o.notice_at}});
    if (!told)
      all_.end(told.error());
    return told.has_value();
  }

private:
  bool send(std::uint64_t first, std::uint64_t last, steady::time_point due) {
    std::vector<generated_event> events;
    std::string body;
    for (auto i = first; i < last; ++i) {
      events.push_back(all_.make.make(i, all_.options.at.value_or(machine_now())));
      body += events.back().json;
      body += '\n';
    }
    auto tried_since = steady::now();
    for (;;) {
      auto answer = node_.send("POST", "/v1/events", body, "application/x-ndjson");
      if (answer && answer->ok()) {
        ++counted.requests;
        counted.latency.record(
            std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - due));
        return count(events, answer->body);
      }
      ++counted.failed_requests;
      auto why =
          answer ? http_client::to_failure(*answer) : http_client::to_failure(answer.error());
      if (!worth_repeating(why) || steady::now() - tried_since >= all_.options.patience) {
        all_.end(std::move(why));
        return false;
      }
      if (all_.ended)
        return false;
      std::this_thread::sleep_for(std::max<millis>(pause_before_again, why.retry_after));
    }
  }

  bool count(const std::vector<generated_event>& events, const std::string& body) {
    std::string acked;
    std::size_t at = 0, n = 0;
    for (; at < body.size() && n < events.size(); ++n) {
      auto end = std::min(body.find('\n', at), body.size());
      auto verdict = json::parse(body.begin() + static_cast<std::ptrdiff_t>(at),
                                 body.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
      at = end + 1;
      auto status = verdict.is_object() ? verdict.value("status", "") : std::string{};
      if (status.empty())
        break;
      ++counted.events;
      ++counted.verdicts[status];
      if (auto reason = verdict.value("reason", ""); !reason.empty())
        ++counted.reasons[status + ": " + reason];
      if (status == "accepted" || status == "duplicate")
        acked += events[n].id + "\t" + events[n].user + "\n";
    }
    all_.note(acked);
    if (n == events.size())
      return true;
    all_.end(http_client::to_failure(
        error{errc::internal, fmt::format("{} verdicts for {} events", n, events.size())}));
    return false;
  }

  /// As many questions as the mix wants beside `events` events.
  void ask(std::uint64_t events) {
    auto percent = all_.options.query_percent;
    owed_ += static_cast<double>(events) * percent / (100.0 - percent);
    for (; owed_ >= 1 && !all_.ended; owed_ -= 1)
      ask_one();
  }

  auto put_question(const std::string& user) {
    switch (all_.options.asked) {
      case question::ads:
        return node_.send(
            "POST", "/v1/ads/match",
            json{{"match",
                  {{"user", user}, {"k", 1}, {"context", {{"consent", true}, {"country", "US"}}}}}}
                .dump(),
            "application/json");
      case question::livez:
        return node_.send("GET", "/livez");
      case question::none:
        break;
    }
    return node_.send("GET", "/v1/users/" + user + "/interests");
  }

  void ask_one() {
    auto user = generator::user(random_.next() % all_.options.events.users);
    auto before = steady::now();
    auto answer = put_question(user);
    // A person of whom nothing is known yet is an answer too.
    if (answer && (answer->ok() || answer->status == 404)) {
      ++counted.queries;
      counted.query_latency.record(
          std::chrono::duration_cast<std::chrono::microseconds>(steady::now() - before));
      if (all_.options.asked == question::ads &&
          answer->body.find("\"impression\"") != answer->body.npos)
        ++counted.ads;
    } else {
      ++counted.failed_requests;
    }
  }

  shared_state& all_;
  http_client::client node_;
  seeded_rng random_;
  double owed_ = 0;
};

/// Runs `work` on a thread for each connection.
template <class Work>
void on_all(std::vector<std::unique_ptr<connection>>& connections, Work work) {
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < connections.size(); ++i)
    threads.emplace_back([&, i] { work(*connections[i], i); });
  for (auto& t : threads)
    t.join();
}

} // namespace

result<outcome> drive(const driver_options& options) {
  shared_state all{.options = options,
                   .make = generator{options.events},
                   .start = {},
                   .until = {},
                   .mutex = {},
                   .acked = {},
                   .ended_by = {}};
  if (!options.acked_file.empty()) {
    all.acked.reset(std::fopen(options.acked_file.c_str(), "ae"));
    if (!all.acked)
      return fail(errc::io_failed, "cannot write " + options.acked_file);
  }
  std::vector<std::unique_ptr<connection>> connections;
  for (unsigned i = 0; i < options.connections; ++i)
    connections.push_back(std::make_unique<connection>(all));
  if (options.prepare)
    on_all(connections, [&](connection& c, std::size_t i) {
      for (auto user = i; user < options.events.users && !all.ended; user += connections.size())
        if (!c.introduce(user))
          return;
    });
  all.start = steady::now();
  if (options.duration)
    all.until = all.start + *options.duration;
  on_all(connections, [](connection& c, std::size_t) { c.run(); });

  outcome sum;
  sum.seconds = std::chrono::duration<double>(steady::now() - all.start).count();
  for (const auto& c : connections) {
    const auto& one = c->counted;
    sum.events += one.events;
    sum.requests += one.requests;
    sum.failed_requests += one.failed_requests;
    sum.queries += one.queries;
    sum.ads += one.ads;
    sum.latency.add(one.latency);
    sum.query_latency.add(one.query_latency);
    for (const auto& [status, n] : one.verdicts)
      sum.verdicts[status] += n;
    for (const auto& [reason, n] : one.reasons)
      sum.reasons[reason] += n;
  }
  if (all.acked_failed)
    return fail(errc::io_failed, "cannot write " + options.acked_file);
  sum.ended_by = std::move(all.ended_by);
  return sum;
}

} // namespace candor::load
