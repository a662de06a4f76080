#include "actors/gateway/http.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <fmt/format.h>

#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/base/wipe.hpp"

namespace candor::gateway {

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using tcp = asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t threads = 2;
constexpr std::size_t read_bytes = 16 * 1024;
constexpr std::size_t buffer_bytes = limits::header_bytes + 64 * 1024;
constexpr auto accept_pause = 50ms;
constexpr auto cancel_again = 50ms;
constexpr rlim_t files_wanted = 16 * 1024;

/// Tells an operation of one connection to give up at a time. Beast's own deadline closes the
/// socket, which would leave nobody to say 408 to. Lives on the connection's strand.
class deadline : public std::enable_shared_from_this<deadline> {
public:
  explicit deadline(tcp::socket& socket)
    : timer_{socket.get_executor()}
    , socket_{&socket} {}

  void arm(milliseconds span) {
    expired_ = false;
    wait(++round_, span);
  }
  void disarm() {
    ++round_;
    timer_.cancel();
  }
  bool expired() const noexcept { return expired_; }

  /// The connection waits for nothing but a next request: `drain` may end it.
  void set_idle(bool idle) { idle_ = idle; }

  void end_if_idle() {
    if (idle_)
      arm(0ms);
  }
  void forget_socket() {
    disarm();
    socket_ = nullptr;
  }
  auto executor() { return timer_.get_executor(); }

private:
  void wait(std::uint64_t round, milliseconds span) {
    timer_.expires_after(span);
    timer_.async_wait([self = shared_from_this(), round](error_code ec) {
      if (ec || round != self->round_ || !self->socket_)
        return;
      self->expired_ = true;
      self->socket_->cancel(ec);
      self->wait(round, cancel_again); // the operation may have been between two steps
    });
  }

  asio::steady_timer timer_;
  tcp::socket* socket_;
  std::uint64_t round_ = 0;
  bool expired_ = false;
  bool idle_ = false;
};

/// What bodies may take of the memory, together.
class body_memory {
public:
  explicit body_memory(std::size_t bytes_max)
    : bytes_max_{bytes_max}
    , gauge_{metrics::gauge("candor_gateway_bodies_bytes", "Request bodies held in memory.")} {}

  bool take(std::size_t bytes) {
    if (used_.fetch_add(bytes) + bytes > bytes_max_) {
      used_.fetch_sub(bytes);
      return false;
    }
    gauge_.Increment(static_cast<double>(bytes));
    return true;
  }
  void give_back(std::size_t bytes) {
    used_.fetch_sub(bytes);
    gauge_.Decrement(static_cast<double>(bytes));
  }

private:
  std::size_t bytes_max_;
  std::atomic<std::size_t> used_{0};
  prometheus::Gauge& gauge_;
};

/// One body's part.
class body_share {
public:
  explicit body_share(body_memory& from)
    : from_{from} {}
  body_share(const body_share&) = delete;
  body_share& operator=(const body_share&) = delete;
  ~body_share() { release(); }
  bool grow(std::size_t bytes) {
    if (!from_.take(bytes))
      return false;
    bytes_ += bytes;
    return true;
  }
  void release() {
    from_.give_back(bytes_);
    bytes_ = 0;
  }

private:
  body_memory& from_;
  std::size_t bytes_ = 0;
};

/// Takes the body out of `from`.
http::response<http::string_body> to_message(reply& from, const exchange& x, unsigned version,
                                             bool keep_alive) {
  http::response<http::string_body> made;
  made.version(version);
  made.result(static_cast<unsigned>(from.status));
  made.keep_alive(keep_alive);
  made.set(http::field::content_type, from.content_type);
  made.set("X-Content-Type-Options", "nosniff");
  if (!x.traceparent.empty())
    made.set("traceparent", x.traceparent);
  made.set(http::field::cache_control, "no-store");
  for (const auto& [name, value] : from.headers)
    made.set(name, value);
  if (from.more) // as long as it lasts: the connection's end is its end
    return made;
  made.body() = std::move(from.body);
  made.content_length(made.body().size());
  return made;
}

request_head read_head(const http::request<http::buffer_body>& from) {
  auto text = [&](auto name) { return std::string{from[name]}; };
  request_head head;
  head.method = std::string{from.method_string()};
  head.target = std::string{from.target()};
  head.content_type = text(http::field::content_type);
  head.authorization = text(http::field::authorization);
  head.host = text(http::field::host);
  head.origin = text(http::field::origin);
  head.traceparent = text("traceparent");
  head.last_event_id = text("Last-Event-ID");
  head.session = text(session_header);
  return head;
}

/// Whom a connection is from. Of version 6 its network, as one machine has all the addresses of
/// it (RFC 6177); a mapped address of version 4 is that one.
std::string peer_of(const tcp::socket& socket) {
  error_code ec;
  auto at = socket.remote_endpoint(ec).address();
  if (ec)
    return {};
  if (at.is_v4() || at.to_v6().is_v4_mapped())
    return (at.is_v4() ? at.to_v4() : asio::ip::make_address_v4(asio::ip::v4_mapped, at.to_v6()))
        .to_string();
  auto bytes = at.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::address_v6{bytes}.to_string() + "/64";
}

class server final : public http_server {
public:
  server(const gateway_bounds& bounds, bool serves_operators, application& app)
    : bounds_{bounds}
    , serves_operators_{serves_operators}
    , app_{app}
    , memory_{bounds.bodies_in_memory_bytes}
    , connections_gauge_{metrics::gauge("candor_gateway_connections", "Open connections.")}
    , turned_away_{metrics::counter("candor_gateway_turned_away_total",
                                    "Connections over the limit, answered with 503.")}
    , acceptor_{io_} {}

  ~server() override {
    stop_accepting();
    io_.stop();
    for (auto& t : threads_)
      t.join();
  }

  result<void> listen(const std::string& address, std::uint16_t port,
                      std::unique_ptr<ssl::context> tls) {
    tls_ = std::move(tls);
    error_code ec;
    auto ip = asio::ip::make_address(address, ec);
    tcp::endpoint at{ip, port};
    if (!ec)
      acceptor_.open(at.protocol(), ec);
    if (!ec)
      acceptor_.set_option(tcp::acceptor::reuse_address{true}, ec);
    if (!ec)
      acceptor_.bind(at, ec);
    if (!ec)
      acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
      return fail(errc::io_failed,
                  fmt::format("cannot listen on {}:{}: {}", address, port, ec.message()));
    port_ = acceptor_.local_endpoint(ec).port();
    asio::co_spawn(io_, accept(), asio::detached);
    for (std::size_t i = 0; i < threads; ++i)
      threads_.emplace_back([this] { io_.run(); });
    return {};
  }

  std::uint16_t port() const override { return port_; }

  void drain(milliseconds grace) override {
    stop_accepting();
    {
      std::lock_guard guard{mutex_};
      for (const auto& d : open_)
        asio::post(d->executor(), [d] { d->end_if_idle(); });
    }
    for (auto until = steady_clock::now() + grace; connections_ > 0 && steady_clock::now() < until;)
      std::this_thread::sleep_for(5ms);
    io_.stop();
    for (auto& t : threads_)
      t.join();
    threads_.clear();
  }

private:
  void stop_accepting() {
    if (stopping_.exchange(true))
      return;
    asio::post(io_, [this] {
      error_code ec;
      acceptor_.close(ec);
    });
  }

  asio::awaitable<void> accept() {
    asio::steady_timer pause{io_};
    while (!stopping_) {
      tcp::socket socket{asio::any_io_executor{asio::make_strand(io_)}};
      error_code ec;
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (stopping_)
        co_return;
      if (ec) { // out of files or memory: let some connections end
        pause.expires_after(accept_pause);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        continue;
      }
      try {
        admit(std::move(socket));
      } catch (const std::exception& e) {
        log::error("gateway", "a connection could not be taken: {}", e.what());
      }
    }
  }

  void admit(tcp::socket socket) {
    error_code ec;
    socket.set_option(tcp::no_delay{true}, ec);
    auto on = socket.get_executor();
    if (connections_ < bounds_.connections) {
      ++connections_;
      connections_gauge_.Increment();
      asio::co_spawn(on, serve(std::move(socket)), asio::detached);
      return;
    }
    turned_away_.Increment();
    if (tls_ || turning_away_ >= limits::connections_turned_away)
      return;
    ++turning_away_;
    asio::co_spawn(on, turn_away(std::move(socket)), asio::detached);
  }

  asio::awaitable<void> turn_away(tcp::socket socket) {
    static const std::string body =
        "{\"type\":\"https://candor.invalid/problems/overloaded\",\"title\":\"There are too many "
        "connections.\",\"status\":503,\"code\":\"overloaded\",\"trace_id\":\"\"}\n";
    static const std::string text =
        fmt::format("HTTP/1.1 503 Service Unavailable\r\n"
                    "Content-Type: application/problem+json\r\nRetry-After: 1\r\n"
                    "Connection: close\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body);
    auto until = std::make_shared<deadline>(socket);
    until->arm(limits::turn_away_deadline);
    error_code ec;
    co_await asio::async_write(socket, asio::buffer(text),
                               asio::redirect_error(asio::use_awaitable, ec));
    co_await linger(socket, *until);
    until->forget_socket();
    --turning_away_;
  }

  /// Reads on for a while after the last word, so that a client which is still sending gets to read
  /// the answer: closing at once would reset the connection.
  asio::awaitable<void> linger(tcp::socket& socket, deadline& until) {
    error_code ec;
    socket.shutdown(tcp::socket::shutdown_send, ec);
    until.arm(limits::linger_deadline);
    std::string waste(read_bytes, '\0');
    for (std::size_t sum = 0; !ec && sum < limits::linger_bytes && !until.expired();)
      sum += co_await socket.async_read_some(asio::buffer(waste),
                                             asio::redirect_error(asio::use_awaitable, ec));
    until.disarm();
  }

  asio::awaitable<void> serve(tcp::socket socket) {
    struct leaving {
      server& from;
      std::shared_ptr<deadline> until;
      ~leaving() {
        until->forget_socket();
        {
          std::lock_guard guard{from.mutex_};
          from.open_.erase(until);
        }
        --from.connections_;
        from.connections_gauge_.Decrement();
      }
    };
    try {
      if (!tls_) {
        auto until = std::make_shared<deadline>(socket);
        leaving on_end{*this, until};
        enter(until);
        co_await converse(socket, socket, *until);
      } else {
        ssl::stream<tcp::socket> stream{std::move(socket), *tls_};
        auto until = std::make_shared<deadline>(stream.next_layer());
        leaving on_end{*this, until};
        enter(until);
        error_code ec;
        until->arm(bounds_.header_deadline);
        co_await stream.async_handshake(ssl::stream_base::server,
                                        asio::redirect_error(asio::use_awaitable, ec));
        if (!ec)
          co_await converse(stream, stream.next_layer(), *until);
      }
    } catch (const std::exception& e) {
      log::error("gateway", "a connection ended by an exception: {}", e.what());
    }
  }

  void enter(const std::shared_ptr<deadline>& until) {
    std::lock_guard guard{mutex_};
    open_.insert(until);
  }

  /// One request after another.
  template <class Stream>
  asio::awaitable<void> converse(Stream& stream, tcp::socket& socket, deadline& until) {
    beast::flat_buffer buffer{buffer_bytes};
    auto peer = peer_of(socket);
    auto more = true;
    while (more && !stopping_) {
      if (buffer.size() == 0) {
        error_code ec;
        until.arm(bounds_.idle_deadline);
        until.set_idle(true);
        if (stopping_)
          break;
        auto n = co_await stream.async_read_some(buffer.prepare(read_bytes),
                                                 asio::redirect_error(asio::use_awaitable, ec));
        until.set_idle(false);
        if (ec)
          break;
        buffer.commit(n);
      }
      more = co_await one_exchange(stream, socket, peer, buffer, until);
    }
    until.disarm();
  }

  /// Returns whether the connection can go on.
  template <class Stream>
  asio::awaitable<bool> one_exchange(Stream& stream, tcp::socket& socket, const std::string& peer,
                                     beast::flat_buffer& buffer, deadline& until) {
    http::request_parser<http::buffer_body> parser;
    parser.header_limit(limits::header_bytes);
    // Ours depends on the route. (None at all would refuse every body: Boost 1.74 compares with
    // it.)
    parser.body_limit(std::numeric_limits<std::uint64_t>::max());
    exchange x;
    x.serves_operators = serves_operators_;
    x.peer = peer;
    body_share share{memory_};
    error_code ec;
    until.arm(bounds_.header_deadline);
    co_await http::async_read_header(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, ec));
    auto started = steady_clock::now();
    std::optional<reply> answer;
    auto whole = false; ///< nothing of the request is left unread
    if (ec) {
      if (!until.expired() &&
          ec.category() != http::make_error_code(http::error::bad_value).category())
        co_return false; // the client went away
      if (ec == http::error::end_of_stream || ec == http::error::partial_message)
        co_return false;
      auto too_long = ec == http::error::header_limit || ec == http::error::buffer_overflow;
      auto why = until.expired() ? error{errc::request_timeout, "the head"}
                 : too_long      ? error{errc::too_large, fmt::format("a head has at most {} bytes",
                                                                      limits::header_bytes)}
                                 : error{errc::malformed, "this is not HTTP/1.1: " + ec.message()};
      answer = app_.refuse(x, why, too_long && !until.expired() ? 431 : info(why.code).http_status);
    } else {
      x.head = read_head(parser.get());
      auto length = parser.content_length();
      x.head.has_body = parser.chunked() || (length && *length > 0);
      whole = !x.head.has_body;
      until.disarm();
      answer = co_await app_.admit(x);
      if (!answer && length && *length > x.body_bytes_max)
        answer = refuse_size(x);
    }
    if (!answer && x.head.has_body) {
      answer = co_await read_body(stream, buffer, parser, x, share, until);
      whole = !answer;
    }
    if (!answer)
      answer = co_await app_.answer(x);
    wipe(x.body);
    std::string{}.swap(x.body);
    share.release();
    auto status = answer->status;
    auto head_only = x.head.method == "HEAD";
    auto goes_on = answer->more && !head_only;
    auto keep_alive = whole && parser.keep_alive() && !stopping_ && !goes_on;
    auto message =
        to_message(*answer, x, parser.get().version() ? parser.get().version() : 11, keep_alive);
    app_.finished(x, status, steady_clock::now() - started);

    until.arm(bounds_.body_deadline);
    http::response_serializer<http::string_body> out{message};
    if (head_only || goes_on)
      co_await http::async_write_header(stream, out, asio::redirect_error(asio::use_awaitable, ec));
    else
      co_await http::async_write(stream, out, asio::redirect_error(asio::use_awaitable, ec));
    until.disarm();
    if (ec)
      co_return false;
    if (goes_on)
      co_await go_on(stream, *answer, until);
    if (!keep_alive)
      co_await linger(socket, until);
    co_return keep_alive;
  }

  /// Writes what there is to say, as it comes, until there is no more or nobody listens.
  template <class Stream>
  asio::awaitable<void> go_on(Stream& stream, reply& answer, deadline& until) {
    static const std::string comment = ":\n\n";
    std::string waste(256, '\0');
    auto spoke = steady_clock::now();
    for (auto end = spoke + limits::stream_life; !stopping_ && steady_clock::now() < end;) {
      auto piece = co_await answer.more();
      if (!piece)
        break;
      if (piece->empty() && steady_clock::now() - spoke >= limits::stream_silence)
        *piece = comment;
      error_code ec;
      if (!piece->empty()) {
        until.arm(bounds_.body_deadline);
        co_await asio::async_write(stream, asio::buffer(*piece),
                                   asio::redirect_error(asio::use_awaitable, ec));
        if (ec)
          break;
        spoke = steady_clock::now();
      }
      // Waits by reading: a client that goes away, and a drain, end the wait.
      until.arm(limits::stream_look_every);
      until.set_idle(true);
      co_await stream.async_read_some(asio::buffer(waste),
                                      asio::redirect_error(asio::use_awaitable, ec));
      until.set_idle(false);
      if (!until.expired()) // it went away, or it speaks where it has nothing to say
        break;
    }
    until.disarm();
  }

  reply refuse_size(exchange& x) {
    error why{errc::too_large,
              x.body_bytes_max == 0
                  ? std::string{"this route takes no body"}
                  : fmt::format("this route takes at most {} bytes", x.body_bytes_max)};
    return app_.refuse(x, why, 413);
  }

  template <class Stream>
  asio::awaitable<std::optional<reply>> read_body(Stream& stream, beast::flat_buffer& buffer,
                                                  http::request_parser<http::buffer_body>& parser,
                                                  exchange& x, body_share& share, deadline& until) {
    error_code ec;
    until.arm(bounds_.body_deadline);
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream, asio::buffer(go_on),
                                 asio::redirect_error(asio::use_awaitable, ec));
    }
    std::string piece(read_bytes, '\0');
    while (!parser.is_done()) {
      auto& into = parser.get().body();
      into.data = piece.data();
      into.size = piece.size();
      into.more = true;
      co_await http::async_read(stream, buffer, parser,
                                asio::redirect_error(asio::use_awaitable, ec));
      if (ec == http::error::need_buffer)
        ec = {};
      if (until.expired()) {
        error why{errc::request_timeout, "the body"};
        co_return app_.refuse(x, why, 408);
      }
      if (ec) {
        error why{errc::malformed, "the body cannot be read: " + ec.message()};
        co_return app_.refuse(x, why, 400);
      }
      auto got = piece.size() - into.size;
      if (x.body.size() + got > x.body_bytes_max)
        co_return refuse_size(x);
      if (!share.grow(got)) {
        error why{errc::overloaded, "too many bodies are being read"};
        co_return app_.refuse(x, why, 429);
      }
      x.body.append(piece.data(), got);
    }
    until.disarm();
    co_return std::nullopt;
  }

  const gateway_bounds bounds_;
  const bool serves_operators_;
  application& app_;
  body_memory memory_;
  prometheus::Gauge& connections_gauge_;
  prometheus::Counter& turned_away_;
  std::atomic<std::size_t> connections_{0};
  std::atomic<std::size_t> turning_away_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::set<std::shared_ptr<deadline>> open_;
  std::unique_ptr<ssl::context> tls_;
  std::uint16_t port_ = 0;
  std::vector<std::thread> threads_;
  asio::io_context io_; ///< goes first: connections that are still open use what stands above
  tcp::acceptor acceptor_;
};

result<std::unique_ptr<ssl::context>> open_tls(const gateway_config& config) {
  auto made = std::make_unique<ssl::context>(ssl::context::tls_server);
  error_code ec;
  auto failed = [&](const std::string& file) {
    return fail(errc::config_invalid, fmt::format("TLS, {}: {}", file, ec.message()));
  };
  made->use_certificate_chain_file(config.tls_certificate, ec);
  if (ec)
    return failed(config.tls_certificate);
  made->use_private_key_file(config.tls_key, ssl::context::pem, ec);
  if (ec)
    return failed(config.tls_key);
  if (SSL_CTX_check_private_key(made->native_handle()) != 1 ||
      SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_3_VERSION) != 1)
    return fail(errc::config_invalid, "TLS: the key does not belong to the certificate");
  return made;
}

/// So that the bound on connections is reached before the process's on open files.
void raise_file_limit() {
  rlimit now{};
  if (::getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur >= files_wanted)
    return;
  now.rlim_cur = std::min(now.rlim_max, files_wanted);
  ::setrlimit(RLIMIT_NOFILE, &now);
}

} // namespace

result<std::unique_ptr<http_server>> start_http_server(const listener& at, bool serves_operators,
                                                       const gateway_config& config,
                                                       application& app) {
  auto address = at.address == "localhost" ? std::string{"127.0.0.1"} : at.address;
  error_code ec;
  auto ip = asio::ip::make_address(address, ec);
  if (ec)
    return fail(errc::config_invalid,
                fmt::format("\"{}\" is not an IP address to listen on", at.address));
  if (config.tls_certificate.empty() != config.tls_key.empty())
    return fail(errc::config_invalid, "TLS needs both a certificate and a key");
  std::unique_ptr<ssl::context> tls;
  if (!config.tls_certificate.empty()) {
    CANDOR_TRY(opened, open_tls(config));
    tls = std::move(opened);
  }
  if (!ip.is_loopback() && !tls)
    return fail(errc::config_invalid,
                fmt::format("{} is not a loopback address: TLS is required there", at.address));
  if (!ip.is_loopback() && config.keys.empty())
    return fail(errc::config_invalid,
                fmt::format("{} is not a loopback address: keys are required there", at.address));
  raise_file_limit();
  auto made = std::make_unique<server>(config.bounds, serves_operators, app);
  CANDOR_TRY_VOID(made->listen(address, at.port, std::move(tls)));
  return std::unique_ptr<http_server>{std::move(made)};
}

} // namespace candor::gateway
