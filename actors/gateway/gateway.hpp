/// The front door: an HTTP server that reads what platforms, operators and people's apps send,
/// checks who asks, bounds it, and knocks at the rooms behind. First on the way of an event.
/// Guarantees: every answer is within its deadline; every error is problem+json; memory for bodies,
/// connections and time are bounded (limits.hpp), and a slow or hostile client costs no more than
/// that; nothing listens beyond this machine without TLS and keys; operators' routes may stand at
/// an address of their own. Must never log or count anything by a user, and keeps no text after its
/// verdict.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/gateway/keys.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/region.hpp"

namespace caf {
class actor_system;
} // namespace caf

namespace candor {
struct rooms;
} // namespace candor

namespace candor::gateway {

/// Bounds that a test makes small.
struct gateway_bounds {
  std::size_t connections = limits::connections;
  std::size_t bodies_in_memory_bytes = limits::bodies_in_memory_bytes;
  std::chrono::milliseconds header_deadline = limits::header_deadline;
  std::chrono::milliseconds body_deadline = limits::body_deadline;
  std::chrono::milliseconds idle_deadline = limits::idle_deadline;
  std::chrono::milliseconds answer_deadline = limits::answer_deadline;
  std::chrono::milliseconds room_deadline = limits::room_deadline;
};

struct listener {
  std::string address = "127.0.0.1"; ///< an IP address or "localhost"
  std::uint16_t port = 8080;         ///< 0: any free one
};

struct gateway_config {
  listener http;
  /// Where operators' routes are served (policies, the cluster, the audit log, admin verbs), beside
  /// all others. Where there is none, `http` serves them too; else it refuses them.
  std::optional<listener> operators;
  std::string tls_certificate; ///< PEM files; both or none
  std::string tls_key;
  /// None: on loopback everyone may do everything; elsewhere refused.
  std::vector<api_key> keys;
  std::string user_token_secret; ///< at least 32 bytes; empty: no user tokens
  model::region_table regions;
  std::function<shard_id(const user_id&)> shard_of;
  std::function<bool()> low_on_disk = {}; ///< what /readyz says of it. May be empty
  /// By how much longer an answer may take where speech has to be turned into text first.
  std::chrono::milliseconds hearing_patience{0};
  gateway_bounds bounds;
};

class gateway {
public:
  /// Listens when this returns; not ready until told. `system`, what `doors` names and `time` must
  /// outlive the gateway. Error: `config_invalid` (address, keys, TLS missing where it is
  /// required), `io_failed` (the address is in use).
  static result<std::unique_ptr<gateway>> start(caf::actor_system& system, rooms doors,
                                                gateway_config config, clock& time);
  virtual ~gateway() = default;

  virtual std::uint16_t port() const = 0;

  /// Of the operators' listener; that of all where it has none of its own.
  virtual std::uint16_t operators_port() const = 0;

  /// What /readyz says. Events and persons are served only when ready.
  virtual void set_ready(bool ready) = 0;

  /// Takes no more requests, lets running ones end, ends its threads. Once; also done by the
  /// destructor.
  virtual void stop() = 0;
};

} // namespace candor::gateway
