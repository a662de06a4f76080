/// What the HTTP server and the routes say to each other: the server knows sockets and deadlines,
/// the routes know rooms and roles. Internal to the gateway.
#pragma once

#include <utility> // boost/asio/awaitable.hpp of Boost 1.74 uses std::exchange without it

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/gateway/gateway.hpp"
#include "actors/gateway/target.hpp"
#include "storage/base/error.hpp"

namespace candor::gateway {

namespace asio = boost::asio;

inline constexpr char session_header[] = "Candor-Session";

struct request_head {
  std::string method;
  std::string target;
  std::string content_type;
  std::string authorization;
  std::string host;
  std::string origin;
  std::string traceparent;
  std::string last_event_id;
  std::string session;
  bool has_body = false;
};

struct reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;

  /// Of a reply that goes on (server-sent events): asked again and again for what is new. An empty
  /// piece: nothing now; none: the end.
  std::function<asio::awaitable<std::optional<std::string>>()> more;
};

struct route;

/// One request, from its head to its reply.
struct exchange {
  request_head head;
  candor::gateway::target target;
  std::string body;
  std::size_t body_bytes_max = 0; ///< set when admitted
  std::string trace_id;           ///< 32 hexadecimal digits
  std::string traceparent;        ///< as given back
  const candor::gateway::route* route = nullptr;
  std::vector<std::string> parameters; ///< of the route's pattern, in order
  bool serves_operators = false;       ///< it came to a listener that may
  std::string peer; ///< its address (of version 6: the network of 64 bits); never logged
  candor::gateway::caller caller;
};

class application {
public:
  virtual ~application() = default;

  /// After the head, before the body: a reply here ends the exchange without reading the body.
  virtual asio::awaitable<std::optional<reply>> admit(exchange& x) = 0;

  virtual asio::awaitable<reply> answer(exchange& x) = 0;

  /// The server's own refusals: what cannot be read, is too large or too slow.
  virtual reply refuse(exchange& x, const error& why, int status) = 0;

  virtual void finished(const exchange& x, int status, std::chrono::nanoseconds took) = 0;
};

/// Listens and serves on its own threads.
class http_server {
public:
  virtual ~http_server() = default;
  virtual std::uint16_t port() const = 0;

  /// Takes no more connections, lets running exchanges end for up to `grace`, closes the rest.
  virtual void drain(std::chrono::milliseconds grace) = 0;
};

/// `app` must outlive the server. Error: `config_invalid`, `io_failed`.
result<std::unique_ptr<http_server>> start_http_server(const listener& at, bool serves_operators,
                                                       const gateway_config& config,
                                                       application& app);

} // namespace candor::gateway
