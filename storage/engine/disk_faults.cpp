#include "storage/engine/disk_faults.hpp"

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "storage/engine/faulty_disk.hpp"

namespace candor::engine {

namespace {

using namespace std::chrono_literals;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSReadRequest;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr auto look_every = 20ms;
constexpr std::size_t held_bytes_max = 256u << 20; ///< of one file; then it is written as usual
constexpr std::size_t block_bytes_min = 128; ///< a shorter read is a footer or a size, no block

struct orders {
  std::chrono::milliseconds delay{0};
  bool hang = false, hang_reads = false, read_error = false, unsynced_lost = false,
       syncs_lie = false;
  std::string write_error;
  unsigned flip_one_in = 0;
};

orders read_orders(const std::filesystem::path& file) {
  orders found;
  std::ifstream in{file};
  for (std::string line; std::getline(in, line);) {
    std::istringstream words{line};
    std::string verb, what;
    words >> verb >> what;
    if (verb == "delay")
      found.delay = std::chrono::milliseconds{std::strtoul(what.c_str(), nullptr, 10)};
    else if (verb == "hang")
      found.hang = true;
    else if (verb == "hang_reads")
      found.hang_reads = true;
    else if (verb == "writes")
      found.write_error = what;
    else if (verb == "reads")
      found.read_error = true;
    else if (verb == "flip")
      found.flip_one_in = static_cast<unsigned>(std::strtoul(what.c_str(), nullptr, 10));
    else if (verb == "unsynced")
      found.unsynced_lost = true;
    else if (verb == "syncs")
      found.syncs_lie = true;
  }
  return found;
}

/// What the control file says, shared by all files of a disk.
class control {
public:
  explicit control(std::filesystem::path file)
    : file_{std::move(file)} {}

  orders now() {
    std::lock_guard guard{mutex_};
    auto time = std::chrono::steady_clock::now();
    if (time - looked_ >= look_every) {
      orders_ = read_orders(file_);
      looked_ = time;
    }
    return orders_;
  }

  /// Before each write and sync.
  IOStatus before_write() {
    auto told = now();
    while (told.hang) {
      std::this_thread::sleep_for(look_every);
      told = now();
    }
    if (told.delay.count() > 0)
      std::this_thread::sleep_for(told.delay);
    if (told.write_error == "enospc")
      return IOStatus::NoSpace("the disk is told to be full");
    if (told.write_error == "erofs")
      return IOStatus::IOError("the disk is told to be read-only");
    if (!told.write_error.empty())
      return IOStatus::IOError("the disk is told to fail");
    return IOStatus::OK();
  }

  IOStatus before_read() {
    auto told = now();
    while (told.hang_reads) {
      std::this_thread::sleep_for(look_every);
      told = now();
    }
    return told.read_error ? IOStatus::IOError("the disk is told to fail") : IOStatus::OK();
  }

  /// True where this read is to come out wrong.
  bool flips() {
    auto told = now();
    if (told.flip_one_in == 0)
      return false;
    std::lock_guard guard{mutex_};
    return chance_() % told.flip_one_in == 0;
  }

  unsigned any() {
    std::lock_guard guard{mutex_};
    return static_cast<unsigned>(chance_());
  }

private:
  std::filesystem::path file_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point looked_{};
  orders orders_;
  std::minstd_rand chance_{std::random_device{}()};
};

class faulty_writable final : public rocksdb::FSWritableFileOwnerWrapper {
public:
  faulty_writable(std::unique_ptr<FSWritableFile> file, std::shared_ptr<control> told, bool is_log)
    : FSWritableFileOwnerWrapper{std::move(file)}
    , told_{std::move(told)}
    , holds_{told_->now().unsynced_lost}
    , lies_{is_log && told_->now().syncs_lie} {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    if (auto failed = told_->before_write(); !failed.ok())
      return failed;
    if (!holds_ || held_.size() + data.size() > held_bytes_max)
      return write_through(data, options, dbg);
    held_.append(data.data(), data.size());
    return IOStatus::OK();
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* dbg) override {
    return Append(data, options, dbg);
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            IODebugContext* dbg) override {
    if (auto failed = told_->before_write(); !failed.ok())
      return failed;
    if (auto failed = write_held(options, dbg); !failed.ok())
      return failed;
    return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, dbg);
  }
  IOStatus PositionedAppend(const Slice& data, std::uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&, IODebugContext* dbg) override {
    return PositionedAppend(data, offset, options, dbg);
  }

  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override {
    if (auto failed = told_->before_write(); !failed.ok())
      return failed;
    if (lies_)
      return IOStatus::OK();
    if (auto failed = write_held(options, dbg); !failed.ok())
      return failed;
    return FSWritableFileOwnerWrapper::Sync(options, dbg);
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return Sync(options, dbg);
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     IODebugContext* dbg) override {
    // It promises nothing to who relies on it, so nothing is written for it.
    return holds_ ? IOStatus::OK()
                  : FSWritableFileOwnerWrapper::RangeSync(offset, bytes, options, dbg);
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* dbg) override {
    return holds_ ? IOStatus::OK() : FSWritableFileOwnerWrapper::Flush(options, dbg);
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* dbg) override {
    if (auto failed = write_held(options, dbg); !failed.ok())
      return failed;
    return FSWritableFileOwnerWrapper::Truncate(size, options, dbg);
  }
  std::uint64_t GetFileSize(const IOOptions& options, IODebugContext* dbg) override {
    return FSWritableFileOwnerWrapper::GetFileSize(options, dbg) + held_.size();
  }
  IOStatus Close(const IOOptions& options, IODebugContext* dbg) override {
    if (auto failed = write_held(options, dbg); !failed.ok())
      return failed;
    return FSWritableFileOwnerWrapper::Close(options, dbg);
  }

private:
  IOStatus write_through(const Slice& data, const IOOptions& options, IODebugContext* dbg) {
    if (auto failed = write_held(options, dbg); !failed.ok())
      return failed;
    return FSWritableFileOwnerWrapper::Append(data, options, dbg);
  }
  IOStatus write_held(const IOOptions& options, IODebugContext* dbg) {
    if (held_.empty())
      return IOStatus::OK();
    auto written = FSWritableFileOwnerWrapper::Append(Slice{held_}, options, dbg);
    if (written.ok())
      held_.clear();
    return written;
  }

  std::shared_ptr<control> told_;
  bool holds_, lies_;
  std::string held_; ///< written, and not synced
};

class faulty_readable final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
  faulty_readable(std::unique_ptr<FSRandomAccessFile> file, std::shared_ptr<control> told,
                  bool is_table)
    : FSRandomAccessFileOwnerWrapper{std::move(file)}
    , told_{std::move(told)}
    , is_table_{is_table} {}

  IOStatus Read(std::uint64_t offset, std::size_t n, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* dbg) const override {
    if (auto failed = told_->before_read(); !failed.ok())
      return failed;
    auto done = FSRandomAccessFileOwnerWrapper::Read(offset, n, options, result, scratch, dbg);
    if (!done.ok() || !is_table_ || result->size() < block_bytes_min || !told_->flips())
      return done;
    if (result->data() != scratch) {
      std::copy_n(result->data(), result->size(), scratch);
      *result = Slice{scratch, result->size()};
    }
    auto at = told_->any();
    scratch[at % result->size()] ^= static_cast<char>(1u << (at % 8));
    return done;
  }

private:
  std::shared_ptr<control> told_;
  bool is_table_;
};

bool has_ending(const std::string& name, std::string_view ending) {
  return name.size() >= ending.size() &&
         std::string_view{name}.substr(name.size() - ending.size()) == ending;
}

class faulty_disk final : public rocksdb::FileSystemWrapper {
public:
  explicit faulty_disk(std::filesystem::path file)
    : FileSystemWrapper{rocksdb::FileSystem::Default()}
    , told_{std::make_shared<control>(std::move(file))} {}

  const char* Name() const override { return "faulty_disk"; }

  IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                           std::unique_ptr<FSWritableFile>* made, IODebugContext* dbg) override {
    if (auto failed = told_->before_write(); !failed.ok())
      return failed;
    auto done = FileSystemWrapper::NewWritableFile(name, options, made, dbg);
    return wrapped(std::move(done), name, made);
  }
  IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                              std::unique_ptr<FSWritableFile>* made, IODebugContext* dbg) override {
    auto done = FileSystemWrapper::ReopenWritableFile(name, options, made, dbg);
    return wrapped(std::move(done), name, made);
  }
  IOStatus ReuseWritableFile(const std::string& name, const std::string& old,
                             const rocksdb::FileOptions& options,
                             std::unique_ptr<FSWritableFile>* made, IODebugContext* dbg) override {
    auto done = FileSystemWrapper::ReuseWritableFile(name, old, options, made, dbg);
    return wrapped(std::move(done), name, made);
  }
  IOStatus NewRandomAccessFile(const std::string& name, const rocksdb::FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* made,
                               IODebugContext* dbg) override {
    auto done = FileSystemWrapper::NewRandomAccessFile(name, options, made, dbg);
    if (done.ok())
      *made = std::make_unique<faulty_readable>(std::move(*made), told_, has_ending(name, ".sst"));
    return done;
  }

private:
  IOStatus wrapped(IOStatus done, const std::string& name, std::unique_ptr<FSWritableFile>* made) {
    if (done.ok())
      *made = std::make_unique<faulty_writable>(std::move(*made), told_, has_ending(name, ".log"));
    return done;
  }

  std::shared_ptr<control> told_;
};

std::mutex asked_mutex;
std::shared_ptr<rocksdb::FileSystem> asked; ///< guarded by asked_mutex

} // namespace

void make_disks_faulty(std::filesystem::path control) {
  std::lock_guard guard{asked_mutex};
  asked = std::make_shared<faulty_disk>(std::move(control));
}

std::shared_ptr<rocksdb::FileSystem> faulty_disk_of_this_process() {
  std::lock_guard guard{asked_mutex};
  return asked;
}

} // namespace candor::engine
