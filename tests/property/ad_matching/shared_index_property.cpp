/// One index for several readers, while a stream of changes is followed and editions are made,
/// there or beside it: what is asked is always answered as by the evaluation of every campaign.

#include <catch2/catch.hpp>

#include <atomic>
#include <map>
#include <thread>

#include "actors/ad_matching/index_reader.hpp"
#include "storage/base/rng.hpp"
#include "tests/support/campaign_changes.hpp"

using namespace candor;
using namespace candor::ad_matching;
using namespace std::chrono_literals;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");
constexpr std::size_t most_campaigns = 900;
constexpr std::size_t most_changes = 3000; ///< to most campaigns: more than an empty edition takes

/// A stream of lists of campaigns, each a few changes after the one before.
class stream {
public:
  explicit stream(std::uint64_t seed)
    : random_{seed} {}

  std::uint64_t below(std::uint64_t n) { return random_.next() % n; }

  const model::campaign_list& shown() const { return shown_; }
  model::campaigns_change whole() const { return test::whole_of(shown_, number_); }

  model::campaigns_change next(std::size_t changes) {
    for (; changes > 0; --changes) {
      auto id = "c-" + std::to_string(below(most_campaigns));
      auto it = there_.find(id);
      if (it == there_.end()) {
        there_[id] = made(id);
        continue;
      }
      auto c = it->second->campaign;
      switch (below(5)) {
        case 0:
          there_.erase(it);
          continue;
        case 1:
          c.paused = !c.paused;
          break;
        case 2:
          c.bid_micros = bid();
          break;
        case 3:
          c.targeting = targeting();
          break;
        default: // its creatives: nothing that the index knows
          c.creatives[0].url = below(2) ? "https://one.example" : "https://two.example";
      }
      it->second = live(std::move(c));
    }
    auto before = std::exchange(shown_, {});
    for (const auto& [_, c] : there_)
      shown_.push_back(c);
    return test::difference(before, shown_, ++number_);
  }

  ad_request request() {
    ad_request asked;
    asked.now = now;
    asked.who.personal = true;
    asked.on.country = below(2) ? "US" : "CA";
    asked.on.lang = below(2) ? "en" : "";
    asked.on.placement = below(2) ? "feed" : "banner";
    for (auto i = 0; i < 3; ++i)
      asked.on.segments.push_back(segment());
    if (below(2) == 0)
      asked.who.topics.push_back({*model::find_topic("outdoors"), model::source::ai, now, 200});
    if (below(4) == 0)
      asked.on.badv = {"one.example"};
    if (below(4) == 0)
      asked.on.floor_micros = 60'000;
    return asked;
  }

private:
  static std::shared_ptr<const model::live_campaign> live(model::campaign c) {
    auto wants = model::targeting::expression::parse(c.targeting);
    REQUIRE(wants);
    return std::make_shared<const model::live_campaign>(std::move(c), std::move(*wants));
  }

  std::int64_t bid() { return static_cast<std::int64_t>(8'000 + below(90'000)); }
  // Ever new words, which the index has to learn beside those who ask for them.
  std::string segment() { return "s-" + std::to_string(below(2) ? below(20) : below(20'000)); }

  std::string targeting() {
    std::string text = below(2) ? "country = US" : "country not in (CA)";
    if (below(2) == 0)
      text += " and segments one of (" + segment() + ", " + segment() + ")";
    if (below(3) == 0)
      text += " and segments none of (" + segment() + ")";
    if (below(3) == 0)
      text += " and (lang = en or placement = feed)";
    return text;
  }

  std::shared_ptr<const model::live_campaign> made(const std::string& id) {
    model::campaign c;
    c.id = id;
    c.advertiser = "a-1";
    c.bid_micros = bid();
    c.quality = static_cast<std::uint8_t>(1 + below(255));
    c.from = now - 1h;
    c.to = now + 1h;
    if (below(2) == 0)
      c.relevance.push_back({*model::find_topic("outdoors"), 200});
    c.targeting = targeting();
    c.creatives.push_back({"x", "x", "", "https://one.example"});
    return live(std::move(c));
  }

  seeded_rng random_;
  std::map<std::string, std::shared_ptr<const model::live_campaign>> there_;
  model::campaign_list shown_;
  std::uint64_t number_ = 0;
};

/// Empty if these can have won together.
std::string fault(const std::vector<winner>& won, const ad_request& asked) {
  auto of = attributes_of(asked.who, asked.on, asked.now);
  auto strengths = model::strengths_of(asked.who.topics);
  std::map<std::string, int> seen;
  wide last = 0;
  for (const auto& w : won) {
    const auto& c = w.campaign->campaign;
    if (auto why = why_not(*w.campaign, asked, of))
      return c.id + " won although " + why.code;
    if (++seen[c.id] > 1)
      return c.id + " won twice";
    if (w.price_micros < reserve_micros || w.price_micros > c.bid_micros)
      return c.id + " has a price beyond its bid";
    auto rank = wide(c.bid_micros) * c.quality * model::relevance(c.relevance, strengths);
    if (last != 0 && rank > last)
      return c.id + " stands too low";
    last = rank;
  }
  return {};
}

} // namespace

namespace {

/// In how many of a few questions the index answers otherwise than the evaluation of every
/// campaign.
std::size_t differences(index_reader& reader, stream& changes) {
  std::size_t n = 0;
  for (auto i = 0; i < 3; ++i) {
    auto asked = changes.request();
    auto places = changes.below(5);
    auto expected = match(changes.shown(), asked, places), found = reader.match(asked, places);
    n += !std::ranges::equal(expected, found, [](const auto& a, const auto& b) {
      return a.campaign == b.campaign && a.price_micros == b.price_micros;
    });
    auto id = "c-" + std::to_string(changes.below(most_campaigns));
    auto x = standing(changes.shown(), asked, id, 1), y = reader.standing(asked, id, 1);
    n += x.code != y.code || x.detail != y.detail;
  }
  return n;
}

} // namespace

TEST_CASE("a shared index answers as the evaluation of every campaign while editions are made",
          "[ads]") {
  auto at_once = GENERATE(std::size_t{0}, catalogue_index::no_thread);
  catalogue_index index{at_once};
  stream changes{11};
  std::atomic<bool> done{false};
  std::atomic<std::size_t> asked_beside{0};
  std::mutex wrong_mutex;
  std::string wrong;
  std::vector<std::thread> readers;
  for (std::uint64_t seed : {1, 2})
    readers.emplace_back([&, seed] {
      stream requests{seed};
      index_reader reader{index};
      while (!done) {
        auto asked = requests.request();
        auto found = fault(reader.match(asked, 1 + requests.below(4)), asked);
        ++asked_beside;
        if (found.empty())
          continue;
        std::lock_guard guard{wrong_mutex};
        wrong = found;
        return;
      }
    });
  index_reader reader{index};
  std::size_t different = 0, made_beside = 0;
  constexpr auto phase = 50, phases = 5;
  for (auto step = 0; step < phase * phases; ++step) {
    // Each phase begins with more changes than an edition takes, and ends when the next one is
    // made. Now and then all is said anew.
    auto change = changes.next(step == 0           ? most_changes
                               : step % phase == 0 ? 600
                                                   : 1 + changes.below(30));
    CHECK(index.follow(changes.below(10) == 0 ? changes.whole() : change));
    CHECK(index.followed() == change.number);
    made_beside += index.is_making();
    auto ends = step % phase == phase - 1;
    do
      different += differences(reader, changes);
    while (ends && index.is_making());
  }
  done = true;
  for (auto& r : readers)
    r.join();
  CHECK(different == 0);
  CHECK(wrong == "");
  CHECK(asked_beside > 0);
  CHECK(index.times_made() >= 1 + phases);
  CHECK((made_beside > 0) == (at_once == 0));
}

TEST_CASE("a change that was lost, comes late or twice is refused, and the whole sets it right",
          "[ads]") {
  catalogue_index index{catalogue_index::no_thread};
  index_reader reader{index};
  stream changes{3};
  REQUIRE(index.follow(changes.next(most_changes)));
  std::size_t different = 0, refused = 0;
  for (auto step = 0; step < 200; ++step) {
    auto change = changes.next(1 + changes.below(30));
    switch (changes.below(5)) {
      case 0: { // lost: the next one shows it
        auto next = changes.next(1);
        CHECK_FALSE(index.follow(next));
        CHECK(index.followed() == change.number - 1);
        REQUIRE(index.follow(changes.whole()));
        // And comes late.
        CHECK_FALSE(index.follow(change));
        CHECK(index.followed() == next.number);
        ++refused;
        break;
      }
      case 1:
        CHECK(index.follow(change));
        CHECK_FALSE(index.follow(change));
        break;
      default:
        CHECK(index.follow(change));
    }
    different += differences(reader, changes);
  }
  CHECK(different == 0);
  CHECK(refused > 0);
}

TEST_CASE("the first edition has room for what is there, and for a quarter more", "[ads]") {
  catalogue_index index;
  stream changes{5};
  index.follow(changes.next(most_changes));
  CHECK(index.times_made() == 2);
  CHECK_FALSE(index.is_making());
  CHECK_FALSE(index.edition()->waiting());
  CHECK(index.edition()->size() == changes.shown().size());
  CHECK(index.edition()->index().spare() >= changes.shown().size() / 4);
  index.follow(changes.next(100));
  CHECK(index.times_made() == 2);
  CHECK_FALSE(index.edition()->waiting());
}

TEST_CASE("where campaigns come by the thousand, an edition has room for half as many again",
          "[ads]") {
  catalogue_index index;
  auto come = [&, number = std::uint64_t{0}, there = std::size_t{0}](std::size_t n) mutable {
    model::campaigns_change made{++number, false, {}};
    for (auto to = there + n; there < to; ++there) {
      model::campaign c;
      c.id = "c-" + std::to_string(10'000 + there);
      made.items.push_back(
          {c.id, std::make_shared<const model::live_campaign>(c, model::targeting::expression{})});
    }
    REQUIRE(index.follow(made));
  };
  come(1000);
  come(2000); // more than were there at the last making
  CHECK(index.times_made() == 3);
  CHECK(index.edition()->index().spare() >= 1500);
  come(1000);
  CHECK_FALSE(index.edition()->waiting());
  CHECK(index.times_made() == 3);
}

TEST_CASE("what an index has no room for is matched all the same", "[ads]") {
  index_edition edition{{}, 64};
  stream changes{5};
  edition.follow(changes.next(most_changes));
  CHECK(edition.is_worn());
  REQUIRE(edition.waiting());
  CHECK(edition.waiting()->size() > 0);
  CHECK(edition.waiting()->size() + edition.index().size() == changes.shown().size());
  edition.follow({2, true, {}});
  CHECK(edition.index().size() == 0);
  CHECK(edition.size() == 0);
  CHECK_FALSE(edition.waiting());
}

TEST_CASE("an index goes while an edition of it is made", "[ads]") {
  stream changes{7};
  for (auto i = 0; i < 5; ++i) {
    catalogue_index index{0};
    changes.next(500);
    index.follow(changes.whole());
    CHECK(index.edition() != nullptr);
  }
}
