/// Small files that must be whole and durable, or gone: keys, and what guards them.
/// Guarantees: a file comes into its place whole or not at all; what `shred` removed was
/// overwritten before it was freed (as far as the file system writes in place).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor::stores {

/// Owns a file descriptor.
class file_handle {
public:
  explicit file_handle(int fd)
    : fd_{fd} {}
  ~file_handle();
  file_handle(file_handle&& other) noexcept
    : fd_{other.fd_} {
    other.fd_ = -1;
  }
  file_handle& operator=(file_handle&&) = delete;
  int get() const noexcept { return fd_; }

private:
  int fd_;
};

/// The meaning of errno: `disk_full`, `read_only`, `not_found`, else `io_failed`.
tl::unexpected<error> fail_errno(const std::filesystem::path& at);

/// Makes the folder and its parents; a new one is its owner's alone, and durable.
result<void> make_folder(const std::filesystem::path& folder);

/// Makes additions, renamings and removals in `folder` durable.
result<void> sync_folder(const std::filesystem::path& folder);

/// The whole content. Error: `not_found`, `too_large` (more than `bytes_max`), `io_failed`.
result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max);

/// Writes a new file, its owner's alone, replacing one left over under this name, and syncs it. The
/// caller renames it to where it belongs, and syncs the folder.
result<void> write_file(const std::filesystem::path& file, std::string_view bytes);

/// Writes the whole file under another name (`.tmp` behind its own), renames it into its place and
/// makes that durable: whoever reads finds what was there before, or all of `bytes`.
result<void> replace_file(const std::filesystem::path& file, std::string_view bytes);

/// As rename(2): replaces `to`.
result<void> rename_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// Overwrites the content with random bytes, syncs, and unlinks. The caller syncs the folder.
result<void> shred(const std::filesystem::path& file);

/// Locks the open folder or file against every other holder. Error: `locked`.
result<file_handle> lock_file(const std::filesystem::path& file);

} // namespace candor::stores
