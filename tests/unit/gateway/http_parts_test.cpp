#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "actors/gateway/pages.hpp"
#include "actors/gateway/problem.hpp"
#include "actors/gateway/render.hpp"
#include "actors/gateway/target.hpp"

using namespace candor;
using nlohmann::json;

TEST_CASE("a path is cut before it is decoded", "[gateway]") {
  auto t = gateway::parse_target("/v1/users/a%2Fb%C3%BC/interests?import=7&x=a+b%20c");
  REQUIRE(t);
  CHECK(t->segments == std::vector<std::string>{"v1", "users", "a/bü", "interests"});
  CHECK(t->query.at("import") == "7");
  CHECK(t->query.at("x") == "a+b c");
  CHECK(gateway::parse_target("/")->segments.empty());
}

TEST_CASE("a target that is none is refused", "[gateway]") {
  for (auto bad : {"", "*", "http://example.org/", "/a%", "/a%2", "/a%zz", "/a?b=%x", "/a?b=1&b=2"})
    CHECK(gateway::parse_target(bad).error().code == errc::malformed);
}

TEST_CASE("numbers of a query are whole and bounded", "[gateway]") {
  CHECK(gateway::parse_number("limit", "17", 100) == 17u);
  for (auto bad : {"", "-1", "1.5", "101", "1e2", "99999999999999999999999", "7x", " 7"})
    CHECK(gateway::parse_number("limit", bad, 100).error().code == errc::bad_value);
}

TEST_CASE("a media type is compared without case and parameters", "[gateway]") {
  CHECK(gateway::media_type("Application/JSON ; charset=utf-8") == "application/json");
  CHECK(gateway::media_type("").empty());
}

TEST_CASE("only loopback names are taken for this machine", "[gateway]") {
  for (auto mine : {"127.0.0.1:8080", "localhost", "localhost:80", "[::1]:8080", "127.1.2.3",
                    "http://localhost:3000", "https://127.0.0.1"})
    CHECK(gateway::names_loopback(mine));
  for (auto other : {"", "example.org", "http://evil.example", "127.0.0.1.evil.example",
                     "localhost.evil.example:80", "null", "10.0.0.1", "[::2]"})
    CHECK_FALSE(gateway::names_loopback(other));
}

TEST_CASE("a problem says what, why, what to do, and its trace", "[gateway]") {
  auto made = gateway::make_problem({errc::unknown_field, "\"langg\""}, "abc");
  CHECK(made.status == 400);
  CHECK(made.content_type == "application/problem+json");
  auto body = json::parse(made.body);
  CHECK(body["type"] == "https://candor.invalid/problems/unknown_field");
  CHECK(body["title"] == "A field is not known here.");
  CHECK(body["status"] == 400);
  CHECK(body["detail"] == "\"langg\"");
  CHECK(body["code"] == "unknown_field");
  CHECK(body["trace_id"] == "abc");
  CHECK(body.contains("remedy"));
  auto busy = gateway::make_problem({errc::overloaded, {}}, "abc");
  CHECK(busy.headers == std::vector<std::pair<std::string, std::string>>{{"Retry-After", "1"}});
}

TEST_CASE("a caller's trace goes on with a new span", "[gateway]") {
  seeded_rng random{1};
  gateway::exchange x;
  x.head.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  gateway::join_trace(x, random);
  CHECK(x.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(x.traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
  CHECK(x.traceparent.find("00f067aa0ba902b7") == std::string::npos);
  CHECK(x.traceparent.ends_with("-01"));
}

TEST_CASE("a trace that is not well-formed is not taken over", "[gateway]") {
  seeded_rng random{1};
  for (auto bad : {"", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
                   "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                   "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                   "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"}) {
    gateway::exchange x;
    x.head.traceparent = bad;
    gateway::join_trace(x, random);
    CHECK(x.trace_id.size() == 32);
    CHECK(x.trace_id != "4bf92f3577b34da6a3ce929d0e0e4736");
    CHECK(x.traceparent == "00-" + x.trace_id + x.traceparent.substr(35));
    CHECK(x.traceparent.size() == 55);
  }
}

TEST_CASE("a verdict line is JSON whatever the id is", "[gateway]") {
  std::string line;
  gateway::append_verdict(line, R"(a"b\c)", model::verdict::accepted(), 3);
  CHECK(line == R"({"id":"a\"b\\c","status":"accepted"})");
  line.clear();
  gateway::append_verdict(line, "", model::verdict::invalid("malformed", "tab\there"), 3);
  CHECK(json::parse(line) == json{{"id", nullptr},
                                  {"status", "invalid"},
                                  {"reason", "malformed"},
                                  {"detail", "tab\there"},
                                  {"line", 3}});
  line.clear();
  gateway::append_verdict(line, "e", model::verdict::withheld(model::reason::not_notified), 3);
  CHECK(line == R"({"id":"e","status":"withheld","reason":"not_notified"})");
}

TEST_CASE("the interface's description travels with the binary", "[gateway]") {
  CHECK(gateway::openapi_yaml().starts_with("openapi: 3.1"));
  CHECK(gateway::front_page().starts_with("<!doctype html>"));
}
