#include "actors/ad_matching/catalogue_index.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace candor::ad_matching {

namespace {

using model::targeting::attribute;
using model::targeting::attributes;
using model::targeting::type;

constexpr std::int64_t unknown_word = -1; ///< of a request: no campaign names it
constexpr std::uint64_t gap = std::uint64_t{1} << 32;

index::schema to_schema() {
  index::schema made;
  for (const auto& a : model::targeting::schema())
    made.push_back({std::string{a.name}, a.type == type::list   ? index::value_kind::list
                                         : a.type == type::flag ? index::value_kind::flag
                                                                : index::value_kind::number});
  return made;
}

} // namespace

catalogue_index::catalogue_index() {
  make();
}

bool catalogue_index::same_wish(const entry& a, const model::live_campaign& b) {
  const auto &x = a.campaign->campaign, &y = b.campaign;
  return x.quality == y.quality && x.relevance == y.relevance && a.campaign->wants == b.wants;
}

std::int64_t catalogue_index::number_of(attribute a, const std::string& word) {
  auto& known = words_[static_cast<std::size_t>(a)];
  return known.emplace(word, static_cast<std::int64_t>(known.size())).first->second;
}

index::campaign catalogue_index::translate(const entry& e) {
  using model::targeting::operation;
  const auto& c = e.campaign->campaign;
  index::campaign made;
  made.id = e.place;
  // Within what the index takes, whatever a record says.
  made.bid_micros = std::clamp<std::int64_t>(c.bid_micros, 0, index::bid_most);
  made.quality = std::max<std::uint8_t>(1, c.quality);
  made.paused = c.paused || e.sensitive || c.bid_micros < reserve_micros;
  for (const auto& t : c.relevance)
    made.relevance.push_back({t.topic, t.weight});
  const auto& nodes = e.campaign->wants.nodes();
  auto put = [&](const auto& self, std::uint32_t from) -> void {
    const auto& n = nodes[from];
    auto at = made.wish.nodes.size();
    index::node into;
    into.attribute = static_cast<std::uint16_t>(n.attribute);
    into.first = static_cast<std::uint32_t>(made.wish.values.size());
    auto is_leaf = false;
    switch (n.what) {
      case operation::all:
        into.what = index::operation::all;
        break;
      case operation::any:
        into.what = index::operation::any;
        break;
      case operation::negation:
        into.what = index::operation::negation;
        break;
      case operation::at_least:
      case operation::at_most:
        into.what =
            n.what == operation::at_least ? index::operation::at_least : index::operation::at_most;
        made.wish.values.push_back(n.number);
        is_leaf = true;
        break;
      case operation::flag:
        into.what = index::operation::in;
        made.wish.values.push_back(1);
        is_leaf = true;
        break;
      default:
        into.what = n.what == operation::in       ? index::operation::in
                    : n.what == operation::not_in ? index::operation::not_in
                    : n.what == operation::one_of ? index::operation::one_of
                    : n.what == operation::all_of ? index::operation::all_of
                                                  : index::operation::none_of;
        for (const auto& word : n.values)
          made.wish.values.push_back(number_of(n.attribute, word));
        is_leaf = true;
    }
    into.count = static_cast<std::uint32_t>(made.wish.values.size()) - into.first;
    made.wish.nodes.push_back(into);
    if (!is_leaf)
      for (auto child : n.children)
        self(self, child);
    made.wish.nodes[at].end = static_cast<std::uint32_t>(made.wish.nodes.size());
  };
  if (!nodes.empty())
    put(put, 0);
  return made;
}

void catalogue_index::make() {
  for (auto& known : words_)
    known.clear();
  std::vector<index::campaign> campaigns;
  campaigns.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    entries_[i].place = (i + 1) * gap;
    campaigns.push_back(translate(entries_[i]));
  }
  auto made = index::ad_index::make(to_schema(), campaigns, entries_.size() / 4 + 64);
  // The bounds of the language and of a campaign are stricter than the index's own.
  CANDOR_ASSERT(made.has_value());
  index_ = std::move(*made);
  size_when_made_ = entries_.size();
  ++times_made_;
}

/// Takes `next` over if it can be done in place.
bool catalogue_index::change(std::vector<entry>& next) {
  auto old = entries_.begin();
  auto leave = [&](const entry& e) { index_->remove(e.place); };
  for (std::size_t i = 0; i < next.size(); ++i) {
    auto& e = next[i];
    while (old != entries_.end() && old->campaign->campaign.id < e.campaign->campaign.id)
      leave(*old++);
    auto is_known = old != entries_.end() && old->campaign->campaign.id == e.campaign->campaign.id;
    if (is_known) {
      e.place = old->place;
      if (old->campaign == e.campaign) {
        ++old;
        continue;
      }
      auto now = translate(e);
      if (same_wish(*old, *e.campaign)) {
        index_->set_bid(e.place, now.bid_micros);
        if (now.paused)
          index_->pause(e.place);
        else
          index_->resume(e.place);
        ++old;
        continue;
      }
      leave(*old++);
    } else {
      auto before = i == 0 ? 0 : next[i - 1].place;
      auto after = old == entries_.end() ? before + 2 * gap : old->place;
      e.place = before + (after - before) / 2;
      if (e.place == before)
        return false;
    }
    auto done = index_->add(translate(e));
    CANDOR_ASSERT(done.has_value());
    if (*done != index::ad_index::added::yes)
      return false;
  }
  while (old != entries_.end())
    leave(*old++);
  entries_ = std::move(next);
  return true;
}

void catalogue_index::follow(const std::shared_ptr<const model::catalogue>& newest) {
  if (newest == followed_)
    return;
  std::vector<entry> next;
  next.reserve(newest->campaigns.size());
  auto old = entries_.begin();
  for (const auto& c : newest->campaigns) {
    while (old != entries_.end() && old->campaign->campaign.id < c->campaign.id)
      ++old;
    entry e{0, c, false};
    if (old != entries_.end() && old->campaign == c)
      e.sensitive = old->sensitive;
    else
      e.sensitive = names_no_interest(*c);
    next.push_back(std::move(e));
  }
  // Values that come up later share columns, so an index that has grown much is slow.
  if (next.size() > size_when_made_ + size_when_made_ / 4 + 32 || !change(next)) {
    entries_ = std::move(next);
    make();
  }
  followed_ = newest;
}

const catalogue_index::entry& catalogue_index::at_place(std::uint64_t place) const {
  return *std::ranges::lower_bound(entries_, place, {}, &entry::place);
}

index::request catalogue_index::to_request(const ad_request& asked, const attributes& of) const {
  index::request made;
  made.numbers.resize(model::targeting::attribute_count);
  made.lists.resize(model::targeting::attribute_count);
  for (const auto& a : model::targeting::schema()) {
    auto i = static_cast<std::size_t>(a.id);
    auto known = [&](const std::string& word) {
      auto it = words_[i].find(word);
      return it == words_[i].end() ? unknown_word : it->second;
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

/// The first k and one more, best first.
std::vector<const catalogue_index::entry*>
catalogue_index::best(const ad_request& asked, const attributes& of, std::size_t k) {
  auto request = to_request(asked, of);
  auto admits = [&](std::uint64_t place) {
    return !why_not_besides_targeting(*at_place(place).campaign, asked);
  };
  std::vector<const entry*> found;
  for (const auto& x : search_.best(*index_, request, k, admits).best)
    found.push_back(&at_place(x.id));
  return found;
}

std::vector<winner> catalogue_index::match(const ad_request& asked, std::size_t k) {
  auto of = attributes_of(asked.who, asked.on, asked.now);
  std::vector<std::shared_ptr<const model::live_campaign>> eligible;
  for (const auto* e : best(asked, of, k))
    eligible.push_back(e->campaign);
  return winners_of(eligible, asked, of, k);
}

objection catalogue_index::standing(const ad_request& asked, const std::string& id, std::size_t k) {
  auto own = std::ranges::lower_bound(entries_, id, {},
                                      [](const entry& e) { return e.campaign->campaign.id; });
  if (own == entries_.end() || own->campaign->campaign.id != id)
    return not_found();
  auto of = attributes_of(asked.who, asked.on, asked.now);
  if (auto found = why_not(*own->campaign, asked, of))
    return found;
  std::vector<std::shared_ptr<const model::live_campaign>> eligible;
  for (const auto* e : best(asked, of, k))
    eligible.push_back(e->campaign);
  if (std::ranges::find(eligible, own->campaign) == eligible.end())
    eligible.push_back(own->campaign);
  return standing_among(eligible, asked, id, k);
}

} // namespace candor::ad_matching
