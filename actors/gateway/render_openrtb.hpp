/// Bid responses of OpenRTB 2.6 (section 4.2): pure. Guarantees: a price is in CPM and a whole
/// number of micros an impression; no url that is not served here is named.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "actors/gateway/parse/openrtb.hpp"
#include "actors/messages/messages.hpp"

namespace candor::gateway {

struct bid_made {
  std::string imp;
  ad_placed ad;
};

/// At least one bid.
nlohmann::ordered_json bid_response(const parse::bid_request& asked,
                                    const std::vector<bid_made>& bids);
nlohmann::ordered_json no_bid_response(const parse::bid_request& asked, parse::no_bid why);

} // namespace candor::gateway
