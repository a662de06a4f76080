/// `candor-bench match`: the index of campaigns over a folder in the format of docs/ads.md; answers
/// to stdout, figures to stderr. With `peers` a plain loop and a counting index over the same.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::bench {

struct match_options {
  std::filesystem::path folder;
  bool all = false;        ///< what is timed counts all matches; else only the best
  bool operations = false; ///< the stream in ops.tsv instead of every event once
  bool peers = false;
  bool json = false;  ///< figures as one object on the last line of stderr
  bool quiet = false; ///< no answers
  std::size_t top = 10;
  std::size_t repeats = 5;
  std::size_t updates_per_s = 0; ///< while the repeats are measured, by a second thread
  std::string vector_target;     ///< empty: the best
};

result<void> run_match(const match_options& options);

/// `words`: profile, campaigns, events, seed, folder. Error: `bad_value`, `io_failed`.
result<void> generate_match(const std::vector<std::string>& words);

} // namespace candor::bench
