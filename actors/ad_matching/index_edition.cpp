#include "actors/ad_matching/index_edition.hpp"

#include <algorithm>

namespace candor::ad_matching {

namespace {

using model::targeting::attribute;
using model::targeting::attributes;
using model::targeting::type;

constexpr std::int64_t unknown_word = -1; ///< of a request: no campaign names it
constexpr std::uint64_t gap = std::uint64_t{1} << 32;
constexpr std::size_t changes_least = 256; ///< fewer wear no index
constexpr std::size_t words_of_one = 4;    ///< new ones that a later campaign names

index::schema to_schema() {
  index::schema made;
  for (const auto& a : model::targeting::schema())
    made.push_back({std::string{a.name}, a.type == type::list   ? index::value_kind::list
                                         : a.type == type::flag ? index::value_kind::flag
                                                                : index::value_kind::number});
  return made;
}

index::operation to_operation(model::targeting::operation what) {
  using from = model::targeting::operation;
  switch (what) {
    case from::all:
      return index::operation::all;
    case from::any:
      return index::operation::any;
    case from::negation:
      return index::operation::negation;
    case from::at_least:
      return index::operation::at_least;
    case from::at_most:
      return index::operation::at_most;
    case from::not_in:
      return index::operation::not_in;
    case from::one_of:
      return index::operation::one_of;
    case from::all_of:
      return index::operation::all_of;
    case from::none_of:
      return index::operation::none_of;
    case from::in:
    case from::flag: // a number of 0 or 1
      break;
  }
  return index::operation::in;
}

/// Within what the index takes, whatever a record says.
std::int64_t bid_of(const model::campaign& c) {
  return std::clamp<std::int64_t>(c.bid_micros, 0, index::bid_most);
}

std::uint8_t quality_of(const model::campaign& c) {
  return std::max<std::uint8_t>(1, c.quality);
}

bool same_wish(const model::live_campaign& a, const model::live_campaign& b) {
  const auto &x = a.campaign, &y = b.campaign;
  return x.quality == y.quality && x.relevance == y.relevance && a.wants == b.wants;
}

bool is_away(const model::campaign& c, bool sensitive) {
  return c.paused || sensitive || c.bid_micros < reserve_micros;
}

} // namespace

std::uint64_t index_edition::base_of(const model::live_campaign& c) noexcept {
  return static_cast<std::uint64_t>(bid_of(c.campaign)) * quality_of(c.campaign);
}

index_edition::index_edition(const model::campaign_list& of, std::size_t room) {
  std::vector<index::campaign> campaigns;
  campaigns.reserve(of.size());
  for (const auto& c : of) {
    entry e{(entries_.size() + 1) * gap, keep(c), no_slot, names_no_interest(*c)};
    campaigns.push_back(*translate(e)); // (no word is refused before the table is open)
    entries_.emplace_hint(entries_.end(), c->campaign.id, e);
  }
  size_when_made_ = entries_.size();
  words_.open(room * words_of_one);
  auto made = index::ad_index::make(to_schema(), campaigns, room);
  // The bounds of the language and of a campaign are stricter than the index's own.
  CANDOR_ASSERT(made.has_value());
  index_ = std::move(*made);
  by_slot_ = std::vector<std::atomic<const live*>>(index_->capacity());
  for (auto& [_, e] : entries_) {
    e.slot = static_cast<std::uint32_t>(*index_->slot_of(e.place));
    by_slot_[e.slot] = e.campaign;
  }
}

bool index_edition::is_worn() const noexcept {
  return !waits_.empty() || changes_ > size_when_made_ / 4 + changes_least;
}

model::campaign_list index_edition::campaigns_after(std::string_view id, std::size_t n) const {
  model::campaign_list made;
  for (auto it = entries_.upper_bound(id); it != entries_.end() && made.size() < n; ++it)
    made.push_back(*it->second.campaign);
  return made;
}

index_edition::live index_edition::find(std::string_view id) const {
  std::lock_guard guard{entries_mutex_};
  auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : *it->second.campaign;
}

const index_edition::live* index_edition::keep(const live& c) {
  return &kept_.emplace_back(c);
}

/// Nothing: there is no room for its words.
std::optional<index::campaign> index_edition::translate(const entry& e) {
  using model::targeting::operation;
  const auto& live = **e.campaign;
  const auto& c = live.campaign;
  index::campaign made;
  made.id = e.place;
  made.bid_micros = bid_of(c);
  made.quality = quality_of(c);
  made.paused = is_away(c, e.sensitive);
  for (const auto& t : c.relevance)
    made.relevance.push_back({t.topic, t.weight});
  const auto& nodes = live.wants.nodes();
  auto there = true;
  auto put = [&](const auto& self, std::uint32_t from) -> void {
    const auto& n = nodes[from];
    auto at = made.wish.nodes.size();
    index::node into;
    into.what = to_operation(n.what);
    into.attribute = static_cast<std::uint16_t>(n.attribute);
    into.first = static_cast<std::uint32_t>(made.wish.values.size());
    if (n.what == operation::at_least || n.what == operation::at_most)
      made.wish.values.push_back(n.number);
    else if (n.what == operation::flag)
      made.wish.values.push_back(1);
    else if (into.is_leaf())
      for (const auto& word : n.values) {
        auto number = words_.number_of(n.attribute, word);
        there &= number.has_value();
        made.wish.values.push_back(number.value_or(unknown_word));
      }
    into.count = static_cast<std::uint32_t>(made.wish.values.size()) - into.first;
    made.wish.nodes.push_back(into);
    if (!into.is_leaf())
      for (auto child : n.children)
        self(self, child);
    made.wish.nodes[at].end = static_cast<std::uint32_t>(made.wish.nodes.size());
  };
  if (!nodes.empty())
    put(put, 0);
  return there ? std::optional{std::move(made)} : std::nullopt;
}

/// Into the index, if there is room. `at` 0: there is no place in the order.
void index_edition::place(entry& e, std::uint64_t at) {
  e.slot = no_slot;
  ++changes_;
  if (at != 0 && index_->spare() != 0) {
    e.place = at;
    if (auto x = translate(e)) {
      auto slot = index_->capacity() - index_->spare();
      by_slot_[slot].store(e.campaign, std::memory_order_release); // before it can be found
      auto done = index_->add(*x);
      CANDOR_ASSERT(done.has_value() && *done == index::ad_index::added::yes);
      e.slot = static_cast<std::uint32_t>(slot);
      return;
    }
  }
  set_waiting(e, true);
}

void index_edition::set_waiting(const entry& e, bool waits) {
  waiting_changed_ = true;
  if (waits)
    waits_.insert_or_assign((*e.campaign)->campaign.id, e.campaign);
  else
    waits_.erase((*e.campaign)->campaign.id);
}

void index_edition::leave(const entry& e) {
  ++changes_;
  if (e.slot == no_slot)
    set_waiting(e, false);
  else
    index_->remove(e.place);
}

/// What asks for the same persons is changed where it lies.
void index_edition::change(entry& e, const live& c) {
  e.campaign = keep(c);
  ++changes_;
  if (e.slot == no_slot)
    return set_waiting(e, true);
  // Who reads between the two sees by `base_of` that they do not belong together.
  index_->set_bid(e.place, bid_of(c->campaign));
  by_slot_[e.slot].store(e.campaign, std::memory_order_release);
  if (is_away(c->campaign, e.sensitive))
    index_->pause(e.place);
  else
    index_->resume(e.place);
}

/// `after`: the place of the next one in the order.
void index_edition::replace(entry& e, const live& c, std::uint64_t after) {
  if (same_wish(**e.campaign, *c))
    return change(e, c);
  // Under another place, so that who still looks at the old one does not take it for the new.
  leave(e);
  e.campaign = keep(c);
  e.sensitive = names_no_interest(*c);
  place(e, e.slot != no_slot && e.place + 1 < after ? e.place + 1 : 0);
}

/// `now` null: it is gone.
void index_edition::take(std::string_view id, const live& now) {
  std::lock_guard guard{entries_mutex_};
  auto it = entries_.lower_bound(id);
  auto known = it != entries_.end() && it->first == id;
  if (!now) {
    if (known)
      drop(it);
    return;
  }
  auto next = known ? std::next(it) : it;
  auto before = it == entries_.begin() ? 0 : std::prev(it)->second.place;
  auto after = [&](std::uint64_t place) {
    return next == entries_.end() ? place + 2 * gap : next->second.place;
  };
  if (known) {
    auto& e = it->second;
    if (*e.campaign != now)
      replace(e, now, after(e.place));
    return;
  }
  auto middle = before + (after(before) - before) / 2;
  entry e{before, keep(now), no_slot, names_no_interest(*now)};
  place(e, middle == before ? 0 : middle);
  entries_.emplace_hint(it, (*e.campaign)->campaign.id, e);
}

index_edition::entries::iterator index_edition::drop(entries::iterator it) {
  leave(it->second);
  return entries_.erase(it);
}

void index_edition::follow(const model::campaigns_change& change) {
  if (change.whole) {
    std::lock_guard guard{entries_mutex_};
    auto it = entries_.begin();
    for (const auto& [id, _] : change.items) {
      while (it != entries_.end() && it->first < id)
        it = drop(it);
      if (it != entries_.end() && it->first == id)
        ++it;
    }
    while (it != entries_.end())
      it = drop(it);
  }
  for (const auto& [id, now] : change.items)
    take(id, now);
  if (std::exchange(waiting_changed_, false))
    publish_waiting();
}

void index_edition::publish_waiting() {
  auto made = std::make_shared<model::campaign_list>();
  made->reserve(waits_.size());
  for (const auto& [_, c] : waits_)
    made->push_back(*c);
  std::lock_guard guard{waiting_mutex_};
  some_wait_.store(!made->empty(), std::memory_order_release);
  waiting_ = std::move(made);
}

std::shared_ptr<const model::campaign_list> index_edition::waiting() const {
  if (!some_wait_.load(std::memory_order_acquire))
    return nullptr;
  std::lock_guard guard{waiting_mutex_};
  return waiting_;
}

index::request index_edition::to_request(const ad_request& asked, const attributes& of) const {
  index::request made;
  made.readable = index_->readable(); // before the words are looked up
  made.numbers.resize(model::targeting::attribute_count);
  made.lists.resize(model::targeting::attribute_count);
  for (const auto& a : model::targeting::schema()) {
    auto i = static_cast<std::size_t>(a.id);
    auto known = [&](const std::string& word) {
      return words_.find(a.id, word).value_or(unknown_word);
    };
    if (a.type == type::number || a.type == type::flag)
      made.numbers[i] = of.number(a.id);
    else if (a.type == type::list)
      std::ranges::transform(of.words(a.id), std::back_inserter(made.lists[i]), known);
    else if (const auto& words = of.words(a.id); !words.empty())
      made.numbers[i] = known(words.front());
  }
  if (asked.who.personal)
    for (const auto& t : model::strengths_of(asked.who.topics))
      made.interests.push_back({t.topic, t.weight});
  return made;
}

} // namespace candor::ad_matching
