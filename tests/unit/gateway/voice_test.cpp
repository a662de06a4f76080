#include <nlohmann/json.hpp>

#include "tests/unit/gateway/house.hpp"

using namespace candor;
using namespace candor::gateway_tests;
using nlohmann::json;

namespace {

const std::string form_type = "multipart/form-data; boundary=b0und";

std::string form(const std::string& id, const std::string& sound = "RIFF",
                 const std::string& sound_type = "audio/wav") {
  return "--b0und\r\nContent-Disposition: form-data; name=\"event\"\r\n"
         "Content-Type: application/json\r\n\r\n"
         R"({"id":")" +
         id +
         R"(","user":"u-42","at":"2025-12-17T09:30:00Z","lang":"en"})"
         "\r\n--b0und\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"a.wav\"\r\n"
         "Content-Type: " +
         sound_type + "\r\n\r\n" + sound + "\r\n--b0und--\r\n";
}

std::string code_of(const response& r) {
  return json::parse(r.body)["code"];
}

struct listening_house : house {
  listening_house() { put_transcriber(); }
  response say(const std::string& body, const std::string& type = form_type) {
    return ask("POST", "/v1/interactions/voice", body, type);
  }
};

} // namespace

TEST_CASE("a recording is answered with its event's verdict", "[gateway]") {
  listening_house h;
  auto r = h.say(form("e-1"));
  CHECK(r.status == 200);
  CHECK(json::parse(r.body) == json{{"id", "e-1"}, {"status", "accepted"}});
  CHECK(r.headers.contains("candor-session"));
  CHECK(json::parse(h.say(form("dup-1")).body)["status"] == "duplicate");
  CHECK(h.notes->batches == std::vector<std::vector<std::string>>{{"e-1"}, {"dup-1"}});
}

TEST_CASE("a recording that nobody had time for is to be sent again", "[gateway]") {
  listening_house h;
  auto r = h.say(form("busy-1"));
  CHECK(r.status == 429);
  CHECK(code_of(r) == "overloaded");
  CHECK(r.headers["retry-after"] == "1");
  CHECK(json::parse(r.body)["id"] == "busy-1");
}

TEST_CASE("a recording that cannot be taken is a problem that says why", "[gateway]") {
  listening_house h;
  auto json_sent = h.say(R"({"id":"e-1"})", "application/json");
  CHECK(json_sent.status == 415);
  CHECK(code_of(json_sent) == "unsupported_media_type");
  CHECK(h.say(form("e-1", "x", "video/mp4")).status == 415);
  CHECK(h.say(form("e-1", "x", "audio/wav"), "multipart/form-data").status == 400);
  auto empty = h.say(form("e-1", ""));
  CHECK(empty.status == 400);
  CHECK(code_of(empty) == "bad_value");
  auto nameless = h.say(form(""));
  CHECK(nameless.status == 400);
  auto late = h.say(form("late-1"));
  CHECK(late.status == 400);
  CHECK(code_of(late) == "too_old");
  CHECK(h.ask("GET", "/v1/interactions/voice").status == 405);
}

TEST_CASE("a recording over its limit is refused, in the part and in the whole", "[gateway]") {
  listening_house h;
  auto part = h.say(form("e-1", std::string(limits::recording_bytes + 1, 'x')));
  CHECK(part.status == 413);
  CHECK(code_of(part) == "too_large");
  auto most = limits::recording_bytes + limits::single_body_bytes;
  CHECK(h.say(form("e-1", std::string(most, 'x'))).status == 413);
  CHECK(h.say(form("e-1", std::string(limits::recording_bytes, 'x'))).status == 200);
}

TEST_CASE("a node without a transcriber says so, and names the key that it lacks", "[gateway]") {
  house h;
  auto r = h.ask("POST", "/v1/interactions/voice", form("e-1"), form_type);
  CHECK(r.status == 501);
  CHECK(code_of(r) == "no_transcriber");
  CHECK(json::parse(r.body)["detail"].get<std::string>().find("`transcriber`") !=
        std::string::npos);
  CHECK(h.notes->batches.empty());
}

TEST_CASE("an answer may take longer where speech has to be turned into text first", "[gateway]") {
  listening_house h;
  h.config.bounds.answer_deadline = 100ms;
  h.config.bounds.room_deadline = 100ms;
  h.config.hearing_patience = 300ms;
  auto started = std::chrono::steady_clock::now();
  auto r = h.say(form("hang-1"));
  CHECK(std::chrono::steady_clock::now() - started >= 400ms);
  CHECK(r.status == 503);
  CHECK(code_of(r) == "outcome_unknown");
}
