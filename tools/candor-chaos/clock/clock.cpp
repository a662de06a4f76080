/// Loaded before everything else (LD_PRELOAD) into a node of a trial, so that its clocks can be set
/// and run at another rate while it runs. What holds stands in the file that CHAOS_CLOCK names
/// (tools/candor-chaos/clocks.py writes it); without one all clocks are the machine's.

#include <cstdint>
#include <cstdlib>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

struct orders {
  std::int64_t wall_offset_ns;
  std::int64_t drift_ns; ///< of the steady clocks, at `since_ns` of the machine's CLOCK_MONOTONIC
  std::int64_t since_ns;
  double rate;
};

using gettime = int (*)(clockid_t, timespec*);

gettime real_clock() {
  static auto found = reinterpret_cast<gettime>(::dlsym(RTLD_NEXT, "clock_gettime"));
  return found;
}

const volatile orders* told() {
  static const volatile orders* mapped = []() -> const volatile orders* {
    const char* file = std::getenv("CHAOS_CLOCK");
    auto fd = file ? ::open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
      return nullptr;
    auto* at = ::mmap(nullptr, sizeof(orders), PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<const volatile orders*>(at);
  }
  ();
  return mapped;
}

std::int64_t to_ns(const timespec& t) {
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void shift(timespec& t, std::int64_t by_ns) {
  auto ns = to_ns(t) + by_ns;
  t.tv_sec = ns / 1'000'000'000;
  t.tv_nsec = ns % 1'000'000'000;
}

} // namespace

extern "C" {

int clock_gettime(clockid_t which, timespec* to) noexcept {
  auto failed = real_clock()(which, to);
  const auto* now = told();
  if (failed != 0 || !now)
    return failed;
  if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) {
    shift(*to, now->wall_offset_ns);
  } else if (which == CLOCK_MONOTONIC || which == CLOCK_BOOTTIME || which == CLOCK_MONOTONIC_RAW ||
             which == CLOCK_MONOTONIC_COARSE) {
    timespec monotonic;
    real_clock()(CLOCK_MONOTONIC, &monotonic);
    auto gone = static_cast<double>(to_ns(monotonic) - now->since_ns);
    shift(*to, now->drift_ns + static_cast<std::int64_t>(gone * (now->rate - 1)));
  }
  return 0;
}

int gettimeofday(timeval* to, void*) noexcept {
  timespec now;
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0)
    return -1;
  to->tv_sec = now.tv_sec;
  to->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* to) noexcept {
  timespec now;
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0)
    return -1;
  if (to)
    *to = now.tv_sec;
  return now.tv_sec;
}
}
