#include "cluster/transport/beacons.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/transport/fixture.hpp"

namespace candor::transport_tests {

using transport::beacon_loss;
using transport::beacon_seal;
using transport::cluster_secret;

namespace {

cluster_secret secret_of(unsigned char c) {
  cluster_secret s;
  s.fill(c);
  return s;
}

/// Says "<name> to <peer>" in each round and answers it once.
class beacon_node {
public:
  explicit beacon_node(std::string name, std::uint64_t incarnation = 1, unsigned char secret = 1,
                       const std::string& cluster = "test")
    : clock_{make_system_clock()} {
    transport::beacon_options options;
    options.name = name;
    options.incarnation = incarnation;
    options.cluster = cluster;
    options.listen = "127.0.0.1:0";
    options.secret = secret_of(secret);
    options.every = 10ms;
    transport::beacon_callbacks callbacks;
    callbacks.compose = [this, name](const std::string& peer, millis now) {
      std::lock_guard guard{mutex_};
      rounds_.push_back(now);
      auto payloads = more_;
      payloads.push_back(name + " to " + peer);
      return payloads;
    };
    callbacks.receive = [this](const std::string& peer, std::uint64_t life,
                               std::string_view payload, millis) {
      std::lock_guard guard{mutex_};
      auto line = peer + "/" + std::to_string(life) + " says " + std::string{payload};
      ++heard_[line];
      if (payload.starts_with("answer"))
        return std::vector<std::string>{};
      return std::vector<std::string>{"answer to " + std::string{payload}};
    };
    auto started = transport::beacons::start(*clock_, options, callbacks);
    if (!started)
      throw std::runtime_error{started.error().to_string()};
    beacons_ = std::move(*started);
  }

  transport::beacons& beacons() { return *beacons_; }
  std::string at() const { return "127.0.0.1:" + std::to_string(beacons_->port()); }
  bool hears(const std::string& line) {
    return eventually([&] { return has_heard(line); });
  }
  bool has_heard(const std::string& line) {
    std::lock_guard guard{mutex_};
    return heard_.contains(line);
  }
  std::size_t lines() {
    std::lock_guard guard{mutex_};
    return heard_.size();
  }
  bool loses(beacon_loss why) {
    return eventually([&] { return beacons_->stats().lost_for(why) > 0; });
  }
  void also_say(std::string payload) {
    std::lock_guard guard{mutex_};
    more_.push_back(std::move(payload));
  }
  std::vector<millis> rounds() {
    std::lock_guard guard{mutex_};
    return rounds_;
  }

private:
  std::unique_ptr<clock> clock_;
  std::mutex mutex_;
  std::map<std::string, std::size_t> heard_;
  std::vector<std::string> more_;
  std::vector<millis> rounds_;
  std::unique_ptr<transport::beacons> beacons_;
};

void send_datagram(std::uint16_t port, std::string_view bytes) {
  auto fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&at), sizeof at);
  ::close(fd);
}

} // namespace

TEST_CASE("a beacon opens as it was sealed", "[transport]") {
  beacon_seal seal{secret_of(1), "test"};
  std::string longest(limits::beacon_payload_bytes, 'p');
  for (const auto& payload : {std::string{}, std::string{"x"}, longest}) {
    auto bytes = seal.seal("n1", 0x0102030405060708, "n2", payload);
    CHECK(bytes.size() <= transport::beacon_bytes);
    CHECK(beacon_seal::sender_of(bytes) == "n1");
    auto opened = seal.open(bytes);
    REQUIRE(opened);
    CHECK(opened->incarnation == 0x0102030405060708);
    CHECK(opened->receiver == "n2");
    CHECK(opened->payload == payload);
  }
  CHECK(seal.seal("n1", 1, "n2", "x") != seal.seal("n1", 1, "n2", "x"));
}

TEST_CASE("the longest beacon fits into its bound", "[transport]") {
  beacon_seal seal{secret_of(1), "test"};
  std::string name(limits::node_name_bytes, 'n');
  auto bytes = seal.seal(name, 1, name, std::string(limits::beacon_payload_bytes, 'p'));
  CHECK(bytes.size() == transport::beacon_bytes);
  CHECK(seal.open(bytes));
}

TEST_CASE("a beacon that was changed anywhere, or cut, does not open", "[transport]") {
  beacon_seal seal{secret_of(1), "test"};
  auto bytes = seal.seal("n1", 7, "n2", "payload");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK_FALSE(seal.open(changed));
    CHECK_FALSE(seal.open(bytes.substr(0, i)));
  }
  CHECK_FALSE(seal.open(bytes + 'x'));
  CHECK_FALSE(beacon_seal{secret_of(2), "test"}.open(bytes));
  CHECK_FALSE(beacon_seal{secret_of(1), "other"}.open(bytes));
}

TEST_CASE("a round that was missed is left out, and the schedule keeps its beat", "[transport]") {
  using transport::next_due;
  CHECK(next_due(100ms, 50ms, 100ms) == 100ms);
  CHECK(next_due(100ms, 100ms, 100ms) == 200ms);
  CHECK(next_due(100ms, 199ms, 100ms) == 200ms);
  CHECK(next_due(100ms, 200ms, 100ms) == 300ms);
  CHECK(next_due(100ms, 1234ms, 100ms) == 1300ms);
}

TEST_CASE("beacons go both ways, and are answered at once", "[transport]") {
  beacon_node n1{"n1", 11}, n2{"n2", 22};
  REQUIRE(n1.beacons().set_peers({{"n1", n1.at()}, {"n2", n2.at()}}));
  REQUIRE(n2.beacons().set_peers({{"n1", n1.at()}, {"n2", n2.at()}}));
  CHECK(n2.hears("n1/11 says n1 to n2"));
  CHECK(n1.hears("n2/22 says n2 to n1"));
  CHECK(n1.hears("n2/22 says answer to n1 to n2"));
  CHECK(n2.hears("n1/11 says answer to n2 to n1"));
  CHECK(n1.lines() == 2);
}

TEST_CASE("a peer that starts anew shows in its beacons", "[transport]") {
  beacon_node n2{"n2"};
  auto n1 = std::make_unique<beacon_node>("n1", 1);
  REQUIRE(n2.beacons().set_peers({{"n1", n1->at()}}));
  REQUIRE(n1->beacons().set_peers({{"n2", n2.at()}}));
  CHECK(n2.hears("n1/1 says n1 to n2"));
  n1.reset();
  n1 = std::make_unique<beacon_node>("n1", 2);
  REQUIRE(n1->beacons().set_peers({{"n2", n2.at()}}));
  CHECK(n2.hears("n1/2 says n1 to n2"));
}

TEST_CASE("garbage is dropped and counted, and good beacons go on", "[transport]") {
  beacon_node n1{"n1"}, n2{"n2"};
  REQUIRE(n2.beacons().set_peers({{"n1", n1.at()}}));
  beacon_seal ours{secret_of(1), "test"};
  auto port = n2.beacons().port();
  SECTION("bytes that are no beacon") {
    for (std::size_t size = 0; size < 3'000; size += 7)
      send_datagram(port, std::string(size, '\x01'));
    CHECK(n2.loses(beacon_loss::malformed));
  }
  SECTION("a sender that is no peer") {
    send_datagram(port, ours.seal("n3", 1, "n2", "x"));
    CHECK(n2.loses(beacon_loss::unknown_sender));
  }
  SECTION("another secret") {
    send_datagram(port, beacon_seal{secret_of(2), "test"}.seal("n1", 1, "n2", "x"));
    CHECK(n2.loses(beacon_loss::forged));
  }
  SECTION("another cluster") {
    send_datagram(port, beacon_seal{secret_of(1), "other"}.seal("n1", 1, "n2", "x"));
    CHECK(n2.loses(beacon_loss::forged));
  }
  SECTION("a beacon for another node, sent here") {
    send_datagram(port, ours.seal("n1", 1, "n3", "x"));
    CHECK(n2.loses(beacon_loss::misdirected));
  }
  CHECK(n2.lines() == 0);
  REQUIRE(n1.beacons().set_peers({{"n2", n2.at()}}));
  CHECK(n2.hears("n1/1 says n1 to n2"));
  CHECK(n2.lines() == (n2.has_heard("n1/1 says answer to n2 to n1") ? 2 : 1));
}

TEST_CASE("nodes of other clusters do not hear each other", "[transport]") {
  beacon_node n1{"n1", 1, 1}, n2{"n2", 1, 2}, n3{"n3", 1, 1, "other"};
  for (auto* node : {&n1, &n2, &n3})
    REQUIRE(node->beacons().set_peers({{"n1", n1.at()}, {"n2", n2.at()}, {"n3", n3.at()}}));
  for (auto* node : {&n1, &n2, &n3}) {
    CHECK(eventually([&] { return node->beacons().stats().lost_for(beacon_loss::forged) > 5; }));
    CHECK(node->lines() == 0);
  }
}

TEST_CASE("a payload over the bound is not sent; one at the bound is", "[transport]") {
  beacon_node n1{"n1"}, n2{"n2"};
  std::string longest(limits::beacon_payload_bytes, 'p');
  n1.also_say(longest + 'p');
  n1.also_say(longest);
  REQUIRE(n2.beacons().set_peers({{"n1", n1.at()}}));
  REQUIRE(n1.beacons().set_peers({{"n2", n2.at()}}));
  CHECK(n2.hears("n1/1 says " + longest));
  CHECK(n2.hears("n1/1 says n1 to n2"));
  CHECK(n1.loses(beacon_loss::too_large));
  CHECK_FALSE(n2.has_heard("n1/1 says " + longest + 'p'));
}

TEST_CASE("who is no peer any more gets and is heard no more", "[transport]") {
  beacon_node n1{"n1"}, n2{"n2"};
  REQUIRE(n1.beacons().set_peers({{"n2", n2.at()}}));
  REQUIRE(n2.beacons().set_peers({{"n1", n1.at()}}));
  CHECK(n2.hears("n1/1 says n1 to n2"));
  REQUIRE(n2.beacons().set_peers({}));
  CHECK(n2.loses(beacon_loss::unknown_sender));
  CHECK_FALSE(n2.beacons().set_peers({{"n1", "nowhere"}}));
  CHECK_FALSE(n2.beacons().set_peers({{"n1", "name.invalid:1"}}));
}

TEST_CASE("rounds are never more than the schedule has", "[transport]") {
  beacon_node n1{"n1"};
  REQUIRE(n1.beacons().set_peers({{"n2", "127.0.0.1:1"}}));
  CHECK(eventually([&] { return n1.rounds().size() >= 50; }));
  auto rounds = n1.rounds();
  CHECK((rounds.back() - rounds.front()) / 10ms + 1 >= static_cast<long>(rounds.size()) - 1);
}

TEST_CASE("beacons go on while a link is flooded", "[transport]") {
  test_node l1{"n1"}, l2{"n2"};
  beacon_node b1{"n1"}, b2{"n2"};
  introduce(l1, "n1", l2, "n2");
  REQUIRE(l1.comes_up("n2"));
  std::atomic<bool> over{false};
  std::thread flood{[&] {
    std::string bulk(2 * 1024 * 1024 / bulk_divisor, 'x');
    while (!over)
      l1.ask("n2", bulk);
  }};
  REQUIRE(b1.beacons().set_peers({{"n2", b2.at()}}));
  REQUIRE(b2.beacons().set_peers({{"n1", b1.at()}}));
  CHECK(eventually([&] {
    return b1.beacons().stats().rounds >= 100 && b1.beacons().stats().received >= 100 &&
           b2.beacons().stats().received >= 100;
  }));
  CHECK(eventually(
      [&] { return l2.links().stats().peers["n1"].bytes_in > 20'000'000 / bulk_divisor; }));
  over = true;
  flood.join();
}

TEST_CASE("beacons stop at once and twice", "[transport]") {
  beacon_node n1{"n1"};
  n1.beacons().stop();
  auto rounds = n1.beacons().stats().rounds;
  std::this_thread::sleep_for(50ms);
  CHECK(n1.beacons().stats().rounds == rounds);
  n1.beacons().stop();
}

} // namespace candor::transport_tests
