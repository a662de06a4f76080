/// The keys of persons: a store of its own, outside the data and its backups, whose loss or
/// rewriting makes a person's records unreadable for ever.
///
/// Keys lie in pages of `limits::keys_per_page`, made ahead of need and durable before any key of
/// them is used. A page is sealed under a page key, and the page key under the node's master key.
/// Destroying a key rewrites its page under a new page key and overwrites the old page's bytes on
/// disk before they are freed: what was sealed under the destroyed key cannot be opened by anyone
/// who does not hold an older copy of this folder together with the master key.
///
/// Guarantees: `destroy` returned success ⇒ this folder holds the key no more, after any crash; a
/// crash at any moment loses no other key. Keys in memory are locked (sodium_malloc or mlock) and
/// wiped. Must never be backed up together with data, logged, or sent to etcd.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"

namespace candor::stores {

/// Which key of which page.
struct key_ref {
  std::uint64_t page = 0; ///< 0: none
  std::uint16_t slot = 0;
  friend bool operator==(const key_ref&, const key_ref&) = default;
};

/// 32 bytes each.
struct node_secrets {
  std::array<std::uint8_t, 32> master_key{};     ///< wraps page keys
  std::array<std::uint8_t, 32> cluster_secret{}; ///< keys storage keys
};

/// Reads `master.key` and `cluster.secret` (64 hexadecimal digits each, mode 0600) in `folder`;
/// makes them, durably, where neither exists. Error: `config_invalid` (wrong form, only one of the
/// two, readable by others), `io_failed`.
result<node_secrets> load_or_make_secrets(const std::filesystem::path& folder);

/// Keyed BLAKE2b-128 of the id.
storage_key derive_storage_key(const node_secrets& secrets, const user_id& id);

class user_keys {
public:
  virtual ~user_keys() = default;

  /// A key that nobody has used: durable already. `shard` keeps pages of different shards apart,
  /// since they move apart. Where `after` names a key, the one returned comes later in allocation
  /// order; the caller records the allocation in the shard's own log and hands the last recorded
  /// one back at the next start. One that was given out and never recorded may be given out again
  /// by a later process, never by this one; its nonces differ then, since the term does. Error:
  /// `bad_value` (`after` is of another shard), `disk_full`, `corrupt`, `io_failed`.
  virtual result<key_ref> allocate(shard_id shard, key_ref after) = 0;

  /// Seals under the person's key (XChaCha20-Poly1305). `nonce` must never be used twice with the
  /// same key: shard (4 bytes), term (8), seq (8), row (4), big-endian. `associated` is the storage
  /// key. Error: `key_destroyed`, `corrupt`, `io_failed`.
  virtual result<std::string> seal(key_ref key, std::span<const std::uint8_t, 24> nonce,
                                   std::string_view associated, std::string_view plain) = 0;

  /// Opens what `seal` returned (which begins with its nonce). Error: `crypto_failed`,
  /// `key_destroyed`, `corrupt`, `io_failed`.
  virtual result<std::string> open(key_ref key, std::string_view associated,
                                   std::string_view sealed) = 0;

  /// A 16-byte tag of `data` (BLAKE2b keyed by a subkey of the person's key), for the dedupe of
  /// event ids.
  virtual result<std::array<std::uint8_t, 16>> tag(key_ref key, std::string_view data) = 0;

  /// Makes the key unrecoverable. Idempotent: after an error, call it again. Error: `bad_value`,
  /// `corrupt`, `disk_full`, `io_failed`.
  virtual result<void> destroy(key_ref key) = 0;
};

/// Opens or creates the store in `folder`. Finishes what a crash interrupted. Thread-safe.
/// Error: `corrupt`, `crypto_failed` (the master key is not this store's), `io_failed`, `locked`.
result<std::unique_ptr<user_keys>> open_user_keys(const std::filesystem::path& folder,
                                                  const node_secrets& secrets);

} // namespace candor::stores
