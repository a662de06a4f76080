/// The money that one shard of people may spend on their impressions: what each campaign lent it
/// (budget_ledger is the other side), what of it is reserved by decisions, and what is settled.
/// Part of the shard's state: its primary drafts every change together with what else it belongs
/// to, and is asked again from what is durable after a failure.
///
/// Guarantees: reserves only money that was lent for the day on which it is reserved; a reservation
/// is settled once, or lapses ten minutes later; what lapses or is not used goes back. Must never
/// name a person.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/profile/budget_ledger.hpp"
#include "cluster/replication/entry.hpp"
#include "storage/engine/engine.hpp"

namespace candor::profile {

struct reservation {
  std::string campaign;
  std::int64_t price_micros = 0;
  std::int64_t day = 0; ///< of the money
  timestamp lapses_at;
  bool personal = false; ///< a person's record holds a line of it
  bool told = false;     ///< settled, and kept until it would have lapsed: it may be told again
};

struct spend_totals {
  std::int64_t lent = 0, returned = 0, reserved = 0, settled = 0;
};

class spend_table {
public:
  spend_table(shard_id shard, const engine::engine& db)
    : shard_{shard}
    , db_{db} {}

  /// Reads all of it; forgets what it knew. Error: `corrupt`, and the engine's.
  result<void> open();

  /// Money of `day` that is neither reserved nor settled.
  std::int64_t available(const std::string& campaign, std::int64_t day) const;

  /// What the owner answered. True where it is more than was known: the entry must be durable
  /// before the owner is asked again.
  bool receive(replication::draft& entry, const std::string& campaign, const money_lent& lent);

  /// What is said to the owner. Money of a day that is over must have gone back before
  /// (`return_idle`).
  money_report report(const std::string& campaign, std::int64_t wanted) const;

  /// The money must be there, and the id new. At most `limits::reservations_open`: the caller asks
  /// `is_full` first.
  void reserve(replication::draft& entry, const std::string& impression, reservation what);
  bool is_full() const;

  const reservation* find(const std::string& impression) const;
  /// The impression was shown: it must be found, and not told before. One of nobody's is kept, as
  /// far as there is room, so that who never heard the answer may tell it again.
  void settle(replication::draft& entry, const std::string& impression);

  /// Drafts what lapses at `now`, at most `most`; true where there was something.
  bool lapse(replication::draft& entry, timestamp now, std::size_t most);
  /// Gives back what was not asked for since `before`, and money of a day that is over; returns
  /// the campaigns whose owners are to be told once the entry is durable.
  std::vector<std::string> return_idle(replication::draft& entry, std::int64_t day,
                                       timestamp before);
  /// Gives back what is left of an earlier day's money. True where there was some.
  bool return_old(replication::draft& entry, const std::string& campaign, std::int64_t day);

  std::set<std::string> campaigns() const;
  spend_totals totals(const std::string& campaign) const;
  void touch(const std::string& campaign, timestamp now) { accounts_[campaign].used = now; }

private:
  struct account {
    std::int64_t lent = 0, returned = 0, settled = 0, reserved = 0;
    std::int64_t day = 0, returned_within_day = 0;
    std::int64_t committed_within_day = 0; ///< reserved or settled of `day`'s money
    std::int64_t lent_within_day = 0;
    timestamp used; ///< in memory only
  };
  void drop(replication::draft& entry, std::map<std::string, reservation>::iterator it);
  void give_back(account& a, std::int64_t micros, std::int64_t day);
  void put(replication::draft& entry, const std::string& campaign);
  void note_holding(const std::string& campaign);
  std::string key(char kind, const std::string& id) const;

  shard_id shard_;
  const engine::engine& db_;
  std::map<std::string, account> accounts_;
  std::set<std::string> holding_;                   ///< campaigns whose money is here unused
  std::map<std::string, reservation> reservations_; ///< by impression
  std::set<std::pair<timestamp, std::string>> due_;
  std::size_t told_ = 0; ///< of the reservations
};

} // namespace candor::profile
