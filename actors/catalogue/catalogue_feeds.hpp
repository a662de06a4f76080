/// What the shards say of their campaigns and content, as one catalogue: takes in what each pull
/// brought, and gives out what changed since it was asked last. Pure; its shell is catalogue_actor.
///
/// Guarantees: a change of campaigns costs what it changes, and has the number after that of the
/// change before; only `whole` reads all of them. A shard that was not heard out for
/// limits::feed_behind_max is not in it, and comes and goes as a change. What a shard says anew
/// from the beginning replaces what it said before once it is said to the end, so that nothing
/// goes and comes back meanwhile. Must never show what a shard did not say.
#pragma once

#include <map>
#include <optional>
#include <set>

#include "actors/messages/messages.hpp"
#include "storage/base/time.hpp"
#include "storage/model/targeting/catalogue.hpp"

namespace candor::catalogue {

class catalogue_feeds {
public:
  explicit catalogue_feeds(std::size_t shards)
    : feeds_(shards) {}

  /// What to ask a shard.
  pull_catalogue to_ask(shard_id shard) const;
  /// What it answered to a pull of that time. Monotonic, here and below.
  void take(shard_id shard, const catalogue_news& news, millis asked_at);
  /// The shard goes if it was not heard out for too long, or comes.
  void look_at(shard_id shard, millis now);

  /// Nothing: no campaign changed since the last time.
  std::optional<model::campaigns_change> campaigns_changed();
  /// All campaigns, under the number of the last change.
  model::campaigns_change whole() const;
  /// Null: no content changed since the last time.
  std::shared_ptr<const model::content_list> content_changed();

  std::size_t campaign_count() const;
  std::size_t content_count() const;
  items_listed list(const list_items& m) const;

private:
  template <class Item>
  using by_id = std::map<std::string, std::shared_ptr<const Item>>;

  /// What one shard said of one kind.
  template <class Item>
  struct said {
    by_id<Item> items;
    std::set<std::string> unsaid; ///< before it began anew; not said again yet

    void begin_anew();
    void end(bool shown, by_id<Item>& changed);
    void take(const changed_item& item, bool shown, by_id<Item>& changed);
    void come_or_go(bool shown, by_id<Item>& changed) const;
  };

  struct feed {
    std::uint64_t opening = 0, after = 0;
    std::optional<millis> heard; ///< out: when that pull was asked
    bool shown = false;          ///< it was heard out lately
    said<model::live_campaign> campaigns;
    said<model::content_item> content;
  };

  std::vector<feed> feeds_;
  std::uint64_t number_ = 0;
  /// By id, since they were asked for: what it is now, or null where it is gone.
  by_id<model::live_campaign> changed_campaigns_;
  by_id<model::content_item> changed_content_;
  std::shared_ptr<const model::content_list> content_ =
      std::make_shared<const model::content_list>();
};

} // namespace candor::catalogue
