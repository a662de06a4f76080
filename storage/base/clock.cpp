#include "storage/base/clock.hpp"

#include <ctime>

namespace candor {

namespace {

millis read(clockid_t which) {
  timespec t{};
  ::clock_gettime(which, &t);
  return std::chrono::floor<millis>(std::chrono::seconds{t.tv_sec} +
                                    std::chrono::nanoseconds{t.tv_nsec});
}

class system_clock final : public clock {
public:
  timestamp now() const override { return timestamp{read(CLOCK_REALTIME)}; }
  millis monotonic() const override { return read(CLOCK_BOOTTIME); }
};

class settable_clock final : public clock {
public:
  settable_clock()
    : offset_{(read(CLOCK_REALTIME) - read(CLOCK_BOOTTIME)).count()} {}
  timestamp now() const override { return timestamp{monotonic() + millis{offset_}}; }
  millis monotonic() const override { return read(CLOCK_BOOTTIME); }
  bool settable() const override { return true; }
  result<void> set(timestamp t) override {
    offset_ = to_int(t) - monotonic().count();
    return {};
  }

private:
  std::atomic<std::int64_t> offset_;
};

} // namespace

std::unique_ptr<clock> make_system_clock() {
  return std::make_unique<system_clock>();
}
std::unique_ptr<clock> make_settable_clock() {
  return std::make_unique<settable_clock>();
}

} // namespace candor
