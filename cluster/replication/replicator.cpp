#include "cluster/replication/replicator.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"
#include "storage/engine/keys.hpp"

namespace candor::replication {

namespace {

using engine::operation;
using engine::table;

constexpr millis try_again_every{500};
constexpr millis ask_pages_every{200};
constexpr millis empty_after{60'000}; ///< of nobody wanting what lies here
constexpr millis ask_once_more_every{5000};

/// Tables whose rows make up a shard's state; the log is not part of it.
constexpr table copied_tables[] = {table::user, table::timer,     table::audit, table::policy,
                                   table::meta, table::catalogue, table::spend};

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

position place_of(const entry& e) {
  return {e.seq, e.term, e.chain};
}

/// Where the records end before the head, the next one leaves a gap that shows.
result<stores::audit_head> find_audit_head(const engine::engine& db, shard_id shard) {
  CANDOR_TRY(head, stores::read_audit_head(db, shard));
  if (head && head->index > 1 && planted(bug::audit_tail_lost)) {
    stores::audit_head before;
    CANDOR_TRY_VOID(stores::read_audit(db, shard, head->index - 1, [&](const auto& record) {
      before = {record.index, record.hash};
      return false;
    }));
    return before;
  }
  if (head)
    return *head;
  CANDOR_TRY(orphan, db.last(table::audit, engine::shard_begin(shard), engine::shard_end(shard)));
  if (orphan)
    return fail(errc::corrupt, "there are records and no head");
  return stores::audit_head{};
}

} // namespace

namespace {

result<void> write_job(const disk_job& job, engine::engine& db, stores::user_keys& keys) {
  for (auto shard : job.drop_keys)
    CANDOR_TRY_VOID(keys.drop_shard(shard));
  for (const auto& page : job.pages) {
    auto taken = keys.import_page(page.page, page.bytes);
    if (taken)
      continue;
    auto why = taken.error().code;
    if (why != errc::corrupt && why != errc::conflict && why != errc::bad_value)
      return taken;
    // The sender's fault, not this disk's: what needs the page is not acknowledged.
    log::error("replication", "a page of keys is refused: {}", taken.error().to_string());
  }
  if (!job.batch.empty())
    CANDOR_TRY_VOID(
        db.write(job.batch, planted(bug::no_fsync) ? engine::sync::no : engine::sync::yes));
  return {};
}

} // namespace

disk_outcome carry_out(const disk_job& job, engine::engine& db, stores::user_keys& keys) {
  disk_outcome outcome{write_job(job, db, keys), {}};
  if (!outcome.written)
    return outcome;
  if (planted(bug::key_kept_by_copies))
    return outcome;
  for (auto key : job.destroy)
    if (auto gone = keys.destroy(key); !gone) {
      log::error("replication", "a key could not be destroyed: {}", gone.error().to_string());
      outcome.not_destroyed.push_back(key);
    }
  return outcome;
}

result<std::unique_ptr<replicator>> replicator::open(engine::engine& db, stores::user_keys& keys,
                                                     leases& promises, const clock& time,
                                                     replicator_options options) {
  std::unique_ptr<replicator> self{new replicator{db, keys, promises, time, std::move(options)}};
  self->shards_.resize(self->options_.shards.value);
  CANDOR_TRY_VOID(self->recover());
  return self;
}

result<void> replicator::recover() {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto shard = static_cast<shard_id>(i);
    CANDOR_TRY(found, read_shard(db_, shard));
    restart(shard, std::move(found));
  }
  return {};
}

void replicator::restart(shard_id shard, found_shard found) {
  auto& s = shards_[shard];
  ++s.machines;
  s.machine = std::make_unique<replica>(shard, options_.self, options_.protocol, leases_, *this);
  s.machine->set_room(room_);
  s.unapplied.assign(std::make_move_iterator(found.unapplied.begin()),
                     std::make_move_iterator(found.unapplied.end()));
  s.heard.clear();
  s.held.clear();
  s.arriving.reset();
  s.published = 0;
  s.queued = found.end.seq;
  s.last_erasure = 0;
  for (const auto& e : s.unapplied)
    if (!e.destroys.empty())
      s.last_erasure = e.seq;
  s.found_term = s.term = found.term;
  s.in_use = now();
  s.applied = s.applying = found.applied;
  s.next_cut = found.end.seq;
  s.bytes_since_cut = 0;
  s.doomed = std::move(found.doomed);
  if (found.end.seq != 0 || found.installing || !keys_.pages(shard).empty())
    begin_to_hold(shard);
  if (!found.installing)
    for (const auto& key : s.doomed) { // what a crash interrupted
      next_.destroy.push_back(key.key);
      next_under_way_.destroyed.emplace_back(shard, key);
    }
  if (found.installing) { // half a copy is nothing: what is there of it must go first
    s.applied = s.applying = {};
    s.unapplied.clear();
    s.queued = 0;
    s.doomed.clear();
    auto emptied = erase_shard(shard);
    next_.batch.insert(next_.batch.end(), emptied.begin(), emptied.end());
    next_.batch.push_back(erase_installing(shard));
    next_.drop_keys.push_back(shard);
    next_under_way_.then.push_back([this, shard, arrived = s.arrived] {
      auto& s = shards_[shard];
      s.holds = s.arrived != arrived || !keys_.pages(shard).empty();
    });
  }
  step(shard, [&](replica& r, effects& out) {
    r.start({found.term, found.installing ? position{} : found.end, s.applied.at}, now(), out);
    if (s.wanted) // the placement says it once
      r.wanted(*s.wanted, now(), out);
  });
  tell_destroyed(shard);
  outbox_.config_reads.insert(shard);
  dirty_.insert(shard);
}

/// From before it is on the disk. It ends when all was removed and nothing came since.
void replicator::begin_to_hold(shard_id shard) {
  shards_[shard].holds = true;
  ++shards_[shard].arrived;
}

void replicator::tell_destroyed(shard_id shard) {
  auto& s = shards_[shard];
  auto until = s.applied.at.seq;
  for (const auto& key : s.doomed)
    until = std::min(until, key.seq - 1);
  s.machine->destroyed(until);
}

void replicator::empty(shard_id shard) {
  auto& s = shards_[shard];
  if (s.led_term != 0)
    close(shard);
  std::erase_if(writes_, [&](const auto& w) { return w.first == shard; });
  for (const auto& key : s.doomed) // their pages go whole
    std::erase(next_.destroy, key.key);
  found_shard nothing;
  nothing.term = s.term;
  nothing.installing = true;
  restart(shard, std::move(nothing));
}

/// A disk that was taken out of a shard must not keep it: what is erased later would stay readable
/// here. It is asked of the coordinator once more, since this node may have been cut off.
void replicator::empty_where_nobody_wants_it(shard_id shard) {
  auto& s = shards_[shard];
  const auto& config = s.machine->config();
  auto counts = [&](const std::vector<sharding::member>& members) {
    return std::ranges::find(members, options_.self) != members.end();
  };
  if (s.machine->now_is() != role::follower || config.version == 0 || counts(config.in_sync) ||
      !s.wanted || s.wanted->empty() || counts(*s.wanted) || s.arriving || !s.holds) {
    s.in_use = now();
    s.asked_once_more.reset();
    return;
  }
  if (now() - s.in_use < empty_after) {
    s.asked_once_more.reset();
    return;
  }
  if (!s.asked_once_more || now() - *s.asked_once_more > ask_once_more_every) {
    s.asked_once_more = now();
    outbox_.config_reads.insert(shard);
    return;
  }
  if (s.read_at < *s.asked_once_more)
    return;
  log::info("replication", "shard={} is not wanted here: its rows and keys are removed", shard);
  empty(shard);
}

// -- one step of a replica, and what comes of it
// -----------------------------------------------------

template <class Step>
void replicator::step(shard_id shard, Step step) {
  effects out;
  step(*shards_[shard].machine, out);
  carry_out_effects(shard, out);
  review(shard);
}

void replicator::carry_out_effects(shard_id shard, effects& out) {
  for (auto& write : out.writes)
    queue_write(shard, std::move(write));
  for (auto& [to, m] : out.messages) {
    if (auto p = std::get_if<prepare>(&m.body))
      send_pages(shard, to.node, *p);
    send(to.node, std::move(m));
  }
  for (auto& swap : out.swaps)
    outbox_.swaps.emplace_back(shard, std::move(swap));
  if (out.read_config)
    outbox_.config_reads.insert(shard);
  for (const auto& lost : out.lost)
    log::error("replication",
               "shard={} the disk of {} has lost what it acknowledged, up to entry {}", shard,
               lost.disk.node, lost.upto);
  for (const auto& to : out.exports)
    begin_copy(shard, to);
}

void replicator::queue_write(shard_id shard, log_write write) {
  auto& s = shards_[shard];
  if (write.truncate_from) {
    auto from = *write.truncate_from;
    CANDOR_ASSERT(from > s.applying.at.seq);
    while (!s.unapplied.empty() && s.unapplied.back().seq >= from)
      s.unapplied.pop_back();
    s.last_erasure = std::min(s.last_erasure, from - 1);
  }
  for (const auto& record : write.records) {
    auto heard = s.heard.extract(record.at.seq);
    if (heard && place_of(heard.mapped()) == record.at) {
      s.unapplied.push_back(std::move(heard.mapped()));
    } else { // another entry was heard at this place since
      auto decoded = decode_entry(*record.bytes);
      CANDOR_ASSERT(decoded && place_of(*decoded) == record.at);
      s.unapplied.push_back(std::move(*decoded));
    }
    if (!s.unapplied.back().destroys.empty())
      s.last_erasure = record.at.seq;
    s.bytes_since_cut += record.bytes->size();
  }
  if (!write.records.empty())
    begin_to_hold(shard);
  writes_.emplace_back(shard, std::move(write));
  dirty_.insert(shard);
}

void replicator::review(shard_id shard) {
  auto& s = shards_[shard];
  auto& r = *s.machine;
  // What is committed is answered, also where this very step gave up leading.
  while (!s.waiting.empty() && r.term() == s.led_term &&
         (s.waiting.front().seq <= r.committed() || planted(bug::ack_before_copies))) {
    auto done = std::move(s.waiting.front());
    s.waiting.pop_front();
    done.then(std::move(done.outcome));
  }
  if (s.led_term != 0 && (r.now_is() != role::serving || r.term() != s.led_term))
    close(shard);
  else if (s.place && r.leaving())
    take_no_more(shard);
  if (r.now_is() == role::serving)
    s.led_term = r.term();
  if (r.committed() > s.applying.at.seq)
    dirty_.insert(shard);
  if (s.published != r.config().version) {
    s.published = r.config().version;
    outbox_.changed[shard] = r.config();
  }
  if (s.openers.empty() || s.led_term == 0 || r.leaving() || failed_ || !s.waiting.empty() ||
      s.applied.at.seq != r.end().seq)
    return;
  if (!s.place) {
    auto audit = find_audit_head(db_, shard);
    if (!audit) {
      log::error("replication", "shard={} its audit chain cannot be read: {}", shard,
                 audit.error().to_string());
      return;
    }
    s.place = placing{r.end().seq, r.end().chain, std::max(s.applied.time, timestamp{}), *audit};
    if (r.end().seq == 0)
      s.place->time = clock_.now();
  }
  shard_opening opening{
      s.epoch,       r.term(), s.place->seq, r.config().generation, log_clock{s.place->time, now()},
      s.place->audit};
  for (auto& then : std::exchange(s.openers, {}))
    then(opening);
}

void replicator::take_no_more(shard_id shard) {
  auto& s = shards_[shard];
  outbox_.closed.emplace_back(shard, s.epoch);
  ++s.epoch;
  s.place.reset();
}

void replicator::close(shard_id shard) {
  auto& s = shards_[shard];
  take_no_more(shard);
  s.led_term = 0;
  s.placed.clear();
  s.pages_sent.clear();
  for (auto& w : std::exchange(s.waiting, {}))
    w.then(fail(errc::outcome_unknown, "the shard went to another primary meanwhile"));
}

// -- appends
// -------------------------------------------------------------------------------------------

void replicator::open_shard(shard_id shard, opened then) {
  CANDOR_ASSERT(shard < shards_.size());
  shards_[shard].openers.push_back(std::move(then));
  review(shard);
}

result<committed> replicator::place_one(const draft& from, shard_id shard, placing& at, entry& e) {
  e.shard = shard;
  e.term = shards_[shard].led_term;
  e.seq = at.seq + 1;
  e.time = std::max(from.time, at.time);
  e.destroys = from.destroys;
  std::set<std::uint64_t> pages{from.pages.begin(), from.pages.end()};
  for (const auto& row : from.rows) {
    auto operation = row.operation;
    if (row.sealed_for && operation.kind == operation::what::put) {
      auto number = nonce(e, static_cast<std::uint32_t>(e.operations.size()));
      CANDOR_TRY(sealed, keys_.seal(row.sealed_for->key, number, row.sealed_for->person.view(),
                                    operation.value));
      operation.value = std::move(sealed);
      pages.insert(row.sealed_for->key.page);
    }
    e.operations.push_back(std::move(operation));
  }
  e.pages.assign(pages.begin(), pages.end());
  committed placed{e.term, e.seq, e.time, {}};
  auto head = at.audit;
  for (const auto& event : from.audit) {
    auto record = stores::chain(shard, head, event);
    head = {record.index, record.hash};
    placed.audit.push_back(head);
    e.operations.push_back({operation::what::put, table::audit,
                            engine::audit_key(shard, record.index), stores::encode(record)});
  }
  if (!from.audit.empty())
    e.operations.push_back(stores::head_row(shard, head));
  at.seq = e.seq;
  at.time = e.time;
  at.audit = head;
  return placed;
}

void replicator::append(const append_request& request, answer then) {
  CANDOR_ASSERT(request.shard < shards_.size());
  auto& s = shards_[request.shard];
  auto refuse = [&](const error& why) {
    if (s.waiting.empty())
      then(tl::unexpected<error>{why});
    else // answers come in the order of the requests
      s.waiting.push_back({s.waiting.back().seq, tl::unexpected<error>{why}, std::move(then)});
  };
  if (!s.place || request.epoch != s.epoch)
    return refuse({errc::outcome_unknown, "an earlier write to this shard failed"});
  auto at = *s.place;
  std::vector<committed> placed;
  std::vector<log_record> records;
  std::vector<entry> entries;
  for (const auto& draft : request.drafts) {
    entry e;
    auto one = place_one(draft, request.shard, at, e);
    if (!one) { // nothing of it is kept, and what its owner built on it must not be either
      ++s.epoch;
      return refuse(one.error());
    }
    auto bytes = std::make_shared<const std::string>(encode(e, at.chain));
    at.chain = e.chain;
    records.push_back({place_of(e), std::move(bytes)});
    placed.push_back(std::move(*one));
    entries.push_back(std::move(e));
  }
  s.place = at;
  for (auto& e : entries) {
    auto seq = e.seq;
    s.heard.insert_or_assign(seq, std::move(e));
  }
  s.waiting.push_back({at.seq, std::move(placed), std::move(then)});
  s.placed.insert(s.placed.end(), std::make_move_iterator(records.begin()),
                  std::make_move_iterator(records.end()));
  placed_.insert(request.shard);
}

void replicator::flush() {
  for (auto shard : std::exchange(placed_, {}))
    if (auto records = std::exchange(shards_[shard].placed, {}); !records.empty())
      step(shard, [&](replica& r, effects& out) { r.append(std::move(records), now(), out); });
}

// -- the disk
// --------------------------------------------------------------------------------------------

void replicator::add_applies(shard_id shard, disk_job& job) {
  auto& s = shards_[shard];
  auto& r = *s.machine;
  // Where nobody else counts, an entry is committed by the very write that makes it durable.
  auto up_to =
      r.alone() && r.now_is() == role::serving ? s.queued : std::min(r.committed(), s.queued);
  auto before = s.applying.at.seq;
  while (!s.unapplied.empty() && s.unapplied.front().seq <= up_to) {
    auto& e = s.unapplied.front();
    CANDOR_ASSERT(e.seq == s.applying.at.seq + 1);
    s.applying = {place_of(e), e.time};
    job.batch.insert(job.batch.end(), std::make_move_iterator(e.operations.begin()),
                     std::make_move_iterator(e.operations.end()));
    for (auto key : e.destroys) {
      doomed_key doomed{e.seq, key};
      job.batch.push_back(put_doomed(shard, doomed));
      job.destroy.push_back(key);
      s.doomed.push_back(doomed);
      under_way_->destroyed.emplace_back(shard, doomed);
    }
    s.unapplied.pop_front();
  }
  if (s.applying.at.seq == before)
    return;
  job.batch.push_back(put_applied(shard, s.applying));
  under_way_->applying.insert(shard);
}

void replicator::add_cut(shard_id shard, disk_job& job) {
  auto& s = shards_[shard];
  if (s.bytes_since_cut < options_.log_kept_bytes)
    return;
  auto to = std::min({s.next_cut, s.applied.at.seq, s.machine->needed_from()});
  for (const auto& [where, copy] : leaving_)
    if (where.first == shard)
      to = std::min(to, copy.mark.at.seq + 1);
  if (planted(bug::cut_too_far))
    to = s.queued + 1;
  if (to > s.cut) {
    job.batch.push_back(cut_log(shard, s.cut, to));
    s.cut = to;
  }
  s.next_cut = s.machine->end().seq;
  s.bytes_since_cut = 0;
}

std::optional<disk_job> replicator::take_job() {
  if (under_way_ || failed_)
    return std::nullopt;
  auto job = std::exchange(next_, {});
  under_way_ = std::exchange(next_under_way_, {});
  for (auto& [shard, write] : std::exchange(writes_, {})) {
    auto& s = shards_[shard];
    if (write.truncate_from)
      job.batch.push_back(cut_log(shard, *write.truncate_from, ~std::uint64_t{0}));
    for (const auto& record : write.records)
      job.batch.push_back(put_record(shard, record));
    if (write.term)
      job.batch.push_back(put_term(shard, *write.term));
    if (!write.records.empty())
      s.queued = write.records.back().at.seq;
    else if (write.truncate_from)
      s.queued = std::min(s.queued, *write.truncate_from - 1);
    under_way_->tickets.push_back({shard, s.machines, write.number, write.term});
  }
  for (auto shard : std::exchange(dirty_, {})) {
    add_applies(shard, job);
    add_cut(shard, job);
  }
  if (job.batch.empty() && job.pages.empty() && job.destroy.empty() && job.drop_keys.empty() &&
      under_way_->tickets.empty()) {
    auto then = std::move(under_way_->then);
    under_way_.reset();
    for (auto& call : then)
      call();
    return std::nullopt;
  }
  under_way_->since = now();
  return job;
}

void replicator::job_done(const disk_outcome& outcome) {
  CANDOR_ASSERT(under_way_);
  auto done = std::move(*under_way_);
  under_way_.reset();
  if (!outcome.written)
    return fail_all(outcome.written.error());
  for (auto shard : done.applying) {
    auto& s = shards_[shard];
    s.applied = s.applying;
    s.machine->applied(s.applied.at.seq);
  }
  for (const auto& [shard, key] : done.destroyed) {
    if (std::ranges::find(outcome.not_destroyed, key.key) != outcome.not_destroyed.end())
      continue;
    std::erase(shards_[shard].doomed, key);
    next_.batch.push_back(erase_doomed(shard, key));
  }
  auto changed = done.applying;
  for (const auto& [shard, _] : done.destroyed)
    changed.insert(shard);
  for (auto shard : changed)
    tell_destroyed(shard);
  for (const auto& asked : done.tickets) {
    if (asked.machine != shards_[asked.shard].machines)
      continue;
    if (asked.term)
      shards_[asked.shard].term = *asked.term;
    step(asked.shard, [&](replica& r, effects& out) { r.written(asked.number, now(), out); });
  }
  for (auto& call : done.then)
    call();
  for (auto shard : done.applying)
    review(shard);
}

/// Nothing of what was in memory can be trusted: the disk says what is, once it can be asked.
void replicator::fail_all(const error& why) {
  log::error("replication", "a group was not written: {}", why.to_string());
  failed_ = true;
  if (why.code == errc::corrupt)
    damaged_ = why;
  tried_again_ = now();
  writes_.clear();
  next_ = {};
  next_under_way_ = {};
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto shard = static_cast<shard_id>(i);
    auto& s = shards_[i];
    for (auto& w : std::exchange(s.waiting, {}))
      w.then(tl::unexpected<error>{why});
    effects out;
    auto leads = s.machine->now_is() == role::serving;
    if (auto to = leads ? find_successor(*s.machine) : std::nullopt) {
      s.machine->abandon(*to, now(), out);
      carry_out_effects(shard, out);
    } else {
      s.machine->fence(now(), out); // it is made anew before anything that it wants could be done
    }
    if (s.led_term != 0)
      close(shard);
  }
}

/// Another in-sync member, which was heard of lately and has room.
std::optional<sharding::member> replicator::find_successor(const replica& r) const {
  for (const auto& m : r.config().in_sync)
    if (m != options_.self && !r.is_low(m) &&
        now() - leases_.last_echo(m) <= options_.protocol.silence / 2)
      return m;
  return std::nullopt;
}

std::vector<log_record> replicator::read(shard_id shard, std::uint64_t from,
                                         std::size_t bytes) const {
  auto records = read_log(db_, shard, from, bytes);
  if (!records) {
    log::error("replication", "shard={} its log cannot be read: {}", shard,
               records.error().to_string());
    return {};
  }
  return std::move(*records);
}

// -- from outside
// ---------------------------------------------------------------------------------------

void replicator::configured(shard_id shard, const sharding::shard_config& config,
                            std::uint64_t version) {
  if (shard >= shards_.size())
    return;
  // A coordinator that was lost and made anew knows less than this disk: what it says would let
  // others lead without what is here.
  if (config.term < shards_[shard].found_term) {
    if (!std::exchange(shards_[shard].told_behind, true))
      log::error(
          "replication",
          "shard={} the coordinator is at term {}, this disk at {}: was etcd restored from an "
          "old copy, or made anew? This node takes no part in the shard",
          shard, config.term, shards_[shard].found_term);
    return;
  }
  step(shard, [&](replica& r, effects& out) { r.configured(config, version, now(), out); });
}

void replicator::swapped(shard_id shard, ticket number, swap_outcome outcome) {
  step(shard, [&](replica& r, effects& out) { r.swapped(number, outcome, now(), out); });
}

void replicator::config_read(shard_id shard, const sharding::shard_config& config,
                             std::uint64_t version, millis asked) {
  configured(shard, config, version);
  if (shard >= shards_.size() || config.term < shards_[shard].found_term)
    return;
  flush(); // what was taken goes before a shard takes no more
  shards_[shard].read_at = asked;
  step(shard, [&](replica& r, effects& out) { r.confirmed(config, asked, now(), out); });
}

void replicator::wanted(shard_id shard, std::vector<sharding::member> members,
                        std::vector<sharding::member> holders) {
  if (shard >= shards_.size())
    return;
  shards_[shard].holders = std::move(holders);
  shards_[shard].wanted = members;
  step(shard, [&](replica& r, effects& out) { r.wanted(std::move(members), now(), out); });
}

result<void> replicator::renew(shard_id shard, std::uint64_t term_floor) {
  CANDOR_ASSERT(shard < shards_.size());
  auto done = false;
  step(shard, [&](replica& r, effects& out) { done = r.renew(term_floor, now(), out); });
  return done ? result<void>{}
              : fail(errc::conflict, "this node does not lead it, or it is being changed");
}

void replicator::found_room(disk_room room) {
  room_ = room;
  for (auto& s : shards_)
    s.machine->set_room(room_as_told(*s.machine));
}

/// A node that is to end is done without like one whose disk has no room.
disk_room replicator::room_as_told(const replica& r) const {
  return ending_ && r.now_is() != role::serving ? std::max(room_, disk_room::low) : room_;
}

bool replicator::has_left() const {
  return std::ranges::all_of(shards_, [&](const auto& s) {
    const auto& r = *s.machine;
    const auto& in_sync = r.config().in_sync;
    // Who is not heard at the moment may be heard in time; who leaves too will not take it.
    if (r.now_is() == role::serving)
      return std::ranges::none_of(
          in_sync, [&](const auto& m) { return m != options_.self && !r.is_low(m); });
    return std::ranges::find(in_sync, options_.self) == in_sync.end() ||
           in_sync.size() <= r.config().in_sync_min;
  });
}

void replicator::tick() {
  if (failed_) {
    if (now() - tried_again_ < try_again_every)
      return;
    tried_again_ = now();
    auto back = db_.resume();
    if (back) {
      failed_ = false;
      writes_.clear(); // of replicas that are made anew now
      next_ = {};
      next_under_way_ = {};
      back = recover();
    }
    if (!back) {
      failed_ = true;
      log::error("replication", "the disk takes no writes: {}", back.error().to_string());
      return;
    }
    log::info("replication", "writes go on");
  }
  auto hanging = under_way_ ? now() - under_way_->since : millis{0};
  auto leave = patience_.leaves(now(), hanging), left = false;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto shard = static_cast<shard_id>(i);
    step(shard, [&](replica& r, effects& out) {
      if (ending_)
        r.set_room(room_as_told(r));
      r.tick(now(), out);
      if (r.now_is() != role::serving || r.alone())
        return;
      if (hanging > options_.fence_after) {
        r.fence(now(), out);
      } else if (leave || ending_ || room_ != disk_room::ample) {
        if (auto to = find_successor(r))
          left |= r.hand_off(*to, now(), out);
      }
    });
  }
  if (leave && left) {
    if (patience_.left < under_way_->since)
      log::warn("replication", "a sync takes {} ms: this node leaves its shards to others",
                hanging.count());
    patience_.left = now();
  }
  for (auto it = leaving_.begin(); it != leaving_.end();)
    it = now() - it->second.heard > limits::copy_silence ? leaving_.erase(it) : std::next(it);
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    auto& s = shards_[i];
    if (s.arriving && now() - s.arriving->heard > limits::copy_silence)
      empty(static_cast<shard_id>(i));
    empty_where_nobody_wants_it(static_cast<shard_id>(i));
  }
}

std::vector<replica_status> replicator::status() const {
  std::vector<replica_status> all;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const auto& s = shards_[i];
    all.push_back({static_cast<shard_id>(i), s.machine->now_is(), s.machine->end().seq,
                   s.machine->committed(), s.applied.at.seq, s.machine->config()});
  }
  return all;
}

session_state replicator::for_sessions(shard_id shard) const {
  const auto& s = shards_[shard];
  auto held = s.machine->holds_all_of();
  if (!held || failed_ || s.arriving || s.applied.at.seq < s.last_erasure)
    return {};
  return {s.machine->config().generation, *held};
}

std::uint64_t replicator::destroyed_everywhere(shard_id shard) const {
  const auto& s = shards_.at(shard);
  if (!s.holders ||
      !std::ranges::all_of(*s.holders, [&](const auto& m) { return s.machine->knows(m); }))
    return 0;
  return s.machine->destroyed_everywhere();
}

// -- between nodes
// -----------------------------------------------------------------------------------------

void replicator::send(const std::string& node, peer_item item) {
  outbox_.items[node].push_back(std::move(item));
}

/// Pages that the receiver is likely to lack, ahead of the entries that need them.
void replicator::send_pages(shard_id shard, const std::string& node, const prepare& p) {
  auto& s = shards_[shard];
  if (p.entries.empty() || s.unapplied.empty())
    return;
  auto& sent = s.pages_sent[node];
  page_copies copies{shard, {}};
  for (const auto& record : p.entries) {
    if (record.at.seq < s.unapplied.front().seq || record.at.seq > s.unapplied.back().seq)
      continue; // an old one: what it lacks, the receiver asks for
    for (auto page : s.unapplied[record.at.seq - s.unapplied.front().seq].pages) {
      if (!sent.insert(page).second)
        continue;
      if (auto bytes = keys_.export_page(page))
        copies.pages.push_back({page, std::move(*bytes)});
    }
  }
  if (!copies.pages.empty())
    send(node, std::move(copies));
}

result<void> replicator::receive(const std::string& node, std::string_view frame) {
  CANDOR_TRY(items, decode_frame(frame));
  for (auto& item : items) {
    auto shard = std::visit([](const auto& x) { return x.shard; }, item);
    if (shard >= shards_.size())
      return fail(errc::corrupt, fmt::format("there is no shard {}", shard));
    if (!failed_)
      std::visit([&](auto& x) { receive(node, std::move(x)); }, item);
  }
  return {};
}

void replicator::receive(const std::string& node, message m) {
  auto& s = shards_[m.shard];
  if (s.arriving || m.from.node != node)
    return;
  if (auto p = std::get_if<prepare>(&m.body)) {
    s.in_use = now();
    page_request missing{m.shard, {}};
    for (const auto& record : p->entries) {
      if (record.at.seq <= s.machine->committed())
        continue;
      auto known = s.heard.find(record.at.seq);
      if (known == s.heard.end() || place_of(known->second) != record.at) {
        auto decoded = decode_entry(*record.bytes);
        if (!decoded || decoded->shard != m.shard || place_of(*decoded) != record.at) {
          log::error("replication", "shard={} an entry from {} is damaged", m.shard, node);
          return;
        }
        known = s.heard.insert_or_assign(record.at.seq, std::move(*decoded)).first;
      }
      for (auto page : known->second.pages)
        if (!keys_.has_page(page))
          missing.pages.push_back(page);
    }
    if (!missing.pages.empty()) {
      if (s.held.size() < limits::held_prepares)
        s.held.push_back(m);
      if (now() - s.pages_asked >= ask_pages_every) {
        s.pages_asked = now();
        send(node, std::move(missing));
      }
      return;
    }
  }
  auto shard = m.shard;
  step(shard, [&](replica& r, effects& out) { r.receive(m, now(), out); });
  // What the replica did not take will be heard again.
  if (s.heard.size() > limits::held_entries)
    s.heard.clear();
}

void replicator::receive(const std::string& node, page_copies x) {
  begin_to_hold(x.shard);
  for (auto& page : x.pages)
    next_.pages.push_back(std::move(page));
  next_under_way_.then.push_back([this, node, shard = x.shard] {
    for (auto& m : std::exchange(shards_[shard].held, {}))
      receive(m.from.node, std::move(m));
  });
}

void replicator::receive(const std::string& node, const page_request& x) {
  page_copies copies{x.shard, {}};
  for (auto page : x.pages)
    if (copies.pages.size() < limits::pages_at_a_time)
      if (auto bytes = keys_.export_page(page))
        copies.pages.push_back({page, std::move(*bytes)});
  if (!copies.pages.empty())
    send(node, std::move(copies));
}

// A copy of a shard's state: the tables of one moment, in parts, and the pages of its keys.

void replicator::begin_copy(shard_id shard, const sharding::member& to) {
  auto where = std::pair{shard, to.node};
  if (auto known = leaving_.find(where); known != leaving_.end() && known->second.to == to)
    return;
  // It is asked for again. While a key waits to be destroyed, its page still holds it.
  if (leaving_.size() >= limits::copies_leaving || !shards_[shard].doomed.empty())
    return;
  leaving_copy copy;
  copy.to = to;
  copy.id = (static_cast<std::uint64_t>(now().count()) << 16) | (++copies_ & 0xffff);
  copy.state = db_.snapshot();
  copy.heard = now();
  auto key = applied_key(shard);
  auto read =
      copy.state->scan(table::meta, key, key + '\0', [&](std::string_view, std::string_view value) {
        if (auto mark = decode_applied(value))
          copy.mark = *mark;
        return false;
      });
  if (!read) {
    log::error("replication", "shard={} cannot be copied", shard);
    return;
  }
  copy.pages = keys_.pages(shard);
  copy.key = engine::shard_begin(shard);
  log::info("replication", "shard={} a copy up to entry {} goes to {}", shard, copy.mark.at.seq,
            to.node);
  send(to.node, copy_begin{shard, shards_[shard].machine->term(), copy.id, copy.mark});
  leaving_.insert_or_assign(where, std::move(copy));
}

void replicator::receive(const std::string& node, const copy_taken& x) {
  auto it = leaving_.find({x.shard, node});
  if (it == leaving_.end() || it->second.id != x.id)
    return;
  auto& copy = it->second;
  copy.heard = now();
  copy.begun = true;
  copy.taken = std::max(copy.taken, x.index);
  if (copy.all_sent && copy.taken == copy.sent) {
    leaving_.erase(it);
    return;
  }
  go_on(copy, x.shard);
}

void replicator::go_on(leaving_copy& copy, shard_id shard) {
  while (!copy.all_sent && copy.sent - copy.taken < limits::copy_parts_in_flight) {
    auto part = next_part(copy, shard);
    if (!part)
      return; // it is given up, and asked for again
    copy.all_sent = part->last;
    send(copy.to.node, std::move(*part));
  }
}

std::optional<copy_part> replicator::next_part(leaving_copy& copy, shard_id shard) {
  copy_part part{shard, copy.id, ++copy.sent, false, {}, {}};
  std::size_t bytes = 0;
  while (!copy.pages.empty() && bytes < limits::copy_part_bytes) {
    auto page = copy.pages.back();
    copy.pages.pop_back();
    auto exported = keys_.export_page(page);
    if (!exported) {
      log::error("replication", "shard={} a page of keys cannot be copied: {}", shard,
                 exported.error().to_string());
      return std::nullopt;
    }
    bytes += exported->size();
    part.pages.push_back({page, std::move(*exported)});
  }
  for (; copy.table < std::size(copied_tables) && bytes < limits::copy_part_bytes;) {
    auto from = copied_tables[copy.table];
    if (from == table::timer && planted(bug::copy_short)) {
      ++copy.table;
      continue;
    }
    auto whole = true;
    auto read =
        copy.state->scan(from, copy.key, engine::shard_end(shard),
                         [&](std::string_view key, std::string_view value) {
                           if (bytes >= limits::copy_part_bytes) {
                             copy.key = key;
                             whole = false;
                             return false;
                           }
                           bytes += key.size() + value.size();
                           part.rows.push_back({from, std::string{key}, std::string{value}});
                           return true;
                         });
    if (!read) {
      log::error("replication", "shard={} cannot be copied: {}", shard, read.error().to_string());
      return std::nullopt;
    }
    if (!whole)
      break;
    ++copy.table;
    copy.key = engine::shard_begin(shard);
  }
  part.last = copy.pages.empty() && copy.table == std::size(copied_tables);
  return part;
}

void replicator::receive(const std::string& node, const copy_begin& x) {
  auto& s = shards_[x.shard];
  if (s.arriving && s.arriving->from == node && s.arriving->id == x.id)
    return;
  if (s.arriving) // its sender gave the other one up
    empty(x.shard);
  if (!s.machine->begin_install(x.term, x.mark.at))
    return;
  log::info("replication", "shard={} a copy up to entry {} comes from {}", x.shard, x.mark.at.seq,
            node);
  begin_to_hold(x.shard);
  s.arriving = arriving_copy{node, x.id, x.mark, 0, now()};
  s.unapplied.clear();
  s.last_erasure = 0;
  s.heard.clear();
  s.held.clear();
  s.applied = s.applying = {};
  s.queued = 0;
  for (const auto& key : std::exchange(s.doomed, {})) { // their pages go whole
    next_.batch.push_back(erase_doomed(x.shard, key));
    std::erase(next_.destroy, key.key);
  }
  for (auto& [shard, write] : writes_) // of what was asked for, only the term still matters
    if (shard == x.shard) {
      write.truncate_from.reset();
      write.records.clear();
    }
  auto emptied = erase_shard(x.shard);
  next_.batch.insert(next_.batch.end(), emptied.begin(), emptied.end());
  next_.batch.push_back(put_installing(x.shard));
  next_.drop_keys.push_back(x.shard);
  next_under_way_.then.push_back([this, node, shard = x.shard, id = x.id] {
    auto& a = shards_[shard].arriving;
    if (!a || a->id != id)
      return;
    a->next = 1;
    send(node, copy_taken{shard, id, 0});
  });
}

void replicator::receive(const std::string& node, copy_part x) {
  auto& s = shards_[x.shard];
  if (!s.arriving || s.arriving->from != node || s.arriving->id != x.id ||
      s.arriving->next != x.index)
    return;
  s.arriving->heard = now();
  ++s.arriving->next;
  for (auto& row : x.rows) {
    // Rows of another shard are nobody's to send here.
    if (!row.key.starts_with(engine::shard_begin(x.shard)))
      continue;
    next_.batch.push_back(
        {operation::what::put, row.table, std::move(row.key), std::move(row.value)});
  }
  for (auto& page : x.pages)
    next_.pages.push_back(std::move(page));
  if (x.last) {
    next_.batch.push_back(put_applied(x.shard, s.arriving->mark));
    next_.batch.push_back(erase_installing(x.shard));
  }
  next_under_way_.then.push_back(
      [this, node, shard = x.shard, id = x.id, index = x.index, last = x.last] {
        auto& s = shards_[shard];
        if (!s.arriving || s.arriving->id != id)
          return;
        send(node, copy_taken{shard, id, index});
        if (!last)
          return;
        auto mark = s.arriving->mark;
        s.arriving.reset();
        s.applied = s.applying = mark;
        s.queued = mark.at.seq;
        s.cut = mark.at.seq + 1;
        step(shard, [&](replica& r, effects& out) { r.installed(mark.at, now(), out); });
      });
}

} // namespace candor::replication
