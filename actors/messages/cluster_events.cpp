#include "actors/messages/cluster_events.hpp"

#include <algorithm>
#include <charconv>

namespace candor {

void cluster_events::add(std::string name, std::string data) {
  std::lock_guard guard{mutex_};
  ring_.push_back({++last_, std::move(name), std::move(data)});
  if (ring_.size() > kept_)
    ring_.pop_front();
}

std::string cluster_events::id_of(std::uint64_t number) const {
  return life_ + '-' + std::to_string(number);
}

std::uint64_t cluster_events::place_after(std::string_view last_id) const {
  std::lock_guard guard{mutex_};
  if (last_id.empty())
    return last_ - ring_.size();
  auto dash = last_id.rfind('-');
  if (dash == last_id.npos || last_id.substr(0, dash) != life_)
    return 0;
  auto digits = last_id.substr(dash + 1);
  std::uint64_t number = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  auto is_ours = ec == std::errc{} && end == digits.data() + digits.size() && number <= last_;
  return is_ours ? number : 0;
}

cluster_events::news cluster_events::after(std::uint64_t number) const {
  std::lock_guard guard{mutex_};
  news found;
  auto oldest = last_ - ring_.size(); // the last that is held no more
  if (number < oldest)
    found.missed = oldest - number;
  auto skipped = std::min<std::uint64_t>(number > oldest ? number - oldest : 0, ring_.size());
  auto count = std::min<std::uint64_t>(ring_.size() - skipped, limits::cluster_events_at_a_time);
  auto from = ring_.begin() + static_cast<std::ptrdiff_t>(skipped);
  found.events.assign(from, from + static_cast<std::ptrdiff_t>(count));
  return found;
}

} // namespace candor
