/// candord: one node. Reads its configuration, starts the rooms, says where it listens, and serves
/// until SIGTERM, SIGINT or an operator's `node stop`.

#include <csignal>
#include <cstdio>
#include <iostream>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "actors/supervision/config/config.hpp"
#include "actors/supervision/node.hpp"
#include "storage/base/log.hpp"

namespace {

using namespace candor;

int complain(const error& e) {
  std::cerr << "candord: " << e.to_string() << "\n  " << info(e.code).remedy << '\n';
  return 1;
}

/// A core file would hold what people said, and keys. (The limit alone does not bind a system that
/// pipes core files to a program.)
void leave_no_core_file() {
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0);
}

/// Waits for a signal or for the node's own wish to end.
class end_of_service {
public:
  end_of_service() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr); // before any thread: all inherit it
    signal_fd_ = ::signalfd(-1, &signals_, SFD_CLOEXEC);
    wish_fd_ = ::eventfd(0, EFD_CLOEXEC);
  }
  ~end_of_service() {
    ::close(signal_fd_);
    ::close(wish_fd_);
  }

  /// From any thread.
  void ask(result<void> how) {
    if (!how) {
      std::lock_guard guard{mutex_};
      failed_ = how.error();
    }
    std::uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(wish_fd_, &one, sizeof one);
  }

  std::optional<error> wait() {
    pollfd fds[] = {{signal_fd_, POLLIN, 0}, {wish_fd_, POLLIN, 0}};
    while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    std::lock_guard guard{mutex_};
    return failed_;
  }

private:
  sigset_t signals_;
  int signal_fd_ = -1;
  int wish_fd_ = -1;
  std::mutex mutex_;
  std::optional<error> failed_;
};

void print_banner(const config::node_config& c, const config::checked& files,
                  const supervision::node& node, bool shipped) {
  model::timeline policies;
  for (const auto& p : files.policies)
    static_cast<void>(policies.apply(p, node.now()));
  auto in_force = policies.in_force(node.now());
  fmt::print("Candor {} is ready\n", CANDOR_VERSION);
  fmt::print("  listens   {}\n", node.url());
  if (node.operators_url() != node.url())
    fmt::print("  operators {}\n", node.operators_url());
  fmt::print("  data      {}\n", std::filesystem::absolute(c.data).string());
  fmt::print("  clock     {} ({})\n", format_time(node.now()),
             c.settable_clock ? "settable" : "system");
  for (const auto& p : files.policies)
    fmt::print("  policy    {} {} effective {}{}\n", p.id, p.version, format_time(p.effective_at),
               in_force && in_force->version == p.version ? " (in force)" : "");
  if (shipped)
    fmt::print("  config    {} (shipped: reference policy and regions)\n", c.file.string());
  else
    fmt::print("  config    {}\n", c.file.string());
  if (c.keys.empty())
    fmt::print("  keys      none: everyone on this machine may do everything\n");
  if (!c.transcriber.empty())
    fmt::print("  voice     {}\n", c.transcriber.front());
  if (c.testing)
    fmt::print("  TESTING   this node may be told to misbehave and to lose data{}{}\n",
               c.testing_disk_faults.empty() ? "" : ", by ", c.testing_disk_faults.string());
  if (c.tls_certificate.empty())
    fmt::print("  TLS       off: reachable from this machine only\n");
  std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
  leave_no_core_file();
  end_of_service end;
  CLI::App app{"candord: one node of Candor.\n"
               "Example: candord --data /var/lib/candor --http 127.0.0.1:8080"};
  std::string file;
  app.add_option("--config", file, "configuration file (TOML)")->envname("CANDOR_CONFIG");
  app.set_version_flag("--version", fmt::format("candord {}", CANDOR_VERSION));
  std::map<std::string, std::string> given;
  for (const auto& p : config::properties()) {
    auto sentence = p.fallback.empty() ? p.sentence : p.sentence + " [" + p.fallback + "]";
    app.add_option_function<std::string>(
           p.flag(), [&given, name = p.name](const std::string& value) { given[name] = value; },
           sentence)
        ->envname(p.variable());
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }

  auto explicit_file = file.empty() ? std::nullopt : std::optional<std::filesystem::path>{file};
  auto config = config::load(explicit_file, config::shipped_folder(), given);
  if (!config)
    return complain(config.error());
  auto files = config::check(*config);
  if (!files)
    return complain(files.error());
  static const std::map<std::string, log::level> levels = {{"debug", log::level::debug},
                                                           {"info", log::level::info},
                                                           {"warn", log::level::warn},
                                                           {"error", log::level::error}};
  log::set_level(levels.at(config->log_level));
  for (const auto& sentence : config::warnings(*config))
    log::warn("config", "{}", sentence);

  auto node =
      supervision::start_node(*config, [&end](result<void> how) { end.ask(std::move(how)); });
  if (!node)
    return complain(node.error());
  print_banner(*config, *files, **node, !explicit_file);
  auto failed = end.wait();
  (*node)->stop();
  return failed ? complain(*failed) : 0;
}
