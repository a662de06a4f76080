/// A bid request of OpenRTB 2.6 (IAB Tech Lab, section 3.2), as far as Candor answers one.
/// Guarantees: fields that are not known here, and `ext`, are passed over, as the specification
/// asks; one that is known and of another type is refused by name. What may not be used of a person
/// is not in the result: after a child's or a refusing request there is no user and no segment.
/// Must never guess: a privacy signal that cannot be read counts as a refusal, a block list that
/// cannot be read ends in no bid.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::parse {

/// `nbr`: OpenRTB 3.0, "List: No-Bid Reason Codes"; from 500 on the bidder's own (docs/ads.md).
enum class no_bid : std::uint16_t {
  insufficient_time = 15,
  nothing_fits = 500,
  categories_unread = 501, ///< `bcat` in a taxonomy that is not read here
  currency = 502,          ///< `cur` without ours
  no_place_to_fill = 503,  ///< no `imp` that takes a banner or a native ad in our currency
  seat_blocked = 504,      ///< `wseat` or `bseat`
};

inline constexpr std::string_view bid_currency = "USD";
inline constexpr std::string_view bid_seat = "candor";
inline constexpr std::int64_t content_taxonomy = 9; ///< AdCOM 1.0: IAB Content Taxonomy 3.1

/// A place to fill.
struct bid_place {
  std::string imp;
  std::string placement;         ///< as targeting names it
  std::int64_t floor_micros = 0; ///< of one impression; `bidfloor` is for a thousand
};

struct bid_request {
  std::string id;
  std::vector<bid_place> places; ///< at most limits::ads_per_decision
  std::string user;              ///< empty: nobody that may be known
  std::string country, region, lang, device;
  std::vector<std::string> ctx, bcat, segments, wlang;
  std::vector<std::string> badv; ///< canonical (model/domain.hpp)
  bool consent = true, coppa = false;
  bool test = false; ///< nobody pays
  std::optional<millis> tmax;
  std::optional<no_bid> refused; ///< nothing can be bid, and why
};

result<bid_request> parse_bid_request(std::string_view body);

} // namespace candor::parse
