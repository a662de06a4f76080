#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/stores/durable_file.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::stores {

namespace fs = std::filesystem;

namespace {

using secret = std::array<std::uint8_t, 32>;
constexpr std::size_t digits = 2 * sizeof(secret);

bool is_there(const fs::path& file) {
  struct stat state;
  return ::lstat(file.c_str(), &state) == 0;
}

/// Text that held a secret leaves nothing behind.
struct wiped_text {
  ~wiped_text() { sodium_memzero(value.data(), value.size()); }
  std::string value;
};

result<secret> read_secret(const fs::path& file) {
  struct stat state;
  if (::stat(file.c_str(), &state) != 0)
    return fail_errno(file);
  if (!S_ISREG(state.st_mode))
    return fail(errc::config_invalid, file.string() + " is not a file");
  if ((state.st_mode & 077) != 0)
    return fail(errc::config_invalid,
                fmt::format("{} can be read or written by others; `chmod 600` it", file.string()));
  auto read = read_file(file, digits + 1);
  auto wrong = [&] {
    return fail(errc::config_invalid,
                fmt::format("{} does not hold {} hexadecimal digits", file.string(), digits));
  };
  if (!read) {
    if (read.error().code == errc::too_large)
      return wrong();
    return tl::unexpected<error>{read.error()};
  }
  wiped_text text{std::move(*read)};
  if (text.value.ends_with('\n'))
    text.value.pop_back();
  secret value;
  std::size_t size = 0;
  const char* end = nullptr;
  if (text.value.size() != digits ||
      sodium_hex2bin(value.data(), value.size(), text.value.data(), digits, nullptr, &size, &end) !=
          0 ||
      size != value.size() || end != text.value.data() + digits)
    return wrong();
  return value;
}

result<void> write_secret(const fs::path& file) {
  secret value;
  randombytes_buf(value.data(), value.size());
  wiped_text text{std::string(digits + 1, '\0')};
  sodium_bin2hex(text.value.data(), digits + 1, value.data(), value.size());
  text.value[digits] = '\n';
  sodium_memzero(value.data(), value.size());
  return write_file(file, text.value);
}

} // namespace

result<node_secrets> load_or_make_secrets(const fs::path& folder) {
  CANDOR_ASSERT(sodium_init() >= 0);
  CANDOR_TRY_VOID(make_folder(folder));
  // Two first starts at a time must not make two pairs.
  file_handle opened{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (opened.get() < 0 || ::flock(opened.get(), LOCK_EX) != 0)
    return fail_errno(folder);
  auto master = folder / "master.key";
  auto cluster = folder / "cluster.secret";
  auto made_master = folder / "master.key.tmp";
  auto made_cluster = folder / "cluster.secret.tmp";
  if (!is_there(master) && !is_there(cluster)) {
    CANDOR_TRY_VOID(write_secret(made_master));
    CANDOR_TRY_VOID(write_secret(made_cluster));
    CANDOR_TRY_VOID(sync_folder(folder));
    CANDOR_TRY_VOID(rename_file(made_master, master));
  }
  // Also where a crash came between the two renamings: both were durable before the first.
  if (is_there(master) && !is_there(cluster) && is_there(made_cluster)) {
    CANDOR_TRY_VOID(read_secret(made_cluster));
    CANDOR_TRY_VOID(rename_file(made_cluster, cluster));
    CANDOR_TRY_VOID(sync_folder(folder));
  }
  if (is_there(master) != is_there(cluster))
    return fail(errc::config_invalid,
                fmt::format("{} holds {} but not {}; they belong together", folder.string(),
                            is_there(master) ? "master.key" : "cluster.secret",
                            is_there(master) ? "cluster.secret" : "master.key"));
  node_secrets secrets;
  CANDOR_TRY(master_key, read_secret(master));
  secrets.master_key = master_key;
  sodium_memzero(master_key.data(), master_key.size());
  CANDOR_TRY(cluster_secret, read_secret(cluster));
  secrets.cluster_secret = cluster_secret;
  sodium_memzero(cluster_secret.data(), cluster_secret.size());
  return secrets;
}

storage_key derive_storage_key(const node_secrets& secrets, const user_id& id) {
  storage_key key;
  auto& text = id.value();
  crypto_generichash(key.bytes.data(), key.bytes.size(),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                     secrets.cluster_secret.data(), secrets.cluster_secret.size());
  return key;
}

} // namespace candor::stores
