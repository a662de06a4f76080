#include "storage/stores/disk_watch.hpp"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/base/log.hpp"
#include "storage/stores/durable_file.hpp"

namespace candor::stores {

namespace {

/// With less free, the next write may fail.
constexpr std::uint64_t brim_bytes = 4 << 20;

} // namespace

bool room_judge::needs_reserve(std::uint64_t free_bytes) const {
  return marks_.low_bytes > 0 && free_bytes < std::max(marks_.reserve_bytes / 4, brim_bytes);
}

disk_room room_judge::judge(std::uint64_t free_bytes, bool reserve_held) {
  if (marks_.low_bytes == 0)
    return disk_room::ample;
  auto of_others = reserve_held ? 0 : std::min(free_bytes, marks_.reserve_bytes);
  auto mark = low_ ? marks_.low_bytes + marks_.low_bytes / 4 : marks_.low_bytes;
  low_ = free_bytes - of_others < mark;
  if (!low_)
    return disk_room::ample;
  return free_bytes < brim_bytes ? disk_room::none : disk_room::low;
}

disk_watch::disk_watch(std::filesystem::path folder, disk_marks marks)
  : folder_{std::move(folder)}
  , reserve_{folder_ / "reserve"}
  , marks_{marks}
  , judge_{marks} {
  struct stat found {};
  reserve_held_ = ::stat(reserve_.c_str(), &found) == 0 &&
                  static_cast<std::uint64_t>(found.st_blocks) * 512 >= marks_.reserve_bytes;
}

result<void> disk_watch::measure() {
  struct statvfs found {};
  if (::statvfs(folder_.c_str(), &found) != 0)
    return fail_errno(folder_);
  free_bytes_ = static_cast<std::uint64_t>(found.f_bavail) * found.f_frsize;
  return {};
}

disk_room disk_watch::look() {
  if (auto measured = measure(); !measured) {
    log::error("disk", "it cannot be asked how much is free: {}", measured.error().to_string());
    return found_;
  }
  if (judge_.needs_reserve(free_bytes_) && give_up_reserve())
    (void)measure();
  auto before = found_;
  found_ = judge_.judge(free_bytes_, reserve_held_);
  if (found_ == disk_room::ample)
    make_reserve();
  if (found_ != before)
    log::warn("disk", "{}: {} MiB are free, {} are wanted", // the operator's first sign of it
              found_ == disk_room::ample ? "there is room again"
              : found_ == disk_room::low ? "there is no room for new data"
                                         : "nothing is written any more",
              free_bytes_ >> 20, marks_.low_bytes >> 20);
  return found_;
}

/// Only where it leaves the disk above the mark.
void disk_watch::make_reserve() {
  if (reserve_held_ || !may_reserve_ || marks_.reserve_bytes == 0 || marks_.low_bytes == 0 ||
      free_bytes_ < marks_.low_bytes + marks_.low_bytes / 4 + marks_.reserve_bytes)
    return;
  file_handle file{::open(reserve_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
  // Not posix_fallocate: where the file system cannot do it, that writes all of it, block by block.
  may_reserve_ = reserve_held_ =
      file.get() >= 0 &&
      ::fallocate(file.get(), 0, 0, static_cast<off_t>(marks_.reserve_bytes)) == 0;
  if (!reserve_held_) {
    log::warn("disk", "no room can be set aside: {}", fail_errno(reserve_).value().to_string());
    ::unlink(reserve_.c_str());
  }
}

bool disk_watch::give_up_reserve() {
  if (::unlink(reserve_.c_str()) != 0)
    return false;
  reserve_held_ = false;
  log::warn("disk", "it is full to the brim: the reserve of {} MiB is given up",
            marks_.reserve_bytes >> 20);
  return true;
}

} // namespace candor::stores
