/// The way of one batch of events through a node, as a value without actors: check, ask for
/// admission, have speech turned into text, filter what was admitted, hand in what passed, collect
/// a verdict for each. Guarantees: verdicts stand in the order of the events; text is looked at,
/// and speech listened to, only after admission, and wiped as soon as it was judged; within a shard
/// the order of events is kept. Must never put text, or anything derived from it but allow-listed
/// topics, into what it hands on.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "actors/messages/messages.hpp"
#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/hook.hpp"
#include "storage/base/ids.hpp"
#include "storage/model/event.hpp"
#include "storage/model/signal.hpp"
#include "storage/model/verdict.hpp"

namespace candor::ingestion {

class ingest_job {
public:
  using shard_of = std::function<shard_id(const user_id&)>;

  /// Answers what the event alone decides: `invalid: in_the_future`.
  ingest_job(std::vector<model::event> events, timestamp received, std::uint32_t import_run,
             const shard_of& where);

  /// What each shard is asked before any text is looked at.
  std::map<shard_id, std::vector<model::admission>> admissions() const;

  /// A shard's answers, in the order of its question; or none where it gave none: those events were
  /// not tried.
  void admitted(shard_id shard, const std::vector<model::verdict>& answers);

  /// The admitted events whose words are still sound, by their places in the batch.
  std::vector<std::size_t> unheard() const;
  recording_sent take_recording(std::size_t place);

  /// What a recording came to. One that was not understood is withheld as sensitive by the filter,
  /// as is one of which nothing is told here; one that was not tried has its verdict then.
  void heard(std::size_t place, model::hearing what);

  /// Filters what was admitted, asks the hook about what passed where there is one (and waits for
  /// it), and wipes every text. What is withheld here as sensitive has its verdict then.
  std::map<shard_id, std::vector<model::sanitized_signal>>
  filter(const topic_filter::filter& by, topic_filter::hook* also = nullptr);

  /// A shard's answers to its signals; or none where it gave none: the outcome of those events is
  /// unknown.
  void learned(shard_id shard, const std::vector<model::verdict>& answers);

  const std::vector<model::verdict>& verdicts() const noexcept { return verdicts_; }

private:
  using signals = std::map<shard_id, std::vector<model::sanitized_signal>>;
  void ask_hook(topic_filter::hook& also, signals& passed);

  std::vector<model::event> events_;
  timestamp received_;
  std::uint32_t import_run_;
  std::vector<model::verdict> verdicts_;
  std::map<shard_id, std::vector<std::size_t>> waiting_; ///< events by shard, in order
};

} // namespace candor::ingestion
