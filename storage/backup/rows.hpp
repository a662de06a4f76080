/// The rows of a backup, part by part, as bytes: between a shard's primary and whoever writes or
/// restores the backup, and in its files. Guarantees: what is decoded is whole and within bounds.
/// Must never hold a key of a person in the clear: pages travel as they lie in their files.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/engine/engine.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::backup {

/// A row as it lies in the engine.
struct row {
  engine::table table = engine::table::meta;
  std::string key, value;
  friend bool operator==(const row&, const row&) = default;
};

/// Of a key backup: a page as `user_keys::export_page` gives it.
struct page {
  std::uint64_t number = 0;
  std::string bytes;
  /// Of a restore: the keys that rows of the data name. All others stay behind.
  std::vector<std::uint16_t> living{};
  friend bool operator==(const page&, const page&) = default;
};

/// The tables that make up a shard's state, in the order in which a backup has them: those first
/// whose rows others are judged by. The log is no part of it.
inline constexpr std::array<engine::table, 7> tables_of_a_shard = {
    engine::table::meta,  engine::table::policy,    engine::table::user, engine::table::timer,
    engine::table::audit, engine::table::catalogue, engine::table::spend};

/// Versioned msgpack. `decode` refuses what is over `limits::backup_part_bytes`, and tables that
/// are no part of a shard's state. Error: `corrupt`, `too_large`.
std::string encode(const std::vector<row>& rows);
result<std::vector<row>> decode_rows(std::string_view bytes);
std::string encode(const std::vector<page>& pages);
result<std::vector<page>> decode_pages(std::string_view bytes);

/// The shard that a page's number names.
shard_id shard_of_page(std::uint64_t number);

/// How parts travel within JSON. Error: `bad_value`.
std::string to_base64(std::string_view bytes);
result<std::string> from_base64(std::string_view text);

/// Tells clusters apart by their secrets, and says nothing of them.
std::string fingerprint(const stores::node_secrets& secrets);

} // namespace candor::backup
