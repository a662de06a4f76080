#include <array>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <set>
#include <shared_mutex>

#include <fmt/format.h>
#include <pthread.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include "storage/base/ids.hpp"
#include "storage/base/log.hpp"
#include "storage/engine/engine.hpp"
#include "storage/engine/faulty_disk.hpp"
#include "storage/engine/keys.hpp"

namespace candor::engine {

namespace {

namespace fs = std::filesystem;

/// Names of the column families: on disk, so never changed.
constexpr std::array<const char*, table_count> names{"log",    "user", "timer",     "audit",
                                                     "policy", "meta", "catalogue", "spend"};

/// Shard and storage key: what all rows of one person begin with.
constexpr std::size_t person_prefix_bytes = 2 + sizeof(storage_key::bytes);

rocksdb::Slice slice(std::string_view text) {
  return {text.data(), text.size()};
}
std::string_view view(const rocksdb::Slice& text) {
  return {text.data(), text.size()};
}

tl::unexpected<error> to_error(const rocksdb::Status& status) {
  if (status.IsNoSpace())
    return fail(errc::disk_full, status.ToString());
  if (status.IsCorruption())
    return fail(errc::corrupt, status.ToString());
  return fail(errc::io_failed, status.ToString());
}

/// RocksDB has no code of its own for a lock that is held; both sentences are those of its POSIX
/// file system.
bool says_locked(const std::string& message) {
  return message.find("While lock file") != std::string::npos ||
         message.find("lock hold by current process") != std::string::npos;
}

/// Hears of what failed in the background, so that the next write says so. RocksDB itself would go
/// on writing while compaction has no room, and wake by itself when room comes back, at a moment
/// that nobody chose.
struct failure_listener final : rocksdb::EventListener {
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    log::error("engine", "writes end: {}", status->ToString());
    std::lock_guard lock{mutex};
    if (!failed)
      first = to_error(*status).value();
    failed = true;
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* automatic) override {
    *automatic = false;
  }
  std::atomic<bool> failed{false};
  std::mutex mutex;
  error first;
};

/// RocksDB's own log goes to the node's. Its usual log file would lie on the disk whose failures it
/// tells of, and where RocksDB is built with assertions (as Debian builds it), a line that does not
/// fit on a full disk ends the process.
struct node_log final : rocksdb::Logger {
  static constexpr auto least = rocksdb::InfoLogLevel::ERROR_LEVEL;
  using Logger::Logv;
  void Logv(const rocksdb::InfoLogLevel level, const char* form, va_list arguments) override {
    std::array<char, 512> line;
    if (level >= least && level != rocksdb::InfoLogLevel::HEADER_LEVEL &&
        std::vsnprintf(line.data(), line.size(), form, arguments) >= 0)
      log::error("engine", "{}", line.data());
  }
  void Logv(const char*, va_list) override {} // what it says in passing
};

rocksdb::ColumnFamilyOptions family_options(table of, const rocksdb_options& options,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = cache;
  blocks.cache_index_and_filter_blocks = true;
  blocks.pin_l0_filter_and_index_blocks_in_cache = true;
  blocks.format_version = 5;
  rocksdb::ColumnFamilyOptions family;
  family.level_compaction_dynamic_level_bytes = true;
  auto large = of == table::user || of == table::log;
  family.write_buffer_size = large ? options.write_buffer_bytes
                                   : std::max<std::uint64_t>(options.write_buffer_bytes / 8, 65536);
  if (large)
    family.max_write_buffer_number = 3;
  // Sealed values look random: trying to compress them is work for nothing. What is plain and piles
  // up is compressed.
  family.compression = of == table::audit ? rocksdb::kZSTD : rocksdb::kNoCompression;
  // A person's rows are asked for by key and by prefix, and often are not there; the log is read in
  // ranges only.
  if (of == table::user) {
    family.prefix_extractor.reset(rocksdb::NewFixedPrefixTransform(person_prefix_bytes));
    family.memtable_prefix_bloom_size_ratio = 0.05;
    family.memtable_whole_key_filtering = true;
  }
  if (of != table::log)
    blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  return family;
}

rocksdb::DBOptions database_options(const rocksdb_options& options) {
  rocksdb::DBOptions database;
  database.create_if_missing = true;
  database.create_missing_column_families = true;
  database.paranoid_checks = true;
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  database.max_background_jobs = 2;
  database.max_total_wal_size = 4 * options.write_buffer_bytes;
  database.bytes_per_sync = 1 << 20;
  database.max_bgerror_resume_count = 0;
  database.info_log = std::make_shared<node_log>();
  database.info_log_level = node_log::least;
  return database;
}

/// True where every key of [begin, end) belongs to one person, so that the prefix filters may be
/// asked.
bool within_one_person(std::string_view begin, std::string_view end) {
  if (begin.size() < person_prefix_bytes)
    return false;
  auto prefix = begin.substr(0, person_prefix_bytes);
  return end.starts_with(prefix) || end == prefix_end(std::string{prefix});
}

/// A database while it is open.
struct session {
  ~session() {
    for (auto* state : snapshots)
      db->ReleaseSnapshot(state);
    for (auto* family : families)
      db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    // What was acknowledged lies in the log already; there is nobody to tell of a failure here.
    if (db)
      db->Close().PermitUncheckedError();
  }

  rocksdb::ColumnFamilyHandle* family(table of) const {
    CANDOR_ASSERT(static_cast<std::size_t>(of) < table_count);
    return families[static_cast<std::size_t>(of)];
  }

  std::unique_ptr<rocksdb::Env> faulty_env; ///< of a trial; outlives the database
  std::shared_ptr<failure_listener> listener = std::make_shared<failure_listener>();
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families; ///< by number of table; the default one last
  std::mutex snapshots_mutex;
  std::set<const rocksdb::Snapshot*> snapshots; ///< those alive; guarded by snapshots_mutex
};

/// What `scan` promises, of the present state where `state` is null.
result<void> scan_rows(const session& opened, const rocksdb::Snapshot* state, table from,
                       std::string_view begin, std::string_view end, const visitor& visit) {
  auto upper = slice(end);
  rocksdb::ReadOptions how;
  how.snapshot = state;
  how.iterate_upper_bound = &upper;
  how.prefix_same_as_start = from == table::user && within_one_person(begin, end);
  how.total_order_seek = !how.prefix_same_as_start;
  std::unique_ptr<rocksdb::Iterator> row{opened.db->NewIterator(how, opened.family(from))};
  for (row->Seek(slice(begin)); row->Valid(); row->Next())
    if (!visit(view(row->key()), view(row->value())))
      return {};
  if (!row->status().ok())
    return to_error(row->status());
  return {};
}

enum class access : bool { read, write };

result<std::unique_ptr<session>> open_session(const fs::path& folder,
                                              const rocksdb_options& options, access wanted) {
  auto opened = std::make_unique<session>();
  auto database = database_options(options);
  database.listeners.push_back(opened->listener);
  if (auto disk = faulty_disk_of_this_process()) {
    opened->faulty_env = rocksdb::NewCompositeEnv(std::move(disk));
    database.env = opened->faulty_env.get();
  }
  auto cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (std::size_t i = 0; i < table_count; ++i)
    families.emplace_back(names[i], family_options(static_cast<table>(i), options, cache));
  families.emplace_back(rocksdb::kDefaultColumnFamilyName,
                        family_options(table::meta, options, cache)); // demanded, and unused
  rocksdb::DB* db = nullptr;
  auto status = wanted == access::write
                    ? rocksdb::DB::Open(database, folder.string(), families, &opened->families, &db)
                    : rocksdb::DB::OpenForReadOnly(database, folder.string(), families,
                                                   &opened->families, &db);
  opened->db.reset(db);
  if (status.ok())
    return opened;
  if (status.IsIOError() && says_locked(status.ToString()))
    return fail(errc::locked, folder.string());
  // Tables that are not known here, or a format that is not: written by a newer version, or
  // damaged.
  if (status.IsInvalidArgument() || status.IsNotSupported() || status.IsNotFound() ||
      status.IsPathNotFound())
    return fail(errc::corrupt, status.ToString());
  return to_error(status);
}

/// Many use the session at a time; who replaces it waits until nobody does. A visitor that reads
/// while its own scan holds the session holds it twice: therefore readers go before the one who
/// waits, which the default of pthread_rwlock_t promises and std::shared_mutex does not.
class session_lock {
public:
  ~session_lock() { ::pthread_rwlock_destroy(&lock_); }
  void lock_shared() { CANDOR_ASSERT(::pthread_rwlock_rdlock(&lock_) == 0); }
  void unlock_shared() { ::pthread_rwlock_unlock(&lock_); }
  void unlock() { ::pthread_rwlock_unlock(&lock_); }
  bool lock_within(std::chrono::seconds span) {
    timespec deadline;
    ::clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += span.count();
    return ::pthread_rwlock_clockwrlock(&lock_, CLOCK_MONOTONIC, &deadline) == 0;
  }

private:
  pthread_rwlock_t lock_ = PTHREAD_RWLOCK_INITIALIZER;
};

/// A state of a session. Where `resume` ends the session, the state ends with it: a database can't
/// be opened anew while the old one is held.
class rocksdb_snapshot final : public snapshot {
public:
  /// `lock` is held, and `live` counts the snapshots of the engine; both outlive this.
  rocksdb_snapshot(session_lock& lock, std::atomic<int>& live,
                   const std::shared_ptr<session>& opened)
    : lock_{lock}
    , live_{live}
    , session_{opened} {
    ++live_;
    if (!opened)
      return;
    state_ = opened->db->GetSnapshot();
    std::lock_guard all{opened->snapshots_mutex};
    opened->snapshots.insert(state_);
  }

  ~rocksdb_snapshot() override {
    {
      std::shared_lock held{lock_};
      if (auto opened = session_.lock()) {
        std::lock_guard all{opened->snapshots_mutex};
        opened->snapshots.erase(state_);
        opened->db->ReleaseSnapshot(state_);
      }
    }
    --live_;
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    if (begin >= end)
      return {};
    std::shared_lock held{lock_};
    auto opened = session_.lock();
    if (!opened)
      return fail(errc::unavailable, "the files were opened anew since this snapshot was taken");
    return scan_rows(*opened, state_, from, begin, end, visit);
  }

private:
  session_lock& lock_;
  std::atomic<int>& live_;
  std::weak_ptr<session> session_; ///< owned by the engine alone while lock_ is not held
  const rocksdb::Snapshot* state_ = nullptr;
};

class rocksdb_engine final : public engine {
public:
  rocksdb_engine(fs::path folder, const rocksdb_options& options, std::unique_ptr<session> opened)
    : folder_{std::move(folder)}
    , options_{options}
    , session_{std::move(opened)} {}

  ~rocksdb_engine() override { CANDOR_ASSERT(snapshots_alive_ == 0); }

  result<void> write(const batch& operations, sync durable) override {
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_writable());
    rocksdb::WriteBatch rows;
    for (auto& op : operations)
      if (auto added = add(rows, op); !added.ok())
        return to_error(added);
    rocksdb::WriteOptions how;
    how.sync = durable == sync::yes;
    return written(session_->db->Write(how, &rows));
  }

  result<std::optional<std::string>> get(table from, std::string_view key) const override {
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_open());
    std::string value;
    auto status = session_->db->Get({}, session_->family(from), slice(key), &value);
    if (status.IsNotFound())
      return std::nullopt;
    if (!status.ok())
      return to_error(status);
    return value;
  }

  result<void> scan(table from, std::string_view begin, std::string_view end,
                    const visitor& visit) const override {
    if (begin >= end)
      return {};
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_open());
    return scan_rows(*session_, nullptr, from, begin, end, visit);
  }

  std::unique_ptr<::candor::engine::snapshot> snapshot() const override {
    std::shared_lock held{lock_};
    return std::make_unique<rocksdb_snapshot>(lock_, snapshots_alive_, session_);
  }

  result<std::optional<std::pair<std::string, std::string>>>
  last(table from, std::string_view begin, std::string_view end) const override {
    if (begin >= end)
      return std::nullopt;
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_open());
    auto lower = slice(begin);
    auto upper = slice(end);
    rocksdb::ReadOptions how;
    how.iterate_lower_bound = &lower;
    how.iterate_upper_bound = &upper;
    how.total_order_seek = true;
    std::unique_ptr<rocksdb::Iterator> row{session_->db->NewIterator(how, session_->family(from))};
    row->SeekToLast();
    if (row->Valid())
      return std::pair{row->key().ToString(), row->value().ToString()};
    if (!row->status().ok())
      return to_error(row->status());
    return std::nullopt;
  }

  result<void> flush() override {
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_writable());
    return written(session_->db->Flush({}, session_->families));
  }

  /// RocksDB's own Resume keeps the log file whose write failed, and never writes to it again; so
  /// the database is opened anew, which makes of the files what a restart would make of them. What
  /// an fsync may have left in the system's cache alone is written to new files by that.
  result<void> resume() override {
    if (!lock_.lock_within(std::chrono::seconds{5}))
      return fail(errc::read_only, "reads are under way all the time; try again");
    std::unique_lock held{lock_, std::adopt_lock};
    if (!failed_ && !(session_ && session_->listener->failed))
      return {};
    failed_ = true;
    CANDOR_TRY_VOID(check_room());
    session_.reset();
    auto opened = open_session(folder_, options_, access::write);
    if (opened) {
      session_ = std::move(*opened);
      failed_ = false;
      return {};
    }
    // Reads go on, at least.
    if (auto readable = open_session(folder_, options_, access::read))
      session_ = std::move(*readable);
    return tl::unexpected<error>{opened.error()};
  }

  result<void> checkpoint(const fs::path& to) override {
    std::error_code ec;
    if (fs::exists(to, ec)) {
      if (!fs::is_directory(to, ec) || !fs::is_empty(to, ec))
        return fail(errc::conflict, to.string() + " is not an empty folder");
      fs::remove(to, ec); // RocksDB wants to make it itself
    } else if (to.has_parent_path()) {
      fs::create_directories(to.parent_path(), ec);
    }
    if (ec)
      return fail(errc::io_failed, to.string() + ": " + ec.message());
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_open());
    rocksdb::Checkpoint* made = nullptr;
    auto status = rocksdb::Checkpoint::Create(session_->db.get(), &made);
    std::unique_ptr<rocksdb::Checkpoint> checkpoint{made};
    if (status.ok())
      status = checkpoint->CreateCheckpoint(to.string());
    if (!status.ok())
      return to_error(status);
    return {};
  }

  result<void> verify() const override {
    std::shared_lock held{lock_};
    CANDOR_TRY_VOID(check_open());
    auto status = session_->db->VerifyChecksum();
    if (!status.ok())
      return to_error(status);
    return {};
  }

  std::uint64_t size_bytes() const override {
    return bytes_of_files([](const fs::path&) { return true; });
  }

private:
  /// Only a `resume` that could not even open for reading leaves nothing open.
  result<void> check_open() const {
    if (!session_)
      return fail(errc::io_failed, "the database could not be opened again; resume");
    return {};
  }

  result<void> check_writable() {
    CANDOR_TRY_VOID(check_open());
    if (failed_)
      return fail(errc::read_only, "a write failed before; resume first");
    auto& listener = *session_->listener;
    if (!listener.failed)
      return {};
    failed_ = true;
    std::lock_guard lock{listener.mutex};
    return tl::unexpected<error>{listener.first};
  }

  result<void> written(const rocksdb::Status& status) {
    if (status.ok())
      return {};
    failed_ = true;
    return to_error(status);
  }

  rocksdb::Status add(rocksdb::WriteBatch& rows, const operation& op) const {
    auto* to = session_->family(op.table);
    switch (op.kind) {
      case operation::what::put:
        return rows.Put(to, slice(op.key), slice(op.value));
      case operation::what::erase:
        return rows.Delete(to, slice(op.key));
      case operation::what::erase_range:
        // RocksDB must not see a range that ends before it begins.
        return op.key < op.value ? rows.DeleteRange(to, slice(op.key), slice(op.value))
                                 : rocksdb::Status::OK();
    }
    CANDOR_ASSERT(!"a kind of operation that exists");
    return {};
  }

  /// Opening writes what the logs hold to new files.
  result<void> check_room() const {
    std::error_code ec;
    auto room = fs::space(folder_, ec);
    auto need = bytes_of_files([](const fs::path& file) { return file.extension() == ".log"; });
    need += 256 * 1024; // manifest, options, the first block of a new log
    if (!ec && room.available < need)
      return fail(errc::disk_full,
                  fmt::format("{} bytes are free, {} are needed", room.available, need));
    return {};
  }

  template <class Accept>
  std::uint64_t bytes_of_files(Accept accept) const {
    std::uint64_t size = 0;
    std::error_code ec;
    for (fs::directory_iterator file{folder_, ec}, end; !ec && file != end; file.increment(ec)) {
      std::error_code gone; // compaction removes files meanwhile
      if (auto bytes = file->file_size(gone); !gone && accept(file->path()))
        size += bytes;
    }
    return size;
  }

  fs::path folder_;
  rocksdb_options options_;
  mutable session_lock lock_;
  mutable std::atomic<int> snapshots_alive_{0};
  std::shared_ptr<session> session_; ///< guarded by lock_
  std::atomic<bool> failed_{false};
};

/// Without CURRENT, RocksDB would start an empty database beside the files of the old one.
result<void> check_not_beheaded(const fs::path& folder) {
  std::error_code ec;
  if (fs::exists(folder / "CURRENT", ec))
    return {};
  for (fs::directory_iterator file{folder, ec}, end; !ec && file != end; file.increment(ec)) {
    auto extension = file->path().extension();
    if (extension == ".sst" || extension == ".log")
      return fail(errc::corrupt, folder.string() + " holds data, but its CURRENT file is missing");
  }
  if (ec)
    return fail(errc::io_failed, folder.string() + ": " + ec.message());
  return {};
}

} // namespace

result<std::unique_ptr<engine>> open_rocksdb(const fs::path& folder,
                                             const rocksdb_options& options) {
  std::error_code ec;
  if (fs::create_directories(folder, ec))
    fs::permissions(folder, fs::perms::owner_all, ec);
  if (ec)
    return fail(ec == std::errc::no_space_on_device ? errc::disk_full : errc::io_failed,
                folder.string() + ": " + ec.message());
  CANDOR_TRY_VOID(check_not_beheaded(folder));
  CANDOR_TRY(opened, open_session(folder, options, access::write));
  return std::make_unique<rocksdb_engine>(folder, options, std::move(opened));
}

} // namespace candor::engine
