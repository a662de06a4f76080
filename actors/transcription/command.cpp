#include "actors/transcription/command.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/base/operators_program.hpp"
#include "storage/base/wipe.hpp"

namespace candor::transcription {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto look_every = 50ms;
constexpr auto end_look_every = 5ms;
constexpr std::size_t piece_bytes = 64 * 1024;

tl::unexpected<error> failed(const char* what, int number) {
  return fail(errc::io_failed, fmt::format("{}: {}", what, std::strerror(number)));
}

class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd)
    : fd_{fd} {}
  descriptor(descriptor&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)} {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() { close(); }
  void close() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }
  int get() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }

private:
  int fd_ = -1;
};

struct pipe_ends {
  descriptor read, write;
};

result<pipe_ends> open_pipe() {
  std::array<int, 2> raw{};
  if (::pipe2(raw.data(), O_CLOEXEC) != 0)
    return failed("pipe", errno);
  return pipe_ends{descriptor{raw[0]}, descriptor{raw[1]}};
}

/// A program that does not read to the end is no reason for this process to end. Holds for this
/// thread, as long as it lives.
class no_broken_pipe {
public:
  no_broken_pipe() {
    sigemptyset(&only_);
    sigaddset(&only_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  ~no_broken_pipe() {
    timespec now{};
    while (::sigtimedwait(&only_, nullptr, &now) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  no_broken_pipe(const no_broken_pipe&) = delete;
  no_broken_pipe& operator=(const no_broken_pipe&) = delete;

private:
  sigset_t only_{}, before_{};
};

bool would_block() {
  return errno == EAGAIN || errno == EINTR;
}

/// The two ends of a run that this process holds.
struct conversation {
  descriptor to, from;
  std::string_view left; ///< of the input
  std::string answer{};

  ~conversation() { wipe(answer); }

  void write_more() {
    auto n = ::write(to.get(), left.data(), std::min(left.size(), piece_bytes));
    if (n > 0)
      left.remove_prefix(static_cast<std::size_t>(n));
    if (left.empty() || (n < 0 && !would_block()))
      to.close(); // it has all, or wants no more
  }

  result<void> read_more(std::size_t bytes_max) {
    std::array<char, 4096> piece;
    auto n = ::read(from.get(), piece.data(), piece.size());
    if (n < 0 && would_block())
      return {};
    if (n < 0)
      return failed("the command's answer cannot be read", errno);
    if (n == 0)
      from.close();
    auto got = static_cast<std::size_t>(n);
    if (answer.size() + got > bytes_max)
      return fail(errc::too_large, fmt::format("the command answers at most {} bytes", bytes_max));
    answer.append(piece.data(), got);
    sodium_memzero(piece.data(), got);
    return {};
  }
};

result<void> check_end(const siginfo_t& end) {
  if (end.si_code != CLD_EXITED)
    return fail(errc::io_failed, fmt::format("the command was ended by signal {}", end.si_status));
  if (end.si_status != 0)
    return fail(errc::io_failed, fmt::format("the command's exit code is {}", end.si_status));
  return {};
}

} // namespace

result<std::string> run(const command_run& command, const std::atomic<bool>& stopped) {
  auto until = steady_clock::now() + command.deadline;
  no_broken_pipe quiet;
  CANDOR_TRY(input, open_pipe());
  CANDOR_TRY(output, open_pipe());
  for (auto fd : {input.write.get(), output.read.get()})
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
      return failed("pipe", errno);
  auto program = operators_program::start(command.words, command.environment, input.read.get(),
                                          output.write.get());
  if (!program)
    return fail(errc::io_failed,
                fmt::format("the command cannot be started: {}", program.error().detail));
  input.read.close();
  output.write.close();

  conversation talk{std::move(input.write), std::move(output.read), command.input};
  talk.answer.reserve(command.answer_bytes_max); // it does not move, and leaves no copy behind
  if (talk.left.empty())
    talk.to.close();
  while (true) {
    auto left = until - steady_clock::now();
    if (stopped)
      return fail(errc::unavailable, "the node stops");
    if (left <= 0ms)
      return fail(errc::timed_out,
                  fmt::format("the command was not done in {} ms", command.deadline.count()));
    if (!talk.from.is_open()) {
      talk.to.close(); // it has said all that it will say
      if (auto end = (*program)->ended()) {
        CANDOR_TRY_VOID(check_end(*end));
        return std::move(talk.answer);
      }
      std::this_thread::sleep_for(end_look_every);
      continue;
    }
    // poll passes over a descriptor below 0.
    std::array<pollfd, 2> ends{pollfd{talk.to.get(), POLLOUT, 0},
                               pollfd{talk.from.get(), POLLIN, 0}};
    auto patience =
        std::min<milliseconds>(look_every, std::chrono::duration_cast<milliseconds>(left) + 1ms);
    if (::poll(ends.data(), ends.size(), static_cast<int>(patience.count())) < 0 && errno != EINTR)
      return failed("poll", errno);
    if (ends[0].revents != 0)
      talk.write_more();
    if (ends[1].revents != 0)
      CANDOR_TRY_VOID(talk.read_more(command.answer_bytes_max));
  }
}

} // namespace candor::transcription
