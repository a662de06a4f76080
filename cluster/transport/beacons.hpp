/// Small sealed datagrams between nodes, every 100 ms, on a thread and a socket of their own:
/// behind bulk data on a link they would wait. Leases ride on them. What they say is the caller's
/// business.
///
/// Guarantees: rounds keep to an absolute schedule, and one that was missed is left out, not made
/// up for; `receive` hears only what a holder of the cluster's secret sealed for this node under
/// the name of a peer. Does not keep repetitions, losses or another order away: it is UDP. Must
/// never wait for anything but its socket and its clock, nor be waited for by a link.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/transport/beacon_seal.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::transport {

struct beacon_options {
  std::string name;
  std::uint64_t incarnation = 0;
  std::string cluster;
  std::string listen; ///< as of the links: the same number, by UDP. Port 0 takes a free one
  cluster_secret secret{};
  millis every = limits::beacon_every;
};

/// All called on the beacon thread, with `clock::monotonic()` as it was just then. They must not
/// wait. A payload has at most `limits::beacon_payload_bytes`; a longer one is not sent, and
/// counted.
struct beacon_callbacks {
  /// What to tell the peer in this round: one datagram each.
  std::function<std::vector<std::string>(const std::string& peer, millis now)> compose;
  /// The answers go back to the peer at once.
  std::function<std::vector<std::string>(const std::string& peer, std::uint64_t peer_incarnation,
                                         std::string_view payload, millis now)>
      receive;
};

/// Why a datagram went no further.
enum class beacon_loss {
  malformed,      ///< not a beacon, or longer than one
  unknown_sender, ///< not in the set of peers
  forged,         ///< another secret, another cluster, or changed on the way
  misdirected,    ///< sealed for another node
  too_large,      ///< a payload of ours
  not_sent,       ///< the system refused it
};
inline constexpr std::size_t beacon_losses = static_cast<std::size_t>(beacon_loss::not_sent) + 1;

std::string_view name_of(beacon_loss l) noexcept;

struct beacon_stats {
  std::uint64_t rounds = 0;
  std::uint64_t sent = 0;
  std::uint64_t received = 0; ///< handed to `receive`
  std::array<std::uint64_t, beacon_losses> lost{};

  std::uint64_t lost_for(beacon_loss l) const { return lost[static_cast<std::size_t>(l)]; }
};

class beacons {
public:
  /// The clock has to outlive the beacons. Errors: `config_invalid`, `io_failed`.
  static result<std::unique_ptr<beacons>> start(const clock& time, beacon_options options,
                                                beacon_callbacks callbacks);

  virtual ~beacons() = default; ///< stops

  /// As for the links. Host names are looked up here, in the caller's thread, which may take a
  /// while; one that is not found keeps its former address or is left out until the next call, and
  /// the error `unavailable` names it. Other errors (`bad_value`, `too_many`) change nothing.
  virtual result<void> set_peers(const std::map<std::string, std::string>& peers) = 0;

  virtual std::uint16_t port() const = 0;
  virtual beacon_stats stats() const = 0;

  /// No callback runs any more once it returns. Not to be called from one.
  virtual void stop() = 0;
};

/// The first time after `now` that lies a whole number of `every` after `due`; `due` itself while
/// it is to come.
constexpr millis next_due(millis due, millis now, millis every) {
  return now < due ? due : due + ((now - due) / every + 1) * every;
}

} // namespace candor::transport
