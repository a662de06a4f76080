/// What a node that takes links does with those who should have none.
#include <fstream>

#include "storage/base/limits.hpp"
#include "tests/unit/transport/fixture.hpp"

namespace candor::transport_tests {

using transport::refusal;

namespace {

/// n2, which is dialed by n1 and dials n3.
struct dialed_node {
  test_node n2{"n2"};
  std::uint16_t port = n2.links().port();

  dialed_node() { n2.set_peers({{"n1", "127.0.0.1:1"}, {"n3", "127.0.0.1:1"}}); }

  refusal greeting(const std::string& certificate, const transport::hello& h) {
    certified_client client{port, our_authority(), certificate};
    return client.greet(h);
  }
};

/// A good peer links, whatever else goes on.
bool takes_a_good_peer(test_node& n2) {
  test_node n1{"n1", 1'000};
  n1.set_peers({{"n2", n2.at()}});
  return n1.comes_up("n2") && n2.comes_up("n1") && n1.ask("n2", "who") == "n2: who";
}

/// Of this process, at its highest.
std::size_t memory_kb() {
  std::ifstream status{"/proc/self/status"};
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:"))
      return std::stoul(line.substr(6));
  return 0;
}

std::string caf_header(std::uint32_t payload_bytes) {
  std::string bytes(32, '\0');
  for (int i = 0; i < 4; ++i)
    bytes[4 + static_cast<std::size_t>(i)] = static_cast<char>(payload_bytes >> (24 - 8 * i));
  return bytes;
}

} // namespace

TEST_CASE("a certificate with the name, as CN or SAN, and the right hello are let in",
          "[transport]") {
  dialed_node d;
  CHECK(d.greeting("n1", hello_of("n1")) == refusal::none);
  CHECK(d.greeting("alternative", hello_of("n1")) == refusal::none);
}

TEST_CASE("a certificate of the cluster does for its own name only", "[transport]") {
  dialed_node d;
  CHECK(d.greeting("n3", hello_of("n1")) == refusal::wrong_name);
  CHECK(d.n2.refuses(refusal::wrong_name));
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("a certificate of another CA, or none, ends in TLS", "[transport]") {
  dialed_node d;
  certified_client other{d.port, other_authority(), "n1"};
  CHECK(other.greet(hello_of("n1")) == refusal::tls_failed);
  certified_client none{d.port, our_authority(), ""};
  CHECK(none.greet(hello_of("n1")) == refusal::tls_failed);
  CHECK(eventually([&] { return d.n2.links().stats().refused_for(refusal::tls_failed) == 2; }));
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("another cluster, another version, a stranger: each is told why", "[transport]") {
  dialed_node d;
  auto h = hello_of("n1");
  h.cluster = "elsewhere";
  CHECK(d.greeting("n1", h) == refusal::other_cluster);
  h = hello_of("n1");
  h.version = 2;
  CHECK(d.greeting("n1", h) == refusal::other_version);
  CHECK(d.greeting("alternative", hello_of("any")) == refusal::unknown_peer);
  CHECK(d.greeting("n3", hello_of("n3")) == refusal::wrong_direction);
}

TEST_CASE("an earlier life of a node is refused once a later one was met", "[transport]") {
  dialed_node d;
  CHECK(d.greeting("n1", hello_of("n1", 7)) == refusal::none);
  CHECK(d.greeting("n1", hello_of("n1", 6)) == refusal::stale_incarnation);
  CHECK(d.greeting("n1", hello_of("n1", 7)) == refusal::none);
  CHECK(d.greeting("n1", hello_of("n1", 8)) == refusal::none);
}

TEST_CASE("a later life replaces the link of an earlier one", "[transport]") {
  dialed_node d;
  test_node first{"n1", 1};
  first.set_peers({{"n2", d.n2.at()}});
  REQUIRE(d.n2.comes_up("n1"));
  test_node second{"n1", 2};
  second.set_peers({{"n2", d.n2.at()}});
  CHECK(eventually([&] { return d.n2.is_up("n1") && d.n2.incarnation_of("n1") == 2; }));
  CHECK(first.goes_down("n2"));
  CHECK(first.refuses(refusal::stale_incarnation));
  CHECK(second.comes_up("n2"));
  CHECK(d.n2.ask("n1", "who") == "n1: who");
}

TEST_CASE("who dials and finds another node than it meant goes away", "[transport]") {
  test_node n1{"n1"}, n3{"n3"};
  n3.set_peers({{"n1", n1.at()}});
  n1.set_peers({{"n2", n3.at()}});
  CHECK(n1.refuses(refusal::wrong_name));
  CHECK(n1.ups("n2") == 0);
  CHECK(n1.ups("n3") == 0);
}

TEST_CASE("who dials and finds a node of another CA goes away", "[transport]") {
  test_node n1{"n1"};
  test_node n2{"n2", 1, [](auto& o) {
                 o.ca = other_authority().ca;
                 o.certificate = other_authority().certificate("n2");
                 o.key = other_authority().key("n2");
               }};
  introduce(n1, "n1", n2, "n2");
  CHECK(n1.refuses(refusal::tls_failed));
  CHECK(n1.ups("n2") == 0);
}

TEST_CASE("bytes of CAF's plain protocol, and garbage, get no further than TLS", "[transport]") {
  dialed_node d;
  plain_client caf{d.port}, garbage{d.port}, http{d.port};
  caf.send(caf_header(0x40000000));
  garbage.send(std::string(100'000, '\x5a'));
  http.send("GET / HTTP/1.1\r\n\r\n");
  CHECK(eventually([&] { return caf.is_closed() && garbage.is_closed() && http.is_closed(); }));
  CHECK(d.n2.refuses(refusal::tls_failed));
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("what a certified node says in place of a hello is malformed", "[transport]") {
  dialed_node d;
  SECTION("garbage, without end") {
    certified_client client{d.port, our_authority(), "n1"};
    CHECK(eventually([&] { return !client.send(std::string(100'000, 'x')); }));
  }
  SECTION("a head that claims too much") {
    certified_client client{d.port, our_authority(), "n1"};
    client.send(std::string{transport::hello_magic} + "\xff\xff");
    client.read_to_end();
  }
  SECTION("a hello that is cut short") {
    certified_client client{d.port, our_authority(), "n1"};
    client.send(transport::frame(encode(hello_of("n1")).substr(0, 5)));
    client.read_to_end();
  }
  CHECK(d.n2.refuses(refusal::malformed));
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("a certified node that says nothing is closed", "[transport]") {
  dialed_node d;
  SECTION("before its hello") {
    certified_client client{d.port, our_authority(), "n1"};
    client.read_to_end();
    CHECK(d.n2.refuses(refusal::too_slow));
  }
  SECTION("after its hello") {
    certified_client client{d.port, our_authority(), "n1"};
    REQUIRE(client.greet(hello_of("n1")) == refusal::none);
    client.read_to_end();
  }
  CHECK(d.n2.ups("n1") == 0);
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("a frame over its bound ends the link before CAF makes room for it", "[transport]") {
  dialed_node d;
  auto before = memory_kb();
  for (auto claimed : {limits::frame_bytes + 1, 0x40000000u, 0xffffffffu}) {
    certified_client client{d.port, our_authority(), "n1"};
    REQUIRE(client.greet(hello_of("n1")) == refusal::none);
    client.send(caf_header(claimed));
    client.read_to_end();
  }
  CHECK(
      eventually([&] { return d.n2.links().stats().refused_for(refusal::frame_too_large) == 3; }));
  CHECK(memory_kb() < before + 256 * 1024);
  CHECK(takes_a_good_peer(d.n2));
}

TEST_CASE("a crowd of silent connections keeps no good peer out", "[transport]") {
  dialed_node d;
  std::vector<plain_client> crowd;
  for (int i = 0; i < 200; ++i)
    crowd.emplace_back(d.port);
  CHECK(d.n2.refuses(refusal::too_many));
  CHECK(d.n2.links().stats().half_open <= limits::half_open_links);
  test_node n1{"n1"};
  n1.set_peers({{"n2", d.n2.at()}});
  // While they come again and again.
  std::size_t next = 0;
  CHECK(eventually([&] {
    for (int i = 0; i < 20; ++i)
      crowd[next++ % crowd.size()] = plain_client{d.port};
    return n1.is_up("n2");
  }));
  CHECK(n1.ask("n2", "who") == "n2: who");
}

TEST_CASE("a thousand failed greetings leave no memory behind", "[transport]") {
  dialed_node d;
  auto knock = [&](int times) {
    for (int i = 0; i < times; ++i) {
      plain_client garbage{d.port};
      garbage.send(std::string(1'000, 'x'));
      certified_client client{d.port, our_authority(), "n3"};
      client.greet(hello_of("n1"));
    }
  };
  knock(100);
  auto before = memory_kb();
  knock(400);
  CHECK(memory_kb() < before + 32 * 1024);
  CHECK(takes_a_good_peer(d.n2));
}

} // namespace candor::transport_tests
