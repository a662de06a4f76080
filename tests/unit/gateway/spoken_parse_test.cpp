#include <catch2/catch.hpp>

#include "actors/gateway/parse/form.hpp"
#include "actors/gateway/parse/spoken.hpp"
#include "storage/base/limits.hpp"
#include "tests/unit/gateway/fixture.hpp"

using namespace candor;
using namespace candor::gateway_tests;
using Catch::Matchers::StartsWith;

namespace {

const std::string type = "multipart/form-data; boundary=b0und";

const std::string about =
    R"({"id":"e-9","user":"u-42","at":"2025-12-17T09:30:00Z","lang":"en","region":"US",)"
    R"("context":["which boots?"]})";

std::string part(const std::string& head, const std::string& content) {
  return "--b0und\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + content + "\r\n";
}

std::string event_part(const std::string& json = about) {
  return part("name=\"event\"\r\nContent-Type: application/json", json);
}

std::string audio_part(const std::string& sound) {
  return part("name=\"audio\"; filename=\"a \\\"b\\\".wav\"\r\nContent-Type: audio/wav", sound);
}

const std::string end = "--b0und--\r\n";

result<parse::parsed_event> read(const std::string& body, const std::string& as = type) {
  return parse::read_spoken_form(body, as, regions());
}

std::string refusal(const std::string& body, const std::string& as = type) {
  auto told = [](const error& e) { return std::string{info(e.code).slug} + ": " + e.detail; };
  auto parsed = read(body, as);
  if (!parsed)
    return told(parsed.error());
  return parsed->event ? "accepted" : told(parsed->event.error());
}

} // namespace

TEST_CASE("a form of an event and its sound becomes a voice that nobody has heard yet",
          "[gateway]") {
  auto parsed = read(event_part() + audio_part("RIFF\r\n\r\n--b0un") + end);
  REQUIRE(parsed);
  REQUIRE(parsed->event);
  const auto& e = *parsed->event;
  CHECK(parsed->id == "e-9");
  CHECK(e.kind == model::event_kind::ai_interaction);
  CHECK(e.modality == model::modality::voice);
  CHECK(e.confidence == 0); // fails closed should nobody listen
  CHECK(e.lang == "en");
  CHECK(e.region == regions().find("US").value());
  CHECK(e.utterance.size() == std::string_view{"which boots?"}.size());
  CHECK(e.recording.size() == std::string_view{"RIFF\r\n\r\n--b0un"}.size());
  CHECK(e.recording.media_type() == "audio/wav");
}

TEST_CASE("the parts' order, a quoted boundary and a missing last line end change nothing",
          "[gateway]") {
  auto body = audio_part("RIFF") + event_part() + "--b0und--";
  CHECK(refusal(body, "Multipart/Form-Data; charset=utf-8; boundary=\"b0und\"") == "accepted");
  CHECK(refusal(part("name=event", about) + audio_part("RIFF") + end) == "accepted");
  CHECK(refusal(event_part(R"({"id":"e","user":"u","at":"2025-12-17T09:30:00Z",)"
                           R"("kind":"ai_interaction","modality":"voice"})") +
                audio_part("RIFF") + end) == "accepted");
}

TEST_CASE("what is wrong with a form is said", "[gateway]") {
  auto whole = event_part() + audio_part("RIFF") + end;
  struct {
    std::string body, as, starts;
  } cases[] = {
      {whole, "multipart/form-data", "malformed"},
      {whole, "multipart/form-data; boundary=\"b0und", "malformed"},
      {whole, "multipart/form-data; boundary=" + std::string(71, 'b'), "malformed"},
      {whole, "multipart/form-data; boundary=other", "malformed"},
      {"", type, "malformed"},
      {"preamble\r\n" + whole, type, "malformed"},
      {whole.substr(0, whole.size() - 4), type, "malformed"},
      {whole + "more", type, "malformed"},
      {event_part(), type, "malformed"},
      {"--b0und\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n" + end, type, "malformed"},
      {"--b0und\r\nContent-Disposition: form-data; name=\"ev\r\n\r\nx\r\n" + end, type,
       "malformed"},
      {"--b0und\r\nContent-Disposition: attachment; name=event\r\n\r\nx\r\n" + end, type,
       "malformed"},
      {"--b0und\r\nX: " + std::string(limits::form_part_head_bytes, 'x') + "\r\n\r\nx\r\n" + end,
       type, "too_large"},
      {event_part() + end, type, "missing_field: the part `audio`"},
      {audio_part("RIFF") + end, type, "missing_field: the part `event`"},
      {event_part() + event_part() + end, type, "bad_value"},
      {event_part() + audio_part("RIFF") + audio_part("RIFF") + end, type, "too_many"},
      {event_part() + part("name=\"video\"", "x") + end, type, "unknown_field"},
      {event_part() + audio_part("") + end, type, "bad_value: `audio` is empty"},
      {event_part() + part("name=\"audio\"", "RIFF") + end, type, "unsupported_media_type"},
      {event_part() + part("name=\"audio\"\r\nContent-Type: video/mp4", "x") + end, type,
       "unsupported_media_type"},
      {event_part() +
           part("name=\"audio\"\r\nContent-Type: audio/wav\r\nContent-Transfer-Encoding: base64",
                "UklGRg==") +
           end,
       type, "bad_value"},
      {part("name=\"event\"\r\nContent-Type: text/html", about) + audio_part("RIFF") + end, type,
       "unsupported_media_type"},
      {event_part() + audio_part(std::string(limits::recording_bytes + 1, 'x')) + end, type,
       "too_large"},
  };
  for (const auto& c : cases) {
    INFO(c.as << "\n" << c.body.substr(0, 300));
    CHECK_THAT(refusal(c.body, c.as), StartsWith(c.starts));
  }
}

TEST_CASE("what is wrong with the event of a form is the event's", "[gateway]") {
  auto with = [](const std::string& more) {
    return event_part(R"({"id":"e-9","user":"u","at":"2025-12-17T09:30:00Z",)" + more + "}") +
           audio_part("RIFF") + end;
  };
  CHECK_THAT(refusal(with(R"("transcript":"x")")), StartsWith("unknown_field"));
  CHECK_THAT(refusal(with(R"("confidence":1)")), StartsWith("unknown_field"));
  CHECK_THAT(refusal(with(R"("text":"x")")), StartsWith("unknown_field"));
  CHECK_THAT(refusal(with(R"("modality":"text")")), StartsWith("bad_value"));
  CHECK_THAT(refusal(with(R"("kind":"engagement")")), StartsWith("bad_value"));
  CHECK_THAT(refusal(with(R"("region":"ZZ")")), StartsWith("bad_region"));
  CHECK_THAT(refusal(event_part("{}") + audio_part("RIFF") + end), StartsWith("missing_field"));
  CHECK_THAT(refusal(event_part("{") + audio_part("RIFF") + end), StartsWith("malformed"));
  auto parsed = read(with(R"("region":"ZZ")"));
  REQUIRE(parsed);
  CHECK(parsed->id == "e-9");
}

TEST_CASE("a form that is cut anywhere is refused, and nothing is read beyond it", "[gateway]") {
  auto whole = event_part() + audio_part("RIFF") + "--b0und--";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A buffer of exactly that size, so that a sanitizer sees a step too far.
    std::vector<char> bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    INFO(size);
    CHECK(!parse::read_spoken_form({bytes.data(), bytes.size()}, type, regions()));
  }
}
