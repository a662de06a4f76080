#include "actors/admin/admin_actor.hpp"

#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/admin/arguments.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/model/person.hpp"
#include "storage/stores/audit_log.hpp"

namespace candor::admin {

namespace {

using nlohmann::json;

constexpr std::size_t audit_records_max = 1000;

json to_json(const stores::audit_record& r) {
  auto hex = [](const stores::hash32& h) {
    return to_hex({reinterpret_cast<const char*>(h.data()), h.size()});
  };
  auto detail = json::parse(r.event.detail, nullptr, false);
  return {{"shard", r.shard},
          {"index", r.index},
          {"at", format_time(r.event.at)},
          {"actor", r.event.actor},
          {"action", r.event.action},
          {"subject", r.event.subject},
          {"detail", detail.is_object() ? detail : json::object()},
          {"previous", hex(r.previous)},
          {"hash", hex(r.hash)}};
}

json to_json(const shard_status& s) {
  return {{"shard", s.shard},
          {"term", s.term},
          {"seq", s.seq},
          {"log_time", format_time(s.log_time)},
          {"policies", s.policies},
          {"users_cached", s.users_cached},
          {"audit", {{"entries", s.audit_entries}, {"head", s.audit_hash}}},
          {"imports_open", s.imports_open}};
}

class admin_actor final : public admin_handle::base {
public:
  admin_actor(caf::actor_config& config, surroundings around)
    : admin_handle::base{config}
    , around_{std::move(around)} {
    verbs_ = {
        {"status", &admin_actor::status},
        {"clock_show", &admin_actor::clock_show},
        {"clock_set", &admin_actor::clock_set},
        {"log_level", &admin_actor::log_level},
        {"notice_reached", &admin_actor::notice_reached},
        {"notice_bounced", &admin_actor::notice_bounced},
        {"notice_retry", &admin_actor::notice_retry},
        {"import_open", &admin_actor::import_open},
        {"import_close", &admin_actor::import_close},
        {"imports", &admin_actor::imports},
        {"audit_tail", &admin_actor::audit_tail},
        {"audit_verify", &admin_actor::audit_verify},
        {"policy_put", &admin_actor::policy_put},
        {"policy_apply", &admin_actor::policy_apply},
        {"policy_simulate", &admin_actor::policy_simulate},
        {"policy_readiness", &admin_actor::policy_readiness},
        {"notices_pause", &admin_actor::notices_pause},
        {"policy_show", &admin_actor::policy_show},
        {"stop", &admin_actor::stop},
    };
  }

  const char* name() const override { return "admin"; }

  behavior_type make_behavior() override {
    return {[this](const admin_call& call) -> caf::result<admin_answer> {
      auto verb = verbs_.find(call.verb);
      if (verb == verbs_.end())
        return to_caf({errc::not_found, "there is no verb " + call.verb});
      auto promise = make_response_promise<admin_answer>();
      auto given = arguments::parse(call.arguments);
      auto started = given ? (this->*verb->second)(*given, call.caller, promise)
                           : tl::unexpected<error>{given.error()};
      if (!started) // the promise has taken the request over: only it can answer
        promise.deliver(to_caf(started.error()));
      return caf::delegated<admin_answer>{};
    }};
  }

private:
  using promise = caf::typed_response_promise<admin_answer>;
  using verb = result<void> (admin_actor::*)(arguments&, const std::string& caller, promise);

  static void deliver(promise& to, const json& answer) { to.deliver(admin_answer{answer.dump()}); }

  /// Sends `make(shard)` to every shard; `then` gets all answers, or the promise the first error.
  template <class Answer, class Make, class Then>
  void ask_all(promise to, Make make, Then then) {
    struct round {
      std::map<shard_id, Answer> answers;
      std::optional<error> failed;
      std::size_t missing;
    };
    auto r = std::make_shared<round>();
    r->missing = around_.shards->size();
    auto arrived = [r, to, then]() mutable {
      if (--r->missing > 0)
        return;
      if (r->failed)
        to.deliver(to_caf(*r->failed));
      else
        then(to, r->answers);
    };
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      request(around_.shards->primary(shard), limits::room_deadline, make(shard))
          .then(
              [r, shard, arrived](Answer& answer) mutable {
                r->answers.emplace(shard, std::move(answer));
                arrived();
              },
              [r, arrived](const caf::error& e) mutable {
                r->failed = from_caf(e);
                arrived();
              });
    }
  }

  /// Sends `message` to a shard; once it is durable, `answer` is the promise's.
  template <class Message>
  void ask_one(promise to, shard_id shard, Message message, json answer) {
    request(around_.shards->primary(shard), limits::room_deadline, std::move(message))
        .then([to, answer](const acknowledged&) mutable { deliver(to, answer); },
              [to](const caf::error& e) mutable { to.deliver(e); });
  }

  result<void> status(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    ask_all<shard_status>(
        to, [](shard_id shard) { return shard_status_request{shard}; },
        [this](promise& to, const std::map<shard_id, shard_status>& shards) {
          json list = json::array();
          for (const auto& [_, s] : shards)
            list.push_back(to_json(s));
          std::error_code ec;
          auto space = std::filesystem::space(around_.data_folder, ec);
          deliver(to, {{"node", around_.node},
                       {"version", around_.version},
                       {"now", format_time(around_.time.now())},
                       {"clock", around_.time.settable() ? "settable" : "system"},
                       {"data",
                        {{"folder", around_.data_folder},
                         {"bytes", around_.db.size_bytes()},
                         {"free_bytes", ec ? 0 : space.available}}},
                       {"shards", std::move(list)}});
        });
    return {};
  }

  result<void> clock_show(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    deliver(to, {{"now", format_time(around_.time.now())}, {"settable", around_.time.settable()}});
    return {};
  }

  result<void> clock_set(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(now, given.time("time"));
    CANDOR_TRY_VOID(given.all_known());
    if (!around_.time.settable())
      return fail(errc::clock_not_settable);
    if (now < around_.time.now())
      return fail(errc::conflict,
                  "the clock goes forward only; it is " + format_time(around_.time.now()));
    CANDOR_TRY_VOID(around_.time.set(now));
    ask_all<acknowledged>(
        to,
        [&](shard_id shard) {
          return follow_clock{shard, now, caller};
        },
        [now](promise& to, const auto&) {
          deliver(to, {{"now", format_time(now)}});
        });
    return {};
  }

  result<void> log_level(arguments& given, const std::string&, promise to) {
    static const std::map<std::string, log::level> levels = {{"debug", log::level::debug},
                                                             {"info", log::level::info},
                                                             {"warn", log::level::warn},
                                                             {"error", log::level::error}};
    CANDOR_TRY(name, given.text("level"));
    CANDOR_TRY_VOID(given.all_known());
    auto level = levels.find(name);
    if (level == levels.end())
      return fail(errc::bad_value, "level is debug, info, warn or error");
    log::set_level(level->second);
    deliver(to, {{"level", name}});
    return {};
  }

  result<void> notice_reached(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(id, given.text("user"));
    CANDOR_TRY(user, user_id::parse(id));
    CANDOR_TRY(policy, given.text("policy"));
    CANDOR_TRY(revision, given.number("revision", 1'000'000));
    CANDOR_TRY(channel_name, given.text("channel"));
    auto channel = model::find_channel(channel_name);
    if (!channel)
      return fail(errc::bad_value, "channel is in_app or email");
    auto at = around_.time.now();
    if (given.has("at")) {
      CANDOR_TRY(stated, given.time("at"));
      if (stated > at)
        return fail(errc::bad_value, "at is in the future");
      at = stated;
    }
    CANDOR_TRY_VOID(given.all_known());
    auto shard = around_.shard_of(user);
    record_notice message{shard,
                          user.value(),
                          policy,
                          static_cast<std::uint32_t>(revision),
                          static_cast<std::uint8_t>(*channel),
                          at,
                          caller};
    ask_one(to, shard, std::move(message), {{"recorded", true}, {"at", format_time(at)}});
    return {};
  }

  result<void> notice_bounced(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(id, given.text("user"));
    CANDOR_TRY(user, user_id::parse(id));
    CANDOR_TRY(notice, given.text("notice"));
    CANDOR_TRY_VOID(given.all_known());
    auto shard = around_.shard_of(user);
    ask_one(to, shard,
            record_mail{
                shard, user.value(), notice, mail_outcome::failed, around_.time.now(), {}, caller},
            {{"bounced", notice}});
    return {};
  }

  result<void> notice_retry(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(id, given.text("user"));
    CANDOR_TRY(user, user_id::parse(id));
    CANDOR_TRY_VOID(given.all_known());
    auto shard = around_.shard_of(user);
    ask_one(to, shard, retry_mails{shard, user.value(), caller}, {{"retried", user.value()}});
    return {};
  }

  result<void> import_open(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(title, given.text("name"));
    CANDOR_TRY_VOID(given.all_known());
    if (title.empty() || title.size() > 128 || !plain_utf8(title))
      return fail(errc::bad_value, "name has 1 to 128 bytes of plain text");
    auto run = static_cast<std::uint32_t>(around_.random.next() >> 33) + 1;
    ask_all<acknowledged>(
        to,
        [&](shard_id shard) {
          return open_import{shard, run, title, caller};
        },
        [run, title](promise& to, const auto&) {
          deliver(to, {{"run", run}, {"name", title}});
        });
    return {};
  }

  result<void> import_close(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(run, given.number("run", 0xffffffff));
    CANDOR_TRY_VOID(given.all_known());
    ask_all<acknowledged>(
        to,
        [&, number = static_cast<std::uint32_t>(run)](shard_id shard) {
          return close_import{shard, number, caller};
        },
        [run = run](promise& to, const auto&) {
          deliver(to, {{"run", run}, {"open", false}});
        });
    return {};
  }

  result<void> imports(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    ask_all<shard_status>(
        to, [](shard_id shard) { return shard_status_request{shard}; },
        [](promise& to, const std::map<shard_id, shard_status>& shards) {
          std::set<std::uint32_t> runs;
          for (const auto& [_, s] : shards)
            runs.insert(s.imports_open.begin(), s.imports_open.end());
          deliver(to, {{"open", runs}});
        });
    return {};
  }

  result<void> audit_tail(arguments& given, const std::string&, promise to) {
    CANDOR_TRY(from, given.number_or("from", UINT64_MAX, 0));
    CANDOR_TRY(limit, given.number_or("limit", audit_records_max, 100));
    CANDOR_TRY(only, given.number_or("shard", 0xffff, 0));
    auto one_shard = given.has("shard");
    if (one_shard && only >= around_.shards->size())
      return fail(errc::not_found, "there is no such shard");
    auto subject = given.text_or_none("subject"), action = given.text_or_none("action");
    CANDOR_TRY_VOID(given.all_known());
    // The newest of each shard, then the newest of all.
    std::vector<stores::audit_record> records;
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      if (one_shard && i != only)
        continue;
      std::vector<stores::audit_record> newest;
      CANDOR_TRY_VOID(stores::read_audit(
          around_.db, static_cast<shard_id>(i), from, [&](const stores::audit_record& r) {
            if ((subject && r.event.subject != *subject) || (action && r.event.action != *action))
              return true;
            newest.push_back(r);
            if (newest.size() > 2 * limit)
              newest.erase(newest.begin(), newest.end() - static_cast<std::ptrdiff_t>(limit));
            return true;
          }));
      records.insert(records.end(), newest.begin(), newest.end());
    }
    std::ranges::stable_sort(records, {}, [](const auto& r) { return r.event.at; });
    json list = json::array();
    for (auto i = records.size() > limit ? records.size() - limit : 0; i < records.size(); ++i)
      list.push_back(to_json(records[i]));
    deliver(to, {{"records", std::move(list)}});
    return {};
  }

  result<void> audit_verify(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    json shards = json::array();
    auto ok = true;
    std::uint64_t records = 0;
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      auto known = stores::read_audit_head(around_.db, shard);
      auto head = known ? stores::verify_audit(around_.db, shard, *known)
                        : tl::unexpected<error>{known.error()};
      json line = {{"shard", i}, {"ok", head.has_value()}};
      if (head) {
        records += head->index;
        line["entries"] = head->index;
        line["head"] =
            to_hex({reinterpret_cast<const char*>(head->hash.data()), head->hash.size()});
      } else {
        ok = false;
        line["error"] = head.error().detail;
      }
      shards.push_back(std::move(line));
    }
    deliver(to, {{"ok", ok}, {"entries", records}, {"shards", std::move(shards)}});
    return {};
  }

  result<void> policy_show(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    request(around_.policy, limits::room_deadline, show_policies{})
        .then(
            [this, to](const policies_shown& shown) mutable {
              json versions = json::array(), in_force;
              timestamp latest{};
              for (std::size_t i = 0; i < shown.versions.size(); ++i) {
                auto from = shown.effective_at[i];
                if (from <= around_.time.now() && (in_force.is_null() || from >= latest)) {
                  in_force = shown.versions[i];
                  latest = from;
                }
                versions.push_back({{"version", shown.versions[i]},
                                    {"effective_at", format_time(from)},
                                    {"applied_at", format_time(shown.applied_at[i])},
                                    {"text", shown.texts[i]}});
              }
              deliver(to, {{"in_force", std::move(in_force)},
                           {"versions", std::move(versions)},
                           {"shards_missing", shown.missing}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  result<void> policy_put(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(text, given.text("text"));
    auto version = given.text_or_none("version").value_or("");
    CANDOR_TRY_VOID(given.all_known());
    request(around_.policy, limits::room_deadline, put_policy{text, version, caller})
        .then(
            [to](const acknowledged&) mutable {
              deliver(to, {{"stored", true}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  result<void> policy_apply(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(version, given.text("version"));
    CANDOR_TRY(late, given.truth("late"));
    CANDOR_TRY_VOID(given.all_known());
    request(around_.policy, 2 * limits::room_deadline, apply_version{version, late, caller})
        .then(
            [to, version](const version_applied& applied) mutable {
              deliver(to, {{"version", version},
                           {"applied", applied.missing.empty()},
                           {"shards_missing", applied.missing}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  result<void> policy_simulate(arguments& given, const std::string&, promise to) {
    CANDOR_TRY(text, given.text("text"));
    auto version = given.text_or_none("version").value_or("");
    CANDOR_TRY_VOID(given.all_known());
    ask_all<policy_effect>(
        to,
        [&](shard_id shard) {
          return simulate_policy{shard, text, version};
        },
        [](promise& to, const std::map<shard_id, policy_effect>& effects) {
          policy_effect all;
          for (const auto& [_, e] : effects) {
            all.persons += e.persons;
            all.audience += e.audience;
            all.notices_needed += e.notices_needed;
            all.excluded += e.excluded;
            all.region_unknown += e.region_unknown;
            all.minors += e.minors;
            all.newly_excluded += e.newly_excluded;
            all.interests_to_purge += e.interests_to_purge;
          }
          deliver(to, {{"persons", all.persons},
                       {"audience", all.audience},
                       {"notices_needed", all.notices_needed},
                       {"excluded", all.excluded},
                       {"region_unknown", all.region_unknown},
                       {"minors", all.minors},
                       {"newly_excluded", all.newly_excluded},
                       {"interests_to_purge", all.interests_to_purge}});
        });
    return {};
  }

  result<void> policy_readiness(arguments& given, const std::string&, promise to) {
    given.text_or_none("version"); // notices are counted by policy and revision: all are shown
    CANDOR_TRY_VOID(given.all_known());
    if (!around_.notification)
      return fail(errc::unavailable, "this node sends no notices");
    request(around_.notification, limits::room_deadline, show_readiness{})
        .then(
            [this, to](const readiness_shown& shown) mutable {
              json notices = json::array();
              for (std::size_t i = 0; i < shown.counts.size(); ++i)
                notices.push_back(
                    readiness_of(shown.counts[i], shown.complete_by_ms[i], shown.lines_per_second));
              deliver(to, {{"notices", std::move(notices)},
                           {"paused", shown.paused},
                           {"notices_per_second", shown.lines_per_second},
                           {"shards_counted", shown.shards_counted}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  json readiness_of(const notice_counts& c, std::int64_t complete_by_ms, double per_second) const {
    json line = {
        {"policy", c.policy},
        {"revision", c.revision},
        {"audience", c.audience},
        {"reached", c.reached},
        {"waiting", c.waiting},
        {"in_app", c.in_app},
        {"mails",
         {{"intended", c.mails_intended}, {"sent", c.mails_sent}, {"failed", c.mails_failed}}}};
    auto left = c.waiting + c.mails_intended;
    if (complete_by_ms >= 0) {
      auto complete_by = from_int(complete_by_ms);
      line["complete_by"] = format_time(complete_by);
      auto now = around_.time.now();
      // At the present rate; with nothing left to send it is met, with no rate it is not known.
      if (left == 0)
        line["will_be_met"] = true;
      else if (per_second > 0)
        line["will_be_met"] = now + millis{static_cast<std::int64_t>(
                                        1000.0 * static_cast<double>(left) / per_second)} <=
                              complete_by;
      else
        line["will_be_met"] = nullptr;
    }
    return line;
  }

  result<void> notices_pause(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(paused, given.truth("paused"));
    CANDOR_TRY_VOID(given.all_known());
    if (!around_.notification)
      return fail(errc::unavailable, "this node sends no notices");
    request(around_.notification, limits::room_deadline, pause_notices{paused, caller})
        .then(
            [to, paused](const acknowledged&) mutable {
              deliver(to, {{"paused", paused}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  result<void> stop(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    log::info("admin", "the node stops, as {} asked", caller);
    deliver(to, {{"stopping", true}});
    around_.stop();
    return {};
  }

  surroundings around_;
  std::map<std::string, verb, std::less<>> verbs_;
};

} // namespace

admin_handle spawn_admin_actor(caf::actor_system& system, surroundings around) {
  return system.spawn<admin_actor, caf::detached>(std::move(around));
}

} // namespace candor::admin
