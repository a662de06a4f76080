/// Looks at how much room the disk of the data folder has, so that the node stops taking data
/// before a write fails. Keeps a reserve: a file that takes up room while there is enough of it,
/// and is given up when something else has filled the disk to the brim. Then there is still room
/// for the log, for erasures, and for opening the database again after a write that failed.
///
/// Guarantees: below the mark it says `low`, and `ample` again only a quarter above it, so that it
/// does not change its mind with every write; the room that the reserve gave back counts for
/// nothing that is not `low`. Waits for the disk: never on a thread that has anything else to do.
/// Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>

#include "storage/base/disk_room.hpp"
#include "storage/base/error.hpp"

namespace candor::stores {

struct disk_marks {
  std::uint64_t low_bytes = 0;     ///< with less free there is no room for new data; 0: always room
  std::uint64_t reserve_bytes = 0; ///< kept in the file
};

/// The degrees as a function of what is free, without a disk.
class room_judge {
public:
  explicit room_judge(disk_marks marks)
    : marks_{marks} {}

  /// `reserve_held`: the reserve's file is there.
  disk_room judge(std::uint64_t free_bytes, bool reserve_held);
  /// So little is free that the reserve is to be given up, where it is held.
  bool needs_reserve(std::uint64_t free_bytes) const;

private:
  disk_marks marks_;
  bool low_ = false;
};

class disk_watch {
public:
  /// Of an existing folder.
  disk_watch(std::filesystem::path folder, disk_marks marks);

  /// Makes or gives up the reserve as it must. Where the disk cannot be asked, what was found last
  /// still holds.
  disk_room look();
  std::uint64_t free_bytes() const noexcept { return free_bytes_; } ///< as of the last look

private:
  result<void> measure();
  void make_reserve();
  bool give_up_reserve();

  std::filesystem::path folder_, reserve_;
  disk_marks marks_;
  room_judge judge_;
  disk_room found_ = disk_room::ample;
  std::uint64_t free_bytes_ = 0;
  bool reserve_held_ = false;
  bool may_reserve_ = true; ///< this file system can set room aside
};

} // namespace candor::stores
