#include "cluster/replication/commit_actor.hpp"

#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"

namespace candor::replication {

namespace {

class commit_actor final : public commit_handle::base {
public:
  commit_actor(caf::actor_config& config, std::shared_ptr<group_commit> log,
               std::shared_ptr<std::atomic<std::size_t>> waiting)
    : commit_handle::base{config}
    , log_{std::move(log)}
    , waiting_{std::move(waiting)}
    , entries_{metrics::counter("candor_replication_entries_total", "Log entries made durable.")}
    , groups_{metrics::counter("candor_replication_groups_total", "Synced batches written.")}
    , failures_{metrics::counter("candor_replication_failures_total", "Appends not written.")} {}

  const char* name() const override { return "commit"; }

  behavior_type make_behavior() override {
    return {
        [this](const append_request_ptr& request) -> caf::result<append_result_ptr> {
          auto promise = make_response_promise<append_result_ptr>();
          // The message that closes the group goes to the mailbox's end: all that waits there joins
          // the group.
          if (requests_.empty())
            send(this, commit_group_atom_v);
          entries_pending_ += request->drafts.size();
          requests_.push_back(request);
          promises_.push_back(promise);
          if (entries_pending_ >= limits::commit_group_entries)
            commit();
          return caf::delegated<append_result_ptr>{};
        },
        [this](open_shard_atom, shard_id shard) {
          commit();
          return std::make_shared<result<shard_opening>>(log_->opening(shard));
        },
        [this](barrier_atom) {
          commit();
          return barrier_atom_v;
        },
        [this](commit_group_atom) { commit(); },
    };
  }

private:
  void commit() {
    if (requests_.empty())
      return;
    std::vector<const append_request*> group;
    group.reserve(requests_.size());
    for (const auto& request : requests_)
      group.push_back(request.get());
    auto answers = log_->commit(group);
    groups_.Increment();
    for (std::size_t i = 0; i < answers.size(); ++i) {
      (answers[i] ? entries_ : failures_).Increment(static_cast<double>(group[i]->drafts.size()));
      promises_[i].deliver(std::make_shared<append_result>(std::move(answers[i])));
    }
    waiting_->fetch_sub(entries_pending_);
    entries_pending_ = 0;
    requests_.clear();
    promises_.clear();
  }

  std::shared_ptr<group_commit> log_;
  std::shared_ptr<std::atomic<std::size_t>> waiting_;
  prometheus::Counter& entries_;
  prometheus::Counter& groups_;
  prometheus::Counter& failures_;
  std::vector<append_request_ptr> requests_;
  std::vector<caf::typed_response_promise<append_result_ptr>> promises_;
  std::size_t entries_pending_ = 0;
};

} // namespace

bool write_door::full() const noexcept {
  return *waiting >= limits::commit_queue_entries;
}

write_door spawn_commit_actor(caf::actor_system& system, std::unique_ptr<group_commit> log) {
  auto waiting = std::make_shared<std::atomic<std::size_t>>(0);
  auto actor = system.spawn<commit_actor, caf::detached>(
      std::shared_ptr<group_commit>{std::move(log)}, waiting);
  return {std::move(actor), std::move(waiting)};
}

} // namespace candor::replication
