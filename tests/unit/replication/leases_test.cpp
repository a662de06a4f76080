#include <catch2/catch.hpp>

#include "cluster/replication/leases.hpp"
#include "storage/base/limits.hpp"

using namespace candor;
using namespace candor::replication;
using namespace std::chrono_literals;

namespace {

const member a{"a", "da"}, b{"b", "db"}, c{"c", "dc"};

/// Two nodes whose clocks have nothing in common, and what travels between them.
struct pair_of_nodes {
  leases at_a{a, 1, {8}, {}, 1000ms};
  leases at_b{b, 7, {8}, {}, 50'000ms};

  void beacon(millis sent_at_a, millis received_at_b, millis answered_at_a) {
    for (const auto& datagram : at_a.compose("b", sent_at_a))
      for (const auto& answer : at_b.receive("a", datagram, received_at_b))
        CHECK(at_a.receive("b", answer, answered_at_a).empty());
  }
};

} // namespace

TEST_CASE("a grant holds from the beacon's sending, and is kept to from its receipt", "[leases]") {
  pair_of_nodes n;
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  CHECK_FALSE(n.at_a.held(3, 5, 2000ms));
  n.beacon(2000ms, 51'000ms, 2010ms);
  CHECK(n.at_a.held_until(3, 5) == 2600ms);
  CHECK(n.at_a.granted_by(3, 5, b) == 2600ms);
  CHECK(n.at_a.held(3, 5, 2599ms));
  CHECK_FALSE(n.at_a.held(3, 5, 2600ms));
  CHECK(n.at_b.granted_until(3) == 51'607ms); // 600, a hundredth more, and what clocks cut off
}

TEST_CASE("nobody is granted anything but the primary of the term that is followed", "[leases]") {
  struct row {
    const char* what;
    std::uint64_t leads;
    std::uint64_t follows;
    member primary;
  };
  for (const auto& r : {row{"an older term", 4, 5, a}, row{"a later term", 6, 5, a},
                        row{"another node", 5, 5, c}, row{"another disk", 5, 5, {"a", "wiped"}}}) {
    INFO(r.what);
    pair_of_nodes n;
    n.at_a.lead(3, r.leads, {a, b});
    n.at_b.follow(3, r.follows, r.primary);
    n.beacon(2000ms, 51'000ms, 2010ms);
    CHECK_FALSE(n.at_a.held(3, r.leads, 2011ms));
    CHECK(n.at_b.granted_until(3) == 50'607ms); // the start's own wait
  }
}

TEST_CASE("who withholds grants nothing more, but keeps to what it granted", "[leases]") {
  pair_of_nodes n;
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  n.beacon(2000ms, 51'000ms, 2010ms);
  n.at_b.withhold(3);
  n.beacon(2100ms, 51'100ms, 2110ms);
  CHECK(n.at_a.held_until(3, 5) == 2600ms);
  CHECK(n.at_b.granted_until(3) == 51'607ms);
}

TEST_CASE("a process that starts waits out what the one before may have granted", "[leases]") {
  leases fresh{b, 8, {8}, {}, 60'000ms};
  CHECK(fresh.granted_until(0) == 60'607ms);
  fresh.granted_nothing_before(0);
  CHECK(fresh.granted_until(0) == 0ms);
}

TEST_CASE("a release ends a promise of that term, and of no later one", "[leases]") {
  pair_of_nodes n;
  n.at_b.granted_nothing_before(3);
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  n.beacon(2000ms, 51'000ms, 2010ms);
  n.at_b.release(3, a, 4);
  CHECK(n.at_b.granted_until(3) == 51'607ms);
  n.at_b.release(3, c, 5);
  CHECK(n.at_b.granted_until(3) == 51'607ms);
  n.at_b.release(3, a, 5);
  CHECK(n.at_b.granted_until(3) == 0ms);
  // A beacon from before the release gets nothing.
  n.beacon(2005ms, 51'020ms, 2030ms);
  CHECK(n.at_b.granted_until(3) == 0ms);
}

TEST_CASE("a new term of one's own needs grants of that term", "[leases]") {
  pair_of_nodes n;
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  n.beacon(2000ms, 51'000ms, 2010ms);
  n.at_a.lead(3, 6, {a, b});
  CHECK_FALSE(n.at_a.held(3, 6, 2011ms));
  CHECK_FALSE(n.at_a.held(3, 5, 2011ms));
}

TEST_CASE("who leads alone needs no grant, and who does not lead holds none", "[leases]") {
  leases alone{a, 1, {8}, {}, 0ms};
  CHECK_FALSE(alone.held(2, 1, 1ms));
  alone.lead(2, 1, {a});
  CHECK(alone.held_until(2, 1) == millis::max());
  alone.stop_leading(2);
  CHECK_FALSE(alone.held(2, 1, 1ms));
}

TEST_CASE("an answer to a process before counts for nothing", "[leases]") {
  pair_of_nodes n;
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  auto datagram = n.at_a.compose("b", 2000ms).front();
  auto answer = n.at_b.receive("a", datagram, 51'000ms).front();
  leases again{a, 2, {8}, {}, 1500ms};
  again.lead(3, 5, {a, b});
  again.receive("b", answer, 2010ms);
  CHECK_FALSE(again.held(3, 5, 2011ms));
  CHECK(again.last_echo(b) == 1500ms);
}

TEST_CASE("an echo of another disk does not vouch for the one that was there", "[leases]") {
  pair_of_nodes n;
  n.beacon(2000ms, 51'000ms, 2010ms);
  CHECK(n.at_a.last_echo(b) == 2000ms);
  CHECK(n.at_a.last_echo({"b", "wiped"}) == 1000ms);
}

TEST_CASE("a node tells whom it hears", "[leases]") {
  pair_of_nodes n;
  n.beacon(2000ms, 51'000ms, 2010ms); // so that a hears b
  leases at_c{c, 3, {8}, {}, 9000ms};
  for (const auto& datagram : n.at_a.compose("c", 2100ms))
    at_c.receive("a", datagram, 9500ms);
  CHECK(at_c.heard_by_others("b", 9900ms, 700ms));
  CHECK_FALSE(at_c.heard_by_others("b", 10'300ms, 700ms));
  CHECK_FALSE(at_c.heard_by_others("a", 9900ms, 700ms));
  // It stops telling when it no longer hears it.
  for (const auto& datagram : n.at_a.compose("c", 2900ms))
    at_c.receive("a", datagram, 9950ms);
  CHECK_FALSE(at_c.heard_by_others("b", 9960ms, 700ms));
}

TEST_CASE("a thousand shards fit into datagrams of their size", "[leases]") {
  leases many{a, 1, {1024}, {}, 0ms}, other{b, 2, {1024}, {}, 0ms};
  for (std::uint16_t s = 0; s < 1024; ++s) {
    many.lead(s, 9, {a, b});
    other.follow(s, 9, a);
  }
  auto all = many.compose("b", 100ms);
  CHECK(all.size() > 1);
  for (const auto& datagram : all) {
    CHECK(datagram.size() <= limits::datagram_bytes);
    for (const auto& answer : other.receive("a", datagram, 101ms)) {
      CHECK(answer.size() <= limits::datagram_bytes);
      many.receive("b", answer, 102ms);
    }
  }
  for (std::uint16_t s = 0; s < 1024; ++s)
    CHECK(many.held(s, 9, 103ms));
}

TEST_CASE("what cannot be read is dropped", "[leases]") {
  pair_of_nodes n;
  n.at_a.lead(3, 5, {a, b});
  n.at_b.follow(3, 5, a);
  auto datagram = n.at_a.compose("b", 2000ms).front();
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    INFO(size);
    auto answers = n.at_b.receive("a", std::string_view{datagram}.substr(0, size), 51'000ms);
    // Cut between two shards it is a shorter beacon; anywhere else it is nothing.
    CHECK((answers.empty() || size + 10 == datagram.size()));
  }
  CHECK(n.at_b.receive("a", std::string(limits::datagram_bytes + 1, 'b'), 51'000ms).empty());
  CHECK(n.at_b.receive("a", std::string(100, '\xff'), 51'000ms).empty());
  CHECK(n.at_b.granted_until(3) == 50'607ms);
}
