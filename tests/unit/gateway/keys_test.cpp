#include <catch2/catch.hpp>

#include "actors/gateway/keys.hpp"
#include "storage/base/limits.hpp"

using namespace candor;
using namespace std::chrono_literals;

namespace {

const auto now = *parse_time("2025-12-20T12:00:00Z");
const std::string secret(32, 's');
const auto person = *user_id::parse("u-42");
const std::string peer = "192.0.2.1";

std::unique_ptr<gateway::key_ring> ring_of(std::string key, std::string role) {
  auto made = gateway::key_ring::make({{"k", role, *gateway::hash_api_key(key)}}, secret);
  REQUIRE(made);
  return std::move(*made);
}

} // namespace

TEST_CASE("a key is known after it was verified once", "[gateway]") {
  auto ring = ring_of("correct horse battery", "ingest");
  auto before = ring->recall("correct horse battery", now);
  REQUIRE(before);
  CHECK_FALSE(before->has_value());
  auto who = ring->verify("correct horse battery", peer, 0ms);
  REQUIRE(who);
  CHECK(who->name == "k");
  CHECK(who->role == gateway::role::ingest);
  auto after = ring->recall("correct horse battery", now);
  REQUIRE((after && after->has_value()));
  CHECK((*after)->name == "k");
}

TEST_CASE("wrong keys are refused, and tried at a bounded rate", "[gateway]") {
  auto ring = ring_of("correct horse battery", "admin");
  CHECK(ring->recall("short", now).error().code == errc::unauthenticated);
  for (int i = 0; i < static_cast<int>(limits::key_tries_burst); ++i)
    CHECK(ring->verify("a wrong key, number " + std::to_string(i), peer, 0ms).error().code ==
          errc::unauthenticated);
  CHECK(ring->verify("correct horse battery", peer, 0ms).error().code == errc::overloaded);
  CHECK(ring->verify("correct horse battery", peer, 1000ms).has_value());
  CHECK(ring->verify("a wrong key again ......", peer, 1001ms).error().code ==
        errc::unauthenticated);
  CHECK(ring->verify("a wrong key again ......", peer, 1002ms).error().code == errc::overloaded);
}

TEST_CASE("who tries wrong keys uses up nobody else's tries", "[gateway]") {
  auto ring = ring_of("correct horse battery", "admin");
  while (ring->verify("a wrong key, again and again", peer, 0ms).error().code != errc::overloaded) {
  }
  CHECK(ring->verify("correct horse battery", "192.0.2.2", 0ms).has_value());
  // It is known now, and whoever brings it tries nothing.
  CHECK(ring->verify("correct horse battery", peer, 0ms).has_value());
}

TEST_CASE("peers beyond the number that is kept share their tries, until others had time to pass",
          "[gateway]") {
  auto ring = *gateway::key_ring::make({}, secret); // without a key a try costs nothing
  auto tried = [&](const std::string& by, millis when) {
    return ring->verify("a wrong key, whose ever it is", by, when).error().code;
  };
  for (int i = 0; i < static_cast<int>(limits::key_tries_peers); ++i)
    CHECK(tried("kept " + std::to_string(i), 0ms) == errc::unauthenticated);
  for (int i = 0; i < static_cast<int>(limits::key_tries_burst); ++i)
    CHECK(tried("one too many " + std::to_string(i), 0ms) == errc::unauthenticated);
  CHECK(tried("one too many", 0ms) == errc::overloaded);
  CHECK(tried("kept 7", 0ms) == errc::unauthenticated);
  // After a second all but the seventh have their whole tries again, and are not kept.
  for (int i = 0; i < static_cast<int>(limits::key_tries_burst); ++i)
    CHECK(tried("a new one", 1000ms) == errc::unauthenticated);
  CHECK(tried("a new one", 1000ms) == errc::overloaded);
}

TEST_CASE("a user token names one person until it expires", "[gateway]") {
  auto ring = ring_of("correct horse battery", "admin");
  auto token = gateway::make_user_token(secret, person, now + 1h);
  REQUIRE(token);
  auto who = ring->recall(*token, now);
  REQUIRE((who && who->has_value()));
  CHECK((*who)->role == gateway::role::user);
  CHECK((*who)->user == "u-42");
  CHECK((*who)->name.find("42") == std::string::npos);
  CHECK(ring->recall(*token, now + 1h).error().code == errc::unauthenticated);
}

TEST_CASE("a user token is what openapi.yaml says, so that platforms can sign them", "[gateway]") {
  // Made by the lines of Python that stand there, for u-42 until 2025-12-20T13:00:00Z.
  CHECK(*gateway::make_user_token(secret, person, now + 1h) ==
        "u.AAABmzvYdIB1LTQyoOqyQig9bu4TiHY0lQhN2jk-B8c7VOYfRUQJOM3eRyg");
}

TEST_CASE("a user token that was altered or signed by another does not hold", "[gateway]") {
  auto ring = ring_of("correct horse battery", "admin");
  auto token = *gateway::make_user_token(secret, person, now + 1h);
  for (std::size_t i = 2; i < token.size(); ++i) {
    auto altered = token;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    CAPTURE(i);
    CHECK(ring->recall(altered, now).error().code == errc::unauthenticated);
  }
  auto other = *gateway::make_user_token(std::string(32, 'x'), person, now + 1h);
  CHECK(ring->recall(other, now).error().code == errc::unauthenticated);
  CHECK(ring->recall("u.", now).error().code == errc::unauthenticated);
  CHECK(ring->recall("u.!!!", now).error().code == errc::unauthenticated);
}

TEST_CASE("without a secret no token is valid", "[gateway]") {
  auto ring = *gateway::key_ring::make({}, {});
  CHECK(ring->is_empty());
  auto token = *gateway::make_user_token(secret, person, now + 1h);
  CHECK(ring->recall(token, now).error().code == errc::unauthenticated);
  CHECK(gateway::make_user_token("short", person, now).error().code == errc::bad_value);
}

TEST_CASE("keys that cannot be meant are refused at the start", "[gateway]") {
  auto hash = *gateway::hash_api_key("correct horse battery");
  auto refusal = [&](std::string role, std::string with_hash) {
    auto made = gateway::key_ring::make({{"k", role, with_hash}}, secret);
    REQUIRE_FALSE(made);
    return made.error().code;
  };
  CHECK(refusal("boss", hash) == errc::config_invalid);
  CHECK(refusal("user", hash) == errc::config_invalid);
  CHECK(refusal("admin", "correct horse battery") == errc::config_invalid);
  CHECK(refusal("admin", "$argon2id$nonsense") == errc::config_invalid);
  CHECK(gateway::key_ring::make({}, "short").error().code == errc::config_invalid);
  CHECK(gateway::hash_api_key("short").error().code == errc::bad_value);
}

TEST_CASE("who may have a key is one list, and the role user is not on it", "[gateway]") {
  using gateway::role;
  for (auto r :
       {role::ingest, role::decision, role::editor, role::admin, role::auditor, role::monitor})
    CHECK(*gateway::find_key_role(to_string(r)) == r);
  auto said = gateway::find_key_role("boss").error().detail;
  CHECK(said == "role is ingest, decision, editor, admin, auditor or monitor");
  CHECK_THAT(gateway::find_key_role("user").error().detail,
             Catch::Contains(said) && Catch::Contains("candorctl key user-token"));
}
