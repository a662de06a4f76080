#include "actors/transcription/transcription_actor.hpp"

#include <deque>

#include "storage/base/log.hpp"

namespace candor::transcription {

namespace {

using std::chrono::steady_clock;

hearing_ptr not_tried() {
  auto made = std::make_shared<model::hearing>();
  made->is = model::hearing::outcome::not_tried;
  return made;
}

/// What all threads of the room share.
struct workshop {
  explicit workshop(transcriber_options options)
    : hearer{std::move(options)} {}
  const transcriber hearer;
  std::atomic<bool> stopped{false};
};

/// On a thread of its own: it waits for commands.
transcription_handle::behavior_type listener(std::shared_ptr<workshop> in) {
  return {[in](recording_ptr& sent) -> caf::result<hearing_ptr> {
    auto made = std::make_shared<model::hearing>();
    try {
      *made = in->hearer.hear(std::move(sent->recording), sent->lang, in->stopped);
    } catch (const std::exception& e) { // out of memory
      log::error("transcription", "withheld: {}", e.what());
    }
    return made;
  }};
}

using self_handle = transcription_handle::extend<caf::reacts_to<tick_atom>>;

class transcription_actor final : public self_handle::base {
public:
  transcription_actor(caf::actor_config& config, transcriber_options options)
    : self_handle::base{config}
    , waiting_max_{options.waiting_max}
    , wait_max_{options.wait_max}
    , waiting_gauge_{metrics::gauge("candor_transcription_waiting",
                                    "Recordings that wait for a free transcriber.")} {
    auto at_once = options.at_once;
    in_ = std::make_shared<workshop>(std::move(options));
    for (std::size_t i = 0; i < at_once; ++i)
      idle_.push_back(spawn<caf::detached + caf::linked>(
          [in = in_](transcription_handle::pointer) { return listener(in); }));
  }

  const char* name() const override { return "transcription"; }

  behavior_type make_behavior() override {
    return {[this](recording_ptr& sent) -> caf::result<hearing_ptr> {
              give_up_on_old();
              if (idle_.empty() && waiting_.size() >= waiting_max_)
                return not_tried();
              waiting_.push_back(
                  {std::move(sent), make_response_promise<hearing_ptr>(), steady_clock::now()});
              if (idle_.empty())
                delayed_send(this, wait_max_, tick_atom_v);
              go_on();
              return caf::delegated<hearing_ptr>{};
            },
            [this](tick_atom) { go_on(); }};
  }

  void on_exit() override {
    in_->stopped = true; // what runs ends within moments, and the threads, which are linked
    for (auto& w : waiting_)
      w.promise.deliver(not_tried());
    waiting_.clear();
    idle_.clear();
  }

private:
  struct waiting {
    recording_ptr sent;
    caf::typed_response_promise<hearing_ptr> promise;
    steady_clock::time_point since;
  };

  void give_up_on_old() {
    auto oldest = steady_clock::now() - wait_max_;
    while (!waiting_.empty() && waiting_.front().since <= oldest) {
      waiting_.front().promise.deliver(not_tried());
      waiting_.pop_front();
    }
  }

  void go_on() {
    give_up_on_old();
    while (!idle_.empty() && !waiting_.empty()) {
      auto next = std::move(waiting_.front());
      waiting_.pop_front();
      auto who = std::move(idle_.back());
      idle_.pop_back();
      auto done = [this, who, promise = std::move(next.promise)](hearing_ptr heard) mutable {
        promise.deliver(std::move(heard));
        idle_.push_back(who);
        go_on();
      };
      // It keeps its own deadline, and it ends with this room.
      request(who, caf::infinite, std::move(next.sent))
          .then([done](hearing_ptr& heard) mutable { done(std::move(heard)); },
                [done](const caf::error&) mutable { done(not_tried()); });
    }
    waiting_gauge_.Set(static_cast<double>(waiting_.size()));
  }

  std::size_t waiting_max_;
  std::chrono::milliseconds wait_max_;
  prometheus::Gauge& waiting_gauge_;
  std::shared_ptr<workshop> in_;
  std::vector<transcription_handle> idle_;
  std::deque<waiting> waiting_;
};

} // namespace

transcription_handle spawn_transcription_actor(caf::actor_system& system,
                                               transcriber_options options) {
  return system.spawn<transcription_actor>(std::move(options));
}

} // namespace candor::transcription
