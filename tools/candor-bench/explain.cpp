#include "tools/candor-bench/explain.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/ad_matching/index_reader.hpp"
#include "storage/base/rng.hpp"

namespace candor::bench {

namespace {

using namespace ad_matching;
using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t requests = 500;
constexpr int repeats = 5; ///< of every question; the best counts
constexpr std::size_t places = 10;

const timestamp now = *parse_time("2025-12-20T12:00:00Z");

class world {
public:
  explicit world(const explain_options& o)
    : random_{o.seed} {
    for (std::size_t i = 0; i < o.campaigns; ++i)
      all_.push_back(make_campaign(fmt::format("c-{:07}", i)));
  }

  model::campaigns_change whole() {
    model::campaigns_change made{++number_, true, {}};
    for (const auto& c : all_)
      made.items.push_back({c->campaign.id, c});
    return made;
  }

  /// One campaign bids otherwise.
  model::campaigns_change change_one() {
    auto& c = all_[below(all_.size())];
    auto next = c->campaign;
    next.bid_micros += 1'000;
    c = std::make_shared<const model::live_campaign>(std::move(next), c->wants);
    return {++number_, false, {{c->campaign.id, c}}};
  }

  ad_request make_request() {
    ad_request asked;
    asked.now = now;
    asked.who.personal = true;
    asked.who.country = countries[below(std::size(countries))];
    asked.on.lang = languages[below(std::size(languages))];
    asked.on.device = below(2) ? "phone" : "desktop";
    asked.on.placement = below(2) ? "feed" : "banner";
    auto topics = model::topics();
    for (auto n = 1 + below(6); n > 0; --n) {
      auto topic = static_cast<model::topic_id>(below(topics.size()));
      if (model::is_topic(topic))
        asked.who.topics.push_back(
            {topic, model::source::engagement, now, static_cast<std::uint8_t>(1 + below(255))});
    }
    std::ranges::sort(asked.who.topics, {}, &model::topic_used::topic);
    for (auto i = 0; i < 8; ++i)
      asked.on.segments.push_back(fmt::format("s-{}", below(500)));
    for (auto i = 0; i < 20; ++i)
      asked.who.shown.push_back({some_campaign(), now - 1h});
    asked.on.badv = {"rival.example"};
    return asked;
  }

  std::string some_campaign() { return fmt::format("c-{:07}", below(all_.size())); }

private:
  static constexpr std::string_view countries[] = {"US", "CA", "BR", "DE", "FR", "JP", "IN", "GB"};
  static constexpr std::string_view languages[] = {"en", "pt", "de", "fr", "ja"};

  std::uint64_t below(std::uint64_t n) { return random_.next() % n; }

  std::shared_ptr<const model::live_campaign> make_campaign(std::string id) {
    model::campaign c;
    c.advertiser = fmt::format("a-{}", below(1000));
    c.id = std::move(id);
    c.bid_micros = static_cast<std::int64_t>(10'000 + below(990'000));
    c.quality = static_cast<std::uint8_t>(1 + below(255));
    c.from = now - 24h;
    c.to = now + 24h * (1 + static_cast<int>(below(30)));
    if (below(3) == 0)
      c.cap = model::frequency_cap{2, 24h};
    auto topics = model::topics();
    std::vector<model::topic_id> about;
    for (auto n = below(4); n > 0; --n)
      if (auto t = static_cast<model::topic_id>(below(topics.size())); model::is_topic(t))
        about.push_back(t);
    std::ranges::sort(about);
    about.erase(std::unique(about.begin(), about.end()), about.end());
    for (auto t : about)
      c.relevance.push_back({t, static_cast<std::uint8_t>(1 + below(255))});
    auto add = [&](std::string clause) {
      c.targeting += (c.targeting.empty() ? "" : " and ") + clause;
    };
    add(fmt::format("country in ({}, {})", countries[below(std::size(countries))],
                    countries[below(std::size(countries))]));
    if (below(2) == 0)
      add(fmt::format("lang = {}", languages[below(std::size(languages))]));
    if (below(3) == 0)
      add(below(2) ? "device = phone" : "placement <> banner");
    if (below(2) == 0 && !about.empty())
      add(fmt::format("(topics one of ({}) or segments one of (s-{}, s-{}))",
                      model::info(about.front()).slug, below(500), below(500)));
    if (below(4) == 0)
      add(fmt::format("segments none of (s-{})", below(500)));
    c.creatives.push_back(
        {"x", "Boots", "", fmt::format("https://shop.a-{}.example/x", below(1000))});
    auto wants = *model::targeting::expression::parse(c.targeting);
    return std::make_shared<const model::live_campaign>(std::move(c), std::move(wants));
  }

  seeded_rng random_;
  model::campaign_list all_;
  std::uint64_t number_ = 0;
};

double us_of(const auto& body) {
  auto best = 1e18;
  for (auto i = 0; i < repeats; ++i) {
    auto start = steady::now();
    body();
    best = std::min(best, std::chrono::duration<double, std::micro>(steady::now() - start).count());
  }
  return best;
}

struct figure {
  std::string name;
  std::vector<double> us;
  double target_us = 0; ///< 0: none
};

/// What explains a placed ad, as it is stored with the impression and read for who asks why.
std::size_t why(const winner& w, const model::targeting::attributes& of) {
  model::impression x;
  x.campaign = w.campaign->campaign.id;
  x.matched = w.campaign->wants.reasons(of);
  x.topics = w.topics;
  return model::decode_impression(model::encode(x))->matched.size();
}

} // namespace

result<void> run_explain(const explain_options& o) {
  world x{o};
  catalogue_index index;
  index.follow(x.whole());
  while (index.is_making())
    std::this_thread::sleep_for(10ms);
  index_reader reader{index};
  std::vector<figure> figures{{"decision", {}, 0},
                              {"why", {}, 5},
                              {"why_not", {}, 20},
                              {"why_not_outbid", {}, 20},
                              {"follow_one_change", {}, 0}};
  std::size_t told = 0;
  for (std::size_t i = 0; i < requests; ++i) {
    auto asked = x.make_request();
    auto of = attributes_of(asked.who, asked.on, asked.now);
    std::vector<winner> won;
    figures[0].us.push_back(us_of([&] { won = reader.match(asked, places); }));
    if (!won.empty())
      figures[1].us.push_back(us_of([&] { told += why(won.front(), of); }));
    // Any campaign, most of which fail by their targeting; and one that takes part.
    auto named = x.some_campaign();
    objection found;
    auto us = us_of([&] { found = reader.standing(asked, named, 1); });
    figures[found.code == "outbid" ? 3 : 2].us.push_back(us);
    if (won.size() > 1) {
      auto second = won[1].campaign->campaign.id;
      figures[3].us.push_back(
          us_of([&] { told += reader.standing(asked, second, 1).code.size(); }));
    }
  }
  for (auto i = 0; i < 200; ++i) {
    auto change = x.change_one();
    auto start = steady::now();
    index.follow(change);
    figures[4].us.push_back(
        std::chrono::duration<double, std::micro>(steady::now() - start).count());
  }
  nlohmann::ordered_json made = {{"campaigns", o.campaigns}};
  for (auto& f : figures) {
    std::ranges::sort(f.us);
    auto at = [&](double q) {
      return f.us.empty()
                 ? 0
                 : f.us[static_cast<std::size_t>(q * static_cast<double>(f.us.size() - 1))];
    };
    made[f.name + "_p50_us"] = at(0.5);
    made[f.name + "_p99_us"] = at(0.99);
    if (!o.json)
      fmt::print(stderr, "{:<20} p50 {:>9.2f} us   p99 {:>9.2f} us   target {}\n", f.name, at(0.5),
                 at(0.99), f.target_us == 0 ? "-" : fmt::format("{} us", f.target_us));
  }
  if (o.json)
    fmt::print(stderr, "{}\n", made.dump());
  return told > 0 || o.campaigns == 0 ? result<void>{} : fail(errc::internal, "nothing matched");
}

} // namespace candor::bench
