#include <catch2/catch.hpp>

#include <set>

#include <nlohmann/json.hpp>

#include "storage/model/topic.hpp"
#include "tools/candor-load/generator.hpp"
#include "tools/candor-load/words.hpp"

using namespace candor;
using namespace candor::load;

TEST_CASE("an event of a seed is always the same, whatever was made before it", "[load]") {
  auto at = *parse_time("2026-01-01T00:00:00Z");
  generator one{{.seed = 5}}, again{{.seed = 5}}, other{{.seed = 6}};
  CHECK(one.make(17, at).json == (static_cast<void>(again.make(3, at)), again.make(17, at).json));
  CHECK(one.make(17, at).json != other.make(17, at).json);
}

TEST_CASE("ids differ and persons are within their number", "[load]") {
  generator make{{.seed = 1, .users = 7}};
  std::set<std::string> ids, users;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    auto e = make.make(i, {});
    ids.insert(e.id);
    users.insert(e.user);
  }
  CHECK(ids.size() == 1000);
  CHECK(users.size() == 7);
  CHECK(*users.begin() == "u-0");
  CHECK(*users.rbegin() == "u-6");
}

TEST_CASE("the mix is about what was asked for", "[load]") {
  generator make{{.seed = 2, .ai_parts = 30, .engagement_parts = 70, .sensitive_per_mille = 500}};
  int interactions = 0, sensitive = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    auto e = make.make(i, {});
    auto is_interaction = nlohmann::json::parse(e.json)["kind"] == "ai_interaction";
    interactions += is_interaction;
    sensitive += e.sensitive;
    if (e.sensitive)
      CHECK(is_interaction);
  }
  CHECK(interactions > 1000);
  CHECK(interactions < 1400);
  CHECK(sensitive > interactions * 4 / 10);
  CHECK(sensitive < interactions * 6 / 10);
}

TEST_CASE("every topic of the word lists can be an interest", "[load]") {
  for (const auto& s : subjects)
    CHECK(model::find_topic(s.topic));
}
