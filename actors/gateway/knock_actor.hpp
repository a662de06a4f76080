/// How a coroutine of the HTTP server asks an actor and awaits its answer, without a thread that
/// blocks: a few long-lived runner actors send the requests, since an actor for each request would
/// cost a proxy and a monitor at every room of another node. Guarantees: every question gets
/// exactly one answer, also where a runner or a room dies with it.
#pragma once

#include <utility> // boost/asio/awaitable.hpp of Boost 1.74 uses std::exchange without it

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <caf/all.hpp>

#include "actors/messages/messages.hpp"
#include "storage/base/error.hpp"

namespace candor::gateway {

struct errand {
  std::function<void(caf::event_based_actor*)> run;
};

} // namespace candor::gateway

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::gateway::errand)

namespace candor::gateway {

namespace asio = boost::asio;

/// Asio wants a default-constructible result.
template <class Answer>
using outcome = std::optional<result<Answer>>;

/// Completes once: with an answer, an error, or when the last who could answer let go of it.
template <class Answer, class Handler>
class completion {
public:
  explicit completion(Handler handler)
    : handler_{std::move(handler)}
    , work_{asio::get_associated_executor(handler_)} {}
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;
  ~completion() { fire(fail(errc::unavailable, "the room went down")); }

  void fire(result<Answer> answer) {
    if (fired_.exchange(true))
      return;
    asio::post(work_.get_executor(), [handler = std::move(handler_),
                                      answer = outcome<Answer>{std::move(answer)}]() mutable {
      std::move(handler)(std::move(answer));
    });
  }

private:
  Handler handler_;
  asio::executor_work_guard<asio::associated_executor_t<Handler>> work_;
  std::atomic<bool> fired_{false};
};

class knocker {
public:
  knocker(caf::actor_system& system, std::size_t runners)
    : system_{system} {
    for (std::size_t i = 0; i < runners; ++i)
      runners_.push_back(system.spawn([](caf::event_based_actor* self) -> caf::behavior {
        return {[self](errand& e) { e.run(self); }};
      }));
  }
  ~knocker() { stop(); }

  /// Ends the runners and waits for their end: every open question has its answer then.
  void stop() {
    caf::scoped_actor self{system_};
    for (const auto& runner : runners_)
      self->send_exit(runner, caf::exit_reason::user_shutdown);
    self->wait_for(runners_);
    runners_.clear();
  }

  /// Not after `stop`. Error: what the room answered; `timed_out`, `unavailable`.
  template <class Answer, class Room, class Message>
  asio::awaitable<result<Answer>> ask(Room room, std::chrono::milliseconds patience,
                                      Message message) {
    if (!room)
      co_return fail(errc::unavailable, "the room is not open");
    auto& runner = runners_[turn_.fetch_add(1, std::memory_order_relaxed) % runners_.size()];
    auto start = [&runner, room, patience](auto handler, Message question) {
      auto done = std::make_shared<completion<Answer, decltype(handler)>>(std::move(handler));
      auto held = std::make_shared<Message>(std::move(question));
      errand e;
      e.run = [done, held, room, patience](caf::event_based_actor* self) {
        self->request(room, patience, std::move(*held))
            .then([done](Answer& answer) { done->fire(std::move(answer)); },
                  [done](caf::error& why) { done->fire(tl::unexpected<error>{from_caf(why)}); });
      };
      caf::anon_send(runner, std::move(e));
    };
    auto answer =
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void(outcome<Answer>)>(
            std::move(start), asio::use_awaitable, std::move(message));
    co_return std::move(*answer);
  }

private:
  caf::actor_system& system_;
  std::vector<caf::actor> runners_;
  std::atomic<unsigned> turn_{0};
};

} // namespace candor::gateway
