#include "actors/ingestion/ingestion_actor.hpp"

#include "cluster/transport/spawn_waiting.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"

namespace candor::ingestion {

namespace {

class ingestion_actor final : public ingestion_handle::base {
public:
  ingestion_actor(caf::actor_config& config, std::shared_ptr<const shard_directory> shards,
                  std::shared_ptr<const topic_filter::live_filter> filter,
                  ingest_job::shard_of where, transcription_door transcription)
    : ingestion_handle::base{config}
    , shards_{std::move(shards)}
    , filter_{std::move(filter)}
    , where_{std::move(where)}
    , transcription_{std::move(transcription)}
    , events_{metrics::counter("candor_ingestion_events_total", "Events taken in.")}
    , withheld_{metrics::counter("candor_topic_filter_withheld_total",
                                 "Events withheld as sensitive.", {{"reason", "sensitive"}})} {}

  const char* name() const override { return "ingestion"; }

  behavior_type make_behavior() override {
    return {[this](event_batch_ptr& batch) -> caf::result<verdicts> {
      auto count = batch->events.size();
      if (jobs_ >= limits::batches_in_work || count > limits::batch_events)
        return verdicts{std::vector(count, model::verdict::overloaded())};
      events_.Increment(static_cast<double>(count));
      ++jobs_;
      auto w = std::make_shared<work>(
          work{{std::move(batch->events), batch->received, batch->import_run, where_},
               make_response_promise<verdicts>(),
               0});
      batch.reset();
      ask_each<admit_events>(w, w->job.admissions(), &ingest_job::admitted,
                             [this, w] { listen(w); });
      return caf::delegated<verdicts>{};
    }};
  }

private:
  struct work {
    ingest_job job;
    caf::typed_response_promise<verdicts> promise;
    std::size_t answers_missing = 0;
    std::map<shard_id, session_token> seen{};
  };
  using work_ptr = std::shared_ptr<work>;

  /// Has the recordings among what was admitted turned into text, then judges.
  void listen(const work_ptr& w) {
    auto places = w->job.unheard();
    if (places.empty() || !transcription_.room)
      return judge(w);
    w->answers_missing = places.size();
    for (auto place : places) {
      auto take = [this, w, place](model::hearing what) {
        w->job.heard(place, std::move(what));
        if (--w->answers_missing == 0)
          judge(w);
      };
      request(transcription_.room, transcription_.patience,
              std::make_shared<recording_sent>(w->job.take_recording(place)))
          .then([take](hearing_ptr& what) { take(std::move(*what)); },
                [take](const caf::error&) {
                  model::hearing none;
                  none.is = model::hearing::outcome::not_tried;
                  take(std::move(none));
                });
    }
  }

  void judge(const work_ptr& w) {
    // One filter for the whole batch, whatever is put in its place meanwhile.
    auto by = filter_->in_use();
    auto signals = w->job.filter(*by, filter_->also());
    ask_each<learn_signals>(w, std::move(signals), &ingest_job::learned, [this, w] { finish(w); });
  }

  void finish(const work_ptr& w) {
    --jobs_;
    verdicts answer{w->job.verdicts()};
    for (const auto& [_, token] : w->seen)
      answer.seen.push_back(token);
    for (const auto& v : answer.items)
      if (v.status == model::status::withheld && v.reason == to_string(model::reason::sensitive))
        withheld_.Increment();
    w->promise.deliver(std::move(answer));
  }

  /// Sends each shard its items, gives each answer to `take`, and goes on with `then` after the
  /// last.
  template <class Message, class Items, class Then>
  void ask_each(const work_ptr& w, std::map<shard_id, Items> items,
                void (ingest_job::*take)(shard_id, const std::vector<model::verdict>&), Then then) {
    w->answers_missing = items.size();
    if (items.empty())
      return then();
    auto arrived = [w, then] {
      if (--w->answers_missing == 0)
        then();
    };
    for (auto& [shard, list] : items) {
      Message message;
      message.shard = shard;
      message.items = std::move(list);
      request(shards_->primary(shard), limits::room_deadline, std::move(message))
          .then(
              [w, take, arrived, shard = shard](const verdicts& answer) {
                (w->job.*take)(shard, answer.items);
                for (const auto& token : answer.seen)
                  join(w->seen[shard], token);
                arrived();
              },
              [w, take, arrived, shard = shard](const caf::error&) {
                (w->job.*take)(shard, {});
                arrived();
              });
    }
  }

  std::shared_ptr<const shard_directory> shards_;
  std::shared_ptr<const topic_filter::live_filter> filter_;
  ingest_job::shard_of where_;
  transcription_door transcription_;
  prometheus::Counter& events_;
  prometheus::Counter& withheld_;
  std::size_t jobs_ = 0;
};

} // namespace

ingestion_handle spawn_ingestion_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       std::shared_ptr<const topic_filter::live_filter> filter,
                                       ingest_job::shard_of where,
                                       transcription_door transcription) {
  if (filter->also())
    return transport::spawn_waiting<ingestion_actor>(system, std::move(shards), std::move(filter),
                                                     std::move(where), std::move(transcription));
  return system.spawn<ingestion_actor>(std::move(shards), std::move(filter), std::move(where),
                                       std::move(transcription));
}

} // namespace candor::ingestion
