/// The ordered key-value store beneath everything, as one interface with two sides: RocksDB on
/// disk, and memory.
///
/// Guarantees: a batch is applied whole or not at all; after `write(batch, sync::yes)` returned
/// success it survives kill -9 and power loss; a scan sees one state; an error is an error, never
/// an empty answer. Every call is thread-safe; a visitor may read, but a caller ends its scans
/// before it lets go of the engine.
///
/// Must never interpret values: deltas are folded by our code, not by a merge operator.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::engine {

/// Every table begins its keys with the shard (2 bytes, big-endian), so that a shard is one range
/// in each table. Numbers are stored in log entries: never reused.
enum class table : std::uint8_t {
  log = 0,       ///< the replicated log: shard, seq
  user = 1,      ///< a person's sealed rows: shard, storage key, kind, version
  timer = 2,     ///< what is due: shard, time, storage key, kind
  audit = 3,     ///< the audit chain: shard, index
  policy = 4,    ///< applied versions and import runs: shard, kind, name
  meta = 5,      ///< of the shard itself: shard, name
  catalogue = 6, ///< campaigns, content and budgets: shard, kind, id
  spend = 7,     ///< money lent to the shard and what is reserved of it: shard, kind, id
};
inline constexpr std::size_t table_count = 8;

struct operation {
  enum class what : std::uint8_t { put = 0, erase = 1, erase_range = 2 };
  what kind = what::put;
  engine::table table = table::meta;
  std::string key;   ///< of erase_range: its inclusive begin
  std::string value; ///< of erase_range: its exclusive end
  friend bool operator==(const operation&, const operation&) = default;
};

using batch = std::vector<operation>;

enum class sync : bool { no, yes };

/// Called for each row in key order; false ends the scan.
using visitor = std::function<bool(std::string_view key, std::string_view value)>;

/// One state of all tables, as it was when the snapshot was taken. Thread-safe. It keeps what was
/// erased since from being freed, so let go of it soon, and before the engine: closing the engine
/// while a snapshot of it lives is a fault of the caller, on which the RocksDB side asserts.
class snapshot {
public:
  virtual ~snapshot() = default;

  /// As `engine::scan`. Error: as there; `unavailable` where a `resume` opened the files anew
  /// since: take another snapshot and begin again.
  virtual result<void> scan(table from, std::string_view begin, std::string_view end,
                            const visitor& visit) const = 0;
};

class engine {
public:
  virtual ~engine() = default;

  /// Applies the operations in their order; an empty range erases nothing. An empty batch with
  /// sync::yes makes what was written before durable.
  ///
  /// Error: `disk_full`, `io_failed`, `corrupt` (compaction met a bad checksum), `read_only` (after
  /// a failed write, until `resume` succeeds). After an error the outcome of that batch is unknown.
  virtual result<void> write(const batch& operations, sync durable) = 0;

  /// nullopt where there is no such key. Error: `corrupt`, `io_failed`.
  virtual result<std::optional<std::string>> get(table from, std::string_view key) const = 0;

  /// Rows with begin <= key < end. Error: `corrupt`, `io_failed`; rows visited before it are good.
  virtual result<void> scan(table from, std::string_view begin, std::string_view end,
                            const visitor& visit) const = 0;

  /// The present state, for scans that take long or span tables. Never null: where nothing is open,
  /// its scans say so.
  virtual std::unique_ptr<::candor::engine::snapshot> snapshot() const = 0;

  /// The last row with begin <= key < end, or nullopt. Error: as `scan`.
  virtual result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const = 0;

  /// Moves what lies in memory into checksummed files. Error: as `write`.
  virtual result<void> flush() = 0;

  /// After a failed write: makes writes possible again where the cause is gone (space was freed).
  /// It opens the files anew, waiting for what is under way: never call it from a visitor. Reads go
  /// on where it fails. Error: as `write`.
  virtual result<void> resume() = 0;

  /// A consistent copy in the empty or absent folder `to`, which `open_rocksdb` opens. Error:
  /// `io_failed`, `disk_full`, `conflict` (not empty), `unavailable` (memory has nothing to copy).
  virtual result<void> checkpoint(const std::filesystem::path& to) = 0;

  /// Reads every file's checksums, past the cache. Error: `corrupt`, `io_failed`.
  virtual result<void> verify() const = 0;

  /// Bytes on disk (or in memory).
  virtual std::uint64_t size_bytes() const = 0;
};

struct rocksdb_options {
  std::uint64_t block_cache_bytes = 256ull << 20;
  std::uint64_t write_buffer_bytes = 64ull << 20;
};

/// Opens or creates. Error: `locked` (this or another process holds it), `corrupt` (also where
/// files were lost, or a newer version wrote them), `disk_full`, `io_failed`.
result<std::unique_ptr<engine>> open_rocksdb(const std::filesystem::path& folder,
                                             const rocksdb_options& options = {});

/// Starts empty; keeps nothing. A batch after which the rows would take more than `capacity_bytes`
/// fails with `disk_full`, so that a full disk can be simulated.
std::unique_ptr<engine> make_memory_engine(std::uint64_t capacity_bytes = ~std::uint64_t{0});

} // namespace candor::engine
