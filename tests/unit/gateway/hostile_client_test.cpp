#include <thread>

#include <nlohmann/json.hpp>

#include "storage/base/limits.hpp"
#include "tests/unit/gateway/house.hpp"

using namespace candor;
using namespace candor::gateway_tests;
using nlohmann::json;

namespace {

constexpr auto json_type = "application/json";
constexpr auto ndjson = "application/x-ndjson";

std::string code_of(const response& r) {
  CAPTURE(r.status, r.body);
  return json::parse(r.body)["code"];
}

} // namespace

TEST_CASE("a body over its limit is refused before it is read", "[gateway]") {
  house h;
  http_client client{h.port()};
  client.send(
      "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
      "Content-Length: 10485760\r\n\r\n");
  auto r = client.receive();
  CHECK(r.status == 413);
  CHECK(code_of(r) == "too_large");
  CHECK(client.ended());
}

TEST_CASE("a client that sends ten megabytes regardless still reads the refusal", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/events", std::string(10 << 20, 'x'), ndjson);
  CHECK(r.status == 413);
  CHECK(code_of(r) == "too_large");
  CHECK(h.ask("GET", "/livez").status == 200);
}

TEST_CASE("a chunked body is bounded while it is read", "[gateway]") {
  house h;
  http_client client{h.port()};
  client.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              "Transfer-Encoding: chunked\r\n\r\n");
  std::string piece(64 * 1024, 'x');
  auto chunk = "10000\r\n" + piece + "\r\n";
  for (int i = 0; i < 6 && client.send(chunk); ++i) {
  }
  CHECK(client.receive().status == 413);
}

TEST_CASE("a chunked body within its limit is read", "[gateway]") {
  house h;
  http_client client{h.port()};
  client.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              "Transfer-Encoding: chunked\r\n\r\n");
  char size[8];
  std::snprintf(size, sizeof size, "%zx\r\n", chat.size());
  client.send(size);
  client.send(chat.substr(0, 50));
  std::this_thread::sleep_for(20ms);
  client.send(chat.substr(50) + "\r\n0\r\n\r\n");
  CHECK(client.receive().status == 200);
}

TEST_CASE("a client that asks first is told to go on", "[gateway]") {
  house h;
  http_client client{h.port()};
  auto whole = request("POST", "/v1/events", chat, json_type, "Expect: 100-continue\r\n");
  client.send(whole.substr(0, whole.size() - chat.size()));
  CHECK(client.receive().status == 100);
  client.send(chat);
  CHECK(client.receive().status == 200);
}

TEST_CASE("many requests go over one connection", "[gateway]") {
  house h;
  http_client client{h.port()};
  for (int i = 0; i < 50; ++i) {
    client.send(request("POST", "/v1/events", chat, json_type));
    REQUIRE(client.receive().status == 200);
  }
  // Also without waiting for the answers.
  client.send(request("GET", "/livez") + request("POST", "/v1/events", chat, json_type) +
              request("GET", "/readyz", {}, {}, "Connection: close\r\n"));
  CHECK(client.receive().body == "ok\n");
  CHECK(json::parse(client.receive().body)["status"] == "accepted");
  CHECK(client.receive().body == "ready\n");
  CHECK(client.ended());
}

TEST_CASE("what is not HTTP is refused", "[gateway]") {
  house h;
  for (auto text : {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
                    "POST /v1/events HTTP/1.1\r\nContent-Length: x\r\n\r\n"}) {
    http_client client{h.port()};
    client.send(text);
    auto r = client.receive();
    CAPTURE(text);
    CHECK(r.status == 400);
    CHECK(client.ended());
  }
}

TEST_CASE("a head over its limit is refused", "[gateway]") {
  house h;
  auto r = h.ask("GET", "/livez", {}, {}, "X-Long: " + std::string(20'000, 'x') + "\r\n");
  CHECK(r.status == 431);
  CHECK(code_of(r) == "too_large");
}

TEST_CASE("who sends a head too slowly is told so, and sent away", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.header_deadline = 150ms;
  house h{bounds};
  http_client client{h.port()};
  client.send("GET /livez HTTP/1.1\r\nHost:");
  auto r = client.receive();
  CHECK(r.status == 408);
  CHECK(code_of(r) == "request_timeout");
  CHECK(client.ended());
}

TEST_CASE("a head that trickles has no more time than one that stalls", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.header_deadline = 200ms;
  house h{bounds};
  http_client client{h.port()};
  auto started = std::chrono::steady_clock::now();
  auto open = client.send("GET /livez HTTP/1.1\r\n");
  for (int i = 0; open && i < 100; ++i) {
    open = client.send("X: y\r\n");
    std::this_thread::sleep_for(20ms);
    if (std::chrono::steady_clock::now() - started > 400ms)
      break;
  }
  CHECK(client.receive().status == 408);
}

TEST_CASE("who sends a body too slowly is told so, and sent away", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.body_deadline = 150ms;
  house h{bounds};
  http_client client{h.port()};
  client.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              "Content-Length: 100\r\n\r\n{\"id\"");
  auto r = client.receive();
  CHECK(r.status == 408);
  CHECK(code_of(r) == "request_timeout");
  CHECK(client.ended());
}

TEST_CASE("an idle connection is closed without a word", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.idle_deadline = 150ms;
  house h{bounds};
  http_client client{h.port()};
  client.send(request("GET", "/livez"));
  CHECK(client.receive().status == 200);
  CHECK(client.receive().status == 0);
  CHECK(client.ended());
}

TEST_CASE("slow clients leave room for others", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.header_deadline = 1000ms;
  house h{bounds};
  auto port = h.port();
  std::vector<std::unique_ptr<http_client>> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(std::make_unique<http_client>(port));
    slow.back()->send("POST /v1/events HTTP/1.1\r\nHos");
  }
  for (int i = 0; i < 20; ++i)
    CHECK(h.ask("POST", "/v1/events", chat, json_type).status == 200);
  for (auto& client : slow)
    CHECK(client->receive().status == 408);
}

TEST_CASE("connections over the limit are told to come again", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.connections = 3;
  house h{bounds};
  auto port = h.port();
  std::vector<std::unique_ptr<http_client>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<http_client>(port));
    held.back()->send(request("GET", "/livez"));
    CHECK(held.back()->receive().status == 200);
  }
  {
    http_client fourth{port};
    auto r = fourth.receive();
    CHECK(r.status == 503);
    CHECK(r.headers["retry-after"] == "1");
    CHECK(code_of(r) == "overloaded");
    CHECK(fourth.ended());
  }
  held.pop_back();
  auto served = false;
  for (int i = 0; i < 100 && !served; ++i) {
    served = h.ask("GET", "/livez").status == 200;
    std::this_thread::sleep_for(10ms);
  }
  CHECK(served);
}

TEST_CASE("bodies together have a bounded part of the memory", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.bodies_in_memory_bytes = 64 * 1024;
  house h{bounds};
  auto port = h.port();
  http_client greedy{port};
  greedy.send(
      "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
      "Content-Length: 100000\r\n\r\n" +
      std::string(48 * 1024, ' '));
  std::this_thread::sleep_for(100ms);
  auto second = h.ask("POST", "/v1/events", std::string(40 * 1024, ' '), ndjson);
  CHECK(second.status == 429);
  CHECK(code_of(second) == "overloaded");
  greedy.send(std::string(100000 - 48 * 1024, ' '));
  CHECK(greedy.receive().status == 429);
  CHECK(h.ask("POST", "/v1/events", chat, json_type).status == 200);
}

TEST_CASE("a client that goes away in the middle harms nobody", "[gateway]") {
  house h;
  auto port = h.port();
  for (int i = 0; i < 50; ++i) {
    http_client client{port};
    client.send(request("POST", "/v1/events", chat, json_type).substr(0, 60 + i));
  }
  for (int i = 0; i < 20; ++i) {
    http_client client{port};
    client.send(request("GET", "/v1/users/u-42"));
  }
  CHECK(h.ask("GET", "/v1/users/u-42").status == 200);
}

TEST_CASE("a gateway stops with its running requests answered", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.room_deadline = 300ms;
  house h{bounds};
  auto& gateway = h.open();
  http_client idle{gateway.port()}, busy{gateway.port()};
  idle.send(request("GET", "/livez"));
  CHECK(idle.receive().status == 200);
  busy.send(request("GET", "/v1/users/slow"));
  std::this_thread::sleep_for(100ms);
  auto port = gateway.port();
  gateway.stop();
  CHECK(busy.receive().status == 504);
  CHECK(idle.ended());
  CHECK_FALSE(http_client{port}.connected());
}

TEST_CASE("both addresses of a gateway stop at once, not one after the other", "[gateway]") {
  gateway::gateway_bounds bounds;
  bounds.room_deadline = 4s;
  house h{bounds};
  h.config.operators = gateway::listener{"127.0.0.1", 0};
  auto& gateway = h.open();
  http_client busy{gateway.port()}, idle{gateway.operators_port()};
  idle.send(request("GET", "/livez"));
  CHECK(idle.receive().status == 200);
  busy.send(request("GET", "/v1/users/slow"));
  while (h.notes->lines().empty())
    std::this_thread::sleep_for(5ms);
  std::thread stopping{[&] { gateway.stop(); }};
  CHECK(idle.ended(60'000));
  CHECK(busy.receive(false, 1).status == 0); // its room has not given up yet
  stopping.join();
  CHECK(busy.receive().status == 504);
}

TEST_CASE("an address that is taken is named", "[gateway]") {
  house first, second;
  second.config.http.port = first.port();
  auto refused = second.try_start();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::io_failed);
  CHECK_THAT(refused.error().detail, Catch::Matchers::Contains(std::to_string(first.port())));
}

TEST_CASE("nothing listens beyond this machine without TLS and keys", "[gateway]") {
  house h;
  auto refusal = [&](const std::string& address) {
    h.config.http.address = address;
    auto refused = h.try_start();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::config_invalid);
    return refused.error().detail;
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(refusal("0.0.0.0"), Contains("TLS is required"));
  CHECK_THAT(refusal("::"), Contains("TLS is required"));
  CHECK_THAT(refusal("example.org"), Contains("not an IP address"));
  h.config.tls_certificate = "/nowhere/certificate.pem";
  CHECK_THAT(refusal("0.0.0.0"), Contains("both a certificate and a key"));
  h.config.tls_key = "/nowhere/key.pem";
  CHECK_THAT(refusal("0.0.0.0"), Contains("/nowhere/certificate.pem"));
}
