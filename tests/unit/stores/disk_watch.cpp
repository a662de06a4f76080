#include "storage/stores/disk_watch.hpp"

#include <catch2/catch.hpp>

#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::stores;

namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr disk_marks marks{100 * mib, 40 * mib};

} // namespace

TEST_CASE("below the mark a disk is low, until it has a quarter more", "[disk]") {
  room_judge judge{marks};
  CHECK(judge.judge(100 * mib, true) == disk_room::ample);
  CHECK(judge.judge(100 * mib - 1, true) == disk_room::low);
  CHECK(judge.judge(124 * mib, true) == disk_room::low);
  CHECK(judge.judge(125 * mib, true) == disk_room::ample);
  CHECK(judge.judge(101 * mib, true) == disk_room::ample);
}

TEST_CASE("the room that the reserve gave back is not for new data", "[disk]") {
  room_judge judge{marks};
  CHECK(judge.needs_reserve(10 * mib - 1));
  CHECK_FALSE(judge.needs_reserve(10 * mib));
  CHECK(judge.judge(130 * mib, false) == disk_room::low);
  CHECK(judge.judge(50 * mib, false) == disk_room::low);
  CHECK(judge.judge(9 * mib, false) == disk_room::low);
  CHECK(judge.judge(4 * mib - 1, false) == disk_room::none);
  CHECK(judge.judge(165 * mib, false) == disk_room::ample);
}

TEST_CASE("without a mark there is always room", "[disk]") {
  room_judge judge{{0, 40 * mib}};
  CHECK(judge.judge(0, false) == disk_room::ample);
  CHECK_FALSE(judge.needs_reserve(0));
}

TEST_CASE("a reserve is made where there is room, found again, and not made where there is not",
          "[disk]") {
  test::temporary_folder folder;
  auto reserve = folder / "reserve";
  CHECK(disk_watch{folder.path(), {~std::uint64_t{0} / 4, mib}}.look() == disk_room::low);
  CHECK_FALSE(std::filesystem::exists(reserve));
  disk_watch watch{folder.path(), {mib, mib}};
  CHECK(watch.look() == disk_room::ample);
  CHECK(watch.free_bytes() > 0);
  CHECK(std::filesystem::file_size(reserve) == mib);
  CHECK(disk_watch{folder.path(), {mib, mib}}.look() == disk_room::ample);
}
