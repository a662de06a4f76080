#include "actors/topic_filter/live_filter.hpp"

#include "actors/topic_filter/hook.hpp"

namespace candor::topic_filter {

live_filter::live_filter(std::shared_ptr<const filter> fixed)
  : in_use_{std::move(fixed)} {}

result<std::unique_ptr<filter>> live_filter::load(const source& from) {
  return from.model.empty() ? filter::load(from.lexicon) : filter::load(from.lexicon, from.model);
}

result<std::shared_ptr<live_filter>> live_filter::open(source from) {
  CANDOR_TRY(first, load(from));
  auto made = std::make_shared<live_filter>(std::shared_ptr<const filter>{std::move(first)});
  made->from_ = std::move(from);
  return made;
}

std::shared_ptr<const filter> live_filter::in_use() const {
  std::lock_guard guard{mutex_};
  return in_use_;
}

result<live_filter::reloaded> live_filter::reload() {
  std::lock_guard one_at_a_time{reloading_};
  if (from_.lexicon.empty())
    return fail(errc::conflict, "this filter is not read from files");
  CANDOR_TRY(loaded, load(from_));
  std::shared_ptr<const filter> next{std::move(loaded)};
  reloaded done;
  done.now = next->made_of();
  {
    std::lock_guard guard{mutex_};
    in_use_.swap(next);
  }
  done.before = next->made_of();
  return done; // the old one goes with the last batch that it judges
}

} // namespace candor::topic_filter
