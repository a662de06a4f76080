/// Campaigns, content, decisions and their reasons as the JSON of interfaces: pure.
#pragma once

#include <nlohmann/json.hpp>

#include "actors/messages/messages.hpp"
#include "storage/model/campaign.hpp"
#include "storage/model/impression.hpp"

namespace candor::gateway {

nlohmann::ordered_json to_json(const model::campaign& c);
nlohmann::ordered_json to_json(const model::content_item& c);
nlohmann::ordered_json to_json(const model::impression& x);
nlohmann::ordered_json decision_json(const ads_matched& decided);
nlohmann::ordered_json why_json(const model::impression& x, const std::vector<not_used>& rest);
nlohmann::ordered_json feed_json(const feed_ranked& feed);

} // namespace candor::gateway
