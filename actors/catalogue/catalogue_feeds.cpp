#include "actors/catalogue/catalogue_feeds.hpp"

#include <algorithm>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"

namespace candor::catalogue {

namespace {

/// Null: it is gone, or cannot be read (which is logged).
void read(const std::string& bytes, std::shared_ptr<const model::live_campaign>& into) {
  auto campaign = model::decode_campaign(bytes);
  if (!campaign)
    return log::error("catalogue", "a campaign is left out: {}", campaign.error().to_string());
  auto wants = model::targeting::expression::parse(campaign->targeting);
  if (!wants)
    return log::error("catalogue", "a campaign is left out: {}", wants.error().to_string());
  into = std::make_shared<const model::live_campaign>(std::move(*campaign), std::move(*wants));
}

void read(const std::string& bytes, std::shared_ptr<const model::content_item>& into) {
  auto content = model::decode_content_item(bytes);
  if (!content)
    return log::error("catalogue", "an item is left out: {}", content.error().to_string());
  into = std::make_shared<const model::content_item>(std::move(*content));
}

const std::string& id_of(const std::shared_ptr<const model::content_item>& c) {
  return c->id;
}

/// `from` as the changes leave it; both ascending by id.
model::content_list
with_changes(const model::content_list& from,
             const std::map<std::string, std::shared_ptr<const model::content_item>>& changed) {
  model::content_list made;
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

} // namespace

template <class Item>
void catalogue_feeds::said<Item>::begin_anew() {
  for (const auto& [id, _] : items)
    unsaid.insert(unsaid.end(), id);
}

template <class Item>
void catalogue_feeds::said<Item>::end(bool shown, by_id<Item>& changed) {
  for (const auto& id : unsaid) {
    items.erase(id);
    if (shown)
      changed[id] = nullptr;
  }
  unsaid.clear();
}

template <class Item>
void catalogue_feeds::said<Item>::take(const changed_item& item, bool shown, by_id<Item>& changed) {
  unsaid.erase(item.id);
  std::shared_ptr<const Item> now;
  if (!item.bytes.empty())
    read(item.bytes, now);
  if (shown)
    changed[item.id] = now;
  if (now)
    items[item.id] = std::move(now);
  else
    items.erase(item.id);
}

template <class Item>
void catalogue_feeds::said<Item>::come_or_go(bool shown, by_id<Item>& changed) const {
  for (const auto& [id, now] : items)
    changed[id] = shown ? now : nullptr;
}

pull_catalogue catalogue_feeds::to_ask(shard_id shard) const {
  return {shard, feeds_[shard].opening, feeds_[shard].after};
}

void catalogue_feeds::take(shard_id shard, const catalogue_news& news, millis asked_at) {
  auto& f = feeds_[shard];
  if (news.whole) {
    f.campaigns.begin_anew();
    f.content.begin_anew();
  }
  f.opening = news.opening;
  f.after = news.up_to;
  for (const auto& item : news.items)
    if (static_cast<model::item_kind>(item.kind) == model::item_kind::campaign)
      f.campaigns.take(item, f.shown, changed_campaigns_);
    else
      f.content.take(item, f.shown, changed_content_);
  if (news.more)
    return;
  f.campaigns.end(f.shown, changed_campaigns_);
  f.content.end(f.shown, changed_content_);
  f.heard = asked_at;
}

void catalogue_feeds::look_at(shard_id shard, millis now) {
  auto& f = feeds_[shard];
  auto lately = f.heard && now - *f.heard <= limits::feed_behind_max;
  if (std::exchange(f.shown, lately) == lately)
    return;
  f.campaigns.come_or_go(lately, changed_campaigns_);
  f.content.come_or_go(lately, changed_content_);
}

std::optional<model::campaigns_change> catalogue_feeds::campaigns_changed() {
  if (changed_campaigns_.empty())
    return std::nullopt;
  model::campaigns_change made{++number_, false, {}};
  made.items.reserve(changed_campaigns_.size());
  for (auto& [id, now] : changed_campaigns_)
    made.items.push_back({id, std::move(now)});
  changed_campaigns_.clear();
  return made;
}

model::campaigns_change catalogue_feeds::whole() const {
  model::campaigns_change made{number_, true, {}};
  made.items.reserve(campaign_count());
  for (const auto& f : feeds_)
    if (f.shown)
      for (const auto& [id, now] : f.campaigns.items)
        made.items.push_back({id, now});
  std::ranges::sort(made.items, {}, &model::campaigns_change::item::id);
  return made;
}

std::shared_ptr<const model::content_list> catalogue_feeds::content_changed() {
  if (changed_content_.empty())
    return nullptr;
  content_ = std::make_shared<const model::content_list>(with_changes(*content_, changed_content_));
  changed_content_.clear();
  return content_;
}

std::size_t catalogue_feeds::campaign_count() const {
  std::size_t n = 0;
  for (const auto& f : feeds_)
    n += f.shown ? f.campaigns.items.size() : 0;
  return n;
}

std::size_t catalogue_feeds::content_count() const {
  return content_->size();
}

items_listed catalogue_feeds::list(const list_items& m) const {
  items_listed listed;
  auto list = [&]<class Item>(said<Item> feed::*of, auto encoded) {
    std::map<std::string_view, const Item*> found; // (an id is in one shard)
    for (const auto& f : feeds_) {
      if (!f.shown)
        continue;
      const auto& items = (f.*of).items;
      auto it = items.upper_bound(m.after);
      for (std::size_t n = 0; n < m.limit && it != items.end(); ++n, ++it)
        found.emplace(it->first, it->second.get());
    }
    for (auto it = found.begin(); it != found.end() && listed.items.size() < m.limit; ++it)
      listed.items.push_back(encoded(*it->second));
  };
  if (static_cast<model::item_kind>(m.kind) == model::item_kind::campaign)
    list(&feed::campaigns, [](const auto& c) { return model::encode(c.campaign); });
  else
    list(&feed::content, [](const auto& c) { return model::encode(c); });
  return listed;
}

} // namespace candor::catalogue
