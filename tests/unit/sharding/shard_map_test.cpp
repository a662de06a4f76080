#include <catch2/catch.hpp>

#include "cluster/sharding/shard_map.hpp"

using namespace candor;
using namespace candor::sharding;

TEST_CASE("a configuration survives its text form", "[sharding]") {
  shard_config c{7, 3, {"n1", "d1"}, {{"n1", "d1"}, {"n2", "d9"}}, 2, 1};
  CHECK(shard_config_from_json(to_json(c)) == c);
}

TEST_CASE("what is not a configuration is corrupt", "[sharding]") {
  for (auto text : {"", "{}", "[]", R"({"ver":"x"})", R"({"ver":1,"term":1,"primary":{}})"}) {
    auto c = shard_config_from_json(text);
    REQUIRE(!c);
    CHECK(c.error().code == errc::corrupt);
  }
}

TEST_CASE("keys of shards sort as their numbers", "[sharding]") {
  CHECK(config_key(2) < config_key(10));
  CHECK(config_key(999) < config_key(1000));
}
