#include <catch2/catch.hpp>

#include "tools/http_client/http_client.hpp"

using namespace candor;
using namespace candor::http_client;

TEST_CASE("a problem comes back as the error that the node meant", "[http_client]") {
  response refused;
  refused.status = 404;
  refused.content_type = "application/problem+json";
  refused.body =
      R"({"type":"x","title":"No such user is known.","status":404,"code":"user_not_found",
                     "detail":"more","remedy":"Make one.","trace_id":"abc"})";
  auto why = to_failure(refused);
  CHECK(why.why.code == errc::user_not_found);
  CHECK(why.why.detail == "more");
  CHECK(why.sentence == "No such user is known.");
  CHECK(why.remedy == "Make one.");
  CHECK(why.trace_id == "abc");
  CHECK(why.status == 404);
}

TEST_CASE("what is no problem of Candor's is said to be none", "[http_client]") {
  for (auto body : {"", "<html>", "[]", R"({"code":7})", R"({"code":"of_a_newer_node"})"}) {
    response refused;
    refused.status = 502;
    refused.body = body;
    auto why = to_failure(refused);
    CHECK(why.why.code == errc::internal);
    CHECK(why.why.detail.find("502") != std::string::npos);
  }
}

TEST_CASE("an id is one segment of a path, whatever it holds", "[http_client]") {
  CHECK(escape("u-42_x.y~z") == "u-42_x.y~z");
  CHECK(escape("a/b c?d#e%") == "a%2Fb%20c%3Fd%23e%25");
  CHECK(escape("ü") == "%C3%BC");
  CHECK(escape("..") == "%2E%2E");
  CHECK(escape(".") == "%2E");
  CHECK(escape("...") == "...");
}

TEST_CASE("nobody at an address is said as such", "[http_client]") {
  client node{{.url = "http://127.0.0.1:9/", .key = {}, .ca_file = {}, .timeout = millis{2000}}};
  auto answer = node.send("GET", "/livez");
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == errc::unavailable);
  CHECK(answer.error().detail.find("127.0.0.1:9") != std::string::npos);
}

TEST_CASE("what is no URL is no node", "[http_client]") {
  for (auto url : {"ftp://127.0.0.1", "file:///etc"}) {
    client node{{.url = url, .key = {}, .ca_file = {}, .timeout = millis{2000}}};
    auto answer = node.send("GET", "/livez");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == errc::bad_value);
  }
}
