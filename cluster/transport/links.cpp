#include "cluster/transport/links.hpp"

#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <caf/io/all.hpp>

#include "cluster/transport/address.hpp"
#include "cluster/transport/certificates.hpp"
#include "cluster/transport/frame_guard.hpp"
#include "cluster/transport/link_actor.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"

namespace candor::transport {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using tls_stream = asio::ssl::stream<tcp::socket>;
using local_stream = asio::local::stream_protocol;
using namespace std::chrono_literals;

/// GCC 12 destroys an aggregate that is handed to a coroutine by value inside a `co_await`
/// expression twice, and so for a temporary of `x ? co_await y : z`. Parameters are references,
/// pointers and classes with constructors.
template <class T>
using task = asio::awaitable<T>;

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr auto accept_pause = 50ms; ///< after the system refused a socket
constexpr auto drain_deadline = 2s; ///< for CAF to close its end
constexpr auto refused_log_every = 1s;
constexpr std::string_view room = "transport";

auto redirect(error_code& ec) {
  return asio::redirect_error(asio::use_awaitable, ec);
}

/// What `stats()` and the metrics say. Shared by all threads.
class ledger {
public:
  ledger()
    : links_{metrics::gauge("candor_transport_links", "Links that are up.")} {
    for (std::size_t i = 1; i < refusals; ++i) {
      auto reason = std::string{name_of(static_cast<refusal>(i))};
      refused_[i] = &metrics::counter("candor_transport_refused_total",
                                      "Links that did not come up, and why.", {{"reason", reason}});
    }
  }

  void refused(refusal why) {
    std::lock_guard guard{mutex_};
    ++stats_.refused[static_cast<std::size_t>(why)];
    refused_[static_cast<std::size_t>(why)]->Increment();
  }

  void up(const std::string& peer, bool is_up) {
    std::lock_guard guard{mutex_};
    stats_.peers[peer].up = is_up;
    is_up ? ++stats_.up : --stats_.up;
    is_up ? links_.Increment() : links_.Decrement();
  }

  void moved(const std::string& peer, std::uint64_t in, std::uint64_t out) {
    std::lock_guard guard{mutex_};
    auto& counted = stats_.peers[peer];
    counted.bytes_in += in;
    counted.bytes_out += out;
    bytes(peer, "in").Increment(static_cast<double>(in));
    bytes(peer, "out").Increment(static_cast<double>(out));
  }

  void half_open(std::size_t count) {
    std::lock_guard guard{mutex_};
    stats_.half_open = count;
  }

  void forget(const std::string& peer) {
    std::lock_guard guard{mutex_};
    stats_.peers.erase(peer);
  }

  link_stats read() const {
    std::lock_guard guard{mutex_};
    return stats_;
  }

private:
  prometheus::Counter& bytes(const std::string& peer, const char* direction) {
    auto& found = bytes_[{peer, direction}];
    if (!found)
      found = &metrics::counter("candor_transport_bytes_total", "Bytes of links, by peer.",
                                {{"peer", peer}, {"direction", direction}});
    return *found;
  }

  mutable std::mutex mutex_;
  link_stats stats_;
  prometheus::Gauge& links_;
  std::array<prometheus::Counter*, refusals> refused_{};
  std::map<std::pair<std::string, std::string>, prometheus::Counter*> bytes_;
};

/// A connection that is not a link yet. Whoever is too slow, or one too many, is closed; the
/// coroutine that waits on the stream then finds the reason here.
class attempt {
public:
  attempt(asio::io_context& io, tcp::socket socket, asio::ssl::context& tls)
    : stream{std::make_shared<tls_stream>(std::move(socket), tls)}
    , timer_{io} {}

  /// From now on there is so much time. Replaces an earlier deadline.
  static void limit(const std::shared_ptr<attempt>& a, std::chrono::milliseconds span,
                    refusal why) {
    a->timer_.expires_after(span);
    a->timer_.async_wait([a, why](error_code ec) {
      if (!ec)
        a->close(why);
    });
  }

  void close(refusal why) {
    if (closed_ == refusal::none)
      closed_ = why;
    error_code ignored;
    stream->lowest_layer().close(ignored);
    timer_.cancel();
  }

  /// The stream goes on as a link.
  void settle() { timer_.cancel(); }

  /// `otherwise` where nobody closed it.
  refusal reason(refusal otherwise) const { return closed_ == refusal::none ? otherwise : closed_; }
  bool open() const noexcept { return closed_ == refusal::none; }

  std::shared_ptr<tls_stream> stream;
  std::string peer; ///< once its hello was read

private:
  asio::steady_timer timer_;
  refusal closed_ = refusal::none;
};

using attempt_ptr = std::shared_ptr<attempt>;

/// Attempts that wait, bounded: the oldest gives way, so that a crowd of silent connections keeps
/// nobody out who says something.
class waiting_room {
public:
  explicit waiting_room(std::size_t places)
    : places_{places} {}

  void enter(attempt_ptr a) {
    if (inside_.size() == places_) {
      inside_.front()->close(refusal::too_many);
      inside_.pop_front();
    }
    inside_.push_back(std::move(a));
  }

  void leave(const attempt_ptr& a) { inside_.remove(a); }

  void close_all() {
    for (const auto& a : inside_)
      a->close(refusal::no_connection);
  }

  std::size_t size() const noexcept { return inside_.size(); }

  auto begin() const { return inside_.begin(); }
  auto end() const { return inside_.end(); }

private:
  std::size_t places_;
  std::list<attempt_ptr> inside_;
};

task<bool> write_frame(tls_stream& stream, std::string body) {
  error_code ec;
  auto bytes = frame(body);
  co_await asio::async_write(stream, asio::buffer(bytes), redirect(ec));
  co_return !ec;
}

/// `heard` says whether anything came at all.
task<std::optional<std::string>> read_frame(tls_stream& stream, bool& heard) {
  error_code ec;
  std::string bytes(frame_head_bytes, '\0');
  heard = co_await asio::async_read(stream, asio::buffer(bytes), redirect(ec)) > 0;
  auto size = ec ? std::nullopt : frame_body_bytes(bytes);
  if (!size)
    co_return std::nullopt;
  bytes.resize(*size);
  co_await asio::async_read(stream, asio::buffer(bytes), redirect(ec));
  if (ec)
    co_return std::nullopt;
  co_return bytes;
}

class core;

/// TLS on one side, CAF's socketpair on the other. Lives on the network thread.
struct link {
  link(std::shared_ptr<core> owner, asio::io_context& io, std::string peer_name,
       std::uint64_t peer_incarnation, std::shared_ptr<tls_stream> wire)
    : house{std::move(owner)}
    , peer{std::move(peer_name)}
    , incarnation{peer_incarnation}
    , stream{std::move(wire)}
    , local{io}
    , drain{io}
    , over{io, asio::steady_timer::time_point::max()} {}

  std::shared_ptr<core> house; ///< first: owns what the others run on
  std::string peer;
  std::uint64_t incarnation;
  std::shared_ptr<tls_stream> stream;
  local_stream::socket local;
  asio::steady_timer drain;
  asio::steady_timer over; ///< cancelled whenever one of the next three changes
  int pumps = 0;
  bool actor_ended = false;
  bool removed = false;
  bool dropped = false;
  bool came_up = false;
  caf::actor actor;

  /// Ends the link: TLS at once; CAF's end once CAF has closed it too.
  void drop(const std::string& why) {
    if (dropped)
      return;
    dropped = true;
    log::info(room, "link dropped peer={}: {}", peer, why);
    error_code ignored;
    stream->lowest_layer().close(ignored);
    local.cancel(ignored);
    caf::anon_send(actor, drop_atom_v, why);
  }
};

using link_ptr = std::shared_ptr<link>;

struct peer_state {
  peer_state(asio::io_context& io, std::string peer_name, address peer_at)
    : name{std::move(peer_name)}
    , at{std::move(peer_at)}
    , pause{io} {}

  std::string name;
  address at;
  asio::steady_timer pause; ///< before the next dial
  bool wanted = true;
  attempt_ptr dialing;
  std::uint64_t newest_incarnation = 0;
  refusal last_refusal = refusal::none; ///< so that a dead peer is not logged with each dial
};

using peer_ptr = std::shared_ptr<peer_state>;

/// Everything below runs on one thread, which runs `io_`; the callers of `links` post to it.
class core : public std::enable_shared_from_this<core> {
public:
  core(caf::actor_system& system, caf::actor door, link_options options, link_callbacks callbacks,
       asio::ssl::context tls)
    : system_{system}
    , broker_{protocol_broker(system)}
    , door_{std::move(door)}
    , options_{std::move(options)}
    , callbacks_{std::move(callbacks)}
    , tls_{std::move(tls)} {}

  result<void> listen(const address& at) {
    error_code ec;
    auto host = asio::ip::make_address(at.host, ec);
    if (ec)
      return fail(errc::config_invalid, at.host + " is not the number of an address");
    tcp::endpoint endpoint{host, at.port};
    acceptor_.open(endpoint.protocol(), ec);
    if (!ec)
      acceptor_.set_option(tcp::acceptor::reuse_address{true}, ec);
    if (!ec)
      acceptor_.bind(endpoint, ec);
    if (!ec)
      acceptor_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
      return fail(errc::io_failed, "listening at " + options_.listen + ": " + ec.message());
    port_ = acceptor_.local_endpoint(ec).port();
    asio::co_spawn(io_, accept(shared_from_this()), asio::detached);
    return {};
  }

  void run() { io_.run(); }

  std::uint16_t port() const noexcept { return port_; }
  link_stats stats() const { return ledger_.read(); }

  template <class F>
  void post(F f) {
    asio::post(io_, std::move(f));
  }

  void set_peers(const std::map<std::string, address>& wanted) {
    if (stopping_)
      return;
    for (auto it = peers_.begin(); it != peers_.end();) {
      if (wanted.contains(it->first)) {
        ++it;
        continue;
      }
      let_go(*it->second, "it is no peer any more");
      ledger_.forget(it->first);
      it = peers_.erase(it);
    }
    for (const auto& [name, at] : wanted) {
      if (name == options_.name)
        continue;
      auto& known = peers_[name];
      if (known) {
        known->at = at;
        continue;
      }
      known = std::make_shared<peer_state>(io_, name, at);
      if (options_.name < name)
        asio::co_spawn(io_, keep_dialed(shared_from_this(), known), asio::detached);
    }
  }

  /// After this, `run` returns as soon as every link has ended.
  void stop() {
    if (std::exchange(stopping_, true))
      return;
    error_code ignored;
    acceptor_.close(ignored);
    accept_pause_.cancel();
    half_open_.close_all();
    greeting_.close_all();
    for (const auto& [name, peer] : peers_)
      let_go(*peer, "this node stops");
    peers_.clear();
    work_.reset();
  }

  /// What only a running actor system has use for.
  void release() {
    broker_ = nullptr;
    door_ = nullptr;
    callbacks_ = {};
  }

private:
  hello myself() const {
    hello h;
    h.cluster = options_.cluster;
    h.node = options_.name;
    h.incarnation = options_.incarnation;
    return h;
  }

  peer_ptr find_peer(const std::string& name) const {
    auto it = peers_.find(name);
    return it == peers_.end() ? nullptr : it->second;
  }

  void let_go(peer_state& peer, const char* why) {
    peer.wanted = false;
    peer.pause.cancel();
    if (peer.dialing)
      peer.dialing->close(refusal::no_connection);
    if (auto it = links_.find(peer.name); it != links_.end())
      it->second->drop(why);
  }

  // Dialing

  static task<void> keep_dialed(std::shared_ptr<core> self, peer_ptr peer) {
    auto pause = self->options_.redial_first;
    while (peer->wanted) {
      auto made = co_await dial(self, peer);
      if (made) {
        co_await live(made, true);
        if (made->came_up)
          pause = self->options_.redial_first;
      }
      if (!peer->wanted)
        break;
      error_code ignored;
      peer->pause.expires_after(pause);
      co_await peer->pause.async_wait(redirect(ignored));
      pause = std::min(2 * pause, self->options_.redial_most);
    }
  }

  static task<link_ptr> dial(std::shared_ptr<core> self, peer_ptr peer) {
    // A link to it may still be draining, when it was taken out of the set of peers and put back.
    co_await wait_until_unlinked(self, peer->name);
    if (!peer->wanted)
      co_return nullptr;
    auto a = std::make_shared<attempt>(self->io_, tcp::socket{self->io_}, self->tls_);
    peer->dialing = a;
    hello theirs;
    auto why = co_await greet(self, peer, a, theirs);
    peer->dialing = nullptr;
    a->settle();
    if (why == refusal::none && a->open() && peer->wanted) {
      peer->last_refusal = refusal::none;
      peer->newest_incarnation = theirs.incarnation;
      co_return self->make_link(theirs, a);
    }
    why = a->reason(why);
    a->close(why);
    if (peer->wanted) {
      self->ledger_.refused(why);
      if (std::exchange(peer->last_refusal, why) != why)
        log::warn(room, "no link to peer={} at {}:{} reason={}", peer->name, peer->at.host,
                  peer->at.port, name_of(why));
    }
    co_return nullptr;
  }

  static task<refusal> greet(std::shared_ptr<core> self, peer_ptr peer, attempt_ptr a,
                             hello& theirs) {
    error_code ec;
    attempt::limit(a, self->options_.connect_deadline, refusal::no_connection);
    auto endpoint = co_await find_endpoint(self, peer);
    if (!endpoint || !a->open())
      co_return refusal::no_connection;
    co_await a->stream->lowest_layer().async_connect(*endpoint, redirect(ec));
    if (ec || !a->open())
      co_return refusal::no_connection;
    a->stream->lowest_layer().set_option(tcp::no_delay{true}, ec);

    attempt::limit(a, self->options_.handshake_deadline, refusal::too_slow);
    co_await a->stream->async_handshake(asio::ssl::stream_base::client, redirect(ec));
    if (ec)
      co_return refusal::tls_failed;
    bool heard = false;
    auto said = encode(self->myself());
    if (!co_await write_frame(*a->stream, std::move(said)))
      co_return refusal::tls_failed;
    auto bytes = co_await read_frame(*a->stream, heard);
    // In TLS 1.3 the side that dials is through before the other has looked at its certificate: a
    // refusal of that shows here, as a connection that ends without a word.
    if (!bytes)
      co_return heard ? refusal::malformed : refusal::tls_failed;
    auto heard_answer = decode_answer(*bytes);
    if (!heard_answer)
      co_return refusal::malformed;
    if (heard_answer->verdict != refusal::none)
      co_return heard_answer->verdict;
    theirs = heard_answer->self;
    expectation e;
    e.cluster = self->options_.cluster;
    e.dialed_node = peer->name;
    e.newest_incarnation = peer->newest_incarnation;
    if (peer_carries_name(a->stream->native_handle(), theirs.node))
      e.certified_node = theirs.node;
    co_return judge(theirs, e);
  }

  static task<std::optional<tcp::endpoint>> find_endpoint(std::shared_ptr<core> self,
                                                          peer_ptr peer) {
    auto at = peer->at; // may be set anew meanwhile
    error_code ec;
    auto number = asio::ip::make_address(at.host, ec);
    if (!ec)
      co_return tcp::endpoint{number, at.port};
    tcp::resolver resolver{self->io_};
    auto found = co_await resolver.async_resolve(at.host, std::to_string(at.port), redirect(ec));
    if (ec || found.empty())
      co_return std::nullopt;
    co_return found.begin()->endpoint();
  }

  // Accepting

  static task<void> accept(std::shared_ptr<core> self) {
    while (!self->stopping_) {
      error_code ec;
      tcp::socket socket{self->io_};
      co_await self->acceptor_.async_accept(socket, redirect(ec));
      if (self->stopping_)
        break;
      if (ec) {
        self->accept_pause_.expires_after(accept_pause);
        co_await self->accept_pause_.async_wait(redirect(ec));
        continue;
      }
      asio::co_spawn(self->io_, receive(self, std::move(socket)), asio::detached);
    }
  }

  static task<void> receive(std::shared_ptr<core> self, tcp::socket socket) {
    error_code ec;
    auto from = socket.remote_endpoint(ec);
    socket.set_option(tcp::no_delay{true}, ec);
    auto a = std::make_shared<attempt>(self->io_, std::move(socket), self->tls_);
    attempt::limit(a, self->options_.handshake_deadline, refusal::too_slow);

    self->half_open_.enter(a);
    self->ledger_.half_open(self->half_open_.size());
    co_await a->stream->async_handshake(asio::ssl::stream_base::server, redirect(ec));
    self->half_open_.leave(a);
    self->ledger_.half_open(self->half_open_.size());

    auto why = refusal::tls_failed;
    hello theirs;
    if (!ec && a->open() && !self->stopping_) {
      self->greeting_.enter(a);
      why = co_await be_greeted(self, a, theirs);
      self->greeting_.leave(a);
    }
    a->settle();
    if (why == refusal::none && a->open() && self->find_peer(theirs.node)) {
      co_await live(self->make_link(theirs, a), false);
      co_return;
    }
    why = a->reason(why);
    a->close(why);
    self->ledger_.refused(why);
    self->log_refused(*a, from, why);
  }

  /// What any stranger can cause is for the curious; what takes a certificate is worth a line, now
  /// and then.
  void log_refused(const attempt& a, const tcp::endpoint& from, refusal why) {
    auto now = std::chrono::steady_clock::now();
    auto text = "refused peer=" + (a.peer.empty() ? "?" : a.peer) +
                " from=" + from.address().to_string() + " reason=" + std::string{name_of(why)};
    if (a.peer.empty() || now < refused_logged_ + refused_log_every)
      return log::debug(room, "{}", text);
    refused_logged_ = now;
    log::warn(room, "{}", text);
  }

  static task<refusal> be_greeted(std::shared_ptr<core> self, attempt_ptr a, hello& theirs) {
    bool heard = false;
    auto bytes = co_await read_frame(*a->stream, heard);
    auto said = bytes ? decode_hello(*bytes) : std::nullopt;
    if (!said)
      co_return refusal::malformed;
    theirs = *said;
    a->peer = theirs.node;
    answer reply;
    reply.self = self->myself();
    reply.verdict = self->judge_caller(theirs, *a);
    if (reply.verdict == refusal::none) {
      self->find_peer(theirs.node)->newest_incarnation = theirs.incarnation;
      for (const auto& other : self->greeting_)
        if (other != a && other->peer == theirs.node)
          other->close(refusal::too_many);
      if (auto it = self->links_.find(theirs.node); it != self->links_.end())
        it->second->drop("a newer connection of its peer replaces it");
      co_await wait_until_unlinked(self, theirs.node);
      if (!a->open())
        co_return refusal::too_slow;
      reply.verdict = self->judge_caller(theirs, *a); // things may have changed meanwhile
    }
    auto verdict = reply.verdict;
    auto bytes_out = encode(reply);
    if (!co_await write_frame(*a->stream, std::move(bytes_out)) && verdict == refusal::none)
      co_return refusal::no_connection;
    co_return verdict;
  }

  refusal judge_caller(const hello& theirs, attempt& a) const {
    auto peer = find_peer(theirs.node);
    expectation e;
    e.cluster = options_.cluster;
    e.known = peer != nullptr;
    e.may_dial = theirs.node < options_.name;
    e.newest_incarnation = peer ? peer->newest_incarnation : 0;
    if (peer_carries_name(a.stream->native_handle(), theirs.node))
      e.certified_node = theirs.node;
    return judge(theirs, e);
  }

  // Living

  link_ptr make_link(const hello& theirs, const attempt_ptr& a) {
    auto made =
        std::make_shared<link>(shared_from_this(), io_, theirs.node, theirs.incarnation, a->stream);
    links_[made->peer] = made;
    return made;
  }

  static task<void> wait_until_unlinked(std::shared_ptr<core> self, std::string peer) {
    for (;;) {
      auto it = self->links_.find(peer);
      if (it == self->links_.end())
        co_return;
      auto old = it->second;
      error_code ignored;
      co_await old->over.async_wait(redirect(ignored));
    }
  }

  /// From the splice until nothing of the link is left on this node, in CAF neither.
  static task<void> live(link_ptr l, bool dialed) {
    auto self = l->house;
    int ends[2];
    error_code ec;
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      log::error(room, "no socketpair for peer={}: {}", l->peer,
                 error_code{errno, boost::system::system_category()}.message());
      l->stream->lowest_layer().close(ec);
      self->remove(l);
      co_return;
    }
    l->local.assign(local_stream{}, ends[0], ec);
    l->actor = self->spawn_actor(l, ends[1], dialed);
    l->pumps = 2;
    asio::co_spawn(self->io_, pump_in(l), asio::detached);
    asio::co_spawn(self->io_, pump_out(l), asio::detached);

    while (l->pumps > 0)
      co_await l->over.async_wait(redirect(ec));
    caf::anon_send(l->actor, drained_atom_v);
    while (!l->actor_ended)
      co_await l->over.async_wait(redirect(ec));
    l->actor = nullptr;
    self->remove(l);
  }

  void remove(const link_ptr& l) {
    links_.erase(l->peer);
    l->over.cancel();
  }

  /// What the actor says comes from its own thread.
  caf::actor spawn_actor(const link_ptr& l, int fd, bool dialed) {
    link_events events;
    events.up = [l](const caf::strong_actor_ptr& door) {
      auto& house = *l->house;
      house.post([l] { l->came_up = true; });
      house.ledger_.up(l->peer, true);
      log::info(room, "link up peer={} incarnation={}", l->peer, l->incarnation);
      house.callbacks_.on_up(l->peer, l->incarnation, door);
    };
    events.down = [l](const std::string& why) {
      l->house->ledger_.up(l->peer, false);
      l->house->callbacks_.on_down(l->peer, why);
    };
    events.give_up = [l](std::string why) {
      l->house->post([l, why = std::move(why)] { l->drop(why); });
    };
    events.finished = [l] {
      l->house->post([l] {
        l->actor_ended = true;
        l->drop("the link's actor ended");
        l->over.cancel();
      });
    };
    link_timing timing{options_.handshake_deadline, options_.ping_every, options_.pings_missed};
    return spawn_link_actor(system_, broker_, fd, dialed, door_, timing, std::move(events));
  }

  static void pump_ended(link& l) {
    --l.pumps;
    l.over.cancel();
  }

  static task<void> pump_in(link_ptr l) {
    std::vector<unsigned char> buffer(buffer_bytes);
    frame_guard guard{limits::frame_bytes};
    error_code ec;
    while (!l->dropped) {
      auto n = co_await l->stream->async_read_some(asio::buffer(buffer), redirect(ec));
      if (ec) {
        l->drop("the connection ended: " + ec.message());
        break;
      }
      l->house->ledger_.moved(l->peer, n, 0);
      if (!guard.feed({buffer.data(), n})) {
        l->house->ledger_.refused(refusal::frame_too_large);
        l->drop("it announced a frame of " + std::to_string(guard.claimed_bytes()) + " bytes");
        break;
      }
      co_await asio::async_write(l->local, asio::buffer(buffer.data(), n), redirect(ec));
      if (ec)
        l->drop("CAF closed its end");
    }
    l->local.shutdown(local_stream::socket::shutdown_send, ec);
    pump_ended(*l);
  }

  /// Goes on after the link is dropped, into nowhere, until CAF has closed its end: that is how we
  /// learn that it has.
  static task<void> pump_out(link_ptr l) {
    std::vector<unsigned char> buffer(buffer_bytes);
    error_code ec;
    bool draining = false;
    while (l->local.is_open()) {
      if (l->dropped && !std::exchange(draining, true))
        start_drain(l);
      auto n = co_await l->local.async_read_some(asio::buffer(buffer), redirect(ec));
      if (ec == asio::error::operation_aborted)
        continue; // by `drop`, or by the drain's end
      if (ec) {
        l->drop("CAF closed its end");
        break;
      }
      if (l->dropped)
        continue;
      co_await asio::async_write(*l->stream, asio::buffer(buffer.data(), n), redirect(ec));
      if (ec)
        l->drop("the connection ended: " + ec.message());
      else
        l->house->ledger_.moved(l->peer, 0, n);
    }
    l->drain.cancel();
    pump_ended(*l);
  }

  static void start_drain(const link_ptr& l) {
    l->drain.expires_after(drain_deadline);
    l->drain.async_wait([l](error_code ec) {
      if (ec)
        return;
      log::error(room, "CAF does not close the link of peer={}", l->peer);
      error_code ignored;
      l->local.close(ignored);
    });
  }

  caf::actor_system& system_;
  caf::actor broker_;
  caf::actor door_;
  link_options options_;
  link_callbacks callbacks_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::ssl::context tls_;
  tcp::acceptor acceptor_{io_};
  asio::steady_timer accept_pause_{io_};
  std::uint16_t port_ = 0;
  ledger ledger_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point refused_logged_{};
  waiting_room half_open_{limits::half_open_links};
  waiting_room greeting_{limits::greeting_links};
  std::map<std::string, peer_ptr> peers_;
  std::map<std::string, link_ptr> links_; ///< until nothing of them is left
};

class running_links final : public links {
public:
  explicit running_links(std::shared_ptr<core> c)
    : core_{std::move(c)}
    , thread_{[c = core_] { c->run(); }} {}

  ~running_links() override { stop(); }

  result<void> set_peers(const std::map<std::string, std::string>& peers) override {
    if (peers.size() > limits::peers + 1)
      return fail(errc::too_many,
                  "a cluster has at most " + std::to_string(limits::peers + 1) + " nodes");
    std::map<std::string, address> parsed;
    for (const auto& [name, at] : peers) {
      if (!is_node_name(name))
        return fail(errc::bad_value, name + " is not a node's name");
      CANDOR_TRY(where, parse_address(at));
      parsed[name] = where;
    }
    core_->post([c = core_, parsed = std::move(parsed)] { c->set_peers(parsed); });
    return {};
  }

  std::uint16_t port() const override { return core_->port(); }
  link_stats stats() const override { return core_->stats(); }

  void stop() override {
    if (!thread_.joinable())
      return;
    core_->post([c = core_] { c->stop(); });
    thread_.join();
    core_->release();
  }

private:
  std::shared_ptr<core> core_;
  std::thread thread_;
};

} // namespace

void configure(caf::actor_system_config& config) {
  config.load<caf::io::middleman>();
  config.set("middleman.workers", std::size_t{0});
  config.set("middleman.heartbeat-interval", caf::timespan{200ms});
  config.set("middleman.connection-timeout", caf::timespan{1s});
}

result<std::unique_ptr<links>> links::start(caf::actor_system& system, caf::actor door,
                                            link_options options, link_callbacks callbacks) {
  if (!is_node_name(options.name))
    return fail(errc::config_invalid, options.name + " is not a node's name");
  if (options.cluster.empty() || options.cluster.size() > limits::cluster_id_bytes)
    return fail(errc::config_invalid, "the cluster's id is empty or too long");
  CANDOR_TRY(at, parse_address(options.listen));
  CANDOR_TRY(tls, make_tls_context(options.ca, options.certificate, options.key));
  auto made = std::make_shared<core>(system, std::move(door), std::move(options),
                                     std::move(callbacks), std::move(tls));
  CANDOR_TRY_VOID(made->listen(at));
  return std::unique_ptr<links>{std::make_unique<running_links>(std::move(made))};
}

} // namespace candor::transport
