/// One connection to one etcd member: requests to its JSON gateway and the stream of a watch, over
/// HTTP/1.1 in clear or under TLS. Beneath etcd_coordinator, which knows what the requests mean.
/// Guarantees: no call outlasts its `until`; after an error the connection is closed and stays so;
/// nothing is ever sent twice. Must never throw.
///
/// One thread uses a connection at a time; only `interrupt` may come from another.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor::coordination {

using instant = std::chrono::steady_clock::time_point;

struct etcd_endpoint {
  bool tls = false;
  std::string host; ///< a name or an address, without brackets
  std::string port;
};

/// "http://10.0.0.1:2379", "https://[::1]:2379"; nothing behind the port. Error: `config_invalid`.
result<etcd_endpoint> parse_endpoint(std::string_view url);

/// PEM files: whom we trust, and who we are.
struct etcd_tls {
  std::filesystem::path ca;
  std::filesystem::path certificate; ///< empty: none is shown
  std::filesystem::path key;
};

/// What TLS connections share. Opaque, so that no header carries the library's.
class etcd_trust;

/// Error: `config_invalid`.
result<std::shared_ptr<etcd_trust>> load_trust(const etcd_tls& files);

struct etcd_answer {
  unsigned status = 0;
  std::string body;
};

/// Error of every call: `unavailable`, with what happened. Of `too_large`: the answer is over
/// limits::coordination_answer_bytes.
class etcd_connection {
public:
  virtual ~etcd_connection() = default;

  virtual result<void> connect(instant until) = 0;

  /// After an error the request may have been carried out all the same.
  virtual result<etcd_answer> post(std::string_view target, std::string body, instant until) = 0;

  /// Posts, and leaves the answer to `next_line`. The connection serves nothing else from then on.
  virtual result<void> open_stream(std::string_view target, std::string body, instant until) = 0;

  virtual result<std::string> next_line(instant until) = 0;

  /// Connected, and the other side has neither closed it nor said anything unasked.
  virtual bool is_idle() = 0;

  /// What is under way fails soon, and every later call at once.
  virtual void interrupt() = 0;
};

/// `trust` may be null for an endpoint without TLS. Error: `unavailable` (no descriptors are left).
result<std::unique_ptr<etcd_connection>> make_etcd_connection(const etcd_endpoint& endpoint,
                                                              std::shared_ptr<etcd_trust> trust);

} // namespace candor::coordination
