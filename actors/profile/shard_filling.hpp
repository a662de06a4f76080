/// Fills an empty shard with what a backup holds, as ordinary entries of its log, so that every
/// replica gets it by the protocol. Drafts only: the actor appends them, each before the next. A
/// row of the shard itself says that it is being filled and how far, until the last entry: whoever
/// leads the shard meanwhile, it does not serve.
///
/// Guarantees:
/// - only a shard that holds nothing is filled (or one that the same backup was being put into);
/// - no key seals anything before the shard is led in a term above all of the backup's, so that no
///   nonce is used twice; its log time does not go back;
/// - whoever was erased stays erased: of the pages that come, a key that no row of a person names
/// is
///   never written here; rows whose key is destroyed are left out.
/// Must never open what is sealed.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/replication/entry.hpp"
#include "storage/backup/rows.hpp"
#include "storage/engine/engine.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::profile {

/// The row.
struct filling_mark {
  std::string backup;
  std::string caller;
  std::uint64_t term_floor = 0;
  timestamp log_time;        ///< of the cut
  std::uint64_t next = 0;    ///< the part that is to come
  std::uint64_t dropped = 0; ///< persons that are left out
  bool complete = false;     ///< every part is there
  friend bool operator==(const filling_mark&, const filling_mark&) = default;
};

std::string encode(const filling_mark& mark);
result<filling_mark> decode_filling_mark(std::string_view bytes);
/// Where the row stands, in table::meta.
std::string filling_key(shard_id shard);

class shard_filling {
public:
  shard_filling(shard_id shard, const engine::engine& db, stores::user_keys& keys)
    : shard_{shard}
    , db_{db}
    , keys_{keys} {}

  /// The mark in the tables: nullopt where the shard is not being filled. What was known in memory
  /// is forgotten.
  result<std::optional<filling_mark>> open();

  /// Whether the shard was filled from this backup, and serves.
  result<bool> is_filled_from(const std::string& backup) const;

  /// Error: `conflict` where it holds people, campaigns, content, money or keys, or half of another
  /// backup.
  result<void> check(const std::string& backup) const;

  /// Clears the shard and begins. Error: as `check`.
  result<replication::draft> begin(filling_mark mark);

  /// The next part, of keys: takes those that live, durably, on this node. Replicas get the pages
  /// with the entry, and a few at a time.
  /// Error: `bad_value` (of another shard), and the key store's (`corrupt`: of other secrets).
  result<replication::draft> take_pages(std::string_view bytes);

  /// The next part, of rows. `drop_unreadable`: leave persons out whose key did not come; else
  /// `conflict`.
  result<replication::draft> take_rows(std::string_view bytes, bool drop_unreadable);

  /// Every part is there.
  replication::draft complete();

  /// The last entry, once the shard is led in a term above `term_floor`: it serves from there on.
  replication::draft finish();

  /// The last entry is committed; it may not be in the tables yet.
  void finished() { filled_from_ = std::exchange(mark_, {}).backup; }

  const filling_mark& mark() const noexcept { return mark_; }

private:
  /// The person whose rows are being read.
  struct person {
    std::string prefix;
    stores::key_ref key;
    bool kept = false;
  };

  result<void> check_empty() const;
  replication::draft_row mark_row() const;
  result<bool> keeps(const backup::row& r, bool drop_unreadable, std::set<std::uint64_t>& pages);
  result<bool> has_key(stores::key_ref key, bool drop_unreadable);

  shard_id shard_;
  const engine::engine& db_;
  stores::user_keys& keys_;
  filling_mark mark_;
  std::string filled_from_; ///< in this leadership
  person last_;
};

} // namespace candor::profile
