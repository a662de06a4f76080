/// Makes folders in the bench format: campaigns and events whose values follow Zipf's law,
/// advertisers whose campaigns share clauses, and a stream of updates. The same for the same seed.
#pragma once

#include "storage/base/rng.hpp"
#include "tools/candor-bench/match/match_folder.hpp"

namespace candor::bench {

enum class match_profile : std::uint8_t {
  realistic,  ///< a mix as ad servers know it: places, ages, hours, interests of person and page
  narrow,     ///< every clause there is, with few values
  broad,      ///< few clauses, mostly of what is not wanted
  equalities, ///< 2 to 5 `=` and nothing else
};
std::optional<match_profile> find_match_profile(std::string_view name);

struct match_attribute {
  std::string_view name, type;
  std::int64_t least, most;
};
std::span<const match_attribute> match_attributes();

/// Campaigns have the ids 1 to n; a tenth as many operations as campaigns, and as many queries.
match_folder make_match_folder(match_profile profile, std::size_t campaigns, std::size_t events,
                               std::uint64_t seed);

/// Error: `io_failed`.
result<void> write_match_folder(const match_folder& x, const std::filesystem::path& folder);

} // namespace candor::bench
