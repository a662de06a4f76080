#include "cluster/replication/replica.hpp"

#include <algorithm>

#include "cluster/replication/broken.hpp"
#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::replication {

using sharding::shard_config;

namespace {

constexpr millis ask_again{100};     ///< a configuration, or the outcome of a swap
constexpr millis look_again{1000};   ///< at the configuration, while nobody leads
constexpr millis export_again{1000}; ///< for one member

bool same_member(const member& a, const member& b) {
  return a.node == b.node && (a.disk_id == b.disk_id || broken(variant::keep_id));
}

bool contains(const std::vector<member>& all, const member& m) {
  return std::ranges::any_of(all, [&](const member& x) { return same_member(x, m); });
}

void add(std::vector<member>& to, const member& m) {
  if (!contains(to, m))
    to.push_back(m);
}

void remove(std::vector<member>& from, const member& m) {
  std::erase_if(from, [&](const member& x) { return same_member(x, m); });
}

/// The same on every node and in every build: candidates agree on their order by it.
std::uint64_t mix(shard_id shard, const member& m) {
  std::uint64_t h = 0xcbf29ce484222325ULL ^ shard;
  auto take = [&](std::string_view text) {
    for (unsigned char c : text)
      h = (h ^ c) * 0x100000001b3ULL;
  };
  take(m.node);
  take(m.disk_id);
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  return h ^ h >> 33;
}

} // namespace

variant built_variant() noexcept {
  return variant::CANDOR_BROKEN;
}

replica::replica(shard_id shard, member self, replica_options options, leases& promises,
                 const log_reader& log)
  : shard_{shard}
  , self_{std::move(self)}
  , options_{options}
  , promises_{promises}
  , log_{log} {}

void replica::start(const recovered& found, millis now, effects& out) {
  term_ = found_term_ = found.term;
  end_ = found.end;
  committed_ = found.committed;
  durable_ = end_.seq;
  applied_ = committed_.seq;
  heard_at_ = started_at_ = now;
  promises_.withhold(shard_);
  promises_.stop_leading(shard_);
  set_role(role::follower, now);
  config_asked_ = now;
  out.read_config = true;
}

void replica::set_role(role next, millis now) {
  role_ = next;
  since_ = now;
}

// -- the log
// -----------------------------------------------------------------------------------------

std::uint64_t replica::durable() const {
  return broken(variant::nosync) ? end_.seq : durable_;
}

bool replica::settled_term() const {
  return std::ranges::none_of(writes_, [](const pending_write& w) { return w.term.has_value(); });
}

std::optional<position> replica::place(std::uint64_t seq) const {
  if (seq == 0)
    return position{};
  if (seq == end_.seq)
    return end_;
  if (seq == committed_.seq)
    return committed_;
  if (seq > end_.seq)
    return std::nullopt;
  if (!recent_.empty() && recent_.front().at.seq <= seq)
    return recent_[seq - recent_.front().at.seq].at;
  auto found = log_.read(shard_, seq, 1);
  if (found.empty() || found.front().at.seq != seq)
    return std::nullopt;
  return found.front().at;
}

std::vector<log_record> replica::read_from(std::uint64_t seq, std::size_t bytes) const {
  std::vector<log_record> all;
  if (!recent_.empty() && recent_.front().at.seq <= seq) {
    std::size_t taken = 0;
    for (auto i = seq - recent_.front().at.seq; i < recent_.size(); ++i) {
      taken += recent_[i].bytes->size();
      if (!all.empty() && (taken > bytes || all.size() >= limits::prepare_entries))
        break;
      all.push_back(recent_[i]);
    }
    return all;
  }
  all = log_.read(shard_, seq, bytes);
  if (!all.empty() && all.front().at.seq != seq)
    return {};
  // Beyond what is durable stands what a cut has made invalid.
  while (!all.empty() && (all.back().at.seq > durable_ || all.size() > limits::prepare_entries))
    all.pop_back();
  return all;
}

void replica::trim_recent() {
  auto keep_from = durable_;
  if (leading() && recent_bytes_ <= options_.in_flight_bytes)
    for (const auto& p : peers_)
      keep_from = std::min(keep_from, p.acked.value_or(keep_from));
  while (!recent_.empty() && recent_.front().at.seq <= keep_from) {
    recent_bytes_ -= recent_.front().bytes->size();
    recent_.pop_front();
  }
}

ticket replica::write(std::optional<std::uint64_t> cut, std::vector<log_record> records,
                      std::optional<std::uint64_t> term, effects& out) {
  auto number = ++tickets_;
  writes_.push_back({number, end_.seq, term});
  out.writes.push_back({number, cut, std::move(records), term});
  return number;
}

void replica::written(ticket number, millis now, effects& out) {
  bool any = false;
  while (!writes_.empty() && writes_.front().number <= number) {
    durable_ = std::max(durable_, writes_.front().end);
    writes_.pop_front();
    any = true;
  }
  if (!any)
    return;
  trim_recent();
  if (leading()) {
    for (auto& p : peers_)
      heartbeat(p, now, out);
    advance(now);
    leave(now, out);
  } else {
    if (role_ == role::follower)
      grant_again();
    if (matched_)
      acknowledge(false, now, out);
    consider(now, out);
  }
}

// -- the configuration
// ---------------------------------------------------------------------------------

void replica::ask_config(millis now, effects& out) {
  if (now - config_asked_ < ask_again)
    return;
  config_asked_ = now;
  out.read_config = true;
}

void replica::configured(const shard_config& config, std::uint64_t version, millis now,
                         effects& out) {
  // An equal version proves nothing about a swap whose outcome is unknown: it may still arrive.
  if (version > config_version_) {
    config_ = config;
    config_version_ = version;
    stale_ = false;
    std::erase_if(swaps_, [&](const pending_swap& s) { return s.swap.expected_version < version; });
    if (config_.term > term_) {
      if (leading())
        step_down(now);
      if (!same_member(config_.primary, self_))
        follow(config_.term, config_.primary, now, out);
    } else if (config_.term == term_ && !leading() && !primary_ &&
               !same_member(config_.primary, self_)) {
      primary_ = config_.primary;
      if (role_ == role::follower)
        grant_again();
    } else if (leading() && config_.term == term_) {
      must_changed(now);
      advance(now);
    }
  }
  consider(now, out);
}

void replica::swap(shard_config config, millis now, effects& out) {
  config_swap s{++tickets_, config_version_, std::move(config)};
  swapped_at_ = now;
  swaps_.push_back({s, true});
  out.swaps.push_back(std::move(s));
}

void replica::swapped(ticket number, swap_outcome outcome, millis now, effects& out) {
  auto found =
      std::ranges::find_if(swaps_, [&](const pending_swap& s) { return s.swap.number == number; });
  if (found == swaps_.end())
    return; // a later version is known
  if (outcome == swap_outcome::unknown) {
    found->in_flight = false;
    ask_config(now, out);
    return;
  }
  if (outcome == swap_outcome::refused) {
    // Somebody changed it: another node, or one of ours whose outcome we did not hear.
    swaps_.erase(found);
    stale_ = true;
    config_asked_ = now;
    out.read_config = true;
    return;
  }
  auto config = found->swap.config;
  configured(config, found->swap.expected_version + 1, now, out);
}

// -- what a session may be told
// ------------------------------------------------------------------------

/// What was acknowledged by then is durable on every member of the in-sync set; so it is in the
/// tables where nothing waits to be applied.
void replica::confirmed(const shard_config& record, millis asked, millis now, effects& out) {
  if (leaving_ && !leaving_->takes_no_more && asked >= leaving_->since && swaps_.empty()) {
    leaving_->takes_no_more = true;
    leaving_->since = now;
    leave(now, out);
  }
  if (!installing_ && contains(record.in_sync, self_) && applied_ == end_.seq)
    holds_all_of_ = std::max(holds_all_of_, asked);
}

void replica::note_what_is_held() {
  if (!vouched_ || applied_ < vouched_->first)
    return;
  holds_all_of_ = std::max(holds_all_of_, vouched_->second);
  vouched_.reset();
}

std::optional<millis> replica::holds_all_of() const {
  if (installing_ || holds_all_of_ == millis{0} || config_version_ == 0 || config_.term != term_)
    return std::nullopt;
  return holds_all_of_;
}

void replica::wanted(std::vector<member> members, millis now, effects& /*out*/) {
  wanted_ = std::move(members);
  if (leading()) {
    must_changed(now);
    advance(now);
  }
}

// -- following
// -----------------------------------------------------------------------------------------

void replica::follow(std::uint64_t term, const member& primary, millis now, effects& out) {
  CANDOR_ASSERT(term > term_);
  if (leading())
    step_down(now);
  // What this node granted itself as a primary before is of no use to it any more: if the new
  // primary still keeps a promise to it, it need not.
  if (left_term_ && *left_term_ == term_)
    out.messages.push_back({primary, {shard_, term_, self_, released{}}});
  promises_.withhold(shard_);
  term_ = term;
  primary_ = primary;
  matched_.reset();
  told_committed_ = 0;
  heard_at_ = now;
  vouched_.reset();
  swaps_.clear(); // a later term: each of them was refused, or is overtaken
  ready_at_.reset();
  set_role(role::follower, now);
  write(std::nullopt, {}, term, out);
}

void replica::grant_again() {
  if (primary_ && !same_member(*primary_, self_) && settled_term() && config_.term <= term_)
    promises_.follow(shard_, term_, *primary_);
}

void replica::receive(const message& m, millis now, effects& out) {
  if (m.shard != shard_ || m.from == self_)
    return;
  if (std::holds_alternative<released>(m.body)) {
    promises_.release(shard_, m.from, m.term);
    config_asked_ = now;
    out.read_config = true;
    consider(now, out);
    return;
  }
  const auto* p = std::get_if<prepare>(&m.body);
  if (m.term > term_) {
    if (!p) {
      ask_config(now, out); // somebody follows a later term than ours
      return;
    }
    follow(m.term, m.from, now, out);
  } else if (m.term < term_) {
    // So that a primary that nobody follows any more learns of it.
    if (p)
      out.messages.push_back({m.from, {shard_, term_, self_, acknowledgement{0, true, {}, 0, 0}}});
    return;
  }
  if (p)
    take_prepare(m, *p, now, out);
  else
    take_acknowledgement(m, std::get<acknowledgement>(m.body), now, out);
}

void replica::acknowledge(bool apart, millis now, effects& out) {
  if (!primary_ || leading() || installing_ || !settled_term())
    return;
  acknowledgement a;
  a.verified = matched_ ? std::min(durable(), *matched_) : 0;
  a.apart = apart;
  auto c = matched_ ? std::min(told_committed_, a.verified) : 0;
  if (c > committed_.seq) {
    auto at = place(c);
    CANDOR_ASSERT(at);
    committed_ = *at;
  }
  a.committed = committed_;
  a.applied = applied_;
  a.destroyed = destroyed_;
  a.low_on_disk = room_ != disk_room::ample;
  a.sent = now;
  out.messages.push_back({*primary_, {shard_, term_, self_, a}});
}

void replica::take_prepare(const message& m, const prepare& p, millis now, effects& out) {
  if (leading())
    return;
  if (!primary_) {
    primary_ = m.from;
    if (role_ == role::follower)
      grant_again();
  }
  heard_at_ = now;
  if (installing_)
    return;
  auto previous = p.previous;
  const auto& entries = p.entries;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].at.seq != previous.seq + 1 + i || entries[i].at.term > term_ ||
        !entries[i].bytes)
      return;
  auto last = entries.empty() ? previous : entries.back().at;

  // Where does it connect? What is committed here is compared at its end only: equal chains there
  // are equal logs before.
  std::size_t i = 0;
  if (previous.seq < committed_.seq) {
    if (last.seq < committed_.seq)
      return acknowledge(!matched_, now, out);
    i = committed_.seq - previous.seq;
    previous = entries[i - 1].at;
  }
  if (auto mine = place(previous.seq); !mine || *mine != previous)
    return acknowledge(true, now, out);
  while (i < entries.size() && entries[i].at.seq <= end_.seq) {
    auto mine = place(entries[i].at.seq);
    if (!mine || *mine != entries[i].at)
      break;
    previous = *mine;
    ++i;
  }

  bool writes = i < entries.size();
  if (writes && room_ == disk_room::none) { // what is here already it acknowledges
    writes = false;
    last = previous;
  }
  if (writes) {
    std::optional<std::uint64_t> cut;
    auto from = entries[i].at.seq;
    CANDOR_ASSERT(from > committed_.seq);
    if (from <= end_.seq) {
      cut = from;
      while (!recent_.empty() && recent_.back().at.seq >= from) {
        recent_bytes_ -= recent_.back().bytes->size();
        recent_.pop_back();
      }
      durable_ = std::min(durable_, from - 1);
      for (auto& w : writes_)
        w.end = std::min(w.end, from - 1);
      if (matched_)
        matched_ = std::min(*matched_, from - 1);
    }
    std::vector<log_record> rest{entries.begin() + static_cast<std::ptrdiff_t>(i), entries.end()};
    for (const auto& r : rest) {
      recent_.push_back(r);
      recent_bytes_ += r.bytes->size();
    }
    end_ = last;
    write(cut, std::move(rest), std::nullopt, out);
  }
  matched_ = std::max(matched_.value_or(0), last.seq);
  told_committed_ = std::max(told_committed_, p.committed);
  // What was handed to a process before this one says nothing of this one's clock.
  if (!vouched_ && p.vouched >= started_at_ && p.vouched > millis{0} && p.vouched <= now)
    vouched_ = {p.committed, p.vouched};
  note_what_is_held();
  if (!writes || broken(variant::nosync))
    acknowledge(false, now, out);
}

bool replica::begin_install(std::uint64_t term, const position& at) {
  if (room_ != disk_room::ample || leading() || installing_ || term != term_ || !writes_.empty())
    return false;
  // The primary asks only for one that does not count; it may have caught up by the log since.
  if (matched_ && std::max(committed_.seq, std::min(durable(), *matched_)) >= at.seq)
    return false;
  installing_ = true;
  vouched_.reset();
  holds_all_of_ = millis{0};
  return true;
}

void replica::installed(const position& at, millis now, effects& out) {
  if (!installing_)
    return;
  installing_ = false;
  end_ = committed_ = at;
  durable_ = applied_ = at.seq;
  recent_.clear();
  recent_bytes_ = 0;
  for (auto& w : writes_)
    w.end = at.seq;
  matched_.reset();
  consider(now, out);
}

// -- becoming primary
// ------------------------------------------------------------------------------------

bool replica::eligible() const {
  return contains(config_.in_sync, self_) && config_.term >= term_ && !installing_;
}

bool replica::suspects(millis now) const {
  if (same_member(config_.primary, self_))
    return false;
  auto limit = promises_.heard_by_others(config_.primary.node, now, options_.silence)
                   ? options_.silence_doubted
                   : options_.silence;
  return now - promises_.last_echo(config_.primary) > limit ||
         now - heard_at_ > options_.silence_doubted; // it lives, but it does not lead
}

/// A candidate that nobody would follow only disturbs.
bool replica::can_serve_after(millis now) const {
  std::vector<member> all = config_.in_sync;
  for (const auto& m : wanted_)
    add(all, m);
  auto echoing = std::ranges::count_if(all, [&](const member& m) {
    return same_member(m, self_) || now - promises_.last_echo(m) <= options_.silence;
  });
  return static_cast<std::uint64_t>(echoing) >= config_.in_sync_min;
}

std::uint32_t replica::rank() const {
  std::uint32_t before = 0;
  for (const auto& m : config_.in_sync)
    if (!same_member(m, self_) && !same_member(m, config_.primary) &&
        mix(shard_, m) < mix(shard_, self_))
      ++before;
  return before;
}

void replica::consider(millis now, effects& out) {
  if (leading())
    return;
  bool named = same_member(config_.primary, self_);
  bool appointed = named && config_.term > term_;
  bool led = named && config_.term == term_; // by a process before, or until it was fenced
  bool reason = (appointed || led || suspects(now)) && now >= hold_back_until_;
  if (!eligible() || (!reason && swaps_.empty())) {
    if (role_ == role::candidate) {
      ready_at_.reset();
      set_role(role::follower, now);
      if (!named)
        grant_again();
    }
    return;
  }
  if (role_ != role::candidate) {
    promises_.withhold(shard_);
    ready_at_.reset();
    set_role(role::candidate, now);
  }
  // A primary grants nothing, and nobody else was followed since; or nobody ever led.
  if ((led && found_term_ == term_) ||
      (found_term_ == 0 && config_.term <= 1 && config_.in_sync.size() == 1))
    promises_.granted_nothing_before(shard_);

  bool waits = now < promises_.granted_until(shard_);
  if (broken(variant::lease_nowait) || broken(variant::wait_at_serve) ||
      (broken(variant::appoint_nowait) && appointed))
    waits = false;
  if (waits)
    return;
  if (appointed)
    return lead(now, out);
  if (std::ranges::any_of(swaps_, [](const pending_swap& s) { return s.in_flight; }))
    return;
  if (!swaps_.empty()) {
    // Of unknown outcome: only a swap at the same version settles whether it may still arrive.
    if (now - swapped_at_ < ask_again)
      return;
    if (reason && can_serve_after(now))
      return take_over(now, out);
    auto next = config_;
    ++next.version;
    return swap(std::move(next), now, out);
  }
  if (stale_ || !can_serve_after(now))
    return;
  if (!ready_at_)
    ready_at_ = now;
  if (!led && now < *ready_at_ + rank() * options_.candidate_step)
    return;
  take_over(now, out);
}

void replica::take_over(millis now, effects& out) {
  auto next = config_;
  ++next.version;
  ++next.term;
  if (!same_member(next.primary, self_) &&
      (next.in_sync.size() > next.in_sync_min || broken(variant::shrink)))
    remove(next.in_sync, next.primary);
  next.primary = self_;
  swap(std::move(next), now, out);
}

void replica::lead(millis now, effects& out) {
  CANDOR_ASSERT(config_.term > term_);
  term_ = config_.term;
  primary_ = self_;
  matched_.reset();
  swaps_.clear();
  counted_.reset();
  peers_.clear();
  ready_at_.reset();
  granted_at_ = now;
  set_role(role::reconciling, now);
  must_changed(now);
  // Nothing goes out before this is durable: a process that forgot it would lead the term twice.
  write(std::nullopt, {}, term_, out);
}

void replica::step_down(millis now) {
  left_term_ = term_;
  promises_.stop_leading(shard_);
  promises_.withhold(shard_);
  peers_.clear();
  leaving_.reset();
  counted_.reset();
  swaps_.clear();
  primary_.reset();
  matched_.reset();
  told_committed_ = 0;
  heard_at_ = now;
  ready_at_.reset();
  set_role(role::follower, now);
}

bool replica::hand_off(const member& to, millis now, effects& out) {
  if (role_ != role::serving || leaving_ || !swaps_.empty() || same_member(to, self_) ||
      !contains(config_.in_sync, to))
    return false;
  leaving_ = departure{to, now};
  out.read_config = true;
  return true;
}

void replica::leave(millis now, effects& out) {
  if (!leaving_)
    return;
  if (!leaving_->takes_no_more) { // a swap that cannot be made would leave the shard to nobody
    if (now - leaving_->since > options_.leave_asks)
      leaving_.reset();
    return;
  }
  if (committed_.seq < end_.seq && now - leaving_->since < options_.leave_within)
    return;
  pass_on(member{leaving_->to}, now, out);
}

/// Stops leading, and names who does.
void replica::pass_on(member to, millis now, effects& out) {
  auto next = config_;
  ++next.version;
  ++next.term;
  next.primary = std::move(to);
  step_down(now);
  set_role(role::candidate, now); // should the swap fail, it leads again
  swap(std::move(next), now, out);
}

bool replica::renew(std::uint64_t term_floor, millis now, effects& out) {
  if (role_ != role::serving || leaving_ || !swaps_.empty())
    return false;
  auto next = config_;
  ++next.version;
  next.term = std::max(next.term + 1, term_floor);
  ++next.generation;
  step_down(now);
  set_role(role::candidate, now); // should the swap fail, it leads again
  swap(std::move(next), now, out);
  return true;
}

void replica::fence(millis now, effects& out) {
  if (leading())
    step_down(now);
  hold_back_until_ = now + options_.silence + options_.silence_doubted;
  ask_config(now, out);
  consider(now, out);
}

void replica::abandon(member to, millis now, effects& out) {
  auto may = role_ == role::serving && swaps_.empty() && contains(config_.in_sync, to) &&
             !same_member(to, self_);
  fence(now, out);
  if (may)
    pass_on(std::move(to), now, out);
}

// -- leading
// -------------------------------------------------------------------------------------------------

/// Whose acknowledgements and grants count: the union of every in-sync set that the coordinator
/// might hold, now or when a request that is under way arrives.
std::vector<member> replica::must() const {
  auto all = config_.in_sync;
  for (const auto& s : swaps_) {
    if (!broken(variant::add_late))
      for (const auto& m : s.swap.config.in_sync)
        add(all, m);
    if (broken(variant::drop_early))
      std::erase_if(all, [&](const member& m) { return !contains(s.swap.config.in_sync, m); });
  }
  if (counted_ && !broken(variant::add_late))
    add(all, *counted_);
  return all;
}

void replica::must_changed(millis now) {
  if (counted_ && contains(config_.in_sync, *counted_))
    counted_.reset();
  auto needed = must();
  promises_.lead(shard_, term_, needed);
  auto all = needed;
  for (const auto& m : wanted_)
    add(all, m);
  remove(all, self_);
  std::erase_if(peers_, [&](const peer& p) { return !contains(all, p.who); });
  for (const auto& m : all) {
    auto* p = find(m);
    if (!p) {
      p = &peers_.emplace_back();
      p->who = m;
      p->progress_at = now;
      p->export_asked = now - export_again;
    }
    if (!contains(needed, m))
      p->must_since.reset();
    else if (!p->must_since)
      p->must_since = now;
  }
}

replica::peer* replica::find(const member& who) {
  auto found = std::ranges::find_if(peers_, [&](const peer& p) { return same_member(p.who, who); });
  return found == peers_.end() ? nullptr : &*found;
}

const replica::peer* replica::find(const member& who) const {
  return const_cast<replica*>(this)->find(who);
}

bool replica::silent(const member& who, millis now) const {
  if (same_member(who, self_))
    return false;
  const auto* p = find(who);
  if (!p || p->no_log || now - p->progress_at > options_.drop_after)
    return true;
  // It answers, but grants nothing: strong reads wait for it.
  return p->must_since &&
         now - std::max({promises_.granted_by(shard_, term_, p->who), since_, *p->must_since}) >
             options_.drop_after;
}

std::size_t replica::live(millis now, const std::vector<member>& of) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(of, [&](const member& m) { return !silent(m, now); }));
}

void replica::take_acknowledgement(const message& m, const acknowledgement& a, millis now,
                                   effects& out) {
  auto* p = leading() ? find(m.from) : nullptr;
  if (!p || a.verified > end_.seq)
    return;
  if (a.apart && a.committed.seq > end_.seq && contains(config_.in_sync, m.from) &&
      settled_term() && swaps_.empty()) {
    // It holds as committed what every member once held: this disk lost it. Whoever still has it
    // leads, and gives it back.
    out.lost.push_back({self_, a.committed.seq});
    return pass_on(m.from, now, out);
  }
  note_lost_tail(*p, a, now, out);
  p->applied = std::max(p->applied, a.applied);
  p->destroyed = std::max(p->destroyed, a.destroyed);
  p->low_on_disk = a.low_on_disk;
  p->told = a.sent;
  auto before = p->acked;
  if (!a.apart || p->acked)
    p->acked = std::max(p->acked.value_or(0), a.verified);
  bool more = p->acked != before;
  if (more)
    p->paced = false;
  while (!p->in_flight.empty() && p->in_flight.front().first <= p->acked.value_or(0)) {
    p->in_flight_bytes -= p->in_flight.front().second;
    p->in_flight.pop_front();
  }
  if (more || p->acked == end_.seq)
    p->progress_at = now;

  if (!a.apart) {
    p->no_log = false;
    p->meets = std::max(p->meets, *p->acked);
    if (!p->connected || p->sent < p->meets)
      p->sent = p->meets;
    p->connected = true;
  } else {
    auto base = std::max(p->acked.value_or(0), a.committed.seq);
    auto mine = place(a.committed.seq);
    // Another chain there, or none: what it holds as committed is not ours. It needs a copy, as
    // does one to which the log does not reach back.
    p->no_log = !mine || *mine != a.committed ||
                (base < end_.seq && (!place(base) || read_from(base + 1, 1).empty()));
    bool again = p->sent > base && now - p->rewound_at >= options_.heartbeat;
    if (!p->no_log && (!p->connected || p->sent < base || again)) {
      p->connected = true;
      p->meets = base;
      rewind(*p, now);
    }
  }
  send(*p, now, out);
  if (more)
    advance(now);
  leave(now, out);
}

/// A member that goes on saying that its log does not reach up to what it acknowledged has a disk
/// that lost it: nothing of it counts any more, and it is sent again from what it still holds. (An
/// answer that is late says so once.)
void replica::note_lost_tail(peer& of, const acknowledgement& a, millis now, effects& out) {
  if (!a.apart || !of.acked || a.committed.seq >= *of.acked) {
    of.apart_since.reset();
    return;
  }
  if (!of.apart_since)
    of.apart_since = now;
  if (now - *of.apart_since <= options_.drop_after)
    return;
  out.lost.push_back({of.who, *of.acked});
  of.apart_since.reset();
  of.acked.reset();
  of.connected = false;
  of.meets = 0;
}

void replica::send(peer& to, millis now, effects& out) {
  if (to.low_on_disk && !to.must_since)
    return; // what does not count need not fill the disk up
  while (to.connected && !to.no_log && settled_term() && to.sent < end_.seq &&
         to.in_flight_bytes < options_.in_flight_bytes && !(to.paced && !to.in_flight.empty())) {
    auto previous = place(to.sent);
    auto records = read_from(to.sent + 1, options_.prepare_bytes);
    if (!previous || records.empty()) {
      to.no_log = true;
      return;
    }
    std::size_t bytes = 0;
    for (const auto& r : records)
      bytes += r.bytes->size();
    to.sent = records.back().at.seq;
    to.sent_at = now;
    to.in_flight.push_back({to.sent, bytes});
    to.in_flight_bytes += bytes;
    out.messages.push_back(
        {to.who,
         {shard_, term_, self_,
          prepare{*previous, committed_.seq, std::move(records), vouch(to, now)}}});
  }
}

/// Sends again what it has not acknowledged: what was sent may be lost.
void replica::rewind(peer& to, millis now) {
  to.sent = to.meets;
  to.in_flight.clear();
  to.in_flight_bytes = 0;
  to.rewound_at = now;
  to.paced = true;
}

void replica::heartbeat(peer& to, millis now, effects& out) {
  if (!settled_term() || (to.sent_at > millis{0} && now - to.sent_at < options_.heartbeat))
    return;
  if (to.connected && to.sent > to.meets &&
      now - std::max(to.progress_at, to.rewound_at) >= options_.heartbeat)
    rewind(to, now);
  send(to, now, out);
  if (to.sent_at == now)
    return;
  // Where our log does not reach back to what it says to know as committed, its own log may still
  // reach up to what we know: a member of the in-sync set holds all of that.
  auto previous = to.no_log ? committed_ : to.connected ? place(to.sent) : end_;
  to.sent_at = now;
  out.messages.push_back({to.who,
                          {shard_, term_, self_,
                           prepare{previous.value_or(end_), committed_.seq, {}, vouch(to, now)}}});
}

/// Its acknowledgement came before this moment, at which nobody else leads. Before it serves, what
/// an earlier primary acknowledged may not be known as committed.
millis replica::vouch(const peer& to, millis now) const {
  return role_ == role::serving && promises_.held(shard_, term_, now) ? to.told : millis{0};
}

void replica::append(std::vector<log_record> records, millis now, effects& out) {
  CANDOR_ASSERT(role_ == role::serving && !leaving());
  for (const auto& r : records) {
    CANDOR_ASSERT(r.at.seq == end_.seq + 1 && r.at.term == term_ && r.bytes);
    end_ = r.at;
    recent_.push_back(r);
    recent_bytes_ += r.bytes->size();
  }
  write(std::nullopt, std::move(records), std::nullopt, out);
  for (auto& p : peers_)
    send(p, now, out);
  advance(now);
}

bool replica::writable() const {
  return role_ == role::serving && !leaving() && must().size() >= config_.in_sync_min;
}

bool replica::is_low(const member& who) const {
  const auto* p = find(who);
  return p && p->low_on_disk;
}

disk_room replica::room() const {
  if (room_ != disk_room::ample || config_.in_sync.size() > config_.in_sync_min)
    return room_;
  auto low = std::ranges::any_of(config_.in_sync, [&](const member& m) { return is_low(m); });
  return low ? disk_room::low : disk_room::ample;
}

void replica::advance(millis now) {
  if (!leading() || !settled_term())
    return;
  auto needed = must();
  auto acked = [&](const member& m) -> std::optional<std::uint64_t> {
    if (same_member(m, self_))
      return durable();
    const auto* p = find(m);
    return p ? p->acked : std::nullopt;
  };
  if (role_ == role::reconciling) {
    if (broken(variant::wait_at_serve) && now < promises_.granted_until(shard_))
      return;
    bool adopted = durable() == end_.seq;
    if (!broken(variant::no_recon))
      for (const auto& m : needed)
        adopted = adopted && acked(m) == end_.seq;
    if (!adopted || needed.size() < config_.in_sync_min)
      return;
    // The whole log, also what an earlier primary may not have committed: it may have been seen.
    set_role(role::serving, now);
    if (broken(variant::no_commit_on_recon))
      return;
    committed_ = end_;
  }
  std::vector<std::uint64_t> places;
  for (const auto& m : needed)
    places.push_back(acked(m).value_or(0));
  std::ranges::sort(places);
  auto to = broken(variant::quorum) ? places[(places.size() - 1) / 2] : places.front();
  to = std::min(to, durable());
  if (to > committed_.seq && needed.size() >= config_.in_sync_min) {
    auto at = place(to);
    CANDOR_ASSERT(at);
    if (broken(variant::no_commit_on_recon) && at->term != term_)
      return;
    committed_ = *at;
    trim_recent();
  }
}

/// Everything committed is there, so that it may enter the in-sync set.
bool replica::ready(const peer& learner) const {
  if (!learner.acked)
    return false;
  // Until it counted, this node may have been alone, and have applied what it had written down.
  if (counted_ && same_member(*counted_, learner.who) && *learner.acked < counted_end_)
    return false;
  return *learner.acked >= (role_ == role::serving ? committed_.seq : end_.seq);
}

/// One change of the in-sync set at a time: first away with what is silent or has no room, then in
/// with what has caught up, then out with what the placement does not want, then to the primary it
/// wants.
void replica::next_step(millis now, effects& out) {
  if (counted_ &&
      (silent(*counted_, now) || is_low(*counted_) || now - counted_at_ > options_.drop_after) &&
      swaps_.empty()) {
    counted_.reset();
    must_changed(now);
    return advance(now);
  }
  if (!swaps_.empty()) {
    bool waits = std::ranges::any_of(swaps_, [](const pending_swap& s) { return s.in_flight; });
    if (waits || now - swapped_at_ < ask_again)
      return;
    auto next = config_;
    ++next.version;
    return swap(std::move(next), now, out);
  }
  if (stale_)
    return;

  auto change = [&](const member* in, const member* out_of) {
    auto next = config_;
    ++next.version;
    if (out_of)
      remove(next.in_sync, *out_of);
    if (in)
      add(next.in_sync, *in);
    if (next.in_sync.size() >= options_.in_sync_least)
      next.in_sync_min = std::max(next.in_sync_min, options_.in_sync_least);
    swap(std::move(next), now, out);
    must_changed(now);
    advance(now);
  };

  const member *dead = nullptr, *low = nullptr;
  for (const auto& m : config_.in_sync)
    if (silent(m, now))
      dead = &m;
    else if (is_low(m))
      low = &m;
  bool spare = config_.in_sync.size() > config_.in_sync_min;
  // Who hears nobody is the one that is cut off: it leaves the set to those who hear each other.
  if (dead && spare && live(now, config_.in_sync) >= config_.in_sync_min)
    return change(nullptr, dead);
  if (low && !dead && spare) // it lives: whoever it hears, this primary is not cut off
    return change(nullptr, low);
  const member* leaves = dead ? dead : low;

  if (counted_ || broken(variant::add_late)) {
    const peer* p = nullptr;
    if (counted_)
      p = find(*counted_);
    else
      for (const auto& x : peers_)
        if (!contains(config_.in_sync, x.who) && !silent(x.who, now) && x.acked == end_.seq)
          p = &x;
    if (p && ready(*p)) {
      auto in = p->who;
      return change(&in, leaves && !spare ? leaves : nullptr);
    }
  }
  if (!counted_ && !broken(variant::add_late))
    for (const auto& p : peers_)
      if (!contains(config_.in_sync, p.who) && contains(wanted_, p.who) && !silent(p.who, now) &&
          !p.low_on_disk && p.acked && p.connected && p.sent == end_.seq &&
          p.in_flight_bytes <= options_.prepare_bytes) {
        bool at_once = ready(p);
        counted_ = p.who;
        counted_at_ = now;
        counted_end_ = end_.seq;
        must_changed(now);
        return at_once ? next_step(now, out) : void();
      }

  if (role_ != role::serving || wanted_.empty() || leaves ||
      !std::ranges::all_of(wanted_, [&](auto& m) { return contains(config_.in_sync, m); }))
    return;
  for (const auto& m : config_.in_sync)
    if (!contains(wanted_, m) && !same_member(m, self_) && spare)
      return change(nullptr, &m);
  const auto& first = wanted_.front();
  if (!same_member(first, self_) && now - since_ >= options_.settled_after &&
      now - swapped_at_ >= options_.settled_after &&
      now - promises_.last_echo(first) <= options_.silence / 2)
    hand_off(member{first}, now, out);
}

/// A primary whom those it needs do not grant, and who cannot do without them, is cut off.
bool replica::fence_where_grants_are_missing(millis now, effects& out) {
  if (promises_.held(shard_, term_, now))
    granted_at_ = now;
  if (now - granted_at_ <= options_.fence_after)
    return false;
  auto all = config_.in_sync;
  for (const auto& m : wanted_)
    add(all, m);
  if (live(now, all) >= config_.in_sync_min)
    return false;
  fence(now, out);
  return true;
}

void replica::ask_exports(millis now, effects& out) {
  auto needed = must();
  for (auto& p : peers_)
    if (p.no_log && !p.low_on_disk && !contains(needed, p.who) &&
        now - p.export_asked >= export_again) {
      p.export_asked = now;
      out.exports.push_back(p.who);
    }
}

void replica::tick(millis now, effects& out) {
  if (leading() && settled_term() && !fence_where_grants_are_missing(now, out)) {
    for (auto& p : peers_)
      heartbeat(p, now, out);
    advance(now);
    if (leaving_)
      leave(now, out);
    else
      next_step(now, out);
    if (leading())
      ask_exports(now, out);
  }
  consider(now, out);
  // Watches are hints: where things stand still, look.
  bool still =
      leading() ? now - granted_at_ > options_.silence : now - heard_at_ > options_.silence;
  if (stale_ || config_version_ == 0 || (still && now - config_asked_ >= look_again))
    ask_config(now, out);
}

std::uint64_t replica::destroyed_everywhere() const {
  if (!leading())
    return 0;
  auto least = destroyed_;
  for (const auto& p : peers_)
    least = std::min(least, p.destroyed);
  return least;
}

std::uint64_t replica::needed_from() const {
  auto least = committed_.seq;
  if (leading())
    for (const auto& p : peers_)
      if (p.must_since || (p.acked && !p.no_log && !p.low_on_disk))
        least = std::min(least, p.acked.value_or(0));
  return least;
}

} // namespace candor::replication
