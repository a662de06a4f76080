/// Bid requests through the gateway, with a room behind it that is the test's own.

#include <nlohmann/json.hpp>

#include "tests/unit/gateway/house.hpp"

using namespace candor;
using namespace candor::gateway_tests;
using nlohmann::json;

namespace {

json request(const std::string& user, int places = 1) {
  json made = {{"id", "r-1"}, {"user", {{"id", user}}}, {"imp", json::array()}};
  for (int i = 0; i < places; ++i)
    made["imp"].push_back({{"id", std::to_string(i)}, {"banner", json::object()}});
  return made;
}

json bid(house& h, const json& asked) {
  auto r = h.ask("POST", "/v1/openrtb", asked.dump(), "application/json");
  CAPTURE(r.body);
  CHECK(r.status == 200);
  return json::parse(r.body);
}

} // namespace

TEST_CASE("each place is a decision of its own, without what won a place before", "[openrtb]") {
  house h;
  auto asked = request("ann", 2);
  asked["imp"][1]["bidfloor"] = 12.5;
  auto made = bid(h, asked);
  auto bids = made["seatbid"][0]["bid"];
  REQUIRE(bids.size() == 2);
  CHECK(bids[0]["impid"] == "0");
  CHECK(bids[1]["cid"] == "c-2");
  CHECK(bids[1]["price"] == 20.0);
  auto until = std::to_string((h.time.monotonic() + 20s).count()); // the gateway's own deadline
  CHECK(h.notes->lines() ==
        std::vector<std::string>{"match ann until " + until + " floor 0",
                                 "match ann until " + until + " floor 12500 without c-1"});
}

TEST_CASE("an auction's time is kept although a room never answers", "[openrtb]") {
  house h;
  auto asked = request("slow");
  asked["tmax"] = 80;
  auto begun = std::chrono::steady_clock::now();
  CHECK(bid(h, asked) == json{{"id", "r-1"}, {"nbr", 15}});
  CHECK(std::chrono::steady_clock::now() - begun < 10s); // not the gateway's deadline, or none
  // The room knows until when it may reserve something: five milliseconds are the answer's own.
  CHECK(h.notes->lines() ==
        std::vector<std::string>{"match slow until " +
                                 std::to_string((h.time.monotonic() + 75ms).count()) + " floor 0"});
}

TEST_CASE("time that is over before anything is asked ends in no bid", "[openrtb]") {
  house h;
  auto asked = request("ann");
  asked["tmax"] = 5;
  CHECK(bid(h, asked)["nbr"] == 15);
  CHECK(h.notes->lines().empty());
}

TEST_CASE("what was reserved before the time was over is offered", "[openrtb]") {
  house h;
  auto asked = request("tired", 3);
  asked["tmax"] = 200;
  auto made = bid(h, asked);
  REQUIRE(made["seatbid"][0]["bid"].size() == 1);
  CHECK(made["seatbid"][0]["bid"][0]["cid"] == "c-1");
  CHECK(h.notes->lines().size() == 2); // and the third place is not asked for
}

TEST_CASE("a test reserves nothing, and who refuses is not named to the room", "[openrtb]") {
  house h;
  auto asked = request("ann");
  asked["test"] = 1;
  asked["regs"] = {{"coppa", 1}};
  bid(h, asked);
  REQUIRE(h.notes->lines().size() == 1);
  CHECK(h.notes->lines()[0].starts_with("match  until"));
  CHECK(h.notes->lines()[0].ends_with(" dry"));
}
