#include "cluster/transport/link_actor.hpp"

#include <set>

#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/network/multiplexer.hpp>

namespace candor::transport {

namespace {

/// CAF's protocol names a published actor by a port. Ours are only ever reached by a socketpair, so
/// one number serves all: it is read in the same step in which it is set.
constexpr std::uint16_t published_as = 1;

constexpr auto broker_deadline = std::chrono::seconds{2};

class link_actor final : public caf::event_based_actor {
public:
  link_actor(caf::actor_config& config, caf::actor broker, caf::io::scribe_ptr wire, bool dialed,
             caf::actor door, link_timing timing, link_events events)
    : caf::event_based_actor{config}
    , broker_{std::move(broker)}
    , wire_{std::move(wire)}
    , dialed_{dialed}
    , door_{caf::actor_cast<caf::strong_actor_ptr>(door)}
    , timing_{timing}
    , events_{std::move(events)} {}

  const char* name() const override { return "link"; }

  void on_exit() override {
    tell_down("the link's actor ended");
    events_.finished();
    events_ = {};
    broker_ = nullptr;
    remote_ = nullptr;
    door_ = nullptr;
  }

  caf::behavior make_behavior() override {
    set_down_handler([this](caf::down_msg&) { events_.give_up("the other end of it is gone"); });
    // What a peer sends that has no place here is no reason to print it.
    set_default_handler(caf::drop);
    if (dialed_)
      dial();
    else
      send(broker_, caf::publish_atom_v, std::move(wire_), published_as,
           caf::actor_cast<caf::strong_actor_ptr>(this), std::set<std::string>{});
    delayed_send(this, timing_.ping_every, beat_atom_v);
    return {
        [this](door_atom, const caf::strong_actor_ptr& remote_door)
            -> caf::result<door_atom, caf::strong_actor_ptr> {
          if (dialed_ || remote_ || dropped_ || !current_sender())
            return caf::sec::unexpected_message;
          meet(caf::actor_cast<caf::strong_actor_ptr>(current_sender()));
          tell_up(remote_door);
          return {door_atom_v, door_};
        },
        [](alive_atom) { return alive_atom_v; },
        [this](beat_atom) { beat(); },
        [this](drop_atom, const std::string& why) {
          tell_down(why);
          dropped_ = true;
        },
        [this](drained_atom) { leave(); },
    };
  }

private:
  void dial() {
    request(broker_, timing_.door_deadline, caf::connect_atom_v, std::move(wire_), published_as)
        .then(
            [this](const caf::node_id&, caf::strong_actor_ptr& remote,
                   const std::set<std::string>&) {
              if (!remote)
                return events_.give_up("nobody is at its other end");
              meet(remote);
              ask_for_door();
            },
            [this](caf::error&) { events_.give_up("CAF's handshake failed"); });
  }

  void meet(const caf::strong_actor_ptr& remote) {
    remote_ = caf::actor_cast<caf::actor>(remote);
    monitor(remote_);
  }

  void ask_for_door() {
    request(remote_, timing_.door_deadline, door_atom_v, door_)
        .then([this](door_atom, const caf::strong_actor_ptr& door) { tell_up(door); },
              [this](caf::error&) { events_.give_up("no door was offered"); });
  }

  void beat() {
    if (dropped_)
      return;
    delayed_send(this, timing_.ping_every, beat_atom_v);
    if (!up_) {
      waited_ += timing_.ping_every;
      if (waited_ > timing_.door_deadline)
        events_.give_up("it never came up");
      return;
    }
    if (missed_ >= timing_.pings_missed)
      return events_.give_up("its actors do not answer");
    ++missed_;
    request(remote_, timing_.ping_every * timing_.pings_missed, alive_atom_v)
        .then([this](alive_atom) { missed_ = 0; }, [](caf::error&) {});
  }

  void tell_up(const caf::strong_actor_ptr& remote_door) {
    if (dropped_ || up_)
      return;
    if (!remote_door)
      return events_.give_up("the door that was offered is none");
    up_ = true;
    events_.up(remote_door);
  }

  void tell_down(const std::string& why) {
    if (up_ && !dropped_)
      events_.down(why);
    dropped_ = true;
  }

  /// CAF closed its end of the socketpair, and the message that makes its broker forget the peer
  /// waits in the broker's mailbox: whatever is answered after it finds the peer forgotten. A new
  /// link that came sooner would be taken for a second one, and closed.
  void leave() {
    request(broker_, broker_deadline, caf::get_atom_v, system().node())
        .then([this](const caf::node_id&, const std::string&, std::uint16_t) { quit(); },
              [this](caf::error&) { quit(); });
  }

  caf::actor broker_;
  caf::io::scribe_ptr wire_;
  bool dialed_;
  caf::strong_actor_ptr door_;
  link_timing timing_;
  link_events events_;
  caf::actor remote_; ///< our like on the other node
  bool up_ = false;
  bool dropped_ = false;
  std::size_t missed_ = 0;
  std::chrono::milliseconds waited_{0};
};

} // namespace

caf::actor spawn_link_actor(caf::actor_system& system, caf::actor broker, int fd, bool dialed,
                            caf::actor door, link_timing timing, link_events events) {
  auto wire = system.middleman().backend().new_scribe(fd);
  return system.spawn<link_actor>(std::move(broker), std::move(wire), dialed, std::move(door),
                                  timing, std::move(events));
}

caf::actor protocol_broker(caf::actor_system& system) {
  return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

} // namespace candor::transport
