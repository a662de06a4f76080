#include <atomic>
#include <fstream>
#include <thread>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "storage/base/rng.hpp"
#include "storage/engine/damage_watch.hpp"
#include "storage/engine/keys.hpp"
#include "tests/conformance/engine/sides.hpp"
#include "tests/unit/engine/child_process.hpp"

using namespace candor;
using namespace candor::test;
using engine::sync;
using engine::table;
namespace fs = std::filesystem;

namespace {

std::unique_ptr<engine::engine> open(const fs::path& folder,
                                     const engine::rocksdb_options& options = {}) {
  auto db = engine::open_rocksdb(folder, options);
  INFO((db ? "" : db.error().to_string()));
  REQUIRE(db);
  return std::move(*db);
}

std::string numbered(int i) {
  return fmt::format("key-{:06}", i);
}

/// Random, so that it cannot be compressed, and known from its number.
std::string value_of(int i, std::size_t size = 400) {
  seeded_rng chance{static_cast<std::uint64_t>(i)};
  std::string value;
  while (value.size() < size)
    engine::append_big_endian(value, chance.next(), 8);
  value.resize(size);
  return value;
}

std::vector<fs::path> files_ending(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> found;
  for (auto& file : fs::directory_iterator{folder})
    if (file.path().extension() == extension)
      found.push_back(file.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::string content(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void replace(const fs::path& file, std::string_view bytes) {
  std::ofstream out{file, std::ios::binary | std::ios::trunc};
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  REQUIRE(out);
}

/// A small file system of its own, in memory.
class small_disk {
public:
  explicit small_disk(const char* options) {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, options) == 0;
  }
  ~small_disk() {
    if (mounted_)
      ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  explicit operator bool() const { return mounted_; }
  fs::path operator/(const std::string& name) const { return folder_ / name; }

private:
  temporary_folder folder_;
  bool mounted_ = false;
};

constexpr engine::rocksdb_options small{.block_cache_bytes = 1 << 20,
                                        .write_buffer_bytes = 1 << 20};

/// Writes numbered keys, each synced, until one is refused; returns how many were acknowledged.
int write_until_refused(engine::engine& db, int first, error& refusal) {
  for (int i = first; i < first + 1'000'000; ++i) {
    auto written = db.write({put(table::user, numbered(i), value_of(i, 20'000))}, sync::yes);
    if (!written) {
      refusal = written.error();
      return i;
    }
  }
  return first + 1'000'000;
}

/// True where keys [0, count) all have their value.
bool all_there(const engine::engine& db, int count) {
  for (int i = 0; i < count; ++i) {
    auto value = db.get(table::user, numbered(i));
    if (!value || *value != value_of(i, 20'000))
      return false;
  }
  return true;
}

} // namespace

// ---- other processes ----------------------------------------------------------------------------

TEST_CASE("child: hold a database", "[.child]") {
  auto db = engine::open_rocksdb(child_argument());
  tell(db ? "open" : db.error().to_string());
  ::pause();
}

TEST_CASE("a database that another process holds is locked, until that one is gone", "[engine]") {
  temporary_folder folder;
  child_process other{"child: hold a database", folder / "data"};
  REQUIRE(other.line() == "open");
  auto refused = engine::open_rocksdb(folder / "data");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::locked);
  other.kill();
  CHECK(open(folder / "data")->verify());
}

TEST_CASE("a database that this process holds already is locked, too", "[engine]") {
  temporary_folder folder;
  auto db = open(folder / "data");
  CHECK(engine::open_rocksdb(folder / "data").error().code == errc::locked);
  db.reset();
  CHECK(engine::open_rocksdb(folder / "data"));
}

TEST_CASE("child: close a database under a snapshot", "[.child]") {
  auto db = open(child_argument(), small);
  auto state = db->snapshot();
  std::signal(SIGABRT, SIG_DFL); // the end that is expected is nothing to report
  tell("closing");
  db.reset();
  tell("closed");
}

TEST_CASE("closing a database under a snapshot ends the process", "[engine]") {
  temporary_folder folder;
  child_process child{"child: close a database under a snapshot", (folder / "data").string()};
  CHECK(child.line() == "closing");
  CHECK(child.line().empty());
}

TEST_CASE("child: write until killed", "[.child]") {
  auto db = engine::open_rocksdb(child_argument(), small);
  if (!db)
    return tell(db.error().to_string());
  for (int i = 0; i < 1'000'000; ++i) {
    // two tables, so that a batch torn in half would show
    if (!(*db)->write(
            {put(table::user, numbered(i), value_of(i)), put(table::log, numbered(i), "logged")},
            sync::yes))
      return tell("failed");
    tell(std::to_string(i));
  }
}

TEST_CASE("every acknowledged write survives kill -9, whole", "[engine]") {
  temporary_folder folder;
  // early, while all is in the log, and late, after memory has been moved to files several times
  for (int acknowledged_least : {50, 4000}) {
    auto data = folder / std::to_string(acknowledged_least);
    int last = -1;
    {
      child_process writer{"child: write until killed", data};
      while (last < acknowledged_least) {
        auto line = writer.line();
        REQUIRE(line == std::to_string(last + 1));
        ++last;
      }
      writer.kill();
      for (auto line = writer.line(); !line.empty(); line = writer.line())
        last = std::stoi(line);
    }
    auto db = open(data);
    int wrong = 0;
    for (int i = 0; i <= last; ++i)
      if (db->get(table::user, numbered(i)).value() != value_of(i) ||
          db->get(table::log, numbered(i)).value() != "logged")
        ++wrong;
    CHECK(wrong == 0);
    CHECK(rows_between(*db, table::user, "", "z").size() ==
          rows_between(*db, table::log, "", "z").size());
    CHECK(db->write({put(table::user, "more", "1")}, sync::yes));
  }
}

// ---- a full disk --------------------------------------------------------------------------------

TEST_CASE("a full disk ends writes, not reads, and room and resume bring writes back", "[engine]") {
  small_disk disk{"size=24m"};
  if (!disk) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  replace(disk / "ballast", std::string(8 << 20, 'x'));
  auto db = open(disk / "data", small);
  error refusal;
  auto count = write_until_refused(*db, 0, refusal);
  INFO(refusal.to_string());
  CHECK(refusal.code == errc::disk_full);
  REQUIRE(count > 100);
  CHECK(db->write({put(table::user, "x", "1")}, sync::yes).error().code == errc::read_only);
  CHECK(all_there(*db, count));

  // Nothing was freed but what compaction gave up: it stays refused, or fills again at once.
  auto early = db->resume();
  if (early)
    count = write_until_refused(*db, count, refusal);
  CHECK((early ? refusal : early.error()).code == errc::disk_full);
  CHECK(db->write({}, sync::yes).error().code == errc::read_only);
  CHECK(all_there(*db, count));

  fs::remove(disk / "ballast");
  auto resumed = db->resume();
  INFO((resumed ? "" : resumed.error().to_string()));
  REQUIRE(resumed);
  for (int i = count; i < count + 10; ++i)
    REQUIRE(db->write({put(table::user, numbered(i), value_of(i, 20'000))}, sync::yes));
  CHECK(all_there(*db, count + 10));
  db.reset();
  db = open(disk / "data", small);
  CHECK(all_there(*db, count + 10));
  CHECK(db->verify());
}

TEST_CASE("a snapshot does not stand in the way of resume, and says that it is no more",
          "[engine]") {
  small_disk disk{"size=24m"};
  if (!disk) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  replace(disk / "ballast", std::string(8 << 20, 'x'));
  auto db = open(disk / "data", small);
  REQUIRE(db->write({put(table::meta, "a", "1")}, sync::yes));
  auto before = db->snapshot();
  error refusal;
  write_until_refused(*db, 0, refusal);
  CHECK(rows_between(*before, table::meta, "", "z") == rows{{"a", "1"}}); // reads go on
  fs::remove(disk / "ballast");
  REQUIRE(db->resume());
  auto scanned = before->scan(table::meta, "", "z", [](auto, auto) { return true; });
  REQUIRE_FALSE(scanned);
  CHECK(scanned.error().code == errc::unavailable);
  auto after = db->snapshot();
  before.reset();
  CHECK(rows_between(*after, table::meta, "", "z") == rows{{"a", "1"}});
}

TEST_CASE("a disk that fills in the middle of the first write of a log is no lost write",
          "[engine]") {
  small_disk disk{"size=24m"};
  if (!disk) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  auto db = open(disk / "data", small);
  for (int i = 0; i < 10; ++i)
    REQUIRE(db->write({put(table::user, numbered(i), value_of(i, 20'000))}, sync::yes));
  REQUIRE(db->flush()); // so that the failing write is the first of its log
  {
    std::ofstream ballast{disk / "ballast", std::ios::binary};
    std::string block(4096, 'x');
    while (ballast.write(block.data(), 4096).flush())
      ;
  }
  auto refused = db->write({put(table::user, numbered(10), value_of(10, 20'000))}, sync::yes);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::disk_full);
  fs::remove(disk / "ballast");
  auto resumed = db->resume();
  INFO((resumed ? "" : resumed.error().to_string()));
  REQUIRE(resumed);
  for (int i = 10; i < 20; ++i) {
    auto written = db->write({put(table::user, numbered(i), value_of(i, 20'000))}, sync::yes);
    INFO((written ? "" : written.error().to_string()));
    REQUIRE(written);
  }
  CHECK(all_there(*db, 20));
  // as after kill -9: the files as they are now, without closing
  fs::copy(disk / "data", disk / "copy", fs::copy_options::recursive);
  auto copy = open(disk / "copy", small);
  CHECK(all_there(*copy, 20));
}

TEST_CASE("where resume cannot open for writing, reads go on", "[engine]") {
  small_disk disk{"size=24m,nr_inodes=200"};
  if (!disk) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  replace(disk / "ballast", std::string(8 << 20, 'x'));
  auto db = open(disk / "data", small);
  error refusal;
  auto count = write_until_refused(*db, 0, refusal);
  REQUIRE(refusal.code == errc::disk_full);
  // there is room for bytes again, but none for another file
  fs::remove(disk / "ballast");
  int files = 0;
  while (std::ofstream{disk / fmt::format("file-{}", files)})
    ++files;
  REQUIRE(files > 0);
  auto resumed = db->resume();
  REQUIRE_FALSE(resumed);
  INFO(resumed.error().to_string());
  CHECK(resumed.error().code == errc::disk_full);
  CHECK(all_there(*db, count));
  CHECK(db->write({}, sync::yes).error().code == errc::read_only);
  for (int i = 0; i < files; ++i)
    fs::remove(disk / fmt::format("file-{}", i));
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader{[&] {
    while (!done)
      if (db->get(table::user, numbered(0)).value_or(std::nullopt) != value_of(0, 20'000))
        ++wrong;
  }};
  CHECK(db->resume());
  done = true;
  reader.join();
  CHECK(wrong == 0);
  CHECK(db->write({put(table::user, numbered(count), value_of(count, 20'000))}, sync::yes));
  CHECK(all_there(*db, count + 1));
}

TEST_CASE("a disk too full to open a database on says disk_full", "[engine]") {
  small_disk disk{"size=64k"};
  if (!disk) {
    WARN("skipped: mounting a tmpfs needs root");
    return;
  }
  {
    std::ofstream ballast{disk / "ballast", std::ios::binary};
    std::string block(4096, 'x');
    while (ballast.write(block.data(), 4096).flush())
      ;
  }
  auto refused = engine::open_rocksdb(disk / "data");
  REQUIRE_FALSE(refused);
  INFO(refused.error().to_string());
  CHECK(refused.error().code == errc::disk_full);
}

TEST_CASE("child: write into a bound on file sizes", "[.child]") {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{256 * 1024, RLIM_INFINITY};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  auto db = engine::open_rocksdb(child_argument());
  if (!db)
    return tell(db.error().to_string());
  error refusal;
  auto count = write_until_refused(**db, 0, refusal);
  tell(std::to_string(count));
  tell(std::string{info(refusal.code).slug});
  auto next = (*db)->write({put(table::user, "x", "1")}, sync::yes);
  tell(next ? "written" : std::string{info(next.error().code).slug});
  tell(all_there(**db, count) ? "all there" : "lost");
  limit.rlim_cur = RLIM_INFINITY;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  auto resumed = (*db)->resume();
  tell(resumed ? "resumed" : resumed.error().to_string());
  next = (*db)->write({put(table::user, numbered(count), value_of(count, 20'000))}, sync::yes);
  tell(next ? "written" : next.error().to_string());
  tell(all_there(**db, count + 1) ? "all there" : "lost");
}

TEST_CASE("after any failure of the disk writes end, reads go on, and resume brings writes back",
          "[engine]") {
  temporary_folder folder;
  int count = 0;
  {
    child_process writer{"child: write into a bound on file sizes", folder / "data"};
    count = std::stoi(writer.line());
    CHECK(count > 3);
    CHECK(writer.line() == "io_failed");
    CHECK(writer.line() == "read_only");
    CHECK(writer.line() == "all there");
    CHECK(writer.line() == "resumed");
    CHECK(writer.line() == "written");
    CHECK(writer.line() == "all there");
  }
  CHECK(all_there(*open(folder / "data"), count + 1));
}

// ---- damage -------------------------------------------------------------------------------------

TEST_CASE("a flipped byte in a file is found by reads and by verify, wherever it is", "[engine]") {
  temporary_folder folder;
  constexpr int count = 100;
  auto data = folder / "data";
  {
    auto db = open(data);
    for (int i = 0; i < count; ++i)
      REQUIRE(db->write({put(table::user, numbered(i), value_of(i))}, sync::no));
    REQUIRE(db->flush());
  }
  auto files = files_ending(data, ".sst");
  REQUIRE(files.size() == 1);
  auto good = content(files[0]);
  int found_at_open = 0, found_by_reads = 0;
  for (std::size_t at = 7; at < good.size(); at += good.size() / 40) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    replace(files[0], bad);
    INFO("byte " << at << " of " << good.size());
    auto opened = engine::open_rocksdb(data);
    if (!opened) {
      CHECK(opened.error().code == errc::corrupt);
      ++found_at_open;
      continue;
    }
    auto& db = **opened;
    bool complained = false;
    for (int i = 0; i < count; ++i) {
      auto value = db.get(table::user, numbered(i));
      if (value)
        REQUIRE(*value == value_of(i)); // right, or an error: never wrong, never absent
      else {
        REQUIRE(value.error().code == errc::corrupt);
        complained = true;
      }
    }
    int visited = 0;
    auto scanned = db.scan(table::user, "", "z", [&](std::string_view, std::string_view value) {
      CHECK(value == value_of(visited++));
      return true;
    });
    if (scanned)
      CHECK(visited == count);
    else
      CHECK(scanned.error().code == errc::corrupt);
    CHECK(complained == !scanned);
    found_by_reads += complained;
    auto verified = db.verify();
    REQUIRE_FALSE(verified);
    CHECK(verified.error().code == errc::corrupt);
  }
  CHECK(found_by_reads > 20);
  replace(files[0], good);
  CHECK(open(data)->verify());
}

TEST_CASE("whoever watches a database hears of the first damaged row that is read, once",
          "[engine]") {
  temporary_folder folder;
  auto data = folder / "data";
  {
    auto db = open(data);
    for (int i = 0; i < 100; ++i)
      REQUIRE(db->write({put(table::user, numbered(i), value_of(i))}, sync::no));
    REQUIRE(db->flush());
  }
  auto file = files_ending(data, ".sst").at(0);
  auto bytes = content(file);
  bytes[40] = static_cast<char>(bytes[40] ^ 0x10);
  replace(file, bytes);
  auto db = open(data);
  auto told = 0;
  auto watched = engine::watch_for_damage(*db, [&](const error& why) {
    CHECK(why.code == errc::corrupt);
    ++told;
  });
  auto all = [](std::string_view, std::string_view) { return true; };
  REQUIRE(watched->write({put(table::meta, "a", "1")}, sync::yes));
  CHECK(watched->get(table::meta, "a").value() == "1");
  CHECK_FALSE(watched->verify());
  CHECK(told == 0);
  SECTION("by its key") {
    CHECK(watched->get(table::user, numbered(0)).error().code == errc::corrupt);
  }
  SECTION("in a scan") {
    CHECK(watched->scan(table::user, "", "z", all).error().code == errc::corrupt);
  }
  SECTION("in a scan of a snapshot") {
    CHECK(watched->snapshot()->scan(table::user, "", "z", all).error().code == errc::corrupt);
  }
  CHECK(told == 1);
  CHECK_FALSE(watched->scan(table::user, "", "z", all));
  CHECK(told == 1);
}

TEST_CASE("a lost or cut file is corrupt at open", "[engine]") {
  temporary_folder folder;
  auto data = folder / "data";
  {
    auto db = open(data);
    REQUIRE(db->write({put(table::user, "a", value_of(1, 10'000))}, sync::yes));
    REQUIRE(db->flush());
  }
  SECTION("a table file is lost") {
    fs::remove(files_ending(data, ".sst").at(0));
  }
  SECTION("a table file is cut") {
    fs::resize_file(files_ending(data, ".sst").at(0), 5000);
  }
  SECTION("the file that names the manifest is lost") {
    fs::remove(data / "CURRENT");
  }
  SECTION("the manifest is lost") {
    for (auto& file : fs::directory_iterator{data})
      if (file.path().filename().string().starts_with("MANIFEST"))
        fs::remove(file.path());
  }
  SECTION("the manifest is damaged") {
    for (auto& file : fs::directory_iterator{data})
      if (file.path().filename().string().starts_with("MANIFEST")) {
        auto bytes = content(file.path());
        bytes[bytes.size() / 2] ^= 1;
        replace(file.path(), bytes);
      }
  }
  auto opened = engine::open_rocksdb(data);
  REQUIRE_FALSE(opened);
  INFO(opened.error().to_string());
  CHECK(opened.error().code == errc::corrupt);
}

TEST_CASE("a log cut at its tail opens with what came before; one damaged inside does not",
          "[engine]") {
  temporary_folder folder;
  auto data = folder / "data";
  auto db = open(data);
  for (int i = 0; i < 20; ++i)
    REQUIRE(db->write({put(table::user, numbered(i), value_of(i))}, sync::yes));
  // as after kill -9: the files as they are now, without closing
  auto copy = folder / "copy";
  fs::copy(data, copy, fs::copy_options::recursive);
  db.reset();
  auto logs = files_ending(copy, ".log");
  auto longest = *std::max_element(logs.begin(), logs.end(), [](auto& a, auto& b) {
    return fs::file_size(a) < fs::file_size(b);
  });
  auto bytes = content(longest);
  SECTION("cut") {
    bytes.resize(bytes.size() - 100);
    replace(longest, bytes);
    db = open(copy);
    CHECK(rows_between(*db, table::user, "", "z").size() == 19);
    for (int i = 0; i < 19; ++i)
      CHECK(db->get(table::user, numbered(i)).value() == value_of(i));
  }
  SECTION("damaged inside") {
    bytes[bytes.size() / 2] ^= 1;
    replace(longest, bytes);
    CHECK(engine::open_rocksdb(copy).error().code == errc::corrupt);
  }
}

TEST_CASE("a path that is a file, or lies beneath one, cannot be opened", "[engine]") {
  temporary_folder folder;
  replace(folder / "file", "not a folder");
  CHECK(engine::open_rocksdb(folder / "file").error().code == errc::io_failed);
  CHECK(engine::open_rocksdb(folder / "file" / "data").error().code == errc::io_failed);
}

TEST_CASE("a new data folder is its owner's alone", "[engine]") {
  temporary_folder folder;
  auto db = open(folder / "deep" / "data");
  CHECK((fs::status(folder / "deep" / "data").permissions() &
         (fs::perms::group_all | fs::perms::others_all)) == fs::perms::none);
}

// ---- copies -------------------------------------------------------------------------------------

TEST_CASE("a checkpoint holds one moment, and opens as a database of its own", "[engine]") {
  temporary_folder folder;
  auto db = open(folder / "data");
  for (int i = 0; i < 100; ++i)
    REQUIRE(db->write({put(table::user, numbered(i), value_of(i))}, sync::no));
  REQUIRE(db->checkpoint(folder / "backups" / "first"));
  REQUIRE(
      db->write({erase_range(table::user, "", "z"), put(table::user, "later", "1")}, sync::yes));
  auto copy = open(folder / "backups" / "first");
  CHECK(copy->verify());
  CHECK(copy->get(table::user, "later").value() == std::nullopt);
  auto found = rows_between(*copy, table::user, "", "z");
  REQUIRE(found.size() == 100);
  for (int i = 0; i < 100; ++i)
    CHECK(found[static_cast<std::size_t>(i)] == std::pair{numbered(i), value_of(i)});
  REQUIRE(copy->write({put(table::user, "own", "1")}, sync::yes));
  CHECK(db->get(table::user, "own").value() == std::nullopt);
}

TEST_CASE("a checkpoint goes to an empty folder, and never over anything", "[engine]") {
  temporary_folder folder;
  auto db = open(folder / "data");
  REQUIRE(db->write({put(table::user, "a", "1")}, sync::yes));
  fs::create_directory(folder / "empty");
  CHECK(db->checkpoint(folder / "empty"));
  CHECK(db->checkpoint(folder / "empty").error().code == errc::conflict);
  replace(folder / "file", "mine");
  CHECK(db->checkpoint(folder / "file").error().code == errc::conflict);
  CHECK(content(folder / "file") == "mine");
  CHECK(db->checkpoint(folder / "file" / "beneath").error().code == errc::io_failed);
  CHECK(open(folder / "empty")->get(table::user, "a").value() == "1");
}
