#include <catch2/catch.hpp>

#include "actors/gateway/session.hpp"
#include "storage/base/limits.hpp"

using namespace candor;
using gateway::session_seen;

TEST_CASE("a session's header survives its text", "[gateway]") {
  auto seen = session_seen::parse(" 12.0.345 ,40.3.7");
  REQUIRE(seen);
  CHECK(seen->to_header() == "12.0.345, 40.3.7");
  CHECK(seen->of(40) == session_token{40, 3, 7});
  CHECK(seen->of(1) == session_token{1, 0, 0});
  CHECK_FALSE(seen->is_anything());
  CHECK(session_seen::parse("")->to_header().empty());
}

TEST_CASE("of a shard a session has seen the most that it was told", "[gateway]") {
  session_seen seen;
  seen.add({{3, 1, 5}, {3, 0, 90}, {3, 1, 4}, {4, 0, 0}});
  CHECK(seen.to_header() == "3.1.5");
}

TEST_CASE("more shards than a header names are told as anything", "[gateway]") {
  session_seen seen;
  for (std::size_t i = 0; i < limits::session_tokens; ++i)
    seen.add({static_cast<shard_id>(i), 0, 1});
  CHECK(session_seen::parse(seen.to_header())->to_header() == seen.to_header());
  seen.add({1000, 0, 1});
  CHECK(seen.to_header() == "*");
  CHECK(session_seen::parse("*")->is_anything());
  CHECK(session_seen::parse("1.0.1, *")->is_anything());
}
