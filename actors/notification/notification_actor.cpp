#include "actors/notification/notification_actor.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "actors/notification/schedule.hpp"
#include "actors/notification/templates.hpp"
#include "cluster/transport/spawn_waiting.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/base/planted.hpp"

namespace candor::notification {

using mail_job_ptr = std::shared_ptr<const mail>;
using mail_done_ptr = std::shared_ptr<const outcome>;

} // namespace candor::notification

// Addresses and texts stay in this process.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::notification::mail_job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::notification::mail_done_ptr)

namespace candor::notification {

namespace {

constexpr auto tick_every = std::chrono::milliseconds{200};
constexpr std::uint32_t persons_a_tick = 32; ///< looked at in each shard
constexpr std::size_t mail_threads = 4;
constexpr std::size_t mails_in_work = 256;
/// Longer no mail waits for a sender: whom it is for may have been erased or have moved meanwhile.
constexpr auto mail_waits_max = std::chrono::seconds{2};
constexpr std::size_t rate_window_ticks = 50;
constexpr shard_id first_shard = 0; ///< whose audit log holds the steps of a campaign

using sender_handle = caf::typed_actor<caf::replies_to<mail_job_ptr>::with<mail_done_ptr>>;

/// A thread that waits for mail servers.
class sender_actor final : public sender_handle::base {
public:
  sender_actor(caf::actor_config& config, std::shared_ptr<mailer> door)
    : sender_handle::base{config}
    , door_{std::move(door)} {}

  const char* name() const override { return "sender"; }

  behavior_type make_behavior() override {
    return {[this](const mail_job_ptr& job) {
      return std::make_shared<const outcome>(door_->send(*job));
    }};
  }

private:
  std::shared_ptr<mailer> door_;
};

using self_handle = notification_handle::extend<caf::reacts_to<tick_atom>>;

class notification_actor final : public self_handle::base {
public:
  notification_actor(caf::actor_config& config, surroundings around)
    : self_handle::base{config}
    , around_{std::move(around)}
    , counts_(around_.shards->size())
    , created_{metrics::counter("candor_notification_lines_total", "Ledger lines created.")}
    , sent_{mail_counter("accepted")}
    , deferred_{mail_counter("deferred")}
    , failed_{mail_counter("failed")} {}

  const char* name() const override { return "notification"; }

  behavior_type make_behavior() override {
    if (around_.make_mailer)
      for (std::size_t i = 0; i < mail_threads; ++i)
        senders_.push_back(transport::spawn_waiting<sender_actor>(
            system(), std::shared_ptr<mailer>{around_.make_mailer()}));
    idle_ = senders_;
    delayed_send(this, tick_every, tick_atom_v);
    return {
        [this](tick_atom) {
          delayed_send(this, tick_every, tick_atom_v);
          learn_versions();
          record_again();
          if (!around_.shards->led_here(first_shard)) {
            leave_mails();
            return;
          }
          go_round_unless_paused();
          send_waiting();
          record_progress();
        },
        [this](const fetch_inbox& m) { return fetch(m); },
        [this](const show_readiness&) { return readiness(); },
        [this](const pause_notices& m) { return pause(m); },
    };
  }

  void on_exit() override {
    for (const auto& s : senders_)
      anon_send_exit(s, caf::exit_reason::user_shutdown);
    senders_.clear();
    idle_.clear();
  }

private:
  struct known_version {
    model::policy policy;
    std::optional<template_set> texts; ///< nullopt: they could not be loaded
  };

  struct waiting_mail {
    mail_order order;
    millis since; ///< monotonic
  };

  struct mail_rate {
    std::uint32_t per_second;
    rate_limit limit;
  };

  static prometheus::Counter& mail_counter(const std::string& how) {
    return metrics::counter("candor_notification_mails_total", "Mails by what became of them.",
                            {{"outcome", how}});
  }

  // -- versions ----------------------------------------------------------------------------------

  void learn_versions() {
    request(around_.policy, limits::room_deadline, show_policies{})
        .then(
            [this](const policies_shown& shown) {
              for (std::size_t i = 0; i < shown.versions.size(); ++i)
                if (!versions_.contains(shown.versions[i]))
                  learn(shown.versions[i], shown.texts[i]);
            },
            [](const caf::error&) {});
  }

  void learn(const std::string& version, const std::string& text) {
    auto policy = model::parse_policy(text, "policy", around_.regions);
    if (!policy)
      return; // it was valid when it was applied: the region table must have changed
    known_version known{std::move(*policy), std::nullopt};
    // "notices/ai-interactions" is beneath the folder whose last part is "notices" already.
    auto folder = std::filesystem::path{known.policy.notice_templates}.filename();
    auto texts = template_set::load(around_.templates / folder);
    if (texts)
      known.texts = std::move(*texts);
    else
      log::error("notification", "version={} its notices cannot be sent: {}", version,
                 texts.error().to_string());
    versions_.emplace(version, std::move(known));
  }

  /// Any version with this revision: its words are the same.
  const known_version* find(const std::string& policy, std::uint32_t revision) const {
    for (const auto& [_, v] : versions_)
      if (v.policy.id == policy && v.policy.notice_revision == revision)
        return &v;
    return nullptr;
  }

  // -- the round ---------------------------------------------------------------------------------

  /// The fastest version's; 0: there is none.
  std::uint32_t notices_per_second() const {
    std::uint32_t per_second = 0;
    for (const auto& [_, v] : versions_)
      if (v.texts)
        per_second = std::max(per_second, v.policy.notices_per_second);
    return per_second;
  }

  /// How many lines may be created in this tick.
  std::uint32_t allowance() {
    auto per_second = notices_per_second();
    if (per_second == 0)
      return 0;
    using namespace std::chrono;
    carried_ += static_cast<double>(per_second) * duration<double>(tick_every).count();
    auto whole = std::min(carried_, static_cast<double>(per_second));
    carried_ -= whole;
    auto lines = static_cast<std::uint32_t>(whole);
    carried_ += whole - lines;
    return lines;
  }

  /// The shard is asked each time: another node may have been told.
  void go_round_unless_paused() {
    request(around_.shards->primary(first_shard), limits::room_deadline,
            read_notices_paused{first_shard})
        .then(
            [this](const notices_paused& now) {
              paused_ = now.paused;
              if (paused_)
                leave_mails();
              else
                go_round();
            },
            [](const caf::error&) {});
  }

  void go_round() {
    created_lately_.push_back(0);
    if (created_lately_.size() > rate_window_ticks)
      created_lately_.pop_front();
    auto shards = counts_.size();
    auto lines = allowance();
    for (std::size_t i = 0; i < shards; ++i) {
      auto shard = static_cast<shard_id>((i + turn_) % shards);
      // What does not divide goes to the shards whose turn it is.
      auto share = static_cast<std::uint32_t>(lines / shards + (i < lines % shards ? 1 : 0));
      request(around_.shards->primary(shard), limits::room_deadline,
              find_notices{shard, persons_a_tick, share})
          .then(
              [this, shard](notices_found& found) {
                created_.Increment(found.created);
                if (!created_lately_.empty())
                  created_lately_.back() += found.created;
                if (found.rounded)
                  counts_[shard] = std::move(found.counts);
                for (auto& order : found.mails)
                  take(std::move(order));
              },
              [](const caf::error&) {});
    }
    turn_ += lines % shards;
  }

  // -- mails -------------------------------------------------------------------------------------

  void take(mail_order order) {
    auto version = versions_.find(order.policy_version);
    // What was found before a pause, or before another node led the first shard, comes late.
    if (paused_ || !around_.shards->led_here(first_shard) || senders_.empty() ||
        version == versions_.end() || !version->second.texts || in_work_.size() >= mails_in_work ||
        in_work_.contains(order.notice))
      return; // the intent stands: it is found again
    in_work_.insert(order.notice);
    waiting_.push_back({std::move(order), around_.time.monotonic()});
    send_waiting();
  }

  /// A sender has one mail at a time: what is given up here is not sent after all.
  void send_waiting() {
    auto now = around_.time.monotonic();
    while (!waiting_.empty()) {
      if (now - waiting_.front().since > mail_waits_max) { // the intent stands: it is found again
        in_work_.erase(waiting_.front().order.notice);
        waiting_.pop_front();
        continue;
      }
      if (idle_.empty() || !within_rate(now))
        return;
      auto order = std::move(waiting_.front().order);
      waiting_.pop_front();
      send(order);
    }
  }

  /// What a pause or a server that was away left behind goes no faster than new notices do.
  bool within_rate(millis now) {
    auto per_second = notices_per_second();
    if (!mail_rate_ || mail_rate_->per_second != per_second) {
      auto a_tick = static_cast<std::uint32_t>(per_second * tick_every / std::chrono::seconds{1});
      mail_rate_.emplace(mail_rate{per_second, {per_second, std::max(a_tick, 1u), timestamp{now}}});
    }
    return mail_rate_->limit.take(timestamp{now});
  }

  void send(const mail_order& order) {
    const auto& version = versions_.at(order.policy_version);
    auto now = around_.time.now();
    auto when =
        next_allowed(now, order.zone, version.policy.quiet_from, version.policy.quiet_until);
    if (when > now)
      return record(order, mail_outcome::postponed, when);
    auto composed = compose_for(order, version);
    if (!composed) { // an address that no server would take
      failed_.Increment();
      return record(order, mail_outcome::failed, {});
    }
    if (planted(bug::outcome_without_send) && order.notice.back() < '4')
      return record(order, mail_outcome::accepted, {});
    auto by = idle_.back();
    idle_.pop_back();
    auto done = [this, order, by](const outcome& how) {
      idle_.push_back(by);
      settle(order, how);
      send_waiting();
    };
    // No deadline: the mailer has its own, and a mail given up before would still be sent.
    request(by, caf::infinite, mail_job_ptr{std::make_shared<const mail>(std::move(*composed))})
        .then([done](const mail_done_ptr& told) { done(*told); },
              [done](const caf::error&) { done(outcome{}); });
  }

  /// They are paused, or the first shard is led elsewhere, and who leads it sends them.
  void leave_mails() {
    for (const auto& [order, _] : waiting_)
      in_work_.erase(order.notice);
    waiting_.clear();
  }

  result<mail> compose_for(const mail_order& order, const known_version& version) {
    auto app = order.app.empty() ? around_.app : order.app;
    CANDOR_TRY(text, version.texts->render(
                         order.lang, {app, around_.link, version.policy.effective_at, order.zone}));
    auto from = around_.sender;
    from.name = app;
    letter what{order.notice, order.address, text.lang,    text.subject,
                text.text,    text.html,     order.created};
    return compose(from, what);
  }

  void settle(const mail_order& order, const outcome& how) {
    auto now = around_.time.now();
    if (how.what == outcome::kind::accepted) {
      sent_.Increment();
      return record(order, mail_outcome::accepted, {});
    }
    auto wait = wait_after(order.attempts + 1);
    if (how.what == outcome::kind::deferred && wait) {
      deferred_.Increment();
      return record(order, mail_outcome::deferred, now + *wait);
    }
    failed_.Increment();
    record(order, mail_outcome::failed, {});
  }

  void record(const mail_order& order, mail_outcome how, timestamp next_try) {
    auto user = user_id::parse(order.user);
    CANDOR_ASSERT(user);
    record(record_mail{
        around_.shard_of(*user), order.user, order.notice, how, around_.time.now(), next_try, {}});
  }

  /// Until it is recorded: forgotten, it would be sent again.
  void record(record_mail what) {
    request(around_.shards->primary(what.shard), limits::room_deadline, what)
        .then([this, id = what.notice](const acknowledged&) { in_work_.erase(id); },
              [this, what](const caf::error& e) {
                auto why = from_caf(e).code;
                if (why == errc::user_not_found || why == errc::not_found) // erased meanwhile
                  in_work_.erase(what.notice);
                else
                  unrecorded_.push_back(what);
              });
  }

  void record_again() {
    for (auto& what : std::exchange(unrecorded_, {}))
      record(std::move(what));
  }

  // -- what is asked -----------------------------------------------------------------------------

  caf::result<inbox_shown> fetch(const fetch_inbox& m) {
    auto user = user_id::parse(m.user);
    if (!user)
      return to_caf(user.error());
    auto shard = around_.shard_of(*user);
    auto promise = make_response_promise<inbox_shown>();
    request(around_.shards->primary(shard), limits::room_deadline,
            read_inbox{shard, m.user, m.reached})
        .then([this, promise](const inbox& held) mutable { promise.deliver(render(held)); },
              [promise](const caf::error& e) mutable { promise.deliver(e); });
    return caf::delegated<inbox_shown>{};
  }

  inbox_shown render(const inbox& held) const {
    inbox_shown shown;
    for (const auto& line : held.lines) {
      notice_shown n;
      n.id = line.id;
      n.policy = line.policy;
      n.revision = line.revision;
      n.channel = to_string(static_cast<model::channel>(line.channel));
      n.lang = line.lang;
      n.sent = line.sent;
      n.reached_ms = line.reached_ms;
      auto version = find(line.policy, line.revision);
      if (version && version->texts) {
        auto text = version->texts->render(line.lang,
                                           {held.app.empty() ? around_.app : held.app, around_.link,
                                            version->policy.effective_at, held.zone});
        if (text) {
          n.lang = text->lang;
          n.title = text->title;
          n.body = text->text;
        }
      }
      shown.notices.push_back(std::move(n));
    }
    return shown;
  }

  readiness_shown readiness() const {
    readiness_shown shown;
    shown.paused = paused_;
    std::map<std::pair<std::string, std::uint32_t>, notice_counts> sums;
    for (const auto& shard : counts_) {
      if (!shard)
        continue;
      ++shown.shards_counted;
      for (const auto& c : *shard) {
        auto& sum = sums[{c.policy, c.revision}];
        sum.policy = c.policy;
        sum.revision = c.revision;
        sum.audience += c.audience;
        sum.reached += c.reached;
        sum.waiting += c.waiting;
        sum.mails_intended += c.mails_intended;
        sum.mails_sent += c.mails_sent;
        sum.mails_failed += c.mails_failed;
        sum.in_app += c.in_app;
      }
    }
    for (auto& [key, sum] : sums) {
      auto version = find(key.first, key.second);
      auto by = version ? version->policy.notices_complete_by : std::nullopt;
      shown.complete_by_ms.push_back(by ? to_int(*by) : -1);
      shown.counts.push_back(std::move(sum));
    }
    std::uint64_t created = 0;
    for (auto n : created_lately_)
      created += n;
    if (!created_lately_.empty())
      shown.lines_per_second =
          static_cast<double>(created) / (static_cast<double>(created_lately_.size()) *
                                          std::chrono::duration<double>(tick_every).count());
    return shown;
  }

  /// A campaign's beginning and its end stand in the audit log, once each.
  void record_progress() {
    auto now = readiness();
    for (const auto& c : now.counts) {
      auto handled = c.in_app + c.mails_intended + c.mails_sent + c.mails_failed;
      auto left = c.waiting + c.mails_intended;
      if (handled > 0)
        record_once("notices_began", c);
      if (handled > 0 && left == 0 && now.shards_counted == counts_.size())
        record_once("notices_completed", c);
    }
  }

  void record_once(const std::string& action, const notice_counts& c) {
    auto subject = fmt::format("{}/{}", c.policy, c.revision);
    auto step = action + " " + subject;
    if (!steps_.insert(step).second)
      return;
    auto detail = fmt::format(R"({{"audience":{},"in_app":{},"mails_sent":{},"mails_failed":{}}})",
                              c.audience, c.in_app, c.mails_sent, c.mails_failed);
    request(around_.shards->primary(first_shard), limits::room_deadline,
            record_step{first_shard, action, subject, std::move(detail), name(), true})
        .then([](const acknowledged&) {}, [this, step](const caf::error&) { steps_.erase(step); });
  }

  caf::result<acknowledged> pause(const pause_notices& m) {
    auto promise = make_response_promise<acknowledged>();
    request(around_.shards->primary(first_shard), limits::room_deadline,
            set_notices_paused{first_shard, m.paused, m.caller})
        .then(
            [this, promise, paused = m.paused](const acknowledged& a) mutable {
              paused_ = paused;
              if (paused)
                leave_mails();
              promise.deliver(a);
            },
            [promise](const caf::error& e) mutable { promise.deliver(e); });
    return caf::delegated<acknowledged>{};
  }

  surroundings around_;
  std::map<std::string, known_version> versions_;
  std::vector<std::optional<std::vector<notice_counts>>>
      counts_;                               ///< by shard, once it was gone round
  std::deque<std::uint32_t> created_lately_; ///< by tick
  prometheus::Counter& created_;
  prometheus::Counter& sent_;
  prometheus::Counter& deferred_;
  prometheus::Counter& failed_;
  std::vector<sender_handle> senders_;
  std::vector<sender_handle> idle_;  ///< of them
  std::deque<waiting_mail> waiting_; ///< for an idle one
  std::optional<mail_rate> mail_rate_;
  std::vector<record_mail> unrecorded_; ///< outcomes that no shard has taken yet
  std::set<std::string> steps_;         ///< that were handed to the audit log
  std::set<std::string> in_work_; ///< notices whose mail waits, is on its way, or is unrecorded
  double carried_ = 0;            ///< lines that earlier ticks left
  std::size_t turn_ = 0;
  bool paused_ = false;
};

} // namespace

notification_handle spawn_notification_actor(caf::actor_system& system, surroundings around) {
  return system.spawn<notification_actor>(std::move(around));
}

} // namespace candor::notification
