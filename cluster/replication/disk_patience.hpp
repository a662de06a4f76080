/// How long a node waits for its own disk before it leaves the shards that it leads to others: a
/// rule of the replicator, which asks it at every tick while a write is under way. Guarantees: a
/// disk that is slow now and then is left once in a while only, so that shards do not go to and
/// fro; one that hangs is always left. Reads no clock.
#pragma once

#include "storage/base/time.hpp"

namespace candor::replication {

struct disk_patience {
  millis slow{300};            ///< a sync takes longer: leave, if not done lately
  millis hangs{600};           ///< a sync takes longer: leave in any case
  millis between{10'000};      ///< leavings of a disk that is only slow
  millis left{-1'000'000'000}; ///< when a hand-over was begun last, as its owner says

  /// Whether to leave now, when the write under way has taken so long. To be asked again at every
  /// tick: a leaving that could not begin begins at one of the next.
  bool leaves(millis now, millis taken) const {
    return taken > slow && (taken > hangs || now - left > between);
  }
};

} // namespace candor::replication
