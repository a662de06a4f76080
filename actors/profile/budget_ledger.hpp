/// The money of one campaign, as its owner (the primary of the campaign's shard) keeps it: what was
/// lent to which shard, and what came back. The other side is spend_table: a shard of people spends
/// only what it was lent.
///
/// Both sides are durable before they speak, and every number that travels is a total that only
/// grows: a message that is lost, late or sent twice changes nothing. So, whatever dies:
///
///     settled + reserved  <=  lent - returned  <=  budget        (docs/decisions/0004)
///
/// Guarantees: never lends beyond the budget, nor, within a day (UTC), beyond the daily part, nor,
/// where the campaign is paced evenly, beyond its plan (spend_plan).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "actors/profile/spend_plan.hpp"
#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"
#include "storage/model/campaign.hpp"

namespace candor::profile {

/// Days since 1970-01-01 (UTC).
std::int64_t day_of(timestamp t) noexcept;

/// What a shard of people says: totals over all time.
struct money_report {
  shard_id shard = 0;
  std::int64_t lent_seen = 0; ///< the total that it knows it was lent
  std::int64_t returned = 0;
  std::int64_t day = 0;                 ///< of the money that it holds
  std::int64_t returned_within_day = 0; ///< of `returned`: money of `day`
  std::int64_t wanted = 0;              ///< at least so much more; 0: it only reports
  std::int64_t decisions = 0; ///< that the shard's primary saw since it took the shard over
};

struct money_lent {
  std::int64_t lent = 0;  ///< total
  std::int64_t day = 0;   ///< whose money the newest of it is
  bool exhausted = false; ///< what was wanted is not there
  bool paced = false;     ///< it is, but the plan keeps it for later
  friend bool operator==(const money_lent&, const money_lent&) = default;
};

class budget_ledger {
public:
  /// Answers a report; returns whether anything changed that must be durable before the answer.
  bool answer(const money_report& report, const model::campaign& of, timestamp now,
              money_lent& answer);

  std::int64_t lent_net() const;                          ///< lent and not returned
  std::int64_t lent_today() const { return lent_today_; } ///< net, of today's money
  const spend_plan& plan() const { return plan_; }        ///< where it is paced

  std::string encode() const;
  static result<budget_ledger> decode(std::string_view bytes);

  friend bool operator==(const budget_ledger&, const budget_ledger&) = default;

private:
  struct account {
    std::int64_t lent = 0, returned = 0;
    std::int64_t day = 0, returned_within_day = 0;
    std::int64_t decisions = 0, hour = -1; ///< as last reported, and when (hours since 1970)
    friend bool operator==(const account&, const account&) = default;
  };
  std::int64_t available(const model::campaign& of, timestamp now);
  /// Of the whole budget, and of so much for today.
  std::int64_t left(const model::campaign& of, std::int64_t of_today) const;
  void count_traffic(account& a, std::int64_t decisions, timestamp now);

  std::int64_t day_ = 0;
  std::int64_t lent_today_ = 0; ///< net
  std::map<shard_id, account> accounts_;
  spend_plan plan_;
  traffic_forecast traffic_;
};

} // namespace candor::profile
