#include "actors/profile/budget_ledger.hpp"

#include <algorithm>

#include "storage/base/planted.hpp"
#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

constexpr std::size_t account_bytes = 2 + 4 * 8;
constexpr std::int64_t day_seconds = 24 * 60 * 60;
constexpr std::int64_t pacing_slack_seconds = 5 * 60; ///< of an even day that may be ahead
constexpr std::int64_t portion_of_rest = 64; ///< a loan is at most this part of what is there
constexpr std::int64_t portion_of_wish = 32; ///< and at most so often what was asked for

__extension__ using wide = __int128;

} // namespace

std::int64_t day_of(timestamp t) noexcept {
  return std::chrono::floor<std::chrono::days>(t).time_since_epoch().count();
}

std::int64_t budget_ledger::lent_net() const {
  std::int64_t sum = 0;
  for (const auto& [_, a] : accounts_)
    sum += a.lent - a.returned;
  return sum;
}

std::int64_t budget_ledger::available(const model::campaign& of, timestamp now) const {
  auto daily = of.daily_micros;
  if (of.even_pacing) {
    auto midnight = std::chrono::floor<std::chrono::days>(now);
    auto second = std::chrono::floor<std::chrono::seconds>(now - midnight).count();
    auto part = std::min(day_seconds, second + pacing_slack_seconds);
    daily = static_cast<std::int64_t>(wide{daily} * part / day_seconds);
  }
  return std::min(of.total_micros - lent_net(), daily - lent_today_);
}

bool budget_ledger::answer(const money_report& report, const model::campaign& of, timestamp now,
                           money_lent& answer) {
  auto before = *this;
  auto today = day_of(now);
  if (today > day_) {
    day_ = today;
    lent_today_ = 0;
  }
  auto& a = accounts_[report.shard];
  a.returned = std::max(a.returned, std::min(report.returned, a.lent));
  if (report.day == a.day && report.returned_within_day > a.returned_within_day) {
    if (a.day == day_)
      lent_today_ -= report.returned_within_day - a.returned_within_day;
    a.returned_within_day = report.returned_within_day;
  }
  // An earlier loan's answer was lost: it is given again, and nothing more.
  if (report.wanted > 0 && report.lent_seen >= a.lent) {
    auto there = available(of, now);
    if (there >= report.wanted) {
      auto loan = std::max(report.wanted,
                           std::min(there / portion_of_rest, report.wanted * portion_of_wish));
      if (a.day != day_) {
        a.day = day_;
        a.returned_within_day = 0;
      }
      a.lent += loan;
      lent_today_ += loan;
    } else {
      answer.exhausted = true;
    }
  }
  answer.lent = a.lent;
  answer.day = a.day;
  return !(*this == before);
}

std::string budget_ledger::encode() const {
  std::string bytes;
  auto add = [&](std::int64_t n) {
    engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
  };
  engine::append_big_endian(bytes, 1, 1); // version
  add(day_);
  add(lent_today_);
  for (const auto& [shard, a] : accounts_) {
    engine::append_big_endian(bytes, shard, 2);
    for (auto n : {a.lent, a.returned, a.day, a.returned_within_day})
      add(n);
  }
  return bytes;
}

result<budget_ledger> budget_ledger::decode(std::string_view bytes) {
  constexpr std::size_t head = 1 + 2 * 8;
  if (bytes.size() < head || bytes[0] != 1 || (bytes.size() - head) % account_bytes != 0)
    return fail(errc::corrupt, "a campaign's ledger does not decode");
  auto read = [&](std::size_t at) {
    return static_cast<std::int64_t>(engine::read_big_endian(bytes.substr(at), 8));
  };
  budget_ledger made;
  if (planted(bug::money_forgotten))
    return made;
  made.day_ = read(1);
  made.lent_today_ = read(9);
  for (auto at = head; at < bytes.size(); at += account_bytes) {
    auto shard = static_cast<shard_id>(engine::read_big_endian(bytes.substr(at), 2));
    made.accounts_[shard] = {read(at + 2), read(at + 10), read(at + 18), read(at + 26)};
  }
  return made;
}

} // namespace candor::profile
