#include <catch2/catch.hpp>

#include "actors/gateway/parse/events.hpp"
#include "storage/base/limits.hpp"
#include "tests/unit/gateway/fixture.hpp"

using namespace candor;
using namespace candor::gateway_tests;

namespace {

using bytes = std::string;

/// msgpack by hand: the smallest forms and the 32-bit ones.
bytes str(std::string_view text) {
  bytes made{'\xdb'};
  for (int shift = 24; shift >= 0; shift -= 8)
    made += static_cast<char>(text.size() >> shift & 0xff);
  return made.append(text);
}

bytes count32(char kind, std::uint32_t count) {
  bytes made{kind};
  for (int shift = 24; shift >= 0; shift -= 8)
    made += static_cast<char>(count >> shift & 0xff);
  return made;
}

bytes map_of(std::initializer_list<std::pair<std::string_view, bytes>> fields) {
  bytes made{static_cast<char>(0x80 + fields.size())};
  for (const auto& [name, content] : fields)
    made += str(name) + content;
  return made;
}

bytes chat_of(std::string_view id) {
  return map_of({{"id", str(id)},
                 {"user", str("u-42")},
                 {"at", str("2025-12-17T09:30:00Z")},
                 {"kind", str("ai_interaction")},
                 {"modality", str("text")},
                 {"text", str("hello")}});
}

const bytes half = bytes{'\xcb'} + bytes("\x3f\xe0\0\0\0\0\0\0", 8);

error only_refusal(const bytes& body) {
  auto stream = parse::read_msgpack(body, regions());
  auto parsed = stream->next();
  REQUIRE(parsed);
  REQUIRE_FALSE(parsed->event);
  CHECK_FALSE(stream->next());
  return parsed->event.error();
}

} // namespace

TEST_CASE("a stream of msgpack maps becomes events", "[gateway]") {
  auto body = chat_of("e-1") +
              map_of({{"id", str("e-2")},
                      {"user", str("u-42")},
                      {"at", str("2025-12-17T09:30:00Z")},
                      {"kind", str("ai_interaction")},
                      {"modality", str("voice")},
                      {"transcript", str("hello")},
                      {"confidence", half}}) +
              map_of({{"id", str("e-3")},
                      {"user", str("u-42")},
                      {"at", str("2025-12-17T09:30:00Z")},
                      {"kind", str("engagement")},
                      {"action", str("follow")},
                      {"object", map_of({{"id", str("p")}, {"topics", "\x91" + str("music")}})}});
  auto stream = parse::read_msgpack(body, regions());
  auto first = stream->next(), second = stream->next(), third = stream->next();
  REQUIRE((first && first->event));
  REQUIRE((second && second->event));
  REQUIRE((third && third->event));
  CHECK(first->event->utterance.size() == 5);
  CHECK(second->event->confidence == 0.5);
  CHECK(third->event->object_topics == std::vector{*model::find_topic("music")});
  CHECK(third->line == 3);
  CHECK_FALSE(stream->next());
}

TEST_CASE("a map with a wrong field harms no other", "[gateway]") {
  auto body = map_of({{"id", str("e-1")}, {"colour", str("red")}}) + chat_of("e-2");
  auto stream = parse::read_msgpack(body, regions());
  auto first = stream->next();
  CHECK(first->event.error().code == errc::unknown_field);
  CHECK(first->id == "e-1");
  CHECK(stream->next()->event.has_value());
}

TEST_CASE("msgpack bombs are refused before anything is allocated for them", "[gateway]") {
  SECTION("an array that claims four thousand million items") {
    CHECK(only_refusal(count32('\xdd', 0xffffffff)).code == errc::too_many);
  }
  SECTION("a map that does") {
    CHECK(only_refusal(count32('\xdf', 0xffffffff)).code == errc::too_many);
  }
  SECTION("a string that does") {
    CHECK(only_refusal(count32('\xdb', 0xffffffff) + "x").code == errc::malformed);
  }
  SECTION("a string that does, in a body that goes on") {
    CHECK(
        only_refusal(count32('\xdb', 0x00ffffff) + bytes(2 * limits::bulk_line_bytes, 'x')).code ==
        errc::too_large);
  }
  SECTION("a million arrays in each other") {
    CHECK(only_refusal(bytes(100'000, '\x91')).code == errc::malformed);
  }
  SECTION("maps in each other") {
    bytes body;
    for (int i = 0; i < 1000; ++i)
      body += bytes{'\x81'} + str("a");
    CHECK(only_refusal(body).code == errc::malformed);
  }
}

TEST_CASE("what cannot be read ends the stream, and says so", "[gateway]") {
  CHECK(only_refusal("\xc1").code == errc::malformed);
  CHECK(only_refusal(chat_of("e-1").substr(0, 20)).code == errc::malformed);
  CHECK(only_refusal(bytes{'\x81'} + "\x01" + str("x")).code == errc::malformed);
  CHECK(only_refusal(map_of({{"id", str("\xff")}})).code == errc::bad_utf8);
  CHECK(only_refusal(map_of({{"id", str("a")}, {"id", str("b")}})).code == errc::bad_value);
  auto cut = only_refusal("\xc1" + chat_of("e-2"));
  CHECK_THAT(cut.detail, Catch::Matchers::EndsWith("nothing after this was read"));
}

TEST_CASE("binary and extension types are no field's", "[gateway]") {
  CHECK(only_refusal(map_of({{"id", bytes("\xc4\x01x", 3)}})).code == errc::bad_value);
  CHECK(
      only_refusal(
          map_of({{"id", str("e-1")}, {"user", str("u-42")}, {"at", bytes("\xd6\xff\0\0\0\1", 6)}}))
          .code == errc::bad_value);
  CHECK(only_refusal("\x01").code == errc::malformed);
}
