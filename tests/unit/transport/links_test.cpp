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
  std::string large(8 * 1024 * 1024, 'x');
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

} // namespace candor::transport_tests
