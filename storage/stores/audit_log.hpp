/// The audit log's chain, per shard: each record carries the hash of the one before it, so that a
/// changed, missing or swapped record shows. Names a person only by the random pseudonym that
/// stands in the sealed record and on the receipt.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/engine/engine.hpp"
#include "storage/engine/keys.hpp"

namespace candor::stores {

using hash32 = std::array<std::uint8_t, 32>;

/// The longest actor, action, subject or detail. Who makes an event keeps to it: `chain` asserts
/// it.
inline constexpr std::size_t audit_field_bytes = 256 * 1024;

/// What happened, before it has its place in a chain.
struct audit_event {
  timestamp at;
  std::string actor;   ///< name of the key that asked, or "candor"
  std::string action;  ///< past tense, e.g. "user_erased", "notice_recorded", "policy_applied"
  std::string subject; ///< a person's pseudonym ("s-…"), a policy version, a node; may be empty
  std::string detail;  ///< JSON object or empty; no text of a person, no user id
  friend bool operator==(const audit_event&, const audit_event&) = default;
};

struct audit_record {
  shard_id shard = 0;
  std::uint64_t index = 0; ///< from 1, without gaps
  audit_event event;
  hash32 previous{}; ///< of the record before; zeros for the first
  hash32 hash{};     ///< BLAKE2b-256 over shard, index, previous and the event
  friend bool operator==(const audit_record&, const audit_record&) = default;
};

/// The end of a shard's chain.
struct audit_head {
  std::uint64_t index = 0; ///< 0: empty
  hash32 hash{};
  friend bool operator==(const audit_head&, const audit_head&) = default;
};

/// The next record of the chain that ends in `head`.
audit_record chain(shard_id shard, const audit_head& head, audit_event event);

/// Versioned msgpack, of which a record has exactly one form. `decode` checks the record's own
/// hash. Error: `corrupt`.
std::string encode(const audit_record& record);
result<audit_record> decode_audit_record(std::string_view bytes);

/// Reads records from `from` on, in order; `visit` returns false to end. Error: `corrupt`,
/// `io_failed`.
result<void> read_audit(const engine::engine& db, shard_id shard, std::uint64_t from,
                        const std::function<bool(const audit_record&)>& visit);

/// The row that says where a shard's chain ends: written with every record, so that a cut tail
/// shows.
engine::operation head_row(shard_id shard, const audit_head& head);

/// What such a row says. Error: `corrupt`.
result<audit_head> decode_audit_head(std::string_view bytes);

/// nullopt: the shard has no records yet. Error: `corrupt`, `io_failed`.
result<std::optional<audit_head>> read_audit_head(const engine::engine& db, shard_id shard);

/// Walks the whole chain to its head row; records may come in meanwhile. `known`: records that
/// somebody else holds the hashes of (heads that an auditor kept, receipts); each must stand where
/// it stood. Without them two things do not show: a tail that was written anew together with its
/// head, and a shard of which records, head and policies are all gone. Returns the head. Error:
/// `corrupt`, with the index at which the chain breaks and how.
///
/// Source: heads kept elsewhere, as of a history tree (Crosby, Wallach: Efficient Data Structures
/// for Tamper-Evident Logging, 2009), on a plain chain.
result<audit_head> verify_audit(const engine::engine& db, shard_id shard,
                                std::vector<audit_head> known = {});

} // namespace candor::stores
