#include "actors/ingestion/ingest_job.hpp"

#include <algorithm>

#include "storage/base/ascii.hpp"
#include "storage/base/limits.hpp"

namespace candor::ingestion {

namespace {

model::admission header_of(const model::event& e, timestamp received, std::uint32_t import_run) {
  return {e.id, e.user.value(), e.at, received, e.kind, e.region, import_run};
}

} // namespace

ingest_job::ingest_job(std::vector<model::event> events, timestamp received,
                       std::uint32_t import_run, const shard_of& where)
  : events_{std::move(events)}
  , received_{received}
  , import_run_{import_run}
  , verdicts_(events_.size(), model::verdict::unknown()) {
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (events_[i].at > received_ + limits::future_tolerance)
      verdicts_[i] = model::verdict::invalid("in_the_future", "more than 5 minutes ahead");
    else
      waiting_[where(events_[i].user)].push_back(i);
  }
}

std::map<shard_id, std::vector<model::admission>> ingest_job::admissions() const {
  std::map<shard_id, std::vector<model::admission>> questions;
  for (const auto& [shard, events] : waiting_)
    for (auto i : events)
      questions[shard].push_back(header_of(events_[i], received_, import_run_));
  return questions;
}

void ingest_job::admitted(shard_id shard, const std::vector<model::verdict>& answers) {
  std::vector<std::size_t> still_waiting;
  const auto& events = waiting_.at(shard);
  for (std::size_t k = 0; k < events.size(); ++k) {
    if (k >= answers.size())
      verdicts_[events[k]] = model::verdict::overloaded();
    else if (answers[k].status == model::status::accepted)
      still_waiting.push_back(events[k]);
    else
      verdicts_[events[k]] = answers[k];
  }
  waiting_[shard] = std::move(still_waiting);
}

std::vector<std::size_t> ingest_job::unheard() const {
  std::vector<std::size_t> places;
  for (const auto& [_, events] : waiting_)
    for (auto i : events)
      if (!events_[i].recording.empty())
        places.push_back(i);
  return places;
}

recording_sent ingest_job::take_recording(std::size_t place) {
  auto& e = events_.at(place);
  return {std::move(e.recording), e.lang};
}

void ingest_job::heard(std::size_t place, model::hearing what) {
  auto& e = events_.at(place);
  if (what.is == model::hearing::outcome::not_tried) {
    verdicts_[place] = model::verdict::overloaded();
    for (auto& [_, events] : waiting_)
      std::erase(events, place);
  }
  if (what.is != model::hearing::outcome::heard)
    return; // its confidence is 0 still
  e.utterance.take_text(what.words);
  e.confidence = what.confidence;
  // Where the event and the transcriber name different languages, nobody knows whose words these
  // are: the filter judges by all it has.
  auto primary = [](const std::string& tag) { return tag.substr(0, tag.find('-')); };
  if (e.lang.empty())
    e.lang = std::move(what.lang);
  else if (!what.lang.empty() && !same_letters(primary(e.lang), primary(what.lang)))
    e.lang.clear();
}

std::map<shard_id, std::vector<model::sanitized_signal>>
ingest_job::filter(const topic_filter::filter& by, topic_filter::hook* also) {
  std::map<shard_id, std::vector<model::sanitized_signal>> passed;
  for (auto& [shard, events] : waiting_) {
    std::vector<std::size_t> still_waiting;
    for (auto i : events) {
      const auto& e = events_[i];
      if (auto signal = by.sanitize(header_of(e, received_, import_run_), e)) {
        passed[shard].push_back(std::move(*signal));
        still_waiting.push_back(i);
      } else {
        verdicts_[i] = model::verdict::withheld(model::reason::sensitive);
      }
    }
    events = std::move(still_waiting);
  }
  if (also)
    ask_hook(*also, passed);
  for (auto& e : events_) {
    e.utterance.wipe();
    e.recording.wipe();
  }
  return passed;
}

/// A shard's waiting events and its signals stand in the same order.
void ingest_job::ask_hook(topic_filter::hook& also, signals& passed) {
  std::vector<topic_filter::hook_question> questions;
  for (const auto& [shard, _] : passed)
    for (auto i : waiting_.at(shard))
      questions.push_back(topic_filter::filter::ask_hook(events_[i]));
  auto pass = also.lets_pass(questions);
  std::size_t question = 0;
  for (auto it = passed.begin(); it != passed.end();) {
    auto& events = waiting_.at(it->first);
    std::vector<std::size_t> still_waiting;
    std::vector<model::sanitized_signal> kept;
    for (std::size_t k = 0; k < events.size(); ++k)
      if (pass[question++]) {
        still_waiting.push_back(events[k]);
        kept.push_back(std::move(it->second[k]));
      } else {
        verdicts_[events[k]] = model::verdict::withheld(model::reason::sensitive);
      }
    events = std::move(still_waiting);
    it->second = std::move(kept);
    it = it->second.empty() ? passed.erase(it) : std::next(it);
  }
}

void ingest_job::learned(shard_id shard, const std::vector<model::verdict>& answers) {
  const auto& events = waiting_.at(shard);
  for (std::size_t k = 0; k < events.size() && k < answers.size(); ++k)
    verdicts_[events[k]] = answers[k];
  waiting_.erase(shard);
}

} // namespace candor::ingestion
