/// How much room the disk has, in the three degrees that anything here acts on. Whoever looks at
/// the disk (stores/disk_watch) tells it; a shard's replica and its primary go by it. Pure.
#pragma once

#include <cstdint>

namespace candor {

enum class disk_room : std::uint8_t {
  ample,
  low,  ///< no new data: what is left is for what people have a right to, and for what ends work
  none, ///< nothing is written any more
};

} // namespace candor
