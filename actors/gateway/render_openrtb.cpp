#include "actors/gateway/render_openrtb.hpp"

#include <algorithm>

#include "storage/base/limits.hpp"
#include "storage/model/campaign.hpp"
#include "storage/model/domain.hpp"

namespace candor::gateway {

namespace {

using json = nlohmann::ordered_json;

json categories(const std::vector<std::uint16_t>& topics) {
  auto made = json::array();
  for (auto t : topics)
    if (auto iab = std::string{model::info(t).iab};
        !iab.empty() && std::find(made.begin(), made.end(), iab) == made.end())
      made.push_back(iab);
  return made;
}

json to_bid(const bid_made& b) {
  const auto& a = b.ad;
  json made = {{"id", a.impression}, // what POST /v1/ads/events is told
               {"impid", b.imp},
               {"price", static_cast<double>(a.price_micros) / 1000},
               {"adid", a.campaign + "/" + a.creative},
               {"cid", a.campaign},
               {"crid", a.creative},
               {"adomain", {model::host_of(a.url)}}};
  if (auto cat = categories(a.topics); !cat.empty()) {
    made["cat"] = std::move(cat);
    made["cattax"] = parse::content_taxonomy;
  }
  if (!a.lang.empty())
    made["language"] = a.lang;
  made["exp"] = std::chrono::seconds{limits::impression_window}.count();
  made["ext"] = {{"title", a.title}, {"body", a.body}, {"url", a.url}};
  return made;
}

} // namespace

json bid_response(const parse::bid_request& asked, const std::vector<bid_made>& bids) {
  auto list = json::array();
  for (const auto& b : bids)
    list.push_back(to_bid(b));
  json seat = {{"seat", parse::bid_seat}, {"bid", std::move(list)}};
  json made = {{"id", asked.id}, {"cur", parse::bid_currency}};
  made["seatbid"] = json::array();
  made["seatbid"].push_back(std::move(seat));
  return made;
}

json no_bid_response(const parse::bid_request& asked, parse::no_bid why) {
  return {{"id", asked.id}, {"nbr", static_cast<unsigned>(why)}};
}

} // namespace candor::gateway
