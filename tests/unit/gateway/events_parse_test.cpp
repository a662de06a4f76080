#include <catch2/catch.hpp>

#include "actors/gateway/parse/events.hpp"
#include "storage/base/limits.hpp"
#include "tests/unit/gateway/fixture.hpp"

using namespace candor;
using namespace candor::gateway_tests;

namespace {

parse::parsed_event read(std::string_view text) {
  return parse::parse_event_json(text, regions());
}

/// The refusal's slug and detail, or "read".
std::string refusal(std::string_view text) {
  auto parsed = read(text);
  if (parsed.event)
    return "read";
  return std::string{info(parsed.event.error().code).slug} + ": " + parsed.event.error().detail;
}

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

} // namespace

TEST_CASE("a text interaction is read with all it says", "[gateway]") {
  auto parsed = read(with(chat, R"("lang":"en")",
                          R"("lang":"en","app":"feed","region":"DE","context":["hello","hi"])"));
  REQUIRE(parsed.event);
  const auto& e = *parsed.event;
  CHECK(parsed.id == "e-1");
  CHECK(e.id == "e-1");
  CHECK(e.user.value() == "u-42");
  CHECK(format_time(e.at) == "2025-12-17T09:30:00Z");
  CHECK(e.kind == model::event_kind::ai_interaction);
  CHECK(e.modality == model::modality::text);
  CHECK(e.confidence == 1.0);
  CHECK(e.lang == "en");
  CHECK(e.app == "feed");
  REQUIRE(e.region);
  CHECK(e.region->view() == "DE");
  CHECK(e.utterance.size() ==
        std::string_view{"which hiking boots are good in winter?hellohi"}.size());
}

TEST_CASE("a voice interaction has a transcript and a confidence", "[gateway]") {
  auto parsed = read(voice);
  REQUIRE(parsed.event);
  CHECK(parsed.event->modality == model::modality::voice);
  CHECK(parsed.event->confidence == 0.75);
  CHECK(parsed.event->utterance.size() == 14);
  CHECK_THAT(refusal(with(voice, R"("confidence":0.75)", R"("confidence":1.01)")),
             StartsWith("bad_value: `confidence`"));
  CHECK_THAT(refusal(with(voice, R"("confidence":0.75)", R"("confidence":"high")")),
             StartsWith("bad_value: `confidence` is a number, not a string"));
  CHECK_THAT(refusal(with(voice, R"(,"confidence":0.75)", "")),
             StartsWith("missing_field: `confidence`"));
  CHECK_THAT(refusal(with(voice, "transcript", "text")), StartsWith("bad_value: `text`"));
}

TEST_CASE("a like is read with its object", "[gateway]") {
  auto parsed = read(like);
  REQUIRE(parsed.event);
  CHECK(parsed.event->kind == model::event_kind::engagement);
  CHECK(parsed.event->action == model::engagement_action::like);
  CHECK(parsed.event->object_id == "page-7");
  CHECK(parsed.event->object_topics ==
        std::vector{*model::find_topic("outdoors"), *model::find_topic("fitness")});
  CHECK(parsed.event->utterance.size() == 13);
}

TEST_CASE("a sensitive topic of an object is withheld, not a fault of the form", "[gateway]") {
  CHECK(refusal(with(like, "fitness", "health")) == "sensitive_topic: ");
  CHECK(read(with(like, "fitness", "health")).id == "e-3");
  CHECK(refusal(with(like, "fitness", "union")) == "sensitive_topic: ");
  CHECK(refusal(with(like, "fitness", "unknown")) ==
        "unknown_topic: `object.topics` names \"unknown\"");
  CHECK(refusal(with(like, "fitness", "hikin")) ==
        "unknown_topic: `object.topics` names \"hikin\"");
  // What is wrong is told first.
  CHECK_THAT(refusal(with(with(like, "fitness", "health"), "page-7", "")),
             StartsWith("bad_value: `object.id`"));
}

TEST_CASE("what is wrong is refused by name", "[gateway]") {
  auto [text, expected] = GENERATE(table<std::string, std::string>({
      {with(chat, "\"lang\"", "\"langg\""), "unknown_field: \"langg\""},
      {with(chat, R"("lang":"en")", R"("lang":"en","lang":"de")"),
       "bad_value: \"lang\" stands twice"},
      {with(chat, R"("id":"e-1",)", ""), "missing_field: `id`"},
      {with(chat, R"("user":"u-42",)", ""), "missing_field: `user`"},
      {with(chat, R"("at":"2025-12-17T09:30:00Z",)", ""), "missing_field: `at`"},
      {with(chat, R"("modality":"text",)", ""), "missing_field: `modality`"},
      {with(chat, R"("kind":"ai_interaction",)", ""), "missing_field: `kind`"},
      {with(chat, R"("e-1")", "17"), "bad_value: `id` is a string, not a number"},
      {with(chat, R"("e-1")", "null"), "bad_value: `id` is a string, not null"},
      {with(chat, R"("e-1")", R"("")"), "bad_value: `id` is empty"},
      {with(chat, R"("e-1")", R"("e\n1")"), "bad_value: `id` has control characters"},
      {with(chat, R"("e-1")", '"' + std::string(129, 'x') + '"'), "too_large: `id`"},
      {with(chat, "u-42", std::string(10'000, 'u')), "too_large: `user`"},
      {with(chat, "u-42", ""), "bad_value: `user`"},
      {with(chat, "2025-12-17T09:30:00Z", "1600-01-01T00:00:00Z"), "bad_time: `at`"},
      {with(chat, "2025-12-17T09:30:00Z", "2025-02-30T00:00:00Z"), "bad_time: `at`"},
      {with(chat, "2025-12-17T09:30:00Z", "yesterday"), "bad_time: `at`"},
      {with(chat, "ai_interaction", "chat"),
       "bad_value: `kind` is one of: ai_interaction, engagement"},
      {with(chat, R"("en")", R"("english!")"), "bad_value: `lang`"},
      {with(chat, R"("en")", R"("e")"), "bad_value: `lang`"},
      {with(voice, R"("US")", R"("ZZ")"), "bad_region: `region` is \"ZZ\""},
      {with(voice, R"("US")", R"("us")"), "bad_region: `region` is \"us\""},
      {with(chat, R"("lang":"en")", R"("action":"like")"), "bad_value: `action` belongs to"},
      {with(like, R"("action":"like",)", ""), "missing_field: `action`"},
      {with(like, R"("like")", R"("hate")"), "bad_value: `action` is one of: like, follow, share"},
      {with(like, "\"topics\"", "\"tags\""), "unknown_field: \"tags\" in `object`"},
      {with(like, R"({"id":"page-7","topics":["outdoors","fitness"],"text":"Winter trails"})",
            R"("page-7")"),
       "bad_value: `object`"},
      {with(chat, R"("lang":"en")", R"("context":["1","2","3","4","5","6","7","8","9"])"),
       "too_many: `context` has 9 items; the limit is 8"},
      {with(chat, R"("lang":"en")", R"("context":"hello")"), "bad_value: `context`"},
      {with(chat, "which hiking boots are good in winter?", ""), "bad_value: `text` is empty"},
      {"", "malformed"},
      {"[]", "malformed: an object is wanted, this is a list"},
      {"{}", "missing_field: `id`"},
      {chat.substr(0, chat.size() - 3), "malformed"},
      {chat + " {}", "malformed"},
      {with(chat, "boots", "b\xff\xfeoots"), "bad_utf8"},
      {with(chat, "boots", "\\udc00"), "malformed"},
      {with(chat, "boots", "\\ud800 x"), "malformed"},
      {std::string(40, '[') + std::string(40, ']'), "malformed: nested deeper than 16"},
      {with(chat, "boots", std::string(limits::single_body_bytes, 'x')), "too_large"},
  }));
  CAPTURE(text.substr(0, 300));
  CHECK_THAT(refusal(text), StartsWith(expected));
}

TEST_CASE("a refusal tells neither the text nor the user", "[gateway]") {
  auto told = refusal(with(with(chat, R"("lang":"en",)", R"("lang":"??",)"), "u-42", "CANARY-u"));
  CHECK_THAT(told, !Contains("CANARY") && !Contains("hiking"));
  auto control = refusal(with(chat, "u-42", "CANARY\\u0001"));
  CHECK_THAT(control, StartsWith("bad_value: `user`") && !Contains("CANARY"));
}

TEST_CASE("language tags have the form of BCP 47", "[gateway]") {
  auto tag = GENERATE(as<std::string>{}, "en", "pt-BR", "zh-Hant-TW", "de-CH-1996", "x-own",
                      "i-klingon", "sl-rozaj-biske-1994");
  CHECK(refusal(with(chat, R"("en")", '"' + tag + '"')) == "read");
  CHECK_THAT(refusal(with(chat, R"("en")", '"' + tag + "-\"")), StartsWith("bad_value"));
}

TEST_CASE("NDJSON is read line by line, and a broken line harms no other", "[gateway]") {
  auto body = chat + "\r\n\n" + "{\"id\":\"e-9\",\n" + with(like, "\"action\"", "\"act\"") + "\n" +
              voice; // no line end at the end
  auto stream = parse::read_ndjson(body, regions());
  auto first = stream->next();
  REQUIRE(first);
  CHECK(first->event.has_value());
  CHECK(first->line == 1);
  auto second = stream->next();
  REQUIRE(second);
  CHECK_FALSE(second->event);
  CHECK(second->line == 3);
  CHECK(second->id.empty());
  auto third = stream->next();
  REQUIRE(third);
  CHECK(third->event.error().code == errc::unknown_field);
  CHECK(third->id == "e-3");
  auto fourth = stream->next();
  REQUIRE(fourth);
  CHECK(fourth->event.has_value());
  CHECK(fourth->line == 5);
  CHECK_FALSE(stream->next());
}

TEST_CASE("a line over its limit is refused and the next is read", "[gateway]") {
  auto body = with(chat, "boots", std::string(limits::bulk_line_bytes, 'x')) + "\n" + voice + "\n";
  auto stream = parse::read_ndjson(body, regions());
  CHECK(stream->next()->event.error().code == errc::too_large);
  CHECK(stream->next()->event.has_value());
  CHECK_FALSE(stream->next());
}
