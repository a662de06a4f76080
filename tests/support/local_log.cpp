#include "tests/support/local_log.hpp"

#include <stdexcept>

namespace candor::test {

using namespace replication;

void make_shards(coordination::coordinator& with, shard_count shards,
                 const sharding::member& self) {
  for (std::uint16_t i = 0; i < shards.value; ++i) {
    sharding::shard_config config{1, 1, self, {self}, 1, 1};
    coordination::change first{sharding::config_key(i), 0, sharding::to_json(config)};
    if (!with.compare_and_swap({&first, 1}))
      throw std::runtime_error{"the coordinator fails"};
  }
}

local_log::local_log(engine::engine& db, stores::user_keys& keys,
                     coordination::coordinator& coordinator, const clock& time,
                     replicator_options options)
  : db_{db}
  , keys_{keys}
  , coordinator_{coordinator} {
  make_shards(coordinator, options.shards, options.self);
  promises_ =
      std::make_unique<leases>(options.self, 1, options.shards, lease_options{}, time.monotonic());
  const auto self = options.self;
  const auto shards = options.shards;
  auto opened = replicator::open(db, keys, *promises_, time, std::move(options));
  if (!opened)
    throw std::runtime_error{opened.error().to_string()};
  core_ = std::move(*opened);
  for (shard_id shard = 0; shard < shards.value; ++shard)
    core_->wanted(shard, {self}, {self});
  run();
}

void local_log::run() {
  for (auto idle = false; !idle;) {
    idle = true;
    core_->flush();
    auto out = core_->take_outbox();
    for (auto shard : out.config_reads)
      if (auto found = coordinator_.get(sharding::config_key(shard)); found && *found)
        core_->configured(shard, *sharding::shard_config_from_json((*found)->value),
                          (*found)->version);
    for (const auto& [shard, swap] : out.swaps) {
      coordination::change change{sharding::config_key(shard), swap.expected_version,
                                  sharding::to_json(swap.config)};
      auto applied = coordinator_.compare_and_swap({&change, 1});
      core_->swapped(shard, swap.number,
                     !applied   ? swap_outcome::unknown
                     : *applied ? swap_outcome::applied
                                : swap_outcome::refused);
    }
    idle = out.config_reads.empty() && out.swaps.empty();
    while (auto job = core_->take_job()) {
      core_->job_done(carry_out(*job, db_, keys_));
      idle = false;
    }
  }
}

std::optional<shard_opening> local_log::opening(shard_id shard) {
  auto found = std::make_shared<std::optional<shard_opening>>();
  core_->open_shard(shard, [found](shard_opening o) { *found = std::move(o); });
  run();
  return *found;
}

std::vector<append_result> local_log::commit(const std::vector<append_request>& requests) {
  std::vector<append_result> answers(requests.size(), fail(errc::timed_out));
  for (std::size_t i = 0; i < requests.size(); ++i)
    core_->append(requests[i], [&answers, i](append_result r) { answers[i] = std::move(r); });
  run();
  return answers;
}

append_result local_log::commit(const append_request& request) {
  return commit(std::vector{request}).front();
}

void local_log::tick() {
  core_->tick();
  run();
}

} // namespace candor::test
