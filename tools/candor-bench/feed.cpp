#include "tools/candor-bench/feed.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/recommendation/rank.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "storage/model/user_record.hpp"

namespace candor::bench {

namespace {

using namespace std::chrono_literals;
using item_ptr = std::shared_ptr<const model::content_item>;

constexpr auto half_life = 7 * 24h; ///< of what an item is worth to people
constexpr std::size_t publishers = 40;
constexpr std::size_t tastes = 3; ///< topics that somebody likes much
const timestamp begin = *parse_time("2025-12-01T00:00:00Z");

class dice {
public:
  explicit dice(std::uint64_t seed)
    : source_{seed} {}
  double share() { return static_cast<double>(source_.next() >> 11) * 0x1p-53; } ///< [0, 1)
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(source_.next() % n); }
  /// 0 is the likeliest, then as 1, 1/2, 1/3, …
  std::size_t zipf(std::size_t n) {
    double sum = 0;
    for (std::size_t i = 1; i <= n; ++i)
      sum += 1.0 / static_cast<double>(i);
    auto left = share() * sum;
    for (std::size_t i = 1; i < n; ++i)
      if ((left -= 1.0 / static_cast<double>(i)) < 0)
        return i - 1;
    return n - 1;
  }

private:
  seeded_rng source_;
};

struct known_item {
  item_ptr item;
  double quality = 1; ///< that no ranking is told
};

struct taster {
  std::map<model::topic_id, double> likes; ///< 0..1
  std::string lang, country;
};

struct scenery {
  std::vector<known_item> items; ///< ascending by when they were published
  std::vector<taster> people;
};

scenery generate(const feed_options& o) {
  dice d{o.seed};
  scenery made;
  auto all = model::topics();
  auto any_topic = [&] { return all[d.zipf(all.size())].id; };
  std::vector<std::vector<model::topic_id>> leaning(publishers);
  for (auto& l : leaning)
    for (std::size_t i = 0; i < tastes; ++i)
      l.push_back(any_topic());
  for (std::size_t i = 0; i < o.items; ++i) {
    model::content_item x;
    x.id = fmt::format("p-{:06}", i);
    auto publisher = d.zipf(publishers);
    x.url = fmt::format("https://publisher-{}.example/{}", publisher, i);
    x.title = x.id;
    auto home = d.share();
    x.lang = home < 0.85 ? "en" : "de";
    if (d.share() < 0.1)
      x.regions.push_back(home < 0.85 ? model::region_code{{'U', 'S'}}
                                      : model::region_code{{'A', 'T'}});
    std::map<model::topic_id, std::uint8_t> about;
    about[leaning[publisher][d.below(tastes)]] = static_cast<std::uint8_t>(128 + d.below(128));
    if (d.share() < 0.5)
      about.emplace(any_topic(), static_cast<std::uint8_t>(20 + d.below(100)));
    for (auto [topic, weight] : about)
      x.topics.push_back({topic, weight});
    // A quarter is there on the first day, up to two weeks old.
    auto at = d.share() < 0.25 ? -14 * d.share() : static_cast<double>(o.days) * d.share();
    x.published = begin + millis{static_cast<std::int64_t>(at * 86'400'000)};
    made.items.push_back(
        {std::make_shared<const model::content_item>(std::move(x)), std::exp(d.share() - 0.5)});
  }
  std::ranges::sort(made.items, {}, [](const known_item& i) { return i.item->published; });
  for (std::size_t i = 0; i < o.people; ++i) {
    taster t;
    for (std::size_t n = 0; n < tastes; ++n)
      t.likes[any_topic()] = 0.4 + 0.6 * d.share();
    auto english = d.share() < 0.85;
    t.lang = english ? "en" : "de";
    t.country = english ? "US" : "AT";
    made.people.push_back(std::move(t));
  }
  return made;
}

/// The probability that somebody clicks an item.
double appeal(const taster& who, const known_item& k, timestamp now) {
  double sum = 0.05;
  for (const auto& t : k.item->topics)
    if (auto it = who.likes.find(t.topic); it != who.likes.end())
      sum += it->second * t.weight / 255;
  auto age = std::chrono::duration<double>(now - k.item->published).count();
  auto worth = sum * k.quality * std::exp2(-age / std::chrono::duration<double>(half_life).count());
  return (1 - std::exp(-0.6 * worth)) * (k.item->lang == who.lang ? 1 : 0.1);
}

/// What one ranking knows of somebody: what the product would.
struct acquaintance {
  model::user_record record;
  std::vector<std::string> shown; ///< newest last
  std::set<std::string> ever;
};

const model::half_lives month{{timestamp{}, 30 * 24h}};

model::interests interests_of(const model::user_record& r, timestamp now) {
  std::vector<model::topic_used> used;
  for (const auto& i : r.interests)
    if (auto s = model::strength(model::decay(i.weight, i.as_of, now, month)))
      used.push_back({i.topic, i.source, i.since, s});
  return model::strengths_of(used);
}

struct world {
  const feed_options& options;
  const scenery& scene;
  std::vector<acquaintance> known;
  std::map<std::string, std::size_t> clicks; ///< by item
  dice chance;
};

/// The places, of what is published and allowed.
using ranking = std::function<std::vector<item_ptr>(world&, std::size_t who,
                                                    const model::content_list&, timestamp)>;

std::vector<item_ptr> as_the_product(world& w, std::size_t who, const model::content_list& all,
                                     timestamp now) {
  const auto& known = w.known[who];
  recommendation::reader r{w.scene.people[who].country, w.scene.people[who].lang,
                           interests_of(known.record, now)};
  auto remembered = std::min(known.shown.size(), limits::content_remembered);
  r.never.insert(known.shown.end() - static_cast<std::ptrdiff_t>(remembered), known.shown.end());
  std::vector<item_ptr> places;
  auto likeness =
      w.options.likeness_tenths < 0 ? recommendation::likeness_tenths : w.options.likeness_tenths;
  for (auto& p : recommendation::rank(all, r, now, w.options.places, likeness))
    places.push_back(std::move(p.item));
  return places;
}

std::vector<item_ptr> first_places(const world& w, std::size_t who, std::vector<item_ptr> all) {
  std::vector<item_ptr> places;
  for (auto& item : all) {
    auto here = item->regions.empty() || item->regions[0].view() == w.scene.people[who].country;
    if (here && places.size() < w.options.places)
      places.push_back(std::move(item));
  }
  return places;
}

std::vector<item_ptr> most_popular(world& w, std::size_t who, const model::content_list& all,
                                   timestamp) {
  auto items = all;
  std::ranges::stable_sort(items, [&](const item_ptr& a, const item_ptr& b) {
    auto x = w.clicks[a->id], y = w.clicks[b->id];
    return x != y ? x > y : a->published > b->published;
  });
  return first_places(w, who, std::move(items));
}

/// The same, without what the person was shown.
std::vector<item_ptr> most_popular_unseen(world& w, std::size_t who, const model::content_list& all,
                                          timestamp now) {
  auto unseen = all;
  std::erase_if(unseen, [&](const item_ptr& i) { return w.known[who].ever.contains(i->id); });
  return most_popular(w, who, unseen, now);
}

std::vector<item_ptr> at_random(world& w, std::size_t who, const model::content_list& all,
                                timestamp) {
  auto items = all;
  for (auto i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[w.chance.below(i)]);
  return first_places(w, who, std::move(items));
}

/// Järvelin and Kekäläinen, TOIS 2002, with the gain itself in the numerator.
double dcg(const std::vector<double>& gains) {
  double sum = 0;
  for (std::size_t i = 0; i < gains.size(); ++i)
    sum += gains[i] / std::log2(static_cast<double>(i) + 2);
  return sum;
}

void learn(world& w, std::size_t who, const model::content_item& clicked, timestamp now) {
  ++w.clicks[clicked.id];
  model::learned l;
  l.event.at = now;
  l.source = model::source::engagement;
  for (const auto& t : clicked.topics)
    l.topics.push_back({t.topic, model::one_mention * t.weight / 255});
  model::fold(w.known[who].record, l, month);
  w.known[who].record.seen.clear();
}

feed_figures evaluate(const std::string& name, const ranking& rank, const feed_options& o,
                      const scenery& scene) {
  world w{o, scene, std::vector<acquaintance>(o.people), {}, dice{o.seed ^ 0x9e3779b97f4a7c15}};
  feed_figures f;
  f.ranking = name;
  std::set<std::string> covered;
  double shown = 0, repeated = 0, pairs = 0, alike = 0, sessions = 0;
  for (std::size_t day = 0; day < o.days; ++day) {
    for (std::size_t who = 0; who < o.people; ++who) {
      auto now = begin + 24h * static_cast<int>(day) + 12h + 1min * static_cast<int>(who % 600);
      model::content_list there;
      std::map<std::string_view, double> gain;
      std::vector<double> ideal;
      for (const auto& k : scene.items) {
        if (k.item->published > now)
          break;
        there.push_back(k.item);
        auto& known = w.known[who];
        auto g = known.ever.contains(k.item->id) ? 0 : appeal(scene.people[who], k, now);
        gain[k.item->id] = g;
        auto here =
            k.item->regions.empty() || k.item->regions[0].view() == scene.people[who].country;
        if (here)
          ideal.push_back(g);
      }
      auto places = rank(w, who, there, now);
      auto best = std::min(o.places, ideal.size());
      std::ranges::partial_sort(ideal, ideal.begin() + static_cast<std::ptrdiff_t>(best),
                                std::greater{});
      ideal.resize(best);
      std::vector<double> gains;
      for (const auto& p : places)
        gains.push_back(gain[p->id]);
      auto ndcg = dcg(ideal) > 0 ? dcg(gains) / dcg(ideal) : 0;
      f.ndcg += ndcg;
      f.first_ndcg += day == 0 ? ndcg / static_cast<double>(o.people) : 0;
      ++sessions;
      for (std::size_t i = 0; i < places.size(); ++i)
        for (std::size_t j = 0; j < i; ++j, ++pairs)
          alike += static_cast<double>(recommendation::likeness(*places[i], *places[j])) / 65536;
      for (const auto& p : places) {
        ++shown;
        covered.insert(p->id);
        auto is_new = w.known[who].ever.insert(p->id).second;
        repeated += is_new ? 0 : 1;
        w.known[who].shown.push_back(p->id);
        if (w.chance.share() < gain[p->id]) {
          ++f.clicks;
          learn(w, who, *p, now);
        }
      }
    }
  }
  f.ndcg /= sessions;
  f.clicks /= sessions;
  f.coverage = static_cast<double>(covered.size()) / static_cast<double>(scene.items.size());
  f.repetition = repeated / std::max(shown, 1.0);
  f.variety = 1 - alike / std::max(pairs, 1.0);
  return f;
}

} // namespace

std::vector<feed_figures> evaluate_feed(const feed_options& o) {
  auto scene = generate(o);
  return {evaluate("candor", as_the_product, o, scene), evaluate("popular", most_popular, o, scene),
          evaluate("popular_unseen", most_popular_unseen, o, scene),
          evaluate("random", at_random, o, scene)};
}

result<void> run_feed(const feed_options& o) {
  auto all = evaluate_feed(o);
  if (o.json) {
    nlohmann::ordered_json made = {{"people", o.people},
                                   {"items", o.items},
                                   {"days", o.days},
                                   {"places", o.places},
                                   {"seed", o.seed}};
    for (const auto& f : all)
      made["rankings"].push_back({{"ranking", f.ranking},
                                  {"ndcg", f.ndcg},
                                  {"first_ndcg", f.first_ndcg},
                                  {"coverage", f.coverage},
                                  {"repetition", f.repetition},
                                  {"variety", f.variety},
                                  {"clicks", f.clicks}});
    fmt::print("{}\n", made.dump());
    return {};
  }
  fmt::print("{:<15} {:>8} {:>11} {:>9} {:>11} {:>8} {:>7}\n", "", fmt::format("nDCG@{}", o.places),
             "first day", "coverage", "repetition", "variety", "clicks");
  for (const auto& f : all)
    fmt::print("{:<15} {:>8.3f} {:>11.3f} {:>8.1f}% {:>10.1f}% {:>8.3f} {:>7.2f}\n", f.ranking,
               f.ndcg, f.first_ndcg, 100 * f.coverage, 100 * f.repetition, f.variety, f.clicks);
  return {};
}

} // namespace candor::bench
