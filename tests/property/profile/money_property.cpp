/// A campaign's owner and three shards that spend, with messages that are lost and entries that
/// never become durable: whatever happens, no more is settled and reserved than there is.

#include <catch2/catch.hpp>
#include <rapidcheck.h>

#include <map>

#include "actors/profile/catalogue_table.hpp"
#include "actors/profile/spend_table.hpp"
#include "storage/engine/keys.hpp"

using namespace candor;
using namespace candor::profile;
using namespace std::chrono_literals;

namespace {

const timestamp start = *parse_time("2025-12-20T22:00:00Z");
constexpr std::size_t spenders = 3;

struct house {
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  catalogue_table owner{0, *db};
  std::vector<std::unique_ptr<spend_table>> shards;
  timestamp now = start;
  std::uint64_t ids = 0;
  std::map<std::int64_t, std::int64_t> settled_of_day; ///< by the day of the money

  explicit house(const model::campaign& c) {
    replication::draft entry;
    RC_ASSERT(owner.put(entry, model::item_kind::campaign, c.id, model::encode(c)).has_value());
    keep(entry);
    for (std::size_t i = 0; i < spenders; ++i)
      shards.push_back(std::make_unique<spend_table>(static_cast<shard_id>(i + 1), *db));
  }

  void keep(const replication::draft& entry) {
    engine::batch batch;
    for (const auto& row : entry.rows)
      batch.push_back(row.operation);
    RC_ASSERT(db->write(batch, engine::sync::yes).has_value());
  }

  /// The entry becomes durable, or the shard loses it and begins anew from what is.
  template <class Table>
  bool keep_or_lose(Table& table, const replication::draft& entry) {
    if (*rc::gen::inRange(0, 8) > 0) {
      keep(entry);
      return true;
    }
    RC_ASSERT(table.open().has_value());
    return false;
  }

  /// A report and its answer, each of which may be lost.
  void ask(spend_table& s, std::int64_t wanted) {
    auto said = s.report("c", wanted);
    replication::draft entry;
    auto lent = owner.lend(entry, "c", said, now);
    RC_ASSERT(lent.has_value());
    if (!keep_or_lose(owner, entry) || *rc::gen::inRange(0, 6) == 0)
      return;
    replication::draft own;
    if (s.receive(own, "c", *lent))
      keep_or_lose(s, own);
  }
};

/// It may be spent on one day.
model::campaign campaign_with(std::int64_t budget_micros) {
  model::campaign c;
  c.id = "c";
  c.total_micros = c.daily_micros = budget_micros;
  c.from = start - 1h;
  c.to = start + 48h;
  return c;
}

} // namespace

TEST_CASE("no more is settled and reserved than the budget, whatever is lost", "[ads]") {
  CHECK(rc::check([] {
    model::campaign c;
    c.id = "c";
    c.total_micros = *rc::gen::inRange(100, 4000);
    c.daily_micros = *rc::gen::inRange(50, static_cast<int>(c.total_micros) + 1);
    c.even_pacing = *rc::gen::arbitrary<bool>();
    c.from = start - 24h;
    c.to = start + 24h * 30;
    house h{c};
    std::vector<std::pair<std::size_t, std::string>> open; ///< reservations: shard, impression
    for (auto step = 0; step < 120; ++step) {
      auto at = *rc::gen::inRange<std::size_t>(0, spenders);
      auto& s = *h.shards[at];
      auto today = day_of(h.now);
      replication::draft entry;
      switch (*rc::gen::inRange(0, 7)) {
        case 0:
        case 1: { // a decision
          std::int64_t price = *rc::gen::inRange(1, 60);
          if (s.available("c", today) < price) {
            if (s.return_old(entry, "c", today) && !h.keep_or_lose(s, entry))
              break;
            h.ask(s, price);
            break;
          }
          auto id = "i-" + std::to_string(++h.ids);
          s.reserve(entry, id, {"c", price, today, h.now + 10min, false});
          if (h.keep_or_lose(s, entry))
            open.emplace_back(at, id);
          break;
        }
        case 2: { // an impression, perhaps told twice, perhaps too late
          if (open.empty())
            break;
          auto [shard, id] = open[*rc::gen::inRange<std::size_t>(0, open.size())];
          auto& of = *h.shards[shard];
          if (auto r = of.find(id); r && !r->told) {
            auto price = r->price_micros;
            auto day = r->day;
            of.settle(entry, id);
            if (h.keep_or_lose(of, entry))
              h.settled_of_day[day] += price;
          }
          break;
        }
        case 3:
          s.lapse(entry, h.now, 4);
          h.keep_or_lose(s, entry);
          break;
        case 4:
          if (auto told = s.return_idle(entry, today, h.now); !told.empty())
            if (h.keep_or_lose(s, entry))
              h.ask(s, 0);
          break;
        case 5:
          h.now += std::chrono::minutes{*rc::gen::inRange(0, 90)};
          break;
        case 6:
          RC_ASSERT(s.open().has_value());
          break;
      }
      std::int64_t held = 0, committed = 0;
      for (const auto& shard : h.shards) {
        auto t = shard->totals("c");
        RC_ASSERT(t.settled + t.reserved <= t.lent - t.returned);
        held += t.lent - t.returned;
        committed += t.settled + t.reserved;
      }
      RC_ASSERT(committed <= c.total_micros);
      RC_ASSERT(held <= *h.owner.lent_net("c"));
      RC_ASSERT(*h.owner.lent_net("c") <= c.total_micros);
      for (const auto& [_, settled] : h.settled_of_day)
        RC_ASSERT(settled <= c.daily_micros);
    }
  }));
}

TEST_CASE("an impression of nobody's that is told again is known until it would have lapsed",
          "[ads]") {
  house h{campaign_with(10'000)};
  auto& s = *h.shards[0];
  replication::draft theirs, entry;
  s.receive(entry, "c", *h.owner.lend(theirs, "c", s.report("c", 100), h.now));
  for (auto [id, personal] : {std::pair{"i-1", false}, {"i-2", true}}) {
    s.reserve(entry, id, {"c", 40, day_of(h.now), h.now + 10min, personal});
    s.settle(entry, id);
  }
  h.keep(entry);
  REQUIRE(s.open());
  REQUIRE(s.find("i-1"));
  CHECK(s.find("i-1")->told);
  CHECK(!s.find("i-2")); // a person's record knows it
  CHECK(s.totals("c").settled == 80);
  CHECK(s.totals("c").reserved == 0);
  auto left = s.available("c", day_of(h.now));
  replication::draft later;
  CHECK(s.lapse(later, h.now + 11min, 10));
  h.keep(later);
  REQUIRE(s.open());
  CHECK(!s.find("i-1"));
  CHECK(s.totals("c").settled == 80);
  CHECK(s.available("c", day_of(h.now)) == left);
}

TEST_CASE("a reservation of the first version is read as it was meant", "[ads]") {
  auto db = engine::make_memory_engine();
  const shard_id shard = 3;
  auto number = [](std::int64_t n) {
    std::string bytes;
    engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
    return bytes;
  };
  auto row = [&](char version, std::int64_t flags) {
    return std::string(1, version) + number(40) + number(20'000) + number(to_int(start)) +
           number(flags) + "c";
  };
  auto put = [&](const std::string& id, std::string value) {
    REQUIRE(db->write({replication::put_row(engine::table::spend,
                                            engine::named_key(shard, "r/" + id), std::move(value))
                           .operation},
                      engine::sync::yes));
  };
  put("old", row(1, 1));
  put("personal", row(2, 1));
  put("told", row(2, 2));
  spend_table s{shard, *db};
  REQUIRE(s.open());
  for (auto [id, personal, told] :
       {std::tuple{"old", true, false}, std::tuple{"personal", true, false},
        std::tuple{"told", false, true}}) {
    INFO(id);
    REQUIRE(s.find(id));
    CHECK(s.find(id)->campaign == "c");
    CHECK(s.find(id)->price_micros == 40);
    CHECK(s.find(id)->personal == personal);
    CHECK(s.find(id)->told == told);
  }
  put("newer", row(3, 0));
  CHECK(s.open().error().code == errc::corrupt);
}

TEST_CASE("what was lent and not used comes back whole", "[ads]") {
  house h{campaign_with(10'000)};
  auto& s = *h.shards[0];
  auto say = [&](std::int64_t wanted) {
    replication::draft theirs, ours;
    auto lent = h.owner.lend(theirs, "c", s.report("c", wanted), h.now);
    h.keep(theirs);
    s.receive(ours, "c", *lent);
    h.keep(ours);
    return *lent;
  };
  say(100);
  replication::draft entry;
  s.reserve(entry, "i-1", {"c", 70, day_of(h.now), h.now + 10min, false});
  s.reserve(entry, "i-2", {"c", 30, day_of(h.now), h.now + 10min, false});
  s.settle(entry, "i-1");
  h.now += 11min;
  CHECK(s.lapse(entry, h.now, 10));
  CHECK(s.return_idle(entry, day_of(h.now), h.now).size() == 1);
  h.keep(entry);
  say(0);
  CHECK(*h.owner.lent_net("c") == 70);
  CHECK(s.totals("c").settled == 70);
  CHECK(s.find("i-2") == nullptr);
  CHECK(say(20'000).exhausted);
}
