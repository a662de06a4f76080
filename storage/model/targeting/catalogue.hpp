/// What one node knows of all campaigns and content: immutable, made anew when something changed,
/// read by matchers without a lock on what they read.
/// Guarantees: an expression in it was parsed and names no sensitive category; a shard that this
/// node has not heard of for too long is not in it. Must never be changed in place.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "storage/model/campaign.hpp"
#include "storage/model/targeting/expression.hpp"

namespace candor::model {

struct live_campaign {
  model::campaign campaign;
  targeting::expression wants;
};

struct catalogue {
  std::vector<std::shared_ptr<const live_campaign>> campaigns; ///< ascending by id
  std::vector<std::shared_ptr<const content_item>> content;    ///< ascending by id
};

/// Where the newest catalogue lies. Thread-safe.
class catalogue_shelf {
public:
  std::shared_ptr<const catalogue> newest() const {
    std::lock_guard guard{mutex_};
    return newest_;
  }
  void put(std::shared_ptr<const catalogue> made) {
    std::lock_guard guard{mutex_};
    newest_ = std::move(made);
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const catalogue> newest_ = std::make_shared<const catalogue>();
};

} // namespace candor::model
