/// Nodes with real sockets and actor systems of their own in one process, the certificates for
/// them, and a wire that can be frozen.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "cluster/transport/links.hpp"

namespace candor::transport_tests {

using namespace std::chrono_literals;

/// CAF synchronizes by means that the thread sanitizer does not see, so that it takes a suppressed
/// report for each word of a message: long ones take it minutes.
#ifdef __SANITIZE_THREAD__
inline constexpr std::size_t bulk_divisor = 1024;
#else
inline constexpr std::size_t bulk_divisor = 1;
#endif

/// Polls; the deadline is generous, and only ever reached by a fault.
bool eventually(const std::function<bool()>& true_at_last);

/// A CA, and certificates by it. Made once a process with the openssl command line.
struct authority {
  std::filesystem::path ca;
  std::function<std::filesystem::path(const std::string& name)> certificate;
  std::function<std::filesystem::path(const std::string& name)> key;
};

/// n1, n2, n3 (a CN each), and "alternative", whose CN is "any" and whose SAN is n1.
const authority& our_authority();
/// The same names by another CA.
const authority& other_authority();

/// What peers ask in these tests.
using echo_handle = caf::typed_actor<caf::replies_to<std::string>::with<std::string>>;

/// The actor system of a node.
struct node_system_config : caf::actor_system_config {
  node_system_config();
};

/// One life of a node. Its door answers "<name>: <text>".
class test_node {
public:
  explicit test_node(const std::string& name, std::uint64_t incarnation = 1,
                     const std::function<void(transport::link_options&)>& change = {});
  ~test_node();

  std::string at() const { return "127.0.0.1:" + std::to_string(links_->port()); }
  transport::links& links() { return *links_; }
  caf::actor_system& system() { return *system_; }

  void set_peers(const std::map<std::string, std::string>& peers);
  bool is_up(const std::string& peer);
  bool comes_up(const std::string& peer) {
    return eventually([&] { return is_up(peer); });
  }
  bool goes_down(const std::string& peer) {
    return eventually([&] { return !is_up(peer); });
  }
  std::size_t ups(const std::string& peer);
  std::size_t downs(const std::string& peer);
  std::string last_why(const std::string& peer);
  std::uint64_t incarnation_of(const std::string& peer);
  /// The answer of the peer's door; "" where none came.
  std::string ask(const std::string& peer, const std::string& text);
  bool refuses(transport::refusal why) {
    return eventually([&] { return links_->stats().refused_for(why) > 0; });
  }

  /// As at the end of its process: everything of it goes.
  void end();

private:
  struct heard {
    std::size_t ups = 0;
    std::size_t downs = 0;
    std::uint64_t incarnation = 0;
    std::string why;
    caf::strong_actor_ptr door;
  };

  node_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
  caf::actor door_;
  std::mutex mutex_;
  std::map<std::string, heard> heard_;
  std::unique_ptr<transport::links> links_;
};

/// Two nodes know each other.
void introduce(test_node& a, const std::string& a_name, test_node& b, const std::string& b_name);

/// A plain TCP connection to 127.0.0.1 of the tests' own.
class plain_client {
public:
  explicit plain_client(std::uint16_t port);
  ~plain_client();
  plain_client(plain_client&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)} {}
  plain_client& operator=(plain_client&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  void send(std::string_view bytes);
  /// True once the other side has closed it.
  bool is_closed();

private:
  int fd_;
};

/// Speaks TLS and our hello by hand, and then whatever a test wants. Believes any server.
class certified_client {
public:
  /// The certificate of that name; "" shows none.
  certified_client(std::uint16_t port, const authority& by, const std::string& certificate);
  ~certified_client();

  /// False where TLS failed, as far as a client can tell.
  bool connected() const;
  /// What the answer says; `tls_failed` where none came.
  transport::refusal greet(const transport::hello& h);
  /// False once the other side has closed it.
  bool send(std::string_view bytes);
  /// Reads until the other side has closed it.
  void read_to_end();

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

/// As node n1 would say it in its first life.
transport::hello hello_of(const std::string& name, std::uint64_t incarnation = 1);

/// Carries bytes between two ports, until it is frozen: then both sides stay connected and hear
/// nothing, as when a machine vanishes.
class relay {
public:
  explicit relay(std::uint16_t to);
  ~relay();
  std::string at() const { return "127.0.0.1:" + std::to_string(port_); }
  /// Both sides see their connections end.
  void cut() { cut_ = true; }
  void freeze() { frozen_ = true; }
  void thaw() { frozen_ = false; }

private:
  void run();

  std::uint16_t to_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> frozen_{false};
  std::atomic<bool> cut_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

} // namespace candor::transport_tests
