/// Campaigns, content, requests for ads and what happened to an ad, read strictly: what is not as
/// it must be is refused by name, a targeting expression with line and column.
/// Guarantees: nothing that names a sensitive category passes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/base/ids.hpp"
#include "storage/model/campaign.hpp"
#include "storage/model/region.hpp"

namespace candor::parse {

/// `id` is the path's; a schedule that is over at `now` is refused. Error: also
/// `targeting_invalid`, `sensitive_targeting`, `sensitive_topic`.
result<model::campaign> parse_campaign_json(std::string_view body, std::string_view id,
                                            timestamp now);
result<model::content_item> parse_content_json(std::string_view body, std::string_view id,
                                               const model::region_table& regions);

/// A campaign's or an item's id: 1 to limits::item_id_bytes of plain text.
result<void> check_item_id(std::string_view id);

struct match_request {
  std::string user; ///< empty: none is named
  std::uint32_t k = 1;
  std::string campaign; ///< of a question why not
  std::string country, region, lang, device, placement;
  std::vector<std::string> ctx, bcat, segments, follows;
  std::vector<std::string> badv; ///< canonical (model/domain.hpp)
  bool consent = true, coppa = false;
};

/// `{"match":{"user","k","context":{…}}}`; with `asks_why_not` `{"why_not":{"user","campaign",
/// "context"}}`.
result<match_request> parse_match_json(std::string_view body, bool asks_why_not);

struct ad_happened {
  std::string user, impression;
  std::string what; ///< impression, click or hide
};
result<ad_happened> parse_ad_event_json(std::string_view body);

struct feed_happened {
  std::string content;
  bool hidden = false; ///< else it was seen
};
/// `{"event":"seen" or "hide","content"}`
result<feed_happened> parse_feed_event_json(std::string_view body);

} // namespace candor::parse
