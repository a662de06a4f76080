#include <catch2/catch.hpp>

#include "cluster/sharding/node_registry.hpp"

using namespace candor;
using namespace candor::sharding;

namespace {

node_record record_of(node_state state) {
  return {"n1",
          "d-7f",
          "i-93",
          "10.0.0.1:7101",
          "https://n1.example:7100",
          "zone-a",
          state,
          parse_time("2025-12-16T09:30:00.250Z").value()};
}

} // namespace

TEST_CASE("a node's record survives its text form", "[sharding]") {
  auto record = record_of(GENERATE(node_state::active, node_state::draining, node_state::gone));
  record.low_on_disk = GENERATE(false, true);
  using held = std::set<shard_id>;
  record.holds = GENERATE(std::optional<held>{}, held{}, held{0}, held{3, 4, 17, 1023, 65535});
  CHECK(node_record_from_json(to_json(record)) == record);
}

TEST_CASE("a node's record can be read by a person", "[sharding]") {
  CHECK(to_json(record_of(node_state::draining)) ==
        R"({"address":"10.0.0.1:7101","disk_id":"d-7f","http":"https://n1.example:7100",)"
        R"("incarnation":"i-93","name":"n1","started_at":"2025-12-16T09:30:00.250Z",)"
        R"("state":"draining","zone":"zone-a"})");
}

TEST_CASE("what a disk holds is short, and what was not said or cannot be read counts as all",
          "[sharding]") {
  auto record = record_of(node_state::active);
  CHECK(record.may_hold(7)); // as a node of before writes it
  record.holds = {0, 1, 7, 8};
  auto text = to_json(record);
  CHECK(text.find(R"("holds":"381")") != text.npos);
  CHECK(record.may_hold(7));
  CHECK_FALSE(record.may_hold(6));
  CHECK_FALSE(record.may_hold(9));
  for (auto wrong : {R"("holds":"38x")", R"("holds":381)", R"("holds":null)"}) {
    auto other = text;
    other.replace(other.find(R"("holds":"381")"), 13, wrong);
    auto read = node_record_from_json(other);
    REQUIRE(read);
    CHECK(read->may_hold(6));
  }
}

TEST_CASE("what is not a node's record is corrupt", "[sharding]") {
  auto good = to_json(record_of(node_state::active));
  REQUIRE(node_record_from_json(good));
  auto with = [&](std::string_view old, std::string_view now) {
    auto text = good;
    text.replace(text.find(old), old.size(), now);
    return text;
  };
  for (auto& text :
       {std::string{}, std::string{"{}"}, std::string{"[]"}, good.substr(1),
        with(R"("active")", R"("lost")"), with(R"("active")", "1"), with(R"("n1")", R"("")"),
        with(R"("zone")", R"("zones")"), with("2025-12-16T", "yesterday ")}) {
    INFO(text);
    auto record = node_record_from_json(text);
    REQUIRE_FALSE(record);
    CHECK(record.error().code == errc::corrupt);
  }
}

TEST_CASE("desired nodes survive their text form, in their order", "[sharding]") {
  desired_record desired{{"n2", "n1", "n3"}};
  CHECK(to_json(desired) == R"({"nodes":["n2","n1","n3"]})");
  CHECK(desired_record_from_json(to_json(desired)) == desired);
  CHECK(desired_record_from_json(to_json(desired_record{})) == desired_record{});
}

TEST_CASE("what is no list of desired nodes is corrupt", "[sharding]") {
  for (auto text : {"", "{}", "[]", R"({"nodes":"n1"})", R"({"nodes":[1]})", R"({"nodes":{}})"}) {
    INFO(text);
    auto desired = desired_record_from_json(text);
    REQUIRE_FALSE(desired);
    CHECK(desired.error().code == errc::corrupt);
  }
}

TEST_CASE("keys of nodes and of desired nodes are apart from those of shards", "[sharding]") {
  CHECK(node_key("n1") == "nodes/n1");
  CHECK(desired_key(17) == "placement/0017");
  CHECK(desired_key(65535) == "placement/65535");
}
