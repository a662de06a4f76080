#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

#include "storage/model/person.hpp"
#include "storage/model/signal.hpp"
#include "storage/model/topic.hpp"

namespace candor::model {

TEST_CASE("topic numbers and slugs are each used once, and 0 is no topic", "[topic]") {
  std::set<topic_id> numbers;
  std::set<std::string_view> slugs;
  for (const auto& t : topics()) {
    INFO(t.slug);
    CHECK(t.id != 0);
    CHECK(numbers.insert(t.id).second);
    CHECK(slugs.insert(t.slug).second);
    CHECK_FALSE(t.title.empty());
    CHECK_FALSE(t.iab.empty());
    // Two levels, no more.
    auto above = find_topic(t.parent);
    CHECK((t.parent.empty() || (above && info(*above).parent.empty() && *above < t.id)));
    CHECK(find_topic(t.slug) == t.id);
    CHECK(is_topic(t.id));
    CHECK(info(t.id).slug == t.slug);
  }
  CHECK(std::ranges::count(topics(), std::string_view{}, &topic_info::parent) == 24);
  CHECK_FALSE(is_topic(0));
  CHECK_FALSE(find_topic(""));
  CHECK_FALSE(find_topic("Outdoors"));
}

TEST_CASE("numbers that profiles hold keep their meaning", "[topic]") {
  CHECK(info(1).slug == "automotive");
  CHECK(info(8).slug == "fitness");
  CHECK(info(15).slug == "outdoors");
  CHECK(info(24).slug == "weather");
  CHECK(info(25).slug == "soccer");
  CHECK(info(60).slug == "hip_hop");
}

TEST_CASE("no interest topic speaks of a sensitive category", "[topic]") {
  const std::vector<std::string> words{
      "politic", "election", "health",  "medic",  "disease",  "religio", "faith",    "spiritual",
      "church",  "sex",      "gender",  "lgbt",   "dating",   "race",    "ethnic",   "union",
      "genetic", "biometr",  "crim",    "prison", "hardship", "debt",    "bankrupt", "divorce",
      "grief",   "child",    "pregnan", "addict", "immigra",  "disab",   "military"};
  for (const auto& t : topics()) {
    INFO(t.slug);
    CHECK_FALSE(find_category(t.slug));
    std::string title{t.title};
    std::ranges::transform(title, title.begin(), [](unsigned char c) { return std::tolower(c); });
    for (const auto& word : words) {
      CHECK(t.slug.find(word) == std::string_view::npos);
      CHECK(title.find(word) == std::string::npos);
    }
  }
}

TEST_CASE("the twelve categories have the names that interfaces promise", "[topic]") {
  const std::vector<std::string_view> names{"politics",
                                            "health",
                                            "religion",
                                            "sexual_orientation",
                                            "sex_life",
                                            "race_ethnicity",
                                            "union",
                                            "genetic_biometric",
                                            "criminal",
                                            "financial_hardship",
                                            "personal_hardship",
                                            "minors"};
  REQUIRE(names.size() == category_count);
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(to_string(static_cast<category>(i)) == names[i]);
    CHECK(find_category(names[i]) == static_cast<category>(i));
  }
  CHECK(to_string(category::unknown) == "unknown");
  CHECK(find_category("unknown") == category::unknown);
  CHECK_FALSE(find_category("outdoors"));
  CHECK_FALSE(find_category(""));
}

TEST_CASE("channels and sources have names", "[topic]") {
  for (auto c : {channel::in_app, channel::email})
    CHECK(find_channel(to_string(c)) == c);
  CHECK(to_string(channel::in_app) == "in_app");
  CHECK(to_string(channel::email) == "email");
  CHECK_FALSE(find_channel("sms"));
  for (auto s : {source::ai, source::engagement})
    CHECK(find_source(to_string(s)) == s);
  CHECK(to_string(source::ai) == "ai");
  CHECK(to_string(source::engagement) == "engagement");
  CHECK_FALSE(find_source(""));
}

} // namespace candor::model
