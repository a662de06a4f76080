#include <catch2/catch.hpp>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor {

TEST_CASE("a user id is bounded, valid and without control characters", "[ids]") {
  auto refusal = [](std::string_view text) -> std::string {
    auto id = user_id::parse(text);
    return id ? "accepted" : std::string{info(id.error().code).slug};
  };
  CHECK(refusal("u-42") == "accepted");
  CHECK(refusal("유저 42") == "accepted");
  CHECK(refusal(std::string(limits::user_id_bytes, 'u')) == "accepted");
  CHECK(refusal("") == "bad_value");
  CHECK(refusal(std::string(limits::user_id_bytes + 1, 'u')) == "too_large");
  CHECK(refusal(std::string(10'000, 'u')) == "too_large");
  CHECK(refusal("u\n42") == "bad_value");
  CHECK(refusal(std::string_view{"u\0", 2}) == "bad_value");
  CHECK(refusal("u\x7f") == "bad_value");
  CHECK(refusal("u\xc2\x85") == "bad_value"); // a C1 control character
  CHECK(refusal("u\xff") == "bad_utf8");
}

TEST_CASE("a user id never prints as itself", "[ids]") {
  auto a = *user_id::parse("anna@example.org"), b = *user_id::parse("ben@example.org");
  CHECK(a.value() == "anna@example.org");
  CHECK_THAT(to_string(a), Catch::StartsWith("user:"));
  CHECK(to_string(a).size() == 13);
  CHECK_THAT(to_string(a), !Catch::Contains("anna"));
  CHECK(to_string(a) == to_string(*user_id::parse("anna@example.org")));
  CHECK(to_string(a) != to_string(b));
}

TEST_CASE("UTF-8 is judged as RFC 3629 has it", "[ids]") {
  for (auto text : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                    "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\nb"}) {
    INFO(to_hex(text));
    CHECK(valid_utf8(text));
  }
  // alone, cut short, over-long, a surrogate, over U+10FFFF
  for (auto text : {"\x80", "\xc2", "\xe0\xa0", "\xf0\x90\x80", "\xc0\x80", "\xc1\xbf",
                    "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                    "\xf5\x80\x80\x80", "\xff", "\xc2\x41", "a\xe2\x82"}) {
    INFO(to_hex(text));
    CHECK_FALSE(valid_utf8(text));
    CHECK_FALSE(plain_utf8(text));
  }
}

TEST_CASE("the shard is the storage key's top bits", "[ids]") {
  storage_key key;
  key.bytes[0] = 0b1010'1100;
  key.bytes[1] = 0b1100'0000;
  CHECK(key.shard({1}) == 0);
  CHECK(key.shard({2}) == 1);
  CHECK(key.shard({16}) == 0b1010);
  CHECK(key.shard({64}) == 0b101011);
  CHECK(key.shard({1024}) == 0b1010110011);
  key.bytes.fill(0xff);
  CHECK(key.shard({64}) == 63);
}

TEST_CASE("hexadecimal goes there and back", "[ids]") {
  CHECK(to_hex(std::string_view{"\x00\x1f\xff", 3}) == "001fff");
  CHECK(*from_hex("001fff") == std::string("\x00\x1f\xff", 3));
  for (auto text : {"0", "0g", "FF", "0x", "00 "}) {
    INFO(text);
    CHECK_FALSE(from_hex(text));
  }
}

} // namespace candor
