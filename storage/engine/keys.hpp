/// The layout of keys: shard first, then what orders the rows within it. All integers big-endian,
/// so that byte order is number order.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"

namespace candor::engine {

/// Appends the `width` low bytes of `value`, the highest first.
void append_big_endian(std::string& key, std::uint64_t value, unsigned width);
/// The first `width` bytes of `key` as a number; `key` must be long enough.
std::uint64_t read_big_endian(std::string_view key, unsigned width);

/// The range of a whole shard in any table: [shard_begin, shard_end).
std::string shard_begin(shard_id shard);
std::string shard_end(shard_id shard);

/// The smallest key greater than every key that begins with `prefix`.
std::string prefix_end(std::string prefix);

std::string log_key(shard_id shard, std::uint64_t seq);

/// Kinds of a person's rows, in the order in which they are read.
enum class user_row : std::uint8_t {
  key_ref = 0,    ///< where the person's key lies; not sealed, tells nothing by itself
  tombstone = 1,  ///< an erasure within the dedupe window; not sealed
  base = 2,       ///< the folded record; sealed
  delta = 3,      ///< one learned event; sealed
  impression = 4, ///< one ad that a decision chose for the person; sealed
  content = 5,    ///< one item of a feed that was shown to the person; sealed
};
inline constexpr auto last_user_row = user_row::content;
/// Kinds of which a person has many rows, told apart by a number.
constexpr bool is_numbered(user_row kind) noexcept {
  return kind == user_row::delta || kind == user_row::impression || kind == user_row::content;
}
std::string user_prefix(shard_id shard, const storage_key& key);
std::string user_key(shard_id shard, const storage_key& key, user_row kind,
                     std::uint64_t version = 0);

std::string timer_key(shard_id shard, timestamp due, const storage_key& key, std::uint8_t kind);
std::string audit_key(shard_id shard, std::uint64_t index);
std::string named_key(shard_id shard, std::string_view name);

} // namespace candor::engine
