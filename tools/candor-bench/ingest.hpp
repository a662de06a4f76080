/// `candor-bench ingest`: how many events a node makes durable in a second, measured through its
/// rooms (no HTTP), beside what the same disk gives RocksDB alone in the same run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "storage/base/error.hpp"

namespace candor::bench {

struct ingest_options {
  std::uint64_t events = 100'000;
  std::uint64_t users = 10'000;
  std::size_t batch = 256;                      ///< events in one message
  std::size_t outstanding = 8;                 ///< batches on their way at a time
  int repeats = 3;                             ///< medians are of these
  std::optional<std::filesystem::path> folder; ///< on the disk to measure; default: a temporary one
  bool json = false;
};

/// Prints its figures. Error: what the node or the disk says.
result<void> run_ingest(const ingest_options& options);

} // namespace candor::bench
