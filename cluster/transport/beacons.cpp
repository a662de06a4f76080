#include "cluster/transport/beacons.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster/transport/address.hpp"
#include "cluster/transport/handshake.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"

namespace candor::transport {

namespace {

constexpr std::string_view room = "transport";
constexpr int realtime_priority = 1;
constexpr int niceness = -10;
constexpr int datagrams_at_once = 64; ///< then the schedule is looked at

constexpr std::array<std::string_view, beacon_losses> loss_names{
    "malformed", "unknown_sender", "forged", "misdirected", "too_large", "not_sent"};

std::string last_error() {
  return std::strerror(errno);
}

class descriptor {
public:
  explicit descriptor(int fd)
    : fd_{fd} {}
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const noexcept { return fd_; }

private:
  int fd_;
};

struct socket_address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// `flags` as of getaddrinfo: with AI_NUMERICHOST nothing is looked up.
std::optional<socket_address> look_up(const address& at, int family, int flags) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(at.host.c_str(), std::to_string(at.port).c_str(), &hints, &found) != 0)
    return std::nullopt;
  socket_address made;
  std::memcpy(&made.storage, found->ai_addr, found->ai_addrlen);
  made.bytes = found->ai_addrlen;
  ::freeaddrinfo(found);
  return made;
}

using peer_map = std::map<std::string, socket_address, std::less<>>;

/// Counts for `stats()` and the metrics at once.
class tally {
public:
  explicit tally(prometheus::Counter& metric)
    : metric_{metric} {}
  void add() {
    ++count_;
    metric_.Increment();
  }
  std::uint64_t count() const { return count_; }

private:
  std::atomic<std::uint64_t> count_{0};
  prometheus::Counter& metric_;
};

prometheus::Counter& beacon_counter(const char* direction) {
  return metrics::counter("candor_transport_beacons_total", "Beacons sent and heard.",
                          {{"direction", direction}});
}

class running_beacons final : public beacons {
public:
  running_beacons(const clock& time, beacon_options options, beacon_callbacks callbacks, int fd,
                  int wake, int family)
    : clock_{time}
    , seal_{options.secret, options.cluster}
    , options_{std::move(options)}
    , callbacks_{std::move(callbacks)}
    , socket_{fd}
    , wake_{wake}
    , family_{family} {
    for (auto name : loss_names)
      lost_.push_back(std::make_unique<tally>(
          metrics::counter("candor_transport_beacons_lost_total", "Datagrams that went no further.",
                           {{"reason", std::string{name}}})));
    options_.secret.fill(0); // the seal has its key
    thread_ = std::thread{[this] { run(); }};
  }

  ~running_beacons() override { stop(); }

  result<void> set_peers(const std::map<std::string, std::string>& peers) override {
    if (peers.size() > limits::peers + 1)
      return fail(errc::too_many,
                  "a cluster has at most " + std::to_string(limits::peers + 1) + " nodes");
    auto known = current_peers();
    auto made = std::make_shared<peer_map>();
    std::string missing;
    for (const auto& [name, at] : peers) {
      if (!is_node_name(name))
        return fail(errc::bad_value, name + " is not a node's name");
      CANDOR_TRY(where, parse_address(at));
      if (name == options_.name)
        continue;
      if (auto found = look_up(where, family_, 0)) {
        (*made)[name] = *found;
        continue;
      }
      if (auto before = known->find(name); before != known->end())
        (*made)[name] = before->second;
      missing += (missing.empty() ? "" : ", ") + at;
    }
    {
      std::lock_guard guard{mutex_};
      peers_ = std::move(made);
    }
    return missing.empty() ? result<void>{} : fail(errc::unavailable, "not found: " + missing);
  }

  std::uint16_t port() const override {
    sockaddr_storage at{};
    socklen_t bytes = sizeof at;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &bytes);
    // The port stands at the same place in both families.
    return ntohs(reinterpret_cast<const sockaddr_in*>(&at)->sin_port);
  }

  beacon_stats stats() const override {
    beacon_stats s;
    s.rounds = rounds_;
    s.sent = sent_.count();
    s.received = received_.count();
    for (std::size_t i = 0; i < beacon_losses; ++i)
      s.lost[i] = lost_[i]->count();
    return s;
  }

  void stop() override {
    if (!thread_.joinable())
      return;
    stopping_ = true;
    std::uint64_t one = 1;
    [[maybe_unused]] auto written = ::write(wake_.get(), &one, sizeof one);
    thread_.join();
  }

private:
  std::shared_ptr<const peer_map> current_peers() const {
    std::lock_guard guard{mutex_};
    return peers_;
  }

  void lose(beacon_loss why) { lost_[static_cast<std::size_t>(why)]->add(); }

  /// A beacon that waits behind work costs a lease. It goes on without, where the system says no.
  void ask_for_priority() const {
    sched_param wanted{};
    wanted.sched_priority = realtime_priority;
    if (::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &wanted) == 0)
      return;
    if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), niceness) == 0)
      return;
    log::info(room,
              "beacons run at ordinary priority: the system grants neither SCHED_FIFO nor "
              "nice {}",
              niceness);
  }

  void run() {
    ask_for_priority();
    auto due = clock_.monotonic();
    while (!stopping_) {
      auto now = clock_.monotonic();
      if (now >= due) {
        send_round(now);
        due = next_due(due, now, options_.every);
      }
      pollfd watched[]{{socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
      auto wait = std::max(due - clock_.monotonic(), millis{0});
      if (::poll(watched, 2, static_cast<int>(wait.count())) > 0 && watched[0].revents != 0)
        receive_some();
    }
  }

  void send_round(millis now) {
    auto peers = current_peers();
    for (const auto& [name, at] : *peers)
      send_all(name, at, callbacks_.compose(name, now));
    ++rounds_;
  }

  void send_all(const std::string& peer, const socket_address& at,
                const std::vector<std::string>& payloads) {
    for (const auto& payload : payloads) {
      if (payload.size() > limits::beacon_payload_bytes) {
        lose(beacon_loss::too_large);
        continue;
      }
      auto bytes = seal_.seal(options_.name, options_.incarnation, peer, payload);
      auto done = ::sendto(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                           at.get(), at.bytes);
      if (done < 0)
        lose(beacon_loss::not_sent);
      else
        sent_.add();
    }
  }

  void receive_some() {
    auto peers = current_peers();
    std::array<char, beacon_bytes> bytes;
    for (int i = 0; i < datagrams_at_once; ++i) {
      // With MSG_TRUNC the answer is the datagram's own length, so that a longer one shows.
      auto n = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
      if (n < 0)
        return;
      if (static_cast<std::size_t>(n) > bytes.size())
        lose(beacon_loss::malformed);
      else
        receive_one(*peers, {bytes.data(), static_cast<std::size_t>(n)});
    }
  }

  /// From the cheapest question to the dearest.
  void receive_one(const peer_map& peers, std::string_view datagram) {
    auto sender = beacon_seal::sender_of(datagram);
    if (!sender)
      return lose(beacon_loss::malformed);
    auto peer = peers.find(*sender);
    if (peer == peers.end())
      return lose(beacon_loss::unknown_sender);
    auto opened = seal_.open(datagram);
    if (!opened)
      return lose(beacon_loss::forged);
    if (opened->receiver != options_.name)
      return lose(beacon_loss::misdirected);
    received_.add();
    auto answers =
        callbacks_.receive(peer->first, opened->incarnation, opened->payload, clock_.monotonic());
    // To where the peer is known to be, never to wherever the datagram came from.
    send_all(peer->first, peer->second, answers);
  }

  const clock& clock_;
  beacon_seal seal_;
  beacon_options options_;
  beacon_callbacks callbacks_;
  descriptor socket_;
  descriptor wake_;
  int family_;
  mutable std::mutex mutex_;
  std::shared_ptr<const peer_map> peers_ = std::make_shared<peer_map>();
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> rounds_{0};
  tally sent_{beacon_counter("out")};
  tally received_{beacon_counter("in")};
  std::vector<std::unique_ptr<tally>> lost_; ///< by `beacon_loss`
  std::thread thread_;
};

} // namespace

std::string_view name_of(beacon_loss l) noexcept {
  return loss_names[static_cast<std::size_t>(l)];
}

result<std::unique_ptr<beacons>> beacons::start(const clock& time, beacon_options options,
                                                beacon_callbacks callbacks) {
  if (!is_node_name(options.name))
    return fail(errc::config_invalid, options.name + " is not a node's name");
  if (options.every < millis{1})
    return fail(errc::config_invalid, "beacons need a time between them");
  CANDOR_TRY(parsed, parse_address(options.listen));
  auto at = look_up(parsed, AF_UNSPEC, AI_NUMERICHOST);
  if (!at)
    return fail(errc::config_invalid, parsed.host + " is not the number of an address");
  auto family = static_cast<int>(at->storage.ss_family);
  auto fd = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || ::bind(fd, at->get(), at->bytes) != 0) {
    auto why = last_error();
    if (fd >= 0)
      ::close(fd);
    return fail(errc::io_failed, "beacons at " + options.listen + ": " + why);
  }
  auto wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) {
    auto why = last_error();
    ::close(fd);
    return fail(errc::io_failed, "beacons: " + why);
  }
  return std::unique_ptr<beacons>{std::make_unique<running_beacons>(
      time, std::move(options), std::move(callbacks), fd, wake, family)};
}

} // namespace candor::transport
