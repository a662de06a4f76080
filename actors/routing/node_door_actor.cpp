#include "actors/routing/node_door_actor.hpp"

#include "actors/messages/shard_messages.hpp"

namespace candor::routing {

namespace {

class node_door_actor final : public caf::event_based_actor {
public:
  node_door_actor(caf::actor_config& config, std::shared_ptr<const door_rooms> behind)
    : caf::event_based_actor{config}
    , behind_{std::move(behind)} {}

  const char* name() const override { return "node_door"; }

  caf::behavior make_behavior() override {
    return each_shard_message::handlers(
        [this]<class Message, class Answer>(Message*, Answer*) {
          return [this](const Message& m) -> caf::result<Answer> {
            auto shards = behind_->get().shards;
            if (!shards || m.shard >= shards->size() || !shards->led_here(m.shard))
              return not_here();
            return pass_on<Answer>(shards->here(m.shard));
          };
        },
        [this](const replication::peer_frame&) -> caf::result<replication::taken_atom> {
          return pass_on<replication::taken_atom>(behind_->get().replication);
        },
        [this](const admin_call&) -> caf::result<admin_answer> {
          auto doors = behind_->get().doors;
          return doors ? pass_on<admin_answer>(doors->admin) : not_here();
        },
        [this](const show_readiness&) -> caf::result<readiness_shown> {
          auto doors = behind_->get().doors;
          return doors ? pass_on<readiness_shown>(doors->notification) : not_here();
        },
        [this](const pause_notices&) -> caf::result<acknowledged> {
          auto doors = behind_->get().doors;
          return doors ? pass_on<acknowledged>(doors->notification) : not_here();
        });
  }

private:
  static caf::error not_here() {
    return to_caf({errc::not_primary, "this node does not lead the shard"});
  }

  /// The room answers whoever asked; the message goes as it came.
  template <class Answer, class Handle>
  caf::result<Answer> pass_on(const Handle& room) {
    if (!room)
      return not_here();
    delegate(caf::actor_cast<caf::actor>(room),
             current_mailbox_element()->move_content_to_message());
    return caf::delegated<Answer>{};
  }

  std::shared_ptr<const door_rooms> behind_;
};

} // namespace

caf::actor spawn_node_door_actor(caf::actor_system& system,
                                 std::shared_ptr<const door_rooms> behind) {
  return system.spawn<node_door_actor>(std::move(behind));
}

} // namespace candor::routing
