#include "tools/candor-bench/store.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "storage/base/rng.hpp"
#include "storage/engine/engine.hpp"
#include "storage/engine/keys.hpp"

namespace candor::bench {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t batch_sizes[] = {1, 16, 128};

struct measured {
  std::size_t batch_rows = 0;
  double rows_per_s = 0;
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
};

/// Bytes that do not compress: sealed rows do not either.
std::string noise(rng& random, std::size_t bytes) {
  std::string made;
  while (made.size() < bytes) {
    auto word = random.next();
    made.append(reinterpret_cast<const char*>(&word), std::min(sizeof word, bytes - made.size()));
  }
  return made;
}

result<measured> measure(const std::filesystem::path& folder, const store_options& o,
                         std::size_t rows) {
  CANDOR_TRY(db, engine::open_rocksdb(folder));
  seeded_rng random{rows};
  std::vector<double> latencies_ms;
  std::uint64_t written = 0;
  auto start = steady::now();
  while (steady::now() - start < o.span) {
    engine::batch batch;
    for (std::size_t i = 0; i < rows; ++i)
      batch.push_back({engine::operation::what::put, engine::table::log,
                       engine::log_key(static_cast<shard_id>(random.next() % 64), written + i),
                       noise(random, o.row_bytes)});
    auto before = steady::now();
    CANDOR_TRY_VOID(db->write(batch, engine::sync::yes));
    latencies_ms.push_back(
        std::chrono::duration<double, std::milli>(steady::now() - before).count());
    written += rows;
  }
  auto seconds = std::chrono::duration<double>(steady::now() - start).count();
  std::ranges::sort(latencies_ms);
  auto quantile = [&](double q) {
    return latencies_ms[static_cast<std::size_t>(q * static_cast<double>(latencies_ms.size() - 1))];
  };
  return measured{rows, static_cast<double>(written) / seconds, quantile(0.5), quantile(0.99),
                  latencies_ms.back()};
}

} // namespace

result<void> run_store(const store_options& o) {
  auto folder = o.folder.value_or(std::filesystem::temp_directory_path()) /
                fmt::format("candor-bench-{}", ::getpid());
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (auto rows : batch_sizes) {
    auto m = measure(folder / fmt::format("store-{}", rows), o, rows);
    if (!m) {
      std::error_code ec;
      std::filesystem::remove_all(folder, ec);
      return tl::unexpected<error>{m.error()};
    }
    all.push_back({{"rows_a_sync", rows},
                   {"rows_per_s", m->rows_per_s},
                   {"p50_ms", m->p50_ms},
                   {"p99_ms", m->p99_ms},
                   {"max_ms", m->max_ms}});
    if (!o.json)
      fmt::print("{:>4} rows a sync: {:>9.0f} rows/s   p50 {:>7.2f} ms   p99 {:>7.2f} ms   max "
                 "{:>7.2f} ms\n",
                 rows, m->rows_per_s, m->p50_ms, m->p99_ms, m->max_ms);
  }
  std::error_code ec;
  std::filesystem::remove_all(folder, ec);
  if (o.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"row_bytes", o.row_bytes}, {"runs", all}}.dump());
  return {};
}

} // namespace candor::bench
