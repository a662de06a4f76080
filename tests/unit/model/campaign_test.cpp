#include <catch2/catch.hpp>

#include "storage/base/ids.hpp"
#include "storage/model/campaign.hpp"
#include "storage/model/impression.hpp"

using namespace candor;
using namespace candor::model;

namespace {

campaign boots() {
  campaign c;
  c.id = "c-7";
  c.advertiser = "a-3";
  c.bid_micros = 850'000;
  c.quality = 180;
  c.total_micros = 500'000'000;
  c.daily_micros = 20'000'000;
  c.from = *parse_time("2025-12-01T00:00:00Z");
  c.to = *parse_time("2026-02-01T00:00:00Z");
  c.cap = frequency_cap{3, std::chrono::hours{24}};
  c.even_pacing = true;
  c.relevance = {{8, 80}, {15, 200}};
  c.targeting = "(country in (CA, US) and topics one of (outdoors))";
  c.creatives = {{"cr-1", "Winter boots", "Warm", "https://example.org/boots"}};
  return c;
}

content_item trails() {
  return {"p-7",
          "Winter trails",
          "https://example.org/trails",
          "en",
          {region_code{{'U', 'S'}}},
          {{15, 220}},
          *parse_time("2025-12-10T08:00:00Z")};
}

impression shown() {
  impression x;
  x.id = "i-0017-abc";
  x.decision = "d-91";
  x.campaign = "c-7";
  x.creative = "cr-1";
  x.at = *parse_time("2025-12-20T09:00:00Z");
  x.state = impression_state::shown;
  x.price_micros = 430'000;
  x.policy_version = "2025-12-16.1";
  x.matched = {"country in (CA, US)"};
  x.topics = {{15, source::ai, *parse_time("2025-12-17T00:00:00Z"), 140}};
  return x;
}

} // namespace

TEST_CASE("campaigns, content and impressions survive their codecs", "[ads]") {
  CHECK(*decode_campaign(encode(boots())) == boots());
  auto plain = boots();
  plain.cap.reset();
  plain.paused = true;
  CHECK(*decode_campaign(encode(plain)) == plain);
  CHECK(*decode_content_item(encode(trails())) == trails());
  CHECK(*decode_impression(encode(shown())) == shown());
}

TEST_CASE("what is cut off or is something else is corrupt", "[ads]") {
  auto bytes = encode(boots());
  for (std::size_t n = 0; n < bytes.size(); n += 7)
    CHECK(decode_campaign(bytes.substr(0, n)).error().code == errc::corrupt);
  CHECK(decode_campaign(encode(trails())).error().code == errc::corrupt);
  CHECK(decode_impression(bytes).error().code == errc::corrupt);
}

TEST_CASE("campaigns, content and impressions of version 1 stay readable", "[ads][golden]") {
  // Hexadecimal of what version 1 wrote for the values above. Never to be changed.
  auto golden_campaign = from_hex(
#include "tests/golden/campaign_v1.inc"
  );
  auto golden_item = from_hex(
#include "tests/golden/content_item_v1.inc"
  );
  auto golden_impression = from_hex(
#include "tests/golden/impression_v1.inc"
  );
  CHECK(*decode_campaign(*golden_campaign) == boots());
  CHECK(*decode_content_item(*golden_item) == trails());
  CHECK(*decode_impression(*golden_impression) == shown());
}
