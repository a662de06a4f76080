/// What one node knows of all campaigns and content: immutable, made anew when something changed,
/// read by matchers without a lock on what they read.
/// Guarantees: an expression in it was parsed and names no sensitive category; a shard that this
/// node has not heard of for too long is not in it. Must never be changed in place.
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

struct catalogue {
  std::vector<std::shared_ptr<const live_campaign>> campaigns; ///< ascending by id
  std::vector<std::shared_ptr<const content_item>> content;    ///< ascending by id
};

/// Where the newest catalogue lies. Thread-safe; one at a time puts.
class catalogue_shelf {
public:
  using follower = std::function<void(const std::shared_ptr<const catalogue>&)>;

  /// `follows` is told of each catalogue before it is the newest.
  explicit catalogue_shelf(follower follows = {})
    : follows_{std::move(follows)} {}

  std::shared_ptr<const catalogue> newest() const {
    std::lock_guard guard{mutex_};
    return newest_;
  }
  void put(std::shared_ptr<const catalogue> made) {
    if (follows_)
      follows_(made);
    std::lock_guard guard{mutex_};
    newest_ = std::move(made);
  }

private:
  follower follows_;
  mutable std::mutex mutex_;
  std::shared_ptr<const catalogue> newest_ = std::make_shared<const catalogue>();
};

} // namespace candor::model
