#include "actors/ad_matching/catalogue_index.hpp"

#include <algorithm>
#include <chrono>

#include <sys/resource.h>

namespace candor::ad_matching {

namespace {

using namespace std::chrono_literals;

constexpr auto catch_up_most = 8;        ///< rounds of following without holding up the follower
constexpr auto maker_niceness = 10;      ///< a making takes no time from decisions that want it
constexpr std::size_t part = 4096;       ///< read at a time while followers wait
constexpr std::size_t room_least = 64;   ///< for later campaigns
constexpr auto readers_done_after = 1ms; ///< looked again whether a worn edition is still read

} // namespace

catalogue_index::catalogue_index(std::size_t at_once)
  : at_once_{at_once}
  , edition_{std::make_shared<index_edition>(model::campaign_list{}, room_least)} {}

catalogue_index::~catalogue_index() {
  stopping_ = true;
  if (maker_.joinable())
    maker_.join();
}

std::shared_ptr<const index_edition> catalogue_index::edition() const {
  std::lock_guard guard{newest_};
  return edition_;
}

bool catalogue_index::follow(const model::campaigns_change& change) {
  std::lock_guard guard{writing_};
  if (!change.whole && change.number != followed_ + 1)
    return false;
  edition_->follow(change); // (replaced only by who holds `writing_`)
  followed_ = change.number;
  if (collecting_) {
    since_.push_back(change);
  } else if (edition_->is_worn()) {
    if (edition_->size() <= at_once_) {
      make_at_once();
    } else if (!making_) { // (else the maker looks at it before it ends)
      if (maker_.joinable())
        maker_.join(); // there is nothing left that it does
      making_ = true;
      begin_making();
      maker_ = std::thread{[this] { make_beside(); }};
    }
  }
  return true;
}

/// A quarter more; up to half as many where so many came since the last making: then they go on
/// coming.
std::size_t catalogue_index::room_for(std::size_t campaigns) const {
  auto before = edition_->size_when_made();
  auto came = before == 0 ? 0 : campaigns - std::min(campaigns, before);
  return room_least + std::max(campaigns / 4, std::min(campaigns / 2, came));
}

/// By who holds `writing_`.
void catalogue_index::begin_making() {
  since_.clear();
  collecting_ = true;
}

/// By who holds `writing_`.
void catalogue_index::make_at_once() {
  auto all = edition_->campaigns_after({}, edition_->size());
  put(std::make_shared<index_edition>(all, room_for(all.size())));
}

/// By who holds `writing_`. What it returns goes when its last reader is done.
std::shared_ptr<index_edition> catalogue_index::put(std::shared_ptr<index_edition> made) {
  ++times_made_;
  std::lock_guard pointers{newest_};
  return std::exchange(edition_, std::move(made));
}

/// All campaigns as they are followed, each as it was at some time since the making began: what
/// changed meanwhile is in since_.
model::campaign_list catalogue_index::all_by_parts() {
  model::campaign_list all;
  for (;;) {
    std::lock_guard guard{writing_};
    auto more =
        edition_->campaigns_after(all.empty() ? std::string_view{} : all.back()->campaign.id, part);
    if (more.empty())
      return all;
    std::ranges::move(more, std::back_inserter(all));
  }
}

/// False: there was nothing to take over.
bool catalogue_index::catch_up(index_edition& made) {
  changes missed;
  {
    std::lock_guard guard{writing_};
    missed.swap(since_);
  }
  for (const auto& change : missed)
    made.follow(change);
  return !missed.empty();
}

void catalogue_index::make_beside() {
  ::setpriority(PRIO_PROCESS, 0, maker_niceness); // on Linux: of this thread
  while (!stopping_) {
    auto all = all_by_parts();
    auto made = std::make_shared<index_edition>(all, room_for(all.size()));
    for (auto i = 0; i < catch_up_most && catch_up(*made); ++i)
      ;
    std::shared_ptr<index_edition> worn;
    {
      std::lock_guard guard{writing_};
      for (const auto& change : std::exchange(since_, {}))
        made->follow(change);
      worn = put(std::move(made));
      collecting_ = false;
    }
    // It is taken apart here and not by a decision that was the last to read it.
    while (worn.use_count() > 1 && !stopping_)
      std::this_thread::sleep_for(readers_done_after);
    worn.reset();
    // The next one may be worn by now: a follower leaves that to the maker as long as there is one,
    // and would else wait here for what it is still taking apart.
    std::lock_guard guard{writing_};
    if (!edition_->is_worn()) {
      making_ = false;
      return;
    }
    begin_making();
  }
}

} // namespace candor::ad_matching
