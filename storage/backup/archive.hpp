/// A backup on disk: a folder with `backup.json` and a file for each shard. A file is a line that
/// says what it is, then parts: two lengths (compressed, plain; 4 bytes each, big-endian) and a
/// zstd frame with its checksum.
///
/// Guarantees: what is written is its owner's alone, and durable when `finish` returned; the
/// manifest comes last, so that a folder without one is no backup; a reader takes no more memory
/// than one part, whatever a file says of itself.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"

namespace candor::backup {

enum class content { data, keys };

/// One shard in the manifest.
struct shard_entry {
  shard_id shard = 0;
  std::string file; ///< within the folder
  std::uint64_t seq = 0, term = 0;
  std::string chain; ///< hexadecimal: of the log, at `seq`
  timestamp log_time;
  std::uint64_t audit_entries = 0;
  std::string audit_hash; ///< hexadecimal: the audit chain's end
  std::uint64_t rows = 0; ///< of a key backup: pages
  std::uint64_t bytes = 0;
  std::string blake2b; ///< of the file, hexadecimal
  friend bool operator==(const shard_entry&, const shard_entry&) = default;
};

struct manifest {
  content kind = content::data;
  std::string backup;  ///< its id; a key backup has that of the data backup it was made with
  std::string cluster; ///< its id; empty: a node that was alone
  std::string version; ///< of the program
  std::string secrets; ///< `fingerprint`
  std::uint16_t shards = 0;
  timestamp cut_at;
  std::vector<shard_entry> files; ///< by shard
  friend bool operator==(const manifest&, const manifest&) = default;
};

/// Writes one shard's file.
class file_writer {
public:
  /// Replaces what lies there. Error: `io_failed`, `disk_full`.
  static result<file_writer> create(const std::filesystem::path& file, content kind);

  file_writer(file_writer&&) noexcept;
  file_writer& operator=(file_writer&&) noexcept;
  ~file_writer();

  /// Error: `too_large`, `io_failed`, `disk_full`.
  result<void> add(std::string_view part);
  /// Durable from here on. Returns its digest, hexadecimal.
  result<std::string> finish();
  std::uint64_t bytes() const noexcept;

private:
  struct state;
  explicit file_writer(std::unique_ptr<state> s);
  std::unique_ptr<state> state_;
};

/// Reads a shard's file part by part, after its size and digest were seen to be those of `entry`.
/// `visit` returns an error to end. Error: `corrupt` (another size or digest, a bad checksum, a
/// part that ends too early), `too_large`, `not_found`, `io_failed`, and what `visit` returned.
result<void> read_file_of(const std::filesystem::path& folder, const shard_entry& entry,
                          content kind, const std::function<result<void>(std::string)>& visit);

/// "shards/0017.rows", or "shards/0017.pages".
std::string file_name(shard_id shard, content kind);

/// Makes the folder, which must be empty or absent. Error: `conflict` (there is something in it),
/// `io_failed`.
result<void> begin_archive(const std::filesystem::path& folder);
/// Writes the manifest: from here on it is a backup.
result<void> write_manifest(const std::filesystem::path& folder, const manifest& what);
/// Error: `not_found`, `corrupt` (also of another version, or shards that lack), `io_failed`.
result<manifest> read_manifest(const std::filesystem::path& folder);

} // namespace candor::backup
