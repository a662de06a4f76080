/// The links of this node to its peers: one TLS 1.3 connection a pair, ours from the socket up,
/// that carries CAF's protocol. CAF itself only ever sees one end of a socketpair.
///
///   peer's door ⇄ CAF ⇄ socketpair ⇄ TLS (own thread) ⇄ network ⇄ the same, mirrored
///
/// Guarantees: both ends have shown a certificate of the cluster's CA that carries their node's
/// name, and said the same cluster id and protocol version. One link a pair: the node with the
/// lower name dials. A life of a node that is older than one that was met is refused; a newer one,
/// or a new connection of the same one, replaces its link. A peer whose actors do not answer for
/// `ping_every * pings_missed` is dropped and dialed anew. Everything has a deadline and a bound.
/// Does not hold back a sender that is faster than the network: whatever flows between nodes needs
/// a credit window of its own, CAF queues without end. Pings share the wire with the rest: more
/// than a second of bulk ahead of them ends the link, and so does one message that takes a second
/// to arrive, or has over `limits::frame_bytes`.
/// Must never let a byte reach CAF that no certified peer sent, nor a frame over its bound.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <caf/all.hpp>

#include "cluster/transport/handshake.hpp"
#include "cluster/transport/messages.hpp"
#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::transport {

/// What an actor system between nodes needs: CAF's network module, no worker threads of it, and a
/// heartbeat that notices a hung peer. To be called in a cluster only; the type ids of
/// `candor_transport` are registered by whoever builds the configuration.
void configure(caf::actor_system_config& config);

struct link_options {
  std::string name; ///< of this node, as its certificate says it (CN, or a DNS name among its SANs)
  std::uint64_t incarnation = 0; ///< `make_incarnation`
  std::string cluster;           ///< the cluster's id
  std::string listen;            ///< host:port, the host as a number; port 0 takes a free one

  // PEM
  std::filesystem::path ca; ///< of this cluster and nothing else: its word is enough to be let in
  std::filesystem::path certificate;
  std::filesystem::path key;

  std::chrono::milliseconds connect_deadline = limits::connect_deadline;
  std::chrono::milliseconds handshake_deadline = limits::handshake_deadline;
  std::chrono::milliseconds redial_first = limits::redial_first;
  std::chrono::milliseconds redial_most = limits::redial_most;
  std::chrono::milliseconds ping_every = limits::ping_every;
  std::size_t pings_missed = limits::pings_missed;
};

/// Called from any thread, for one peer never two at a time. They must not wait, and must not call
/// `stop()`.
struct link_callbacks {
  /// `remote_door` works until `on_down`; the next link brings a new one.
  std::function<void(const std::string& peer, std::uint64_t peer_incarnation,
                     const caf::strong_actor_ptr& remote_door)>
      on_up;
  /// Once for each `on_up`.
  std::function<void(const std::string& peer, const std::string& why)> on_down;
};

struct link_stats {
  struct traffic {
    bool up = false;
    std::uint64_t bytes_in = 0; ///< since `start`, over all of its links
    std::uint64_t bytes_out = 0;
  };
  std::size_t up = 0;
  std::map<std::string, traffic> peers;
  std::array<std::uint64_t, refusals> refused{}; ///< by reason, dialed or accepted
  std::size_t half_open = 0;                     ///< accepted, TLS not done

  std::uint64_t refused_for(refusal r) const { return refused[static_cast<std::size_t>(r)]; }
};

class links {
public:
  /// Listens, dials nobody yet. `door` is the actor that peers shall reach. The actor system has to
  /// outlive the links, and to have been configured with `configure`.
  /// Errors: `config_invalid` (PEM files, name, address), `io_failed` (cannot listen).
  static result<std::unique_ptr<links>> start(caf::actor_system& system, caf::actor door,
                                              link_options options, link_callbacks callbacks);

  virtual ~links() = default; ///< stops

  /// Name to host:port; one's own name may be among them. Who is missing loses its link.
  /// Errors: `bad_value`, `too_many`; then nothing changes.
  virtual result<void> set_peers(const std::map<std::string, std::string>& peers) = 0;

  virtual std::uint16_t port() const = 0;
  virtual link_stats stats() const = 0;

  /// Drops all links (with their `on_down`) and waits until that is done: no thread is left, no
  /// callback runs any more.
  virtual void stop() = 0;
};

} // namespace candor::transport
