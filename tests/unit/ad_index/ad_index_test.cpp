#include <catch2/catch.hpp>

#include "actors/ad_matching/index/ad_index.hpp"
#include "tests/support/plain_match.hpp"
#include "tools/candor-bench/match/expression_text.hpp"

using namespace candor;
using namespace candor::ad_matching::index;

namespace {

const schema attributes{{"n", value_kind::number}, {"l", value_kind::list}};

campaign make(std::uint64_t id, std::int64_t bid, std::string_view text,
              std::vector<weighted_topic> relevance = {}) {
  campaign c;
  c.id = id;
  c.bid_micros = bid;
  c.relevance = std::move(relevance);
  c.wish = *bench::wish_reader{attributes}.read(text);
  return c;
}

request asked_with(std::optional<std::int64_t> n, std::vector<std::int64_t> l,
                   std::vector<weighted_topic> interests = {}) {
  return {{n, std::nullopt}, {{}, std::move(l)}, std::move(interests), {}};
}

std::vector<std::uint64_t> ids(const matched& found) {
  std::vector<std::uint64_t> made;
  for (const auto& x : found.best)
    made.push_back(x.id);
  return made;
}

} // namespace

TEST_CASE("more constants than there are columns are still told apart", "[ad_index]") {
  std::vector<campaign> campaigns;
  for (std::uint64_t i = 0; i < 3000; ++i)
    campaigns.push_back(make(i + 1, 20'000,
                             "n = " + std::to_string(i * 1'000'003) + " and l one of (" +
                                 std::to_string(i * 77) + ")"));
  auto index = *ad_index::make(attributes, campaigns, 10);
  searcher search;
  for (std::int64_t i = 0; i < 3000; i += 37) {
    CHECK(ids(search.best(*index, asked_with(i * 1'000'003, {i * 77}), 3)) ==
          std::vector<std::uint64_t>{static_cast<std::uint64_t>(i + 1)});
    CHECK(search.best(*index, asked_with(i * 1'000'003 + 1, {i * 77}), 3).best.empty());
    CHECK(search.best(*index, asked_with(i * 1'000'003, {i * 77 + 1}), 3).best.empty());
  }
}

TEST_CASE("values that nobody named when the index was made are matched after an addition",
          "[ad_index]") {
  auto index = *ad_index::make(attributes, std::vector{make(1, 20'000, "n = 5")}, 10);
  searcher search;
  REQUIRE(*index->add(make(2, 30'000, "n >= 1000 and l one of (123456789)", {{70'000, 255}})) ==
          ad_index::added::yes);
  CHECK(ids(search.best(*index, asked_with(2000, {123456789}), 3)) ==
        std::vector<std::uint64_t>{2});
  CHECK(search.best(*index, asked_with(999, {123456789}), 3).best.empty());
  CHECK(search.best(*index, asked_with(2000, {123456788}), 3).best.empty());
  CHECK(search.best(*index, asked_with(2000, {123456789}, {{70'000, 255}}), 3).best[0].relevance ==
        256 + (255 * 255 >> 8));
}

TEST_CASE("ties go to the lower id, and what is left out makes no price", "[ad_index]") {
  std::vector<campaign> campaigns;
  for (auto id : {9, 3, 7, 1})
    campaigns.push_back(make(static_cast<std::uint64_t>(id), 20'000, ""));
  auto index = *ad_index::make(attributes, campaigns, 0);
  searcher search;
  auto asked = asked_with({}, {});
  CHECK(ids(search.best(*index, asked, 2)) == std::vector<std::uint64_t>{1, 3, 7});
  asked.left_out = {1, 7};
  CHECK(ids(search.best(*index, asked, 2)) == std::vector<std::uint64_t>{3, 9});
  const auto& all = search.all(*index, asked, 2);
  CHECK(all.count == 4);
  CHECK(all.uncapped == 2);
  CHECK(all.id_mix == (mix64(1) ^ mix64(3) ^ mix64(7) ^ mix64(9)));
}

TEST_CASE("what cannot be a campaign is refused", "[ad_index]") {
  auto refused = [](campaign c) {
    return ad_index::make(attributes, std::vector{std::move(c)}, 0).error().detail;
  };
  CHECK(refused(make(4, -1, "")) == "campaign 4: a bid is within 0 and 50000000000000 micros");
  CHECK(refused(make(4, bid_most + 1, "")).starts_with("campaign 4: a bid"));
  auto no_quality = make(4, 1, "");
  no_quality.quality = 0;
  CHECK(refused(no_quality) == "campaign 4: quality is within 1 and 255");
  CHECK(ad_index::make(attributes, std::vector{make(4, 1, ""), make(4, 2, "")}, 0).error().detail ==
        "campaign 4 is there twice");
  std::string large = "not (l one of (1";
  for (auto i = 2; i < 70'000; ++i)
    large += ", " + std::to_string(i);
  CHECK(refused(make(4, 1, large + ") and l none of (5))")) ==
        "campaign 4: its targeting is too large");
}

TEST_CASE("an index without campaigns answers nothing and takes some", "[ad_index]") {
  auto index = *ad_index::make(attributes, {}, 600);
  searcher search;
  CHECK(search.best(*index, asked_with(1, {2}), 5).best.empty());
  for (std::uint64_t i = 1; i <= 600; ++i)
    REQUIRE(*index->add(make(i, 20'000, i % 2 ? "n = 1" : "l one of (2)")) == ad_index::added::yes);
  CHECK(search.all(*index, asked_with(1, {2}), 5).count == 600);
  CHECK(search.all(*index, asked_with(1, {}), 5).count == 300);
  CHECK(search.all(*index, asked_with({}, {2}), 5).count == 300);
}

TEST_CASE("an index for all matches looks at none that a clause or a veto keeps away",
          "[ad_index]") {
  std::vector<campaign> campaigns;
  for (std::uint64_t i = 0; i < 900; ++i) {
    auto v = std::to_string(i);
    campaigns.push_back(make(i + 1, 20'000,
                             i % 3 == 0   ? "l one of (" + v + ", 5000)"
                             : i % 3 == 1 ? "l none of (" + v + ")"
                                          : "(l one of (" + v + ") or l all of (5000)) and n = 1"));
  }
  auto for_best = *ad_index::make(attributes, campaigns, 10);
  auto for_all = *ad_index::make(attributes, campaigns, 10, asked_for::all);
  REQUIRE(*for_all->add(make(901, 20'000, "l none of (7)")) == ad_index::added::yes);
  searcher search;
  auto asked = asked_with(1, {300, 301, 302});
  CHECK(search.all(*for_all, asked, 5).count == 1 + 299 + 1 + 1);
  CHECK(search.all(*for_all, asked, 5).looked_at == 302);
  CHECK(search.all(*for_best, asked, 5).count == 301);
  CHECK(search.all(*for_best, asked, 5).looked_at > 302);
  // What was added later is tested by its program.
  CHECK(search.all(*for_all, asked_with(2, {7}), 5).count == 299);
  CHECK(search.all(*for_all, asked_with(1, {5000}), 5).count == 300 + 300 + 300 + 1);
}

TEST_CASE("an index for all matches says exactly who asks for all of two values, and tests what a "
          "value triggers",
          "[ad_index]") {
  std::vector<campaign> campaigns;
  for (std::uint64_t i = 0; i < 900; ++i) {
    auto v = std::to_string(i);
    campaigns.push_back(make(i + 1, 20'000,
                             i % 2 == 0 ? "l all of (" + v + ", 5000)"
                                        : "(n = 1 or not (n in (2, 3) and l one of (" + v + ")))"));
  }
  auto index = *ad_index::make(attributes, campaigns, 10, asked_for::all);
  searcher search;
  const auto& untouched = search.all(*index, asked_with(2, {5000, 300}), 5);
  CHECK(untouched.count == 1 + 450);
  CHECK(untouched.looked_at == 1 + 450);
  const auto& triggered = search.all(*index, asked_with(2, {301, 303}), 5);
  CHECK(triggered.count == 448);
  CHECK(triggered.looked_at == 450);
  CHECK(search.all(*index, asked_with(1, {301, 303}), 5).count == 450);
  CHECK(search.all(*index, asked_with({}, {301, 303}), 5).count == 450);
}

TEST_CASE("keys are put in order, equal ones as they came, by each instruction set", "[ad_index]") {
  for (const auto& target : vector_targets()) {
    REQUIRE(choose_vector_target(target));
    INFO(target);
    std::array<std::uint8_t, keys_max> order{};
    std::array<std::uint64_t, keys_max> few{5, 9, ~std::uint64_t{0}, 5, 0, 9};
    few[6] = 77; // behind them
    order_falling(few.data(), 6, order.data());
    CHECK(std::vector<int>(order.begin(), order.begin() + 6) == std::vector{2, 1, 5, 0, 3, 4});
    std::array<std::uint64_t, keys_max> equal;
    equal.fill(3);
    order_falling(equal.data(), keys_max, order.data());
    for (std::size_t i = 0; i < keys_max; ++i)
      CHECK(order[i] == i);
    std::array<std::uint64_t, keys_max> rising;
    for (std::size_t i = 0; i < keys_max; ++i)
      rising[i] = i;
    order_falling(rising.data(), keys_max, order.data());
    for (std::size_t i = 0; i < keys_max; ++i)
      CHECK(order[i] == keys_max - 1 - i);
  }
  choose_vector_target("");
}

TEST_CASE("each instruction set can be chosen and an unknown one is refused", "[ad_index]") {
  auto names = vector_targets();
  CHECK(names.back() == "scalar");
  for (const auto& name : names)
    CHECK(choose_vector_target(name));
  CHECK_FALSE(choose_vector_target("AVX1024"));
  CHECK(choose_vector_target(""));
}
