#include "tools/candor-sim/cluster/stage.hpp"

#include <algorithm>

#include <sodium.h>

#include "actors/messages/messages.hpp"

namespace candor::sim {

namespace {

struct stage_config : caf::actor_system_config {
  stage_config() {
    add_message_types<caf::id_block::candor_transport>();
    add_message_types<caf::id_block::candor_cluster>();
    add_message_types<caf::id_block::candor_membership>();
    add_message_types<caf::id_block::candor>();
    set("scheduler.policy", caf::atom("testing"));
  }
};

seeded_rng sodium_numbers{0};

std::uint32_t sodium_random() {
  return static_cast<std::uint32_t>(sodium_numbers.next());
}
void sodium_fill(void* to, std::size_t bytes) {
  auto out = static_cast<unsigned char*>(to);
  for (std::size_t i = 0; i < bytes; i += 8) {
    auto bits = sodium_numbers.next();
    for (std::size_t k = i; k < std::min(bytes, i + 8); ++k, bits >>= 8)
      out[k] = static_cast<unsigned char>(bits);
  }
}
randombytes_implementation from_seed{[] { return "seed"; }, sodium_random, nullptr, nullptr,
                                     sodium_fill,           nullptr};

} // namespace

void seed_sodium(std::uint64_t seed) {
  randombytes_set_implementation(&from_seed);
  CANDOR_ASSERT(sodium_init() >= 0);            // takes some numbers, the first time
  (void)to_string(*user_id::parse("somebody")); // and so does this
  sodium_numbers = seeded_rng{seed};
}

stage::stage(std::uint64_t seed)
  : config_{std::make_unique<stage_config>()}
  , system_{std::make_unique<caf::actor_system>(*config_)}
  , jobs_{&dynamic_cast<caf::scheduler::test_coordinator&>(system_->scheduler())}
  , order_{seed * 2 + 1}
  , chance_{seed} {
  own_new(no_node);
}

stage::~stage() {
  events_.clear();
  jobs_->run();
  system_.reset();
}

void stage::at(std::int64_t when_us, std::function<void()> what) {
  events_.push_back({std::max(when_us, now_us_), ++numbers_, std::move(what)});
  std::ranges::push_heap(events_, later);
}

void stage::own_new(int node) {
  owners_.resize(system_->latest_actor_id() + 1, node);
}

int stage::node_of(const caf::resumable* job) const {
  auto actor = dynamic_cast<const caf::abstract_actor*>(job);
  return actor && actor->id() < owners_.size() ? owners_[actor->id()] : no_node;
}

void stage::in_the_name_of(int node, const std::function<void()>& what) {
  own_new(no_node);
  what();
  own_new(node);
}

void stage::pause(int node, bool paused) {
  auto i = static_cast<std::size_t>(node);
  if (paused_.size() <= i)
    paused_.resize(i + 1);
  if (paused_[i] != paused)
    paused_count_ += paused ? 1 : -1;
  paused_[i] = paused;
}

void stage::kill(int node, const std::vector<caf::actor>& actors) {
  for (const auto& a : actors)
    caf::anon_send_exit(a, caf::exit_reason::kill);
  // What they tell each other as they end, none of them hears.
  for (;;) {
    auto job = std::ranges::find_if(jobs_->jobs, [&](auto j) { return node_of(j) == node; });
    if (job == jobs_->jobs.end())
      break;
    std::iter_swap(job, jobs_->jobs.begin());
    jobs_->run_once();
    own_new(node);
  }
}

void stage::run_front() {
  auto job = jobs_->jobs.front();
  auto node = node_of(job);
  if (auto actor = dynamic_cast<caf::scheduled_actor*>(job)) {
    mix(actor->id());
    mix(static_cast<std::uint64_t>(now_us_));
    if (auto next = actor->mailbox().peek()) {
      mix(next->content().type_token());
      if (on_message)
        on_message(node, actor->name(), caf::to_string(next->content()));
    }
  }
  ++messages_;
  own_new(no_node);
  jobs_->run_once();
  own_new(node);
}

bool stage::run_one() {
  auto& jobs = jobs_->jobs;
  if (jobs.empty())
    return false;
  auto i = order_.next() % jobs.size();
  if (paused_count_ > 0) {
    auto stands_still = [&](const caf::resumable* job) {
      auto node = node_of(job);
      return node >= 0 && static_cast<std::size_t>(node) < paused_.size() &&
             paused_[static_cast<std::size_t>(node)];
    };
    auto tried = std::size_t{0};
    while (tried < jobs.size() && stands_still(jobs[i])) {
      i = (i + 1) % jobs.size();
      ++tried;
    }
    if (tried == jobs.size())
      return false;
  }
  std::swap(jobs[0], jobs[i]);
  run_front();
  return true;
}

void stage::go_to(std::int64_t at_us) {
  if (at_us <= now_us_)
    return;
  auto span = std::chrono::microseconds{at_us - now_us_};
  now_us_ = at_us;
  jobs_->advance_time(span);
}

void stage::run_until(std::int64_t until_us) {
  while (!stopped_) {
    if (run_one())
      continue;
    auto next = until_us;
    if (!events_.empty())
      next = std::min(next, events_.front().at_us);
    auto& timers = jobs_->clock();
    if (timers.has_pending_timeout()) {
      using std::chrono::duration_cast, std::chrono::nanoseconds;
      auto left = duration_cast<nanoseconds>(timers.schedule().begin()->first - timers.now());
      next = std::min(next, now_us_ + std::max<std::int64_t>(0, (left.count() + 999) / 1000));
    }
    auto done = next >= until_us;
    if (next > now_us_)
      go_to(next);
    else
      jobs_->advance_time(caf::timespan{0}); // a timer that is due now
    auto ran = false;
    while (!events_.empty() && events_.front().at_us <= now_us_ && !stopped_) {
      std::ranges::pop_heap(events_, later);
      auto what = std::move(events_.back().what);
      events_.pop_back();
      what();
      ran = true;
      break; // what it made ready comes before the next
    }
    if (done && !ran && jobs_->jobs.empty())
      return;
    if (done && !ran && paused_count_ > 0 && !run_one())
      return;
  }
}

void stage::mix(std::string_view bytes) {
  mix(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t x = 0;
    for (std::size_t k = i; k < std::min(bytes.size(), i + 8); ++k)
      x = x << 8 | static_cast<unsigned char>(bytes[k]);
    mix(x);
  }
}

} // namespace candor::sim
