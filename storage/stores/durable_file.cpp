#include "storage/stores/durable_file.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace candor::stores {

namespace fs = std::filesystem;

namespace {

result<file_handle> open_file(const fs::path& file, int flags) {
  auto fd = ::open(file.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail_errno(file);
  return file_handle{fd};
}

result<void> write_all(const file_handle& to, const fs::path& file, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::write(to.get(), bytes.data(), bytes.size());
    if (n < 0 && errno != EINTR)
      return fail_errno(file);
    if (n > 0)
      bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fsync(to.get()) != 0)
    return fail_errno(file);
  return {};
}

} // namespace

file_handle::~file_handle() {
  if (fd_ >= 0)
    ::close(fd_);
}

tl::unexpected<error> fail_errno(const fs::path& at) {
  auto code = errno;
  auto detail = at.string() + ": " + std::strerror(code);
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return fail(errc::disk_full, std::move(detail));
    case EROFS:
      return fail(errc::read_only, std::move(detail));
    case ENOENT:
      return fail(errc::not_found, std::move(detail));
    default:
      return fail(errc::io_failed, std::move(detail));
  }
}

result<void> make_folder(const fs::path& folder) {
  std::error_code ec;
  if (fs::is_directory(folder, ec))
    return {};
  auto whole = fs::absolute(folder, ec).lexically_normal();
  if (!whole.has_filename()) // "a/b/"
    whole = whole.parent_path();
  auto parent = whole.parent_path();
  if (parent != whole)
    CANDOR_TRY_VOID(make_folder(parent));
  if (::mkdir(whole.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(whole);
  if (!fs::is_directory(whole, ec))
    return fail(errc::io_failed, whole.string() + " is not a folder");
  return sync_folder(parent);
}

result<void> sync_folder(const fs::path& folder) {
  CANDOR_TRY(opened, open_file(folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(opened.get()) != 0)
    return fail_errno(folder);
  return {};
}

result<std::string> read_file(const fs::path& file, std::size_t bytes_max) {
  CANDOR_TRY(opened, open_file(file, O_RDONLY));
  std::string bytes(bytes_max + 1, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    auto n = ::read(opened.get(), bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno != EINTR)
      return fail_errno(file);
    if (n == 0)
      break;
    if (n > 0)
      size += static_cast<std::size_t>(n);
  }
  if (size > bytes_max)
    return fail(errc::too_large, file.string());
  bytes.resize(size);
  return bytes;
}

result<void> write_file(const fs::path& file, std::string_view bytes) {
  // O_EXCL, since a leftover may be a link to something else, or readable by others
  if (::unlink(file.c_str()) != 0 && errno != ENOENT)
    return fail_errno(file);
  CANDOR_TRY(opened, open_file(file, O_WRONLY | O_CREAT | O_EXCL));
  return write_all(opened, file, bytes);
}

result<void> rename_file(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return fail_errno(from);
  return {};
}

result<void> replace_file(const fs::path& file, std::string_view bytes) {
  auto made = file;
  made += ".tmp";
  CANDOR_TRY_VOID(write_file(made, bytes));
  CANDOR_TRY_VOID(rename_file(made, file));
  return sync_folder(file.parent_path());
}

result<void> shred(const fs::path& file) {
  {
    CANDOR_TRY(opened, open_file(file, O_WRONLY));
    struct stat state;
    if (::fstat(opened.get(), &state) != 0)
      return fail_errno(file);
    std::string noise(static_cast<std::size_t>(state.st_size), '\0');
    randombytes_buf(noise.data(), noise.size());
    CANDOR_TRY_VOID(write_all(opened, file, noise));
  }
  if (::unlink(file.c_str()) != 0)
    return fail_errno(file);
  return {};
}

result<file_handle> lock_file(const fs::path& file) {
  CANDOR_TRY(opened, open_file(file, O_RDWR | O_CREAT));
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return fail(errc::locked, file.string());
    return fail_errno(file);
  }
  return std::move(opened);
}

} // namespace candor::stores
