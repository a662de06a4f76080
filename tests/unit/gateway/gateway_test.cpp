#include <future>

#include <nlohmann/json.hpp>

#include "storage/base/limits.hpp"
#include "tests/unit/gateway/house.hpp"

using namespace candor;
using namespace candor::gateway_tests;
using nlohmann::json;

namespace {

constexpr auto json_type = "application/json";
constexpr auto ndjson = "application/x-ndjson";
constexpr auto msgpack = "application/msgpack";

std::string event_line(const std::string& id) {
  return with(chat, "\"e-1\"", '"' + id + '"') + "\n";
}

std::vector<json> lines_of(const std::string& body) {
  std::vector<json> made;
  for (std::size_t at = 0; at < body.size();) {
    auto end = body.find('\n', at);
    made.push_back(json::parse(body.substr(at, end - at)));
    at = end + 1;
  }
  return made;
}

/// Checks that it is a problem, and gives its code.
std::string code_of(const response& r) {
  CAPTURE(r.status, r.body);
  CHECK(r.headers.at("content-type") == "application/problem+json");
  auto body = json::parse(r.body);
  CHECK(body["status"] == r.status);
  CHECK(body["trace_id"].get<std::string>().size() == 32);
  return body["code"];
}

} // namespace

TEST_CASE("one event is answered with its verdict", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events?import=7", chat, json_type);
  CHECK(r.status == 200);
  CHECK(r.headers["content-type"] == "application/json");
  CHECK(json::parse(r.body) == json{{"id", "e-1"}, {"status", "accepted"}});
  CHECK(h.notes->import_runs == std::vector<std::uint32_t>{7});
}

TEST_CASE("one event that cannot be taken is a problem that names it", "[gateway]") {
  house h;
  auto invalid = h.ask("POST", "/v1/events", with(chat, "\"lang\"", "\"langg\""), json_type);
  CHECK(invalid.status == 400);
  CHECK(code_of(invalid) == "unknown_field");
  CHECK(json::parse(invalid.body)["id"] == "e-1");
  auto too_long =
      h.ask("POST", "/v1/events", with(chat, "u-42", std::string(9999, 'u')), json_type);
  CHECK(too_long.status == 400);
  CHECK(code_of(too_long) == "too_large");
  auto late = h.ask("POST", "/v1/events", with(chat, "e-1", "late-1"), json_type);
  CHECK(late.status == 400);
  CHECK(code_of(late) == "too_old");
  auto busy = h.ask("POST", "/v1/events", with(chat, "e-1", "busy-1"), json_type);
  CHECK(busy.status == 429);
  CHECK(code_of(busy) == "overloaded");
  CHECK(busy.headers["retry-after"] == "1");
}

TEST_CASE("a sensitive topic of a liked page is withheld without asking further", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events", with(like, "fitness", "religion"), json_type);
  CHECK(r.status == 200);
  CHECK(json::parse(r.body) ==
        json{{"id", "e-3"}, {"status", "withheld"}, {"reason", "sensitive"}});
  CHECK(h.notes->batches.empty());
}

TEST_CASE("bulk verdicts stand in the order of the lines", "[gateway]") {
  house h;
  auto body = event_line("a") + "{\"id\":\n" + event_line("dup-b") + "\n" +
              with(event_line("c"), "\"lang\"", "\"langg\"") + event_line("busy-d") + like;
  auto r = h.ask("POST", "/v1/events", body, ndjson);
  CHECK(r.status == 200);
  CHECK(r.headers["content-type"] == "application/x-ndjson");
  auto lines = lines_of(r.body);
  REQUIRE(lines.size() == 6);
  CHECK(lines[0] == json{{"id", "a"}, {"status", "accepted"}});
  CHECK(lines[1]["id"] == nullptr);
  CHECK(lines[1]["status"] == "invalid");
  CHECK(lines[1]["reason"] == "malformed");
  CHECK(lines[1]["line"] == 2);
  CHECK(lines[2] == json{{"id", "dup-b"}, {"status", "duplicate"}});
  CHECK(lines[3]["id"] == "c");
  CHECK(lines[3]["reason"] == "unknown_field");
  CHECK(lines[3]["line"] == 5);
  CHECK(lines[4] == json{{"id", "busy-d"}, {"status", "overloaded"}});
  CHECK(lines[5] == json{{"id", "e-3"}, {"status", "accepted"}});
}

TEST_CASE("a bulk request goes in batches, in order", "[gateway]") {
  house h;
  std::string body;
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    ids.push_back("e-" + std::to_string(i));
    body += event_line(ids.back());
  }
  auto r = h.ask("POST", "/v1/events", body, ndjson);
  CHECK(r.status == 200);
  std::vector<std::string> seen;
  CHECK(h.notes->batches.size() == 4);
  for (const auto& b : h.notes->batches) {
    CHECK(b.size() <= limits::batch_events);
    seen.insert(seen.end(), b.begin(), b.end());
  }
  CHECK(seen == ids);
  auto lines = lines_of(r.body);
  REQUIRE(lines.size() == ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    CHECK(lines[i]["id"] == ids[i]);
}

TEST_CASE("after an answer that did not come, nothing of the request overtakes it", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.answer_deadline = 300ms;
  house h{bounds};
  std::string body;
  for (int i = 0; i < 300; ++i)
    body += event_line((i == 3 ? "hang-" : "e-") + std::to_string(i));
  auto r = h.ask("POST", "/v1/events", body, ndjson);
  CHECK(r.status == 200);
  auto lines = lines_of(r.body);
  REQUIRE(lines.size() == 300);
  CHECK(lines[0]["status"] == "unknown");
  CHECK(lines[255]["status"] == "unknown");
  CHECK(lines[256]["status"] == "overloaded");
  CHECK(h.notes->batches.size() == 1);

  auto one = h.ask("POST", "/v1/events", with(chat, "e-1", "hang-1"), json_type);
  CHECK(one.status == 503);
  CHECK(code_of(one) == "outcome_unknown");
}

TEST_CASE("a bulk of which nothing was tried is told to come again", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events", event_line("busy-1") + event_line("busy-2"), ndjson);
  CHECK(r.status == 429);
  CHECK(code_of(r) == "overloaded");
  CHECK(r.headers.contains("retry-after"));
}

TEST_CASE("a bulk of more events than the limit is refused whole", "[gateway]") {
  house h;
  std::string body;
  for (std::size_t i = 0; i <= limits::bulk_events; ++i)
    body += event_line("e");
  auto r = h.ask("POST", "/v1/events", body, ndjson);
  CHECK(r.status == 400);
  CHECK(code_of(r) == "too_many");
  CHECK(h.notes->batches.empty());
}

TEST_CASE("an empty bulk has no verdicts", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events", "\n\n", ndjson);
  CHECK(r.status == 200);
  CHECK(r.body.empty());
}

TEST_CASE("a msgpack bomb is one verdict line, and the node goes on", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events", std::string{"\xdd\xff\xff\xff\xff", 5}, msgpack);
  CHECK(r.status == 200);
  auto lines = lines_of(r.body);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0]["status"] == "invalid");
  CHECK(lines[0]["reason"] == "too_many");
  CHECK(h.ask("GET", "/livez").status == 200);
}

TEST_CASE("what the platform states of a person reaches the person's shard", "[gateway]") {
  house h;
  auto made = h.ask("PUT", "/v1/users/u-42", R"({"user":"u-42","region":"US"})", json_type);
  CHECK(made.status == 201);
  CHECK(json::parse(made.body) == json{{"user", "u-42"}, {"created", true}});
  CHECK(h.notes->details.region->view() == "US");
  CHECK(h.ask("PUT", "/v1/users/old", "{}", json_type).status == 200);
  auto refused = h.ask("PUT", "/v1/users/u-42", R"({"region":"ZZ"})", json_type);
  CHECK(refused.status == 400);
  CHECK(code_of(refused) == "bad_region");
  CHECK(h.notes->lines() ==
        std::vector<std::string>{"put u-42 by loopback", "put old by loopback"});
}

TEST_CASE("a person is shown as the record says", "[gateway]") {
  house h;
  auto r = h.ask("GET", "/v1/users/a%2Fb%20c");
  REQUIRE(r.status == 200);
  auto body = json::parse(r.body);
  CHECK(body["user"] == "a/b c");
  CHECK(body["pseudonym"] == "s-8f2c");
  CHECK(body["region"] == "US");
  CHECK(body["region_since"] == "2020-01-01T00:00:00Z");
  CHECK(body["region_state"] == "allowed");
  CHECK(body["regions"].size() == 2);
  CHECK(body["assistant_user_since"] == "2025-11-02");
  CHECK(body["notices"][0]["channel"] == "in_app");
  CHECK(body["email"] == "u@example.org");
  CHECK_FALSE(body.contains("zone"));
  CHECK(body["policy_version"] == "2025-12-16.1");
  CHECK(r.headers["cache-control"] == "no-store");
}

TEST_CASE("interests are shown with what they may serve", "[gateway]") {
  house h;
  auto body = json::parse(h.ask("GET", "/v1/users/u-42/interests").body);
  CHECK(body["at"] == "2025-12-20T12:00:00Z");
  REQUIRE(body["interests"].size() == 2);
  const auto& ai = body["interests"][0];
  CHECK(ai["topic"] == "outdoors");
  CHECK(ai["title"] == "Outdoors");
  CHECK(ai["source"] == "ai");
  CHECK(ai["strength"] == 140);
  CHECK(ai["weight"] == 1.5);
  CHECK(ai["events"] == 2);
  CHECK(ai["since"] == "2025-12-17T09:30:00Z");
  CHECK(ai["policy_version"] == "2025-12-16.1");
  CHECK(ai["uses"] == json{{"ads", true}, {"content", true}});
  const auto& liked = body["interests"][1];
  CHECK(liked["source"] == "engagement");
  CHECK(liked["policy_version"] == nullptr);
  CHECK(liked["uses"]["ads"] == json{{"not", "region_excluded"}});
}

TEST_CASE("the times of remembered events are shown where they are asked for", "[gateway]") {
  house h;
  CHECK_FALSE(json::parse(h.ask("GET", "/v1/users/u-42").body).contains("events"));
  CHECK_FALSE(json::parse(h.ask("GET", "/v1/users/u-42?events=false").body).contains("events"));
  auto learned = json::array({"2025-12-17T09:30:00Z", "2025-12-17T09:30:00Z"});
  CHECK(json::parse(h.ask("GET", "/v1/users/u-42?events=true").body)["events"] == learned);
  CHECK(code_of(h.ask("GET", "/v1/users/u-42?event=true")) == "unknown_field");
}

TEST_CASE("an export holds all and is audited", "[gateway]") {
  house h;
  auto r = h.ask("GET", "/v1/users/u-42/export");
  CHECK(r.headers["content-disposition"].starts_with("attachment"));
  auto body = json::parse(r.body);
  CHECK(body["user"] == "u-42");
  CHECK(body["interests"].size() == 2);
  CHECK(body["events_remembered"] == 2);
  CHECK(body["events"].size() == 2);
  CHECK(body["notice_ledger"] == json::array());
  CHECK(h.notes->lines() == std::vector<std::string>{"export u-42 by loopback"});
}

TEST_CASE("an interest can be forgotten", "[gateway]") {
  house h;
  CHECK(h.ask("DELETE", "/v1/users/u-42/interests/outdoors").status == 200);
  CHECK(h.notes->lines() == std::vector<std::string>{"forget outdoors"});
  CHECK(code_of(h.ask("DELETE", "/v1/users/u-42/interests/hikin")) == "unknown_topic");
  CHECK(code_of(h.ask("DELETE", "/v1/users/u-42/interests/health")) == "sensitive_topic");
}

TEST_CASE("an erasure is answered with its receipt", "[gateway]") {
  house h;
  auto r = h.ask("DELETE", "/v1/users/u-42");
  CHECK(r.status == 200);
  CHECK(json::parse(r.body) == json{{"receipt", "r-3"},
                                    {"subject", "s-8f2c"},
                                    {"erased_at", "2026-01-05T12:00:00Z"},
                                    {"unreadable_at", "2026-01-05T12:00:00Z"},
                                    {"final_at", nullptr},
                                    {"audit", {{"shard", 0}, {"entry", 2201}, {"hash", "ab"}}}});
}

TEST_CASE("an opt-out is the person's shard's to offer", "[gateway]") {
  house h;
  auto refused = h.ask("POST", "/v1/users/u-42/opt-out");
  CHECK(refused.status == 409);
  CHECK(code_of(refused) == "opt_out_not_offered");
  auto taken = h.ask("POST", "/v1/users/u-43/opt-out");
  CHECK(taken.status == 200);
  CHECK(json::parse(taken.body) == json{{"opted_out", true}});
  CHECK(h.notes->lines().back() == "opt out u-43 by loopback");
}

TEST_CASE("errors of a room travel to the caller", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.room_deadline = 200ms;
  house h{bounds};
  auto gone = h.ask("GET", "/v1/users/nobody");
  CHECK(gone.status == 404);
  CHECK(code_of(gone) == "user_not_found");
  auto slow = h.ask("GET", "/v1/users/slow");
  CHECK(slow.status == 504);
  CHECK(code_of(slow) == "timed_out");
  auto crashed = h.ask("GET", "/v1/users/crash");
  CHECK(crashed.status >= 500);
  code_of(crashed);
  auto after = h.ask("GET", "/v1/users/a2345"); // the same shard
  CHECK(after.status == 503);
  CHECK(code_of(after) == "unavailable");
}

TEST_CASE("a wrong user id in a path is refused", "[gateway]") {
  house h;
  CHECK(code_of(h.ask("GET", "/v1/users/" + std::string(10'000, 'u'))) == "too_large");
  CHECK(code_of(h.ask("GET", "/v1/users/%ff%fe")) == "bad_utf8");
  CHECK(code_of(h.ask("GET", "/v1/users/a%00b")) == "bad_value");
  CHECK(code_of(h.ask("GET", "/v1/users/%zz")) == "malformed");
  CHECK(h.notes->lines().empty());
}

TEST_CASE("operators' messages go through as they are", "[gateway]") {
  house h;
  CHECK(json::parse(h.ask("GET", "/v1/cluster").body) == json{{"verb", "status"}});
  CHECK(h.ask("GET", "/v1/audit?shard=3&from=17&limit=5").status == 200);
  CHECK(h.ask("POST", "/v1/admin/log_level", R"({"level":"debug"})", json_type).status == 200);
  CHECK(h.ask("POST", "/v1/admin/stop").status == 200);
  CHECK(code_of(h.ask("POST", "/v1/admin/nonsense")) == "not_found");
  CHECK(h.notes->lines() ==
        std::vector<std::string>{"status {} by loopback",
                                 R"(audit_tail {"from":17,"limit":5,"shard":3} by loopback)",
                                 R"(log_level {"level":"debug"} by loopback)",
                                 "stop {} by loopback", "nonsense {} by loopback"});
  CHECK(code_of(h.ask("GET", "/v1/audit?shard=x")) == "bad_value");
  auto unknown = h.ask("GET", "/v1/audit?colour=red");
  CHECK(code_of(unknown) == "unknown_field");
  CHECK_THAT(unknown.body, Catch::Contains(R"(\"colour\" in the query)"));
  CHECK_THAT(unknown.body, Catch::Contains("knows action, from, limit, shard, subject"));
  CHECK_THAT(h.ask("GET", "/v1/cluster?colour=red").body, Catch::Contains("knows no key"));
  CHECK(code_of(h.ask("POST", "/v1/admin/stop", "{", json_type)) == "malformed");
}

TEST_CASE("whatever an operator sends, the room behind gets a JSON object of bounded depth",
          "[gateway]") {
  house h;
  std::string deep(100'000, '[');
  deep = R"({"text":)" + deep + std::string(100'000, ']') + "}";
  for (auto [method, path] : {std::pair{"PUT", "/v1/policies/1"},
                              {"POST", "/v1/policies/1/simulate"},
                              {"POST", "/v1/policies/1/apply"},
                              {"POST", "/v1/admin/policy_put"}}) {
    for (const auto& body : {deep, std::string{"[1]"}, std::string{R"({"late":true,"late":false})"},
                             std::string{R"({"text":)"}}) {
      INFO(path << " " << body.substr(0, 40));
      CHECK(h.ask(method, path, body, json_type).status == 400);
    }
  }
  CHECK(h.notes->lines().empty());
  CHECK(h.ask("POST", "/v1/policies/1/apply", R"({"late":true})", json_type).status == 200);
  CHECK(h.notes->lines().back() == R"(policy_apply {"late":true,"version":"1"} by loopback)");
}

TEST_CASE("addresses, methods and types that are not there are named", "[gateway]") {
  house h;
  CHECK(code_of(h.ask("GET", "/v1/nothing")) == "not_found");
  auto method = h.ask("PATCH", "/v1/users/u-42");
  CHECK(method.status == 405);
  CHECK(method.headers["allow"] == "PUT, GET, HEAD, DELETE");
  CHECK(code_of(method) == "method_not_allowed");
  CHECK(h.ask("POST", "/v1/events", "<event/>", "text/xml").status == 415);
  CHECK(h.ask("POST", "/v1/events", chat).status == 415);
  auto body = h.ask("GET", "/v1/users/u-42", "{}", json_type);
  CHECK(body.status == 400);
  CHECK(code_of(body) == "bad_value");
  CHECK_THAT(body.body, Catch::Contains("takes no body"));
  CHECK(code_of(h.ask("POST", "/v1/events?colour=red", chat, json_type)) == "unknown_field");
}

TEST_CASE("what a node does not have is no passing trouble that a client waits for", "[gateway]") {
  house h; // without a record of events
  auto r = h.ask("GET", "/v1/cluster/events");
  CHECK(r.status == 409);
  CHECK(code_of(r) == "conflict");
}

TEST_CASE("HEAD gives a GET's head alone", "[gateway]") {
  house h;
  http_client client{h.port()};
  client.send(request("HEAD", "/v1/openapi.yaml"));
  auto head = client.receive(true);
  CHECK(head.status == 200);
  CHECK(std::stoul(head.headers["content-length"]) > 10);
  client.send(request("GET", "/livez"));
  CHECK(client.receive().body == "ok\n");
}

TEST_CASE("a node says when it is ready", "[gateway]") {
  house h;
  auto& gateway = h.open();
  CHECK(h.ask("GET", "/readyz").status == 200);
  gateway.set_ready(false);
  CHECK(h.ask("GET", "/readyz").status == 503);
  CHECK(h.ask("GET", "/startupz").status == 200);
  CHECK(h.ask("GET", "/livez").status == 200);
  auto r = h.ask("POST", "/v1/events", chat, json_type);
  CHECK(r.status == 503);
  CHECK(code_of(r) == "unavailable");
  CHECK(r.headers["retry-after"] == "1");
  CHECK(h.ask("GET", "/v1/cluster").status == 200);
}

TEST_CASE("metrics count requests by route and outcome, and nobody", "[gateway]") {
  house h;
  http_client client{h.port()};
  client.send(request("GET", "/v1/users/CANARY-user") +
              request("POST", "/v1/events", with(chat, "boots", "CANARY-text"), json_type) +
              request("GET", "/metrics"));
  CHECK(client.receive().status == 200);
  CHECK(client.receive().status == 200);
  auto text = client.receive().body;
  using Catch::Matchers::Contains;
  CHECK_THAT(text,
             Contains("candor_gateway_requests_total{outcome=\"2xx\",route=\"/v1/users/{id}\"}"));
  CHECK_THAT(text, Contains("candor_gateway_verdicts_total{outcome=\"accepted\"}"));
  CHECK_THAT(text, Contains("candor_gateway_connections "));
  CHECK_THAT(text, Contains("candor_gateway_bodies_bytes 0"));
  CHECK_THAT(text, !Contains("CANARY"));
}

TEST_CASE("the caller's trace comes back, also with a problem", "[gateway]") {
  house h;
  auto r = h.ask("GET", "/v1/nothing", {}, {},
                 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n");
  CHECK(json::parse(r.body)["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(r.headers["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
}

TEST_CASE("without keys, other sites in a browser of this machine get nothing", "[gateway]") {
  house h;
  CHECK(h.ask("GET", "/v1/cluster", {}, {}, "Origin: http://localhost:3000\r\n").status == 200);
  auto cross = h.ask("POST", "/v1/admin/stop", {}, {}, "Origin: https://evil.example\r\n");
  CHECK(cross.status == 403);
  CHECK(code_of(cross) == "forbidden");
  http_client rebound{h.port()};
  rebound.send("GET /v1/cluster HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  CHECK(rebound.receive().status == 403);
}

TEST_CASE("with keys, a role opens its own doors only", "[gateway]") {
  auto hash = [](std::string_view key) { return *gateway::hash_api_key(key); };
  const std::string secret(32, 's');
  house h{{},
          {{"writer", "ingest", hash("ingest-ingest-ingest")},
           {"watcher", "monitor", hash("monitor-monitor-monitor")},
           {"checker", "auditor", hash("auditor-auditor-auditor")},
           {"boss", "admin", hash("admin-admin-admin")}},
          secret};
  auto key = [](std::string_view text) {
    return "Authorization: Bearer " + std::string{text} + "\r\n";
  };
  auto token = *gateway::make_user_token(secret, *user_id::parse("u-42"),
                                         h.time.now() + std::chrono::hours{1});
  auto writer = key("ingest-ingest-ingest"), watcher = key("monitor-monitor-monitor"),
       checker = key("auditor-auditor-auditor"), boss = key("admin-admin-admin"), me = key(token);
  auto status = [&](std::string_view method, std::string_view path, const std::string& with_key) {
    std::string_view body = method == "PUT" ? "{}" : "";
    return h.ask(method, path, body, body.empty() ? "" : json_type, with_key).status;
  };

  auto nobody = h.ask("GET", "/v1/cluster");
  CHECK(nobody.status == 401);
  CHECK(nobody.headers["www-authenticate"].starts_with("Bearer"));
  CHECK(code_of(nobody) == "unauthenticated");
  CHECK(status("GET", "/v1/cluster", key("wrong-wrong-wrong-wrong")) == 401);
  CHECK(status("GET", "/livez", "") == 200);

  CHECK(h.ask("POST", "/v1/events", chat, json_type, writer).status == 200);
  CHECK(h.ask("POST", "/v1/events", chat, json_type, me).status == 403);
  CHECK(h.ask("POST", "/v1/openrtb", "{}", json_type, writer).status == 403);
  CHECK(h.ask("POST", "/v1/openrtb", "{}", json_type, me).status == 403);
  CHECK(h.ask("POST", "/v1/openrtb", "{}", json_type, boss).status == 400);
  CHECK(status("PUT", "/v1/users/u-42", writer) == 201);
  CHECK(status("PUT", "/v1/users/u-42", me) == 403);
  CHECK(status("GET", "/v1/users/u-42", writer) == 403);
  CHECK(status("GET", "/v1/users/u-42", me) == 200);
  CHECK(status("GET", "/v1/users/u-43", me) == 403);
  CHECK(status("DELETE", "/v1/users/u-42", me) == 200);
  CHECK(status("GET", "/v1/users/u-43", boss) == 200);
  CHECK(status("GET", "/metrics", watcher) == 200);
  CHECK(status("GET", "/metrics", writer) == 403);
  CHECK(status("GET", "/v1/audit", checker) == 200);
  CHECK(status("GET", "/v1/audit", watcher) == 403);
  CHECK(status("GET", "/v1/cluster", checker) == 403);
  CHECK(status("POST", "/v1/admin/audit_verify", checker) == 200);
  CHECK(status("POST", "/v1/admin/stop", checker) == 403);
  CHECK(status("POST", "/v1/admin/stop", boss) == 200);
  CHECK(h.notes->lines().back() == "stop {} by boss");
  h.time.advance(std::chrono::hours{2});
  CHECK(status("GET", "/v1/users/u-42", me) == 401);
}

TEST_CASE("wrong keys from one address leave a valid one from another its tries", "[gateway]") {
  house h{{}, {{"boss", "admin", *gateway::hash_api_key("admin-admin-admin")}}};
  auto ask = [&](const char* from, const std::string& key) {
    http_client client{h.port(), from};
    client.send(request("GET", "/v1/cluster", {}, {}, "Authorization: Bearer " + key + "\r\n"));
    return client.receive().status;
  };
  for (int i = 0; i < 10; ++i)
    REQUIRE(ask("127.0.0.2", "wrong-wrong-wrong-" + std::to_string(i)) == 401);
  CHECK(ask("127.0.0.2", "admin-admin-admin") == 429);
  CHECK(ask("127.0.0.1", "admin-admin-admin") == 200);
  CHECK(ask("127.0.0.2", "admin-admin-admin") == 200); // it was verified meanwhile
}

TEST_CASE("operators may have an address of their own, and then the other refuses them",
          "[gateway]") {
  house h;
  h.config.operators = gateway::listener{"127.0.0.1", 0};
  auto& opened = h.open();
  REQUIRE(opened.port() != opened.operators_port());
  auto status_at = [](std::uint16_t port, std::string_view method, std::string_view path) {
    http_client client{port};
    client.send(request(method, path));
    return client.receive().status;
  };
  for (auto [method, path] : {std::pair{"GET", "/v1/cluster"},
                              {"GET", "/v1/policies"},
                              {"GET", "/v1/audit"},
                              {"POST", "/v1/admin/stop"}}) {
    INFO(path);
    CHECK(status_at(opened.port(), method, path) == 403);
    CHECK(status_at(opened.operators_port(), method, path) == 200);
  }
  for (auto* path : {"/v1/users/u-42", "/metrics", "/readyz"}) {
    INFO(path);
    CHECK(status_at(opened.port(), "GET", path) == 200);
    CHECK(status_at(opened.operators_port(), "GET", path) == 200);
  }
  auto refused = h.ask("POST", "/v1/admin/stop");
  CHECK(code_of(refused) == "forbidden");
  CHECK(refused.body.find("operators' address only") != std::string::npos);
}

TEST_CASE("what is acknowledged comes with the token of what was written", "[gateway]") {
  house h;
  auto one = h.ask("POST", "/v1/events", chat, json_type);
  CHECK(one.headers["candor-session"] == "0.0.1, 5.2.9");
  std::string body;
  for (auto i = 0; i < 300; ++i)
    body += event_line("e-" + std::to_string(i));
  auto many = h.ask("POST", "/v1/events", body, ndjson); // two batches: the later token stands
  CHECK(many.headers["candor-session"] == "0.0.256, 5.2.9");
  auto forgotten = h.ask("DELETE", "/v1/users/u-42/interests/outdoors");
  CHECK(forgotten.status == 200);
  CHECK(forgotten.headers["candor-session"] == "0.3.41");
  auto refused = h.ask("POST", "/v1/users/u-42/opt-out");
  CHECK_FALSE(refused.headers.contains("candor-session"));
}

TEST_CASE("a read is a session's where its token comes along, or where it asks for that",
          "[gateway]") {
  house h;
  auto read = [&](const std::string& path, std::string_view headers) {
    auto answer = h.ask("GET", path, {}, {}, headers);
    CHECK(answer.status == 200);
    return std::pair{h.notes->lines().back(), answer.headers["candor-session"]};
  };
  using said = std::pair<std::string, std::string>;
  const std::string person = "/v1/users/u-42", interests = person + "/interests";
  CHECK(read(interests, "Candor-Session: 1.0.7, 0.2.40\r\n") ==
        said{"read u-42 after 2.40", "0.2.41, 1.0.7"});
  CHECK(read(person, "Candor-Session: 0.2.40,0.2.39 , 0.1.99\r\n") ==
        said{"read u-42 after 2.40", "0.2.41"});
  CHECK(read(person, "Candor-Session: 1.0.7\r\n") == said{"read u-42 after 0.0", "0.0.1, 1.0.7"});
  CHECK(read(person + "?consistency=session", {}) == said{"read u-42 after 0.0", "0.0.1"});
  CHECK(read(person + "?consistency=strong", "Candor-Session: 0.2.40\r\n").first ==
        "read u-42 by loopback");
  CHECK(read(person, "Candor-Session: *\r\n") == said{"read u-42 by loopback", "*"});
  CHECK(read(person, {}).first == "read u-42 by loopback");
}

TEST_CASE("that nobody is known comes with a token too", "[gateway]") {
  house h;
  auto answer = h.ask("GET", "/v1/users/nobody", {}, {}, "Candor-Session: 0.0.4\r\n");
  CHECK(answer.status == 404);
  CHECK(code_of(answer) == "user_not_found");
  CHECK(answer.headers["candor-session"] == "0.0.5");
}

TEST_CASE("a token that no answer gave is refused", "[gateway]") {
  house h;
  for (std::string bad : {"7", "0.1", "0.1.x", "0.1.2.3", "-1.0.0", "0.0.1;", "99999.0.1",
                          "0.0.99999999999999999999999", "0.0.1,,"}) {
    auto answer = h.ask("GET", "/v1/users/u-42", {}, {}, "Candor-Session: " + bad + "\r\n");
    INFO(bad);
    CHECK(answer.status == 400);
    CHECK(code_of(answer) == "bad_value");
  }
  std::string many;
  for (std::size_t i = 0; i <= limits::session_tokens; ++i)
    many += (i ? "," : "") + std::to_string(i) + ".0.1";
  auto answer = h.ask("GET", "/v1/users/u-42", {}, {}, "Candor-Session: " + many + "\r\n");
  CHECK(code_of(answer) == "too_many");
  CHECK(code_of(h.ask("GET", "/v1/users/u-42?consistency=weak")) == "bad_value");
}
