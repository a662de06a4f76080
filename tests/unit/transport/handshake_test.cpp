#include <catch2/catch.hpp>

#include "cluster/transport/address.hpp"
#include "cluster/transport/frame_guard.hpp"
#include "cluster/transport/handshake.hpp"
#include "storage/base/limits.hpp"

namespace candor::transport {

namespace {

hello some_hello() {
  hello h;
  h.cluster = "c-1";
  h.node = "node-1.example";
  h.incarnation = 0x0102030405060708;
  return h;
}

expectation fitting() {
  expectation e;
  e.cluster = "c-1";
  e.certified_node = "node-1.example";
  return e;
}

/// A header of CAF's protocol that claims a payload, and the payload.
std::vector<unsigned char> caf_frame(std::uint32_t claimed, std::size_t sent) {
  std::vector<unsigned char> bytes(frame_guard::header_bytes + sent);
  for (int i = 0; i < 4; ++i)
    bytes[4 + static_cast<std::size_t>(i)] = static_cast<unsigned char>(claimed >> (24 - 8 * i));
  return bytes;
}

} // namespace

TEST_CASE("a hello and an answer come back as they were", "[transport]") {
  CHECK(decode_hello(encode(some_hello())) == some_hello());
  answer a{refusal::stale_incarnation, some_hello()};
  CHECK(decode_answer(encode(a)) == a);
}

TEST_CASE("a hello with a byte less or more is none", "[transport]") {
  auto bytes = encode(some_hello());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    CHECK_FALSE(decode_hello(std::string_view{bytes}.substr(0, i)));
  CHECK_FALSE(decode_hello(bytes + 'x'));
  auto nameless = some_hello();
  nameless.node = "";
  CHECK_FALSE(decode_hello(encode(nameless)));
  nameless.node = "a b";
  CHECK_FALSE(decode_hello(encode(nameless)));
  CHECK_FALSE(decode_answer(std::string{"\xff"} + bytes));
}

TEST_CASE("a frame's head is read before its body, and has a bound", "[transport]") {
  auto framed = frame("abc");
  CHECK(frame_body_bytes(framed.substr(0, frame_head_bytes)) == 3);
  CHECK_FALSE(frame_body_bytes(framed.substr(0, frame_head_bytes - 1)));
  auto strange = framed;
  strange[0] = 'X';
  CHECK_FALSE(frame_body_bytes(strange.substr(0, frame_head_bytes)));
  auto largest = frame(std::string(limits::hello_bytes - frame_head_bytes, 'x'));
  CHECK(frame_body_bytes(largest.substr(0, frame_head_bytes)));
  auto larger = frame(std::string(limits::hello_bytes - frame_head_bytes + 1, 'x'));
  CHECK_FALSE(frame_body_bytes(larger.substr(0, frame_head_bytes)));
}

TEST_CASE("the longest hello fits into its bound", "[transport]") {
  auto h = some_hello();
  h.cluster = std::string(limits::cluster_id_bytes, 'c');
  h.node = std::string(limits::node_name_bytes, 'n');
  CHECK(frame(encode(answer{refusal::none, h})).size() <= limits::hello_bytes);
  CHECK(decode_hello(encode(h)) == h);
}

TEST_CASE("each thing that may be wrong with a hello has its reason", "[transport]") {
  auto h = some_hello();
  CHECK(judge(h, fitting()) == refusal::none);

  auto e = fitting();
  h.version = protocol_version + 1;
  CHECK(judge(h, e) == refusal::other_version);

  h = some_hello();
  e.cluster = "c-2";
  CHECK(judge(h, e) == refusal::other_cluster);

  e = fitting();
  e.certified_node = "";
  CHECK(judge(h, e) == refusal::wrong_name);

  e = fitting();
  e.dialed_node = "node-2";
  CHECK(judge(h, e) == refusal::wrong_name);
  e.dialed_node = h.node;
  CHECK(judge(h, e) == refusal::none);

  e = fitting();
  e.known = false;
  CHECK(judge(h, e) == refusal::unknown_peer);

  e = fitting();
  e.may_dial = false;
  CHECK(judge(h, e) == refusal::wrong_direction);

  e = fitting();
  e.newest_incarnation = h.incarnation;
  CHECK(judge(h, e) == refusal::none);
  e.newest_incarnation = h.incarnation + 1;
  CHECK(judge(h, e) == refusal::stale_incarnation);
}

TEST_CASE("incarnations rise with time, and when the clock goes back", "[transport]") {
  seeded_rng random{1};
  auto start = from_int(1'790'000'000'000);
  auto first = make_incarnation(start, 0, random);
  auto later = make_incarnation(start + millis{1}, first, random);
  CHECK(later > first);
  CHECK(later >> 20 == static_cast<std::uint64_t>(to_int(start)) + 1);
  CHECK(make_incarnation(start - millis{3'600'000}, later, random) > later);
  CHECK(make_incarnation(start, 0, random) != make_incarnation(start, 0, random));
}

TEST_CASE("the guard follows frames however they are cut", "[transport]") {
  std::vector<unsigned char> bytes;
  for (std::uint32_t size : {0u, 1u, 31u, 32u, 33u, 100u}) {
    auto one = caf_frame(size, size);
    bytes.insert(bytes.end(), one.begin(), one.end());
  }
  auto good = bytes.size();
  auto bad = caf_frame(101, 0);
  bytes.insert(bytes.end(), bad.begin(), bad.end());
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    frame_guard guard{100};
    std::size_t passed = 0;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      auto size = std::min(piece, bytes.size() - at);
      if (!guard.feed({bytes.data() + at, size}))
        break;
      passed = at + size;
    }
    CHECK(passed >= good - std::min(good, piece));
    CHECK(passed < bytes.size());
    CHECK(guard.claimed_bytes() == 101);
    CHECK_FALSE(guard.feed({bytes.data(), 1}));
  }
}

TEST_CASE("an address has a host and a port", "[transport]") {
  CHECK(parse_address("10.0.0.1:7001")->host == "10.0.0.1");
  CHECK(parse_address("10.0.0.1:7001")->port == 7001);
  CHECK(parse_address("[::1]:7001")->host == "::1");
  CHECK(parse_address("node-1.example:1")->host == "node-1.example");
  for (const auto* wrong : {"", "host", "host:", ":1", "::1:1", "host:65536", "host:1x", "[]:1"})
    CHECK_FALSE(parse_address(wrong));
}

} // namespace candor::transport
