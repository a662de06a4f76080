#include <catch2/catch.hpp>

#include "tools/http_client/event_stream.hpp"

using namespace candor::http_client;

namespace {

/// What is told of a stream that comes in pieces of so many bytes.
std::vector<server_event> read(const std::string& bytes, std::size_t piece) {
  std::vector<server_event> told;
  event_stream stream{[&](const server_event& e) {
    told.push_back(e);
    return true;
  }};
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    CHECK(stream.feed(std::string_view{bytes}.substr(at, piece)));
  return told;
}

} // namespace

TEST_CASE("events are read however their bytes are cut", "[http_client]") {
  std::string bytes = ": alive\n\n"
                      "id: 7\nevent: failover\ndata: {\"shard\":3}\n\n"
                      "data:one\r\ndata: two\r\n\r\n"
                      "event: nothing\n\n"
                      "id: 9\ndata: not yet whole";
  for (std::size_t piece : {1, 2, 5, 1000}) {
    auto told = read(bytes, piece);
    REQUIRE(told.size() == 2);
    CHECK(told[0].name == "failover");
    CHECK(told[0].id == "7");
    CHECK(told[0].data == R"({"shard":3})");
    CHECK(told[1].name == "message");
    CHECK(told[1].data == "one\ntwo");
    CHECK(told[1].id == "7");
  }
}

TEST_CASE("a stream ends when no more of it is wanted", "[http_client]") {
  int told = 0;
  event_stream stream{[&](const server_event&) { return ++told < 2; }};
  CHECK_FALSE(stream.feed("id: a\ndata: 1\n\nid: b\ndata: 2\n\nid: c\ndata: 3\n\n"));
  CHECK(told == 2);
  CHECK(stream.last_id() == "b");
}

TEST_CASE("an event without end is not gathered without end", "[http_client]") {
  auto nobody = [](const server_event&) { return true; };
  event_stream one_line{nobody}, many_lines{nobody};
  CHECK_FALSE(one_line.feed(std::string(2 << 20, 'x')));
  std::string line = "data: " + std::string(1000, 'x') + "\n";
  int lines = 0;
  while (many_lines.feed(line))
    REQUIRE(++lines < 5000);
}
