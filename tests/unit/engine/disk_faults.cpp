#include <chrono>
#include <fstream>
#include <thread>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "storage/engine/disk_faults.hpp"
#include "tests/conformance/engine/sides.hpp"
#include "tests/unit/engine/child_process.hpp"

using namespace candor;
using namespace candor::test;
using engine::sync;
using engine::table;
namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

/// What the disk of a child is to do, in the file beside its data.
void order(const fs::path& folder, const std::string& what) {
  std::ofstream{folder / "disk.new"} << what << '\n';
  fs::rename(folder / "disk.new", folder / "disk");
  std::this_thread::sleep_for(50ms); // it is looked at every 20
}

/// Opens the database of `folder`, on the disk as the file beside it says.
result<std::unique_ptr<engine::engine>> open_on_faulty_disk(const fs::path& folder) {
  engine::make_disks_faulty(folder / "disk");
  return engine::open_rocksdb(folder / "data");
}

engine::batch one(const std::string& key) {
  return {{engine::operation::what::put, table::user, key, "value"}};
}

} // namespace

// These end with a kill or change the whole process's disks: each in a process of its own.

TEST_CASE("child: one synced write and one that is not", "[.child]") {
  auto db = open_on_faulty_disk(child_argument());
  if (!db)
    return tell(db.error().to_string());
  static_cast<void>((*db)->write(one("synced"), sync::yes));
  static_cast<void>((*db)->write(one("unsynced"), sync::no));
  tell("written");
  ::pause();
}

TEST_CASE("a kill loses what was not synced only where the disk is told so", "[engine]") {
  struct row {
    const char* orders;
    bool synced_stays, unsynced_stays;
  };
  for (auto [orders, synced_stays, unsynced_stays] :
       {row{"", true, true}, row{"unsynced lost", true, false},
        row{"unsynced lost\nsyncs lie", false, false}}) {
    INFO(orders);
    temporary_folder folder;
    fs::path here{folder / "."};
    order(here, orders);
    {
      child_process writer{"child: one synced write and one that is not", here.string()};
      REQUIRE(writer.line() == "written");
      writer.kill();
    }
    auto db = engine::open_rocksdb(here / "data");
    REQUIRE(db);
    CHECK((*db)->get(table::user, "synced").value().has_value() == synced_stays);
    CHECK((*db)->get(table::user, "unsynced").value().has_value() == unsynced_stays);
  }
}

TEST_CASE("child: write on a failing disk", "[.child]") {
  fs::path folder = child_argument();
  auto db = open_on_faulty_disk(folder);
  if (!db)
    return tell(db.error().to_string());
  auto write = [&] {
    auto done = (*db)->write(one("key"), sync::yes);
    tell(done ? "ok" : std::string{info(done.error().code).slug});
  };
  write();
  for (const auto* error : {"enospc", "erofs", "eio"}) {
    order(folder, fmt::format("writes {}", error));
    write();
    order(folder, "");
    tell((*db)->resume() ? "resumed" : "not resumed");
    write();
  }
}

TEST_CASE("a disk fails writes as it is told, and takes them again", "[engine]") {
  temporary_folder folder;
  child_process writer{"child: write on a failing disk", (folder / ".").string()};
  REQUIRE(writer.line() == "ok");
  for (const auto* code : {"disk_full", "io_failed", "io_failed"}) {
    CHECK(writer.line() == code);
    CHECK(writer.line() == "resumed");
    CHECK(writer.line() == "ok");
  }
}

TEST_CASE("child: write on a hanging disk", "[.child]") {
  fs::path folder = child_argument();
  auto db = open_on_faulty_disk(folder);
  if (!db)
    return tell(db.error().to_string());
  order(folder, "hang");
  tell("hangs");
  auto done = (*db)->write(one("key"), sync::yes);
  tell(!done ? done.error().to_string() : fs::exists(folder / "goes_on") ? "went on" : "too early");
}

TEST_CASE("a disk hangs until it is told to go on", "[engine]") {
  temporary_folder folder;
  child_process writer{"child: write on a hanging disk", (folder / ".").string()};
  REQUIRE(writer.line() == "hangs");
  std::this_thread::sleep_for(200ms);
  std::ofstream{folder / "goes_on"};
  order(folder / ".", "");
  CHECK(writer.line() == "went on");
}

TEST_CASE("child: read with bits flipped", "[.child]") {
  fs::path folder = child_argument();
  auto db = open_on_faulty_disk(folder);
  if (!db)
    return tell(db.error().to_string());
  engine::batch many;
  for (int i = 0; i < 5000; ++i)
    many.push_back(one(fmt::format("key-{}", i)).front());
  static_cast<void>((*db)->write(many, sync::yes));
  static_cast<void>((*db)->flush());
  db->reset(); // and with it what it has in memory
  db = engine::open_rocksdb(folder / "data");
  order(folder, "flip 1");
  auto read = (*db)->get(table::user, "key-7");
  tell(read ? "read" : std::string{info(read.error().code).slug});
}

TEST_CASE("a flipped bit of a block is found by its checksum", "[engine]") {
  temporary_folder folder;
  child_process reader{"child: read with bits flipped", (folder / ".").string()};
  CHECK(reader.line() == "corrupt");
}
