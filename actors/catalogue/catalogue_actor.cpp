#include "actors/catalogue/catalogue_actor.hpp"

#include "actors/catalogue/catalogue_feeds.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/metrics.hpp"

namespace candor::catalogue {

namespace {

constexpr auto pull_every = std::chrono::milliseconds{25};
constexpr auto pull_deadline = limits::feed_behind_max;
constexpr auto early_share = 10; ///< of its time, what it hands on between two ticks takes a tenth

using self_handle = catalogue_handle::extend<caf::reacts_to<tick_atom>>;

class catalogue_actor final : public self_handle::base {
public:
  catalogue_actor(caf::actor_config& config, std::shared_ptr<const shard_directory> shards,
                  model::campaigns_follower follow, model::content_shelf& shelf,
                  const candor::clock& time)
    : self_handle::base{config}
    , shards_{std::move(shards)}
    , follow_{std::move(follow)}
    , shelf_{shelf}
    , time_{time}
    , feeds_{shards_->size()}
    , pulls_(shards_->size())
    , campaigns_{metrics::gauge("candor_catalogue_campaigns",
                                "Campaigns in this node's catalogue.")}
    , content_{metrics::gauge("candor_catalogue_content", "Items in this node's catalogue.")}
    , whole_{metrics::counter("candor_catalogue_whole_total",
                              "Times that all campaigns were handed on, since a change was "
                              "missing.")} {}

  const char* name() const override { return "catalogue"; }

  behavior_type make_behavior() override {
    delayed_send(this, pull_every, tick_atom_v);
    return {
        [this](tick_atom) {
          delayed_send(this, pull_every, tick_atom_v);
          for (std::size_t i = 0; i < pulls_.size(); ++i)
            pull(static_cast<shard_id>(i));
          hand_on();
        },
        [this](changed_atom, shard_id shard) {
          if (shard >= pulls_.size())
            return;
          pulls_[shard].hurried = true;
          pull(shard);
        },
        [this](const list_items& m) { return feeds_.list(m); },
    };
  }

private:
  struct under_way {
    bool asked = false;
    bool hurried = false; ///< there are news that are waited for
  };

  void pull(shard_id shard) {
    auto& p = pulls_[shard];
    feeds_.look_at(shard, time_.monotonic());
    if (std::exchange(p.asked, true))
      return;
    auto asked_at = time_.monotonic();
    auto hurried = std::exchange(p.hurried, false);
    request(shards_->primary(shard), pull_deadline, feeds_.to_ask(shard))
        .then(
            [this, shard, asked_at, hurried](const catalogue_news& news) {
              auto& p = pulls_[shard];
              p.asked = false;
              feeds_.take(shard, news, asked_at);
              if (hurried && time_.monotonic() >= no_early_before_)
                hand_on();
              if (p.hurried) // what was asked for before it happened
                pull(shard);
            },
            [this, shard](const caf::error&) { pulls_[shard].asked = false; });
  }

  void hand_on() {
    auto began = time_.monotonic();
    auto campaigns = feeds_.campaigns_changed();
    auto content = feeds_.content_changed();
    if (!campaigns && !content)
      return;
    // No change is lost between here and there: it is a call, and the numbers are made here. Were
    // one missing, it would show as a campaign that is not seen or never goes; so it is looked at,
    // and whoever sees this counter move has found a defect.
    if (campaigns && !follow_(*campaigns)) {
      whole_.Increment();
      follow_(feeds_.whole());
    }
    if (content)
      shelf_.put(std::move(content));
    campaigns_.Set(static_cast<double>(feeds_.campaign_count()));
    content_.Set(static_cast<double>(feeds_.content_count()));
    auto ended = time_.monotonic();
    no_early_before_ = ended + (early_share - 1) * (ended - began);
  }

  std::shared_ptr<const shard_directory> shards_;
  model::campaigns_follower follow_;
  model::content_shelf& shelf_;
  const candor::clock& time_;
  catalogue_feeds feeds_;
  std::vector<under_way> pulls_;
  prometheus::Gauge& campaigns_;
  prometheus::Gauge& content_;
  prometheus::Counter& whole_;
  millis no_early_before_{0}; ///< monotonic
};

} // namespace

catalogue_handle spawn_catalogue_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       model::campaigns_follower campaigns,
                                       model::content_shelf& content, const clock& time) {
  return system.spawn<catalogue_actor>(std::move(shards), std::move(campaigns), content, time);
}

} // namespace candor::catalogue
