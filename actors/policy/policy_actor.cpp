#include "actors/policy/policy_actor.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"

namespace candor::policy {

namespace {

constexpr auto retry_every = std::chrono::milliseconds{500};
constexpr auto look_every = std::chrono::seconds{2}; ///< for what was applied on another node
constexpr auto patience = std::chrono::seconds{10};  ///< with shards that do not answer
constexpr shard_id first_shard = 0; ///< holds the files, and decides what counts as applied

using self_handle = policy_handle::extend<caf::reacts_to<retry_atom>, caf::reacts_to<tick_atom>>;

class policy_actor final : public self_handle::base {
public:
  policy_actor(caf::actor_config& config, surroundings around,
               std::vector<model::policy> configured, std::function<void(result<void>)> outcome)
    : self_handle::base{config}
    , around_{std::move(around)}
    , outcome_{std::move(outcome)} {
    for (auto& p : configured)
      versions_.push_back({std::move(p), {}});
    all_missing();
    began_ = around_.time.monotonic();
  }

  const char* name() const override { return "policy"; }

  behavior_type make_behavior() override {
    read_logged();
    delayed_send(this, look_every, tick_atom_v);
    return {
        [this](tick_atom) {
          delayed_send(this, look_every, tick_atom_v);
          if (is_read_)
            read_logged();
        },
        [this](const show_policies&) { return shown(); },
        [this](const put_policy& m) { return put(m); },
        [this](const apply_version& m) { return apply(m); },
        [this](retry_atom) {
          if (is_read_)
            hand_out();
          else
            read_logged();
        },
    };
  }

private:
  void all_missing() {
    for (std::size_t i = 0; i < around_.shards->size(); ++i)
      missing_.insert(static_cast<shard_id>(i));
  }

  const model::policy* find(const std::string& version) const {
    auto it = std::ranges::find_if(
        versions_, [&](const model::applied_policy& v) { return v.policy.version == version; });
    return it == versions_.end() ? nullptr : &it->policy;
  }

  /// What was applied and put before this process began.
  void read_logged() {
    request(around_.shards->primary(first_shard), limits::room_deadline, read_policies{first_shard})
        .then(
            [this](const policies_logged& logged) {
              auto known = versions_.size();
              learn(logged);
              auto lost =
                  is_read_ && std::ranges::any_of(versions_, [&](const auto& v) {
                    return std::ranges::find(logged.applied, v.policy.text) == logged.applied.end();
                  });
              // The node that applied it may be gone meanwhile; or the shards were restored from a
              // backup that is older than a version.
              if (versions_.size() > known || lost)
                all_missing();
              if (!std::exchange(is_read_, true) || versions_.size() > known || lost)
                hand_out();
            },
            [this](const caf::error&) {
              if (is_read_)
                return;
              tell_outcome_without_the_silent();
              delayed_send(this, retry_every, retry_atom_v);
            });
  }

  void learn(const policies_logged& logged) {
    for (std::size_t i = 0; i < logged.applied.size(); ++i)
      if (auto p = model::parse_policy(logged.applied[i], "policy", around_.regions))
        note_applied(std::move(*p), logged.applied_at[i]);
    for (const auto& text : logged.stored)
      if (auto p = model::parse_policy(text, "policy", around_.regions))
        stored_[p->version] = text;
  }

  void note_applied(model::policy p, timestamp at) {
    auto it = std::ranges::find_if(
        versions_, [&](const model::applied_policy& v) { return v.policy.version == p.version; });
    if (it == versions_.end())
      versions_.push_back({std::move(p), at});
    else
      it->applied_at = at;
  }

  /// Shard by shard what it may lack, one version after the other.
  void hand_out() {
    if (asked_ > 0)
      return; // a round is under way; it starts another where something is missing after it
    auto round = std::vector<shard_id>{missing_.begin(), missing_.end()};
    asked_ = round.size();
    for (auto shard : round)
      hand_out(shard, 0, versions_.size());
  }

  void hand_out(shard_id shard, std::size_t version, std::size_t count) {
    if (version == count) {
      if (count == versions_.size())
        missing_.erase(shard);
      return answered();
    }
    auto at = around_.time.now();
    request(around_.shards->primary(shard), limits::room_deadline,
            apply_policy{shard, versions_[version].policy.text, "candor"})
        .then(
            [this, shard, version, count, at](const acknowledged&) {
              if (versions_[version].applied_at == timestamp{})
                versions_[version].applied_at = at;
              hand_out(shard, version + 1, count);
            },
            [this](const caf::error& e) {
              auto why = from_caf(e);
              // All else (a full disk, too much to do) may pass: it is handed out again.
              if (why.code == errc::policy_invalid || why.code == errc::policy_conflict ||
                  why.code == errc::bad_value || why.code == errc::too_many)
                refused_ = std::move(why);
              answered();
            });
  }

  void answered() {
    if (--asked_ > 0)
      return;
    tell_waiting();
    if (outcome_ && (refused_ || missing_.empty()))
      std::exchange(outcome_, nullptr)(refused_ ? result<void>{tl::unexpected<error>{*refused_}}
                                                : result<void>{});
    if (refused_ && told_early_) { // as it would have ended had this shard answered in time
      log::error("policy", "a shard that was silent refuses a policy: {}", refused_->to_string());
      return quit(to_caf(*refused_));
    }
    tell_outcome_without_the_silent();
    if (!missing_.empty() && !refused_)
      delayed_send(this, retry_every, retry_atom_v);
  }

  /// A shard that nobody leads keeps no node from serving the others: what it logged before holds
  /// for it, and where that is nothing it learns nothing.
  void tell_outcome_without_the_silent() {
    if (!outcome_ || around_.time.monotonic() - began_ < patience)
      return;
    log::warn("policy", "{} shards have not logged the policies yet: {}{}", missing_.size(),
              *missing_.begin(), missing_.size() > 1 ? " and others" : "");
    told_early_ = true;
    std::exchange(outcome_, nullptr)(result<void>{});
  }

  policies_shown shown() const {
    policies_shown s;
    for (const auto& v : versions_) {
      s.versions.push_back(v.policy.version);
      s.effective_at.push_back(v.policy.effective_at);
      s.applied_at.push_back(v.applied_at);
      s.texts.push_back(v.policy.text);
    }
    s.missing.assign(missing_.begin(), missing_.end());
    return s;
  }

  caf::result<acknowledged> put(const put_policy& m) {
    auto policy = model::parse_policy(m.text, "policy", around_.regions);
    if (!policy)
      return to_caf(policy.error());
    if (!m.version.empty() && m.version != policy->version)
      return to_caf({errc::bad_value, "the file says version " + policy->version});
    auto promise = make_response_promise<acknowledged>();
    request(around_.shards->primary(first_shard), limits::room_deadline,
            store_policy{first_shard, m.text, m.caller})
        .then(
            [this, promise, version = policy->version,
             text = m.text](const acknowledged& stored) mutable {
              stored_[version] = text;
              promise.deliver(stored);
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
    return caf::delegated<acknowledged>{};
  }

  caf::result<version_applied> apply(const apply_version& m) {
    auto promise = make_response_promise<version_applied>();
    if (find(m.version) || stored_.contains(m.version)) {
      apply(m, promise);
      return caf::delegated<version_applied>{};
    }
    // It may have been put through another node a moment ago.
    request(around_.shards->primary(first_shard), limits::room_deadline, read_policies{first_shard})
        .then(
            [this, m, promise](const policies_logged& logged) mutable {
              learn(logged);
              apply(m, promise);
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
    return caf::delegated<version_applied>{};
  }

  void apply(const apply_version& m, caf::typed_response_promise<version_applied> promise) {
    if (find(m.version)) {
      promise.deliver(version_applied{{missing_.begin(), missing_.end()}});
      return;
    }
    auto stored = stored_.find(m.version);
    auto policy =
        stored == stored_.end()
            ? result<model::policy>{fail(errc::not_found, "no version " + m.version + " was put")}
            : model::parse_policy(stored->second, "policy", around_.regions);
    if (policy && policy->effective_at < around_.time.now() && !m.late)
      policy = fail(errc::policy_late, "effective at " + format_time(policy->effective_at));
    if (!policy) {
      promise.deliver(to_caf(policy.error()));
      return;
    }
    request(around_.shards->primary(first_shard), limits::room_deadline,
            apply_policy{first_shard, policy->text, m.caller})
        .then(
            [this, promise, policy = std::move(*policy)](const acknowledged&) mutable {
              note_applied(std::move(policy), around_.time.now());
              all_missing();
              waiting_.push_back(promise);
              hand_out();
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
  }

  /// Whoever applied hears after one round over all shards, with those that are missing still.
  void tell_waiting() {
    for (auto& promise : std::exchange(waiting_, {}))
      promise.deliver(version_applied{{missing_.begin(), missing_.end()}});
  }

  surroundings around_;
  std::vector<model::applied_policy> versions_; ///< in the order in which they were applied
  std::map<std::string, std::string> stored_;
  std::function<void(result<void>)> outcome_;
  std::optional<error> refused_;
  std::set<shard_id> missing_;
  std::size_t asked_ = 0; ///< shards whose answer this round still lacks
  bool is_read_ = false;
  millis began_{0};         ///< of the monotonic clock
  bool told_early_ = false; ///< the outcome, before every shard had answered
  std::vector<caf::typed_response_promise<version_applied>> waiting_;
};

} // namespace

policy_handle spawn_policy_actor(caf::actor_system& system, surroundings around,
                                 std::vector<model::policy> configured,
                                 std::function<void(result<void>)> outcome) {
  return system.spawn<policy_actor>(std::move(around), std::move(configured), std::move(outcome));
}

} // namespace candor::policy
