#include "cluster/membership/membership_actor.hpp"

#include "cluster/transport/spawn_waiting.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"

namespace candor::membership {

namespace {

class membership_actor final : public membership_handle::base {
public:
  membership_actor(caf::actor_config& config, participant_options options,
                   participant_surroundings around, std::function<void(const error&)> on_refused)
    : membership_handle::base{config}
    , on_refused_{std::move(on_refused)} {
    // Weak: the watches hold it, and this actor holds them.
    around.on_hint = [address = caf::actor_cast<caf::actor_addr>(this)] {
      if (auto self = caf::actor_cast<caf::actor>(address))
        caf::anon_send(self, hint_atom_v);
    };
    core_ = std::make_unique<participant>(std::move(options), std::move(around));
  }

  const char* name() const override { return "membership"; }

  behavior_type make_behavior() override {
    send(this, look_atom_v);
    return {
        [this](look_atom) {
          if (go_on(core_->tick()))
            delayed_send(this, limits::membership_tick, look_atom_v);
        },
        [this](hint_atom) { go_on(core_->hear()); },
        [this](drain_atom, const std::string& node) {
          return std::make_shared<const result<bool>>(core_->drain(node));
        },
        [this](undrain_atom, const std::string& node) {
          return std::make_shared<const result<bool>>(core_->undrain(node));
        },
        [this](move_atom, shard_id shard, const std::string& to) {
          return std::make_shared<const result<move_done>>(core_->move(shard, to));
        },
        [this](rebalance_atom, bool dry_run) {
          return std::make_shared<const result<rebalance_done>>(core_->rebalance(dry_run));
        },
        [this](forget_atom, const std::string& node) {
          return std::make_shared<const result<forget_done>>(core_->forget(node));
        },
        [this](snapshot_atom) { return std::make_shared<const snapshot>(core_->snapshot()); },
    };
  }

  void on_exit() override { core_.reset(); }

private:
  bool go_on(const result<void>& may) {
    if (may)
      return true;
    if (!std::exchange(refused_, true)) {
      log::error("membership", "this node must not go on: {}", may.error().to_string());
      on_refused_(may.error());
    }
    return false;
  }

  std::function<void(const error&)> on_refused_;
  std::unique_ptr<participant> core_;
  bool refused_ = false;
};

} // namespace

membership_handle spawn_membership(caf::actor_system& system, participant_options options,
                                   participant_surroundings around,
                                   std::function<void(const error&)> on_refused) {
  return transport::spawn_waiting<membership_actor>(system, std::move(options), std::move(around),
                                                    std::move(on_refused));
}

} // namespace candor::membership
