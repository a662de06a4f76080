#include "actors/profile/spend_plan.hpp"

#include <algorithm>
#include <numeric>

#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

__extension__ using wide = __int128;

constexpr std::uint64_t enough_to_tell = 1000; ///< decisions of a day
constexpr std::uint32_t counted_max = 1u << 30;
constexpr std::uint32_t days_remembered = 4;
constexpr std::int64_t impressions_ahead = 12; ///< of the even course of a slot

std::uint32_t read32(std::string_view bytes, std::size_t index) {
  return static_cast<std::uint32_t>(engine::read_big_endian(bytes.substr(4 * index), 4));
}

} // namespace

void traffic_forecast::count(std::size_t hour, std::int64_t decisions) {
  auto& counted = counted_.at(hour);
  auto more = std::clamp<std::int64_t>(decisions, 0, counted_max);
  counted = std::min(counted_max, counted + static_cast<std::uint32_t>(more));
}

void traffic_forecast::end_day() {
  auto sum = std::accumulate(counted_.begin(), counted_.end(), std::uint64_t{0});
  if (sum >= enough_to_tell) {
    days_ = std::min(days_remembered, days_ + 1);
    for (std::size_t h = 0; h < share_.size(); ++h) {
      auto seen = counted_[h] * std::uint64_t{even} * share_.size() / sum;
      auto mean = (std::uint64_t{share_[h]} * (days_ - 1) + seen) / days_;
      share_[h] = std::max(even / 4, static_cast<std::uint32_t>(mean));
    }
  }
  counted_.fill(0);
}

std::int64_t traffic_forecast::at(std::size_t slot) const {
  // Twelve slots an hour; the middle of an hour has the hour's own share.
  constexpr std::int64_t steps = 24;
  auto place = 2 * static_cast<std::int64_t>(slot) + 1 - 12; // in steps from the first middle
  auto hour = (place + steps) / steps - 1;
  auto within = place - hour * steps;
  auto of = [&](std::int64_t h) {
    return static_cast<std::int64_t>(share_[static_cast<std::size_t>((h + 24) % 24)]);
  };
  return (of(hour) * (steps - within) + of(hour + 1) * within) / steps;
}

void traffic_forecast::encode(std::string& to) const {
  for (const auto* all : {&share_, &counted_})
    for (auto n : *all)
      engine::append_big_endian(to, n, 4);
  engine::append_big_endian(to, days_, 4);
}

traffic_forecast traffic_forecast::decode(std::string_view bytes) {
  traffic_forecast made;
  for (std::size_t h = 0; h < 24; ++h) {
    made.share_[h] = read32(bytes, h);
    made.counted_[h] = read32(bytes, 24 + h);
  }
  made.days_ = read32(bytes, 48);
  return made;
}

std::int64_t spend_plan::free_until(timestamp now, const day_so_far& day,
                                    const traffic_forecast& traffic) {
  using namespace std::chrono;
  constexpr auto slots = static_cast<std::int64_t>(slots_of_day);
  auto midnight = floor<days>(now);
  auto since = duration_cast<millis>(now - midnight);
  auto number = duration_cast<millis>(now.time_since_epoch()) / slot_length;
  if (number != slot_) {
    auto slot = number % slots;
    auto same_day = slot_ >= 0 && number / slots == slot_ / slots;
    auto unspent = same_day ? before_ + carried_ + planned_ * (number - slot_) - day.spent : 0;
    slot_ = number;
    before_ = day.spent;
    auto last = std::clamp((duration_cast<millis>(day.end - midnight) - millis{1}) / slot_length,
                           slot, slots - 1);
    wide left = 0;
    for (auto s = slot; s <= last; ++s)
      left += traffic.at(static_cast<std::size_t>(s));
    planned_ = static_cast<std::int64_t>(wide{std::max<std::int64_t>(0, day.daily - before_)} *
                                         traffic.at(static_cast<std::size_t>(slot)) / left);
    carried_ = std::clamp<std::int64_t>(unspent, 0, std::max(planned_ / 50, 2 * day.bid));
  }
  // A second ahead, so that the first decision of a day finds something.
  auto part = std::min(slot_length, since % slot_length + seconds{1});
  auto of_slot = static_cast<std::int64_t>(wide{planned_} * part.count() / slot_length.count());
  of_slot = std::min(planned_, of_slot + impressions_ahead * day.bid);
  return std::min(day.daily, before_ + carried_ + of_slot);
}

void spend_plan::encode(std::string& to) const {
  for (auto n : {slot_, before_, planned_, carried_})
    engine::append_big_endian(to, static_cast<std::uint64_t>(n), 8);
}

spend_plan spend_plan::decode(std::string_view bytes) {
  auto read = [&](std::size_t index) {
    return static_cast<std::int64_t>(engine::read_big_endian(bytes.substr(8 * index), 8));
  };
  spend_plan made;
  made.slot_ = read(0);
  made.before_ = read(1);
  made.planned_ = read(2);
  made.carried_ = read(3);
  return made;
}

} // namespace candor::profile
