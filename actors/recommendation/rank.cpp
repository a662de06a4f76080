#include "actors/recommendation/rank.hpp"

#include <algorithm>

#include "storage/model/domain.hpp"
#include "storage/model/user_record.hpp"

namespace candor::recommendation {

namespace {

constexpr std::int64_t one = 1 << 16;
constexpr millis half_life = std::chrono::days{7};

struct candidate {
  ranked of;
  std::string publisher; ///< asked for in every pair
  bool own_language = false;
  std::int64_t likest = 0; ///< greatest likeness to one that is placed
};

bool allowed(const model::content_item& item, const reader& who, timestamp now) {
  return item.published <= now && !who.never.contains(item.id) &&
         (item.regions.empty() || std::ranges::any_of(item.regions, [&](const auto& r) {
            return r.view() == who.country;
          }));
}

std::int64_t score_of(const model::content_item& item, const reader& who, timestamp now) {
  static const model::half_lives week{{timestamp{}, half_life}};
  auto freshness = model::decay(one, item.published, now, week);
  auto score = std::int64_t{model::relevance(item.topics, who.interests)} * freshness;
  // (What is allowed and names regions names the reader's.)
  auto made_for_here = who.interests.empty() && !item.regions.empty();
  return made_for_here ? score * 3 / 2 : score;
}

std::vector<candidate> find_candidates(const model::content_list& all, const reader& who,
                                       timestamp now) {
  std::vector<candidate> found;
  for (const auto& item : all) {
    if (!allowed(*item, who, now))
      continue;
    candidate c;
    c.of = {item, score_of(*item, who, now), {}};
    c.own_language = who.lang.empty() || item->lang.substr(0, item->lang.find('-')) == who.lang;
    found.push_back(std::move(c));
  }
  auto better = [](const candidate& a, const candidate& b) {
    if (a.own_language != b.own_language)
      return a.own_language;
    if (a.of.score != b.of.score)
      return a.of.score > b.of.score;
    if (a.of.item->published != b.of.item->published)
      return a.of.item->published > b.of.item->published;
    return a.of.item->id < b.of.item->id;
  };
  auto kept = std::min(found.size(), pool_size);
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(kept), better);
  found.resize(kept);
  for (auto& c : found)
    c.publisher = model::host_of(c.of.item->url);
  return found;
}

std::int64_t likeness_of(const model::content_item& a, const model::content_item& b,
                         bool same_publisher) {
  std::int64_t least = 0, most = 0;
  auto x = a.topics.begin(), y = b.topics.begin();
  while (x != a.topics.end() || y != b.topics.end()) {
    if (y == b.topics.end() || (x != a.topics.end() && x->topic < y->topic)) {
      most += x++->weight;
    } else if (x == a.topics.end() || y->topic < x->topic) {
      most += y++->weight;
    } else {
      least += std::min(x->weight, y->weight);
      most += std::max(x++->weight, y++->weight);
    }
  }
  auto topics = most == 0 ? 0 : least * one / most;
  return (3 * topics + (same_publisher ? one : 0)) / 4;
}

} // namespace

std::int64_t likeness(const model::content_item& a, const model::content_item& b) {
  return likeness_of(a, b, model::host_of(a.url) == model::host_of(b.url));
}

std::vector<ranked> rank(const model::content_list& all, const reader& who, timestamp now,
                         std::size_t k, std::int64_t d) {
  auto pool = find_candidates(all, who, now);
  std::int64_t best = 1;
  for (const auto& c : pool)
    best = std::max(best, c.of.score);
  std::vector<ranked> placed;
  while (placed.size() < k && !pool.empty()) {
    // The pool stands in order: the first of equals is the right one.
    auto next = pool.begin();
    auto value = [&](const candidate& c) {
      return (10 - d) * (c.of.score * one / best) - d * c.likest;
    };
    for (auto it = pool.begin(); it != pool.end() && it->own_language == next->own_language; ++it)
      if (value(*it) > value(*next))
        next = it;
    placed.push_back(std::move(next->of));
    auto publisher = std::move(next->publisher);
    pool.erase(next);
    for (auto& c : pool)
      c.likest = std::max(c.likest,
                          likeness_of(*c.of.item, *placed.back().item, c.publisher == publisher));
  }
  for (auto& r : placed)
    for (const auto& t : r.item->topics)
      if (std::ranges::find(who.interests, t.topic, &model::topic_strength::topic) !=
          who.interests.end())
        r.topics.push_back(t.topic);
  return placed;
}

} // namespace candor::recommendation
