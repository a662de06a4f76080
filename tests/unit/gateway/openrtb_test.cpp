#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "actors/gateway/parse/country.hpp"
#include "actors/gateway/parse/openrtb.hpp"
#include "actors/gateway/render_openrtb.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"
#include "storage/model/targeting/expression.hpp"

using namespace candor;
using namespace candor::parse;
using json = nlohmann::json;
using words = std::vector<std::string>;

namespace {

/// As an exchange sends it, with much that is not read here.
json request() {
  return json::parse(R"({
    "id": "r-1", "at": 2, "tmax": 120, "cur": ["EUR", "USD"], "allimps": 0,
    "imp": [{"id": "1", "bidfloor": 0.03, "bidfloorcur": "USD", "secure": 1, "ext": {"x": [1, 2]},
             "banner": {"w": 300, "h": 250, "battr": [13]}}],
    "site": {"id": "102855", "cat": ["653", "239"], "cattax": 9, "domain": "www.example.com",
             "content": {"cat": ["483"], "cattax": 9, "keywords": "alps"}},
    "device": {"ua": "Mozilla", "ip": "192.0.2.1", "devicetype": 4, "language": "en",
               "geo": {"country": "USA", "region": "CA", "lat": 1.5}},
    "user": {"id": "u-42", "data": [{"name": "dmp", "segment": [{"id": "vip", "value": "1"}]}]},
    "bcat": ["391"], "cattax": 9, "wlang": ["en"],
    "badv": ["Company1.com", "Acme", "Bücher.example."],
    "regs": {"coppa": 0, "gdpr": 0, "us_privacy": "1YNN"}, "source": {"tid": "abc"}})");
}

bid_request read(const json& from) {
  auto made = parse_bid_request(from.dump());
  REQUIRE(made);
  return *made;
}

errc refusal(const json& from) {
  auto made = parse_bid_request(from.dump());
  REQUIRE(!made);
  return made.error().code;
}

/// What may be known of the person under a changed request.
bool knows_the_person(const char* pointer, const json& is) {
  auto asked = request();
  asked[json::json_pointer{pointer}] = is;
  auto made = read(asked);
  CHECK(made.user.empty() == made.segments.empty());
  CHECK((made.consent && !made.coppa) == !made.user.empty());
  return !made.user.empty();
}

} // namespace

TEST_CASE("a bid request tells what a decision asks for", "[openrtb]") {
  auto r = read(request());
  CHECK(r.id == "r-1");
  REQUIRE(r.places.size() == 1);
  CHECK(r.places[0].imp == "1");
  CHECK(r.places[0].placement == "banner");
  CHECK(r.places[0].floor_micros == 30); // 0.03 for a thousand
  CHECK(r.user == "u-42");
  CHECK(r.country == "US");
  CHECK(r.region == "US-CA");
  CHECK(r.lang == "en");
  CHECK(r.device == "phone");
  CHECK(r.ctx == words{"travel", "sports"}); // 239 would be either of two topics
  CHECK(r.bcat == words{"personal_finance"});
  CHECK(r.badv == words{"company1.com", "acme", "xn--bcher-kva.example"});
  CHECK(r.segments == words{"vip"});
  CHECK(r.wlang == words{"en"});
  CHECK(r.tmax == millis{120});
  CHECK((r.consent && !r.coppa && !r.test && !r.refused));
}

TEST_CASE("a category is blocked as everything that it may mean", "[openrtb]") {
  auto asked = request();
  asked["bcat"] = {"239", "1037"};
  CHECK(read(asked).bcat == words{"hobbies", "outdoors"});
}

TEST_CASE("what refuses, and what cannot be read, hides the person", "[openrtb]") {
  CHECK(knows_the_person("/test", 0));
  CHECK(!knows_the_person("/regs/coppa", 1));
  CHECK(!knows_the_person("/regs/gdpr", 1));
  CHECK(!knows_the_person("/regs/ext", {{"gdpr", 1}}));
  CHECK(knows_the_person("/regs/us_privacy", "1---"));
  CHECK(!knows_the_person("/regs/us_privacy", "1YYN"));
  CHECK(!knows_the_person("/regs/us_privacy", "2YNN"));
  CHECK(!knows_the_person("/regs/us_privacy", "yes"));
  CHECK(!knows_the_person("/regs/ext", {{"us_privacy", "1YYN"}}));
  CHECK(!knows_the_person("/regs/gpp", "DBABBg"));
  CHECK(!knows_the_person("/device/lmt", 1));
  CHECK(!knows_the_person("/device/dnt", 1));
}

TEST_CASE("who cannot be one of our users is nobody", "[openrtb]") {
  auto asked = request();
  asked["user"]["id"] = std::string(1000, 'x');
  CHECK(read(asked).user.empty());
  CHECK(read(asked).consent);
  asked["user"]["buyeruid"] = "u-7";
  CHECK(read(asked).user == "u-7");
  asked.erase("user");
  CHECK(read(asked).user.empty());
}

TEST_CASE("what can be no segment of ours, a sensitive one above all, is passed over",
          "[openrtb]") {
  auto asked = request();
  asked["user"]["data"][0]["segment"] = {{{"id", "religion"}},
                                         {{"id", ""}},
                                         {{"name", "x"}},
                                         {{"id", std::string(65, 'x')}},
                                         {{"id", "vip"}}};
  CHECK(read(asked).segments == words{"vip"});
  asked["user"]["data"] = json::array();
  for (int d = 0; d < 8; ++d) {
    json list = json::array();
    for (int i = 0; i < 1000; ++i)
      list.push_back({{"id", std::to_string(1000 * d + i)}});
    asked["user"]["data"].push_back({{"segment", list}});
  }
  CHECK(read(asked).segments.size() == model::targeting::values_max);
}

TEST_CASE("nothing is bid where a block, a currency or a place cannot be honoured", "[openrtb]") {
  auto with = [](const char* pointer, const json& is) {
    auto asked = request();
    asked[json::json_pointer{pointer}] = is;
    return read(asked).refused;
  };
  CHECK(with("/cattax", 1) == no_bid::categories_unread);
  CHECK(with("/cattax", nullptr) == no_bid::categories_unread); // the default is 1
  CHECK(with("/cur", json::array({"EUR"})) == no_bid::currency);
  CHECK(with("/cur", json::array()) == std::nullopt);
  CHECK(with("/wseat", json::array({"other"})) == no_bid::seat_blocked);
  CHECK(with("/wseat", json::array({"other", "candor"})) == std::nullopt);
  CHECK(with("/bseat", json::array({"candor"})) == no_bid::seat_blocked);
  CHECK(with("/imp/0/bidfloorcur", "JPY") == no_bid::no_place_to_fill);
  CHECK(with("/imp/0/pmp", {{"private_auction", 1}}) == no_bid::no_place_to_fill);
  CHECK(with("/imp", json::parse(R"([{"id": "1", "video": {}}])")) == no_bid::no_place_to_fill);
  auto page = request();
  page["site"]["cattax"] = 1; // of what the page is about only, which may be unknown
  CHECK(!read(page).refused);
  CHECK(read(page).ctx == words{"sports"});
  page.erase("bcat");
  page.erase("cattax");
  CHECK(!read(page).refused);
}

TEST_CASE("floors round up to whole micros, and places are bounded", "[openrtb]") {
  auto asked = request();
  asked["imp"] = json::array();
  for (int i = 0; i < 14; ++i)
    asked["imp"].push_back({{"id", std::to_string(i)}, {"native", {{"ver", "1.2"}}}});
  asked["imp"][0]["bidfloor"] = 430.0001;
  auto r = read(asked);
  REQUIRE(r.places.size() == limits::ads_per_decision);
  CHECK(r.places[0].floor_micros == 430'001);
  CHECK(r.places[1].floor_micros == 0);
  CHECK(r.places[1].placement == "feed");
}

TEST_CASE("what is known and of another type is refused by name", "[openrtb]") {
  auto with = [](const char* pointer, const json& is) {
    auto asked = request();
    asked[json::json_pointer{pointer}] = is;
    return refusal(asked);
  };
  CHECK(with("/id", 7) == errc::bad_value);
  CHECK(with("/id", "") == errc::missing_field);
  CHECK(with("/imp", json::array()) == errc::missing_field);
  CHECK(with("/imp", "1") == errc::bad_value);
  CHECK(with("/imp/0", 1) == errc::bad_value);
  CHECK(with("/imp/0/id", nullptr) == errc::bad_value);
  CHECK(with("/imp/0/bidfloor", -1) == errc::bad_value);
  CHECK(with("/imp/0/bidfloor", 1e300) == errc::bad_value);
  CHECK(with("/imp/0/bidfloor", "0.1") == errc::bad_value);
  CHECK(with("/imp/0/banner", json::array()) == errc::bad_value);
  CHECK(with("/site", "x") == errc::bad_value);
  CHECK(with("/site/cat", "653") == errc::bad_value);
  CHECK(with("/bcat", json::array({653})) == errc::bad_value);
  CHECK(with("/badv", "company1.com") == errc::bad_value);
  CHECK(with("/regs/coppa", 2) == errc::bad_value);
  CHECK(with("/regs/gdpr", "1") == errc::bad_value);
  CHECK(with("/regs/us_privacy", 1) == errc::bad_value);
  CHECK(with("/user/data", {{"segment", 1}}) == errc::bad_value);
  CHECK(with("/tmax", -1) == errc::bad_value);
  CHECK(with("/tmax", "100") == errc::bad_value);
  CHECK(with("/at", 0) == errc::bad_value);
  CHECK(with("/test", true) == errc::bad_value);
  CHECK(parse_bid_request("[]").error().code == errc::malformed);
  CHECK(parse_bid_request("{\"id\":").error().code == errc::malformed);
  CHECK(parse_bid_request(std::string(100, '[') + std::string(100, ']')).error().code ==
        errc::malformed);
  auto detail = request();
  detail["imp"][0]["bidfloor"] = -1;
  CHECK(parse_bid_request(detail.dump()).error().detail ==
        "`imp[0].bidfloor` is an amount of 0 or more");
}

TEST_CASE("however a bid request is damaged, it is read or refused by a code of 4xx", "[openrtb]") {
  seeded_rng random{11};
  const auto whole = request().dump();
  std::size_t read = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    auto damaged = whole;
    for (auto edits = 1 + random.next() % 4; edits > 0; --edits) {
      auto at = random.next() % damaged.size();
      switch (random.next() % 3) {
        case 0:
          damaged[at] = static_cast<char>(random.next());
          break;
        case 1:
          damaged.erase(at, 1 + random.next() % 8);
          break;
        default:
          damaged.insert(at, whole, random.next() % whole.size(), random.next() % 40);
      }
      if (damaged.empty())
        damaged = whole;
    }
    if (auto made = parse_bid_request(damaged)) {
      ++read;
      CHECK((made->refused || !made->places.empty()));
      CHECK((made->user.empty() || (made->consent && !made->coppa)));
    } else {
      ++refused;
      auto status = info(made.error().code).http_status;
      CHECK((status >= 400 && status < 500));
    }
  }
  CHECK(read > 100);
  CHECK(refused > 100);
}

TEST_CASE("countries go from three letters to two", "[openrtb]") {
  CHECK(country_of("USA") == "US");
  CHECK(country_of("KOR") == "KR");
  CHECK(country_of("ABW") == "AW");
  CHECK(country_of("ZWE") == "ZW");
  CHECK(country_of("XXX").empty());
  CHECK(country_of("usa").empty());
  CHECK(country_of("").empty());
}

TEST_CASE("a bid has its price in CPM, its advertiser and its categories once", "[openrtb]") {
  bid_request asked;
  asked.id = "r-1";
  ad_placed ad{"c-7",      "cr-1",  "Boots",  "Warm", "https://Shop.Example.org:443/boots",
               "i-0001-a", 430'001, {11, 15}, "en"};
  auto made = gateway::bid_response(asked, {{"1", ad}});
  auto bid = made["seatbid"][0]["bid"][0];
  CHECK(made["id"] == "r-1");
  CHECK(made["cur"] == "USD");
  CHECK(bid["id"] == "i-0001-a");
  CHECK(bid["impid"] == "1");
  CHECK(bid["price"] == 430.001);
  CHECK(bid["adid"] == "c-7/cr-1");
  CHECK(bid["adomain"] == json::array({"shop.example.org"}));
  CHECK(bid["cat"] == json::array({"239"})); // hobbies and outdoors lie in one
  CHECK(bid["cattax"] == 9);
  CHECK(bid["language"] == "en");
  CHECK(bid["exp"] == 600);
  CHECK(!bid.contains("nurl"));
  CHECK(gateway::no_bid_response(asked, no_bid::insufficient_time).dump() ==
        R"({"id":"r-1","nbr":15})");
}
