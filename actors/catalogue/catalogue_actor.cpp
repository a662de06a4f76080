#include "actors/catalogue/catalogue_actor.hpp"

#include <algorithm>
#include <map>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"

namespace candor::catalogue {

namespace {

constexpr auto pull_every = std::chrono::milliseconds{25};
constexpr auto pull_deadline = limits::feed_behind_max;
constexpr auto early_share = 10; ///< of its time, what it publishes between two ticks takes a tenth

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
        [this](changed_atom, shard_id shard) {
          if (shard >= feeds_.size())
            return;
          feeds_[shard].hurried = true;
          pull(shard);
        },
        [this](const list_items& m) { return list(m); },
    };
  }

private:
  /// What one shard said.
  struct feed {
    std::uint64_t opening = 0, after = 0;
    bool asked = false;
    bool hurried = false; ///< it has news that are waited for
    bool fresh = false;   ///< it was heard of lately
    millis heard{0};      ///< monotonic
    std::map<std::string, std::shared_ptr<const model::live_campaign>> campaigns;
    std::map<std::string, std::shared_ptr<const model::content_item>> content;
  };

  void pull(shard_id shard) {
    auto& f = feeds_[shard];
    auto fresh = f.opening != 0 && time_.monotonic() - f.heard <= limits::feed_behind_max;
    all_changed_ |= fresh != std::exchange(f.fresh, fresh);
    if (std::exchange(f.asked, true))
      return;
    auto asked_at = time_.monotonic();
    auto hurried = std::exchange(f.hurried, false);
    request(shards_->primary(shard), pull_deadline, pull_catalogue{shard, f.opening, f.after})
        .then(
            [this, shard, asked_at, hurried](const catalogue_news& news) {
              auto& f = feeds_[shard];
              f.asked = false;
              take(f, news);
              if (!news.more)
                f.heard = asked_at;
              if (hurried && time_.monotonic() >= no_early_before_)
                publish();
              if (f.hurried) // what was asked for before it happened
                pull(shard);
            },
            [this, shard](const caf::error&) { feeds_[shard].asked = false; });
  }

  void take(feed& f, const catalogue_news& news) {
    if (news.whole) {
      all_changed_ |= !f.campaigns.empty() || !f.content.empty();
      f.campaigns.clear();
      f.content.clear();
    }
    f.opening = news.opening;
    f.after = news.up_to;
    for (const auto& item : news.items)
      if (static_cast<model::item_kind>(item.kind) == model::item_kind::campaign) {
        take_campaign(f, item);
        note_change(f, f.campaigns, changed_campaigns_, item.id);
      } else {
        take_content(f, item);
        note_change(f, f.content, changed_content_, item.id);
      }
  }

  /// By id: what it is now, or nothing where it is gone.
  template <class Item>
  using changes = std::map<std::string, std::shared_ptr<const Item>>;

  template <class Item>
  static void note_change(const feed& f, const changes<Item>& all, changes<Item>& into,
                          const std::string& id) {
    if (!f.fresh) // nothing of it is shown; when it is, all is made anew
      return;
    auto it = all.find(id);
    into[id] = it == all.end() ? nullptr : it->second;
  }

  /// `from` as the changes leave it; both ascending by id.
  template <class Item, class Id>
  static std::vector<std::shared_ptr<const Item>>
  with_changes(const std::vector<std::shared_ptr<const Item>>& from, const changes<Item>& changed,
               Id id_of) {
    std::vector<std::shared_ptr<const Item>> made;
    made.reserve(from.size() + changed.size());
    auto begin = from.begin();
    for (const auto& [id, now] : changed) {
      auto at = std::ranges::lower_bound(begin, from.end(), id, {}, id_of);
      made.insert(made.end(), begin, at);
      begin = at != from.end() && id_of(*at) == id ? at + 1 : at;
      if (now)
        made.push_back(now);
    }
    made.insert(made.end(), begin, from.end());
    return made;
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
    f.campaigns.emplace(item.id, std::make_shared<const model::live_campaign>(std::move(*campaign),
                                                                              std::move(*wants)));
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
    if (!all_changed_ && changed_campaigns_.empty() && changed_content_.empty())
      return;
    auto began = time_.monotonic();
    auto campaign_id = [](const auto& c) -> const std::string& { return c->campaign.id; };
    auto content_id = [](const auto& c) -> const std::string& { return c->id; };
    model::catalogue made;
    if (std::exchange(all_changed_, false)) {
      for (const auto& f : feeds_) {
        if (!f.fresh)
          continue;
        for (const auto& [_, c] : f.campaigns)
          made.campaigns.push_back(c);
        for (const auto& [_, c] : f.content)
          made.content.push_back(c);
      }
      std::ranges::sort(made.campaigns, {}, campaign_id);
      std::ranges::sort(made.content, {}, content_id);
    } else {
      auto shown = shelf_.newest();
      made.campaigns = with_changes(shown->campaigns, changed_campaigns_, campaign_id);
      made.content = with_changes(shown->content, changed_content_, content_id);
    }
    changed_campaigns_.clear();
    changed_content_.clear();
    campaigns_.Set(static_cast<double>(made.campaigns.size()));
    content_.Set(static_cast<double>(made.content.size()));
    shelf_.put(std::make_shared<const model::catalogue>(std::move(made)));
    auto ended = time_.monotonic();
    no_early_before_ = ended + (early_share - 1) * (ended - began);
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
  bool all_changed_ = false;                        ///< a shard came, went or began anew
  changes<model::live_campaign> changed_campaigns_; ///< of shards that are shown, since it was put
  changes<model::content_item> changed_content_;
  millis no_early_before_{0}; ///< monotonic
};

} // namespace

catalogue_handle spawn_catalogue_actor(caf::actor_system& system,
                                       std::shared_ptr<const shard_directory> shards,
                                       model::catalogue_shelf& shelf, const clock& time) {
  return system.spawn<catalogue_actor>(std::move(shards), shelf, time);
}

} // namespace candor::catalogue
