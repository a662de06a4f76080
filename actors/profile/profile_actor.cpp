#include "actors/profile/profile_actor.hpp"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "actors/profile/catalogue_table.hpp"
#include "actors/profile/held_cut.hpp"
#include "actors/profile/session_reader.hpp"
#include "actors/profile/shard_filling.hpp"
#include "actors/profile/spend_table.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"

namespace candor::profile {

namespace {

using namespace std::chrono_literals;

constexpr auto sweep_every = 1s;
constexpr std::size_t sweep_persons = 8;
constexpr auto reopen_every = 500ms;
constexpr auto borrow_deadline = 2s;
constexpr auto money_idle = 10s; ///< then it goes back to its campaign
constexpr std::size_t lapses_at_a_time = 256;
constexpr std::size_t simulations_max = 16;   ///< at a time
constexpr std::size_t simulated_persons = 64; ///< in one step; then others are served
constexpr auto cut_again_every = 2ms; ///< while what is acknowledged is not in the tables yet

/// How many events had which outcome; of the process, whatever the shard.
class verdict_probe {
public:
  void count(const model::verdict& v) {
    auto key = std::string{to_string(v.status)} + '/' + v.reason;
    auto it = counters_.find(key);
    if (it == counters_.end()) // a closed set: statuses and reason codes
      it = counters_
               .emplace(key,
                        &metrics::counter(
                            "candor_profile_verdicts_total", "Events judged by a shard's primary.",
                            {{"outcome", std::string{to_string(v.status)}}, {"reason", v.reason}}))
               .first;
    it->second->Increment();
  }

private:
  std::map<std::string, prometheus::Counter*> counters_;
};

user_answer to_message(const user_view& view) {
  user_answer answer;
  answer.record = model::encode(view.record);
  for (const auto& i : view.interests)
    answer.uses.push_back({i.interest.topic, static_cast<std::uint8_t>(i.interest.source),
                           i.strength_now, i.weight_now,
                           std::string{i.ads ? to_string(*i.ads) : std::string_view{}},
                           std::string{i.content ? to_string(*i.content) : std::string_view{}}});
  answer.policy_version = view.policy_version;
  answer.region_state = to_string(view.region);
  answer.at = view.at;
  return answer;
}

candor::inbox to_inbox(const model::user_record& record) {
  candor::inbox answer;
  answer.app = record.app;
  answer.zone = record.zone;
  for (const auto& n : record.notices) {
    inbox_line line{n.id,
                    n.policy,
                    n.lang,
                    n.revision,
                    static_cast<std::uint8_t>(n.channel),
                    n.sent.value_or(n.created)};
    if (n.reached)
      line.reached_ms = to_int(*n.reached);
    answer.lines.push_back(std::move(line));
  }
  return answer;
}

use_answer to_message(const use_view& seen) {
  use_answer said;
  said.personal = seen.personal;
  said.why_not_personal = seen.why_not_personal;
  said.country = seen.country;
  said.lang = seen.lang;
  said.age_band = seen.age_band;
  said.policy_version = seen.policy_version;
  said.topics = seen.topics;
  for (const auto& [campaign, at] : seen.shown)
    said.shown.push_back({campaign, at});
  said.hidden = seen.hidden;
  said.shown_since = seen.shown_since;
  return said;
}

using self_handle =
    profile_handle::extend<caf::reacts_to<tick_atom>, caf::reacts_to<tick_atom, shard_id>,
                           caf::reacts_to<retry_atom>, caf::reacts_to<retry_atom, shard_id>,
                           caf::reacts_to<replication::shard_closed_atom, std::uint64_t>>;

class profile_actor final : public self_handle::base {
public:
  profile_actor(caf::actor_config& config, shard_id shard, user_table::surroundings around,
                other_shards others, replication::write_door door)
    : self_handle::base{config}
    , around_{around}
    , others_{std::move(others)}
    , table_{shard, around}
    , catalogue_{shard, around.db}
    , spend_{shard, around.db}
    , filling_{shard, around.db, around.keys}
    , sessions_{shard, around}
    , door_{std::move(door)} {}

  const char* name() const override { return "profile"; }

  behavior_type make_behavior() override {
    take_over();
    delayed_send(this, sweep_every, tick_atom_v);
    return {
        [this](tick_atom) {
          sweep();
          delayed_send(this, sweep_every, tick_atom_v);
        },
        [this](retry_atom) { take_over(); },
        [this](retry_atom, shard_id) {
          for (auto& asked : std::exchange(takes_, {}))
            take_cut(std::move(asked));
        },
        [this](replication::shard_closed_atom, std::uint64_t epoch) {
          if (epoch == epoch_)
            give_up({errc::not_primary, "this node leads the shard no more"});
        },
        [this](const admit_events& m) {
          return judge_each(m.items, [this](const auto& x) { return table_.admit(x); });
        },
        [this](const learn_signals& m) {
          return judge_each(m.items, [this](const auto& x) { return table_.learn(x); });
        },
        [this](const put_user& m) {
          return with_user<user_stored>(
              m.user, [&](const user_id& user) -> result<pending<user_stored>> {
                CANDOR_TRY_VOID(room_for_more());
                CANDOR_TRY(details, model::decode_user_details(m.details));
                CANDOR_TRY(stored, table_.put(user, details));
                return after(std::move(stored.entry), user_stored{stored.answer});
              });
        },
        [this](const read_user& m) {
          return with_user<user_answer>(m.user,
                                        [&](const user_id& user) -> result<pending<user_answer>> {
                                          if (!m.exporting)
                                            return read_person(user);
                                          CANDOR_TRY(exported, table_.export_user(user, m.caller));
                                          auto whole = to_message(exported.answer);
                                          CANDOR_TRY(impressions, table_.impressions(user));
                                          for (const auto& x : impressions)
                                            whole.impressions.push_back(model::encode(x));
                                          CANDOR_TRY(items, table_.content_shown(user));
                                          for (const auto& x : items)
                                            whole.content.push_back(model::encode(x));
                                          return after(std::move(exported.entry), std::move(whole));
                                        });
        },
        [this](const read_session& m) -> caf::result<user_answer> {
          if (open_ && may_answer()) {
            if (knows_less_than(m.seen))
              return to_caf(not_open());
            return with_user<user_answer>(m.user,
                                          [&](const user_id& user) { return read_person(user); });
          }
          auto told = read_copy(m);
          return told ? caf::result<user_answer>{std::move(*told)} : to_caf(told.error());
        },
        [this](const candor::forget_interest& m) {
          return with_user<acknowledged>(
              m.user, [&](const user_id& user) -> result<pending<acknowledged>> {
                CANDOR_TRY_VOID(room_for_rights());
                CANDOR_TRY(forgotten, table_.forget_interest(user, m.topic, m.caller));
                return after(std::move(forgotten.entry), acknowledged{});
              });
        },
        [this](const candor::erase_user& m) {
          return with_user<receipt>(m.user, [&](const user_id& user) -> result<pending<receipt>> {
            CANDOR_TRY_VOID(room_for_rights());
            CANDOR_TRY(erased, table_.erase(user, m.caller));
            return pending<receipt>{
                std::move(erased.entry),
                [this, user, grave = erased.answer.grave](const committed_entries& committed) {
                  if (!committed.empty())
                    table_.erased(user, grave, committed.front().seq);
                  return make_receipt(grave, committed);
                }};
          });
        },
        [this](const candor::record_notice& m) {
          return with_user<acknowledged>(
              m.user, [&](const user_id& user) -> result<pending<acknowledged>> {
                CANDOR_TRY_VOID(room_for_more());
                CANDOR_TRY(recorded,
                           table_.record_notice(
                               user,
                               {m.policy, m.revision, static_cast<model::channel>(m.channel), m.at},
                               m.caller));
                return after(std::move(recorded.entry), acknowledged{});
              });
        },
        [this](const candor::opt_out_user& m) {
          return with_user<acknowledged>(m.user,
                                         [&](const user_id& user) -> result<pending<acknowledged>> {
                                           CANDOR_TRY_VOID(room_for_rights());
                                           return only_entry(table_.opt_out(user, m.caller));
                                         });
        },
        [this](const candor::find_notices& m) { return find_notices(m); },
        [this](const candor::record_mail& m) {
          return with_user<acknowledged>(
              m.user, [&](const user_id& user) -> result<pending<acknowledged>> {
                CANDOR_TRY_VOID(room_for_rights()); // it was sent
                return only_entry(table_.record_mail(user, m.notice,
                                                     static_cast<mail_result>(m.outcome), m.at,
                                                     m.next_try, m.caller));
              });
        },
        [this](const candor::retry_mails& m) {
          return with_user<acknowledged>(m.user,
                                         [&](const user_id& user) -> result<pending<acknowledged>> {
                                           CANDOR_TRY_VOID(room_for_more());
                                           return only_entry(table_.retry_mails(user, m.caller));
                                         });
        },
        [this](const candor::read_inbox& m) {
          return with_user<candor::inbox>(
              m.user, [&](const user_id& user) -> result<pending<candor::inbox>> {
                CANDOR_TRY_VOID(room_for_rights());
                CANDOR_TRY(read, table_.inbox(user, m.reached));
                return after(std::move(read.entry), to_inbox(read.answer));
              });
        },
        [this](const candor::simulate_policy& m) -> caf::result<policy_effect> {
          if (!open_)
            return to_caf(not_open());
          if (simulations_.size() >= simulations_max)
            return to_caf({errc::overloaded, "too many policies are simulated at a time"});
          auto run = table_.begin_simulation(m.text, m.version);
          if (!run)
            return to_caf(run.error());
          simulations_.push_back({std::move(*run), make_response_promise<policy_effect>()});
          if (simulations_.size() == 1)
            send(this, tick_atom_v, table_.shard());
          return caf::delegated<policy_effect>{};
        },
        [this](tick_atom, shard_id) { simulate_on(); },
        [this](const candor::apply_policy& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.apply_policy(m.text, m.caller));
          });
        },
        [this](const candor::store_policy& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.store_policy(m.text, m.caller));
          });
        },
        [this](const candor::record_step& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.record_step(m.action, m.subject, m.detail, m.caller, m.once));
          });
        },
        [this](const candor::set_notices_paused& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.set_notices_paused(m.paused, m.caller));
          });
        },
        [this](const read_notices_paused&) {
          return answer<notices_paused>([&]() -> result<pending<notices_paused>> {
            return after(std::nullopt, notices_paused{table_.notices_paused()});
          });
        },
        [this](const candor::read_policies&) {
          return answer<policies_logged>([&]() -> result<pending<policies_logged>> {
            policies_logged logged;
            for (const auto& v : table_.policies().versions()) {
              logged.applied.push_back(v.policy.text);
              logged.applied_at.push_back(v.applied_at);
            }
            for (const auto& [_, text] : table_.stored_policies())
              logged.stored.push_back(text);
            return after<policies_logged>(std::nullopt, std::move(logged));
          });
        },
        [this](const put_item& m) {
          return answer<item_stored>([&]() -> result<pending<item_stored>> {
            CANDOR_TRY_VOID(room_for_more());
            auto entry = table_.begin_entry();
            auto kind = static_cast<model::item_kind>(m.kind);
            CANDOR_TRY(is_new, catalogue_.put(entry, kind, m.id, m.bytes));
            entry.audit.push_back(item_audit(m.caller, kind, is_new ? "created" : "changed", m.id));
            return after(std::optional{std::move(entry)}, item_stored{is_new});
          });
        },
        [this](const pause_campaign& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            auto entry = table_.begin_entry();
            CANDOR_TRY(changes, catalogue_.pause(entry, m.id, m.paused));
            if (!changes)
              return after<acknowledged>(std::nullopt, {});
            entry.audit.push_back(item_audit(m.caller, model::item_kind::campaign,
                                             m.paused ? "paused" : "resumed", m.id));
            return after(std::optional{std::move(entry)}, acknowledged{});
          });
        },
        [this](const drop_item& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            auto entry = table_.begin_entry();
            auto kind = static_cast<model::item_kind>(m.kind);
            CANDOR_TRY_VOID(catalogue_.erase(entry, kind, m.id));
            entry.audit.push_back(item_audit(m.caller, kind, "deleted", m.id));
            return after(std::optional{std::move(entry)}, acknowledged{});
          });
        },
        [this](const read_item& m) {
          return answer<item_read>([&]() -> result<pending<item_read>> {
            auto bytes = catalogue_.find(static_cast<model::item_kind>(m.kind), m.id);
            if (!bytes)
              return fail(errc::not_found, m.id);
            return after<item_read>(std::nullopt, item_read{*bytes});
          });
        },
        [this](const pull_catalogue& m) -> caf::result<catalogue_news> {
          if (!open_)
            return to_caf(not_open());
          auto news = catalogue_.news(m.opening == opening() ? m.after : 0);
          catalogue_news said{opening(), news.whole, news.up_to, news.more, {}};
          for (auto& i : news.items)
            said.items.push_back(
                {static_cast<std::uint8_t>(i.kind), std::move(i.id), std::move(i.bytes)});
          // Where nothing is new there is nothing that would have to be durable first.
          if (!said.whole && said.items.empty())
            return may_answer() ? caf::result<catalogue_news>{said} : to_caf(not_open());
          return answer<catalogue_news>([&]() -> result<pending<catalogue_news>> {
            return after<catalogue_news>(std::nullopt, std::move(said));
          });
        },
        [this](const borrow_money& m) {
          return answer<money_answer>([&]() -> result<pending<money_answer>> {
            if (money_stands_still())
              return fail(errc::unavailable, "a backup is being cut");
            CANDOR_TRY_VOID(room_for_more());
            auto entry = table_.begin_entry();
            CANDOR_TRY(lent, catalogue_.lend(entry, m.campaign,
                                             {m.borrower, m.lent_seen, m.returned, m.day,
                                              m.returned_within_day, m.wanted, m.decisions},
                                             around_.time.now()));
            return after(entry.rows.empty() ? std::nullopt : std::optional{std::move(entry)},
                         money_answer{lent.lent, lent.day, lent.exhausted, lent.paced});
          });
        },
        [this](const read_spend& m) {
          return answer<spend_read>([&]() -> result<pending<spend_read>> {
            auto t = spend_.totals(m.campaign);
            return after<spend_read>(std::nullopt,
                                     spend_read{t.lent, t.returned, t.reserved, t.settled});
          });
        },
        [this](const candor::read_use& m) {
          return with_user<use_answer>(
              m.user, [&](const user_id& user) -> result<pending<use_answer>> {
                CANDOR_TRY(seen, table_.read_use(user, static_cast<model::use>(m.use)));
                decisions_ += m.use == static_cast<std::uint8_t>(model::use::ads);
                return after<use_answer>(std::nullopt, to_message(seen));
              });
        },
        [this](const reserve_ads& m) { return reserve(m); },
        [this](const ad_event& m) { return answer<ad_event_taken>([&] { return take_event(m); }); },
        [this](const candor::content_event& m) {
          return with_user<acknowledged>(
              m.user, [&](const user_id& user) -> result<pending<acknowledged>> {
                CANDOR_TRY_VOID(room_for_more());
                auto entry = table_.begin_entry();
                CANDOR_TRY(changed, table_.note_content(user, m.content, m.hidden, entry));
                return after(changed ? std::optional{std::move(entry)} : std::nullopt,
                             acknowledged{});
              });
        },
        [this](const candor::explain_ad& m) {
          return with_user<ad_explained>(
              m.user, [&](const user_id& user) -> result<pending<ad_explained>> {
                CANDOR_TRY(found, table_.find_impression(user, m.impression));
                CANDOR_TRY(rest, table_.not_used_for_ads(user));
                ad_explained said;
                said.impression = model::encode(found);
                for (auto& [what, reason] : rest)
                  said.rest.push_back({std::move(what), std::move(reason)});
                return after<ad_explained>(std::nullopt, std::move(said));
              });
        },
        [this](const candor::open_import& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_more());
            return only_entry(table_.open_import(m.run, m.name, m.caller));
          });
        },
        [this](const candor::close_import& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.close_import(m.run, m.caller));
          });
        },
        [this](const candor::follow_clock& m) {
          return answer<acknowledged>([&]() -> result<pending<acknowledged>> {
            CANDOR_TRY_VOID(room_for_rights());
            return only_entry(table_.follow_clock(m.now, m.caller));
          });
        },
        [this](const cut_shard& m) { return cut(m); },
        [this](const candor::read_cut& m) { return read_cut(m); },
        [this](const fill_shard& m) { return fill(m); },
        [this](const shard_status_request&) -> caf::result<shard_status> {
          if (!open_)
            return to_caf(not_open());
          shard_status s;
          s.shard = table_.shard();
          s.term = term_;
          s.seq = seq_;
          s.log_time = table_.log_time();
          s.users_cached = table_.cached();
          s.audit_entries = audit_.index;
          s.audit_hash =
              to_hex({reinterpret_cast<const char*>(audit_.hash.data()), audit_.hash.size()});
          for (const auto& v : table_.policies().versions())
            s.policies.push_back(v.policy.version);
          for (const auto& [run, _] : table_.imports())
            s.imports_open.push_back(run);
          return s;
        },
    };
  }

  /// What waits holds this actor, which holds the door; a snapshot goes before its engine.
  void on_exit() override {
    in_flight_.clear();
    borrowing_.clear();
    takes_.clear();
    simulations_.clear();
    cut_.reset();
  }

private:
  using committed_entries = std::vector<replication::committed>;

  /// An answer that waits for an entry, or, without one, for every entry before it.
  template <class Answer>
  struct pending {
    std::optional<replication::draft> entry;
    std::function<result<Answer>(const committed_entries&)> finish;
  };

  /// Told when an append, and everything before it, is durable or failed.
  using continuation = std::function<void(const replication::append_result&)>;

  /// Nothing was tried: whoever asked may ask again, here or where the shard is led now.
  static error not_open() {
    return {errc::not_primary, "this shard is not led here at the moment"};
  }

  bool has_room() const { return door_.room(table_.shard()) == disk_room::ample; }

  static tl::unexpected<error> no_room() {
    return fail(errc::disk_full, "a disk that holds this shard is too full");
  }

  /// Asked before anything is decided: nothing was tried.
  result<void> room_for_more() const { return has_room() ? result<void>{} : no_room(); }

  /// The reserve is there for what people have a right to, for operators, and for what was done
  /// already and must be written down.
  result<void> room_for_rights() const {
    return door_.room(table_.shard()) != disk_room::none ? result<void>{} : no_room();
  }

  /// Nobody else can have changed the shard since what is to be answered was read.
  bool may_answer() const {
    return door_.may_answer(table_.shard(), term_at_opening_, around_.time.monotonic());
  }

  template <class Answer>
  static pending<Answer> after(std::optional<replication::draft> entry, Answer answer) {
    return {std::move(entry), [answer = std::move(answer)](const committed_entries&) {
              return result<Answer>{answer};
            }};
  }

  static result<pending<acknowledged>> only_entry(result<decided<bool>> outcome) {
    CANDOR_TRY(decision, std::move(outcome));
    return after(std::move(decision.entry), acknowledged{});
  }

  /// That nobody is known is an answer too: a session must not find them again elsewhere.
  result<pending<user_answer>> read_person(const user_id& user) {
    auto view = table_.read(user);
    if (!view && view.error().code == errc::user_not_found)
      return after<user_answer>(std::nullopt, nobody());
    if (!view)
      return tl::unexpected<error>{view.error()};
    return after<user_answer>(std::nullopt, to_message(*view));
  }

  static user_answer nobody() {
    user_answer answer;
    answer.known = false;
    return answer;
  }

  result<user_answer> read_copy(const read_session& m) {
    CANDOR_TRY(user, user_id::parse(m.user));
    CANDOR_TRY(told, sessions_.read(user, m.seen, door_.for_sessions(table_.shard())));
    auto answer = told.person ? to_message(*told.person) : nobody();
    answer.seen = told.seen;
    return answer;
  }

  /// What whoever is answered now has seen: every entry that the answer rests on is committed.
  session_token seen_now() const { return {table_.shard(), generation_, seq_}; }

  /// The session was answered by a primary that this one knows nothing of: whatever the clocks here
  /// say, a session does not go back.
  bool knows_less_than(const session_token& seen) const {
    return std::pair{generation_, seq_} < std::pair{seen.generation, seen.seq};
  }

  template <class Answer, class Decide>
  caf::result<Answer> with_user(const std::string& id, Decide decide) {
    return answer<Answer>([&]() -> result<pending<Answer>> {
      CANDOR_TRY(user, user_id::parse(id));
      return decide(user);
    });
  }

  /// Decides, appends what there is to append, and answers when it may.
  template <class Answer, class Decide>
  caf::result<Answer> answer(Decide decide) {
    if (!open_)
      return to_caf(not_open());
    auto decided = decide();
    if (!decided) {
      // That somebody is not there is read too: it is told as everything that is read.
      auto promise = make_response_promise<Answer>();
      append(std::vector<replication::draft>{},
             [promise, why = decided.error()](const replication::append_result& before) mutable {
               promise.deliver(to_caf(before ? why : before.error()));
             });
      return caf::delegated<Answer>{};
    }
    std::vector<replication::draft> drafts;
    if (decided->entry)
      drafts.push_back(std::move(*decided->entry));
    auto promise = make_response_promise<Answer>();
    append(std::move(drafts), [this, promise, finish = std::move(decided->finish)](
                                  const replication::append_result& outcome) mutable {
      auto final_answer = outcome ? finish(*outcome) : tl::unexpected<error>{outcome.error()};
      if constexpr (requires { final_answer->seen; })
        if (final_answer)
          final_answer->seen = seen_now();
      if (final_answer)
        promise.deliver(std::move(*final_answer));
      else
        promise.deliver(to_caf(final_answer.error()));
    });
    return caf::delegated<Answer>{};
  }

  template <class Item, class Judge>
  caf::result<verdicts> judge_each(const std::vector<Item>& items, Judge judge) {
    if (!open_)
      return to_caf(not_open());
    auto answers = std::make_shared<verdicts>();
    if (door_.full() || items.size() > limits::batch_events) {
      answers->items.assign(items.size(), model::verdict::overloaded());
      return std::move(*answers);
    }
    if (!has_room()) {
      answers->items.assign(
          items.size(), {model::status::overloaded, std::string{info(errc::disk_full).slug}, {}});
      return std::move(*answers);
    }
    std::vector<replication::draft> drafts;
    auto rests_on_entries = false;
    for (const auto& item : items) {
      auto judged = judge(item);
      if (!judged) {
        // One person's unreadable record is that person's outcome alone.
        log::error("profile", "shard={} an event could not be judged: {}", table_.shard(),
                   judged.error().to_string());
        answers->items.push_back(model::verdict::unknown());
        continue;
      }
      if (judged->entry)
        drafts.push_back(std::move(*judged->entry));
      rests_on_entries |= judged->answer.status == model::status::duplicate;
      probe_.count(judged->answer);
      answers->items.push_back(std::move(judged->answer));
    }
    if (drafts.empty() && !rests_on_entries) {
      answers->seen = {seen_now()};
      return may_answer() ? caf::result<verdicts>{std::move(*answers)} : to_caf(not_open());
    }
    auto promise = make_response_promise<verdicts>();
    append(std::move(drafts),
           [this, promise, answers](const replication::append_result& outcome) mutable {
             if (!outcome)
               answers->items.assign(answers->items.size(), model::verdict::unknown());
             else
               answers->seen = {seen_now()};
             promise.deliver(std::move(*answers));
           });
    return caf::delegated<verdicts>{};
  }

  caf::result<notices_found> find_notices(const candor::find_notices& m) {
    if (!open_)
      return to_caf(not_open());
    auto round = table_.find_notices(std::min<std::size_t>(m.persons, limits::batch_events),
                                     door_.full() || !has_room() ? 0 : m.lines_max);
    if (!round)
      return to_caf(round.error());
    auto answer = std::make_shared<notices_found>();
    answer->created = round->created;
    answer->rounded = round->rounded;
    for (auto& mail : round->mails)
      answer->mails.push_back({std::move(mail.user), std::move(mail.notice),
                               std::move(mail.address), std::move(mail.lang), std::move(mail.zone),
                               std::move(mail.app), std::move(mail.policy_version), mail.attempts,
                               mail.created});
    for (const auto& c : round->counts)
      answer->counts.push_back({c.policy, c.revision, c.audience, c.reached, c.waiting,
                                c.mails_intended, c.mails_sent, c.mails_failed, c.in_app});
    auto promise = make_response_promise<notices_found>();
    append(std::move(round->entries),
           [promise, answer](const replication::append_result& outcome) mutable {
             if (outcome)
               promise.deliver(std::move(*answer));
             else
               promise.deliver(to_caf(outcome.error()));
           });
    return caf::delegated<notices_found>{};
  }

  /// A step of the simulation whose turn it is; they go on one after the other.
  void simulate_on() {
    auto& [run, promise] = simulations_.front();
    auto more = open_ ? table_.simulate_on(run, simulated_persons)
                      : result<bool>{tl::unexpected<error>{not_open()}};
    if (more && !*more) {
      const auto& e = run.effect;
      promise.deliver(policy_effect{e.persons, e.audience, e.notices_needed, e.excluded,
                                    e.region_unknown, e.minors, e.newly_excluded,
                                    e.interests_to_purge});
    } else if (!more) {
      promise.deliver(to_caf(more.error()));
    }
    if (!more || !*more)
      simulations_.pop_front();
    if (!simulations_.empty())
      send(this, tick_atom_v, table_.shard());
  }

  // -- ads -----------------------------------------------------------------------------------

  stores::audit_event item_audit(const std::string& caller, model::item_kind kind,
                                 std::string_view what, const std::string& id) const {
    return {
        around_.time.now(), caller, std::string{to_string(kind)} + "_" + std::string{what}, id, {}};
  }

  /// Another one after each opening: who pulls the catalogue begins anew.
  std::uint64_t opening() const { return (term_at_opening_ << 16) | (epoch_ & 0xffff); }

  /// One decision on its way to the log.
  struct reserving {
    reserve_ads asked;
    std::vector<model::impression> impressions;
    std::set<std::string> borrowed_for; ///< campaigns whose owner was asked
    std::set<std::string> paced;        ///< of them: the owner keeps their money for later
    caf::typed_response_promise<ads_reserved> promise;
  };

  caf::result<ads_reserved> reserve(const reserve_ads& m) {
    auto r = std::make_shared<reserving>();
    r->asked = m;
    for (const auto& choice : m.choices) {
      auto x = model::decode_impression(choice.impression);
      if (!x)
        return to_caf(x.error());
      r->impressions.push_back(std::move(*x));
    }
    r->promise = make_response_promise<ads_reserved>();
    decisions_ += m.personal ? 0 : 1; // of a person's it was counted when their profile was read
    go_on(r);
    return caf::delegated<ads_reserved>{};
  }

  static void refuse(reserving& r, const error& why) { r.promise.deliver(to_caf(why)); }

  /// Looks at everything anew, since it may have waited for money.
  void go_on(const std::shared_ptr<reserving>& r) {
    if (!open_)
      return refuse(*r, not_open());
    if (door_.full() || spend_.is_full())
      return refuse(*r, {errc::overloaded, "too many ads are reserved"});
    if (auto room = room_for_more(); !room)
      return refuse(*r, room.error());
    ads_reserved said;
    if (auto fits = still_fits(*r, said); !fits)
      return refuse(*r, fits.error());
    auto now = around_.time.now();
    auto today = day_of(now);
    std::vector<std::pair<std::string, std::int64_t>> wanted;
    for (const auto& x : r->impressions) {
      auto missing = x.price_micros - spend_.available(x.campaign, today);
      if (missing <= 0)
        continue;
      if (r->borrowed_for.contains(x.campaign)) {
        said.no_money.push_back(x.campaign);
        if (r->paced.contains(x.campaign))
          said.paced.push_back(x.campaign);
      } else
        wanted.emplace_back(x.campaign, missing);
    }
    if (said.changed || !said.capped.empty() || !said.no_money.empty()) {
      r->promise.deliver(std::move(said));
      return;
    }
    if (!wanted.empty()) {
      auto missing = std::make_shared<std::size_t>(wanted.size());
      for (const auto& [campaign, price] : wanted) {
        r->borrowed_for.insert(campaign);
        borrow(campaign, price, [this, r, missing, campaign = campaign](bool paced) {
          if (paced)
            r->paced.insert(campaign);
          if (--*missing == 0)
            go_on(r);
        });
      }
      return;
    }
    write(r, now, today);
  }

  /// The second of two checks: the match made the first, over a profile that may have changed.
  result<void> still_fits(const reserving& r, ads_reserved& said) {
    const auto& asked = r.asked;
    if (!asked.personal) {
      for (std::size_t i = 0; i < asked.choices.size(); ++i) {
        CANDOR_ASSERT(r.impressions[i].topics.empty());
        if (asked.choices[i].cap_impressions > 0) // nobody counts for a stranger
          said.capped.push_back(r.impressions[i].campaign);
      }
      return {};
    }
    CANDOR_TRY(user, user_id::parse(asked.user));
    CANDOR_TRY(seen, table_.read_use(user, model::use::ads));
    said.changed = !seen.personal || seen.country != asked.country;
    auto now = around_.time.now();
    for (std::size_t i = 0; i < asked.choices.size(); ++i) {
      const auto& x = r.impressions[i];
      for (const auto& used : x.topics) {
        CANDOR_ASSERT(model::is_topic(used.topic));
        said.changed |= std::ranges::none_of(seen.topics, [&](const model::topic_used& t) {
          return t.topic == used.topic && t.source == used.source;
        });
      }
      auto limit = asked.choices[i].cap_impressions;
      auto since = now - millis{asked.choices[i].cap_ms};
      auto count = std::ranges::count_if(
          seen.shown, [&](const auto& s) { return s.first == x.campaign && s.second > since; });
      auto forgot_some = limit > 0 && seen.shown_since > since;
      if ((limit > 0 && count >= static_cast<std::ptrdiff_t>(limit)) || forgot_some ||
          std::ranges::find(seen.hidden, x.campaign) != seen.hidden.end())
        said.capped.push_back(x.campaign);
    }
    return {};
  }

  void write(const std::shared_ptr<reserving>& r, timestamp now, std::int64_t today) {
    auto entry = table_.begin_entry();
    if (r->asked.personal) {
      auto user = user_id::parse(r->asked.user);
      auto added = table_.add_impressions(*user, r->impressions, entry);
      if (!added)
        return refuse(*r, added.error());
    }
    for (const auto& x : r->impressions) {
      spend_.reserve(entry, x.id,
                     {x.campaign, x.price_micros, today,
                      std::max(x.at, table_.log_time()) + limits::impression_window,
                      r->asked.personal});
      spend_.touch(x.campaign, now);
    }
    append(std::move(entry), [r](const replication::append_result& outcome) {
      if (outcome)
        r->promise.deliver(ads_reserved{});
      else
        r->promise.deliver(to_caf(outcome.error()));
    });
  }

  /// Whether the owner keeps the money for later, by the campaign's pacing.
  using after_borrowing = std::function<void(bool paced)>;

  /// Asks a campaign's owner for money; `then` is called whatever came of it. Several who wait for
  /// the same campaign ask once.
  void borrow(const std::string& campaign, std::int64_t wanted, after_borrowing then) {
    auto& waiting = borrowing_[campaign];
    waiting.push_back(std::move(then));
    if (waiting.size() > 1)
      return;
    auto entry = table_.begin_entry();
    if (!spend_.return_old(entry, campaign, day_of(around_.time.now())))
      return ask_owner(campaign, wanted);
    append(std::move(entry), [this, campaign, wanted](const replication::append_result& outcome) {
      if (outcome)
        ask_owner(campaign, wanted);
      else
        end_borrowing(campaign);
    });
  }

  void ask_owner(const std::string& campaign, std::int64_t wanted) {
    auto primaries = others_.primaries.lock();
    if (!primaries || money_stands_still()) // or the node is ending
      return end_borrowing(campaign);
    auto owner = others_.shard_of(*user_id::parse(campaign));
    auto said = spend_.report(campaign, wanted);
    auto asked_in = epoch_;
    request(primaries->primary(owner), borrow_deadline,
            borrow_money{owner, campaign, said.shard, said.lent_seen, said.returned, said.day,
                         said.returned_within_day, said.wanted, decisions_})
        .then(
            [this, campaign, asked_in](const money_answer& lent) {
              if (money_stands_still()) // as if it had been lost: it is said again
                return end_borrowing(campaign);
              owed_reports_.erase(campaign);
              auto entry = table_.begin_entry();
              if (!open_ || epoch_ != asked_in ||
                  !spend_.receive(entry, campaign,
                                  {lent.lent, lent.day, lent.exhausted, lent.paced}))
                return end_borrowing(campaign, lent.paced);
              append(std::move(entry), [this, campaign, paced = lent.paced](const auto&) {
                end_borrowing(campaign, paced);
              });
            },
            [this, campaign](const caf::error&) { end_borrowing(campaign); });
  }

  void end_borrowing(const std::string& campaign, bool paced = false) {
    auto waiting = std::exchange(borrowing_[campaign], {});
    borrowing_.erase(campaign);
    for (auto& then : waiting)
      then(paced);
  }

  result<pending<ad_event_taken>> take_event(const ad_event& m) {
    CANDOR_TRY_VOID(room_for_more());
    auto entry = table_.begin_entry();
    auto reserved = spend_.find(m.impression);
    error gone{errc::not_found, "no ad is reserved under this id: it is unknown or has lapsed"};
    if (m.user.empty()) {
      if (m.what == ad_happening::hide)
        return fail(errc::missing_field, "`user`: who wants to see no more of it");
      if (!reserved)
        return tl::unexpected<error>{gone};
      if (reserved->personal)
        return fail(errc::missing_field, "`user`: this ad was chosen for a person");
      if (reserved->told)
        return after(std::nullopt, ad_event_taken{false});
      spend_.settle(entry, m.impression);
      return after(std::optional{std::move(entry)}, ad_event_taken{true});
    }
    CANDOR_TRY(user, user_id::parse(m.user));
    auto known = table_.find_impression(user, m.impression);
    if (!known && known.error().code != errc::not_found)
      return tl::unexpected<error>{known.error()};
    if (!known && !reserved)
      return tl::unexpected<error>{gone};
    auto changed = false;
    // A click shows that it was seen.
    if (m.what != ad_happening::hide && reserved && !reserved->told) {
      spend_.settle(entry, m.impression);
      changed = true;
    }
    if (known) {
      using state = model::impression_state;
      if (m.what == ad_happening::impression && known->state == state::reserved && !changed)
        return tl::unexpected<error>{gone};
      auto to = m.what == ad_happening::impression ? state::shown
                : m.what == ad_happening::click    ? state::clicked
                                                   : state::hidden;
      CANDOR_TRY(marked, table_.mark_impression(user, m.impression, to, entry));
      changed |= marked;
    }
    return after(entry.rows.empty() ? std::nullopt : std::optional{std::move(entry)},
                 ad_event_taken{changed});
  }

  // -- backup --------------------------------------------------------------------------------

  /// Until when money stands still, for which backup.
  struct money_hold {
    std::string backup;
    millis until{0};
  };
  struct cut_held {
    std::string backup;
    held_cut state;
    millis until{0}; ///< without a sign of whoever wants it
  };
  /// Waits until the tables hold all that was acknowledged when it was asked for.
  struct take_asked {
    std::string backup;
    std::uint64_t seq = 0;
    caf::typed_response_promise<shard_cut> promise;
  };

  bool money_stands_still() const { return hold_ && around_.time.monotonic() < hold_->until; }

  static error no_cut() {
    return {errc::not_found, "this primary holds no snapshot for that backup"};
  }

  bool holds_cut(const std::string& backup) {
    if (!cut_ || cut_->backup != backup)
      return false;
    cut_->until = around_.time.monotonic() + limits::cut_kept;
    return true;
  }

  shard_cut describe_cut() const {
    const auto& state = cut_->state;
    auto hex = [](const auto& hash) {
      return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
    };
    return {state.mark().at.seq,
            state.mark().at.term,
            hex(state.mark().at.chain),
            state.mark().time,
            state.audit().index,
            hex(state.audit().hash),
            backup::fingerprint(around_.secrets)};
  }

  caf::result<shard_cut> cut(const cut_shard& m) {
    if (!open_)
      return to_caf(not_open());
    switch (m.step) {
      case cut_step::hold:
        hold_ = money_hold{m.backup, around_.time.monotonic() + limits::money_hold};
        return shard_cut{};
      case cut_step::take: {
        auto promise = make_response_promise<shard_cut>();
        take_cut({m.backup, seq_, promise});
        return caf::delegated<shard_cut>{};
      }
      case cut_step::go_on:
        if (hold_ && hold_->backup == m.backup)
          hold_.reset();
        return shard_cut{};
      case cut_step::keep:
        return holds_cut(m.backup) ? caf::result<shard_cut>{describe_cut()} : to_caf(no_cut());
      case cut_step::end:
        if (hold_ && hold_->backup == m.backup)
          hold_.reset();
        if (holds_cut(m.backup))
          cut_.reset();
        return shard_cut{};
    }
    return to_caf({errc::bad_value, "this step is not known"});
  }

  void take_cut(take_asked asked) {
    auto taken = try_take(asked);
    if (!taken) {
      asked.promise.deliver(to_caf(taken.error()));
    } else if (*taken) {
      asked.promise.deliver(describe_cut());
    } else {
      takes_.push_back(std::move(asked));
      if (takes_.size() == 1)
        delayed_send(this, cut_again_every, retry_atom_v, table_.shard());
    }
  }

  /// False: not yet.
  result<bool> try_take(const take_asked& asked) {
    if (!open_)
      return tl::unexpected<error>{not_open()};
    if (holds_cut(asked.backup))
      return true;
    if (!money_stands_still() || hold_->backup != asked.backup)
      return fail(errc::conflict, "money moved since the cut was begun: begin it anew");
    auto applied = (*door_.progress)[table_.shard()].applied.load(std::memory_order_acquire);
    if (applied < asked.seq)
      return false;
    CANDOR_TRY(state, held_cut::take(table_.shard(), around_.db));
    if (!may_answer()) // another may have acknowledged what is not in it
      return tl::unexpected<error>{not_open()};
    cut_.emplace(
        cut_held{asked.backup, std::move(state), around_.time.monotonic() + limits::cut_kept});
    return true;
  }

  caf::result<cut_part> read_cut(const candor::read_cut& m) {
    if (!open_)
      return to_caf(not_open());
    if (!m.keys && !holds_cut(m.backup))
      return to_caf(no_cut());
    if (m.keys)
      return read_keys(m);
    auto part = cut_->state.read(m.cursor, limits::backup_part_wanted);
    if (!part)
      return to_caf(part.error());
    return cut_part{std::move(part->bytes), part->count, std::move(part->next)};
  }

  /// Wrapped as they are, they are what erasure is about: the audit log says who took them.
  caf::result<cut_part> read_keys(const candor::read_cut& m) {
    return answer<cut_part>([&]() -> result<pending<cut_part>> {
      CANDOR_TRY(part,
                 read_pages(table_.shard(), around_.keys, m.cursor, limits::backup_part_wanted));
      std::optional<replication::draft> entry;
      if (m.cursor.empty()) {
        CANDOR_TRY_VOID(room_for_rights());
        entry = table_.begin_entry();
        entry->audit.push_back({around_.time.now(), m.caller, "keys_backed_up", m.backup, {}});
      }
      return after(std::move(entry),
                   cut_part{std::move(part.bytes), part.count, std::move(part.next)});
    });
  }

  // -- restore -------------------------------------------------------------------------------

  caf::result<shard_filled> fill(const fill_shard& m) {
    if (!open_ && !is_filling_)
      return to_caf(not_open());
    if (m.step != fill_step::look && !has_room())
      return to_caf(no_room().value());
    auto drafted = m.step == fill_step::look     ? look_at(m)
                   : m.step == fill_step::begin  ? begin_filling(m)
                   : m.step == fill_step::finish ? end_filling(m)
                                                 : fill_on(m);
    if (!drafted)
      return to_caf(drafted.error());
    auto promise = make_response_promise<shard_filled>();
    auto renews = is_filling_ && filling_.mark().complete;
    append(std::move(*drafted),
           [this, promise, renews, backup = m.backup](const auto& outcome) mutable {
             if (!outcome) {
               promise.deliver(to_caf(outcome.error()));
               return;
             }
             auto filled = filling_.is_filled_from(backup);
             promise.deliver(shard_filled{filling_.mark().next, filling_.mark().dropped,
                                          !is_filling_ && filled && *filled});
             if (renews)
               renew();
           });
    return caf::delegated<shard_filled>{};
  }

  using drafts_or = result<std::vector<replication::draft>>;

  static std::vector<replication::draft> just(replication::draft entry) {
    std::vector<replication::draft> one;
    one.push_back(std::move(entry));
    return one;
  }

  /// Whether it may be filled, or was: changes nothing.
  drafts_or look_at(const fill_shard& m) {
    if (m.backup.empty() || m.backup.size() > limits::backup_id_bytes ||
        m.backup.find('\n') != std::string::npos)
      return fail(errc::bad_value, "the backup's id");
    if (m.secrets != backup::fingerprint(around_.secrets))
      return fail(errc::conflict, "the backup is of a cluster with other secrets: give this one "
                                  "that cluster's master.key and cluster.secret");
    if (m.term_floor > limits::term_max / 2)
      return fail(errc::bad_value, "too many restores followed each other: no terms are left");
    CANDOR_TRY(filled, filling_.is_filled_from(m.backup));
    if (!filled)
      CANDOR_TRY_VOID(filling_.check(m.backup));
    return std::vector<replication::draft>{};
  }

  drafts_or begin_filling(const fill_shard& m) {
    CANDOR_TRY_VOID(look_at(m));
    if (open_) {
      CANDOR_TRY(filled, filling_.is_filled_from(m.backup));
      if (filled)
        return std::vector<replication::draft>{};
      auto applied = (*door_.progress)[table_.shard()].applied.load(std::memory_order_acquire);
      if (!in_flight_.empty() || applied < seq_)
        return fail(errc::unavailable, "the shard is writing: ask again");
    }
    filling_mark mark;
    mark.backup = m.backup;
    mark.caller = m.caller;
    mark.term_floor = m.term_floor;
    mark.log_time = std::max(m.log_time, open_ ? table_.log_time() : filling_.mark().log_time);
    CANDOR_TRY(entry, filling_.begin(std::move(mark)));
    open_ = false;
    is_filling_ = true;
    return just(std::move(entry));
  }

  drafts_or fill_on(const fill_shard& m) {
    const auto& mark = filling_.mark();
    if (!is_filling_ || mark.backup != m.backup || m.index > mark.next)
      return fail(errc::conflict, "this part does not follow: begin the shard anew");
    if (m.index < mark.next || mark.complete)
      return std::vector<replication::draft>{}; // it was taken before
    auto entry = m.step == fill_step::keys ? filling_.take_pages(m.bytes)
                                           : filling_.take_rows(m.bytes, m.drop_unreadable);
    if (!entry)
      return tl::unexpected<error>{entry.error()};
    return just(std::move(*entry));
  }

  drafts_or end_filling(const fill_shard& m) {
    if (open_) {
      CANDOR_TRY(filled, filling_.is_filled_from(m.backup));
      if (!filled)
        return fail(errc::conflict, "that backup was not put into this shard");
      return std::vector<replication::draft>{};
    }
    if (filling_.mark().backup != m.backup || m.index != filling_.mark().next)
      return fail(errc::conflict, "parts are missing: begin the shard anew");
    if (filling_.mark().complete)
      return std::vector<replication::draft>{};
    return just(filling_.complete());
  }

  /// Into a term in which no key was used. The shard closes, and is taken over in it.
  void renew() {
    request(door_.actor, caf::infinite, replication::renew_atom_v, table_.shard(),
            filling_.mark().term_floor)
        .then(
            [this](const replication::done_ptr& done) {
              if (!*done) // whoever fills it asks again
                log::warn("profile", "shard={} cannot begin its new term yet: {}", table_.shard(),
                          done->error().to_string());
            },
            [](const caf::error&) {});
  }

  /// The shard is whole, and led in its new term.
  void serve_filled() {
    auto mark = filling_.mark();
    auto entry = filling_.finish();
    entry.time = table_.log_time();
    entry.audit.push_back({around_.time.now(), mark.caller, "backup_restored", mark.backup,
                           fmt::format("{{\"persons_left_out\":{}}}", mark.dropped)});
    append(std::move(entry), [this](const replication::append_result& outcome) {
      if (!outcome)
        return; // the shard is given up, and taken over again
      log::info("profile", "shard={} serves what was restored", table_.shard());
      filling_.finished();
      is_filling_ = false;
      open_ = true;
    });
  }

  /// What lapses, and money that lies idle.
  void tidy_money() {
    auto now = around_.time.now();
    auto entry = table_.begin_entry();
    // By log time: a clock that is set ahead must not take back what was promised a moment ago.
    spend_.lapse(entry, table_.log_time(), lapses_at_a_time);
    auto idle = spend_.return_idle(entry, day_of(now), now - money_idle);
    for (const auto& campaign : idle)
      if (!borrowing_.contains(campaign))
        owed_reports_.insert(campaign);
    auto tell = [this](const replication::append_result& outcome) {
      if (outcome)
        for (const auto& campaign : std::set<std::string>{owed_reports_})
          if (!borrowing_.contains(campaign)) {
            borrowing_[campaign];
            ask_owner(campaign, 0);
          }
    };
    std::vector<replication::draft> drafts;
    if (!entry.rows.empty())
      drafts.push_back(std::move(entry));
    if (!drafts.empty() || !owed_reports_.empty())
      append(std::move(drafts), tell);
  }

  void append(replication::draft entry, continuation then) {
    std::vector<replication::draft> drafts;
    drafts.push_back(std::move(entry));
    append(std::move(drafts), std::move(then));
  }

  /// Calls `then` when the drafts are durable; without drafts, when everything before is, and while
  /// nobody else leads: an entry proves that by being committed, a mere answer proves nothing.
  void append(std::vector<replication::draft> drafts, continuation then) {
    if (drafts.empty()) {
      auto checked = [this, then = std::move(then)](const replication::append_result& before) {
        then(before && !may_answer() ? replication::append_result{tl::unexpected<error>{not_open()}}
                                     : before);
      };
      if (in_flight_.empty())
        checked(committed_entries{});
      else
        in_flight_.back().push_back(std::move(checked));
      return;
    }
    ++ordinal_;
    table_.appended(ordinal_);
    door_.waiting->fetch_add(drafts.size());
    in_flight_.emplace_back();
    in_flight_.back().push_back(std::move(then));
    auto request = std::make_shared<const replication::append_request>(
        replication::append_request{table_.shard(), epoch_, std::move(drafts)});
    // No deadline: the door is in this process, answers all it took once it is committed or the
    // shard is led elsewhere, and bounds what it takes.
    this->request(door_.actor, caf::infinite, replication::append_request_ptr{request})
        .then([this](const replication::append_result_ptr& outcome) { settle(*outcome); },
              [this](const caf::error& e) { settle(tl::unexpected<error>{from_caf(e)}); });
  }

  /// The oldest append was answered; answers come in order.
  void settle(const replication::append_result& outcome) {
    if (in_flight_.empty())
      return; // its callers were told when the shard was given up
    auto waiting = std::move(in_flight_.front());
    in_flight_.pop_front();
    ++settled_;
    if (outcome) {
      if (!outcome->empty())
        unapplied_.emplace_back(settled_, outcome->back().seq);
      note_applied();
      for (const auto& c : *outcome) {
        term_ = c.term;
        seq_ = c.seq;
        if (!c.audit.empty())
          audit_ = c.audit.back();
      }
    }
    // The first waits for its own entries, the others, who have none, for what came before them.
    auto others = outcome ? replication::append_result{committed_entries{}} : outcome;
    for (std::size_t i = 0; i < waiting.size(); ++i)
      waiting[i](i == 0 ? outcome : others);
    if (!outcome)
      give_up(outcome.error());
  }

  /// What is committed can be read back once it is in the tables.
  void note_applied() {
    auto applied = (*door_.progress)[table_.shard()].applied.load(std::memory_order_acquire);
    for (; !unapplied_.empty() && unapplied_.front().second <= applied; unapplied_.pop_front())
      table_.settled(unapplied_.front().first);
  }

  void give_up(const error& why) {
    if (!open_ && !is_filling_)
      return;
    open_ = is_filling_ = false;
    cut_.reset();
    hold_.reset();
    log::warn("profile", "shard={} gives up its state: {}", table_.shard(), why.to_string());
    take_over();
  }

  /// Answered when this node leads the shard: at once, much later, or never.
  void take_over() {
    request(door_.actor, caf::infinite, replication::open_shard_atom_v, table_.shard())
        .then(
            [this](const replication::opening_ptr& opening) {
              // Every append handed in before has been answered by now.
              CANDOR_ASSERT(in_flight_.empty());
              settled_ = ordinal_;
              unapplied_.clear();
              table_.appended(ordinal_);
              epoch_ = opening->epoch;
              term_ = opening->term;
              seq_ = opening->seq;
              generation_ = opening->generation;
              audit_ = opening->audit;
              term_at_opening_ = term_;
              if (auto opened = open_what_is_there(*opening); !opened)
                retry(opened.error());
            },
            [this](const caf::error& e) { retry(from_caf(e)); });
  }

  /// The shard, or what of a backup is there of it.
  result<void> open_what_is_there(const replication::shard_opening& opening) {
    CANDOR_TRY(mark, filling_.open());
    if (mark && !(mark->complete && term_ >= mark->term_floor)) {
      is_filling_ = true;
      log::info("profile", "shard={} holds part of a backup, up to part {}", table_.shard(),
                mark->next);
      return {};
    }
    CANDOR_TRY_VOID(open_tables(opening));
    if (mark) {
      is_filling_ = true;
      serve_filled();
    } else {
      open_ = true;
    }
    return {};
  }

  result<void> open_tables(const replication::shard_opening& opening) {
    CANDOR_TRY_VOID(table_.open(opening));
    CANDOR_TRY_VOID(catalogue_.open());
    CANDOR_TRY_VOID(spend_.open());
    owed_reports_ = spend_.campaigns(); // a report may have been lost with the last opening
    return {};
  }

  void retry(const error& why) {
    log::error("profile", "shard={} cannot be taken over: {}", table_.shard(), why.to_string());
    delayed_send(this, reopen_every, retry_atom_v);
  }

  void sweep() {
    note_applied();
    if (cut_ && around_.time.monotonic() >= cut_->until)
      cut_.reset();
    if (!open_ || door_.full() || door_.room(table_.shard()) == disk_room::none)
      return;
    if (has_room())
      tidy_money();
    auto destroyed = (*door_.progress)[table_.shard()].destroyed.load(std::memory_order_relaxed);
    auto drafts = table_.sweep(sweep_persons, destroyed);
    if (!drafts)
      log::error("profile", "shard={} sweep: {}", table_.shard(), drafts.error().to_string());
    else if (!drafts->empty())
      append(std::move(*drafts), [](const auto&) {});
  }

  result<receipt> make_receipt(const tombstone& grave, const committed_entries& committed) {
    CANDOR_TRY_VOID(around_.keys.destroy(grave.key));
    receipt r;
    r.id = grave.receipt;
    r.subject = grave.subject;
    r.erased_at = grave.erased_at;
    r.unreadable_at = std::max(grave.erased_at, around_.time.now());
    if (grave.final_at)
      r.final_at_ms = to_int(*grave.final_at);
    r.audit_shard = table_.shard();
    stores::audit_head head;
    if (!committed.empty()) {
      head = committed.front().audit.front();
    } else { // an erasure of before, asked for again
      r.unreadable_at = grave.erased_at;
      CANDOR_TRY_VOID(stores::read_audit(around_.db, table_.shard(), 1, [&](const auto& record) {
        if (record.event.action != "user_erased" || record.event.subject != grave.subject)
          return true;
        head = {record.index, record.hash};
        return false;
      }));
    }
    r.audit_entry = head.index;
    r.audit_hash = to_hex({reinterpret_cast<const char*>(head.hash.data()), head.hash.size()});
    return r;
  }

  user_table::surroundings around_;
  other_shards others_;
  user_table table_;
  catalogue_table catalogue_;
  spend_table spend_;
  std::int64_t decisions_ = 0; ///< about: what the traffic of an hour is forecast from
  std::map<std::string, std::vector<after_borrowing>> borrowing_; ///< by campaign
  std::set<std::string> owed_reports_; ///< campaigns whose owner may not know what came back
  std::optional<money_hold> hold_;
  std::optional<cut_held> cut_;
  std::vector<take_asked> takes_;
  std::deque<std::pair<simulation, caf::typed_response_promise<policy_effect>>> simulations_;
  shard_filling filling_;
  bool is_filling_ = false; ///< from a backup: it serves nothing else
  session_reader sessions_;
  replication::write_door door_;
  verdict_probe probe_;
  bool open_ = false;
  std::uint64_t epoch_ = 0;
  std::uint64_t term_ = 0;
  std::uint64_t term_at_opening_ = 0;
  std::uint64_t seq_ = 0;
  std::uint64_t generation_ = 0;
  stores::audit_head audit_;
  std::uint64_t ordinal_ = 0; ///< appends handed to the door
  std::uint64_t settled_ = 0; ///< appends answered
  std::deque<std::vector<continuation>> in_flight_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> unapplied_; ///< (ordinal, seq), committed
};

} // namespace

profile_handle spawn_profile_actor(caf::actor_system& system, shard_id shard,
                                   user_table::surroundings around, other_shards others,
                                   replication::write_door door) {
  return system.spawn<profile_actor>(shard, around, std::move(others), std::move(door));
}

} // namespace candor::profile
