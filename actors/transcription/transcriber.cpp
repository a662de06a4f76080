#include "actors/transcription/transcriber.hpp"

#include "actors/transcription/command.hpp"
#include "actors/transcription/transcript.hpp"
#include "storage/base/log.hpp"
#include "storage/base/operators_program.hpp"
#include "storage/base/wipe.hpp"

namespace candor::transcription {

namespace {

using std::chrono::steady_clock;

prometheus::Counter& outcome(const char* is) {
  return metrics::counter("candor_transcription_commands_total", "Runs of the transcriber.",
                          {{"outcome", is}});
}

} // namespace

transcriber::transcriber(transcriber_options options)
  : options_{std::move(options)}
  , heard_{outcome("heard")}
  , failed_{outcome("failed")}
  , late_{outcome("timed_out")}
  , unreadable_{outcome("unreadable")}
  , seconds_{metrics::seconds("candor_transcription_seconds", "One run of the transcriber.")} {
  CANDOR_ASSERT(!options_.command.empty() && options_.at_once > 0);
}

model::hearing transcriber::hear(model::raw_recording recording, const std::string& lang,
                                 const std::atomic<bool>& stopped) const {
  command_run run_of;
  run_of.words = options_.command;
  run_of.environment = operators_program::plain_environment();
  run_of.environment.push_back("CANDOR_LANGUAGE=" + lang);
  run_of.environment.push_back("CANDOR_MEDIA_TYPE=" + recording.media_type());
  run_of.input = recording.bytes(model::raw_recording::reader{});
  run_of.answer_bytes_max = limits::transcript_answer_bytes;
  run_of.deadline = options_.deadline;
  auto started = steady_clock::now();
  auto answer = run(run_of, stopped);
  seconds_.Observe(std::chrono::duration<double>(steady_clock::now() - started).count());

  model::hearing made;
  if (!answer && answer.error().code == errc::unavailable) {
    made.is = model::hearing::outcome::not_tried;
    return made;
  }
  if (!answer) {
    (answer.error().code == errc::timed_out ? late_ : failed_).Increment();
    log::warn("transcription", "withheld: {}", answer.error().detail);
    return made;
  }
  auto said = parse_transcript(*answer);
  wipe(*answer);
  if (!said) {
    unreadable_.Increment();
    log::warn("transcription", "withheld: {}", said.error().detail);
    return made;
  }
  heard_.Increment();
  made.is = model::hearing::outcome::heard;
  made.words = model::raw_utterance{std::move(said->words)};
  made.confidence = said->confidence;
  made.lang = std::move(said->language);
  return made;
}

} // namespace candor::transcription
