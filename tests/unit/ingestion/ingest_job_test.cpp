#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>

#include "actors/ingestion/ingest_job.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/shard.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;
using candor::ingestion::ingest_job;
using model::verdict;

namespace {

const auto now = at("2025-12-17T12:00:00Z");

model::event said(std::string id, std::string_view who, std::string text, timestamp when = now) {
  model::event e{std::move(id), user(who), when};
  e.lang = "en";
  e.utterance = model::raw_utterance{std::move(text)};
  return e;
}

/// "a…" goes to shard 0, everyone else to shard 1.
shard_id where(const user_id& u) {
  return u.value().starts_with('a') ? 0 : 1;
}

ingest_job job(std::vector<model::event> events) {
  return {std::move(events), now, 0, where};
}

template <class... Events>
std::vector<model::event> list(Events... events) {
  std::vector<model::event> all;
  (all.push_back(std::move(events)), ...);
  return all;
}

std::vector<verdict> all_accepted(std::size_t n) {
  return std::vector(n, verdict::accepted());
}

} // namespace

TEST_CASE("verdicts stand in the order of the events, whatever their shards", "[ingestion]") {
  shard s{now};
  auto j = job(list(said("1", "ann", "hiking"), said("2", "bob", "church"),
                    said("3", "amy", "cooking"), said("4", "bob", "hiking", now + 10min)));
  auto questions = j.admissions();
  REQUIRE(questions.size() == 2);
  CHECK(questions[0].size() == 2);
  CHECK(questions[0][1].event_id == "3");
  REQUIRE(questions[1].size() == 1); // what is in the future is not asked
  j.admitted(0, {verdict::accepted(), verdict::withheld(model::reason::not_notified)});
  j.admitted(1, all_accepted(1));
  auto signals = j.filter(*s.filter);
  REQUIRE(signals.size() == 1);
  REQUIRE(signals[0].size() == 1);
  CHECK(signals[0][0].header().event_id == "1");
  j.learned(0, all_accepted(1));
  CHECK(j.verdicts() ==
        std::vector<verdict>{verdict::accepted(), verdict::withheld(model::reason::sensitive),
                             verdict::withheld(model::reason::not_notified),
                             verdict::invalid("in_the_future", "more than 5 minutes ahead")});
}

TEST_CASE("five minutes ahead is now, a millisecond more is the future", "[ingestion]") {
  CHECK(job(list(said("1", "ann", "x", now + limits::future_tolerance))).admissions().size() == 1);
  CHECK(
      job(list(said("1", "ann", "x", now + limits::future_tolerance + 1ms))).admissions().empty());
}

TEST_CASE("a shard that does not answer: not tried before, unknown after", "[ingestion]") {
  shard s{now};
  auto j = job(list(said("1", "ann", "hiking"), said("2", "bob", "hiking")));
  j.admitted(0, {});
  j.admitted(1, all_accepted(1));
  auto signals = j.filter(*s.filter);
  CHECK(signals.size() == 1);
  j.learned(1, {});
  CHECK(j.verdicts() == std::vector<verdict>{verdict::overloaded(), verdict::unknown()});
}

TEST_CASE("what was not admitted is not looked at", "[ingestion]") {
  shard s{now};
  auto j = job(list(said("1", "ann", "church")));
  j.admitted(0, {verdict::withheld(model::reason::region_excluded)});
  CHECK(j.filter(*s.filter).empty());
  CHECK(j.verdicts()[0] == verdict::withheld(model::reason::region_excluded));
}

TEST_CASE("a hook adds blocks to what the filter lets pass, and is never asked about the rest",
          "[ingestion]") {
  shard s{now};
  auto script = s.folder.path() / "hook.py";
  auto asked = s.folder.path() / "asked";
  // Says of everything but tents that it may pass, of what the filter withheld too.
  std::ofstream{script} << R"(
import json, sys
asked = open(sys.argv[1], "a")
for line in sys.stdin:
    asked.write(line); asked.flush()
    q = json.loads(line)
    print(json.dumps({"id": q["id"], "sensitive": ["tents"] if "tent" in q["text"] else []}), flush=True)
)";
  auto hook =
      topic_filter::hook::start({{"/usr/bin/python3", script.string(), asked.string()}, 20s});
  REQUIRE(hook);
  auto j = job(list(said("1", "ann", "hiking"), said("2", "bob", "hiking with a tent"),
                    said("3", "amy", "church and hiking"), said("4", "ann", "a tent for hiking"),
                    said("5", "amy", "hiking again")));
  j.admitted(0, all_accepted(4));
  j.admitted(1, all_accepted(1));
  auto signals = j.filter(*s.filter, hook->get());
  REQUIRE(signals.size() == 1); // nothing is left for the shard of bob
  REQUIRE(signals[0].size() == 2);
  CHECK(signals[0][0].header().event_id == "1");
  CHECK(signals[0][1].header().event_id == "5");
  j.learned(0, all_accepted(2));
  auto withheld = verdict::withheld(model::reason::sensitive);
  CHECK(j.verdicts() == std::vector<verdict>{verdict::accepted(), withheld, withheld, withheld,
                                             verdict::accepted()});
  std::ifstream from{asked};
  std::string all{std::istreambuf_iterator<char>{from}, {}};
  CHECK_THAT(all, Catch::Contains("hiking again") && !Catch::Contains("church"));

  ::kill((*hook)->process(), SIGKILL);
  auto later = job(list(said("6", "ann", "hiking"), said("7", "ann", "church")));
  later.admitted(0, all_accepted(2));
  CHECK(later.filter(*s.filter, hook->get()).empty());
  CHECK(later.verdicts() == std::vector<verdict>{withheld, withheld});
}

namespace {

using outcome = model::hearing::outcome;

/// A voice of which there is sound alone, as the gateway reads it.
model::event spoken(std::string id, std::string_view who, std::string lang = "en") {
  model::event e{std::move(id), user(who), now};
  e.lang = std::move(lang);
  e.modality = model::modality::voice;
  e.confidence = 0;
  e.recording = model::raw_recording{"RIFF", "audio/wav"};
  return e;
}

model::hearing heard(std::string words, double confidence, std::string lang = {}) {
  return {outcome::heard, model::raw_utterance{std::move(words)}, confidence, std::move(lang)};
}

/// What becomes of a recording of which this was heard.
verdict verdict_on(model::hearing what, std::string lang = "en") {
  shard s{now};
  auto j = job(list(spoken("1", "ann", std::move(lang))));
  j.admitted(0, all_accepted(1));
  REQUIRE(j.unheard() == std::vector<std::size_t>{0});
  CHECK(j.take_recording(0).recording.size() == 4);
  j.heard(0, std::move(what));
  if (!j.filter(*s.filter).empty())
    j.learned(0, all_accepted(1));
  return j.verdicts()[0];
}

} // namespace

TEST_CASE("a recording is judged by what was heard in it", "[ingestion]") {
  CHECK(verdict_on(heard("hiking", 0.9)) == verdict::accepted());
  CHECK(verdict_on(heard("church", 0.9)) == verdict::withheld(model::reason::sensitive));
}

TEST_CASE("a recording that was not understood is withheld, and one not tried is sent again",
          "[ingestion]") {
  auto withheld = verdict::withheld(model::reason::sensitive);
  CHECK(verdict_on(heard("hiking", 0.3)) == withheld);
  CHECK(verdict_on({}) == withheld);
  model::hearing not_tried;
  not_tried.is = outcome::not_tried;
  CHECK(verdict_on(std::move(not_tried)) == verdict::overloaded());
}

TEST_CASE("a recording to which nobody listened is withheld", "[ingestion]") {
  shard s{now};
  auto j = job(list(spoken("1", "ann")));
  j.admitted(0, all_accepted(1));
  CHECK(j.filter(*s.filter).empty());
  CHECK(j.verdicts()[0] == verdict::withheld(model::reason::sensitive));
}

TEST_CASE("nobody listens to what was not admitted", "[ingestion]") {
  auto j = job(list(spoken("1", "ann"), spoken("2", "ann"), said("3", "ann", "hiking")));
  j.admitted(0, {verdict::duplicate(), verdict::withheld(model::reason::not_notified),
                 verdict::accepted()});
  CHECK(j.unheard().empty());
}

TEST_CASE("where event and transcriber name different languages, the terms of all of them count",
          "[ingestion]") {
  auto sensitive = verdict::withheld(model::reason::sensitive);
  CHECK(verdict_on(heard("hiking", 0.9), "de") == sensitive); // this filter knows no German
  CHECK(verdict_on(heard("hiking", 0.9, "en"), "de") == verdict::accepted());
  CHECK(verdict_on(heard("church", 0.9, "en"), "de") == sensitive);
  CHECK(verdict_on(heard("hiking", 0.9, "EN-us"), "en-GB") == verdict::accepted());
  CHECK(verdict_on(heard("hiking", 0.9, "en"), "") == verdict::accepted());
  CHECK(verdict_on(heard("hiking", 0.9, "de"), "") == sensitive);
}
