#include "actors/routing/router_actor.hpp"

#include <map>

#include "actors/messages/shard_messages.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"

namespace candor::routing {

namespace {

/// Asked twice, these do no harm: events are told apart by their ids, parts of a backup by their
/// index, and the rest only reads.
template <class Message>
constexpr bool repeatable =
    std::is_same_v<Message, admit_events> || std::is_same_v<Message, learn_signals> ||
    std::is_same_v<Message, read_user> || std::is_same_v<Message, read_use> ||
    std::is_same_v<Message, read_item> || std::is_same_v<Message, read_spend> ||
    std::is_same_v<Message, read_policies> || std::is_same_v<Message, pull_catalogue> ||
    std::is_same_v<Message, explain_ad> || std::is_same_v<Message, simulate_policy> ||
    std::is_same_v<Message, cut_shard> || std::is_same_v<Message, read_cut> ||
    std::is_same_v<Message, fill_shard> || std::is_same_v<Message, shard_status_request>;

class router_actor final : public caf::event_based_actor {
public:
  router_actor(caf::actor_config& config, std::shared_ptr<shard_directory> shards,
               const candor::clock& time)
    : caf::event_based_actor{config}
    , shards_{std::move(shards)}
    , time_{time}
    , remote_{metrics::counter("candor_routing_remote_total",
                               "Messages sent to the primary of a shard on another node.")}
    , again_{metrics::counter("candor_routing_again_total",
                              "Messages sent again, since a shard was led elsewhere.")} {}

  const char* name() const override { return "router"; }

  caf::behavior make_behavior() override {
    return each_shard_message::handlers(
        [this]<class Message, class Answer>(Message*, Answer*) {
          return [this](const Message& m) { return route<Answer>(m); };
        },
        [this](retry_atom) { look_again(); },
        [this](retry_atom, std::uint64_t number, std::uint64_t attempt) {
          if (auto c = calls_.find(number); c != calls_.end() && c->second->attempt == attempt)
            c->second->send(*c->second);
        });
  }

  void on_exit() override { calls_.clear(); } // they hold this actor

private:
  /// A message on its way.
  struct call {
    shard_id shard = 0;
    caf::message content;
    bool repeatable = false;
    millis deadline{0};        ///< of the monotonic clock
    std::uint64_t attempt = 0; ///< answers of earlier ones count for nothing
    caf::actor asked;          ///< the door of another node; nothing: this node, or nobody
    std::function<void(call&)> send;
    std::function<void(const error&)> refuse;
    std::uint64_t number = 0;
  };
  using call_ptr = std::shared_ptr<call>;

  template <class Answer, class Message>
  caf::result<Answer> route(const Message& m) {
    auto shard = m.shard;
    if (shard >= shards_->size())
      return to_caf({errc::not_found, "there is no such shard"});
    auto promise = make_response_promise<Answer>();
    auto c = std::make_shared<call>();
    c->shard = shard;
    c->repeatable = repeatable<Message>;
    c->deadline = time_.monotonic() + limits::route_deadline;
    c->content = current_mailbox_element()->move_content_to_message();
    c->refuse = [promise](const error& why) mutable { promise.deliver(to_caf(why)); };
    c->send = [this, promise](call& now) mutable { ask<Answer>(now, promise); };
    c->number = ++numbers_;
    calls_.emplace(c->number, c);
    c->send(*c);
    return caf::delegated<Answer>{};
  }

  template <class Answer>
  void ask(call& c, caf::typed_response_promise<Answer> promise) {
    auto keep = calls_.at(c.number);
    auto attempt = ++c.attempt;
    auto answered = [this, keep, attempt, promise](Answer& answer) mutable {
      if (keep->attempt != attempt)
        return;
      promise.deliver(std::move(answer));
      end(keep);
    };
    auto failed = [this, keep, attempt](const caf::error& e) {
      if (keep->attempt == attempt)
        react(keep, from_caf(e));
    };
    auto leader = shards_->leader(c.shard);
    if (leader == shards_->self()) {
      c.asked = nullptr;
      // It answers everything in its time; whoever asked has a deadline.
      request(caf::actor_cast<caf::actor>(shards_->here(c.shard)), caf::infinite, c.content)
          .then(std::move(answered), std::move(failed));
      return;
    }
    c.asked = leader.empty() ? nullptr : shards_->door(leader);
    if (!c.asked)
      return try_later(keep);
    remote_.Increment();
    request(c.asked, limits::route_deadline, c.content)
        .then(std::move(answered), std::move(failed));
  }

  void react(const call_ptr& c, const error& why) {
    if (why.code == errc::not_primary)
      return try_later(c);
    auto lost = why.code == errc::timed_out || why.code == errc::unavailable;
    if (lost && c->asked)
      return give_up_on_node(c);
    c->refuse(why);
    end(c);
  }

  /// The node that was asked will not answer any more: whether it did what it was asked is unknown.
  void give_up_on_node(const call_ptr& c) {
    ++c->attempt;
    if (c->repeatable)
      return try_later(c);
    c->refuse({errc::outcome_unknown, "the node that leads this shard was lost"});
    end(c);
  }

  void try_later(const call_ptr& c) {
    auto attempt = ++c->attempt;
    if (time_.monotonic() + limits::route_again_every >= c->deadline) {
      c->refuse({errc::unavailable, "nobody leads this shard at the moment"});
      return end(c);
    }
    again_.Increment();
    c->asked = nullptr;
    delayed_send(this, limits::route_again_every, retry_atom_v, c->number, attempt);
  }

  /// Where shards are led has changed, or a link was lost.
  void look_again() {
    std::vector<call_ptr> lost;
    for (const auto& [_, c] : calls_)
      if (c->asked && shards_->door(shards_->leader(c->shard)) != c->asked)
        lost.push_back(c);
    for (const auto& c : lost)
      give_up_on_node(c);
  }

  void end(const call_ptr& c) {
    ++c->attempt;
    calls_.erase(c->number);
    c->send = nullptr; // it holds the promise
    c->refuse = nullptr;
  }

  std::shared_ptr<shard_directory> shards_;
  const candor::clock& time_;
  std::map<std::uint64_t, call_ptr> calls_;
  std::uint64_t numbers_ = 0;
  prometheus::Counter& remote_;
  prometheus::Counter& again_;
};

} // namespace

profile_handle spawn_router_actor(caf::actor_system& system,
                                  std::shared_ptr<shard_directory> shards,
                                  const candor::clock& time) {
  // It takes exactly the messages of a primary, made from the same list.
  return caf::actor_cast<profile_handle>(
      system.spawn<router_actor>(std::move(shards), std::cref(time)));
}

} // namespace candor::routing
