#include "actors/supervision/chronicle.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace candor;
using nlohmann::json;

namespace {

struct written {
  manual_clock time{*parse_time("2025-12-16T09:00:00Z")};
  std::shared_ptr<cluster_events> events = std::make_shared<cluster_events>("life");
  supervision::chronicle book{time, events};
  std::uint64_t told = 0;

  /// The names of what was written since the last call; `last` is the data of the last.
  std::vector<std::string> names() {
    std::vector<std::string> all;
    for (const auto& e : events->after(told).events) {
      all.push_back(e.name);
      last = json::parse(e.data);
      CHECK(last.at("at") == format_time(time.now()));
      told = e.number;
    }
    return all;
  }
  json last;
};

sharding::member on(const std::string& node) {
  return {node, "disk-of-" + node};
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("a change of primary, or of its term, is written down", "[supervision]") {
  written w;
  sharding::shard_config c{1, 1, on("n1"), {on("n1"), on("n2")}, 1};
  w.book.config(7, c);
  CHECK(w.names() == names{"primary_changed"});
  CHECK(w.last.at("before").is_null());
  w.book.config(7, c);
  CHECK(w.names().empty());
  c = {2, 2, on("n2"), {on("n2")}, 1};
  w.book.config(7, c);
  CHECK(w.names() == names{"primary_changed"});
  CHECK(w.last.at("shard") == 7);
  CHECK(w.last.at("primary") == "n2");
  CHECK(w.last.at("before") == "n1");
  CHECK(w.last.at("term") == 2);
  CHECK(w.last.at("in_sync") == json({"n2"}));
  c.version = c.term = 3;
  w.book.config(7, c);
  CHECK(w.names() == names{"primary_changed"});
}

TEST_CASE("who is in sync is written down where it changes, in whatever order", "[supervision]") {
  written w;
  w.book.config(7, {1, 1, on("n1"), {on("n1"), on("n2")}, 1});
  w.names();
  w.book.config(7, {2, 1, on("n1"), {on("n2"), on("n1")}, 1});
  CHECK(w.names().empty());
  w.book.config(7, {3, 1, on("n1"), {on("n1")}, 1});
  CHECK(w.names() == names{"in_sync_changed"});
  CHECK(w.last.at("in_sync") == json({"n1"}));
  CHECK(w.last.at("before") == json({"n2", "n1"}));
  w.book.config(7, {2, 1, on("n1"), {on("n2"), on("n1")}, 1}); // late
  CHECK(w.names().empty());
}

TEST_CASE("a link is told of when it comes and when it goes", "[supervision]") {
  written w;
  w.book.link_down("n2", "never was");
  w.book.link_up("n2");
  w.book.link_up("n2");
  CHECK(w.names() == names{"node_linked"});
  w.book.link_down("n2", "it was closed");
  w.book.link_down("n2", "it was closed");
  CHECK(w.names() == names{"node_lost"});
  CHECK(w.last.at("node") == "n2");
  CHECK(w.last.at("why") == "it was closed");
}

TEST_CASE("a node's start and its draining are written down", "[supervision]") {
  written w;
  sharding::node_record n;
  n.name = "n2";
  n.incarnation = "1";
  w.book.node(n);
  CHECK(w.names() == names{"node_registered"});
  n.state = sharding::node_state::draining;
  w.book.node(n);
  w.book.node(n);
  CHECK(w.names() == names{"node_state_changed"});
  CHECK(w.last.at("state") == "draining");
  CHECK(w.last.at("before") == "active");
  n.low_on_disk = true;
  w.book.node(n);
  w.book.node(n);
  CHECK(w.names() == names{"node_low_on_disk"});
  n.low_on_disk = false;
  w.book.node(n);
  CHECK(w.names() == names{"node_has_room"});
  n.incarnation = "2";
  w.book.node(n);
  CHECK(w.names() == names{"node_registered"});
  CHECK(w.last.at("state") == "draining");
}

TEST_CASE("the coordinator's silence, a new place and a new placement leader are told once",
          "[supervision]") {
  written w;
  w.book.coordinator(true);
  CHECK(w.names().empty());
  w.book.coordinator(false);
  w.book.coordinator(false);
  w.book.coordinator(true);
  CHECK(w.names() == names{"coordinator_lost", "coordinator_back"});
  w.book.wanted(3, {on("n1"), on("n2")});
  CHECK(w.names().empty());
  w.book.wanted(3, {on("n2"), on("n1")});
  CHECK(w.names() == names{"placement_changed"});
  CHECK(w.last.at("nodes") == json({"n2", "n1"}));
  w.book.placement_leader("n1");
  w.book.placement_leader("n1");
  w.book.placement_leader("n2");
  CHECK(w.names() == names{"placement_leader_changed", "placement_leader_changed"});
  CHECK(w.last.at("before") == "n1");
}
