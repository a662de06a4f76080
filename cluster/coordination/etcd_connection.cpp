#include "cluster/coordination/etcd_connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "storage/base/limits.hpp"

namespace candor::coordination {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

class etcd_trust {
public:
  asio::ssl::context context{asio::ssl::context::tls_client};
};

result<etcd_endpoint> parse_endpoint(std::string_view url) {
  const auto wrong = [&] {
    return fail(errc::config_invalid,
                "an etcd endpoint looks like https://10.0.0.1:2379, not " + std::string{url});
  };
  etcd_endpoint e;
  auto rest = url;
  if (rest.starts_with("https://"))
    e.tls = true;
  else if (!rest.starts_with("http://"))
    return wrong();
  rest.remove_prefix(e.tls ? 8 : 7);
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos)
    return wrong();
  e.host = rest.substr(0, colon);
  e.port = rest.substr(colon + 1);
  if (e.host.starts_with('[') && e.host.ends_with(']'))
    e.host = e.host.substr(1, e.host.size() - 2);
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  if (e.host.empty() || e.port.empty() || e.port.size() > 5 ||
      !std::all_of(e.port.begin(), e.port.end(), is_digit) || std::stoi(e.port) > 65'535)
    return wrong();
  return e;
}

result<std::shared_ptr<etcd_trust>> load_trust(const etcd_tls& files) {
  const auto wrong = [](const std::filesystem::path& file, const error_code& why) {
    return fail(errc::config_invalid, file.string() + ": " + why.message());
  };
  try {
    auto trust = std::make_shared<etcd_trust>();
    auto& c = trust->context;
    error_code ec;
    c.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                  asio::ssl::context::no_tlsv1_1);
    c.set_verify_mode(asio::ssl::verify_peer);
    if (c.load_verify_file(files.ca.string(), ec); ec)
      return wrong(files.ca, ec);
    if (!files.certificate.empty()) {
      if (c.use_certificate_chain_file(files.certificate.string(), ec); ec)
        return wrong(files.certificate, ec);
      if (c.use_private_key_file(files.key.string(), asio::ssl::context::pem, ec); ec)
        return wrong(files.key, ec);
    }
    return trust;
  } catch (const std::exception& e) {
    return fail(errc::config_invalid, e.what());
  }
}

namespace {

/// A name being looked up. getaddrinfo has no deadline, so it runs on a thread of its own, which a
/// caller that has no more time leaves behind.
struct lookup {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::vector<tcp::endpoint> found;
};

/// The lookup of this name that is under way, or a new one: never two at a time, however many
/// callers gave up.
std::shared_ptr<lookup> look_up(const std::string& host, const std::string& port) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<lookup>> under_way;
  std::lock_guard guard{mutex};
  auto& slot = under_way[host + ' ' + port];
  if (slot) {
    std::lock_guard inner{slot->mutex};
    if (!slot->done)
      return slot;
  }
  slot = std::make_shared<lookup>();
  std::thread([l = slot, host, port] {
    std::vector<tcp::endpoint> found;
    try {
      asio::io_context context;
      tcp::resolver resolver{context};
      error_code ec;
      for (const auto& entry : resolver.resolve(host, port, ec))
        found.push_back(entry.endpoint());
    } catch (const std::exception&) {
      // No address, then; the caller says so.
    }
    std::lock_guard inner{l->mutex};
    l->found = std::move(found);
    l->done = true;
    l->changed.notify_all();
  }).detach();
  return slot;
}

std::vector<tcp::endpoint> addresses_of(const etcd_endpoint& e, instant until) {
  error_code ec;
  if (auto address = asio::ip::make_address(e.host, ec); !ec)
    return {tcp::endpoint{address, static_cast<unsigned short>(std::stoi(e.port))}};
  auto l = look_up(e.host, e.port);
  std::unique_lock lock{l->mutex};
  if (!l->changed.wait_until(lock, until, [&] { return l->done; }))
    return {};
  return l->found;
}

class connection final : public etcd_connection {
public:
  connection(const etcd_endpoint& endpoint, std::shared_ptr<etcd_trust> trust)
    : endpoint_{endpoint}
    , trust_{std::move(trust)} {
    buffer_.max_size(buffer_bytes);
  }

  ~connection() override { close(); }

  result<void> connect(instant until) override {
    const auto addresses = addresses_of(endpoint_, until);
    if (addresses.empty())
      return failed("has no address");
    error_code ec = asio::error::host_unreachable;
    for (auto left = addresses.size(); left > 0 && ec; --left) {
      // Asio's own loop over addresses would go on after `within` closed the socket.
      const auto now = std::chrono::steady_clock::now();
      close();
      ec = within(now + (until - now) / static_cast<long>(left), [&](auto done) {
        socket_.async_connect(addresses[addresses.size() - left], std::move(done));
      });
    }
    if (ec)
      return failed("connecting: " + ec.message());
    socket_.set_option(tcp::no_delay{true}, ec);
    if (endpoint_.tls)
      return shake_hands(until);
    return {};
  }

  result<etcd_answer> post(std::string_view target, std::string body, instant until) override {
    CANDOR_TRY_VOID(send(new_request(target, std::move(body)), until));
    http::response_parser<http::string_body> parser;
    parser.body_limit(limits::coordination_answer_bytes);
    const auto ec = within(until, [&](auto done) {
      with_stream([&](auto& s) { http::async_read(s, buffer_, parser, std::move(done)); });
    });
    if (ec == http::error::body_limit)
      return fail(errc::too_large, "etcd's answer is over its limit");
    if (ec)
      return failed("reading: " + ec.message());
    if (!parser.get().keep_alive())
      close();
    return etcd_answer{parser.get().result_int(), std::move(parser.get().body())};
  }

  result<void> open_stream(std::string_view target, std::string body, instant until) override {
    auto request = new_request(target, std::move(body));
    // A watch on a member that has lost its cluster ends, instead of being silent.
    request.set("Grpc-Metadata-hasleader", "true");
    CANDOR_TRY_VOID(send(request, until));
    stream_.emplace();
    stream_->body_limit(boost::none);
    const auto ec = within(until, [&](auto done) {
      with_stream([&](auto& s) { http::async_read_header(s, buffer_, *stream_, std::move(done)); });
    });
    if (ec)
      return failed("reading: " + ec.message());
    if (stream_->get().result_int() != 200)
      return failed("answered " + std::to_string(stream_->get().result_int()));
    return {};
  }

  result<std::string> next_line(instant until) override {
    CANDOR_ASSERT(stream_);
    for (;;) {
      if (const auto end = pending_.find('\n'); end != std::string::npos) {
        auto line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        return line;
      }
      if (stream_->is_done())
        return failed("ended the stream");
      if (pending_.size() > limits::coordination_answer_bytes)
        return failed("sent a line over its limit");
      const auto ec = within(until, [&](auto done) {
        with_stream([&](auto& s) { http::async_read_some(s, buffer_, *stream_, std::move(done)); });
      });
      if (ec)
        return failed("reading: " + ec.message());
      pending_ += stream_->get().body();
      stream_->get().body().clear();
    }
  }

  bool is_idle() override {
    if (!socket_.is_open() || interrupted_)
      return false;
    char byte = 0;
    const auto n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }

  void interrupt() override {
    interrupted_ = true;
    asio::post(context_, [this] { close(); });
  }

private:
  static constexpr std::size_t buffer_bytes = 64 * 1024;

  /// Runs one operation to its end; at `until` the socket is closed under it. Boost 1.74's
  /// operations cannot be cancelled in a better way.
  template <class Start>
  error_code within(instant until, Start start) {
    if (interrupted_)
      return asio::error::operation_aborted;
    error_code outcome;
    start([&outcome](error_code ec, auto&&...) { outcome = ec; });
    context_.restart();
    context_.run_until(until);
    const auto in_time = context_.stopped();
    if (!in_time) {
      close();
      context_.run(); // nothing may touch the caller's variables after this returns
      outcome = asio::error::timed_out;
    }
    if (interrupted_)
      outcome = asio::error::operation_aborted;
    if (outcome)
      close();
    return outcome;
  }

  template <class Call>
  void with_stream(Call call) {
    if (tls_)
      call(*tls_);
    else
      call(socket_);
  }

  result<void> shake_hands(instant until) {
    tls_.emplace(socket_, trust_->context);
    error_code ec;
    tls_->set_verify_callback(asio::ssl::host_name_verification{endpoint_.host}, ec);
    if (asio::ip::make_address(endpoint_.host, ec); ec) // an address is no server name
      SSL_set_tlsext_host_name(tls_->native_handle(), endpoint_.host.c_str());
    ec = within(until, [&](auto done) {
      tls_->async_handshake(asio::ssl::stream_base::client, std::move(done));
    });
    if (ec)
      return failed("TLS: " + ec.message());
    return {};
  }

  using request_type = http::request<http::string_body>;

  request_type new_request(std::string_view target, std::string body) const {
    request_type request{http::verb::post, target, 11};
    request.set(http::field::host, endpoint_.host + ":" + endpoint_.port);
    request.set(http::field::content_type, "application/json");
    request.body() = std::move(body);
    request.prepare_payload();
    return request;
  }

  result<void> send(const request_type& request, instant until) {
    if (!socket_.is_open())
      return failed("is not connected");
    const auto ec = within(until, [&](auto done) {
      with_stream([&](auto& s) { http::async_write(s, request, std::move(done)); });
    });
    if (ec)
      return failed("writing: " + ec.message());
    return {};
  }

  void close() {
    error_code ignored;
    socket_.close(ignored);
  }

  tl::unexpected<error> failed(const std::string& what) {
    close();
    return fail(errc::unavailable, "etcd at " + endpoint_.host + ":" + endpoint_.port + " " + what);
  }

  etcd_endpoint endpoint_;
  std::shared_ptr<etcd_trust> trust_;
  asio::io_context context_{1};
  tcp::socket socket_{context_};
  std::optional<asio::ssl::stream<tcp::socket&>> tls_;
  beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::string_body>> stream_;
  std::string pending_; ///< of the stream, not yet a whole line
  std::atomic<bool> interrupted_ = false;
};

} // namespace

result<std::unique_ptr<etcd_connection>> make_etcd_connection(const etcd_endpoint& endpoint,
                                                              std::shared_ptr<etcd_trust> trust) {
  CANDOR_ASSERT(!endpoint.tls || trust);
  try {
    return std::make_unique<connection>(endpoint, std::move(trust));
  } catch (const std::exception& e) {
    return fail(errc::unavailable, e.what());
  }
}

} // namespace candor::coordination
