/// One node's part of the routing with real actors: a router, and primaries that do as they are
/// told, here and behind the doors of other nodes.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/messages/messages.hpp"
#include "actors/messages/shard_messages.hpp"
#include "actors/routing/node_door_actor.hpp"
#include "actors/routing/router_actor.hpp"
#include "tests/support/system_config.hpp"

namespace candor::routing_tests {

using namespace std::chrono_literals;

/// What a primary does with every message, and how many it was sent.
struct order {
  enum class how { answer, refuse, be_silent };
  std::atomic<how> does = how::answer;
  std::atomic<errc> refusal = errc::not_primary;
  std::atomic<int> asked = 0;
};

/// Takes what a primary takes, made from the same list.
class primary_actor final : public caf::event_based_actor {
public:
  primary_actor(caf::actor_config& config, std::shared_ptr<order> orders)
    : caf::event_based_actor{config}
    , orders_{std::move(orders)} {}

  caf::behavior make_behavior() override {
    return each_shard_message::handlers([this]<class Message, class Answer>(Message*, Answer*) {
      return [this](const Message&) -> caf::result<Answer> {
        ++orders_->asked;
        switch (orders_->does.load()) {
          case order::how::refuse:
            return to_caf({orders_->refusal.load(), {}});
          case order::how::be_silent:
            make_response_promise<Answer>(); // lets go of it without an answer
            return caf::delegated<Answer>{};
          case order::how::answer:
            break;
        }
        return Answer{};
      };
    });
  }

private:
  std::shared_ptr<order> orders_;
};

inline bool becomes_true(const std::function<bool()>& what) {
  for (auto until = std::chrono::steady_clock::now() + 60s;
       std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(2ms))
    if (what())
      return true;
  return false;
}

/// The node "here" with shards 0 to 3, and whatever a test puts beside it.
struct house {
  test::system_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  std::shared_ptr<shard_directory> shards =
      std::make_shared<shard_directory>(shard_count{4}, "here");
  std::shared_ptr<order> here = std::make_shared<order>();
  std::vector<caf::actor> rooms;
  std::unique_ptr<clock> time = make_system_clock();
  profile_handle router;

  house() {
    auto room = add_primary(here);
    for (shard_id s = 0; s < 4; ++s)
      shards->set(s, caf::actor_cast<profile_handle>(room));
    router = routing::spawn_router_actor(system, shards, *time);
    rooms.push_back(caf::actor_cast<caf::actor>(router));
  }

  ~house() {
    for (const auto& room : rooms)
      self->send_exit(room, caf::exit_reason::user_shutdown);
    self->wait_for(rooms);
  }

  caf::actor add_primary(std::shared_ptr<order> orders) {
    rooms.push_back(system.spawn<primary_actor>(std::move(orders)));
    return rooms.back();
  }

  /// The node leads shard 1 from now on, and is reached.
  std::shared_ptr<order> lead_from(const std::string& node) {
    auto orders = std::make_shared<order>();
    shards->set_door(node, add_primary(orders));
    shards->set_leader(1, node);
    return orders;
  }

  void set_leader(const std::string& node) {
    shards->set_leader(1, node);
    self->send(caf::actor_cast<caf::actor>(router), retry_atom_v);
  }

  /// What an actor answers to a message; `meanwhile` runs while it is on its way.
  template <class Answer, class Room, class Message>
  result<Answer> ask(const Room& room, Message message, std::function<void()> meanwhile = {}) {
    auto answer = self->request(room, 60s, std::move(message));
    if (meanwhile)
      meanwhile();
    result<Answer> outcome;
    answer.receive([&](Answer& given) { outcome = std::move(given); },
                   [&](const caf::error& e) { outcome = tl::unexpected<error>{from_caf(e)}; });
    return outcome;
  }

  template <class Answer, class Message>
  result<Answer> route(Message message, std::function<void()> meanwhile = {}) {
    return ask<Answer>(router, std::move(message), std::move(meanwhile));
  }
};

/// Of shard 1. Asked twice, an erasure would be two.
inline erase_user erasure() {
  return {1, "u-1", "test"};
}
inline learn_signals signals() {
  return {1, {}};
}

} // namespace candor::routing_tests
