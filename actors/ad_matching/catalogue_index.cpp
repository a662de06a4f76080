#include "actors/ad_matching/catalogue_index.hpp"

#include <sys/resource.h>

namespace candor::ad_matching {

namespace {

constexpr auto catch_up_most = 8;   ///< rounds of following without holding up the follower
constexpr auto maker_niceness = 10; ///< a making takes no time from decisions that want it

} // namespace

catalogue_index::catalogue_index()
  : followed_{std::make_shared<const model::catalogue>()} {
  edition_ = std::make_shared<index_edition>(followed_);
}

catalogue_index::~catalogue_index() {
  stopping_ = true;
  if (maker_.joinable())
    maker_.join();
}

std::shared_ptr<const index_edition> catalogue_index::edition() const {
  std::lock_guard guard{newest_};
  return edition_;
}

std::shared_ptr<const model::catalogue> catalogue_index::followed() const {
  std::lock_guard guard{newest_};
  return followed_;
}

void catalogue_index::follow(const std::shared_ptr<const model::catalogue>& newest) {
  std::lock_guard guard{writing_};
  edition_->follow(newest); // (replaced only by who holds `writing_`)
  {
    std::lock_guard pointers{newest_};
    followed_ = newest;
  }
  if (!edition_->is_worn() || making_)
    return;
  if (maker_.joinable())
    maker_.join(); // it is done
  making_ = true;
  maker_ = std::thread{[this, newest] { make(newest); }};
}

void catalogue_index::make(std::shared_ptr<const model::catalogue> of) {
  ::setpriority(PRIO_PROCESS, 0, maker_niceness); // on Linux: of this thread
  while (!stopping_) {
    auto made = std::make_shared<index_edition>(of);
    for (auto i = 0; i < catch_up_most && made->followed() != followed(); ++i)
      made->follow(followed());
    std::shared_ptr<index_edition> worn;
    std::lock_guard guard{writing_};
    made->follow(followed_);
    {
      std::lock_guard pointers{newest_};
      worn = std::exchange(edition_, made); // goes when its last reader is done
    }
    ++times_made_;
    if (!made->is_worn()) {
      making_ = false; // while nobody can find the next one worn
      return;
    }
    of = followed_;
  }
}

} // namespace candor::ad_matching
