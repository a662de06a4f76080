#include "actors/policy/policy_actor.hpp"

#include <optional>
#include <set>

#include "storage/base/limits.hpp"

namespace candor::policy {

namespace {

constexpr auto retry_every = std::chrono::milliseconds{500};

using self_handle = policy_handle::extend<caf::reacts_to<retry_atom>>;

class policy_actor final : public self_handle::base {
public:
  policy_actor(caf::actor_config& config, std::shared_ptr<const shard_directory> shards,
               std::vector<model::policy> policies, std::function<void(result<void>)> outcome)
    : self_handle::base{config}
    , shards_{std::move(shards)}
    , policies_{std::move(policies)}
    , outcome_{std::move(outcome)} {
    for (std::size_t i = 0; i < shards_->size(); ++i)
      missing_.insert(static_cast<shard_id>(i));
  }

  const char* name() const override { return "policy"; }

  behavior_type make_behavior() override {
    apply_where_missing();
    return {
        [this](show_policies) {
          policies_shown shown;
          for (const auto& p : policies_) {
            shown.versions.push_back(p.version);
            shown.effective_at.push_back(p.effective_at);
            shown.texts.push_back(p.text);
          }
          shown.missing.assign(missing_.begin(), missing_.end());
          return shown;
        },
        [this](retry_atom) { apply_where_missing(); },
    };
  }

private:
  void apply_where_missing() {
    asked_ = missing_.size();
    for (auto shard : std::vector<shard_id>{missing_.begin(), missing_.end()})
      apply(shard, 0);
  }

  /// One version after the other, in the order of the configuration.
  void apply(shard_id shard, std::size_t version) {
    if (version == policies_.size()) {
      missing_.erase(shard);
      return answered();
    }
    request(shards_->primary(shard), limits::room_deadline,
            apply_policy{shard, policies_[version].text, "candor"})
        .then([this, shard, version](const acknowledged&) { apply(shard, version + 1); },
              [this](const caf::error& e) {
                if (auto why = from_caf(e);
                    why.code != errc::unavailable && why.code != errc::timed_out)
                  refused_ = std::move(why);
                answered();
              });
  }

  void answered() {
    if (--asked_ > 0)
      return;
    if (refused_)
      outcome_(tl::unexpected<error>{*refused_});
    else if (missing_.empty())
      outcome_({});
    else
      delayed_send(this, retry_every, retry_atom_v);
  }

  std::shared_ptr<const shard_directory> shards_;
  std::vector<model::policy> policies_;
  std::function<void(result<void>)> outcome_;
  std::optional<error> refused_;
  std::set<shard_id> missing_;
  std::size_t asked_ = 0; ///< shards whose answer this round still lacks
};

} // namespace

policy_handle spawn_policy_actor(caf::actor_system& system,
                                 std::shared_ptr<const shard_directory> shards,
                                 std::vector<model::policy> policies,
                                 std::function<void(result<void>)> outcome) {
  return system.spawn<policy_actor>(std::move(shards), std::move(policies), std::move(outcome));
}

} // namespace candor::policy
