#include <catch2/catch.hpp>

#include "storage/engine/keys.hpp"

using namespace candor;
using namespace candor::engine;

TEST_CASE("the order of keys is the order of their numbers", "[engine]") {
  CHECK(log_key(0, 255) < log_key(0, 256));
  CHECK(log_key(0, ~std::uint64_t{0}) < log_key(1, 0));
  CHECK(log_key(255, 1) < log_key(256, 0));
  CHECK(timer_key(1, from_int(999), {}, 255) < timer_key(1, from_int(1000), {}, 0));
  CHECK(user_key(1, {}, user_row::key_ref) < user_key(1, {}, user_row::tombstone));
  CHECK(user_key(1, {}, user_row::base) < user_key(1, {}, user_row::delta, 0));
  CHECK(user_key(1, {}, user_row::delta, 9) < user_key(1, {}, user_row::delta, 10));
}

TEST_CASE("keys are laid out as written down, since they lie on disks", "[engine]") {
  storage_key key;
  key.bytes.fill(0xab);
  CHECK(to_hex(log_key(0x0102, 3)) == "01020000000000000003");
  CHECK(to_hex(user_key(0x0102, key, user_row::base)) == "0102abababababababababababababababab02");
  CHECK(to_hex(user_key(0x0102, key, user_row::delta, 0x0a0b)) ==
        "0102abababababababababababababababab030000000000000a0b");
  CHECK(to_hex(timer_key(2, from_int(0x0304), key, 5)) ==
        "00020000000000000304abababababababababababababababab05");
  CHECK(to_hex(named_key(1, "ab")) == "00016162");
}

TEST_CASE("the end of a prefix is above all that begins with it, and no more", "[engine]") {
  CHECK(prefix_end("a") == "b");
  CHECK(prefix_end(std::string{"a\xff\xff"}) == "b");
  CHECK(prefix_end("\xff\xff") > log_key(65535, ~std::uint64_t{0}));
  CHECK(shard_end(0xffff) > named_key(0xffff, std::string(8, '\xff')));
  CHECK(shard_end(0x01ff) <= shard_begin(0x0200));
  CHECK(shard_end(0x01ff) > named_key(0x01ff, std::string(8, '\xff')));
}

TEST_CASE("big-endian numbers come back", "[engine]") {
  std::string key;
  append_big_endian(key, 0x0102030405060708, 8);
  append_big_endian(key, 0xfffe, 2);
  CHECK(to_hex(key) == "0102030405060708fffe");
  CHECK(read_big_endian(key, 8) == 0x0102030405060708);
  CHECK(read_big_endian(std::string_view{key}.substr(8), 2) == 0xfffe);
}
