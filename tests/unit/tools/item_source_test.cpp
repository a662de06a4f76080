#include <catch2/catch.hpp>

#include <sstream>

#include <msgpack.hpp>

#include "storage/base/limits.hpp"
#include "tools/candorctl/item_source.hpp"

using namespace candor;
using namespace candor::ctl;

namespace {

std::vector<item> all(std::unique_ptr<item_source> source) {
  std::vector<item> made;
  while (auto one = source->next())
    made.push_back(std::move(*one));
  return made;
}

std::string map_of(int id, std::size_t bytes = 10) {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> pack{buffer};
  pack.pack_map(2);
  pack.pack(std::string{"id"});
  pack.pack(id);
  pack.pack(std::string{"text"});
  pack.pack(std::string(bytes, 'x'));
  return {buffer.data(), buffer.size()};
}

} // namespace

TEST_CASE("lines are cut, blank ones passed over, and numbered as in the file", "[ctl]") {
  std::istringstream in{"one\n\n  \ntwo\r\nthree"};
  auto items = all(read_lines(in));
  REQUIRE(items.size() == 3);
  CHECK(items[0].bytes == "one");
  CHECK(items[1].bytes == "two\r");
  CHECK(items[1].line == 4);
  CHECK(items[2].bytes == "three");
  CHECK(items[2].line == 5);
}

TEST_CASE("a line over the bound is refused, and the next is read", "[ctl]") {
  auto size = GENERATE(limits::bulk_line_bytes + 1, 5 * limits::bulk_line_bytes,
                       40 * limits::bulk_line_bytes + 17);
  std::istringstream in{"a\n" + std::string(size, 'x') + "\nb\n" + std::string(size, 'y')};
  auto items = all(read_lines(in));
  REQUIRE(items.size() == 4);
  CHECK(items[1].refused->code == errc::too_large);
  CHECK(items[1].bytes.empty());
  CHECK(items[2].bytes == "b");
  CHECK(items[2].line == 3);
  CHECK(items[3].refused->code == errc::too_large);
}

TEST_CASE("a line of exactly the bound is sent", "[ctl]") {
  std::string line(limits::bulk_line_bytes, 'x');
  line.push_back('\n');
  std::istringstream in{line};
  auto items = all(read_lines(in));
  REQUIRE(items.size() == 1);
  CHECK_FALSE(items[0].refused);
  CHECK(items[0].bytes.size() == limits::bulk_line_bytes);
}

TEST_CASE("msgpack maps are cut where they end, wherever pieces of the file end", "[ctl]") {
  std::string stream;
  std::vector<std::string> maps;
  for (int i = 0; i < 300; ++i) {
    maps.push_back(map_of(i, static_cast<std::size_t>(i) * 7));
    stream += maps.back();
  }
  std::istringstream in{stream};
  auto items = all(read_msgpack_stream(in));
  REQUIRE(items.size() == maps.size());
  for (std::size_t i = 0; i < maps.size(); ++i)
    CHECK(items[i].bytes == maps[i]);
}

TEST_CASE("a msgpack stream that is cut off or broken ends with a refusal", "[ctl]") {
  SECTION("cut off") {
    std::istringstream in{map_of(1) + map_of(2).substr(0, 9)};
    auto items = all(read_msgpack_stream(in));
    REQUIRE(items.size() == 2);
    CHECK_FALSE(items[0].refused);
    CHECK(items[1].refused->code == errc::malformed);
  }
  SECTION("a byte that msgpack never uses") {
    std::istringstream in{map_of(1) + "\xc1" + map_of(2)};
    auto items = all(read_msgpack_stream(in));
    REQUIRE(items.size() == 2);
    CHECK(items[1].refused->code == errc::malformed);
  }
  SECTION("an array that claims four thousand million items") {
    std::istringstream in{std::string{"\xdd\xff\xff\xff\xff", 5} + map_of(1)};
    auto items = all(read_msgpack_stream(in));
    REQUIRE(items.size() == 1);
    CHECK(items[0].refused->code == errc::malformed);
  }
  SECTION("an object over the bound") {
    std::istringstream in{map_of(1, limits::bulk_line_bytes) + map_of(2)};
    auto items = all(read_msgpack_stream(in));
    REQUIRE(items.size() == 1);
    CHECK(items[0].refused->code == errc::too_large);
  }
}
