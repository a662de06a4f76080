#include <catch2/catch.hpp>

#include "actors/recommendation/rank.hpp"

using namespace candor;
using namespace candor::recommendation;
using namespace std::chrono_literals;

namespace {

const timestamp now = *parse_time("2025-12-20T12:00:00Z");
constexpr model::topic_id music = 14, outdoors = 15;

std::shared_ptr<const model::content_item> item(const std::string& id, model::topic_id about,
                                                millis age, const std::string& lang = "en",
                                                std::vector<model::region_code> regions = {}) {
  return std::make_shared<const model::content_item>(model::content_item{
      id, id, "https://example.org", lang, std::move(regions), {{about, 200}}, now - age});
}

std::vector<std::string> ids(const std::vector<ranked>& all) {
  std::vector<std::string> made;
  for (const auto& r : all)
    made.push_back(r.item->id);
  return made;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("what somebody is interested in comes first, and the newer before the older", "[feed]") {
  model::content_list all{item("a", music, 24h), item("b", outdoors, 24h),
                          item("c", outdoors, 72h)};
  reader hiker{"US", "en", {{outdoors, 200}}};
  auto found = rank(all, hiker, now, 10);
  CHECK(ids(found) == names{"b", "c", "a"});
  CHECK(found[0].topics == std::vector<model::topic_id>{outdoors});
  CHECK(found[2].topics.empty());
  CHECK(ids(rank(all, {"US", "en", {}}, now, 2)) == names{"a", "b"});
}

TEST_CASE("a week halves what an item is worth", "[feed]") {
  model::content_list all{item("a", outdoors, 0h), item("b", outdoors, 24h * 7)};
  auto found = rank(all, {"US", "en", {}}, now, 10);
  REQUIRE(found.size() == 2);
  CHECK(found[0].score == 2 * found[1].score);
}

TEST_CASE("regions and the future keep an item away, another language puts it behind", "[feed]") {
  model::content_list all{item("ahead", outdoors, -1h), item("de", outdoors, 1h, "de"),
                          item("kr", outdoors, 1h, "en", {model::region_code{{'K', 'R'}}}),
                          item("old", music, 24h * 300, "en-GB")};
  CHECK(ids(rank(all, {"US", "en", {}}, now, 10)) == names{"old", "de"});
  CHECK(ids(rank(all, {"KR", "en", {}}, now, 10)) == names{"kr", "old", "de"});
  CHECK(ids(rank(all, {"", "", {}}, now, 10)) == names{"de", "old"});
}

TEST_CASE("what was seen, hidden or left out does not come again", "[feed]") {
  model::content_list all{item("a", outdoors, 1h), item("b", outdoors, 2h)};
  CHECK(ids(rank(all, {"US", "en", {}, {"a"}}, now, 10)) == names{"b"});
  CHECK(rank(all, {"US", "en", {}, {"a", "b"}}, now, 10).empty());
}

TEST_CASE("more of the same gives way to something else that is nearly as good", "[feed]") {
  model::content_list all{item("a", outdoors, 1h), item("b", outdoors, 2h), item("c", music, 3h)};
  CHECK(ids(rank(all, {"US", "en", {{music, 50}, {outdoors, 60}}}, now, 10)) ==
        names{"a", "c", "b"});
  // Not to something that is far worse.
  CHECK(ids(rank(all, {"US", "en", {{outdoors, 255}}}, now, 10)) == names{"a", "b", "c"});
}

TEST_CASE("of whom nothing is known, what is made for their country counts more", "[feed]") {
  auto us = model::region_code{{'U', 'S'}};
  model::content_list all{item("a", music, 1h), item("b", outdoors, 24h, "en", {us})};
  CHECK(ids(rank(all, {"US", "en", {}}, now, 10)) == names{"b", "a"});
  CHECK(ids(rank(all, {"US", "en", {{music, 1}}}, now, 10)) == names{"a", "b"});
  CHECK(ids(rank(all, {"", "en", {}}, now, 10)) == names{"a"});
}
