#include "tools/candor-sim/cluster/simulated_worker_actor.hpp"

#include <deque>

namespace candor::sim {

namespace {

using namespace std::chrono_literals;
using replication::outcome_ptr;
using replication::work_ptr;

using self_handle =
    replication::worker_handle::extend<caf::reacts_to<tick_atom>, caf::reacts_to<retry_atom>>;

class simulated_worker_actor final : public self_handle::base {
public:
  simulated_worker_actor(caf::actor_config& config, worker_times times)
    : self_handle::base{config}
    , times_{std::move(times)} {}

  const char* name() const override { return "worker"; }

  behavior_type make_behavior() override {
    return {
        [this](const work_ptr& w) -> caf::result<outcome_ptr> {
          waiting_.push_back({w, make_response_promise<outcome_ptr>(), nullptr});
          if (waiting_.size() == 1)
            begin();
          return caf::delegated<outcome_ptr>{};
        },
        [this](tick_atom) {
          if (times_.hangs()) {
            delayed_send(this, 5ms, tick_atom_v);
            return;
          }
          auto& now = waiting_.front();
          now.done = std::make_shared<const replication::outcome>((*now.what)());
          delayed_send(this, std::chrono::microseconds{times_.after_us()}, retry_atom_v);
        },
        [this](retry_atom) {
          waiting_.front().promise.deliver(std::move(waiting_.front().done));
          waiting_.pop_front();
          if (!waiting_.empty())
            begin();
        },
    };
  }

  void on_exit() override { waiting_.clear(); }

private:
  struct asked {
    work_ptr what;
    caf::typed_response_promise<outcome_ptr> promise;
    outcome_ptr done;
  };

  void begin() { delayed_send(this, std::chrono::microseconds{times_.before_us()}, tick_atom_v); }

  worker_times times_;
  std::deque<asked> waiting_;
};

} // namespace

replication::worker_handle spawn_simulated_worker(caf::actor_system& system, worker_times times) {
  return caf::actor_cast<replication::worker_handle>(
      system.spawn<simulated_worker_actor>(std::move(times)));
}

} // namespace candor::sim
