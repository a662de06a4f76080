#include "actors/profile/user_table.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"

namespace candor::profile {

namespace {

using engine::operation;
using engine::table;
using engine::user_row;
using model::reason;
using model::verdict;
using replication::erase_row;
using replication::put_row;

constexpr std::string_view cursor_name = "key_cursor";
constexpr std::string_view notices_paused_row = "notices_paused";
constexpr std::uint8_t tombstone_timer = 1;
/// Opens a tombstone that is final. One that is not opens with a time, whose first byte is 0 for
/// two million years.
constexpr char final_tombstone = 2;
/// Before any policy is in force.
constexpr millis default_half_life = std::chrono::days{30};
constexpr millis default_retention = std::chrono::days{400};

std::string encode_key_ref(const stores::key_ref& ref) {
  std::string bytes;
  engine::append_big_endian(bytes, ref.page, 8);
  engine::append_big_endian(bytes, ref.slot, 2);
  return bytes;
}

result<stores::key_ref> decode_key_ref(std::string_view bytes) {
  if (bytes.size() != 10)
    return fail(errc::corrupt, "a key reference has the wrong size");
  return stores::key_ref{engine::read_big_endian(bytes, 8),
                         static_cast<std::uint16_t>(engine::read_big_endian(bytes.substr(8), 2))};
}

storage_key owner_of_timer(std::string_view row_key) {
  storage_key who;
  std::ranges::copy(row_key.substr(10, who.bytes.size()), who.bytes.begin());
  return who;
}

std::string policy_row_key(shard_id shard, std::string_view version) {
  return engine::named_key(shard, fmt::format("policy/{}", version));
}

std::string import_row_key(shard_id shard, std::uint32_t run) {
  return engine::named_key(shard, fmt::format("import/{:010}", run));
}

/// Rows of policies and import runs: 8 bytes of time, then text.
std::string timed(timestamp t, std::string_view text) {
  std::string bytes;
  engine::append_big_endian(bytes, static_cast<std::uint64_t>(to_int(t)), 8);
  return bytes.append(text);
}

/// A policy that can be kept. Categories of its own cannot: the filter has terms for the twelve
/// alone, and what it cannot withhold must not be promised.
result<model::policy> parse_applicable(const std::string& text,
                                       const model::region_table& regions) {
  CANDOR_TRY(policy, model::parse_policy(text, "policy", regions));
  if (!policy.sensitive_extra.empty())
    return fail(errc::policy_invalid,
                "sensitive_extra: there is no lexicon for " + policy.sensitive_extra.front());
  return std::move(policy);
}

} // namespace

std::string_view to_string(region_state s) noexcept {
  static constexpr std::string_view names[] = {"unknown", "allowed", "excluded"};
  return names[static_cast<int>(s)];
}

std::string encode(const tombstone& x) {
  auto bytes = x.final_at ? final_tombstone + timed(*x.final_at, {}) : std::string{};
  return bytes + timed(x.erased_at, encode_key_ref(x.key)) + x.receipt + '\n' + x.subject;
}

result<tombstone> decode_tombstone(std::string_view bytes) {
  if (bytes.starts_with(final_tombstone)) {
    if (bytes.size() < 9)
      return fail(errc::corrupt, "a tombstone does not decode");
    CANDOR_TRY(grave, decode_tombstone(bytes.substr(9)));
    if (grave.final_at)
      return fail(errc::corrupt, "a tombstone is final twice");
    grave.final_at =
        from_int(static_cast<std::int64_t>(engine::read_big_endian(bytes.substr(1), 8)));
    return std::move(grave);
  }
  auto line = bytes.find('\n', std::min<std::size_t>(bytes.size(), 18));
  if (line == std::string_view::npos)
    return fail(errc::corrupt, "a tombstone does not decode");
  CANDOR_TRY(key, decode_key_ref(bytes.substr(8, 10)));
  return tombstone{from_int(static_cast<std::int64_t>(engine::read_big_endian(bytes, 8))), key,
                   std::string{bytes.substr(18, line - 18)}, std::string{bytes.substr(line + 1)},
                   std::nullopt};
}

// -- opening and the persons in memory ---------------------------------------------------------

result<void> user_table::open(const replication::shard_opening& opening) {
  cache_.clear();
  recency_.clear();
  rules_read_.clear();
  key_cursor_ = {};
  not_final_.clear();
  sweep_from_.clear();
  notices_from_.clear();
  counting_.clear();
  counts_.clear();
  rounded_ = false;
  settled_ = appended_;
  log_clock_ = opening.time;
  certain_monotonic_ = around_.time.monotonic();
  auto last_entry = log_clock_.now(timestamp{}, certain_monotonic_);
  certain_ = std::max(last_entry, around_.time.now());
  term_ = opening.term;

  CANDOR_TRY(cursor, around_.db.get(table::meta, engine::named_key(shard_, cursor_name)));
  if (cursor) {
    CANDOR_TRY(ref, decode_key_ref(*cursor));
    key_cursor_ = ref;
  }

  CANDOR_TRY_VOID(read_rules(around_.db));

  std::vector<std::pair<storage_key, std::string>> graves;
  CANDOR_TRY_VOID(around_.db.scan(table::timer, engine::shard_begin(shard_),
                                  engine::shard_end(shard_),
                                  [&](std::string_view key, std::string_view value) {
                                    graves.emplace_back(owner_of_timer(key), value);
                                    return true;
                                  }));
  for (const auto& [who, bytes] : graves) {
    CANDOR_TRY(grave, decode_tombstone(bytes));
    CANDOR_TRY_VOID(around_.keys.destroy(grave.key));
    if (!grave.final_at) // its entry was this one or an earlier one
      not_final_.push_back({who, std::move(grave), opening.seq});
  }
  return {};
}

template <class Tables>
result<void> user_table::read_rules(const Tables& tables) {
  std::vector<rule_row> rows;
  CANDOR_TRY_VOID(tables.scan(
      table::policy, engine::shard_begin(shard_), engine::shard_end(shard_),
      [&](std::string_view key, std::string_view value) {
        if (value.size() >= 8)
          rows.push_back({from_int(static_cast<std::int64_t>(engine::read_big_endian(value, 8))),
                          std::string{key.substr(2)}, std::string{value.substr(8)}});
        return true;
      }));
  if (!rows.empty() && rows == rules_read_)
    return {};
  policies_ = {};
  imports_.clear();
  stored_.clear();
  steps_.clear();
  notices_paused_ = false;
  rules_read_ = rows;
  std::ranges::stable_sort(rows, {}, &rule_row::at);
  for (auto& r : rows) {
    if (r.name.starts_with("policy/")) {
      CANDOR_TRY(policy, model::parse_policy(r.text, r.name, around_.regions));
      CANDOR_TRY_VOID(policies_.apply(std::move(policy), r.at));
    } else if (r.name.starts_with("stored/")) {
      stored_[r.name.substr(7)] = r.text;
    } else if (r.name.starts_with("step/")) {
      steps_.insert(r.name.substr(5));
    } else if (r.name == notices_paused_row) {
      notices_paused_ = r.text == "yes";
    } else if (r.name.starts_with("import/")) {
      imports_[static_cast<std::uint32_t>(std::stoul(r.name.substr(7)))] = {r.text, r.at};
    }
  }
  return {};
}

void user_table::note_unreadable(const error& why) const {
  log::error("profile", "shard={} a person cannot be read: {}", shard_, why.to_string());
}

timestamp user_table::log_time() const {
  if (planted(bug::log_time_is_wall))
    return around_.time.now();
  return log_clock_.now(around_.time.now(), around_.time.monotonic());
}

timestamp user_table::stamp() const {
  auto wall = around_.time.now();
  if (planted(bug::stamped_early))
    return wall;
  return std::max(wall, certain_ + (around_.time.monotonic() - certain_monotonic_));
}

replication::draft user_table::begin_entry() {
  auto now = log_time(), wall = around_.time.now();
  auto monotonic = around_.time.monotonic();
  // A wall clock behind the log's time contradicts a clock that this log has followed: which of the
  // two is wrong is not known, so what was certain before counts on. Else the wall clock is the
  // better witness, also where it is earlier: the monotonic clock's drift must not add up.
  if (wall >= now) {
    certain_ = wall;
    certain_monotonic_ = monotonic;
  }
  log_clock_.advance(now, monotonic);
  return {now, {}, {}, {}};
}

stores::audit_event user_table::audit(const std::string& actor, std::string action,
                                      std::string subject, std::string detail) const {
  return {around_.time.now(), actor, std::move(action), std::move(subject), std::move(detail)};
}

result<user_table::slot> user_table::load(const storage_key& key) const {
  return load_from(around_.db, key);
}

template <class Tables>
result<user_table::slot> user_table::load_from(const Tables& tables, const storage_key& key) const {
  slot s;
  s.key = key;
  struct row {
    user_row kind;
    std::uint64_t version; ///< of those that are numbered
    std::string value;
  };
  std::vector<row> rows;
  auto prefix = engine::user_prefix(shard_, key);
  CANDOR_TRY_VOID(tables.scan(table::user, prefix, engine::prefix_end(prefix),
                              [&](std::string_view row_key, std::string_view value) {
                                auto rest = row_key.substr(prefix.size());
                                auto kind = static_cast<user_row>(engine::read_big_endian(rest, 1));
                                auto version = engine::is_numbered(kind)
                                                   ? engine::read_big_endian(rest.substr(1), 8)
                                                   : 0;
                                rows.push_back({kind, version, std::string{value}});
                                return true;
                              }));
  for (const auto& r : rows) {
    switch (r.kind) {
      case user_row::key_ref: {
        CANDOR_TRY(ref, decode_key_ref(r.value));
        s.key_ref = ref;
        break;
      }
      case user_row::tombstone: {
        CANDOR_TRY(grave, decode_tombstone(r.value));
        s.grave = std::move(grave);
        break;
      }
      case user_row::base: {
        CANDOR_TRY(plain, around_.keys.open(s.key_ref, key.view(), r.value));
        CANDOR_TRY(record, model::decode_user_record(plain));
        s.base = std::move(record);
        s.exists = true;
        break;
      }
      case user_row::delta: {
        s.has_delta_rows = true;
        if (r.version <= s.base.version)
          break; // folded in already
        CANDOR_TRY(plain, around_.keys.open(s.key_ref, key.view(), r.value));
        CANDOR_TRY(delta, model::decode_learned(plain));
        if (planted(bug::applied_twice))
          s.unfolded.push_back(delta);
        s.unfolded.push_back(std::move(delta));
        break;
      }
      case user_row::impression: {
        CANDOR_TRY(plain, around_.keys.open(s.key_ref, key.view(), r.value));
        CANDOR_TRY(seen, model::decode_impression(plain));
        s.impressions.emplace(r.version, std::move(seen));
        break;
      }
      case user_row::content: {
        CANDOR_TRY(plain, around_.keys.open(s.key_ref, key.view(), r.value));
        CANDOR_TRY(seen, model::decode_content_shown(plain));
        s.content.emplace(r.version, std::move(seen));
        break;
      }
      default:
        return fail(errc::corrupt, "a person's row is of a kind that is not known");
    }
  }
  if (!s.exists && !s.unfolded.empty())
    return fail(errc::corrupt, "a person's deltas have no record to stand on");
  if (planted(bug::dedupe_forgotten))
    return s;
  for (const auto& event : s.base.seen)
    s.seen.emplace(event.tag, event);
  for (const auto& delta : s.unfolded)
    s.seen.emplace(delta.event.tag, delta.event);
  return s;
}

result<user_table::slot*> user_table::find(const storage_key& key) {
  if (auto it = cache_.find(key); it != cache_.end()) {
    recency_.splice(recency_.begin(), recency_, it->second.recency);
    return &it->second;
  }
  CANDOR_TRY(loaded, load(key));
  evict();
  recency_.push_front(key);
  loaded.recency = recency_.begin();
  return &cache_.emplace(key, std::move(loaded)).first->second;
}

void user_table::evict() {
  auto it = recency_.end();
  while (cache_.size() >= limits::cached_users_per_shard && it != recency_.begin()) {
    --it;
    auto found = cache_.find(*it);
    if (found->second.pinned_until > settled_)
      continue; // what is not durable yet can't be read back
    cache_.erase(found);
    it = recency_.erase(it);
  }
}

// -- rows of a person --------------------------------------------------------------------------

replication::draft_row user_table::sealed_put(const slot& s, std::string key,
                                              std::string value) const {
  return {{operation::what::put, table::user, std::move(key), std::move(value)},
          replication::owner{s.key, s.key_ref}};
}

result<void> user_table::create(slot& s, const user_id& user, replication::draft& entry) {
  CANDOR_TRY(ref, around_.keys.allocate(shard_, key_cursor_, term_));
  key_cursor_ = s.key_ref = ref;
  s.base = {};
  s.base.user = user.value();
  s.base.pseudonym = random_id(around_.random, "s-");
  s.base.created = entry.time;
  s.exists = true;
  s.unfolded.clear();
  s.seen.clear();
  entry.rows.push_back(
      put_row(table::meta, engine::named_key(shard_, cursor_name), encode_key_ref(ref)));
  entry.rows.push_back(put_row(table::user, engine::user_key(shard_, s.key, user_row::key_ref),
                               encode_key_ref(ref)));
  return {};
}

model::half_lives user_table::half_lives() const {
  // A version that was applied late decays nothing before its entry.
  std::vector<std::pair<timestamp, const model::policy*>> versions;
  for (const auto& v : policies_.versions())
    versions.emplace_back(std::max(v.policy.effective_at, v.applied_at), &v.policy);
  std::ranges::stable_sort(versions, {}, [](const auto& v) { return v.first; });
  model::half_lives periods;
  const model::policy* in_force = nullptr;
  for (const auto& [from, p] : versions) {
    if (!in_force || in_force->effective_at <= p->effective_at)
      in_force = p;
    periods.push_back({from, in_force->half_life});
  }
  if (periods.empty())
    periods.push_back({timestamp{}, default_half_life});
  return periods;
}

model::user_record user_table::folded(const slot& s) const {
  auto record = s.base;
  fold_into(record, s);
  return record;
}

void user_table::fold_into(model::user_record& record, const slot& s) const {
  auto periods = half_lives();
  for (const auto& delta : s.unfolded)
    model::fold(record, delta, periods);
  record.version += s.unfolded.size();
  // Retention runs on the calendar, the dedupe window on log time.
  auto now = around_.time.now();
  auto in_force = policies_.in_force(now);
  model::prune(record, now, in_force ? in_force->retention : default_retention,
               log_time() - limits::dedupe_window, periods,
               [&](std::uint32_t run) { return imports_.contains(run); });
}

void user_table::fold(slot& s) const {
  s.base = folded(s);
  s.unfolded.clear();
  s.seen.clear();
  for (const auto& event : s.base.seen)
    s.seen.emplace(event.tag, event);
}

void user_table::put_base(slot& s, replication::draft& entry) {
  fold(s);
  entry.rows.push_back(
      sealed_put(s, engine::user_key(shard_, s.key, user_row::base), model::encode(s.base)));
  if (std::exchange(s.has_delta_rows, false))
    entry.rows.push_back({{operation::what::erase_range, table::user,
                           engine::user_key(shard_, s.key, user_row::delta, 0),
                           engine::user_key(shard_, s.key, user_row::delta, s.base.version + 1)},
                          std::nullopt});
  touch(s);
}

// -- events ------------------------------------------------------------------------------------

bool user_table::too_old(const model::admission& a) const {
  return a.import_run == 0 && a.at < log_time() - limits::dedupe_window;
}

result<bool> user_table::duplicate(const slot& s, const std::string& event_id) const {
  if (!s.exists || s.seen.empty())
    return false;
  CANDOR_TRY(tag, around_.keys.tag(s.key_ref, event_id));
  auto it = s.seen.find(tag);
  if (it == s.seen.end())
    return false;
  const auto& event = it->second;
  return event.at >= log_time() - limits::dedupe_window ||
         (event.import_run != 0 && imports_.contains(event.import_run));
}

result<std::optional<verdict>> user_table::judge(const slot& s, const model::admission& a) const {
  using answer = std::optional<verdict>;
  if (a.import_run != 0 && !imports_.contains(a.import_run))
    return answer{verdict::invalid("import_not_open", "open it with `candorctl import open`")};
  if (too_old(a))
    return answer{
        verdict::invalid("too_old", "older than 24 hours; history comes in by an import")};
  CANDOR_TRY(again, duplicate(s, a.event_id));
  if (again)
    return answer{verdict::duplicate()};
  // What has arrived by then is of the person who is gone, also where its own clock was ahead.
  auto erased = s.grave && (a.at < s.grave->erased_at || a.received <= s.grave->erased_at);
  if (a.kind == model::event_kind::engagement)
    return erased ? answer{verdict::withheld(reason::erased)} : answer{};
  auto decide_of = [&](const model::person& who) {
    return model::decide(policies_, around_.regions, who,
                         {a.at, a.received, a.region, false, erased, false});
  };
  auto why = decide_of(s.base.person);
  if (auto moved = !why ? moved_by(s.base.person, a.received) : std::nullopt)
    why = decide_of(*moved);
  if (why == reason::not_notified && planted(bug::learned_untold))
    why.reset();
  // Of a person who is gone nothing is known that the reasons between could be asked of.
  if (erased && why != reason::policy_not_effective)
    why = reason::erased;
  return why ? answer{verdict::withheld(*why)} : answer{};
}

result<decided<verdict>> user_table::admit(const model::admission& a) {
  CANDOR_TRY(user, user_id::parse(a.user));
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  CANDOR_TRY(judged, judge(*s, a));
  decided<verdict> outcome{judged.value_or(verdict::accepted()), {}};
  auto uses_assistant = a.kind == model::event_kind::ai_interaction &&
                        (outcome.answer.status == model::status::accepted ||
                         outcome.answer.status == model::status::withheld) &&
                        outcome.answer.reason != to_string(reason::erased);
  if (uses_assistant && !s->base.person.assistant_user_since) {
    auto entry = begin_entry();
    if (!s->exists)
      CANDOR_TRY_VOID(create(*s, user, entry));
    s->base.person.assistant_user_since = std::chrono::floor<std::chrono::days>(a.at);
    put_base(*s, entry);
    outcome.entry = std::move(entry);
  }
  return outcome;
}

result<decided<verdict>> user_table::learn(const model::sanitized_signal& signal) {
  if (!signal.valid())
    return fail(errc::internal, "a signal that no filter made");
  const auto& a = signal.header();
  CANDOR_TRY(user, user_id::parse(a.user));
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  CANDOR_TRY(judged, judge(*s, a));
  if (judged)
    return decided<verdict>{std::move(*judged), {}};
  if (s->seen.size() >= limits::remembered_events)
    fold(*s); // forgets those that the window has left behind
  if (s->seen.size() >= limits::remembered_events)
    return decided<verdict>{verdict::overloaded(), {}};
  for (const auto& t : signal.topics())
    CANDOR_ASSERT(model::is_topic(t.topic)); // the second lock, on a second path
  auto entry = begin_entry();
  auto is_new = !s->exists;
  if (is_new)
    CANDOR_TRY_VOID(create(*s, user, entry));
  CANDOR_TRY(tag, around_.keys.tag(s->key_ref, a.event_id));
  auto in_force = policies_.in_force(a.received);
  model::learned delta{{tag, a.at, a.import_run},
                       signal.source(),
                       signal.topics(),
                       in_force ? in_force->version : std::string{}};
  s->seen.insert_or_assign(tag, delta.event);
  s->unfolded.push_back(std::move(delta));
  // A record grows with the ids it remembers: the larger it is, the more deltas wait for a fold.
  auto deltas_max = std::max(limits::deltas_before_fold, s->base.seen.size() / 8);
  if (is_new || s->unfolded.size() > deltas_max) {
    put_base(*s, entry);
  } else {
    auto version = s->base.version + s->unfolded.size();
    entry.rows.push_back(sealed_put(*s, engine::user_key(shard_, s->key, user_row::delta, version),
                                    model::encode(s->unfolded.back())));
    s->has_delta_rows = true;
    touch(*s);
  }
  return decided<verdict>{verdict::accepted(), std::move(entry)};
}

// -- persons -----------------------------------------------------------------------------------

result<decided<bool>> user_table::put(const user_id& user, const model::user_details& details) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  auto entry = begin_entry();
  auto is_new = !s->exists;
  if (is_new)
    CANDOR_TRY_VOID(create(*s, user, entry));
  model::merge(s->base, details, stamp());
  put_base(*s, entry);
  return decided<bool>{is_new, std::move(entry)};
}

region_state user_table::state_of_region(const model::person& who, timestamp now) const {
  if (who.regions.empty())
    return region_state::unknown;
  auto excluded = [&](const model::person& as_known) {
    return model::excluded_since(policies_, around_.regions, as_known, now).has_value();
  };
  auto moved = moved_by(who, now);
  return excluded(who) || (moved && excluded(*moved)) ? region_state::excluded
                                                      : region_state::allowed;
}

std::optional<model::person> user_table::moved_by(const model::person& who, timestamp now) const {
  auto latest = stamp();
  auto has_begun = [&](const model::region_period& p) {
    return p.since > now && p.since <= latest;
  };
  if (std::ranges::none_of(who.regions, has_begun))
    return std::nullopt;
  auto moved = who;
  for (auto& period : moved.regions)
    if (has_begun(period))
      period.since = now;
  return moved;
}

std::vector<interest_state> user_table::states_of(const std::vector<model::interest>& interests,
                                                  const model::person& who, timestamp now) const {
  auto periods = half_lives();
  auto moved = moved_by(who, now);
  auto why_not = [&](model::source from, model::use what) {
    auto why = model::decide_use(policies_, around_.regions, who, from, what, now);
    return !why && moved ? model::decide_use(policies_, around_.regions, *moved, from, what, now)
                         : why;
  };
  struct answers {
    std::optional<model::reason> ads, content;
  };
  std::map<model::source, answers> by_source;
  std::vector<interest_state> states;
  for (const auto& i : interests) {
    auto known = by_source.find(i.source);
    if (known == by_source.end())
      known = by_source
                  .emplace(i.source, answers{why_not(i.source, model::use::ads),
                                             why_not(i.source, model::use::content)})
                  .first;
    auto weight = model::decay(i.weight, i.as_of, now, periods);
    states.push_back(
        {i, weight, model::strength(weight), known->second.ads, known->second.content});
  }
  return states;
}

user_view user_table::view(const slot& s) const {
  auto now = around_.time.now();
  user_view v;
  v.at = now;
  v.record = folded(s);
  v.region = state_of_region(v.record.person, now);
  if (auto in_force = policies_.in_force(now))
    v.policy_version = in_force->version;
  v.interests = states_of(v.record.interests, v.record.person, now);
  return v;
}

result<user_view> user_table::read(const user_id& user) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  return view(*s);
}

result<user_view> user_table::read_copy(const engine::snapshot& tables, timestamp log_time,
                                        const user_id& user) {
  CANDOR_TRY_VOID(read_rules(tables));
  certain_monotonic_ = around_.time.monotonic();
  certain_ = log_time;
  log_clock_ = {log_time, certain_monotonic_};
  CANDOR_TRY(s, load_from(tables, stores::derive_storage_key(around_.secrets, user)));
  if (!s.exists)
    return fail(errc::user_not_found);
  return view(s);
}

result<decided<user_view>> user_table::export_user(const user_id& user, const std::string& caller) {
  CANDOR_TRY(seen, read(user));
  auto entry = begin_entry();
  entry.audit.push_back(audit(caller, "user_exported", seen.record.pseudonym));
  return decided<user_view>{std::move(seen), std::move(entry)};
}

result<decided<bool>> user_table::forget_interest(const user_id& user, model::topic_id topic,
                                                  const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  // Finer ones go with the topic that they lie in: they say the same, and more.
  auto is_topic = [&](const model::interest& i) {
    return i.topic == topic ||
           (model::is_topic(i.topic) && model::find_topic(model::info(i.topic).parent) == topic);
  };
  if (std::ranges::none_of(folded(*s).interests, is_topic))
    return fail(errc::not_found, "this person has no such interest");
  auto entry = begin_entry();
  fold(*s);
  std::erase_if(s->base.interests, is_topic);
  put_base(*s, entry);
  // Which interest it was would say what the person wished gone.
  entry.audit.push_back(audit(caller, "interest_forgotten", s->base.pseudonym));
  return decided<bool>{true, std::move(entry)};
}

result<decided<erasure>> user_table::erase(const user_id& user, const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists) {
    if (s->grave)
      return decided<erasure>{{*s->grave, true}, {}};
    return fail(errc::user_not_found);
  }
  auto entry = begin_entry();
  auto prefix = engine::user_prefix(shard_, s->key);
  if (!planted(bug::erased_rows_stay))
    entry.rows.push_back(
        {{operation::what::erase_range, table::user, prefix, engine::prefix_end(prefix)}, {}});
  if (s->grave)
    entry.rows.push_back(erase_row(
        table::timer, engine::timer_key(shard_, s->grave->erased_at + limits::dedupe_window, s->key,
                                        tombstone_timer)));
  tombstone grave{stamp(), s->key_ref, random_id(around_.random, "r-"), s->base.pseudonym,
                  std::nullopt};
  auto bytes = encode(grave);
  entry.rows.push_back(
      put_row(table::user, engine::user_key(shard_, s->key, user_row::tombstone), bytes));
  entry.rows.push_back(put_row(
      table::timer,
      engine::timer_key(shard_, grave.erased_at + limits::dedupe_window, s->key, tombstone_timer),
      std::move(bytes)));
  entry.audit.push_back(audit(caller, "user_erased", grave.subject,
                              fmt::format(R"({{"receipt":"{}"}})", grave.receipt)));
  entry.destroys.push_back(s->key_ref);
  s->exists = false;
  s->base = {};
  s->unfolded.clear();
  s->has_delta_rows = false;
  s->seen.clear();
  s->impressions.clear();
  s->content.clear();
  s->key_ref = {};
  s->grave = grave;
  touch(*s);
  return decided<erasure>{{std::move(grave), false}, std::move(entry)};
}

void user_table::erased(const user_id& user, const tombstone& grave, std::uint64_t seq) {
  not_final_.push_back({stores::derive_storage_key(around_.secrets, user), grave, seq});
}

std::optional<replication::draft> user_table::make_final(const unfinished_erasure& done) {
  auto found = find(done.who);
  if (!found) {
    note_unreadable(found.error());
    return std::nullopt;
  }
  auto& s = **found;
  auto entry = begin_entry();
  // Whoever came back meanwhile and was erased again has another tombstone by now.
  if (s.grave && s.grave->receipt == done.grave.receipt) {
    s.grave->final_at = around_.time.now();
    auto bytes = encode(*s.grave);
    entry.rows.push_back(
        put_row(table::user, engine::user_key(shard_, s.key, user_row::tombstone), bytes));
    entry.rows.push_back(
        put_row(table::timer,
                engine::timer_key(shard_, s.grave->erased_at + limits::dedupe_window, s.key,
                                  tombstone_timer),
                std::move(bytes)));
    touch(s);
  }
  entry.audit.push_back(audit("candor", "erasure_final", done.grave.subject,
                              fmt::format(R"({{"receipt":"{}"}})", done.grave.receipt)));
  return entry;
}

result<decided<bool>> user_table::record_notice(const user_id& user,
                                                const model::notice_reached& notice,
                                                const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  auto& notices = s->base.person.notices;
  auto same = [&](const model::notice_reached& n) {
    return n.policy == notice.policy && n.revision == notice.revision &&
           n.channel == notice.channel;
  };
  if (std::ranges::any_of(notices, same))
    return decided<bool>{false, {}}; // the first time it reached the person stands
  if (notices.size() >= limits::notices_remembered)
    return fail(errc::too_many, "this person's record holds no more notices");
  auto entry = begin_entry();
  notices.push_back(notice);
  put_base(*s, entry);
  entry.audit.push_back(audit(caller, "notice_recorded", s->base.pseudonym,
                              fmt::format(R"({{"revision":{},"channel":"{}"}})", notice.revision,
                                          to_string(notice.channel))));
  return decided<bool>{true, std::move(entry)};
}

// -- the shard ---------------------------------------------------------------------------------

result<decided<bool>> user_table::apply_policy(const std::string& text, const std::string& caller) {
  CANDOR_TRY(policy, parse_applicable(text, around_.regions));
  if (auto known = policies_.find(policy.version); known && known->text == policy.text)
    return decided<bool>{false, {}};
  auto version = policy.version;
  auto entry = begin_entry();
  if (!planted(bug::policy_at_start_only))
    CANDOR_TRY_VOID(policies_.apply(std::move(policy), entry.time));
  entry.rows.push_back(
      put_row(table::policy, policy_row_key(shard_, version), timed(entry.time, text)));
  entry.audit.push_back(audit(caller, "policy_applied", version));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::store_policy(const std::string& text, const std::string& caller) {
  CANDOR_TRY(policy, parse_applicable(text, around_.regions));
  auto applied = policies_.find(policy.version);
  auto stored = stored_.find(policy.version);
  if ((applied && applied->text != text) || (stored != stored_.end() && stored->second != text))
    return fail(errc::policy_conflict, policy.version);
  if (stored != stored_.end())
    return decided<bool>{false, {}};
  if (stored_.size() >= limits::policies)
    return fail(errc::too_many, fmt::format("at most {} versions are kept", limits::policies));
  auto entry = begin_entry();
  entry.rows.push_back(put_row(table::policy,
                               engine::named_key(shard_, fmt::format("stored/{}", policy.version)),
                               timed(entry.time, text)));
  entry.audit.push_back(audit(caller, "policy_stored", policy.version));
  stored_[policy.version] = text;
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::record_step(const std::string& action, const std::string& subject,
                                              const std::string& detail, const std::string& caller,
                                              bool once) {
  auto name = action + "/" + subject;
  if (once && !steps_.insert(name).second)
    return decided<bool>{false, {}};
  auto entry = begin_entry();
  if (once)
    entry.rows.push_back(
        put_row(table::policy, engine::named_key(shard_, "step/" + name), timed(entry.time, {})));
  entry.audit.push_back(audit(caller, action, subject, detail));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::set_notices_paused(bool paused, const std::string& caller) {
  if (paused == notices_paused_)
    return decided<bool>{false, {}};
  notices_paused_ = paused;
  auto entry = begin_entry();
  entry.rows.push_back(put_row(table::policy, engine::named_key(shard_, notices_paused_row),
                               timed(entry.time, paused ? "yes" : "no")));
  entry.audit.push_back(audit(caller, paused ? "notices_paused" : "notices_resumed", {}));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::open_import(std::uint32_t run, const std::string& name,
                                              const std::string& caller) {
  if (run == 0)
    return fail(errc::bad_value, "an import run's number is above 0");
  if (imports_.contains(run))
    return fail(errc::conflict, "this import run is open already");
  if (imports_.size() >= limits::import_runs_open)
    return fail(errc::too_many,
                fmt::format("at most {} import runs are open at a time", limits::import_runs_open));
  auto entry = begin_entry();
  imports_[run] = {name, entry.time};
  entry.rows.push_back(
      put_row(table::policy, import_row_key(shard_, run), timed(entry.time, name)));
  entry.audit.push_back(audit(caller, "import_opened", std::to_string(run)));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::close_import(std::uint32_t run, const std::string& caller) {
  if (imports_.erase(run) == 0)
    return fail(errc::not_found, "no such import run is open");
  auto entry = begin_entry();
  entry.rows.push_back(erase_row(table::policy, import_row_key(shard_, run)));
  entry.audit.push_back(audit(caller, "import_closed", std::to_string(run)));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::follow_clock(timestamp now, const std::string& caller) {
  if (now < log_time())
    return fail(errc::conflict, "the clock of a shard goes forward only");
  log_clock_.advance(now, around_.time.monotonic());
  replication::draft entry{now, {}, {}};
  entry.audit.push_back(audit(caller, "clock_set", {}, {}));
  return decided<bool>{true, std::move(entry)};
}

result<std::vector<storage_key>> user_table::next_persons(std::string& from,
                                                          std::size_t count) const {
  std::vector<storage_key> found;
  auto begin = from.empty() ? engine::shard_begin(shard_) : from;
  auto more = false;
  CANDOR_TRY_VOID(around_.db.scan(
      table::user, begin, engine::shard_end(shard_), [&](std::string_view key, std::string_view) {
        storage_key who;
        std::ranges::copy(key.substr(2, who.bytes.size()), who.bytes.begin());
        if (found.empty() || found.back() != who) {
          more = found.size() == count;
          if (more)
            return false;
          found.push_back(who);
        }
        return true;
      }));
  from = more ? engine::prefix_end(engine::user_prefix(shard_, found.back())) : std::string{};
  return found;
}

result<std::vector<replication::draft>> user_table::sweep(std::size_t persons,
                                                          std::uint64_t destroyed) {
  std::vector<replication::draft> entries;
  auto now = around_.time.now();

  std::vector<std::pair<std::string, storage_key>> ended;
  CANDOR_TRY_VOID(around_.db.scan(table::timer, engine::shard_begin(shard_),
                                  engine::timer_key(shard_, log_time(), {}, 0),
                                  [&](std::string_view key, std::string_view) {
                                    ended.emplace_back(key, owner_of_timer(key));
                                    return ended.size() < persons;
                                  }));
  for (const auto& [timer, who] : ended) {
    CANDOR_TRY(s, find(who));
    if (s->pinned_until > settled_)
      continue; // the row may be about to change: next time round
    // A key that a copy still holds must not be forgotten with the tombstone; and an import that is
    // open may bring what was before the erasure.
    if (s->grave && (!s->grave->final_at || !imports_.empty()))
      continue;
    auto entry = begin_entry();
    entry.rows.push_back(erase_row(table::timer, timer));
    entry.rows.push_back(
        erase_row(table::user, engine::user_key(shard_, who, user_row::tombstone)));
    s->grave.reset();
    touch(*s);
    entries.push_back(std::move(entry));
  }

  for (auto left = persons; left > 0 && !not_final_.empty() && not_final_.front().seq <= destroyed;
       --left, not_final_.pop_front())
    if (auto entry = make_final(not_final_.front()))
      entries.push_back(std::move(*entry));

  CANDOR_TRY(round, next_persons(sweep_from_, persons));
  for (const auto& who : round) {
    auto cached = cache_.find(who);
    std::optional<slot> read;
    if (cached == cache_.end()) {
      auto loaded = load(who);
      if (!loaded) { // what was drafted for the others stands in memory already
        note_unreadable(loaded.error());
        continue;
      }
      read = std::move(*loaded);
    }
    const auto& looked_at = read ? *read : cached->second;
    if (!looked_at.exists)
      continue;
    auto record = folded(looked_at);
    auto in_force = policies_.in_force(now);
    auto excluded = model::excluded_since(policies_, around_.regions, record.person, now);
    auto is_ai = [](const model::interest& i) { return i.source == model::source::ai; };
    auto purge = excluded && in_force && *excluded + in_force->purge_grace <= now &&
                 std::ranges::any_of(record.interests, is_ai);
    auto dropped = std::ranges::any_of(looked_at.base.interests, [&](const model::interest& held) {
      return std::ranges::none_of(record.interests, [&](const model::interest& i) {
        return i.topic == held.topic && i.source == held.source;
      });
    });
    if (!purge && !dropped)
      continue;
    CANDOR_TRY(s, find(who));
    auto entry = begin_entry();
    fold(*s);
    if (purge) {
      std::erase_if(s->base.interests, is_ai);
      entry.audit.push_back(audit("candor", "interests_purged", s->base.pseudonym,
                                  R"({"source":"ai","reason":"region_excluded"})"));
    }
    put_base(*s, entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

} // namespace candor::profile
