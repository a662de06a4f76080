#include <catch2/catch.hpp>

#include "tools/candorctl/cluster_view.hpp"

using namespace candor::ctl;
using json = nlohmann::ordered_json;

namespace {

json node(const std::string& name, const std::string& state = "active") {
  return {{"name", name}, {"zone", "a"},  {"url", "http://" + name}, {"state", state}, {"led", 1},
          {"held", 2},    {"in_sync", 2}, {"last_seen_ms", 400}};
}

json shard(unsigned number, const std::string& primary, std::vector<std::string> in_sync) {
  return {{"shard", number},    {"term", 3},          {"version", 7},
          {"primary", primary}, {"in_sync", in_sync}, {"wanted", {"node-1", "node-2", "node-3"}},
          {"serving", true},    {"seq", 10}};
}

json healthy() {
  std::vector<std::string> all = {"node-1", "node-2", "node-3"};
  return {{"cluster", "c"},
          {"node", "node-1"},
          {"version", "0.1.0"},
          {"nodes", {node("node-1"), node("node-2"), node("node-3")}},
          {"shards", {shard(0, "node-1", all), shard(1, "node-2", all), shard(2, "node-3", all)}},
          {"coordinator", {{"reachable", true}, {"endpoints", {"https://127.0.0.1:2379"}}}},
          {"healthy", true},
          {"problems", json::array()}};
}

/// The text that stands beside a name.
std::string value_of(const table& rows, const std::string& name) {
  for (const auto& r : rows)
    if (r.front() == name)
      return r.at(1);
  return "(nothing)";
}

} // namespace

TEST_CASE("a cluster with all its nodes, primaries and copies is healthy", "[candorctl]") {
  auto c = healthy();
  CHECK(find_problems(c).empty());
  c["nodes"][1]["state"] = "draining";
  CHECK(find_problems(c).empty());
}

TEST_CASE("what is wrong with a cluster is said in a sentence", "[candorctl]") {
  struct row {
    const char* what;
    std::function<void(json&)> harm;
    const char* sentence;
  };
  for (const auto& r : std::vector<row>{
           {"a node is gone", [](json& c) { c["nodes"][2] = node("node-3", "down"); },
            "node-3 is down, last seen 0.4 s ago"},
           {"a disk is full", [](json& c) { c["nodes"][1]["low_on_disk"] = true; },
            "node-2 is low on disk: it takes no new data"},
           {"nobody leads", [](json& c) { c["shards"][1]["primary"] = nullptr; },
            "shard 1 has no primary"},
           {"the leader has no name", [](json& c) { c["shards"][1]["primary"] = ""; },
            "shard 1 has no primary"},
           {"it does not serve", [](json& c) { c["shards"][1]["serving"] = false; },
            "shard 1 has no primary"},
           {"a copy is behind",
            [](json& c) {
              c["shards"][2]["in_sync"] = {"node-3", "node-1"};
            },
            "shard 2 has too few copies in sync"},
           {"etcd is away", [](json& c) { c["coordinator"]["reachable"] = false; },
            "the coordinator does not answer: shards go on, but none can change its primary"},
           {"the node knows more", [](json& c) { c["problems"] = {"the disk is nearly full"}; },
            "the disk is nearly full"},
           {"the node says only that", [](json& c) { c["healthy"] = false; },
            "node-1 says that the cluster is not healthy"},
       }) {
    INFO(r.what);
    auto c = healthy();
    r.harm(c);
    CHECK(find_problems(c) == std::vector<std::string>{r.sentence});
    CHECK(value_of(summary_rows(c), "health") == "1 problem");
  }
}

TEST_CASE("many shards in trouble are one sentence, and none is named twice", "[candorctl]") {
  auto c = healthy();
  for (auto& s : c["shards"]) {
    s["primary"] = nullptr;
    s["in_sync"] = json::array();
  }
  CHECK(find_problems(c) == std::vector<std::string>{"3 shards have no primary: 0-2"});
  c["problems"] = find_problems(c);
  CHECK(find_problems(c).size() == 1);
}

TEST_CASE("two nodes cannot hold three copies, and that is no fault", "[candorctl]") {
  auto c = healthy();
  c["nodes"].erase(2);
  for (auto& s : c["shards"])
    s["in_sync"] = {"node-1", "node-2"};
  CHECK(find_problems(c).empty());
  c["shards"][0]["in_sync"] = {"node-1"};
  CHECK(find_problems(c).size() == 1);
}

TEST_CASE("a node alone has no faults of a cluster", "[candorctl]") {
  auto c = json::parse(R"({"node":"node-1","version":"0.1.0","now":"2026-01-01T00:00:00Z",
    "clock":"system","data":{"folder":"/d","bytes":1000000,"free_bytes":2000000000},
    "shards":[{"shard":0,"term":1,"seq":5,"policies":["p"],"audit":{"entries":3},
               "imports_open":[]}]})");
  CHECK(find_problems(c).empty());
  CHECK(node_rows(c).size() == 1);
  auto rows = summary_rows(c);
  CHECK(value_of(rows, "cluster") == "one node alone");
  CHECK(value_of(rows, "etcd") == "(nothing)");
  CHECK(value_of(rows, "policies") == "p");
  CHECK_THAT(value_of(rows, "shards"),
             Catch::StartsWith("1, ") && Catch::Contains("5 log entries, 3 audit entries"));
}

TEST_CASE("a disk is judged by the node whose it is", "[candorctl]") {
  auto data = json::parse(R"({"folder":"/d","bytes":1000000,"free_bytes":2000000000,
    "low_bytes":268435456,"low_on_disk":false})");
  CHECK(disk_line(data) == "0.001 GB, 2.000 GB free (its mark: 0.268 GB)");
  data["low_on_disk"] = true; // above its mark still, until a quarter more is free
  CHECK_THAT(disk_line(data), Catch::EndsWith("NO NEW DATA IS TAKEN"));
  CHECK(disk_line(json::parse(R"({"bytes":0,"free_bytes":5000000,"low_bytes":0})")) ==
        "0.000 GB, 0.005 GB free");
}

TEST_CASE("what is no state of a cluster is laid out without falling over", "[candorctl]") {
  for (auto text : {"{}", "null", "[]", R"({"nodes":7,"shards":[3,null,{}],"coordinator":[]})",
                    R"({"nodes":[null],"shards":[{"in_sync":3,"wanted":{}}],"problems":"x"})"}) {
    INFO(text);
    auto c = json::parse(text);
    CHECK_NOTHROW(disk_line(c));
    CHECK_NOTHROW(find_problems(c));
    CHECK_NOTHROW(summary_rows(c));
    CHECK_NOTHROW(node_rows(c));
    CHECK_NOTHROW(shard_rows(c, true));
  }
}

TEST_CASE("nodes and shards are laid out in columns", "[candorctl]") {
  auto c = healthy();
  CHECK(node_rows(c)[1] ==
        std::vector<std::string>{"node-1", "a", "active", "1", "2", "2", "0.4 s", "http://node-1"});
  CHECK(shard_rows(c, false)[2] == std::vector<std::string>{"1", "node-2", "node-1, node-2, node-3",
                                                            "node-1, node-2, node-3", "3", "7",
                                                            "10", "yes"});
  CHECK(shard_rows(c, true).size() == 1);
  c["shards"][1]["serving"] = false;
  CHECK(shard_rows(c, true).size() == 2);
  CHECK(shards_led(c, "node-2") == 1);
  CHECK_FALSE(shards_led(c, "node-9"));
}

TEST_CASE("numbers in a row are a range, and many ranges are cut off", "[candorctl]") {
  CHECK(ranges({}) == "");
  CHECK(ranges({4}) == "4");
  CHECK(ranges({0, 1, 2, 7, 9, 10}) == "0-2, 7, 9-10");
  CHECK(ranges({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}) == "0, 2, 4, 6, 8, 10, 12, 14, …");
}

TEST_CASE("an age is said as a person would", "[candorctl]") {
  CHECK(age(0) == "0.0 s");
  CHECK(age(9'949) == "9.9 s");
  CHECK(age(12'400) == "12 s");
  CHECK(age(300'000) == "5 min");
  CHECK(age(7'200'000) == "2 h");
}

TEST_CASE("an event is a line", "[candorctl]") {
  auto data = json::parse(
      R"({"at":"2026-01-01T00:00:00Z","shard":3,"primary":"node-2","in_sync":["a","b"]})");
  CHECK(event_line("failover", data) ==
        "2026-01-01T00:00:00Z  failover  shard=3  primary=node-2  in_sync=a, b");
  CHECK(event_line("message", "text") == "message  text");
}
