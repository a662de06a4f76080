#include "actors/recommendation/rank.hpp"

#include <algorithm>

#include "storage/model/user_record.hpp"

namespace candor::recommendation {

namespace {

constexpr std::int64_t fresh = 1 << 16;
constexpr millis half_life = std::chrono::days{7};

} // namespace

std::vector<ranked> rank(const model::catalogue& all, const reader& who, timestamp now,
                         std::size_t k) {
  static const model::half_lives week{{timestamp{}, half_life}};
  std::vector<ranked> found;
  for (const auto& item : all.content) {
    auto allowed = item->regions.empty() || std::ranges::any_of(item->regions, [&](const auto& r) {
                     return r.view() == who.country;
                   });
    if (!allowed || item->published > now)
      continue;
    ranked r{item, 0, {}};
    r.score = std::int64_t{model::relevance(item->topics, who.interests)} *
              model::decay(fresh, item->published, now, week);
    for (const auto& t : item->topics)
      if (std::ranges::find(who.interests, t.topic, &model::topic_strength::topic) !=
          who.interests.end())
        r.topics.push_back(t.topic);
    found.push_back(std::move(r));
  }
  auto own_language = [&](const ranked& r) {
    return who.lang.empty() || r.item->lang.substr(0, r.item->lang.find('-')) == who.lang;
  };
  std::ranges::sort(found, [&](const ranked& a, const ranked& b) {
    if (own_language(a) != own_language(b))
      return own_language(a);
    if (a.score != b.score)
      return a.score > b.score;
    if (a.item->published != b.item->published)
      return a.item->published > b.item->published;
    return a.item->id < b.item->id;
  });
  if (found.size() > k)
    found.resize(k);
  return found;
}

} // namespace candor::recommendation
