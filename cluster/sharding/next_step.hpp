/// The way of a shard from where it lies to where it should lie, one change of its configuration at
/// a time. Pure; asked again by the shard's primary after each change and whenever what is desired
/// or known changes.
///
/// Guarantees: asked again and again it ends at the desired nodes. A member is dropped only when
/// all desired nodes that are known are in sync, and never so that fewer stay in sync than there
/// are desired nodes or than `in_sync_min`: a move adds before it takes away. It never names the
/// drop of a primary, which hands off first. Dropping members that have died is not its business.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cluster/sharding/shard_map.hpp"

namespace candor::sharding {

struct membership_step {
  enum class what : std::uint8_t {
    none,
    add_learner, ///< the member should be in sync: it learns, and is added once it has caught up
    drop,        ///< from the in-sync set
    hand_off,    ///< the member should be the primary; it is in sync
  };
  what kind = what::none;
  sharding::member member; ///< empty for none
  friend bool operator==(const membership_step&, const membership_step&) = default;
};

/// `desired` are the names of the shard's nodes, the preferred primary first, each once; empty
/// where nobody has decided yet. `disks` are the disk ids of the nodes that are known. A member
/// whose node now has another disk is not the desired one, and makes way for it.
membership_step next_step(const shard_config& config, const std::vector<std::string>& desired,
                          const std::map<std::string, std::string>& disks);

} // namespace candor::sharding
