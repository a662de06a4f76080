#include "actors/profile/budget_ledger.hpp"

#include <algorithm>
#include <tuple>

#include "storage/base/planted.hpp"
#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

constexpr char ledger_version = 2;
constexpr std::size_t account_bytes = 2 + 6 * 8;
constexpr std::size_t account_bytes_1 = 2 + 4 * 8; ///< of version 1, which has no plan either
constexpr std::int64_t portion_of_rest = 64;       ///< a loan is at most this part of what is there
constexpr std::int64_t portion_of_wish = 32;       ///< and at most so often what was asked for

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

std::int64_t budget_ledger::available(const model::campaign& of, timestamp now) {
  auto today = of.daily_micros;
  if (of.even_pacing)
    today = plan_.free_until(now, {of.daily_micros, lent_today_, of.bid_micros, of.to}, traffic_);
  return left(of, today);
}

std::int64_t budget_ledger::left(const model::campaign& of, std::int64_t of_today) const {
  return std::min(of.total_micros - lent_net(), of_today - lent_today_);
}

/// What happened since the last report belongs to this hour; where that is longer ago than the hour
/// before, nobody knows to which.
void budget_ledger::count_traffic(account& a, std::int64_t decisions, timestamp now) {
  auto hour = std::chrono::floor<std::chrono::hours>(now).time_since_epoch().count();
  // Fewer than before: another primary counts anew.
  auto more = decisions >= a.decisions ? decisions - a.decisions : decisions;
  if (a.hour >= 0 && hour - a.hour <= 1)
    traffic_.count(static_cast<std::size_t>(hour % 24), more);
  a.decisions = decisions;
  a.hour = hour;
}

bool budget_ledger::answer(const money_report& report, const model::campaign& of, timestamp now,
                           money_lent& answer) {
  auto& a = accounts_[report.shard];
  // The plan and the forecast go along with the next change of money: what of them a failure loses
  // is made anew.
  auto money = [&] { return std::tuple{a.lent, a.returned, a.day, a.returned_within_day}; };
  auto before = money();
  auto today = day_of(now);
  if (today > day_ || (today != day_ && planted(bug::day_renewed))) {
    day_ = today;
    lent_today_ = 0;
    traffic_.end_day();
  }
  if (of.even_pacing)
    count_traffic(a, report.decisions, now);
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
      answer.paced = of.even_pacing && left(of, of.daily_micros) >= report.wanted;
    }
  }
  answer.lent = a.lent;
  answer.day = a.day;
  return money() != before;
}

std::string budget_ledger::encode() const {
  std::string bytes;
  auto add = [&](std::int64_t n) {
    engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
  };
  engine::append_big_endian(bytes, ledger_version, 1);
  add(day_);
  add(lent_today_);
  plan_.encode(bytes);
  traffic_.encode(bytes);
  for (const auto& [shard, a] : accounts_) {
    engine::append_big_endian(bytes, shard, 2);
    for (auto n : {a.lent, a.returned, a.day, a.returned_within_day, a.decisions, a.hour})
      add(n);
  }
  return bytes;
}

result<budget_ledger> budget_ledger::decode(std::string_view bytes) {
  auto first = !bytes.empty() && bytes[0] == 1;
  auto head = 1 + 2 * 8 + (first ? 0 : spend_plan::encoded_bytes + traffic_forecast::encoded_bytes);
  auto each = first ? account_bytes_1 : account_bytes;
  if (bytes.size() < head || (!first && bytes[0] != ledger_version) ||
      (bytes.size() - head) % each != 0)
    return fail(errc::corrupt, "a campaign's ledger does not decode");
  auto read = [&](std::size_t at) {
    return static_cast<std::int64_t>(engine::read_big_endian(bytes.substr(at), 8));
  };
  budget_ledger made;
  if (planted(bug::money_forgotten))
    return made;
  made.day_ = read(1);
  made.lent_today_ = read(9);
  if (!first) {
    made.plan_ = spend_plan::decode(bytes.substr(17));
    made.traffic_ = traffic_forecast::decode(bytes.substr(17 + spend_plan::encoded_bytes));
  }
  for (auto at = head; at < bytes.size(); at += each) {
    auto shard = static_cast<shard_id>(engine::read_big_endian(bytes.substr(at), 2));
    auto& a = made.accounts_[shard];
    a.lent = read(at + 2);
    a.returned = read(at + 10);
    a.day = read(at + 18);
    a.returned_within_day = read(at + 26);
    if (!first) {
      a.decisions = read(at + 34);
      a.hour = read(at + 42);
    }
  }
  return made;
}

} // namespace candor::profile
