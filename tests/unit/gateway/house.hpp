/// A gateway with rooms behind it that are real actors of the tests' own.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "actors/gateway/gateway.hpp"
#include "actors/messages/messages.hpp"
#include "storage/model/user_record.hpp"
#include "tests/support/system_config.hpp"
#include "tests/unit/gateway/fixture.hpp"
#include "tests/unit/gateway/http_client.hpp"

namespace candor::gateway_tests {

using namespace std::chrono_literals;

/// What the rooms were told.
struct notebook {
  std::mutex mutex;
  std::vector<std::vector<std::string>> batches; ///< ids
  std::vector<std::uint32_t> import_runs;
  std::vector<std::string> told; ///< one line a message
  model::user_details details;

  void tell(std::string line) {
    std::lock_guard guard{mutex};
    told.push_back(std::move(line));
  }
  std::vector<std::string> lines() {
    std::lock_guard guard{mutex};
    return told;
  }
};

/// The id says what comes of an event: "dup…", "late…", "busy…", "hang…" (no answer at all).
inline ingestion_handle::behavior_type ingestion_room(ingestion_handle::pointer self,
                                                      std::shared_ptr<notebook> notes) {
  auto open_questions = std::make_shared<std::vector<caf::typed_response_promise<verdicts>>>();
  return {[=](event_batch_ptr& batch) -> caf::result<verdicts> {
    verdicts answer;
    std::vector<std::string> ids;
    auto hangs = false;
    for (const auto& e : batch->events) {
      ids.push_back(e.id);
      hangs |= e.id.starts_with("hang");
      answer.items.push_back(e.id.starts_with("dup")    ? model::verdict::duplicate()
                             : e.id.starts_with("late") ? model::verdict::invalid("too_old")
                             : e.id.starts_with("busy") ? model::verdict::overloaded()
                                                        : model::verdict::accepted());
    }
    {
      std::lock_guard guard{notes->mutex};
      notes->batches.push_back(std::move(ids));
      notes->import_runs.push_back(batch->import_run);
    }
    answer.seen = {{0, 0, batch->events.size()}, {5, 2, 9}};
    if (!hangs)
      return answer;
    open_questions->push_back(self->make_response_promise<verdicts>());
    return caf::delegated<verdicts>{};
  }};
}

inline user_answer answer_about(const std::string& user) {
  auto at = *parse_time("2025-12-20T12:00:00Z"), learned = *parse_time("2025-12-17T09:30:00Z");
  model::user_record r;
  r.user = user;
  r.pseudonym = "s-8f2c";
  r.created = learned;
  r.person.regions = {{*regions().find("DE"), *parse_date("2019-05-01")},
                      {*regions().find("US"), *parse_date("2020-01-01")}};
  r.person.assistant_user_since = *parse_date("2025-11-02");
  r.person.notices = {{"ai-interactions", 1, model::channel::in_app, learned}};
  r.lang = "en";
  r.email = "u@example.org";
  auto outdoors = *model::find_topic("outdoors");
  r.interests = {{outdoors, model::source::ai, 65536, learned, learned, learned, 2, "2025-12-16.1"},
                 {outdoors, model::source::engagement, 1000, learned, learned, learned, 1, ""}};
  r.seen = {{{1}, learned, 0}, {{2}, learned, 0}};
  user_answer a;
  a.record = model::encode(r);
  a.uses = {{outdoors, 0, 140, 98304, "", ""}, {outdoors, 1, 3, 1000, "region_excluded", ""}};
  a.policy_version = "2025-12-16.1";
  a.region_state = "allowed";
  a.at = at;
  return a;
}

/// What the gateway asks of a shard, and nothing else: untyped, so that the room may learn more.
inline caf::behavior profile_room(caf::event_based_actor* self, std::shared_ptr<notebook> notes) {
  auto open_questions = std::make_shared<std::vector<caf::typed_response_promise<user_answer>>>();
  auto refused = [](const std::string& user) -> std::optional<caf::error> {
    if (user == "nobody")
      return to_caf({errc::user_not_found, {}});
    return std::nullopt;
  };
  return {
      [=](const put_user& m) -> caf::result<user_stored> {
        notes->tell("put " + m.user + " by " + m.caller);
        std::lock_guard guard{notes->mutex};
        notes->details = *model::decode_user_details(m.details);
        return user_stored{m.user != "old"};
      },
      [=](const read_user& m) -> caf::result<user_answer> {
        notes->tell((m.exporting ? "export " : "read ") + m.user + " by " + m.caller);
        if (m.user == "crash")
          self->quit(caf::exit_reason::kill);
        if (m.user == "crash" || m.user == "slow") {
          open_questions->push_back(self->make_response_promise<user_answer>());
          return caf::delegated<user_answer>{};
        }
        if (auto e = refused(m.user))
          return *e;
        return answer_about(m.user);
      },
      [=](const read_session& m) -> caf::result<user_answer> {
        notes->tell("read " + m.user + " after " + std::to_string(m.seen.generation) + "." +
                    std::to_string(m.seen.seq));
        auto answer = answer_about(m.user);
        answer.known = m.user != "nobody";
        answer.seen = {m.shard, m.seen.generation, m.seen.seq + 1};
        return answer;
      },
      [=](const forget_interest& m) -> caf::result<acknowledged> {
        notes->tell("forget " + std::string{model::info(m.topic).slug});
        if (auto e = refused(m.user))
          return *e;
        return acknowledged{{m.shard, 3, 41}};
      },
      [=](const erase_user& m) -> caf::result<receipt> {
        notes->tell("erase " + m.user + " by " + m.caller);
        if (auto e = refused(m.user))
          return *e;
        receipt r;
        r.id = "r-3";
        r.subject = "s-8f2c";
        r.erased_at = r.unreadable_at = *parse_time("2026-01-05T12:00:00Z");
        r.audit_shard = m.shard;
        r.audit_entry = 2201;
        r.audit_hash = "ab";
        return r;
      },
      [=](const opt_out_user& m) -> caf::result<acknowledged> {
        notes->tell("opt out " + m.user + " by " + m.caller);
        if (m.user == "u-42")
          return to_caf({errc::opt_out_not_offered, {}});
        return acknowledged{};
      },
  };
}

inline admin_handle::behavior_type admin_room(admin_handle::pointer,
                                              std::shared_ptr<notebook> notes) {
  return {[=](const admin_call& m) -> caf::result<admin_answer> {
    notes->tell(m.verb + " " + m.arguments + " by " + m.caller);
    if (m.verb == "nonsense")
      return to_caf({errc::not_found, "there is no verb nonsense"});
    return admin_answer{R"({"verb":")" + m.verb + R"("})"};
  }};
}

/// Places one ad a question, "c-1", then "c-2"; where a user "slow" asks, it never answers, and
/// where "tired" does, not for a second place.
inline ad_matching_handle::behavior_type ad_room(ad_matching_handle::pointer self,
                                                 std::shared_ptr<notebook> notes) {
  auto open_questions = std::make_shared<std::vector<caf::typed_response_promise<ads_matched>>>();
  return {[=](const match_ads& m) -> caf::result<ads_matched> {
            std::string line = "match " + m.user + " until " + std::to_string(m.until_ms) +
                               " floor " + std::to_string(m.context.floor_micros);
            for (const auto& campaign : m.without)
              line += " without " + campaign;
            notes->tell(line + (m.dry ? " dry" : ""));
            if (m.user == "slow" || (m.user == "tired" && !m.without.empty())) {
              open_questions->push_back(self->make_response_promise<ads_matched>());
              return caf::delegated<ads_matched>{};
            }
            ads_matched answer;
            auto campaign = "c-" + std::to_string(m.without.size() + 1);
            answer.ads.push_back(
                {campaign, "cr", "t", "b", "https://example.org", "i-" + campaign, 20'000, {}, ""});
            return answer;
          },
          [=](const why_not_ad&) -> caf::result<why_not_answer> {
            return why_not_answer{"paused", ""};
          }};
}

class house {
public:
  explicit house(gateway::gateway_bounds bounds = {}, std::vector<gateway::api_key> keys = {},
                 std::string token_secret = {}) {
    doors_.ingestion = {system_.spawn(ingestion_room, notes)};
    doors_.admin = system_.spawn(admin_room, notes);
    doors_.ad_matching = {system_.spawn(ad_room, notes)};
    auto shards = std::make_shared<shard_directory>(shard_count{2});
    for (shard_id s = 0; s < 2; ++s)
      shards->set(s, caf::actor_cast<profile_handle>(system_.spawn(profile_room, notes)));
    doors_.shards = shards;
    config.http.port = 0;
    config.keys = std::move(keys);
    config.user_token_secret = std::move(token_secret);
    config.regions = regions();
    config.shard_of = [](const user_id& u) { return static_cast<shard_id>(u.value().size() % 2); };
    config.bounds = bounds;
  }
  ~house() {
    if (gateway_)
      gateway_->stop();
    for (const auto& room : doors_.ingestion)
      caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
    for (const auto& room : doors_.ad_matching)
      caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(doors_.transcription, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(doors_.admin, caf::exit_reason::user_shutdown);
    for (shard_id s = 0; s < 2; ++s)
      caf::anon_send_exit(doors_.shards->primary(s), caf::exit_reason::user_shutdown);
  }

  result<std::unique_ptr<gateway::gateway>> try_start() {
    return gateway::gateway::start(system_, doors_, config, time);
  }

  /// As on a node whose configuration names a transcriber; the gateway only looks whether it is
  /// there. Before `open`.
  void put_transcriber() {
    doors_.transcription = system_.spawn([]() -> transcription_handle::behavior_type {
      return {[](recording_ptr&) { return std::make_shared<model::hearing>(); }};
    });
  }

  gateway::gateway& open() {
    auto opened = try_start();
    REQUIRE(opened);
    gateway_ = std::move(*opened);
    gateway_->set_ready(true);
    return *gateway_;
  }

  std::uint16_t port() { return gateway_ ? gateway_->port() : open().port(); }

  /// One request on a connection of its own.
  response ask(std::string_view method, std::string_view path, std::string_view body = {},
               std::string_view type = {}, std::string_view headers = {}) {
    http_client client{port()};
    client.send(request(method, path, body, type, headers));
    return client.receive(method == "HEAD");
  }

  manual_clock time{*parse_time("2025-12-20T12:00:00Z")};
  std::shared_ptr<notebook> notes = std::make_shared<notebook>();
  gateway::gateway_config config;

private:
  test::system_config settings_;
  caf::actor_system system_{settings_};
  rooms doors_;
  std::unique_ptr<gateway::gateway> gateway_;
};

} // namespace candor::gateway_tests
