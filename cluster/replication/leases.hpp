/// Promises between nodes, by which a primary knows that nobody else leads its shard: what makes a
/// strong read safe without trusting the clock of the coordinator.
///
/// Every pair of nodes exchanges beacons (transport's thread carries them; their content is made
/// and read here). An answer to a beacon grants, for each shard that its sender leads and the
/// answerer follows in the same term, that the answerer helps nobody else to lead for `lease` from
/// the moment at which the beacon was sent. The granter keeps to it for lease * (1 + drift) from
/// its receipt, so only the rate of two clocks is assumed, never their reading. Times are
/// CLOCK_BOOTTIME.
///
/// Guarantees: a grant goes only to the primary of the term that this node follows, bound to the
/// disk that gives it; after a start nothing counts as granted away before lease * (1 + drift) has
/// passed, since the process before may have granted. Must never read a clock itself: `now` is
/// handed in, so that the simulator can drive it.
///
/// Thread-safe: replicas and the beacon thread share it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/sharding/shard_map.hpp"
#include "storage/base/time.hpp"

namespace candor::replication {

using sharding::member;

struct lease_options {
  millis lease{600};
  std::uint32_t drift_permille = 10; ///< by which a clock may run faster or slower than another
};

class leases {
public:
  /// `incarnation`: of this process, echoed so that an answer to a process before counts for
  /// nothing.
  leases(member self, std::uint64_t incarnation, shard_count shards, lease_options options,
         millis now);

  // -- said by the shard's replica ---------------------------------------------------------------

  /// This node follows `primary` in `term` (durably) and grants to it from now on.
  void follow(shard_id shard, std::uint64_t term, const member& primary);
  /// It grants to nobody: it is a candidate, leads, or follows nobody.
  void withhold(shard_id shard);
  /// This node leads in `term`; a strong read needs the grants of all of `must` but itself.
  void lead(shard_id shard, std::uint64_t term, const std::vector<member>& must);
  void stop_leading(shard_id shard);
  /// `led` says that it has stopped leading in `term` and will never use grants of that term: what
  /// was granted to it in `term` or before counts as run out, and nothing more is granted for it.
  void release(shard_id shard, const member& led, std::uint64_t term);
  /// The process before this one granted nothing: there is no need to wait for it.
  void granted_nothing_before(shard_id shard);

  // -- asked by replicas and by whoever answers a read --------------------------------------------

  /// When what this node granted in the shard has run out for certain.
  millis granted_until(shard_id shard) const;
  /// True where this node leads the shard in `term` and holds every grant at `now`. Ask it *after*
  /// reading what is answered.
  bool held(shard_id shard, std::uint64_t term, millis now) const;
  /// Up to when all grants hold; where only this node counts: millis::max().
  millis held_until(shard_id shard, std::uint64_t term) const;
  /// Up to when the grant of one of `must` holds; millis::min() where it gave none in `term`.
  millis granted_by(shard_id shard, std::uint64_t term, const member& who) const;
  /// When `who` last echoed a beacon of this process (by the beacon's sending time), or the start.
  /// An echo of another disk of the same node does not count: what was on this disk is gone.
  millis last_echo(const member& who) const;
  /// True where some other node told within `within` that `node` echoes its beacons.
  bool heard_by_others(std::string_view node, millis now, millis within) const;

  // -- what beacons carry (called by the beacon thread)
  // --------------------------------------------

  /// The beacon for `peer`, in datagrams of at most 1200 bytes.
  std::vector<std::string> compose(std::string_view peer, millis now);
  /// A beacon or an answer of `peer`; returns what to send back. What cannot be read is dropped.
  std::vector<std::string> receive(std::string_view peer, std::string_view bytes, millis now);

private:
  struct holding {
    member who;
    millis until;
  };
  struct shard_state {
    // what this node grants
    bool grants = false;
    std::uint64_t follows_term = 0;
    member follows;
    member granted_to; ///< the last grantee, in granted_term, until granted_until
    std::uint64_t granted_term = 0;
    millis granted_until{0};
    millis others_until{0}; ///< of grants to anybody before, and of the process before
    // what this node holds
    bool leads = false;
    std::uint64_t leads_term = 0;
    std::vector<holding> held; ///< one for each of `must` but itself
  };
  struct peer_state {
    std::string disk_id;
    millis echoed{0};
    millis told_at{0};
    std::vector<std::string> hears; ///< names, as it told at told_at
  };

  millis kept() const; ///< for how long a grant is kept to, from its receipt
  peer_state* known(std::string_view peer);

  const member self_;
  const std::uint64_t incarnation_;
  const lease_options options_;
  const millis start_;
  mutable std::mutex lock_;
  std::vector<shard_state> shards_;
  std::map<std::string, peer_state, std::less<>> peers_;
};

} // namespace candor::replication
