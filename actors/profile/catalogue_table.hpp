/// The campaigns and content items of one shard (by the hash of their id), and the budgets of those
/// campaigns: what the shard's primary keeps and drafts. Every node pulls the changes (`news`) and
/// makes its `catalogue` of them.
///
/// Guarantees: a change is seen by the feed only when it is durable (the shell asks after the
/// commit); a puller that missed something gets the whole. Must never hold anything of a person.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "actors/profile/budget_ledger.hpp"
#include "cluster/replication/entry.hpp"
#include "storage/engine/engine.hpp"

namespace candor::profile {

using model::item_kind;

struct item_change {
  item_kind kind = item_kind::campaign;
  std::string id;
  std::string bytes; ///< its stored form; empty: it is gone
};

struct changes {
  bool whole = false;      ///< forget what this shard said before
  std::uint64_t up_to = 0; ///< to be named at the next pull
  bool more = false;       ///< there is more already
  std::vector<item_change> items;
};

class catalogue_table {
public:
  catalogue_table(shard_id shard, const engine::engine& db)
    : shard_{shard}
    , db_{db} {}

  /// Reads all of it. Error: `corrupt`, and the engine's.
  result<void> open();

  /// True where the item is new. A campaign that is paused stays so. Error: `too_many`, `corrupt`.
  result<bool> put(replication::draft& entry, item_kind kind, const std::string& id,
                   std::string bytes);
  /// False where it was so before. Error: `not_found`, `corrupt`.
  result<bool> pause(replication::draft& entry, const std::string& id, bool paused);
  /// Its budget's ledger stays, so that the same id starts with no new money. Error: `not_found`.
  result<void> erase(replication::draft& entry, item_kind kind, const std::string& id);

  const std::string* find(item_kind kind, const std::string& id) const;
  /// Error: `not_found`, `corrupt`.
  result<model::campaign> campaign(const std::string& id) const;

  /// What changed after `after`, of this opening of the table; 0: everything.
  changes news(std::uint64_t after) const;

  /// Answers a shard that spends; drafts what changed. Error: `corrupt`.
  result<money_lent> lend(replication::draft& entry, const std::string& campaign,
                          const money_report& report, timestamp now);
  /// What is lent and not returned. Error: `corrupt`.
  result<std::int64_t> lent_net(const std::string& campaign) const;

private:
  using name = std::pair<item_kind, std::string>;
  void changed(const name& of);
  void write(replication::draft& entry, const name& of, std::string bytes);

  shard_id shard_;
  const engine::engine& db_;
  std::map<name, std::string> items_;
  std::map<std::string, budget_ledger> ledgers_;
  std::map<std::uint64_t, name> feed_; ///< by the number of the change; one for each name
  std::map<name, std::uint64_t> place_in_feed_;
  std::uint64_t last_ = 0;
};

} // namespace candor::profile
