/// The ledger of notices: who is to be told, what was sent, what reached them. Part of user_table.

#include <algorithm>

#include <fmt/format.h>

#include "actors/profile/user_table.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/planted.hpp"

namespace candor::profile {

namespace {

using model::channel;
using model::notice;
using model::notice_state;

/// The longest that a mail waits by any rule: for the end of quiet hours, on a day that a zone left
/// out. What is further away was reckoned by a clock that was ahead.
constexpr millis longest_wait = std::chrono::hours{49};

bool is_of(const notice& n, const model::policy& p) {
  return n.policy == p.id && n.revision == p.notice_revision;
}

bool same_notice(const model::policy& a, const model::policy& b) {
  return a.id == b.id && a.notice_revision == b.notice_revision;
}

bool was_reached(const model::person& who, const model::policy& p) {
  return std::ranges::any_of(who.notices, [&](const model::notice_reached& n) {
    return n.policy == p.id && n.revision == p.notice_revision;
  });
}

/// What the policy decides by: the first time that a channel reached the person.
void note_reached(model::person& who, const notice& n, timestamp at) {
  auto same = [&](const model::notice_reached& r) {
    return r.policy == n.policy && r.revision == n.revision && r.channel == n.channel;
  };
  if (std::ranges::none_of(who.notices, same) && who.notices.size() < limits::notices_remembered)
    who.notices.push_back({n.policy, n.revision, n.channel, at});
}

const notice* find_line(const model::user_record& record, const model::policy& p, channel by) {
  auto it = std::ranges::find_if(record.notices,
                                 [&](const notice& n) { return is_of(n, p) && n.channel == by; });
  return it == record.notices.end() ? nullptr : &*it;
}

} // namespace

void user_table::add_notice(model::user_record& record, const model::policy& p, channel by) {
  auto now = around_.time.now();
  notice n;
  n.id = random_id(around_.random, "n-");
  n.policy = p.id;
  n.revision = p.notice_revision;
  n.channel = by;
  n.lang = record.lang;
  n.created = n.next_try = now;
  n.state = by == channel::in_app ? notice_state::sent : notice_state::intended;
  if (by == channel::in_app)
    n.sent = now;
  record.notices.push_back(std::move(n));
}

std::vector<channel> user_table::channels_missing(const model::user_record& record,
                                                  const model::policy& p) const {
  std::vector<channel> missing;
  auto need = [&](channel by) {
    if (!find_line(record, p, by) && std::ranges::find(missing, by) == missing.end())
      missing.push_back(by);
  };
  for (auto by : p.notice_channels)
    // Who has no address is told in the app.
    need(by == channel::email && record.email.empty() ? channel::in_app : by);
  if (auto mail = find_line(record, p, channel::email); mail && mail->state == notice_state::failed)
    need(channel::in_app);
  return missing;
}

result<notice_round> user_table::find_notices(std::size_t persons, std::size_t lines_max) {
  notice_round found;
  auto now = around_.time.now();
  auto announced = policies_.announced(now);
  std::erase_if(announced, [](const model::policy* p) { return !p->require_notice; });
  if (announced.empty())
    return found;
  CANDOR_TRY(keys, next_persons(notices_from_, persons));
  for (const auto& who : keys) {
    auto loaded = find(who);
    if (!loaded) { // what was drafted for the others stands in memory already
      note_unreadable(loaded.error());
      continue;
    }
    auto s = *loaded;
    if (!s->exists)
      continue;
    std::optional<replication::draft> entry;
    std::vector<const model::policy*> counted; // a person counts once for a revision
    for (auto p : announced) {
      if (!model::in_audience(*p, around_.regions, s->base.person, now))
        continue;
      auto reached = was_reached(s->base.person, *p);
      auto missing = reached ? std::vector<channel>{} : channels_missing(s->base, *p);
      auto told_later = missing.size();
      for (auto by : missing) {
        if (found.created >= lines_max || s->base.notices.size() >= limits::notices_remembered)
          break;
        if (!entry)
          entry = begin_entry();
        add_notice(s->base, *p, by);
        ++found.created;
        --told_later;
      }
      if (std::ranges::none_of(counted, [&](auto other) { return same_notice(*other, *p); })) {
        count_notices(s->base, *p, reached, told_later > 0);
        counted.push_back(p);
      }
    }
    if (entry && planted(bug::intent_not_recorded))
      continue;
    if (entry) {
      put_base(*s, *entry);
      found.entries.push_back(std::move(*entry));
      continue; // what is intended is sent when it is durable: next time round
    }
    if (s->pinned_until > settled_)
      continue;
    for (const auto& n : s->base.notices)
      if (n.state == notice_state::intended &&
          (n.next_try <= now || n.next_try > now + longest_wait))
        if (auto p = std::ranges::find_if(announced,
                                          [&](auto a) {
                                            return is_of(n, *a) &&
                                                   model::in_audience(*a, around_.regions,
                                                                      s->base.person, now);
                                          });
            p != announced.end())
          found.mails.push_back({s->base.user, n.id, s->base.email, n.lang, s->base.zone,
                                 s->base.app, (*p)->version, n.attempts, n.created});
  }
  if (notices_from_.empty()) { // round the shard once
    counts_ = std::exchange(counting_, {});
    rounded_ = true;
  }
  found.rounded = rounded_;
  found.counts = counts_;
  return found;
}

void user_table::count_notices(const model::user_record& record, const model::policy& p,
                               bool reached, bool waiting) {
  auto it = std::ranges::find_if(counting_, [&](const notice_count& c) {
    return c.policy == p.id && c.revision == p.notice_revision;
  });
  if (it == counting_.end())
    it = counting_.insert(it, notice_count{p.id, p.notice_revision});
  ++it->audience;
  it->reached += reached ? 1 : 0;
  it->waiting += waiting ? 1 : 0;
  for (const auto& n : record.notices) {
    if (!is_of(n, p))
      continue;
    if (n.channel == channel::in_app)
      ++it->in_app;
    else if (n.state == notice_state::sent)
      ++it->mails_sent;
    else if (n.state == notice_state::failed)
      ++it->mails_failed;
    else
      ++it->mails_intended;
  }
}

result<decided<bool>> user_table::record_mail(const user_id& user, const std::string& id,
                                              mail_result how, timestamp at, timestamp next_try,
                                              const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found); // erased while the mail was on its way
  auto line = std::ranges::find(s->base.notices, id, &notice::id);
  if (line == s->base.notices.end() || line->channel != channel::email)
    return fail(errc::not_found, "no such mail");
  auto bounced = how == mail_result::failed && line->state == notice_state::sent;
  if (line->state != notice_state::intended && !bounced)
    return decided<bool>{false, {}}; // told before: a mail sent twice counts once
  auto entry = begin_entry();
  line->attempts += how == mail_result::postponed ? 0 : 1;
  switch (how) {
    case mail_result::accepted:
      line->state = notice_state::sent;
      line->sent = at;
      line->reached = std::max(at, stamp());
      note_reached(s->base.person, *line, *line->reached);
      break;
    case mail_result::deferred:
    case mail_result::postponed:
      line->next_try = next_try;
      break;
    case mail_result::failed:
      line->state = notice_state::failed;
      if (bounced) {
        line->reached.reset();
        std::erase_if(s->base.person.notices, [&](const model::notice_reached& r) {
          return r.policy == line->policy && r.revision == line->revision &&
                 r.channel == channel::email;
        });
      }
      break;
  }
  put_base(*s, entry);
  if (bounced && !caller.empty())
    entry.audit.push_back(
        audit(caller, "mail_bounced", s->base.pseudonym, fmt::format(R"({{"notice":"{}"}})", id)));
  return decided<bool>{true, std::move(entry)};
}

result<decided<bool>> user_table::retry_mails(const user_id& user, const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  auto entry = begin_entry();
  auto found = 0;
  for (auto& line : s->base.notices) {
    if (line.channel != channel::email || line.state != notice_state::failed)
      continue;
    line.state = notice_state::intended;
    line.attempts = 0;
    line.next_try = around_.time.now();
    ++found;
  }
  if (found == 0)
    return fail(errc::not_found, "none of this person's mails failed");
  put_base(*s, entry);
  entry.audit.push_back(
      audit(caller, "mails_retried", s->base.pseudonym, fmt::format(R"({{"mails":{}}})", found)));
  return decided<bool>{true, std::move(entry)};
}

result<decided<model::user_record>> user_table::inbox(const user_id& user,
                                                      const std::vector<std::string>& reached) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  std::optional<replication::draft> entry;
  for (auto& n : s->base.notices)
    if (n.channel == channel::in_app && !n.reached &&
        std::ranges::find(reached, n.id) != reached.end()) {
      if (!entry)
        entry = begin_entry();
      n.reached = stamp();
      note_reached(s->base.person, n, *n.reached);
    }
  if (entry)
    put_base(*s, *entry);
  return decided<model::user_record>{s->base, std::move(entry)};
}

result<decided<bool>> user_table::opt_out(const user_id& user, const std::string& caller) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  auto now = around_.time.now();
  // A person may opt out as soon as they are told, before the policy is in force.
  const model::policy* offering = nullptr;
  for (auto p : policies_.announced(now))
    if (p->opt_out != model::opt_out_mode::none)
      offering = p;
  if (!offering)
    return fail(errc::opt_out_not_offered);
  auto& taken = s->base.person.opt_outs;
  if (std::ranges::find(taken, offering->id, &model::opt_out::policy) != taken.end())
    return decided<bool>{false, {}};
  auto entry = begin_entry();
  taken.push_back({offering->id, now});
  put_base(*s, entry);
  entry.audit.push_back(audit(caller, "opted_out", s->base.pseudonym,
                              fmt::format(R"({{"policy":"{}"}})", offering->id)));
  return decided<bool>{true, std::move(entry)};
}

result<simulation> user_table::begin_simulation(const std::string& text,
                                                const std::string& version) const {
  CANDOR_TRY(policy, model::parse_policy(text, "policy", around_.regions));
  if (!version.empty() && policy.version != version)
    return fail(errc::bad_value, fmt::format("the file's version is {}", policy.version));
  simulation run{std::move(policy), policies_, {}, {}, {}};
  // A version that is applied already is simulated as it stands.
  if (!run.with.find(run.policy.version))
    CANDOR_TRY_VOID(run.with.apply(run.policy, around_.time.now()));
  run.at = std::max(around_.time.now(), run.policy.effective_at);
  return run;
}

result<bool> user_table::simulate_on(simulation& run, std::size_t persons) const {
  CANDOR_TRY(keys, next_persons(run.from, persons));
  auto& effect = run.effect;
  for (const auto& key : keys) {
    auto cached = cache_.find(key);
    std::optional<slot> read;
    if (cached == cache_.end()) {
      CANDOR_TRY(loaded, load(key));
      read = std::move(loaded);
    }
    const auto& s = read ? *read : cached->second;
    if (!s.exists)
      continue;
    const auto& who = s.base.person;
    ++effect.persons;
    auto in_audience = model::in_audience(run.policy, around_.regions, who, run.at);
    effect.audience += in_audience ? 1 : 0;
    effect.notices_needed += in_audience && !was_reached(who, run.policy) ? 1 : 0;
    if (who.regions.empty()) {
      ++effect.region_unknown;
      continue;
    }
    auto excluded = [&](const model::timeline& by) {
      return model::excluded_since(by, around_.regions, who, run.at).has_value();
    };
    auto excluded_then = excluded(run.with);
    effect.excluded += excluded_then ? 1 : 0;
    effect.minors += !in_audience && !excluded_then && who.assistant_user_since ? 1 : 0;
    if (excluded_then && !excluded(policies_)) {
      ++effect.newly_excluded;
      for (const auto& i : folded(s).interests)
        effect.interests_to_purge += i.source == model::source::ai ? 1 : 0;
    }
  }
  return !run.from.empty();
}

} // namespace candor::profile
