#include <catch2/catch.hpp>

#include "actors/profile/catalogue_table.hpp"

using namespace candor;
using namespace candor::profile;
using model::item_kind;

namespace {

struct shelf {
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  catalogue_table table{3, *db};

  /// Makes what `draft` drafted durable.
  template <class Draft>
  auto keep(Draft draft) {
    replication::draft entry;
    auto answer = draft(entry);
    engine::batch batch;
    for (const auto& row : entry.rows)
      batch.push_back(row.operation);
    REQUIRE(db->write(batch, engine::sync::yes));
    return answer;
  }
  bool put(const std::string& id, std::int64_t bid) {
    model::campaign c;
    c.id = id;
    c.bid_micros = bid;
    return *keep(
        [&](auto& entry) { return table.put(entry, item_kind::campaign, id, model::encode(c)); });
  }
};

} // namespace

TEST_CASE("a campaign that is paused stays so when it is changed", "[ads]") {
  shelf s;
  CHECK(s.put("c-1", 10));
  CHECK(*s.keep([&](auto& entry) { return s.table.pause(entry, "c-1", true); }));
  CHECK(!*s.keep([&](auto& entry) { return s.table.pause(entry, "c-1", true); }));
  CHECK(!s.put("c-1", 20));
  REQUIRE(s.table.open());
  CHECK(s.table.campaign("c-1")->paused);
  CHECK(s.table.campaign("c-1")->bid_micros == 20);
  CHECK(*s.keep([&](auto& entry) { return s.table.pause(entry, "c-1", false); }));
  CHECK(!s.table.campaign("c-1")->paused);
  replication::draft entry;
  CHECK(s.table.pause(entry, "c-2", true).error().code == errc::not_found);
}

TEST_CASE("a puller is told what changed since, once, and the whole where it missed something",
          "[ads]") {
  shelf s;
  s.put("c-1", 10);
  s.put("c-2", 10);
  auto first = s.table.news(0);
  CHECK(first.whole);
  CHECK(first.items.size() == 2);
  CHECK(s.table.news(first.up_to).items.empty());
  s.put("c-1", 20);
  REQUIRE(s.keep([&](auto& entry) { return s.table.erase(entry, item_kind::campaign, "c-2"); }));
  auto next = s.table.news(first.up_to);
  CHECK(!next.whole);
  REQUIRE(next.items.size() == 2);
  CHECK(next.items[0].id == "c-1");
  CHECK(next.items[1].bytes.empty());
  CHECK(s.table.news(next.up_to + 1).whole);
}
