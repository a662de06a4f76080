#include <cmath>

#include <catch2/catch.hpp>

#include "storage/base/ids.hpp"
#include "storage/model/user_record.hpp"

using namespace candor;
using namespace candor::model;
using namespace std::chrono_literals;

namespace {

const half_lives thirty_days{{timestamp{}, std::chrono::days{30}}};

timestamp day(int n) {
  return timestamp{std::chrono::days{20'000 + n}};
}

learned learned_event(int on_day, topic_id topic, std::uint32_t weight, source from = source::ai) {
  learned x;
  x.event.tag[0] = static_cast<std::uint8_t>(on_day);
  x.event.at = day(on_day);
  x.source = from;
  x.topics = {{topic, weight}};
  x.policy_version = "v1";
  return x;
}

user_details moved(std::string_view region, timestamp since) {
  user_details d;
  d.region = region_code{{region[0], region[1]}};
  d.region_since = since;
  return d;
}

user_details assistant_user(timestamp since) {
  user_details d;
  d.assistant_user_since = since;
  return d;
}

user_record full_record() {
  user_record r;
  r.user = "u-42";
  r.pseudonym = "s-0123456789abcdef";
  r.created = day(0);
  r.person.regions = {{region_code{{'U', 'S'}}, day(0)}, {region_code{{'D', 'E'}}, day(9)}};
  r.person.birth_year = 1990;
  r.person.notices = {{"ai-interactions", 1, channel::email, day(1)}};
  r.person.opt_outs = {{"ai-interactions", day(2)}};
  r.person.assistant_user_since = day(3);
  r.lang = "en";
  r.zone = "America/New_York";
  r.email = "u42@example.org";
  r.app = "feed";
  fold(r, learned_event(4, 15, one_mention), thirty_days);
  fold(r, learned_event(5, 9, one_mention / 2, source::engagement), thirty_days);
  r.version = 2;
  return r;
}

} // namespace

TEST_CASE("an interest halves after one half-life", "[profile]") {
  CHECK(decay(one_mention, day(0), day(30), thirty_days) == one_mention / 2);
  CHECK(decay(one_mention, day(0), day(60), thirty_days) == one_mention / 4);
  CHECK(decay(one_mention, day(0), day(0), thirty_days) == one_mention);
}

TEST_CASE("decay follows 2^-x within one part in 300", "[profile]") {
  for (int d = 0; d < 200; ++d) {
    auto exact = 1e6 * std::exp2(-d / 30.0);
    auto found = static_cast<double>(decay(1'000'000, day(0), day(d), thirty_days));
    CHECK(found == Approx(exact).epsilon(0.0035).margin(1.0));
  }
}

TEST_CASE("a weight never rises by waiting, and ends at nothing", "[profile]") {
  auto last = std::int64_t{3} * one_mention;
  for (int d = 1; d < 2000; ++d) {
    auto now = decay(std::int64_t{3} * one_mention, day(0), day(d), thirty_days);
    REQUIRE(now <= last);
    last = now;
  }
  CHECK(last == 0);
}

TEST_CASE("a new half-life holds from its time on", "[profile]") {
  half_lives changed{{timestamp{}, std::chrono::days{30}}, {day(30), std::chrono::days{10}}};
  CHECK(decay(1 << 20, day(0), day(30), changed) == 1 << 19);
  CHECK(decay(1 << 20, day(0), day(40), changed) == 1 << 18);
  CHECK(decay(1 << 20, day(30), day(40), changed) == 1 << 19);
}

TEST_CASE("sources of one topic are kept apart", "[profile]") {
  user_record r;
  fold(r, learned_event(0, 15, one_mention, source::ai), thirty_days);
  fold(r, learned_event(0, 15, one_mention, source::engagement), thirty_days);
  fold(r, learned_event(0, 3, one_mention, source::ai), thirty_days);
  REQUIRE(r.interests.size() == 3);
  CHECK(r.interests[0].topic == 3);
  CHECK(r.interests[1].source == source::ai);
  CHECK(r.interests[2].source == source::engagement);
}

TEST_CASE("an event that arrives late counts as old as it is", "[profile]") {
  user_record in_order, late;
  fold(in_order, learned_event(0, 15, one_mention), thirty_days);
  fold(in_order, learned_event(30, 15, one_mention), thirty_days);
  fold(late, learned_event(30, 15, one_mention), thirty_days);
  fold(late, learned_event(0, 15, one_mention), thirty_days);
  CHECK(in_order.interests[0].weight == one_mention + one_mention / 2);
  CHECK(late.interests[0].weight == in_order.interests[0].weight);
  CHECK(late.interests[0].since == day(0));
  CHECK(late.interests[0].last == day(30));
  CHECK(late.interests[0].events == 2);
}

TEST_CASE("what is older than the retention goes, and remembered ids with the window",
          "[profile]") {
  auto r = full_record();
  r.seen[1].import_run = 7;
  auto closed = [](std::uint32_t) { return false; };
  auto open = [](std::uint32_t run) { return run == 7; };
  prune(r, day(10), std::chrono::days{400}, day(6), thirty_days, open);
  CHECK(r.interests.size() == 2);
  REQUIRE(r.seen.size() == 1); // of the open import run
  prune(r, day(500), std::chrono::days{400}, day(499), thirty_days, closed);
  CHECK(r.interests.empty());
  CHECK(r.seen.empty());
}

TEST_CASE("strength rises with the weight and stays within 1 and 255", "[profile]") {
  CHECK(strength(0) == 0);
  CHECK(strength(1) == 1);
  auto last = 0;
  for (std::int64_t w = 1; w < std::int64_t{1} << 40; w *= 2) {
    CHECK(strength(w) >= last);
    last = strength(w);
  }
  CHECK(last >= 250);
}

TEST_CASE("a region's history grows, and what is stated anew replaces what it overlaps",
          "[profile]") {
  user_record r;
  auto to_us = moved("US", day(0)), to_de = moved("DE", day(10)), to_ca = moved("CA", day(5));
  merge(r, to_us, day(20));
  merge(r, to_de, day(20));
  CHECK(r.person.regions.size() == 2);
  merge(r, to_ca, day(20)); // the move to DE was wrong
  REQUIRE(r.person.regions.size() == 2);
  CHECK(r.person.regions[1].region == region_code{{'C', 'A'}});
  merge(r, to_ca, day(20));
  CHECK(r.person.regions.size() == 2);
}

TEST_CASE("assistant_user_since is set once", "[profile]") {
  user_record r;
  merge(r, assistant_user(day(5)), day(9));
  merge(r, assistant_user(day(1)), day(9));
  CHECK(r.person.assistant_user_since == day(5));
}

TEST_CASE("records survive their codecs", "[profile]") {
  auto r = full_record();
  r.notices = {{"n-1", "ai-interactions", 1, channel::in_app, "en", day(1), notice_state::sent, 0,
                day(1), day(1), day(2)},
               {"n-2",
                "ai-interactions",
                1,
                channel::email,
                "pt-BR",
                day(1),
                notice_state::intended,
                2,
                day(3),
                {},
                {}}};
  CHECK(decode_user_record(encode(r)) == r);
  auto delta = learned_event(3, 9, 7);
  delta.event.import_run = 4;
  CHECK(decode_learned(encode(delta)) == delta);
  auto d = moved("US", day(0));
  d.email = "a@b.example";
  d.birth_year = 1990;
  CHECK(decode_user_details(encode(d)) == d);
  CHECK(decode_user_details(encode(user_details{})) == user_details{});
}

TEST_CASE("records written by version 1 stay readable", "[profile][golden]") {
  // Hexadecimal of what version 1 wrote for the records above. Never to be changed: an old disk
  // holds these bytes.
  auto golden_record = from_hex(
#include "tests/golden/user_record_v1.inc"
  );
  auto golden_delta = from_hex(
#include "tests/golden/learned_v1.inc"
  );
  REQUIRE(golden_record);
  REQUIRE(golden_delta);
  CHECK(decode_user_record(*golden_record) == full_record());
  CHECK(decode_learned(*golden_delta) == learned_event(3, 9, 7));
}

TEST_CASE("a record cut short, or of a later version, is corrupt and nothing else", "[profile]") {
  auto bytes = encode(full_record());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    auto cut = decode_user_record(std::string_view{bytes}.substr(0, n));
    REQUIRE(!cut);
    CHECK(cut.error().code == errc::corrupt);
  }
  auto later = bytes;
  later[3] = 9; // behind the three bytes of the array's head stands the version
  CHECK(!decode_user_record(later));
}
