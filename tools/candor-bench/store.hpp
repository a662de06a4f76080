/// `candor-bench store`: what the disk gives RocksDB, with a sync for each batch of 1, 16 and 128
/// rows. The limit that everything durable on this machine lives under.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::bench {

struct store_options {
  std::size_t row_bytes = 300;
  millis span{3000};                           ///< of each batch size
  std::optional<std::filesystem::path> folder; ///< on the disk to measure; default: a temporary one
  bool json = false;
};

/// Prints its figures. Error: what the disk says.
result<void> run_store(const store_options& options);

} // namespace candor::bench
