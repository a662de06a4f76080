/// A folder in the bench format of docs/ads.md, read into memory.
/// Guarantees: what is not in the format is an error that names file and line; white space at the
/// ends of fields, empty lines and a carriage return do no harm.
#pragma once

#include <filesystem>

#include "actors/ad_matching/index/schema.hpp"
#include "storage/base/error.hpp"

namespace candor::bench {

struct match_event {
  std::string id;
  ad_matching::index::request request;
};

enum class match_change : std::uint8_t { pause, resume, bid, add, remove, query };

struct match_operation {
  match_change what = match_change::query;
  std::uint64_t id = 0;  ///< of a campaign
  std::size_t event = 0; ///< of a query: in `events`
  std::int64_t bid_micros = 0;
};

struct match_folder {
  ad_matching::index::schema schema;
  std::vector<ad_matching::index::campaign> campaigns; ///< ascending by id
  std::vector<match_event> events;
  std::vector<match_operation> operations;
};

/// Error: `malformed`, `io_failed`.
result<match_folder> read_match_folder(const std::filesystem::path& folder, bool with_operations);

} // namespace candor::bench
