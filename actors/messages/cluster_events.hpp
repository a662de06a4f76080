/// What happened in the cluster as this node learned of it: the newest of it, in a ring. Filled by
/// `supervision/chronicle`, read by the gateway's stream `/v1/cluster/events`. Thread-safe.
/// Guarantees: numbers begin at 1 and have no gap; an id names the node's life too, so that one of
/// an earlier life, or of another node, is never taken for one of this; a reader that comes too
/// late learns how many it missed. Must never hold anything of a person.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/limits.hpp"

namespace candor {

struct cluster_event {
  std::uint64_t number = 0;
  std::string name; ///< e.g. "primary_changed"
  std::string data; ///< a JSON object
};

class cluster_events {
public:
  /// `life`: told apart from every other life of every node.
  explicit cluster_events(std::string life, std::size_t kept = limits::cluster_events_kept)
    : life_{std::move(life)}
    , kept_{kept} {}

  void add(std::string name, std::string data);

  /// The id under which a reader sees an event.
  std::string id_of(std::uint64_t number) const;

  /// Where a reader goes on that was told `last_id` last: after that event; for an id of another
  /// life at the beginning of this one; for none at the oldest event that is held.
  std::uint64_t place_after(std::string_view last_id) const;

  struct news {
    std::uint64_t missed = 0; ///< that lie between `after` and the first here, and are held no more
    std::vector<cluster_event> events;
  };
  /// At most limits::cluster_events_at_a_time.
  news after(std::uint64_t number) const;

private:
  const std::string life_;
  const std::size_t kept_;
  mutable std::mutex mutex_;
  std::deque<cluster_event> ring_;
  std::uint64_t last_ = 0;
};

} // namespace candor
