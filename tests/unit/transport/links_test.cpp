#include <future>

#include "tests/unit/transport/fixture.hpp"

namespace candor::transport_tests {

using transport::refusal;

TEST_CASE("two nodes link, and each asks the other's door", "[transport]") {
  test_node n1{"n1", 11}, n2{"n2", 22};
  introduce(n1, "n1", n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  CHECK(n1.ask("n2", "who") == "n2: who");
  CHECK(n2.ask("n1", "who") == "n1: who");
  CHECK(n1.incarnation_of("n2") == 22);
  CHECK(n2.incarnation_of("n1") == 11);
  auto stats = n1.links().stats();
  CHECK(stats.up == 1);
  CHECK(stats.peers["n2"].up);
  CHECK(stats.peers["n2"].bytes_in > 0);
  CHECK(stats.peers["n2"].bytes_out > 0);
}

TEST_CASE("a large message passes, in both directions at once", "[transport]") {
  test_node n1{"n1"}, n2{"n2"};
  introduce(n1, "n1", n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  std::string large(8 * 1024 * 1024 / bulk_divisor, 'x');
  std::string back;
  std::thread other{[&] { back = n2.ask("n1", large); }};
  auto there = n1.ask("n2", large);
  other.join();
  CHECK(there == "n2: " + large);
  CHECK(back == "n1: " + large);
}

TEST_CASE("a peer that starts anew gets a new link with a door that works", "[transport]") {
  test_node n1{"n1", 1};
  auto n2 = std::make_unique<test_node>("n2", 1);
  introduce(n1, "n1", *n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  for (std::uint64_t life = 2; life < 6; ++life) {
    n2.reset();
    REQUIRE(n1.goes_down("n2"));
    CHECK(n1.ups("n2") == n1.downs("n2"));
    n2 = std::make_unique<test_node>("n2", life);
    introduce(n1, "n1", *n2, "n2");
    REQUIRE(n1.comes_up("n2"));
    REQUIRE(n2->comes_up("n1"));
    CHECK(n1.incarnation_of("n2") == life);
    CHECK(n1.ask("n2", "who") == "n2: who");
    CHECK(n2->ask("n1", "who") == "n1: who");
  }
  CHECK(n1.ups("n2") == 5);
  CHECK(n1.downs("n2") == 4);
}

TEST_CASE("the node that dials starts anew, too", "[transport]") {
  auto n1 = std::make_unique<test_node>("n1", 1);
  test_node n2{"n2", 1};
  introduce(*n1, "n1", n2, "n2");
  REQUIRE(n2.comes_up("n1"));
  n1.reset();
  REQUIRE(n2.goes_down("n1"));
  n1 = std::make_unique<test_node>("n1", 2);
  n1->set_peers({{"n2", n2.at()}});
  REQUIRE(n2.comes_up("n1"));
  CHECK(n2.incarnation_of("n1") == 2);
  CHECK(n2.ask("n1", "who") == "n1: who");
}

TEST_CASE("a connection that is cut is made anew between the same processes", "[transport]") {
  test_node n1{"n1"}, n2{"n2"};
  relay wire{n2.links().port()};
  n1.set_peers({{"n2", wire.at()}});
  n2.set_peers({{"n1", n1.at()}});
  for (std::size_t times = 1; times < 10; ++times) {
    REQUIRE(eventually([&] { return n1.ups("n2") == times && n2.ups("n1") == times; }));
    CHECK(n1.ask("n2", "who") == "n2: who");
    CHECK(n2.ask("n1", "who") == "n1: who");
    wire.cut();
    REQUIRE(eventually([&] { return n1.downs("n2") == times && n2.downs("n1") == times; }));
  }
}

TEST_CASE("a peer that vanishes without a word is dropped, and found again", "[transport]") {
  test_node n1{"n1"}, n2{"n2"};
  relay wire{n2.links().port()};
  n1.set_peers({{"n2", wire.at()}});
  n2.set_peers({{"n1", n1.at()}});
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  wire.freeze();
  CHECK(n1.goes_down("n2"));
  CHECK(n2.goes_down("n1"));
  // A wire that takes connections and says nothing.
  CHECK(n1.refuses(refusal::too_slow));
  wire.thaw();
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  CHECK(n1.ask("n2", "who") == "n2: who");
  CHECK(n1.downs("n2") + 1 == n1.ups("n2"));
}

TEST_CASE("a peer whose actors are stuck is dropped though its network still beats",
          "[transport]") {
  test_node n1{"n1"}, n2{"n2"};
  introduce(n1, "n1", n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  std::promise<void> end;
  auto ended = end.get_future().share();
  for (int i = 0; i < 2; ++i) // as many as its scheduler has threads
    n2.system().spawn([ended] { ended.wait(); });
  CHECK(n1.goes_down("n2"));
  CHECK(n1.last_why("n2") == "its actors do not answer");
  end.set_value();
  CHECK(n1.comes_up("n2"));
  CHECK(eventually([&] { return n1.ask("n2", "who") == "n2: who"; }));
}

TEST_CASE("who is no peer any more loses its link, and gets one when it is again", "[transport]") {
  test_node n1{"n1"}, n2{"n2"};
  introduce(n1, "n1", n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  SECTION("on the side that dials") {
    n1.set_peers({{"n1", n1.at()}});
    CHECK(n1.goes_down("n2"));
    CHECK(n2.goes_down("n1"));
    n1.set_peers({{"n1", n1.at()}, {"n2", n2.at()}});
  }
  SECTION("on the side that is dialed") {
    n2.set_peers({});
    CHECK(n2.goes_down("n1"));
    CHECK(n2.refuses(refusal::unknown_peer));
    CHECK(n1.refuses(refusal::unknown_peer));
    n2.set_peers({{"n1", n1.at()}});
  }
  CHECK(n1.comes_up("n2"));
  CHECK(n2.comes_up("n1"));
}

TEST_CASE("peers are refused as a whole where one is wrong", "[transport]") {
  test_node n1{"n1"};
  CHECK_FALSE(n1.links().set_peers({{"n2", "nowhere"}}));
  CHECK_FALSE(n1.links().set_peers({{"n 2", "127.0.0.1:1"}}));
}

TEST_CASE("links do not start without their files", "[transport]") {
  CHECK_THROWS(test_node("n1", 1, [](auto& o) { o.ca = "/nowhere/ca.pem"; }));
  CHECK_THROWS(test_node("n1", 1, [](auto& o) { o.key = our_authority().key("n2"); }));
  CHECK_THROWS(test_node("n1", 1, [](auto& o) { o.listen = "127.0.0.1"; }));
}

TEST_CASE("stopping leaves no thread and tells of each link that goes", "[transport]") {
  auto threads = [] {
    std::filesystem::directory_iterator tasks{"/proc/self/task"};
    return std::distance(begin(tasks), end(tasks));
  };
  test_node n1{"n1"}, n2{"n2"};
  introduce(n1, "n1", n2, "n2");
  REQUIRE(n1.comes_up("n2"));
  REQUIRE(n2.comes_up("n1"));
  auto before = threads();
  n1.links().stop();
  CHECK(n1.downs("n2") == 1);
  n2.links().stop();
  CHECK(n2.downs("n1") == n2.ups("n1"));
  CHECK(threads() == before - 2);
}

TEST_CASE("stopping does not wait for a peer that says nothing", "[transport]") {
  test_node n1{"n1", 1, [](auto& o) { o.handshake_deadline = 10min; }};
  test_node n2{"n2"};
  relay wire{n2.links().port()};
  wire.freeze();
  n1.set_peers({{"n2", wire.at()}});
  n2.set_peers({{"n1", n1.at()}});
  certified_client silent{n1.links().port(), our_authority(), "n2"};
  plain_client without_tls{n1.links().port()};
  REQUIRE(eventually([&] { return n1.links().stats().half_open == 1; }));
  n1.links().stop();
  CHECK(n1.ups("n2") == 0);
  n1.links().stop();
}

} // namespace candor::transport_tests
