#include "actors/admin/admin_actor.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/admin/arguments.hpp"
#include "actors/admin/cluster_arguments.hpp"
#include "actors/admin/cluster_report.hpp"
#include "cluster/transport/spawn_waiting.hpp"
#include "storage/backup/rows.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/model/person.hpp"
#include "storage/stores/audit_log.hpp"

namespace candor::admin {

using topics_loaded_ptr = std::shared_ptr<const result<topics_reloaded>>;

} // namespace candor::admin

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::admin::topics_loaded_ptr)

namespace candor::admin {

namespace {

using nlohmann::json;

constexpr shard_id first_shard = 0; ///< the node that leads it goes round with notices for all
constexpr auto shard_report_deadline = std::chrono::seconds{1};

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

/// Reads the topic filter anew, once, and ends.
class topics_loader final : public caf::event_based_actor {
public:
  topics_loader(caf::actor_config& config, std::function<result<topics_reloaded>()> load)
    : caf::event_based_actor{config}
    , load_{std::move(load)} {}

  const char* name() const override { return "topics_loader"; }

  caf::behavior make_behavior() override {
    return {[this](tick_atom) {
      quit();
      try {
        return std::make_shared<const result<topics_reloaded>>(load_());
      } catch (const std::exception& e) { // out of memory: it needs that of two filters
        return std::make_shared<const result<topics_reloaded>>(fail(errc::internal, e.what()));
      }
    }};
  }

private:
  std::function<result<topics_reloaded>()> load_;
};

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
        {"topics_reload", &admin_actor::topics_reload},
        {"drain", &admin_actor::drain},
        {"undrain", &admin_actor::undrain},
        {"forget", &admin_actor::forget},
        {"move", &admin_actor::move},
        {"rebalance", &admin_actor::rebalance},
        {"clock_follow", &admin_actor::clock_follow},
        {"backup_cut", &admin_actor::backup_cut},
        {"backup_part", &admin_actor::backup_part},
        {"backup_keep", &admin_actor::backup_keep},
        {"backup_end", &admin_actor::backup_end},
        {"restore_step", &admin_actor::restore_step},
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

  // -- other nodes -------------------------------------------------------------------------------

  /// Asks the admin room of another node, and answers with what it says.
  result<void> forward(const std::string& node, const std::string& verb, const json& given,
                       const std::string& caller, promise to) {
    auto door = around_.shards->door(node);
    if (!door)
      return fail(errc::unavailable, "node " + node + " cannot be reached from " + around_.node);
    request(door, 2 * limits::room_deadline, admin_call{verb, given.dump(), caller})
        .then([to](admin_answer& answer) mutable { to.deliver(std::move(answer)); },
              [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  enum class needed { all, who_answers };

  /// Asks every node, this one too, and gives `then` what each said, by name; or the promise the
  /// first error. A node that was lost meanwhile is one only where all are needed.
  template <class Then>
  void ask_nodes(promise to, needed from, const std::string& verb, const json& given,
                 const std::string& caller, Then then) {
    struct round {
      std::map<std::string, json> answers;
      std::optional<caf::error> failed;
      std::size_t missing = 0;
    };
    auto r = std::make_shared<round>();
    auto arrived = [r, to, then]() mutable {
      if (--r->missing > 0)
        return;
      if (r->failed)
        to.deliver(*r->failed);
      else
        then(to, r->answers);
    };
    std::map<std::string, caf::actor> nodes;
    for (const auto& name : around_.shards->others())
      if (auto door = around_.shards->door(name))
        nodes.emplace(name, door);
    nodes.emplace(around_.node, caf::actor_cast<caf::actor>(this));
    r->missing = nodes.size();
    for (const auto& [name, node] : nodes)
      request(node, 2 * limits::room_deadline, admin_call{verb, given.dump(), caller})
          .then(
              [r, arrived, name = name](const admin_answer& answer) mutable {
                r->answers.emplace(name, json::parse(answer.json, nullptr, false));
                arrived();
              },
              [r, arrived, from, name = name](const caf::error& e) mutable {
                auto why = from_caf(e);
                auto is_lost = why.code == errc::timed_out || why.code == errc::unavailable;
                if (!is_lost)
                  r->failed = e;
                else if (from == needed::all)
                  r->failed = to_caf({errc::unavailable, "node " + name + " does not answer"});
                arrived();
              });
  }

  /// The node that leads the first shard, where that is another one.
  std::optional<std::string> elsewhere() const {
    auto leader = around_.shards->leader(first_shard);
    if (leader.empty() || leader == around_.node)
      return std::nullopt;
    return leader;
  }

  membership::membership_handle member() const {
    return around_.membership ? *around_.membership : membership::membership_handle{};
  }

  static error not_joined() { return {errc::unavailable, "this node has not joined yet"}; }

  /// What the shards' primaries say, as far as they answer soon.
  result<void> status(arguments& given, const std::string&, promise to) {
    CANDOR_TRY_VOID(given.all_known());
    struct gathering {
      cluster_facts facts;
      std::size_t missing = 0;
    };
    auto g = std::make_shared<gathering>();
    g->facts = {around_.cluster,        around_.node, around_.coordinator,
                around_.shards->size(), {},           {},
                around_.time.now()};
    auto arrived = [this, g, to]() mutable {
      if (--g->missing == 0)
        deliver(to, whole_report(g->facts));
    };
    g->missing = around_.shards->size() + 1;
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      request(around_.shards->primary(shard), shard_report_deadline, shard_status_request{shard})
          .then(
              [g, shard, arrived](shard_status& s) mutable {
                g->facts.answered.emplace(shard, std::move(s));
                arrived();
              },
              [arrived](const caf::error&) mutable { arrived(); });
    }
    if (!member()) {
      arrived();
      return {};
    }
    request(member(), limits::room_deadline, membership::snapshot_atom_v)
        .then(
            [g, arrived](const membership::snapshot_ptr& known) mutable {
              g->facts.known = *known;
              arrived();
            },
            [arrived](const caf::error&) mutable { arrived(); });
    return {};
  }

  json whole_report(const cluster_facts& facts) const {
    auto made = report(facts);
    std::error_code ec;
    auto space = std::filesystem::space(around_.data_folder, ec);
    made["version"] = around_.version;
    made["now"] = format_time(around_.time.now());
    made["clock"] = around_.time.settable() ? "settable" : "system";
    made["data"] = {{"folder", around_.data_folder},
                    {"bytes", around_.db.size_bytes()},
                    {"free_bytes", ec ? 0 : space.available},
                    {"low_bytes", around_.disk_low_bytes},
                    {"low_on_disk", around_.low_on_disk && around_.low_on_disk()}};
    return made;
  }

  result<void> drain(arguments& given, const std::string&, promise to) {
    return change_state(given, to, true);
  }
  result<void> undrain(arguments& given, const std::string&, promise to) {
    return change_state(given, to, false);
  }

  result<void> change_state(arguments& given, promise to, bool draining) {
    CANDOR_TRY(node, read_node(given));
    CANDOR_TRY_VOID(given.all_known());
    if (!member())
      return tl::unexpected<error>{not_joined()};
    auto tell = [to, node, draining](const membership::changed_ptr& done) mutable {
      if (*done)
        deliver(to, {{"node", node}, {"draining", draining}, {"changed", **done}});
      else
        to.deliver(to_caf(done->error()));
    };
    auto failed = [to](const caf::error& e) mutable { to.deliver(e); };
    if (draining)
      request(member(), 2 * limits::room_deadline, membership::drain_atom_v, node)
          .then(std::move(tell), std::move(failed));
    else
      request(member(), 2 * limits::room_deadline, membership::undrain_atom_v, node)
          .then(std::move(tell), std::move(failed));
    return {};
  }

  result<void> forget(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(node, read_node(given));
    CANDOR_TRY_VOID(given.all_known());
    if (!member())
      return tl::unexpected<error>{not_joined()};
    request(member(), 2 * limits::room_deadline, membership::forget_atom_v, node)
        .then(
            [this, to, node, caller](const membership::forgotten_ptr& done) mutable {
              if (*done)
                record_forgotten(node, **done, caller, to);
              else
                to.deliver(to_caf(done->error()));
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  /// Erasures become final by it. Where the audit log cannot be written the answer is that error:
  /// the order may be given again.
  void record_forgotten(const std::string& node, const membership::forget_done& done,
                        const std::string& caller, promise to) {
    const auto& held = done.record.holds;
    json detail = {{"disk_id", done.record.disk_id}, {"held", held ? json(*held) : json{}}};
    json answer = {{"node", node}, {"changed", done.changed}};
    answer.update(detail);
    request(around_.shards->primary(first_shard), limits::room_deadline,
            record_step{first_shard, "node_forgotten", node, detail.dump(), caller})
        .then([to, answer](const acknowledged&) mutable { deliver(to, answer); },
              [to](const caf::error& e) mutable { to.deliver(e); });
  }

  result<void> move(arguments& given, const std::string&, promise to) {
    CANDOR_TRY(order, read_move(given, around_.shards->size()));
    CANDOR_TRY_VOID(given.all_known());
    if (!member())
      return tl::unexpected<error>{not_joined()};
    request(member(), 2 * limits::room_deadline, membership::move_atom_v, order.shard, order.node)
        .then(
            [to, order](const membership::moved_ptr& done) mutable {
              if (*done)
                deliver(to, {{"shard", order.shard},
                             {"node", order.node},
                             {"before", (*done)->before},
                             {"after", (*done)->after}});
              else
                to.deliver(to_caf(done->error()));
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  result<void> rebalance(arguments& given, const std::string&, promise to) {
    CANDOR_TRY(dry_run, read_rebalance(given));
    CANDOR_TRY_VOID(given.all_known());
    if (!member())
      return tl::unexpected<error>{not_joined()};
    request(member(), 2 * limits::room_deadline, membership::rebalance_atom_v, dry_run)
        .then(
            [to, dry_run](const membership::rebalanced_ptr& done) mutable {
              if (!*done) {
                to.deliver(to_caf(done->error()));
                return;
              }
              auto moves = json::array();
              for (const auto& m : (*done)->moves)
                moves.push_back({{"shard", m.shard}, {"from", m.from}, {"to", m.to}});
              deliver(to, {{"moves", std::move(moves)},
                           {"ideal", (*done)->ideal},
                           {"shards_written", (*done)->shards_written},
                           {"dry_run", dry_run}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
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
    // Every node's clock first: the shards' log time follows the clock of where they are led.
    ask_nodes(to, needed::all, "clock_follow", {{"time", format_time(now)}}, caller,
              [this, now, caller](promise& to, const auto&) {
                ask_all<acknowledged>(
                    to,
                    [&](shard_id shard) {
                      return follow_clock{shard, now, caller};
                    },
                    [now](promise& to, const auto&) {
                      deliver(to, {{"now", format_time(now)}});
                    });
              });
    return {};
  }

  /// One node's part of clock_set.
  result<void> clock_follow(arguments& given, const std::string&, promise to) {
    CANDOR_TRY(now, given.time("time"));
    CANDOR_TRY_VOID(given.all_known());
    if (!around_.time.settable())
      return fail(errc::clock_not_settable);
    if (now > around_.time.now())
      CANDOR_TRY_VOID(around_.time.set(now));
    deliver(to, {{"now", format_time(now)}});
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

  result<void> audit_tail(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(from, given.number_or("from", UINT64_MAX, 0));
    CANDOR_TRY(limit, given.number_or("limit", limits::audit_records, 100));
    CANDOR_TRY(only, given.number_or("shard", 0xffff, 0));
    auto one_shard = given.has("shard");
    if (one_shard && only >= around_.shards->size())
      return fail(errc::not_found, "there is no such shard");
    auto subject = given.text_or_none("subject"), action = given.text_or_none("action");
    CANDOR_TRY(here, given.truth("here"));
    CANDOR_TRY_VOID(given.all_known());
    if (!here && is_clustered()) {
      auto asked = given.object();
      asked["here"] = true;
      auto wanted = one_shard ? std::optional<std::size_t>{only} : std::nullopt;
      ask_nodes(to, needed::who_answers, "audit_tail", asked, caller,
                [this, wanted, limit = limit](promise& to, const auto& answers) {
                  if (auto shard = find_unread(answers, wanted))
                    to.deliver(to_caf(
                        {errc::unavailable,
                         fmt::format("nobody leads shard {} at the moment: its records would be "
                                     "missing",
                                     *shard)}));
                  else
                    deliver(to, {{"records", newest_of(answers, limit)}});
                });
      return {};
    }
    // The newest of each shard that is led here, then the newest of all.
    std::vector<stores::audit_record> records;
    json read = json::array();
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      if ((one_shard && i != only) || !around_.shards->led_here(static_cast<shard_id>(i)))
        continue;
      read.push_back(i);
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
    json answer = {{"records", std::move(list)}};
    if (here)
      answer["read"] = std::move(read);
    deliver(to, answer);
    return {};
  }

  /// Also where no other node can be reached.
  bool is_clustered() const { return !around_.cluster.empty(); }

  /// A shard of those wanted (nothing: all) that no node has read, since none leads it.
  std::optional<std::size_t> find_unread(const std::map<std::string, json>& answers,
                                         std::optional<std::size_t> wanted) const {
    std::set<std::size_t> read;
    for (const auto& [_, answer] : answers)
      for (const auto& shard : answer.at("read"))
        read.insert(shard.get<std::size_t>());
    for (std::size_t i = 0; i < around_.shards->size(); ++i)
      if ((!wanted || i == *wanted) && !read.contains(i))
        return i;
    return std::nullopt;
  }

  /// Of what the nodes said, the last `limit` in the order of time.
  static json newest_of(const std::map<std::string, json>& answers, std::size_t limit) {
    std::vector<json> all;
    for (const auto& [_, answer] : answers)
      for (const auto& r : answer.at("records"))
        all.push_back(r);
    std::ranges::stable_sort(all, {},
                             [](const json& r) { return r.at("at").template get<std::string>(); });
    if (all.size() > limit)
      all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(limit));
    return all;
  }

  /// Every shard's chain, each verified where the shard is led; one that nobody leads is not.
  json verified_by(const std::map<std::string, json>& answers) const {
    std::map<std::size_t, json> lines;
    for (std::size_t i = 0; i < around_.shards->size(); ++i)
      lines[i] = {{"shard", i}, {"ok", false}, {"error", "nobody leads it at the moment"}};
    for (const auto& [node, answer] : answers)
      for (const auto& line : answer.at("shards")) {
        auto& to = lines[line.at("shard").get<std::size_t>()];
        to = line;
        to["node"] = node;
      }
    auto ok = true;
    std::uint64_t entries = 0;
    json shards = json::array();
    for (auto& [_, line] : lines) {
      ok &= line.at("ok").get<bool>();
      entries += line.value("entries", std::uint64_t{0});
      shards.push_back(std::move(line));
    }
    return {{"ok", ok}, {"entries", entries}, {"shards", std::move(shards)}};
  }

  /// What the caller knows of the chains, by shard. An item is a shard as `audit_verify` answers
  /// it: `shard`, `entries`, `head`; of a receipt its entry and hash.
  result<std::map<std::size_t, std::vector<stores::audit_head>>>
  known_heads(arguments& given) const {
    CANDOR_TRY(items, given.list("known"));
    std::map<std::size_t, std::vector<stores::audit_head>> made;
    for (const auto& item : items) {
      auto has_all = item.is_object() && item.contains("head") && item.at("head").is_string();
      for (auto* field : {"shard", "entries"})
        has_all = has_all && item.contains(field) && item.at(field).is_number_unsigned();
      if (!has_all)
        return fail(errc::bad_value, "known: each names shard, entries and head");
      auto shard = item.at("shard").get<std::uint64_t>();
      if (shard >= around_.shards->size())
        return fail(errc::bad_value, fmt::format("known: there is no shard {}", shard));
      stores::audit_head head;
      auto bytes = from_hex(item.at("head").get<std::string>());
      if (!bytes || bytes->size() != head.hash.size())
        return fail(errc::bad_value, "known: head is a hash of 64 hexadecimal digits");
      head.index = item.at("entries").get<std::uint64_t>();
      std::ranges::copy(*bytes, head.hash.begin());
      made[shard].push_back(head);
    }
    return made;
  }

  result<void> audit_verify(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(here, given.truth("here"));
    CANDOR_TRY(known, known_heads(given));
    CANDOR_TRY_VOID(given.all_known());
    if (!here && is_clustered()) {
      auto asked = given.object();
      asked["here"] = true;
      ask_nodes(to, needed::who_answers, "audit_verify", asked, caller,
                [this](promise& to, const std::map<std::string, json>& answers) {
                  deliver(to, verified_by(answers));
                });
      return {};
    }
    json shards = json::array();
    auto ok = true;
    std::uint64_t records = 0;
    for (std::size_t i = 0; i < around_.shards->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      if (!around_.shards->led_here(shard))
        continue;
      auto head = stores::verify_audit(around_.db, shard, std::move(known[i]));
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

  result<void> policy_readiness(arguments& given, const std::string& caller, promise to) {
    given.text_or_none("version"); // notices are counted by policy and revision: all are shown
    CANDOR_TRY_VOID(given.all_known());
    if (auto node = elsewhere())
      return forward(*node, "policy_readiness", json::object(), caller, to);
    if (!around_.notification)
      return fail(errc::conflict, "this node sends no notices");
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
    if (auto node = elsewhere())
      return forward(*node, "notices_pause", {{"paused", paused}}, caller, to);
    if (!around_.notification)
      return fail(errc::conflict, "this node sends no notices");
    request(around_.notification, limits::room_deadline, pause_notices{paused, caller})
        .then(
            [to, paused](const acknowledged&) mutable {
              deliver(to, {{"paused", paused}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  // -- backup ------------------------------------------------------------------------------------

  static result<std::string> read_backup_id(arguments& given) {
    CANDOR_TRY(id, given.text("backup"));
    if (id.empty() || id.size() > limits::backup_id_bytes || !plain_utf8(id))
      return fail(errc::bad_value, "backup is the id of one");
    return id;
  }

  result<shard_id> read_shard(arguments& given) {
    CANDOR_TRY(shard, given.number("shard", 0xffff));
    if (shard >= around_.shards->size())
      return fail(errc::not_found, "there is no such shard");
    return static_cast<shard_id>(shard);
  }

  /// One step of a cut, in every shard.
  template <class Then>
  void step_all(promise to, const std::string& id, cut_step step, Then then) {
    ask_all<shard_cut>(
        to,
        [&](shard_id shard) {
          return cut_shard{shard, id, step};
        },
        std::move(then));
  }

  /// Money stands still everywhere before the first shard is cut, and until the last one is: so no
  /// loan or return is on one side of the cut only.
  result<void> backup_cut(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(id, read_backup_id(given));
    CANDOR_TRY_VOID(given.all_known());
    // Who took it stands in what is taken.
    request(around_.shards->primary(first_shard), limits::room_deadline,
            record_step{first_shard, "backup_begun", id, {}, caller})
        .then([this, to, id](const acknowledged&) { cut(to, id); },
              [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  void cut(promise to, const std::string& id) {
    step_all(to, id, cut_step::hold, [this, id](promise& to, const auto&) {
      auto cut_at = around_.time.now();
      step_all(to, id, cut_step::take,
               [this, id, cut_at](promise& to, const std::map<shard_id, shard_cut>& cuts) {
                 auto answer = cut_answer(id, cut_at, cuts);
                 // The cut is made: a shard that does not hear of it goes on by itself.
                 for (std::size_t i = 0; i < around_.shards->size(); ++i)
                   tell(cut_shard{static_cast<shard_id>(i), id, cut_step::go_on});
                 deliver(to, answer);
               });
    });
  }

  void tell(cut_shard message) {
    request(around_.shards->primary(message.shard), limits::room_deadline, std::move(message))
        .then([](const shard_cut&) {}, [](const caf::error&) {});
  }

  json cut_answer(const std::string& id, timestamp cut_at,
                  const std::map<shard_id, shard_cut>& cuts) const {
    json shards = json::array();
    for (const auto& [shard, c] : cuts)
      shards.push_back({{"shard", shard},
                        {"seq", c.seq},
                        {"term", c.term},
                        {"chain", c.chain},
                        {"log_time", format_time(c.log_time)},
                        {"audit_entries", c.audit_entries},
                        {"audit_hash", c.audit_hash}});
    return {{"backup", id},
            {"cluster", around_.cluster},
            {"version", around_.version},
            {"secrets", cuts.begin()->second.secrets},
            {"cut_at", format_time(cut_at)},
            {"shards", std::move(shards)}};
  }

  result<void> backup_part(arguments& given, const std::string& caller, promise to) {
    CANDOR_TRY(id, read_backup_id(given));
    CANDOR_TRY(shard, read_shard(given));
    CANDOR_TRY(keys, given.truth("keys"));
    CANDOR_TRY(cursor, backup::from_base64(given.text_or_none("cursor").value_or("")));
    CANDOR_TRY_VOID(given.all_known());
    request(around_.shards->primary(shard), limits::room_deadline,
            read_cut{shard, id, keys, std::move(cursor), caller})
        .then(
            [to](const cut_part& part) mutable {
              deliver(to, {{"count", part.count},
                           {"data", backup::to_base64(part.bytes)},
                           {"next", backup::to_base64(part.next)}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  /// The snapshots are still wanted.
  result<void> backup_keep(arguments& given, const std::string&, promise to) {
    return step_everywhere(given, to, cut_step::keep);
  }
  result<void> backup_end(arguments& given, const std::string&, promise to) {
    return step_everywhere(given, to, cut_step::end);
  }

  result<void> step_everywhere(arguments& given, promise to, cut_step step) {
    CANDOR_TRY(id, read_backup_id(given));
    CANDOR_TRY_VOID(given.all_known());
    step_all(to, id, step, [id](promise& to, const auto&) {
      deliver(to, {{"backup", id}, {"done", true}});
    });
    return {};
  }

  /// One step of a restore, in one shard.
  result<void> restore_step(arguments& given, const std::string& caller, promise to) {
    static const std::map<std::string, fill_step> steps = {{"look", fill_step::look},
                                                           {"begin", fill_step::begin},
                                                           {"keys", fill_step::keys},
                                                           {"rows", fill_step::rows},
                                                           {"finish", fill_step::finish}};
    fill_shard message;
    CANDOR_TRY(id, read_backup_id(given));
    CANDOR_TRY(shard, read_shard(given));
    CANDOR_TRY(name, given.text("step"));
    auto step = steps.find(name);
    if (step == steps.end())
      return fail(errc::bad_value, "step is look, begin, keys, rows or finish");
    message.backup = id;
    message.shard = shard;
    message.step = step->second;
    message.caller = caller;
    if (message.step == fill_step::look || message.step == fill_step::begin) {
      CANDOR_TRY(secrets, given.text("secrets"));
      CANDOR_TRY(term_floor, given.number("term_floor", limits::term_max));
      CANDOR_TRY(log_time, given.time("log_time"));
      CANDOR_TRY(shards, given.number("shards", 0xffff));
      if (shards != around_.shards->size())
        return fail(errc::conflict, fmt::format("the backup has {} shards, this cluster {}", shards,
                                                around_.shards->size()));
      message.secrets = secrets;
      message.term_floor = term_floor;
      message.log_time = log_time;
    } else {
      CANDOR_TRY(index, given.number("index", UINT64_MAX));
      message.index = index;
    }
    if (message.step == fill_step::keys || message.step == fill_step::rows) {
      CANDOR_TRY(data, given.text("data"));
      CANDOR_TRY(bytes, backup::from_base64(data));
      CANDOR_TRY(drop, given.truth("drop_unreadable"));
      message.bytes = std::move(bytes);
      message.drop_unreadable = drop;
    }
    CANDOR_TRY_VOID(given.all_known());
    request(around_.shards->primary(shard), 2 * limits::room_deadline, std::move(message))
        .then(
            [to](const shard_filled& f) mutable {
              deliver(to, {{"index", f.index}, {"left_out", f.dropped}, {"open", f.open}});
            },
            [to](const caf::error& e) mutable { to.deliver(e); });
    return {};
  }

  /// One node's lexicon and model. Takes seconds: they are read on a thread of their own, and other
  /// orders are carried out meanwhile. What cannot be used is refused, and the old ones stay. Where
  /// the audit log cannot be written the answer is that error: the order may be given again.
  result<void> topics_reload(arguments& given, const std::string& caller, promise to) {
    auto node = given.text_or_none("node").value_or(around_.node);
    CANDOR_TRY_VOID(given.all_known());
    if (node != around_.node)
      return forward(node, "topics_reload", json::object(), caller, to);
    if (reloading_) // two at once would need the memory of three filters
      return fail(errc::conflict, "node " + node + " is reloading its topic filter already");
    reloading_ = true;
    auto loader = transport::spawn_waiting<topics_loader>(system(), around_.reload_topics);
    request(loader, caf::infinite, tick_atom_v)
        .then(
            [this, node, caller, to](const topics_loaded_ptr& done) mutable {
              reloading_ = false;
              record_reloaded(node, *done, caller, to);
            },
            [this, to](const caf::error& e) mutable {
              reloading_ = false;
              to.deliver(e);
            });
    return {};
  }

  void record_reloaded(const std::string& node, const result<topics_reloaded>& done,
                       const std::string& caller, promise to) {
    if (!done) {
      log::warn("admin", "the topic filter is not reloaded, as {} asked: {}", caller,
                done.error().to_string());
      to.deliver(to_caf(done.error()));
      return;
    }
    json detail = {{"before", done->before}, {"now", done->now}};
    json answer = {{"node", node}, {"changed", done->before != done->now}};
    answer.update(detail);
    request(around_.shards->primary(first_shard), limits::room_deadline,
            record_step{first_shard, "topics_reloaded", node, detail.dump(), caller})
        .then([to, answer](const acknowledged&) mutable { deliver(to, answer); },
              [to](const caf::error& e) mutable { to.deliver(e); });
  }

  result<void> stop(arguments& given, const std::string& caller, promise to) {
    auto node = given.text_or_none("node").value_or(around_.node);
    CANDOR_TRY_VOID(given.all_known());
    if (node != around_.node)
      return forward(node, "stop", json::object(), caller, to);
    log::info("admin", "the node stops, as {} asked", caller);
    deliver(to, {{"stopping", true}});
    around_.stop();
    return {};
  }

  surroundings around_;
  std::map<std::string, verb, std::less<>> verbs_;
  bool reloading_ = false; ///< the topic filter
};

} // namespace

admin_handle spawn_admin_actor(caf::actor_system& system, surroundings around) {
  return transport::spawn_waiting<admin_actor>(system, std::move(around));
}

} // namespace candor::admin
