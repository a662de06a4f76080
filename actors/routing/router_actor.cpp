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
    std::is_same_v<Message, read_user> || std::is_same_v<Message, read_session> ||
    std::is_same_v<Message, read_use> || std::is_same_v<Message, read_item> ||
    std::is_same_v<Message, read_spend> || std::is_same_v<Message, read_policies> ||
    std::is_same_v<Message, read_notices_paused> || std::is_same_v<Message, set_notices_paused> ||
    std::is_same_v<Message, pull_catalogue> || std::is_same_v<Message, explain_ad> ||
    std::is_same_v<Message, content_event> || std::is_same_v<Message, simulate_policy> ||
    std::is_same_v<Message, cut_shard> || std::is_same_v<Message, read_cut> ||
    std::is_same_v<Message, fill_shard> || std::is_same_v<Message, shard_status_request>;

/// About how many bytes it is on the wire; items have no free text.
template <class Message>
std::size_t weight(const Message& m) {
  std::size_t bytes = limits::routed_message_bytes;
  if constexpr (requires { m.items.size(); })
    bytes += m.items.size() * limits::routed_message_bytes;
  if constexpr (requires { m.bytes.size(); })
    bytes += m.bytes.size();
  return bytes;
}

class router_actor final : public caf::event_based_actor {
public:
  router_actor(caf::actor_config& config, std::shared_ptr<shard_directory> shards,
               const candor::clock& time)
    : caf::event_based_actor{config}
    , shards_{std::move(shards)}
    , time_{time}
    , remote_{metrics::counter("candor_routing_remote_total",
                               "Messages sent to the primary of a shard on another node.")}
    , session_here_{metrics::counter("candor_routing_session_here_total",
                                     "Session reads that this node's own copy answered.")}
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
    std::size_t bytes = 0;        ///< about
    std::string charged;          ///< the node that they are on their way to
    bool of_session = false;      ///< this node's own copy is asked first
    millis begun{0}, deadline{0}; ///< of the monotonic clock
    std::uint64_t attempt = 0;    ///< answers of earlier ones count for nothing
    caf::actor asked;             ///< the door of another node; nothing: this node, or nobody
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
    if (calls_.size() >= limits::routed_calls)
      return to_caf({errc::overloaded, "too many requests wait for the primaries of their shards"});
    auto promise = make_response_promise<Answer>();
    auto c = std::make_shared<call>();
    c->shard = shard;
    c->repeatable = repeatable<Message>;
    c->bytes = weight(m);
    c->of_session = std::is_same_v<Message, read_session>;
    c->begun = time_.monotonic();
    c->deadline = c->begun + limits::route_deadline;
    c->content = current_mailbox_element()->move_content_to_message();
    c->refuse = [promise](const error& why) mutable { promise.deliver(to_caf(why)); };
    c->send = [this, promise](call& now) mutable {
      if (now.of_session)
        ask_copy<Answer>(now, promise);
      else
        ask<Answer>(now, promise);
    };
    c->number = ++numbers_;
    calls_.emplace(c->number, c);
    c->send(*c);
    return caf::delegated<Answer>{};
  }

  template <class Answer>
  void ask(call& c, caf::typed_response_promise<Answer> promise) {
    auto keep = calls_.at(c.number);
    give_back(c);
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
      request(caf::actor_cast<caf::actor>(shards_->here(c.shard)), limits::local_deadline,
              c.content)
          .then(std::move(answered), std::move(failed));
      return;
    }
    c.asked = leader.empty() ? nullptr : shards_->door(leader);
    if (!c.asked) {
      if (cut_off_from(leader)) {
        c.refuse({errc::unavailable,
                  leader + " leads this shard and cannot be reached from here: ask another node"});
        return end(keep);
      }
      return try_later(keep);
    }
    auto& on_the_way = on_the_way_[leader];
    if (on_the_way > 0 && on_the_way + c.bytes > limits::routed_in_flight_bytes)
      return try_later(keep);
    on_the_way += c.bytes;
    c.charged = leader;
    remote_.Increment();
    request(c.asked, limits::route_deadline, c.content)
        .then(std::move(answered), std::move(failed));
  }

  /// This node's own copy, again and again for a moment; then the primary.
  template <class Answer>
  void ask_copy(call& c, caf::typed_response_promise<Answer> promise) {
    auto keep = calls_.at(c.number);
    auto attempt = ++c.attempt;
    c.asked = nullptr;
    request(caf::actor_cast<caf::actor>(shards_->here(c.shard)), limits::local_deadline, c.content)
        .then(
            [this, keep, attempt, promise](Answer& answer) mutable {
              if (keep->attempt != attempt)
                return;
              if (!shards_->led_here(keep->shard))
                session_here_.Increment();
              promise.deliver(std::move(answer));
              end(keep);
            },
            [this, keep, attempt, promise](const caf::error& e) mutable {
              if (keep->attempt != attempt)
                return;
              auto why = from_caf(e);
              if (why.code == errc::not_applied &&
                  time_.monotonic() - keep->begun < limits::session_wait)
                return try_later(keep);
              if (why.code == errc::not_applied || why.code == errc::not_primary)
                return ask<Answer>(*keep, promise);
              react(keep, why);
            });
  }

  /// A node that died is followed by another before long. One that leads on without a link to here
  /// is reached by others: whoever asked does better to go to them than to wait.
  bool cut_off_from(const std::string& leader) const {
    auto found = unreachable_since_.find(leader);
    return found != unreachable_since_.end() &&
           time_.monotonic() - found->second > limits::unreachable_after;
  }

  /// It is not on its way to a node any more.
  void give_back(call& c) {
    if (!c.charged.empty())
      on_the_way_[std::exchange(c.charged, {})] -= c.bytes;
  }

  void react(const call_ptr& c, const error& why) {
    // (A primary that does not serve yet looks into its copy for a session.)
    if (why.code == errc::not_primary || why.code == errc::not_applied)
      return try_later(c, limits::route_refused_again); // a hand-over takes moments
    auto lost = why.code == errc::timed_out || why.code == errc::unavailable;
    if (lost && c->asked)
      return give_up_on_node(c);
    if (why.code == errc::timed_out && !c->repeatable)
      c->refuse({errc::outcome_unknown, "this node's own primary did not answer"});
    else
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

  void try_later(const call_ptr& c, std::chrono::milliseconds wait = limits::route_again_every) {
    auto attempt = ++c->attempt;
    give_back(*c);
    if (time_.monotonic() + wait >= c->deadline) {
      c->refuse({errc::unavailable, "nobody leads this shard at the moment"});
      return end(c);
    }
    again_.Increment();
    c->asked = nullptr;
    delayed_send(this, wait, retry_atom_v, c->number, attempt);
  }

  /// Where shards are led has changed, or a link was lost.
  void look_again() {
    std::map<std::string, millis> unreachable;
    for (std::size_t i = 0; i < shards_->size(); ++i)
      if (auto leader = shards_->leader(static_cast<shard_id>(i));
          !leader.empty() && leader != shards_->self() && !shards_->door(leader)) {
        auto known = unreachable_since_.find(leader);
        unreachable.try_emplace(leader, known == unreachable_since_.end() ? time_.monotonic()
                                                                          : known->second);
      }
    unreachable_since_ = std::move(unreachable);
    std::vector<call_ptr> lost;
    for (const auto& [_, c] : calls_)
      if (c->asked && shards_->door(shards_->leader(c->shard)) != c->asked)
        lost.push_back(c);
    for (const auto& c : lost)
      give_up_on_node(c);
  }

  void end(const call_ptr& c) {
    ++c->attempt;
    give_back(*c);
    calls_.erase(c->number);
    c->send = nullptr; // it holds the promise
    c->refuse = nullptr;
  }

  std::shared_ptr<shard_directory> shards_;
  const candor::clock& time_;
  std::map<std::uint64_t, call_ptr> calls_;
  std::map<std::string, std::size_t> on_the_way_; ///< bytes, to each other node
  /// Nodes that lead something and that there is no link to.
  std::map<std::string, millis> unreachable_since_;
  std::uint64_t numbers_ = 0;
  prometheus::Counter& remote_;
  prometheus::Counter& session_here_;
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
