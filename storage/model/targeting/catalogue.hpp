/// What one node knows of all campaigns and content, as its rooms hand it on: campaigns as a row of
/// numbered changes, content as a list that is made anew when some of it changed. Made by
/// actors/catalogue; campaigns are followed by the index of actors/ad_matching.
///
/// Guarantees: an expression in it was parsed and names no sensitive category; a shard that this
/// node has not heard of for too long is not in it; what is in it is never changed in place. Must
/// never be taken out of its order: who misses a change sees it by the numbers.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/model/campaign.hpp"
#include "storage/model/targeting/expression.hpp"

namespace candor::model {

/// A campaign as it is matched: what a decision asks of it was worked out when it was read.
struct live_campaign {
  live_campaign(model::campaign of, targeting::expression wanted);

  model::campaign campaign;
  targeting::expression wants;
  std::string advertiser;           ///< canonical (model/domain.hpp)
  std::vector<std::string> domains; ///< of its creatives, canonical, each once
};

using campaign_list = std::vector<std::shared_ptr<const live_campaign>>; ///< ascending by id
using content_list = std::vector<std::shared_ptr<const content_item>>;   ///< ascending by id

/// What the campaigns are now that were changed since the change before this one.
struct campaigns_change {
  struct item {
    std::string id;
    std::shared_ptr<const live_campaign> now; ///< null: it is gone
  };

  std::uint64_t number = 0; ///< one more than that of the change before; the first has 1
  bool whole = false;       ///< all there are: what was said before does not count
  std::vector<item> items;  ///< ascending by id, each once
};

/// Takes one change over. False: it is not the one after the last that was taken; nothing of it
/// was, and the whole is wanted, which is always taken.
using campaigns_follower = std::function<bool(const campaigns_change&)>;

/// Where the newest list of content lies. Thread-safe; one at a time puts.
class content_shelf {
public:
  std::shared_ptr<const content_list> newest() const {
    std::lock_guard guard{mutex_};
    return newest_;
  }
  void put(std::shared_ptr<const content_list> made) {
    std::lock_guard guard{mutex_};
    newest_ = std::move(made);
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const content_list> newest_ = std::make_shared<const content_list>();
};

} // namespace candor::model
