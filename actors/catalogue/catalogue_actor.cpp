#include "actors/catalogue/catalogue_actor.hpp"

#include <map>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"

namespace candor::catalogue {

namespace {

constexpr auto pull_every = std::chrono::milliseconds{25};
constexpr auto pull_deadline = limits::feed_behind_max;

using self_handle = catalogue_handle::extend<caf::reacts_to<tick_atom>>;

class catalogue_actor final : public self_handle::base {
public:
  catalogue_actor(caf::actor_config& config, std::shared_ptr<const shard_directory> shards,
                  model::catalogue_shelf& shelf, const candor::clock& time)
    : self_handle::base{config}
    , shards_{std::move(shards)}
    , shelf_{shelf}
    , time_{time}
    , feeds_(shards_->size())
    , campaigns_{metrics::gauge("candor_catalogue_campaigns",
                                "Campaigns in this node's catalogue.")}
    , content_{metrics::gauge("candor_catalogue_content", "Items in this node's catalogue.")} {}

  const char* name() const override { return "catalogue"; }

  behavior_type make_behavior() override {
    delayed_send(this, pull_every, tick_atom_v);
    return {
        [this](tick_atom) {
          delayed_send(this, pull_every, tick_atom_v);
          for (std::size_t i = 0; i < feeds_.size(); ++i)
            pull(static_cast<shard_id>(i));
          publish();
        },
        [this](const list_items& m) { return list(m); },
    };
  }

private:
  /// What one shard said.
  struct feed {
    std::uint64_t opening = 0, after = 0;
    bool asked = false;
    bool fresh = false; ///< it was heard of lately
    millis heard{0};    ///< monotonic
    std::map<std::string, std::shared_ptr<const model::live_campaign>> campaigns;
    std::map<std::string, std::shared_ptr<const model::content_item>> content;
  };

  void pull(shard_id shard) {
    auto& f = feeds_[shard];
    auto fresh = f.opening != 0 && time_.monotonic() - f.heard <= limits::feed_behind_max;
    changed_ |= fresh != std::exchange(f.fresh, fresh);
    if (std::exchange(f.asked, true))
      return;
    auto asked_at = time_.monotonic();
    request(shards_->primary(shard), pull_deadline, pull_catalogue{shard, f.opening, f.after})
        .then(
            [this, shard, asked_at](const catalogue_news& news) {
              auto& f = feeds_[shard];
              f.asked = false;
              take(f, news);
              if (!news.more)
                f.heard = asked_at;
            },
            [this, shard](const caf::error&) { feeds_[shard].asked = false; });
  }

  void take(feed& f, const catalogue_news& news) {
    if (news.whole) {
      changed_ |= !f.campaigns.empty() || !f.content.empty();
      f.campaigns.clear();
      f.content.clear();
    }
    f.opening = news.opening;
    f.after = news.up_to;
    changed_ |= !news.items.empty();
    for (const auto& item : news.items)
      if (static_cast<model::item_kind>(item.kind) == model::item_kind::campaign)
        take_campaign(f, item);
      else
        take_content(f, item);
  }

  static void take_campaign(feed& f, const changed_item& item) {
    f.campaigns.erase(item.id);
    if (item.bytes.empty())
      return;
    auto campaign = model::decode_campaign(item.bytes);
    if (!campaign)
      return log::error("catalogue", "a campaign is left out: {}", campaign.error().to_string());
    auto wants = model::targeting::expression::parse(campaign->targeting);
    if (!wants)
      return log::error("catalogue", "a campaign is left out: {}", wants.error().to_string());
    f.campaigns.emplace(item.id, std::make_shared<const model::live_campaign>(model::live_campaign{
                                     std::move(*campaign), std::move(*wants)}));
  }

  static void take_content(feed& f, const changed_item& item) {
    f.content.erase(item.id);
    if (item.bytes.empty())
      return;
    auto content = model::decode_content_item(item.bytes);
    if (!content)
      return log::error("catalogue", "an item is left out: {}", content.error().to_string());
    f.content.emplace(item.id, std::make_shared<const model::content_item>(std::move(*content)));
  }

  void publish() {
    if (!std::exchange(changed_, false))
      return;
    model::catalogue made;
    for (const auto& f : feeds_) {
      if (!f.fresh)
        continue;
      for (const auto& [_, c] : f.campaigns)
        made.campaigns.push_back(c);
      for (const auto& [_, c] : f.content)
        made.content.push_back(c);
    }
    std::ranges::sort(made.campaigns, {}, [](const auto& c) { return c->campaign.id; });
    std::ranges::sort(made.content, {}, [](const auto& c) { return c->id; });
    campaigns_.Set(static_cast<double>(made.campaigns.size()));
    content_.Set(static_cast<double>(made.content.size()));
    shelf_.put(std::make_shared<const model::catalogue>(std::move(made)));
  }

  items_listed list(const list_items& m) const {
    items_listed listed;
    auto add = [&](const auto& all, auto id, auto encoded) {
      for (const auto& x : all)
        if (id(*x) > m.after && listed.items.size() < m.limit)
          listed.items.push_back(encoded(*x));
    };
    auto shown = shelf_.newest();
    if (static_cast<model::item_kind>(m.kind) == model::item_kind::campaign)
      add(
          shown->campaigns, [](const auto& c) { return c.campaign.id; },
          [](const auto& c) { return model::encode(c.campaign); });
    else
      add(
          shown->content, [](const auto& c) { return c.id; },
          [](const auto& c) { return model::encode(c); });
    return listed;
  }

  std::shared_ptr<const shard_directory> shards_;
  model::catalogue_shelf& shelf_;
  const candor::clock& time_;
  std::vector<feed> feeds_;
  prometheus::Gauge& campaigns_;
  prometheus::Gauge& content_;
  bool changed_ = false;
};

} // namespace

catalogue_handle spawn_catalogue_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       model::catalogue_shelf& shelf, const clock& time) {
  return system.spawn<catalogue_actor>(std::move(shards), shelf, time);
}

} // namespace candor::catalogue
