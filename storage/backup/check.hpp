/// Reads a whole backup back and says whether it holds what its manifest says. Needs no node and no
/// keys; what is sealed is not looked into. Must never be kinder to a backup than a restore is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "storage/backup/archive.hpp"
#include "storage/backup/rows.hpp"

namespace candor::backup {

struct checked {
  std::uint64_t rows = 0;    ///< of a key backup: pages
  std::uint64_t persons = 0; ///< with a key
  std::uint64_t erased = 0;  ///< whose erasure the dedupe window still remembers
  std::uint64_t audit_entries = 0;
  /// Data: the keys that its rows name, by page. Keys: the pages that are here.
  std::map<std::uint64_t, std::vector<std::uint16_t>> pages;
};

/// One shard's file. Error: `corrupt` (the detail names the file and what is wrong), `too_large`,
/// `not_found`, `io_failed`.
result<checked> check_shard(const std::filesystem::path& folder, const manifest& of,
                            const shard_entry& entry);

} // namespace candor::backup
