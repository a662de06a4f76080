#include "storage/base/operators_program.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace candor {

namespace {

constexpr int first_free_fd = STDERR_FILENO + 1;

struct spawn_settings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  spawn_settings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
  }
  ~spawn_settings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
  }
  spawn_settings(const spawn_settings&) = delete;
  spawn_settings& operator=(const spawn_settings&) = delete;
};

/// The same file under a number that is none of the three that the program gets, also where this
/// process has closed its own.
class lifted {
public:
  explicit lifted(int fd)
    : fd_{::fcntl(fd, F_DUPFD_CLOEXEC, first_free_fd)} {}
  ~lifted() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  lifted(const lifted&) = delete;
  lifted& operator=(const lifted&) = delete;
  int get() const noexcept { return fd_; }

private:
  int fd_;
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> made;
  for (const auto& t : texts)
    made.push_back(const_cast<char*>(t.c_str())); // as posix_spawn wants it; it changes nothing
  made.push_back(nullptr);
  return made;
}

} // namespace

/// posix_spawn rather than fork: this process has many threads, and what they held at a fork would
/// be held forever in the child.
result<std::unique_ptr<operators_program>>
operators_program::start(const std::vector<std::string>& words,
                         const std::vector<std::string>& environment, int input, int output) {
  lifted in{input}, out{output};
  if (in.get() < 0 || out.get() < 0)
    return fail(errc::io_failed, std::strerror(errno));
  spawn_settings with;
  posix_spawn_file_actions_adddup2(&with.files, in.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&with.files, out.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&with.files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  // Not every library marks its files to be closed (Boost.Asio's sockets are not).
  posix_spawn_file_actions_addclosefrom_np(&with.files, first_free_fd);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&with.how, &none);
  posix_spawnattr_setsigdefault(&with.how, &all);
  posix_spawnattr_setpgroup(&with.how, 0);
  posix_spawnattr_setflags(&with.how,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  auto arguments = pointers_to(words), variables = pointers_to(environment);
  pid_t pid = 0;
  if (auto number = ::posix_spawn(&pid, arguments.front(), &with.files, &with.how, arguments.data(),
                                  variables.data());
      number != 0)
    return fail(errc::io_failed, std::strerror(number));
  return std::unique_ptr<operators_program>{new operators_program{pid}};
}

std::vector<std::string> operators_program::plain_environment() {
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"};
}

operators_program::~operators_program() {
  // Not waited for yet: neither its number nor its group's can be another's.
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::optional<siginfo_t> operators_program::ended() const {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0)
    return std::nullopt;
  return info;
}

} // namespace candor
