/// A real etcd of one or several members: child processes on loopback with free ports and folders
/// of their own, which end with this object (or with the thread that started them). Start members
/// from one thread that lives as long.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/coordination/etcd_coordinator.hpp"
#include "tests/support/temporary_folder.hpp"

namespace candor::test {

/// A certificate authority and one certificate without a common name, good for servers and clients
/// on 127.0.0.1, made by openssl in this folder.
coordination::etcd_tls make_authority(const std::filesystem::path& folder);

class etcd_cluster {
public:
  /// False: no etcd here; say so and skip.
  static bool is_installed();

  /// Starts the members and waits until they agree. With `tls`, clients must show a certificate.
  /// Throws with the members' logs if they do not come up.
  explicit etcd_cluster(std::size_t members, std::optional<coordination::etcd_tls> tls = {});
  ~etcd_cluster();
  etcd_cluster(const etcd_cluster&) = delete;
  etcd_cluster& operator=(const etcd_cluster&) = delete;

  std::size_t size() const noexcept { return members_.size(); }
  std::string endpoint(std::size_t member) const;

  /// All endpoints, beginning with `first`.
  coordination::etcd_options options(std::string prefix, std::size_t first = 0) const;

  void start(std::size_t member); ///< again, with its old data
  void kill(std::size_t member);  ///< with SIGKILL
  void stop(std::size_t member);  ///< with SIGSTOP
  void go_on(std::size_t member); ///< with SIGCONT

  /// Waits until those that run have a leader, and answers which it is. Throws after a minute.
  std::size_t leader();

  /// Forgets every revision before the present one.
  void compact();

private:
  struct member {
    std::uint16_t client_port = 0;
    std::uint16_t peer_port = 0;
    pid_t pid = 0; ///< 0: does not run
    bool stopped = false;
  };

  std::filesystem::path log_of(std::size_t member) const;
  std::optional<std::string> ask(std::size_t member, std::string_view target, std::string body);
  bool all_run();
  void end_all();

  temporary_folder folder_;
  std::optional<coordination::etcd_tls> tls_;
  std::vector<member> members_;
};

} // namespace candor::test
