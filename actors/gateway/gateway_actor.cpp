#include "actors/gateway/gateway.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <set>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/thread_pool.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/gateway/http.hpp"
#include "actors/gateway/knock_actor.hpp"
#include "actors/gateway/pages.hpp"
#include "actors/gateway/parse/ads.hpp"
#include "actors/gateway/parse/events.hpp"
#include "actors/gateway/parse/openrtb.hpp"
#include "actors/gateway/parse/spoken.hpp"
#include "actors/gateway/parse/users.hpp"
#include "actors/gateway/parse/value.hpp"
#include "actors/gateway/problem.hpp"
#include "actors/gateway/render.hpp"
#include "actors/gateway/render_ads.hpp"
#include "actors/gateway/render_openrtb.hpp"
#include "actors/gateway/session.hpp"
#include "storage/base/ascii.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/base/wipe.hpp"

namespace candor::gateway {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t runners = 4;
constexpr std::size_t lines_at_a_time = 4 * limits::batch_events;
constexpr auto stop_grace = 5s;
constexpr std::string_view json_type = "application/json";
constexpr std::string_view ndjson_type = "application/x-ndjson";
constexpr std::string_view msgpack_type = "application/msgpack";
constexpr std::string_view form_type = "multipart/form-data";
constexpr std::string_view toml_type = "application/toml";

constexpr unsigned bit(role r) {
  return 1u << static_cast<unsigned>(r);
}
constexpr unsigned anybody = ~0u;

enum class body_form { none, json, json_or_none, policy, events, voice };

/// Counters of one route.
class route_probe {
public:
  explicit route_probe(const std::string& route)
    : seconds_{metrics::seconds("candor_gateway_answer_seconds",
                                "From a request's head to its answer.", {{"route", route}})} {
    auto counter = [&](const char* outcome) {
      return &metrics::counter("candor_gateway_requests_total", "Requests answered.",
                               {{"route", route}, {"outcome", outcome}});
    };
    done_ = counter("2xx");
    refused_ = counter("4xx");
    failed_ = counter("5xx");
  }
  void count(int status, std::chrono::nanoseconds took) {
    (status < 400 ? done_ : status < 500 ? refused_ : failed_)->Increment();
    seconds_.Observe(std::chrono::duration<double>(took).count());
  }

private:
  prometheus::Counter *done_, *refused_, *failed_;
  prometheus::Histogram& seconds_;
};

/// What events came to, over all requests.
class verdict_probe {
public:
  verdict_probe() {
    for (std::size_t i = 0; i < counters_.size(); ++i)
      counters_[i] =
          &metrics::counter("candor_gateway_verdicts_total", "Verdicts given to callers.",
                            {{"outcome", std::string{to_string(static_cast<model::status>(i))}}});
  }
  void count(const model::verdict& v) {
    counters_[static_cast<std::size_t>(v.status)]->Increment();
  }

private:
  std::array<prometheus::Counter*, 6> counters_;
};

/// What the parser refused, as a verdict.
model::verdict verdict_of(const error& why) {
  if (why.code == errc::sensitive_topic)
    return model::verdict::withheld(model::reason::sensitive);
  return model::verdict::invalid(info(why.code).slug, why.detail);
}

std::optional<std::string_view> bearer_of(std::string_view header) {
  constexpr std::string_view scheme = "bearer ";
  if (header.size() <= scheme.size() || !same_letters(header.substr(0, scheme.size()), scheme))
    return std::nullopt;
  header.remove_prefix(header.find_first_not_of(' ', scheme.size()) == header.npos
                           ? header.size()
                           : header.find_first_not_of(' ', scheme.size()));
  return header;
}

reply make_reply(int status, std::string_view type, std::string body) {
  reply made;
  made.status = status;
  made.content_type = type;
  made.body = std::move(body);
  return made;
}

/// With the token of what it rests on.
reply with_session(reply made, const session_seen& seen) {
  if (auto header = seen.to_header(); !header.empty())
    made.headers.emplace_back(session_header, std::move(header));
  return made;
}

reply with_session(reply made, session_seen before, const session_token& token) {
  before.add(token);
  return with_session(std::move(made), before);
}

} // namespace

class routes;

static nlohmann::json notice_json(const notice_shown& n) {
  return {{"notice", n.id},
          {"policy", n.policy},
          {"revision", n.revision},
          {"channel", n.channel},
          {"lang", n.lang},
          {"title", n.title},
          {"body", n.body},
          {"sent", format_time(n.sent)},
          {"reached", n.reached_ms < 0 ? nlohmann::json{}
                                       : nlohmann::json(format_time(from_int(n.reached_ms)))}};
}

static std::string render_notices(const inbox_shown& inbox) {
  auto list = nlohmann::json::array();
  for (const auto& n : inbox.notices)
    list.push_back(notice_json(n));
  return nlohmann::json{{"notices", std::move(list)}}.dump() + "\n";
}

/// A row of the table of routes.
struct route {
  using handler = asio::awaitable<reply> (routes::*)(exchange& x);

  std::string method;
  std::string pattern; ///< "/v1/users/{id}": {…} stands for one segment
  unsigned roles;      ///< bits; admin may do everything
  body_form body;
  bool when_ready; ///< only on a node that is ready
  handler serve;
  std::vector<std::string> segments;
  std::shared_ptr<route_probe> probe;
};

class routes final : public application {
public:
  routes(caf::actor_system& system, rooms doors, gateway_config config,
         std::unique_ptr<key_ring> keys, clock& time)
    : doors_{std::move(doors)}
    , config_{std::move(config)}
    , keys_{std::move(keys)}
    , time_{time}
    , knocker_{system, runners}
    , elsewhere_{"none"} {
    constexpr auto user = bit(role::user), ingest = bit(role::ingest), none = 0u,
                   auditor = bit(role::auditor), monitor = bit(role::monitor);
    add("GET", "/", anybody, body_form::none, false, &routes::get_front);
    add("GET", "/livez", anybody, body_form::none, false, &routes::get_livez);
    add("GET", "/readyz", anybody, body_form::none, false, &routes::get_readyz);
    add("GET", "/startupz", anybody, body_form::none, false, &routes::get_startupz);
    add("GET", "/metrics", monitor, body_form::none, false, &routes::get_metrics);
    add("GET", "/v1/openapi.yaml", anybody, body_form::none, false, &routes::get_openapi);
    add("POST", "/v1/events", ingest, body_form::events, true, &routes::post_events);
    add("POST", "/v1/interactions/voice", ingest, body_form::voice, true, &routes::post_voice);
    add("PUT", "/v1/users/{id}", ingest, body_form::json, true, &routes::put_user);
    add("GET", "/v1/users/{id}", user, body_form::none, true, &routes::get_user);
    add("DELETE", "/v1/users/{id}", user, body_form::none, true, &routes::delete_user);
    add("GET", "/v1/users/{id}/export", user, body_form::none, true, &routes::get_export);
    add("GET", "/v1/users/{id}/interests", user, body_form::none, true, &routes::get_interests);
    add("DELETE", "/v1/users/{id}/interests/{topic}", user, body_form::none, true,
        &routes::delete_interest);
    add("POST", "/v1/users/{id}/opt-out", user, body_form::none, true, &routes::post_opt_out);
    add("GET", "/v1/users/{id}/notices", user, body_form::none, true, &routes::get_notices);
    add("GET", "/v1/users/{id}/notices/stream", user, body_form::none, true,
        &routes::get_notice_stream);
    add("POST", "/v1/users/{id}/notices/{notice}/ack", user, body_form::none, true,
        &routes::post_notice_ack);
    constexpr auto decision = bit(role::decision), editor = bit(role::editor);
    for (std::string items : {"campaigns", "content"}) {
      add("GET", "/v1/" + items, editor, body_form::none, true, &routes::get_items);
      add("PUT", "/v1/" + items + "/{id}", editor, body_form::json, true, &routes::put_item);
      add("GET", "/v1/" + items + "/{id}", editor, body_form::none, true, &routes::get_item);
      add("DELETE", "/v1/" + items + "/{id}", editor, body_form::none, true, &routes::delete_item);
    }
    add("POST", "/v1/campaigns/{id}/pause", editor, body_form::none, true, &routes::post_pause);
    add("POST", "/v1/campaigns/{id}/resume", editor, body_form::none, true, &routes::post_pause);
    add("GET", "/v1/campaigns/{id}/budget", editor, body_form::none, true, &routes::get_budget);
    add("POST", "/v1/ads/match", decision, body_form::json, true, &routes::post_match);
    add("POST", "/v1/openrtb", decision, body_form::json, true, &routes::post_openrtb);
    add("POST", "/v1/ads/why-not", decision, body_form::json, true, &routes::post_why_not);
    add("POST", "/v1/ads/events", decision, body_form::json, true, &routes::post_ad_event);
    add("GET", "/v1/users/{id}/ads/{impression}/why", user, body_form::none, true,
        &routes::get_why);
    add("GET", "/v1/users/{id}/feed", decision, body_form::none, true, &routes::get_feed);
    add("POST", "/v1/users/{id}/feed/events", decision, body_form::json, true,
        &routes::post_feed_event);
    add("GET", "/v1/policies", none, body_form::none, false, &routes::get_policies);
    add("PUT", "/v1/policies/{version}", none, body_form::policy, true, &routes::put_policy);
    add("POST", "/v1/policies/{version}/simulate", none, body_form::policy, true,
        &routes::post_policy_simulate);
    add("POST", "/v1/policies/{version}/apply", none, body_form::json_or_none, true,
        &routes::post_policy_apply);
    add("GET", "/v1/policies/{version}/readiness", none, body_form::none, true,
        &routes::get_readiness);
    add("GET", "/v1/audit", auditor, body_form::none, false, &routes::get_audit);
    add("GET", "/v1/cluster", none, body_form::none, false, &routes::get_cluster);
    add("GET", "/v1/cluster/events", none, body_form::none, false, &routes::get_cluster_events);
    add("POST", "/v1/admin/{verb}", auditor, body_form::json_or_none, false, &routes::post_admin);
  }

  void set_ready(bool ready) {
    ready_ = ready;
    if (ready)
      started_ = true;
  }

  /// After the server's drain, before its end.
  void stop() {
    knocker_.stop();
    key_thread_.join();
  }

  asio::awaitable<std::optional<reply>> admit(exchange& x) override {
    join_trace(x, *random_);
    auto refusal = find_route(x);
    if (refusal)
      co_return refusal;
    auto allowed = co_await identify(x);
    if (allowed)
      allowed = check_role(x);
    if (!allowed)
      co_return make_problem(allowed.error(), x.trace_id);
    if (x.route->when_ready && !ready_) {
      error why{errc::unavailable, "the node is not ready yet"};
      co_return make_problem(why, x.trace_id);
    }
    if (auto fits = fix_body(x); !fits)
      co_return make_problem(fits.error(), x.trace_id);
    co_return std::nullopt;
  }

  asio::awaitable<reply> answer(exchange& x) override {
    try {
      co_return co_await (this->*x.route->serve)(x);
    } catch (const std::exception& e) {
      log::error("gateway", "trace={} {} {}: {}", x.trace_id, x.head.method, x.route->pattern,
                 e.what());
    }
    error why{errc::internal, {}};
    co_return make_problem(why, x.trace_id);
  }

  reply refuse(exchange& x, const error& why, int status) override {
    if (x.trace_id.empty())
      join_trace(x, *random_);
    auto kind = kind_of(why.code);
    kind.status = status;
    return make_problem(kind, why.detail, x.trace_id);
  }

  void finished(const exchange& x, int status, std::chrono::nanoseconds took) override {
    (x.route ? *x.route->probe : elsewhere_).count(status, took);
  }

private:
  void add(const char* method, const std::string& pattern, unsigned roles, body_form body,
           bool when_ready, route::handler serve) {
    auto probe = std::shared_ptr<route_probe>{};
    for (const auto& r : table_)
      if (r.pattern == pattern)
        probe = r.probe;
    if (!probe)
      probe = std::make_shared<route_probe>(pattern);
    table_.push_back({method, pattern, roles, body, when_ready, serve,
                      parse_target(pattern)->segments, std::move(probe)});
  }

  static bool matches(const route& r, const std::vector<std::string>& segments,
                      std::vector<std::string>& parameters) {
    if (r.segments.size() != segments.size())
      return false;
    parameters.clear();
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (r.segments[i].starts_with('{'))
        parameters.push_back(segments[i]);
      else if (r.segments[i] != segments[i])
        return false;
    }
    return true;
  }

  /// Of admins, and of auditors: of nobody else.
  static bool is_operators(const route& r) { return (r.roles & ~bit(role::auditor)) == 0; }

  std::optional<reply> find_route(exchange& x) {
    auto parsed = parse_target(x.head.target);
    if (!parsed)
      return make_problem(parsed.error(), x.trace_id);
    x.target = std::move(*parsed);
    std::string allow;
    std::vector<std::string> parameters;
    for (const auto& r : table_) {
      if (!matches(r, x.target.segments, parameters))
        continue;
      if (r.method == x.head.method || (r.method == "GET" && x.head.method == "HEAD")) {
        x.route = &r;
        if (is_operators(r) && !x.serves_operators)
          return make_problem({errc::forbidden,
                               "this is served at the operators' address only (the key `admin` of "
                               "the node's configuration)"},
                              x.trace_id);
        x.parameters = std::move(parameters);
        return std::nullopt;
      }
      allow += (allow.empty() ? "" : ", ") + r.method + (r.method == "GET" ? ", HEAD" : "");
    }
    if (allow.empty())
      return make_problem({errc::not_found, {}}, x.trace_id);
    auto made = make_problem({errc::method_not_allowed, {}}, x.trace_id);
    made.headers.emplace_back("Allow", allow);
    return made;
  }

  asio::awaitable<result<void>> identify(exchange& x) {
    if (x.route->roles == anybody)
      co_return result<void>{};
    if (keys_->is_empty()) {
      // No key protects this node: only what comes from this machine, and from no other site in a
      // browser on it, is served.
      if (!names_loopback(x.head.host) ||
          (!x.head.origin.empty() && !names_loopback(x.head.origin)))
        co_return fail(errc::forbidden,
                       "without keys, only requests to a loopback name and from no other site are "
                       "served");
      x.caller.name = "loopback";
      x.caller.role = role::admin;
      co_return result<void>{};
    }
    auto bearer = bearer_of(x.head.authorization);
    if (!bearer)
      co_return fail(errc::unauthenticated);
    auto known = keys_->recall(*bearer, time_.now());
    if (!known)
      co_return tl::unexpected<error>{known.error()};
    if (*known) {
      x.caller = std::move(**known);
      co_return result<void>{};
    }
    // argon2 takes its time: on a thread of its own, one key after another.
    auto try_key = [this, key = std::string{*bearer},
                    peer = x.peer]() -> asio::awaitable<outcome<caller>> {
      co_return keys_->verify(key, peer, time_.monotonic());
    };
    auto verified =
        co_await asio::co_spawn(key_thread_.get_executor(), try_key(), asio::use_awaitable);
    if (!*verified)
      co_return tl::unexpected<error>{verified->error()};
    x.caller = std::move(**verified);
    co_return result<void>{};
  }

  static result<void> check_role(const exchange& x) {
    const auto& who = x.caller;
    auto roles = x.route->roles;
    if (roles == anybody || who.role == role::admin)
      return {};
    if ((roles & bit(who.role)) == 0)
      return fail(errc::forbidden, fmt::format("role {}", roles_text(roles)));
    if (who.role == role::user && x.parameters.front() != who.user)
      return fail(errc::forbidden, "this token is another person's");
    if (who.role == role::auditor && x.route->serve == &routes::post_admin &&
        !x.parameters.front().starts_with("audit_"))
      return fail(errc::forbidden, "role admin");
    return {};
  }

  static std::string roles_text(unsigned roles) {
    std::string made;
    for (auto r :
         {role::ingest, role::decision, role::user, role::editor, role::auditor, role::monitor})
      if (roles & bit(r))
        made += fmt::format("{}, ", to_string(r));
    return made + "or admin";
  }

  result<void> fix_body(exchange& x) const {
    auto type = media_type(x.head.content_type);
    auto is_bulk = type == ndjson_type || type == msgpack_type;
    switch (x.route->body) {
      case body_form::none:
        x.body_bytes_max = 0;
        return x.head.has_body ? fail(errc::bad_value, "this route takes no body") : result<void>{};
      case body_form::json_or_none:
        if (!x.head.has_body)
          return {};
        [[fallthrough]];
      case body_form::json:
        // What an operator sends may be a part of a backup.
        x.body_bytes_max = x.route->serve == &routes::post_admin ? limits::bulk_body_bytes
                                                                 : limits::single_body_bytes;
        if (type != json_type)
          return fail(errc::unsupported_media_type, "this route reads application/json");
        return {};
      case body_form::policy:
        x.body_bytes_max = limits::single_body_bytes;
        if (type != toml_type && type != json_type)
          return fail(
              errc::unsupported_media_type,
              "this route reads application/toml, or application/json with the file as text");
        return {};
      case body_form::events:
        x.body_bytes_max = is_bulk ? limits::bulk_body_bytes : limits::single_body_bytes;
        return is_bulk || type == json_type ? result<void>{} : fail(errc::unsupported_media_type);
      case body_form::voice:
        x.body_bytes_max = limits::recording_bytes + limits::single_body_bytes;
        if (!doors_.transcription)
          return fail(errc::no_transcriber, "the configuration key `transcriber` is not set");
        return type == form_type ? result<void>{}
                                 : fail(errc::unsupported_media_type,
                                        "this route reads multipart/form-data with the parts "
                                        "`event` (JSON) and `audio`");
    }
    return {};
  }

  /// Refuses query keys that a route does not know, and says which it knows.
  static result<void> check_query(const exchange& x,
                                  std::initializer_list<std::string_view> known) {
    for (const auto& [name, _] : x.target.query)
      if (std::ranges::find(known, name) == known.end())
        return fail(errc::unknown_field,
                    fmt::format("{} in the query, where this route knows {}", parse::quoted(name),
                                known.size() == 0
                                    ? "no key"
                                    : fmt::format("{}", fmt::join(std::set(known), ", "))));
    return {};
  }

  reply problem(const exchange& x, const error& why) { return make_problem(why, x.trace_id); }

  // -- what the node says of itself ------------------------------------------------------------

  asio::awaitable<reply> get_front(exchange&) {
    auto made = make_reply(200, "text/html; charset=utf-8", std::string{front_page()});
    made.headers.emplace_back("Content-Security-Policy",
                              "default-src 'none'; style-src 'unsafe-inline'; "
                              "frame-ancestors 'none'; base-uri 'none'");
    made.headers.emplace_back("Referrer-Policy", "no-referrer");
    co_return made;
  }

  asio::awaitable<reply> get_openapi(exchange&) {
    co_return make_reply(200, "application/yaml", std::string{openapi_yaml()});
  }

  asio::awaitable<reply> get_livez(exchange&) { co_return make_reply(200, "text/plain", "ok\n"); }

  asio::awaitable<reply> get_readyz(exchange& x) {
    if (ready_)
      co_return make_reply(200, "text/plain",
                           config_.low_on_disk && config_.low_on_disk()
                               ? "ready; low on disk: no new data is taken\n"
                               : "ready\n");
    error why{errc::unavailable, "the node is not ready"};
    co_return problem(x, why);
  }

  asio::awaitable<reply> get_startupz(exchange& x) {
    if (started_)
      co_return make_reply(200, "text/plain", "started\n");
    error why{errc::unavailable, "the node is starting"};
    co_return problem(x, why);
  }

  asio::awaitable<reply> get_metrics(exchange&) {
    co_return make_reply(200, "text/plain; version=0.0.4; charset=utf-8", metrics::expose());
  }

  // -- events ------------------------------------------------------------------------------------

  /// A line's verdict, or its event's place in the batch.
  struct judged_line {
    std::string id;
    std::size_t line;
    model::verdict verdict;
    std::optional<std::size_t> place;
  };

  /// Where one request's batches go, and until when. All go to one room, so that the events of one
  /// person keep their order.
  struct errand_of_events {
    ingestion_handle room;
    std::uint32_t import_run = 0;
    millis until{0}; ///< of the monotonic clock
    bool given_up = false;
    session_seen seen{};
    millis hearing{0}; ///< by how much longer an answer may take
  };

  result<errand_of_events> begin_events(const exchange& x) {
    CANDOR_TRY_VOID(check_query(x, {"import"}));
    errand_of_events made;
    if (auto it = x.target.query.find("import"); it != x.target.query.end()) {
      CANDOR_TRY(run, parse_number("import", it->second, UINT32_MAX));
      made.import_run = static_cast<std::uint32_t>(run);
    }
    if (doors_.ingestion.empty())
      return fail(errc::unavailable, "no room takes events");
    made.room =
        doors_.ingestion[turn_.fetch_add(1, std::memory_order_relaxed) % doors_.ingestion.size()];
    CANDOR_TRY(before, session_seen::parse(x.head.session));
    made.seen = std::move(before);
    made.until = time_.monotonic() + config_.bounds.answer_deadline;
    return made;
  }

  /// A verdict for each event. After an answer that did not come nothing more of the request is
  /// tried: what follows must not overtake it.
  asio::awaitable<std::vector<model::verdict>> judge(errand_of_events& errand,
                                                     std::vector<model::event> events) {
    auto count = events.size();
    auto left = errand.until - time_.monotonic();
    if (errand.given_up || left <= millis{0})
      co_return std::vector<model::verdict>(count, model::verdict::overloaded());
    auto batch = std::make_shared<event_batch>();
    batch->events = std::move(events);
    batch->received = time_.now();
    batch->import_run = errand.import_run;
    auto patience = std::min(left, millis{2 * config_.bounds.room_deadline + 1s + errand.hearing});
    auto answer = co_await knocker_.ask<verdicts>(errand.room, patience, std::move(batch));
    if (answer && answer->items.size() == count) {
      errand.seen.add(answer->seen);
      co_return std::move(answer->items);
    }
    errand.given_up = true;
    co_return std::vector<model::verdict>(count, model::verdict::unknown());
  }

  asio::awaitable<reply> post_events(exchange& x) {
    auto errand = begin_events(x);
    if (!errand)
      co_return problem(x, errand.error());
    auto type = media_type(x.head.content_type);
    if (type == json_type)
      co_return co_await post_one(x, *errand);
    auto bulk = type == ndjson_type;
    auto lines = bulk ? static_cast<std::size_t>(std::ranges::count(x.body, '\n')) : 0;
    if (lines > limits::bulk_events) {
      wipe(x.body);
      error why{errc::too_many,
                fmt::format("{} lines; the limit is {} events", lines, limits::bulk_events)};
      co_return problem(x, why);
    }
    auto stream = bulk ? parse::read_ndjson(x.body, config_.regions)
                       : parse::read_msgpack(x.body, config_.regions);
    co_return co_await post_many(x, *errand, *stream);
  }

  asio::awaitable<reply> post_one(exchange& x, errand_of_events& errand) {
    auto parsed = parse::parse_event_json(x.body, config_.regions);
    wipe(x.body);
    co_return co_await judge_one(x, errand, std::move(parsed));
  }

  asio::awaitable<reply> post_voice(exchange& x) {
    auto errand = begin_events(x);
    if (!errand)
      co_return problem(x, errand.error());
    errand->hearing = config_.hearing_patience;
    errand->until += errand->hearing;
    auto parsed = parse::read_spoken_form(x.body, x.head.content_type, config_.regions);
    wipe(x.body);
    if (!parsed)
      co_return problem(x, parsed.error());
    co_return co_await judge_one(x, *errand, std::move(*parsed));
  }

  asio::awaitable<reply> judge_one(exchange& x, errand_of_events& errand,
                                   parse::parsed_event parsed) {
    auto verdict = model::verdict::unknown();
    if (parsed.event) {
      std::vector<model::event> one;
      one.push_back(std::move(*parsed.event));
      auto judged = co_await judge(errand, std::move(one));
      verdict = std::move(judged.front());
    } else {
      verdict = verdict_of(parsed.event.error());
    }
    verdicts_.count(verdict);
    co_return with_session(single_reply(x, parsed.id, verdict), errand.seen);
  }

  reply single_reply(const exchange& x, const std::string& id, const model::verdict& v) {
    auto named = id.empty() ? std::nullopt : std::optional<std::string_view>{id};
    switch (v.status) {
      case model::status::invalid:
        return make_problem(invalid_kind(v.reason), v.detail, x.trace_id, named);
      case model::status::unknown:
        return make_problem(kind_of(errc::outcome_unknown), v.detail, x.trace_id, named);
      case model::status::overloaded:
        return make_problem(kind_of(why_not_tried(v)), v.detail, x.trace_id, named);
      default:
        break;
    }
    std::string body;
    append_verdict(body, id, v);
    return make_reply(200, json_type, body + "\n");
  }

  static errc why_not_tried(const model::verdict& v) {
    return v.reason == info(errc::disk_full).slug ? errc::disk_full : errc::overloaded;
  }

  /// Whatever is wrong with one event, the request is a bad one.
  static problem_kind invalid_kind(const std::string& reason) {
    auto it = std::ranges::find(error_table(), reason, &error_info::slug);
    auto kind = it != error_table().end()
                    ? kind_of(it->code)
                    : problem_kind{reason, "The event is not valid.", {}, 400};
    kind.status = 400;
    return kind;
  }

  asio::awaitable<reply> post_many(exchange& x, errand_of_events& errand,
                                   parse::event_stream& stream) {
    std::string out;
    std::size_t events_seen = 0, lines_seen = 0, not_tried = 0;
    auto why_not = errc::overloaded;
    for (auto more = true; more;) {
      std::vector<judged_line> lines;
      std::vector<model::event> events;
      while (more && events.size() < limits::batch_events && lines.size() < lines_at_a_time) {
        auto parsed = stream.next();
        if (!parsed) {
          more = false;
        } else if (events_seen == limits::bulk_events) {
          more = false;
          lines.push_back({std::move(parsed->id), parsed->line,
                           model::verdict::invalid(
                               info(errc::too_many).slug,
                               fmt::format("the limit is {} events; nothing from here on was read",
                                           limits::bulk_events)),
                           std::nullopt});
        } else if (parsed->event) {
          ++events_seen;
          lines.push_back({std::move(parsed->id), parsed->line, {}, events.size()});
          events.push_back(std::move(*parsed->event));
        } else {
          lines.push_back({std::move(parsed->id), parsed->line, verdict_of(parsed->event.error()),
                           std::nullopt});
        }
      }
      std::vector<model::verdict> judged;
      if (!events.empty())
        judged = co_await judge(errand, std::move(events));
      for (auto& l : lines) {
        const auto& v = l.place ? judged[*l.place] : l.verdict;
        verdicts_.count(v);
        if (v.status == model::status::overloaded) {
          ++not_tried;
          why_not = why_not_tried(v);
        }
        append_verdict(out, l.id, v, l.line);
        out += '\n';
      }
      lines_seen += lines.size();
    }
    wipe(x.body);
    if (lines_seen > 0 && not_tried == lines_seen) {
      error why{why_not, {}};
      co_return problem(x, why);
    }
    co_return with_session(make_reply(200, ndjson_type, std::move(out)), errand.seen);
  }

  // -- persons -----------------------------------------------------------------------------------

  /// The person that the path names, who leads their shard, and what the session had seen before.
  struct addressed {
    user_id user;
    shard_id shard;
    profile_handle room;
    session_seen before;
  };

  result<addressed> address(const exchange& x, std::initializer_list<std::string_view> query = {}) {
    CANDOR_TRY_VOID(check_query(x, query));
    auto user = user_id::parse(x.parameters.front());
    if (!user)
      return fail(user.error().code, "`id` in the path: " + user.error().detail);
    auto shard = config_.shard_of(*user);
    auto room = doors_.shards->primary(shard);
    CANDOR_TRY(before, session_seen::parse(x.head.session));
    return addressed{std::move(*user), shard, std::move(room), std::move(before)};
  }

  asio::awaitable<reply> put_user(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    auto details = parse::parse_user_json(x.body, whom->user, config_.regions, time_.now());
    wipe(x.body);
    if (!details)
      co_return problem(x, details.error());
    candor::put_user message{whom->shard, whom->user.value(), model::encode(*details),
                             x.caller.name};
    auto stored = co_await knocker_.ask<user_stored>(whom->room, config_.bounds.room_deadline,
                                                     std::move(message));
    if (!stored)
      co_return problem(x, stored.error());
    nlohmann::ordered_json body = {{"user", whom->user.value()}, {"created", stored->created}};
    co_return with_session(make_reply(stored->created ? 201 : 200, json_type, body.dump() + "\n"),
                           std::move(whom->before), stored->seen);
  }

  /// What the session has seen of the shard; nothing: the read is a strong one.
  static result<std::optional<session_token>> asked_session(const exchange& x,
                                                            const addressed& whom) {
    auto asked = x.target.query.find("consistency");
    auto named = asked != x.target.query.end();
    if (named && asked->second != "strong" && asked->second != "session")
      return fail(errc::bad_value, "`consistency` is strong or session");
    if ((named && asked->second == "strong") || (!named && x.head.session.empty()) ||
        whom.before.is_anything())
      return std::nullopt;
    return std::optional{whom.before.of(whom.shard)};
  }

  /// Strong, or as the session asks. `also` is another key that the query may have.
  /// `before` becomes what the session had seen.
  asio::awaitable<result<user_answer>> read(exchange& x, session_seen& before,
                                            std::string_view also = "consistency") {
    auto whom = address(x, {"consistency", also});
    if (!whom)
      co_return tl::unexpected<error>{whom.error()};
    before = whom->before;
    auto session = asked_session(x, *whom);
    if (!session)
      co_return tl::unexpected<error>{session.error()};
    if (*session) {
      read_session message{whom->shard, whom->user.value(), **session};
      co_return co_await knocker_.ask<user_answer>(whom->room, config_.bounds.room_deadline,
                                                   std::move(message));
    }
    read_user message{whom->shard, whom->user.value(), false, x.caller.name};
    co_return co_await knocker_.ask<user_answer>(whom->room, config_.bounds.room_deadline,
                                                 std::move(message));
  }

  asio::awaitable<result<user_answer>> read_for_export(exchange& x, session_seen& before) {
    auto whom = address(x);
    if (!whom)
      co_return tl::unexpected<error>{whom.error()};
    before = whom->before;
    read_user message{whom->shard, whom->user.value(), true, x.caller.name};
    co_return co_await knocker_.ask<user_answer>(whom->room, config_.bounds.room_deadline,
                                                 std::move(message));
  }

  using show = std::string (*)(const person_view&);

  /// The person as `shown` writes them, with the tokens of what was seen.
  reply person_reply(const exchange& x, result<user_answer> found, session_seen before,
                     show shown) {
    if (!found)
      return problem(x, found.error());
    auto seen = found->seen;
    auto who = to_view(std::move(*found));
    return with_session(who ? make_reply(200, json_type, shown(*who)) : problem(x, who.error()),
                        std::move(before), seen);
  }

  static result<person_view> to_view(user_answer found) {
    if (!found.known)
      return fail(errc::user_not_found);
    CANDOR_TRY(record, model::decode_user_record(found.record));
    person_view who;
    who.record = std::move(record);
    for (auto& u : found.uses)
      who.interests.push_back({u.topic, static_cast<model::source>(u.source), u.strength, u.weight,
                               std::move(u.ads), std::move(u.content)});
    who.policy_version = std::move(found.policy_version);
    who.region_state = std::move(found.region_state);
    who.at = found.at;
    for (const auto& bytes : found.impressions) {
      CANDOR_TRY(impression, model::decode_impression(bytes));
      who.impressions.push_back(std::move(impression));
    }
    for (const auto& bytes : found.content) {
      CANDOR_TRY(seen, model::decode_content_shown(bytes));
      who.content.push_back(std::move(seen));
    }
    return who;
  }

  asio::awaitable<reply> get_user(exchange& x) {
    session_seen before;
    auto found = co_await read(x, before, "events");
    auto asked = x.target.query.find("events");
    auto with = asked != x.target.query.end() && asked->second == "true";
    co_return person_reply(x, std::move(found), std::move(before),
                           with ? user_json_with_events : user_json);
  }

  asio::awaitable<reply> get_interests(exchange& x) {
    session_seen before;
    auto found = co_await read(x, before);
    co_return person_reply(x, std::move(found), std::move(before), interests_json);
  }

  asio::awaitable<reply> get_export(exchange& x) {
    // Asking for its head alone tells nobody anything: it is not audited.
    session_seen before;
    auto asked = x.head.method == "HEAD" ? read(x, before) : read_for_export(x, before);
    auto found = co_await std::move(asked);
    auto made = person_reply(x, std::move(found), std::move(before), export_json);
    if (made.status == 200)
      made.headers.emplace_back("Content-Disposition",
                                "attachment; filename=\"candor-export.json\"");
    co_return made;
  }

  asio::awaitable<reply> delete_interest(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    auto topic = model::find_topic(x.parameters[1]);
    if (!topic) {
      error why{model::find_category(x.parameters[1]) ? errc::sensitive_topic : errc::unknown_topic,
                {}};
      co_return problem(x, why);
    }
    candor::forget_interest message{whom->shard, whom->user.value(), *topic, x.caller.name};
    auto done = co_await knocker_.ask<acknowledged>(whom->room, config_.bounds.room_deadline,
                                                    std::move(message));
    if (!done)
      co_return problem(x, done.error());
    co_return with_session(
        make_reply(200, json_type, fmt::format("{{\"forgotten\":\"{}\"}}\n", x.parameters[1])),
        std::move(whom->before), done->seen);
  }

  asio::awaitable<reply> delete_user(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    candor::erase_user message{whom->shard, whom->user.value(), x.caller.name};
    auto done = co_await knocker_.ask<receipt>(whom->room, config_.bounds.room_deadline,
                                               std::move(message));
    if (!done)
      co_return problem(x, done.error());
    nlohmann::ordered_json body = {
        {"receipt", done->id},
        {"subject", done->subject},
        {"erased_at", format_time(done->erased_at)},
        {"unreadable_at", format_time(done->unreadable_at)},
        {"final_at", nullptr},
        {"audit",
         {{"shard", done->audit_shard}, {"entry", done->audit_entry}, {"hash", done->audit_hash}}}};
    if (done->final_at_ms >= 0)
      body["final_at"] = format_time(from_int(done->final_at_ms));
    co_return with_session(make_reply(200, json_type, body.dump() + "\n"), std::move(whom->before),
                           done->seen);
  }

  asio::awaitable<reply> post_opt_out(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    candor::opt_out_user message{whom->shard, whom->user.value(), x.caller.name};
    auto done = co_await knocker_.ask<acknowledged>(whom->room, config_.bounds.room_deadline,
                                                    std::move(message));
    if (!done)
      co_return problem(x, done.error());
    co_return with_session(make_reply(200, json_type, "{\"opted_out\":true}\n"),
                           std::move(whom->before), done->seen);
  }

  /// The inbox, after the named notices have reached the person: what their own client was given,
  /// not what others look at.
  asio::awaitable<result<inbox_shown>> fetch_notices(exchange& x,
                                                     std::vector<std::string> reached = {}) {
    auto whom = user_id::parse(x.parameters.front());
    if (!whom)
      co_return tl::unexpected<error>{whom.error()};
    if (x.caller.role != role::user && !keys_->is_empty())
      reached.clear();
    candor::fetch_inbox message{whom->value(), std::move(reached)};
    co_return co_await knocker_.ask<inbox_shown>(doors_.notification, config_.bounds.room_deadline,
                                                 std::move(message));
  }

  asio::awaitable<reply> get_notices(exchange& x) {
    if (auto known = check_query(x, {"peek"}); !known)
      co_return problem(x, known.error());
    auto asked = x.target.query.find("peek");
    auto peek =
        (asked != x.target.query.end() && asked->second == "true") || x.head.method == "HEAD";
    auto inbox = co_await fetch_notices(x);
    // One without words, since its templates are not there, has told nobody anything.
    std::vector<std::string> given;
    if (inbox && !peek)
      for (const auto& n : inbox->notices)
        if (n.reached_ms < 0 && !n.body.empty())
          given.push_back(n.id);
    if (!given.empty())
      inbox = co_await fetch_notices(x, std::move(given));
    co_return inbox ? make_reply(200, json_type, render_notices(*inbox))
                    : problem(x, inbox.error());
  }

  /// A place among the streams that are open at a time.
  class stream_place {
  public:
    stream_place(std::atomic<std::size_t>& open)
      : open_{open} {
      ++open_;
    }
    stream_place(const stream_place&) = delete;
    stream_place& operator=(const stream_place&) = delete;
    ~stream_place() { --open_; }
    bool is_one_too_many() const { return open_ > limits::streams; }

  private:
    std::atomic<std::size_t>& open_;
  };

  static error too_many_streams() { return {errc::overloaded, "too many streams are open"}; }

  /// A server-sent event (WHATWG HTML, 9.2).
  static std::string sent_event(std::string_view id, std::string_view name, std::string_view data) {
    return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", id, name, data);
  }

  /// One person's notices as they come.
  struct notice_stream {
    stream_place place;
    std::string last; ///< that the reader has, until it is found in the inbox
    std::set<std::string> told;
    std::vector<std::string> written; ///< the last; they have reached their reader
  };

  /// It goes by itself when the shard has a primary again: a stream waits for that.
  static bool will_pass(errc code) {
    return code == errc::not_primary || code == errc::unavailable || code == errc::timed_out ||
           code == errc::outcome_unknown || code == errc::overloaded || code == errc::disk_full;
  }

  /// What the stream has not told yet.
  asio::awaitable<std::optional<std::string>> look_for_news(exchange& x, notice_stream& stream) {
    auto inbox = co_await fetch_notices(x, stream.written);
    if (!inbox)
      co_return will_pass(inbox.error().code) ? std::optional<std::string>{""} : std::nullopt;
    co_return news_of(*inbox, stream);
  }

  static std::string news_of(const inbox_shown& inbox, notice_stream& stream) {
    std::string news;
    stream.written.clear();
    auto last = std::ranges::find(inbox.notices, std::exchange(stream.last, {}), &notice_shown::id);
    if (last != inbox.notices.end())
      for (auto n = inbox.notices.begin(); n <= last; ++n)
        stream.told.insert(n->id);
    for (const auto& n : inbox.notices)
      if (!n.body.empty() && stream.told.insert(n.id).second) {
        stream.written.push_back(n.id);
        news += sent_event(n.id, "notice", notice_json(n).dump());
      }
    return news;
  }

  asio::awaitable<reply> get_notice_stream(exchange& x) {
    if (auto known = check_query(x, {}); !known)
      co_return problem(x, known.error());
    auto stream = std::make_shared<notice_stream>(streams_);
    stream->last = x.head.last_event_id;
    if (stream->place.is_one_too_many())
      co_return problem(x, too_many_streams());
    // A browser does not come back to a stream that was refused: without a primary it opens too.
    auto inbox = co_await fetch_notices(x);
    if (!inbox && !will_pass(inbox.error().code))
      co_return problem(x, inbox.error());
    auto made = make_reply(200, "text/event-stream", {});
    made.more = [this, &x, stream] { return look_for_news(x, *stream); };
    co_return made;
  }

  asio::awaitable<reply> post_notice_ack(exchange& x) {
    std::vector<std::string> shown(1, x.parameters.back());
    auto inbox = co_await fetch_notices(x, std::move(shown));
    if (!inbox)
      co_return problem(x, inbox.error());
    for (const auto& n : inbox->notices)
      if (n.id == x.parameters.back())
        co_return make_reply(200, json_type, "{\"acknowledged\":true}\n");
    error none{errc::not_found, "this person has no such notice"};
    co_return problem(x, none);
  }

  // -- campaigns, content, ads -------------------------------------------------------------------

  using item_kind = model::item_kind;

  static item_kind kind_of_path(const exchange& x) {
    return x.target.segments[1] == "campaigns" ? item_kind::campaign : item_kind::content;
  }

  /// The shard of the item that the path names.
  result<shard_id> item_shard(const exchange& x) {
    CANDOR_TRY_VOID(parse::check_item_id(x.parameters.front()));
    return config_.shard_of(*user_id::parse(x.parameters.front()));
  }

  asio::awaitable<result<item_read>> find_item(exchange& x, shard_id shard, item_kind kind) {
    candor::read_item message{shard, static_cast<std::uint8_t>(kind), x.parameters.front()};
    co_return co_await knocker_.ask<item_read>(doors_.shards->primary(shard),
                                               config_.bounds.room_deadline, std::move(message));
  }

  asio::awaitable<reply> store(exchange& x, shard_id shard, item_kind kind, std::string bytes) {
    candor::put_item message{shard, static_cast<std::uint8_t>(kind), x.parameters.front(),
                             std::move(bytes), x.caller.name};
    auto stored = co_await knocker_.ask<item_stored>(
        doors_.shards->primary(shard), config_.bounds.room_deadline, std::move(message));
    if (!stored)
      co_return problem(x, stored.error());
    hurry_catalogue(shard);
    co_return stored_reply(x, kind, stored->created);
  }

  /// What was changed through this node is seen on it at once.
  void hurry_catalogue(shard_id shard) {
    if (doors_.catalogue)
      caf::anon_send(doors_.catalogue, changed_atom_v, shard);
  }

  static reply stored_reply(const exchange& x, item_kind kind, bool created) {
    nlohmann::ordered_json body = {{std::string{to_string(kind)}, x.parameters.front()},
                                   {"created", created}};
    return make_reply(created ? 201 : 200, json_type, body.dump() + "\n");
  }

  asio::awaitable<reply> put_item(exchange& x) {
    auto shard = item_shard(x);
    if (!shard)
      co_return problem(x, shard.error());
    auto kind = kind_of_path(x);
    if (kind == item_kind::content) {
      auto item = parse::parse_content_json(x.body, x.parameters.front(), config_.regions);
      if (!item)
        co_return problem(x, item.error());
      co_return co_await store(x, *shard, kind, model::encode(*item));
    }
    auto campaign = parse::parse_campaign_json(x.body, x.parameters.front(), time_.now());
    if (!campaign)
      co_return problem(x, campaign.error());
    co_return co_await store(x, *shard, kind, model::encode(*campaign));
  }

  asio::awaitable<reply> post_pause(exchange& x) {
    auto shard = item_shard(x);
    if (!shard)
      co_return problem(x, shard.error());
    candor::pause_campaign message{*shard, x.parameters.front(),
                                   x.target.segments.back() == "pause", x.caller.name};
    auto done = co_await knocker_.ask<acknowledged>(
        doors_.shards->primary(*shard), config_.bounds.room_deadline, std::move(message));
    if (!done)
      co_return problem(x, done.error());
    hurry_catalogue(*shard);
    co_return stored_reply(x, item_kind::campaign, false);
  }

  asio::awaitable<reply> get_item(exchange& x) {
    auto shard = item_shard(x);
    if (!shard)
      co_return problem(x, shard.error());
    auto found = co_await find_item(x, *shard, kind_of_path(x));
    if (!found)
      co_return problem(x, found.error());
    auto shown = item_json(kind_of_path(x), found->bytes);
    co_return shown ? make_reply(200, json_type, shown->dump() + "\n") : problem(x, shown.error());
  }

  static result<nlohmann::ordered_json> item_json(item_kind kind, const std::string& bytes) {
    if (kind == item_kind::campaign) {
      CANDOR_TRY(c, model::decode_campaign(bytes));
      return to_json(c);
    }
    CANDOR_TRY(c, model::decode_content_item(bytes));
    return to_json(c);
  }

  asio::awaitable<reply> delete_item(exchange& x) {
    auto shard = item_shard(x);
    if (!shard)
      co_return problem(x, shard.error());
    candor::drop_item message{*shard, static_cast<std::uint8_t>(kind_of_path(x)),
                              x.parameters.front(), x.caller.name};
    auto done = co_await knocker_.ask<acknowledged>(
        doors_.shards->primary(*shard), config_.bounds.room_deadline, std::move(message));
    if (!done)
      co_return problem(x, done.error());
    hurry_catalogue(*shard);
    co_return make_reply(200, json_type, "{\"deleted\":true}\n");
  }

  static result<std::uint32_t> query_number(const exchange& x, const char* name, std::uint32_t most,
                                            std::uint32_t otherwise) {
    auto given = x.target.query.find(name);
    if (given == x.target.query.end())
      return otherwise;
    CANDOR_TRY(n, parse_number(name, given->second, most));
    return static_cast<std::uint32_t>(n);
  }

  asio::awaitable<reply> get_items(exchange& x) {
    if (auto known = check_query(x, {"after", "limit"}); !known)
      co_return problem(x, known.error());
    list_items message;
    message.kind = static_cast<std::uint8_t>(kind_of_path(x));
    if (auto after = x.target.query.find("after"); after != x.target.query.end())
      message.after = after->second;
    auto limit = query_number(x, "limit", limits::items_listed, 100);
    if (!limit)
      co_return problem(x, limit.error());
    message.limit = *limit;
    auto listed = co_await knocker_.ask<items_listed>(
        doors_.catalogue, config_.bounds.room_deadline, std::move(message));
    if (!listed)
      co_return problem(x, listed.error());
    nlohmann::ordered_json body = {{"items", nlohmann::json::array()}};
    for (const auto& bytes : listed->items)
      if (auto shown = item_json(kind_of_path(x), bytes))
        body["items"].push_back(std::move(*shown));
    if (listed->items.size() == *limit && !body["items"].empty())
      body["next"] = body["items"].back().front();
    co_return make_reply(200, json_type, body.dump() + "\n");
  }

  asio::awaitable<reply> get_budget(exchange& x) {
    auto shard = item_shard(x);
    if (!shard)
      co_return problem(x, shard.error());
    auto found = co_await find_item(x, *shard, item_kind::campaign);
    if (!found)
      co_return problem(x, found.error());
    auto campaign = model::decode_campaign(found->bytes);
    if (!campaign)
      co_return problem(x, campaign.error());
    spend_read sum;
    for (std::size_t i = 0; i < doors_.shards->size(); ++i) {
      auto of = static_cast<shard_id>(i);
      candor::read_spend message{of, campaign->id};
      auto part = co_await knocker_.ask<spend_read>(
          doors_.shards->primary(of), config_.bounds.room_deadline, std::move(message));
      if (!part)
        co_return problem(x, part.error());
      sum.lent += part->lent;
      sum.returned += part->returned;
      sum.reserved += part->reserved;
      sum.settled += part->settled;
    }
    nlohmann::ordered_json body = {
        {"campaign", campaign->id},
        {"total_micros", campaign->total_micros},
        {"daily_micros", campaign->daily_micros},
        {"settled_micros", sum.settled},
        {"reserved_micros", sum.reserved},
        {"lent_micros", sum.lent - sum.returned},
        {"left_micros", campaign->total_micros - sum.settled - sum.reserved}};
    co_return make_reply(200, json_type, body.dump() + "\n");
  }

  static ad_context to_context(parse::match_request& m) {
    return {std::move(m.country),   std::move(m.region), std::move(m.lang), std::move(m.device),
            std::move(m.placement), std::move(m.ctx),    std::move(m.bcat), std::move(m.segments),
            std::move(m.follows),   std::move(m.badv),   m.consent,         m.coppa};
  }

  ad_matching_handle ad_room() {
    return doors_.ad_matching[turn_.fetch_add(1) % doors_.ad_matching.size()];
  }

  asio::awaitable<reply> post_match(exchange& x) {
    auto asked = parse::parse_match_json(x.body, false);
    if (!asked)
      co_return problem(x, asked.error());
    match_ads message{asked->user, asked->k, to_context(*asked)};
    auto decided = co_await knocker_.ask<ads_matched>(ad_room(), config_.bounds.answer_deadline,
                                                      std::move(message));
    co_return decided ? make_reply(200, json_type, decision_json(*decided).dump() + "\n")
                      : problem(x, decided.error());
  }

  static ad_context to_context(const parse::bid_request& r, const parse::bid_place& place) {
    ad_context made;
    made.country = r.country;
    made.region = r.region;
    made.lang = r.lang;
    made.device = r.device;
    made.placement = place.placement;
    made.ctx = r.ctx;
    made.bcat = r.bcat;
    made.segments = r.segments;
    made.badv = r.badv;
    made.consent = r.consent;
    made.coppa = r.coppa;
    made.wlang = r.wlang;
    made.floor_micros = place.floor_micros;
    return made;
  }

  /// One decision a place: each has a floor of its own, and no campaign wins two of them.
  asio::awaitable<reply> post_openrtb(exchange& x) {
    auto begun = time_.monotonic();
    auto asked = parse::parse_bid_request(x.body);
    if (!asked)
      co_return problem(x, asked.error());
    auto no = [&](parse::no_bid why) {
      return make_reply(200, json_type, no_bid_response(*asked, why).dump() + "\n");
    };
    if (asked->refused)
      co_return no(*asked->refused);
    auto patience = config_.bounds.answer_deadline;
    if (asked->tmax)
      patience = std::min(patience, *asked->tmax - limits::auction_margin);
    std::vector<bid_made> bids;
    auto late = false;
    for (const auto& place : asked->places) {
      auto left = begun + patience - time_.monotonic();
      late = left <= 0ms;
      if (late)
        break;
      match_ads message{asked->user, 1, to_context(*asked, place)};
      for (const auto& b : bids)
        message.without.push_back(b.ad.campaign);
      message.until_ms = (begun + patience).count();
      message.dry = asked->test;
      auto decided = co_await knocker_.ask<ads_matched>(ad_room(), left, std::move(message));
      late = !decided && decided.error().code == errc::timed_out;
      if (!decided && !late && bids.empty())
        co_return problem(x, decided.error());
      if (!decided)
        break;
      if (!decided->ads.empty())
        bids.push_back({place.imp, std::move(decided->ads.front())});
    }
    // What was bid before the time was over, or before an error, is money that is reserved: it is
    // offered.
    if (bids.empty())
      co_return no(late ? parse::no_bid::insufficient_time : parse::no_bid::nothing_fits);
    co_return make_reply(200, json_type, bid_response(*asked, bids).dump() + "\n");
  }

  asio::awaitable<reply> post_why_not(exchange& x) {
    auto asked = parse::parse_match_json(x.body, true);
    if (!asked)
      co_return problem(x, asked.error());
    why_not_ad message{asked->user, to_context(*asked), asked->campaign};
    auto found = co_await knocker_.ask<why_not_answer>(ad_room(), config_.bounds.answer_deadline,
                                                       std::move(message));
    if (!found)
      co_return problem(x, found.error());
    nlohmann::ordered_json body = {
        {"campaign", asked->campaign}, {"reason", found->reason}, {"detail", found->detail}};
    co_return make_reply(200, json_type, body.dump() + "\n");
  }

  asio::awaitable<reply> post_ad_event(exchange& x) {
    auto told = parse::parse_ad_event_json(x.body);
    if (!told)
      co_return problem(x, told.error());
    auto id = told->impression.size() > 7 && told->impression.starts_with("i-")
                  ? parse_hex(std::string_view{told->impression}.substr(2, 4))
                  : std::nullopt;
    error unknown{errc::not_found, "no such impression"};
    if (!id || *id >= doors_.shards->size())
      co_return problem(x, unknown);
    auto shard = static_cast<shard_id>(*id);
    auto what = told->what == "impression" ? ad_happening::impression
                : told->what == "click"    ? ad_happening::click
                                           : ad_happening::hide;
    candor::ad_event message{shard, std::move(told->user), std::move(told->impression), what};
    auto taken = co_await knocker_.ask<ad_event_taken>(
        doors_.shards->primary(shard), config_.bounds.room_deadline, std::move(message));
    co_return taken ? make_reply(200, json_type,
                                 taken->changed ? "{\"status\":\"accepted\"}\n"
                                                : "{\"status\":\"duplicate\"}\n")
                    : problem(x, taken.error());
  }

  static std::optional<unsigned> parse_hex(std::string_view digits) {
    unsigned n = 0;
    auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n, 16);
    return ec == std::errc{} && end == digits.data() + digits.size() ? std::optional{n}
                                                                     : std::nullopt;
  }

  asio::awaitable<reply> get_why(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    candor::explain_ad message{whom->shard, whom->user.value(), x.parameters.back()};
    auto found = co_await knocker_.ask<ad_explained>(whom->room, config_.bounds.room_deadline,
                                                     std::move(message));
    if (!found)
      co_return problem(x, found.error());
    auto impression = model::decode_impression(found->impression);
    co_return impression
        ? make_reply(200, json_type, why_json(*impression, found->rest).dump() + "\n")
        : problem(x, impression.error());
  }

  /// Ids with commas between them; none of ours has one.
  static result<std::vector<std::string>> read_exclude(const exchange& x) {
    std::vector<std::string> ids;
    auto given = x.target.query.find("exclude");
    if (given == x.target.query.end())
      return ids;
    std::string_view rest = given->second;
    while (true) {
      auto end = rest.find(',');
      CANDOR_TRY_VOID(parse::check_item_id(rest.substr(0, end)));
      if (ids.size() == limits::feed_excluded)
        return fail(errc::too_many,
                    fmt::format("`exclude` has at most {} items", limits::feed_excluded));
      ids.emplace_back(rest.substr(0, end));
      if (end == rest.npos)
        return ids;
      rest.remove_prefix(end + 1);
    }
  }

  asio::awaitable<reply> post_feed_event(exchange& x) {
    auto whom = address(x);
    if (!whom)
      co_return problem(x, whom.error());
    auto told = parse::parse_feed_event_json(x.body);
    if (!told)
      co_return problem(x, told.error());
    candor::content_event message{whom->shard, whom->user.value(), std::move(told->content),
                                  told->hidden};
    auto done = co_await knocker_.ask<acknowledged>(whom->room, config_.bounds.room_deadline,
                                                    std::move(message));
    if (!done)
      co_return problem(x, done.error());
    co_return with_session(make_reply(200, json_type, "{\"status\":\"accepted\"}\n"),
                           std::move(whom->before), done->seen);
  }

  asio::awaitable<reply> get_feed(exchange& x) {
    if (auto known = check_query(x, {"k", "lang", "country", "exclude"}); !known)
      co_return problem(x, known.error());
    auto k = query_number(x, "k", limits::feed_items, 10);
    if (!k)
      co_return problem(x, k.error());
    rank_feed message{x.parameters.front(), *k, {}};
    if (auto lang = x.target.query.find("lang"); lang != x.target.query.end())
      message.lang = lang->second.substr(0, lang->second.find('-'));
    if (auto country = x.target.query.find("country"); country != x.target.query.end()) {
      auto region = config_.regions.find(country->second);
      if (!region)
        co_return problem(x, region.error());
      message.country = region->view();
    }
    auto excluded = read_exclude(x);
    if (!excluded)
      co_return problem(x, excluded.error());
    message.exclude = std::move(*excluded);
    auto feed = co_await knocker_.ask<feed_ranked>(
        doors_.recommendation, config_.bounds.room_deadline, std::move(message));
    co_return feed ? make_reply(200, json_type, feed_json(*feed).dump() + "\n")
                   : problem(x, feed.error());
  }

  // -- operators and auditors --------------------------------------------------------------------

  asio::awaitable<reply> call_admin(exchange& x, std::string verb, std::string arguments) {
    admin_call message{std::move(verb), std::move(arguments), x.caller.name};
    auto answer = co_await knocker_.ask<admin_answer>(doors_.admin, config_.bounds.answer_deadline,
                                                      std::move(message));
    co_return answer ? make_reply(200, json_type, std::move(answer->json) + "\n")
                     : problem(x, answer.error());
  }

  result<std::string> audit_arguments(const exchange& x) {
    CANDOR_TRY_VOID(check_query(x, {"shard", "from", "limit", "subject", "action"}));
    nlohmann::json arguments = nlohmann::json::object();
    for (const auto& [name, text] : x.target.query) {
      if (name == "subject" || name == "action") {
        if (!plain_utf8(text))
          return fail(errc::bad_utf8, name);
        arguments[name] = text;
        continue;
      }
      CANDOR_TRY(number, parse_number(name, text, UINT64_MAX));
      arguments[name] = number;
    }
    return arguments.dump();
  }

  asio::awaitable<reply> get_audit(exchange& x) {
    auto arguments = audit_arguments(x);
    if (!arguments)
      co_return problem(x, arguments.error());
    std::string verb = "audit_tail";
    co_return co_await call_admin(x, std::move(verb), std::move(*arguments));
  }

  asio::awaitable<reply> get_cluster(exchange& x) {
    if (auto known = check_query(x, {}); !known)
      co_return problem(x, known.error());
    std::string verb = "status", arguments = "{}";
    co_return co_await call_admin(x, std::move(verb), std::move(arguments));
  }

  /// What happens in the cluster, for a reader that was told everything up to a number.
  struct event_stream {
    stream_place place;
    std::uint64_t told = 0;
  };

  asio::awaitable<std::optional<std::string>> look_for_events(event_stream& stream) {
    const auto& held = *doors_.events;
    auto found = held.after(stream.told);
    std::string news;
    if (found.missed > 0) {
      stream.told += found.missed;
      news = sent_event(
          held.id_of(stream.told), "missed",
          fmt::format(R"({{"at":"{}","events":{}}})", format_time(time_.now()), found.missed));
    }
    for (const auto& e : found.events)
      news += sent_event(held.id_of(stream.told = e.number), e.name, e.data);
    co_return news;
  }

  asio::awaitable<reply> get_cluster_events(exchange& x) {
    if (auto known = check_query(x, {}); !known)
      co_return problem(x, known.error());
    error none{errc::conflict, "this node writes no events down"};
    if (!doors_.events)
      co_return problem(x, none);
    auto stream = std::make_shared<event_stream>(streams_);
    if (stream->place.is_one_too_many())
      co_return problem(x, too_many_streams());
    stream->told = doors_.events->place_after(x.head.last_event_id);
    auto made = make_reply(200, "text/event-stream", {});
    made.more = [this, stream] { return look_for_events(*stream); };
    co_return made;
  }

  asio::awaitable<reply> get_policies(exchange& x) {
    if (auto known = check_query(x, {}); !known)
      co_return problem(x, known.error());
    std::string verb = "policy_show", arguments = "{}";
    co_return co_await call_admin(x, std::move(verb), std::move(arguments));
  }

  /// The body of an operator's request: a JSON object, "{}" where there is none. Who reads it
  /// behind this has no bounds of its own: its depth and width are checked here. Error: as
  /// decode_json.
  static result<std::string> take_arguments(exchange& x) {
    auto body = x.body.empty() ? std::string{"{}"} : std::move(x.body);
    CANDOR_TRY(read, parse::decode_json(body, limits::bulk_body_bytes,
                                        {.items_max = limits::known_audit_heads}));
    if (read.is != parse::value::kind::record)
      return fail(errc::malformed, "the body is not a JSON object");
    return body;
  }

  /// The body with the path's version, for the verb to check.
  asio::awaitable<reply> call_with_version(exchange& x, std::string verb) {
    error bad_text{errc::bad_utf8, {}};
    nlohmann::json body;
    if (media_type(x.head.content_type) == toml_type) {
      if (!valid_utf8(x.body))
        co_return problem(x, bad_text);
      body["text"] = std::move(x.body);
    } else {
      auto given = take_arguments(x);
      if (!given)
        co_return problem(x, given.error());
      body = nlohmann::json::parse(*given);
    }
    body["version"] = x.parameters.front();
    auto arguments = body.dump();
    co_return co_await call_admin(x, std::move(verb), std::move(arguments));
  }

  asio::awaitable<reply> put_policy(exchange& x) {
    std::string verb = "policy_put";
    co_return co_await call_with_version(x, std::move(verb));
  }

  asio::awaitable<reply> post_policy_simulate(exchange& x) {
    std::string verb = "policy_simulate";
    co_return co_await call_with_version(x, std::move(verb));
  }

  asio::awaitable<reply> post_policy_apply(exchange& x) {
    std::string verb = "policy_apply";
    co_return co_await call_with_version(x, std::move(verb));
  }

  asio::awaitable<reply> get_readiness(exchange& x) {
    std::string verb = "policy_readiness";
    co_return co_await call_with_version(x, std::move(verb));
  }

  asio::awaitable<reply> post_admin(exchange& x) {
    if (auto known = check_query(x, {}); !known)
      co_return problem(x, known.error());
    auto arguments = take_arguments(x);
    if (!arguments)
      co_return problem(x, arguments.error());
    auto verb = x.parameters.front();
    co_return co_await call_admin(x, std::move(verb), std::move(*arguments));
  }

  rooms doors_;
  gateway_config config_;
  std::unique_ptr<key_ring> keys_;
  clock& time_;
  std::unique_ptr<rng> random_ = make_system_rng(); ///< the operating system's: any thread may ask
  std::vector<route> table_;
  knocker knocker_;
  asio::thread_pool key_thread_{1};
  std::atomic<unsigned> turn_{0};
  std::atomic<std::size_t> streams_{0};
  std::atomic<bool> ready_{false};
  std::atomic<bool> started_{false};
  route_probe elsewhere_;
  verdict_probe verdicts_;
};

namespace {

class running_gateway final : public gateway {
public:
  running_gateway(caf::actor_system& system, rooms doors, gateway_config config,
                  std::unique_ptr<key_ring> keys, clock& time)
    : routes_{system, std::move(doors), std::move(config), std::move(keys), time} {}
  ~running_gateway() override { stop(); }

  result<void> open(const gateway_config& config) {
    CANDOR_TRY(opened, start_http_server(config.http, !config.operators, config, routes_));
    server_ = std::move(opened);
    port_ = operators_port_ = server_->port();
    if (!config.operators)
      return {};
    CANDOR_TRY(second, start_http_server(*config.operators, true, config, routes_));
    operators_server_ = std::move(second);
    operators_port_ = operators_server_->port();
    return {};
  }

  std::uint16_t port() const override { return port_; }
  std::uint16_t operators_port() const override { return operators_port_; }
  void set_ready(bool ready) override { routes_.set_ready(ready); }

  void stop() override {
    if (stopped_)
      return;
    stopped_ = true;
    routes_.set_ready(false);
    std::thread beside; // one after the other would take the grace twice
    if (operators_server_)
      beside = std::thread{[this] { operators_server_->drain(stop_grace); }};
    if (server_)
      server_->drain(stop_grace);
    if (beside.joinable())
      beside.join();
    routes_.stop(); // open questions complete into the servers, which must still be there
    server_.reset();
    operators_server_.reset();
  }

private:
  routes routes_;
  std::unique_ptr<http_server> server_, operators_server_; ///< the second: where it has its own
  std::uint16_t port_ = 0, operators_port_ = 0;
  bool stopped_ = false;
};

} // namespace

result<std::unique_ptr<gateway>> gateway::start(caf::actor_system& system, rooms doors,
                                                gateway_config config, clock& time) {
  CANDOR_ASSERT(config.shard_of != nullptr && doors.shards != nullptr);
  CANDOR_TRY(keys, key_ring::make(config.keys, config.user_token_secret));
  auto settings = config;
  auto made = std::make_unique<running_gateway>(system, std::move(doors), std::move(config),
                                                std::move(keys), time);
  CANDOR_TRY_VOID(made->open(settings));
  return std::unique_ptr<gateway>{std::move(made)};
}

} // namespace candor::gateway
