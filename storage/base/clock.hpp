/// The one door through which time enters. Everything that needs to know the time is handed a
/// `clock`. Guarantees: `monotonic()` never goes back and ignores every setting of the wall clock;
/// `now()` is UTC. Must never be bypassed: no other file reads the system's clock for a decision.
#pragma once

#include <atomic>
#include <memory>

#include "storage/base/time.hpp"

namespace candor {

class clock {
public:
  virtual ~clock() = default;

  /// Wall time.
  virtual timestamp now() const = 0;

  /// Time since an arbitrary start, from CLOCK_BOOTTIME: goes on while the machine sleeps.
  virtual millis monotonic() const = 0;

  /// True where `set` works.
  virtual bool settable() const { return false; }

  /// Makes `now()` go on from `t`. Error: `clock_not_settable`.
  virtual result<void> set(timestamp) { return fail(errc::clock_not_settable); }
};

/// The machine's clock.
std::unique_ptr<clock> make_system_clock();

/// Runs at the machine's speed from wherever it was last set; starts at the machine's time.
/// For the playground: a campaign of months is played in minutes.
std::unique_ptr<clock> make_settable_clock();

/// Moves only when told to. For tests.
class manual_clock final : public clock {
public:
  explicit manual_clock(timestamp start)
    : now_{to_int(start)} {}
  timestamp now() const override { return from_int(now_); }
  millis monotonic() const override { return millis{monotonic_}; }
  bool settable() const override { return true; }
  result<void> set(timestamp t) override {
    now_ = to_int(t);
    return {};
  }
  /// Both times go on.
  void advance(millis span) {
    now_ += span.count();
    monotonic_ += span.count();
  }

private:
  std::atomic<std::int64_t> now_;
  std::atomic<std::int64_t> monotonic_{0};
};

} // namespace candor
