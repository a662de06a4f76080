#include "cluster/replication/group_commit.hpp"

#include <algorithm>

#include "storage/base/log.hpp"
#include "storage/engine/keys.hpp"

namespace candor::replication {

namespace {

using engine::operation;
using engine::table;

std::array<std::uint8_t, 24> nonce(const entry& e, std::uint32_t row) {
  std::string bytes;
  engine::append_big_endian(bytes, e.shard, 4);
  engine::append_big_endian(bytes, e.term, 8);
  engine::append_big_endian(bytes, e.seq, 8);
  engine::append_big_endian(bytes, row, 4);
  std::array<std::uint8_t, 24> n;
  std::ranges::copy(bytes, n.begin());
  return n;
}

} // namespace

result<std::unique_ptr<group_commit>> group_commit::open(engine::engine& db,
                                                         stores::user_keys& keys,
                                                         coordination::coordinator& coordinator,
                                                         const clock& time,
                                                         group_commit_options options) {
  std::unique_ptr<group_commit> self{
      new group_commit{db, keys, coordinator, time, std::move(options)}};
  CANDOR_TRY_VOID(self->take_over());
  return self;
}

result<void> group_commit::take_over() {
  shards_.resize(options_.shards.value); // epochs only rise
  CANDOR_TRY_VOID(appoint_self());
  return read_tails();
}

result<void> group_commit::appoint_self() {
  std::vector<coordination::change> changes;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto key = sharding::config_key(static_cast<shard_id>(i));
    CANDOR_TRY(found, coordinator_.get(key));
    sharding::shard_config previous;
    if (found) {
      CANDOR_TRY(parsed, sharding::shard_config_from_json(found->value));
      if (parsed.primary.node != options_.self.node)
        return fail(errc::conflict, "shard " + std::to_string(i) + " is led by node " +
                                        parsed.primary.node + ", and this node is " +
                                        options_.self.node);
      previous = std::move(parsed);
    }
    auto& state = shards_[i];
    state.config = sharding::appoint(previous, options_.self);
    auto version = found ? found->version : 0;
    changes.push_back({std::move(key), version, sharding::to_json(state.config)});
    if (changes.size() == coordination::changes_max || i + 1 == shards_.size()) {
      CANDOR_TRY(applied, coordinator_.compare_and_swap(changes));
      if (!applied)
        return fail(errc::conflict, "another node changed the shard map at the same time");
      changes.clear();
    }
  }
  return {};
}

result<void> group_commit::read_tails() {
  auto now = clock_.now();
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto shard = static_cast<shard_id>(i);
    auto& state = shards_[i];
    auto begin = engine::shard_begin(shard), end = engine::shard_end(shard);
    state.seq = state.mark = 0;
    state.chain = {};
    state.audit = {};
    state.bytes_since_mark = 0;
    state.time = now;
    CANDOR_TRY(tail, db_.last(table::log, begin, end));
    if (tail) {
      CANDOR_TRY(last, decode_entry(tail->second));
      if (last.shard != shard || engine::log_key(shard, last.seq) != tail->first)
        return fail(errc::corrupt, "the log of shard " + std::to_string(i) +
                                       " ends with an entry of another place");
      state.seq = state.mark = last.seq;
      state.chain = last.chain;
      state.time = last.time;
    }
    // Where the records end before it, the next one leaves a gap that shows.
    CANDOR_TRY(audit, stores::read_audit_head(db_, shard));
    if (audit) {
      state.audit = *audit;
    } else {
      CANDOR_TRY(orphan, db_.last(table::audit, begin, end));
      if (orphan)
        return fail(errc::corrupt,
                    "the audit chain of shard " + std::to_string(i) + " has records and no head");
    }
  }
  return {};
}

result<shard_opening> group_commit::opening(shard_id shard) {
  if (failed_) {
    CANDOR_TRY_VOID(db_.resume());
    CANDOR_TRY_VOID(take_over());
    failed_ = false;
    log::info("replication", "writes go on");
  }
  if (shard >= shards_.size())
    return fail(errc::not_found, "there is no shard " + std::to_string(shard));
  const auto& state = shards_[shard];
  return shard_opening{state.epoch, state.config.term, state.seq,
                       log_clock{state.time, clock_.monotonic()}, state.audit};
}

result<committed> group_commit::place(const draft& from, shard_id shard, shard_state& state,
                                      engine::batch& batch) {
  entry e;
  e.shard = shard;
  e.term = state.config.term;
  e.seq = state.seq + 1;
  e.time = std::max(from.time, state.time);
  for (const auto& row : from.rows) {
    auto operation = row.operation;
    if (row.sealed_for && operation.kind == operation::what::put) {
      auto number = nonce(e, static_cast<std::uint32_t>(e.operations.size()));
      CANDOR_TRY(sealed, keys_.seal(row.sealed_for->key, number, row.sealed_for->person.view(),
                                    operation.value));
      operation.value = std::move(sealed);
    }
    e.operations.push_back(std::move(operation));
  }
  committed placed{e.term, e.seq, e.time, {}};
  auto head = state.audit;
  for (const auto& event : from.audit) {
    auto record = stores::chain(shard, head, event);
    head = {record.index, record.hash};
    placed.audit.push_back(head);
    e.operations.push_back({operation::what::put, table::audit,
                            engine::audit_key(shard, record.index), stores::encode(record)});
  }
  if (!from.audit.empty())
    e.operations.push_back(stores::head_row(shard, head));
  auto bytes = encode(e, state.chain);
  state.bytes_since_mark += bytes.size();
  state.seq = e.seq;
  state.chain = e.chain;
  state.time = e.time;
  state.audit = head;
  batch.push_back(
      {operation::what::put, table::log, engine::log_key(shard, e.seq), std::move(bytes)});
  batch.insert(batch.end(), std::make_move_iterator(e.operations.begin()),
               std::make_move_iterator(e.operations.end()));
  if (state.bytes_since_mark > options_.log_kept_bytes) {
    batch.push_back({operation::what::erase_range, table::log, engine::shard_begin(shard),
                     engine::log_key(shard, state.mark)});
    state.mark = e.seq;
    state.bytes_since_mark = 0;
  }
  return placed;
}

result<std::vector<committed>> group_commit::place(const append_request& request,
                                                   shard_state& state, engine::batch& batch) {
  std::vector<committed> placed;
  for (const auto& draft : request.drafts) {
    CANDOR_TRY(one, place(draft, request.shard, state, batch));
    placed.push_back(std::move(one));
  }
  return placed;
}

std::vector<append_result> group_commit::commit(std::span<const append_request* const> requests) {
  std::vector<append_result> answers;
  answers.reserve(requests.size());
  engine::batch batch;
  for (auto request : requests) {
    CANDOR_ASSERT(request->shard < shards_.size());
    auto& state = shards_[request->shard];
    if (failed_ || request->epoch != state.epoch) {
      answers.push_back(fail(errc::outcome_unknown, "an earlier write to this shard failed"));
      continue;
    }
    auto state_before = state;
    auto size_before = batch.size();
    auto placed = place(*request, state, batch);
    if (!placed) { // nothing of it is in the batch, and what its owner built on it must not be
                   // either
      state = std::move(state_before);
      ++state.epoch;
      batch.resize(size_before);
    }
    answers.push_back(std::move(placed));
  }
  if (batch.empty())
    return answers;
  if (auto written = db_.write(batch, engine::sync::yes); !written) {
    failed_ = true;
    for (auto& state : shards_)
      ++state.epoch;
    log::error("replication", "a group of {} operations was not written: {}", batch.size(),
               written.error().to_string());
    for (auto& answer : answers)
      if (answer)
        answer = tl::unexpected<error>{written.error()};
  }
  return answers;
}

} // namespace candor::replication
