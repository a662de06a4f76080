#include "cluster/replication/leases.hpp"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "cluster/transport/beacons.hpp"
#include "storage/base/clock.hpp"

using namespace candor;
using namespace candor::replication;
using namespace std::chrono_literals;

namespace {

/// Leases over real beacons, as a node has them.
struct lease_node {
  explicit lease_node(const std::string& name)
    : promises{{name, "disk-" + name}, 1, {1}, {}, wall->monotonic()} {
    transport::beacon_options options;
    options.name = name;
    options.incarnation = 1;
    options.cluster = "test";
    options.listen = "127.0.0.1:0";
    options.secret.fill(1);
    transport::beacon_callbacks callbacks;
    callbacks.compose = [this](const std::string& peer, millis now) {
      return promises.compose(peer, now);
    };
    callbacks.receive = [this](const std::string& peer, std::uint64_t, std::string_view payload,
                               millis now) { return promises.receive(peer, payload, now); };
    auto started = transport::beacons::start(*wall, options, callbacks);
    REQUIRE(started);
    beacons = std::move(*started);
  }
  ~lease_node() { beacons->stop(); }
  std::string at() const { return "127.0.0.1:" + std::to_string(beacons->port()); }

  std::unique_ptr<candor::clock> wall = make_system_clock();
  leases promises;
  std::unique_ptr<transport::beacons> beacons;
};

} // namespace

TEST_CASE("with more threads than cores a lease is still renewed, and never outlives its promise",
          "[replication]") {
  lease_node leader{"a"}, follower{"b"};
  REQUIRE(leader.beacons->set_peers({{"b", follower.at()}}));
  REQUIRE(follower.beacons->set_peers({{"a", leader.at()}}));
  const member a{"a", "disk-a"}, b{"b", "disk-b"};
  follower.promises.follow(0, 1, a);
  leader.promises.lead(0, 1, {a, b});

  std::atomic<bool> over{false};
  std::vector<std::thread> load;
  for (unsigned i = 0; i < 4 * std::max(2u, std::thread::hardware_concurrency()); ++i)
    load.emplace_back([&over] {
      for (volatile std::uint64_t n = 0; !over;)
        n = n + 1;
    });
  int renewals = 0;
  auto last = millis::min();
  bool outlived = false;
  for (auto until = std::chrono::steady_clock::now() + 120s;
       renewals < 20 && std::chrono::steady_clock::now() < until;) {
    auto held = leader.promises.held_until(0, 1); // first: what is promised only grows
    outlived |= held > follower.promises.granted_until(0);
    renewals += held > last;
    last = std::max(last, held);
    std::this_thread::sleep_for(1ms);
  }
  over = true;
  for (auto& t : load)
    t.join();
  CHECK(renewals >= 20);
  CHECK_FALSE(outlived);
}
