#include "tools/candor-bench/ingest.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <vector>

#include <caf/all.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "actors/supervision/node.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/rng.hpp"
#include "storage/engine/engine.hpp"
#include "storage/engine/keys.hpp"
#include "storage/model/user_record.hpp"

namespace candor::bench {

namespace {

using steady = std::chrono::steady_clock;

double seconds_since(steady::time_point start) {
  return std::chrono::duration<double>(steady::now() - start).count();
}

double quantile(std::vector<double>& sorted, double q) {
  return sorted.empty()
             ? 0
             : sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

struct figures {
  double per_second = 0;
  double p50_ms = 0;
  double p99_ms = 0;
};

figures summarize(std::uint64_t events, double seconds, std::vector<double> latencies_ms) {
  std::ranges::sort(latencies_ms);
  return {static_cast<double>(events) / seconds, quantile(latencies_ms, 0.5),
          quantile(latencies_ms, 0.99)};
}

/// The run whose rate is the median.
figures median(std::vector<figures> runs) {
  std::ranges::sort(runs, {}, &figures::per_second);
  return runs[runs.size() / 2];
}

/// Half of what people do is to talk, half to like.
std::vector<model::event> make_batch(std::uint64_t first, const ingest_options& o, timestamp now,
                                     rng& random) {
  static constexpr std::string_view things[] = {"hiking boots",   "pasta recipes", "a used car",
                                                "guitar lessons", "train tickets", "a garden shed"};
  std::vector<model::event> events;
  for (std::size_t i = 0; i < o.batch; ++i) {
    auto user = *user_id::parse(fmt::format("u-{}", random.next() % o.users));
    model::event e{fmt::format("e-{}", first + i), std::move(user), now};
    e.lang = "en";
    if (random.next() % 2 == 0) {
      e.utterance = model::raw_utterance{
          fmt::format("which {} would you choose for the weekend, and why those?",
                      things[random.next() % std::size(things)])};
    } else {
      e.kind = model::event_kind::engagement;
      e.object_id = "page";
      e.object_topics = {static_cast<model::topic_id>(random.next() % model::topics().size() + 1)};
    }
    events.push_back(std::move(e));
  }
  return events;
}

/// Everybody lives in the US and was told.
result<void> introduce(supervision::node& node, std::uint64_t users) {
  caf::scoped_actor self{node.system()};
  std::optional<error> failed;
  auto ask = [&](std::string verb, const nlohmann::json& arguments) {
    self->request(node.doors().admin, limits::room_deadline,
                  admin_call{std::move(verb), arguments.dump(), "bench"})
        .receive([](const admin_answer&) {}, [&](const caf::error& e) { failed = from_caf(e); });
  };
  model::user_details details;
  details.region = model::region_code{{'U', 'S'}};
  details.region_since = timestamp{};
  for (std::uint64_t i = 0; i < users && !failed; ++i) {
    auto id = fmt::format("u-{}", i);
    auto shard = node.shard_of(*user_id::parse(id));
    self->request(node.doors().shards->primary(shard), limits::room_deadline,
                  put_user{shard, id, model::encode(details), "bench"})
        .receive([](const user_stored&) {}, [&](const caf::error& e) { failed = from_caf(e); });
    if (!failed)
      ask("notice_reached", {{"user", id},
                             {"policy", "ai-interactions"},
                             {"revision", 1},
                             {"channel", "in_app"},
                             {"at", "2025-10-08T00:00:00Z"}});
  }
  if (failed)
    return tl::unexpected<error>{*failed};
  return {};
}

/// A closed loop: `outstanding` batches on their way, the next when the oldest is answered.
result<figures> drive(supervision::node& node, const ingest_options& o, std::uint64_t first_id,
                      rng& random) {
  caf::scoped_actor self{node.system()};
  std::vector<double> latencies;
  std::uint64_t sent = 0, accepted = 0;
  auto start = steady::now();
  std::deque<std::pair<steady::time_point, std::function<result<void>()>>> waiting;
  auto send_one = [&] {
    auto batch = std::make_shared<event_batch>();
    batch->received = node.now();
    batch->events = make_batch(first_id + sent, o, batch->received, random);
    sent += o.batch;
    const auto& rooms = node.doors().ingestion;
    auto handle = std::make_shared<decltype(self->request(rooms.front(), limits::room_deadline,
                                                          event_batch_ptr{}))>(
        self->request(rooms[sent / o.batch % rooms.size()], limits::room_deadline,
                      std::move(batch)));
    waiting.emplace_back(steady::now(), [&accepted, handle]() -> result<void> {
      std::optional<error> failed;
      handle->receive(
          [&](const verdicts& v) {
            for (const auto& verdict : v.items)
              accepted += verdict.status == model::status::accepted ? 1 : 0;
          },
          [&](const caf::error& e) { failed = from_caf(e); });
      if (failed)
        return tl::unexpected<error>{*failed};
      return {};
    });
  };
  while (sent < o.events || !waiting.empty()) {
    while (sent < o.events && waiting.size() < o.outstanding)
      send_one();
    auto [since, answered] = std::move(waiting.front());
    waiting.pop_front();
    CANDOR_TRY_VOID(answered());
    latencies.push_back(seconds_since(since) * 1e3);
  }
  if (accepted != sent)
    return fail(errc::internal, fmt::format("{} of {} events were accepted", accepted, sent));
  return summarize(sent, seconds_since(start), std::move(latencies));
}

/// The limit: the same number of bytes and rows an event, synced in groups of `group`.
result<figures> disk_alone(const std::filesystem::path& folder, std::uint64_t events,
                           std::size_t group) {
  CANDOR_TRY(db, engine::open_rocksdb(folder));
  std::vector<double> latencies;
  std::string log_row(300, 'l'), delta_row(150, 'd');
  auto start = steady::now();
  for (std::uint64_t i = 0; i < events;) {
    engine::batch batch;
    for (std::size_t k = 0; k < group; ++k, ++i) {
      batch.push_back(
          {engine::operation::what::put, engine::table::log, engine::log_key(1, i), log_row});
      batch.push_back({engine::operation::what::put, engine::table::user,
                       engine::log_key(2, i * 0x9e3779b97f4a7c15), delta_row});
    }
    auto before = steady::now();
    CANDOR_TRY_VOID(db->write(batch, engine::sync::yes));
    latencies.push_back(seconds_since(before) * 1e3);
  }
  return summarize(events, seconds_since(start), std::move(latencies));
}

void print(std::string_view what, const figures& f) {
  fmt::print("{:<44} {:>10.0f} events/s   p50 {:>7.2f} ms   p99 {:>7.2f} ms\n", what, f.per_second,
             f.p50_ms, f.p99_ms);
}

nlohmann::json to_json(const figures& f) {
  return {{"events_per_s", f.per_second}, {"p50_ms", f.p50_ms}, {"p99_ms", f.p99_ms}};
}

} // namespace

result<void> run_ingest(const ingest_options& o) {
  log::set_level(log::level::warn);
  auto folder = o.folder.value_or(std::filesystem::temp_directory_path()) /
                fmt::format("candor-bench-{}", ::getpid());
  CANDOR_TRY(config, config::load(std::nullopt, config::shipped_folder(),
                                  {{"data", (folder / "node").string()}, {"http", "127.0.0.1:0"}}));
  std::vector<figures> node_runs, disk_one, disk_group;
  constexpr std::size_t group = 128;
  {
    CANDOR_TRY(node, supervision::start_node(config, [](result<void>) {}));
    CANDOR_TRY_VOID(introduce(*node, o.users));
    seeded_rng random{1};
    for (auto i = 0; i < o.repeats; ++i) {
      CANDOR_TRY(run, drive(*node, o, static_cast<std::uint64_t>(i) << 32, random));
      node_runs.push_back(run);
      // In turn with the node's runs, so that a change of the machine's speed meets both.
      CANDOR_TRY(one, disk_alone(folder / fmt::format("one-{}", i), 2000, 1));
      disk_one.push_back(one);
      CANDOR_TRY(many, disk_alone(folder / fmt::format("group-{}", i), o.events, group));
      disk_group.push_back(many);
    }
  }
  std::error_code ec;
  std::filesystem::remove_all(folder, ec);
  auto node = median(node_runs), one = median(disk_one), many = median(disk_group);
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"events", o.events},
                                      {"users", o.users},
                                      {"batch", o.batch},
                                      {"outstanding", o.outstanding},
                                      {"repeats", o.repeats},
                                      {"node", to_json(node)},
                                      {"disk_sync_each", to_json(one)},
                                      {"disk_sync_groups_of_128", to_json(many)}}
                           .dump());
    return {};
  }
  fmt::print("{} events of {} persons, {} a batch, {} batches on their way; medians of {} runs\n",
             o.events, o.users, o.batch, o.outstanding, o.repeats);
  print("a node, event to durable and sealed profile", node);
  print("RocksDB alone, a sync for each event", one);
  print("RocksDB alone, a sync for each 128 events", many);
  fmt::print("the node reaches {:.0f} % of the disk's groups\n",
             100 * node.per_second / many.per_second);
  return {};
}

} // namespace candor::bench
