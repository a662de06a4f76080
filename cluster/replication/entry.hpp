/// One entry of a shard's log: opaque row changes that every replica applies as the same bytes.
/// The room that owns the rows drafts them in plain form; the group commit gives the draft its
/// place (term, seq), seals what belongs to a person under that person's own key, chains its audit
/// events, and makes it durable. Must never know what the rows mean.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/engine/engine.hpp"
#include "storage/stores/audit_log.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::replication {

/// Whose key a row is sealed under.
struct owner {
  storage_key person;
  stores::key_ref key;
};

struct draft_row {
  engine::operation operation;
  std::optional<owner> sealed_for; ///< a put's value is sealed before it goes anywhere
};

inline draft_row put_row(engine::table into, std::string key, std::string value) {
  return {{engine::operation::what::put, into, std::move(key), std::move(value)}, std::nullopt};
}
inline draft_row erase_row(engine::table from, std::string key) {
  return {{engine::operation::what::erase, from, std::move(key), {}}, std::nullopt};
}

/// An entry before it has its place.
struct draft {
  timestamp time; ///< the shard's log time as its owner knows it; never below the entry before
  std::vector<draft_row> rows;
  std::vector<stores::audit_event> audit;
  std::vector<stores::key_ref> destroys{}; ///< keys that every replica destroys once it is committed
  std::vector<std::uint64_t> pages{};      ///< of rows that come sealed already, and of `destroys`
};

using chain_hash = std::array<std::uint8_t, 16>;

struct entry {
  shard_id shard = 0;
  std::uint64_t term = 0;
  std::uint64_t seq = 0;
  timestamp time;
  engine::batch operations;         ///< sealed
  std::vector<std::uint64_t> pages; ///< of keys that its rows are sealed under, ascending
  std::vector<stores::key_ref> destroys;
  chain_hash
      chain{}; ///< BLAKE2b-128 over the chain hash of the entry before and this entry's bytes
  friend bool operator==(const entry&, const entry&) = default;
};

/// Versioned msgpack, ended by the chain hash and an XXH3-64 checksum of all before it. Sets
/// `entry.chain`.
std::string encode(entry& e, const chain_hash& previous);

/// Error: `corrupt` (checksum, form, or a later version).
result<entry> decode_entry(std::string_view bytes);

/// Where a draft ended up.
struct committed {
  std::uint64_t term = 0;
  std::uint64_t seq = 0;
  timestamp time;
  std::vector<stores::audit_head> audit; ///< position and hash of each audit event
};

/// A shard's log time: what dedupe windows run on. It follows the wall clock, never goes back, and
/// runs at most twice as fast as monotonic time, so that no jump of a clock can empty a window
/// early.
class log_clock {
public:
  log_clock() = default;
  log_clock(timestamp last, millis monotonic)
    : last_{last}
    , monotonic_{monotonic} {}

  timestamp now(timestamp wall, millis monotonic) const {
    return std::max(last_, std::min(wall, last_ + 2 * (monotonic - monotonic_)));
  }

  /// An entry with this time was appended.
  void advance(timestamp to, millis monotonic) {
    last_ = std::max(last_, to);
    monotonic_ = monotonic;
  }

private:
  timestamp last_;
  millis monotonic_{0};
};

} // namespace candor::replication
