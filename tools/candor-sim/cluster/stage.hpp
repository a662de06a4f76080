/// Virtual time for real actors: one actor system under CAF's test coordinator, in which a seed
/// chooses which ready actor handles its next message, and time jumps to the next timer when none
/// is ready.
///
/// Guarantees: the same seed and the same calls give the same run, to the last message; `hash` is
/// over every message handled (when, by whom, of which type). An actor belongs to the node in whose
/// name it was made, and its children with it: nodes can be paused and killed whole. Must never ask
/// a clock or a random device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"

namespace candor::sim {

/// Nobody's: clients, the simulator's own.
inline constexpr int no_node = -1;

class stage {
public:
  explicit stage(std::uint64_t seed);
  /// Every actor must have been told to end.
  ~stage();
  stage(const stage&) = delete;

  caf::actor_system& system() { return *system_; }
  std::int64_t now_us() const { return now_us_; }

  /// The seed's numbers, for all but the choice of the next actor.
  rng& chance() { return chance_; }
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : chance_.next() % n; }
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(most - least) + 1));
  }
  bool happens(double share) {
    return static_cast<double>(chance_.next() >> 11) < share * 9007199254740992.0;
  }

  void at(std::int64_t when_us, std::function<void()> what);
  void after(std::int64_t span_us, std::function<void()> what) {
    at(now_us_ + span_us, std::move(what));
  }

  /// Runs what is due until then. What is due later stays.
  void run_until(std::int64_t until_us);
  /// Ends `run_until` early.
  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  /// What is made within `what` belongs to the node.
  void in_the_name_of(int node, const std::function<void()>& what);
  void pause(int node, bool paused);
  /// Its actors are gone when this returns, with all that waited in their mailboxes.
  void kill(int node, const std::vector<caf::actor>& actors);

  void mix(std::uint64_t x) {
    hash_ = (hash_ ^ x) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 29;
  }
  void mix(std::string_view bytes);
  std::uint64_t hash() const { return hash_; }
  std::uint64_t messages() const { return messages_; }

  /// Where set: told of each message that is about to be handled.
  std::function<void(int node, const std::string& actor, const std::string& message)> on_message;

private:
  struct event {
    std::int64_t at_us;
    std::uint64_t number;
    std::function<void()> what;
  };
  static bool later(const event& a, const event& b) {
    return a.at_us != b.at_us ? a.at_us > b.at_us : a.number > b.number;
  }

  bool run_one();
  void run_front();
  int node_of(const caf::resumable* job) const;
  void own_new(int node);
  void go_to(std::int64_t at_us);

  std::unique_ptr<caf::actor_system_config> config_;
  std::unique_ptr<caf::actor_system> system_;
  caf::scheduler::test_coordinator* jobs_ = nullptr;
  seeded_rng order_, chance_;
  std::int64_t now_us_ = 0;
  std::vector<event> events_; ///< a heap
  std::uint64_t numbers_ = 0;
  std::vector<int> owners_; ///< by actor id
  std::vector<bool> paused_;
  std::size_t paused_count_ = 0;
  bool stopped_ = false;
  std::uint64_t hash_ = 0x6a09e667f3bcc908;
  std::uint64_t messages_ = 0;
};

/// A node's clock: its wall clock is off by some, and it runs a little too fast or too slow.
class stage_clock final : public clock {
public:
  /// `ppm`: of the rate, above or below.
  stage_clock(const stage& time, timestamp start, millis off, std::int64_t ppm)
    : time_{time}
    , start_{start + off}
    , ppm_{ppm} {}
  timestamp now() const override { return start_ + offset_ + monotonic(); }
  millis monotonic() const override {
    return millis{(time_.now_us() + time_.now_us() * ppm_ / 1'000'000) / 1000};
  }
  void step_wall(millis by) { offset_ += by; }

private:
  const stage& time_;
  timestamp start_;
  millis offset_{0};
  std::int64_t ppm_;
};

/// libsodium's random bytes come from the seed from here on: keys of persons, nonces.
void seed_sodium(std::uint64_t seed);

} // namespace candor::sim
