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
///
/// Pages replicate apart from the data: a replica of a shard imports a page before it acknowledges
/// an entry that is sealed under it. A page crosses the network as it lies in its file, sealed
/// under the master key, which all nodes of a cluster share.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"

namespace candor::stores {

/// Which key of which page. A page's number is the shard (16 bits), the term in which a primary
/// made it (28) and a counter from 1 (20), so that no two primaries ever make different pages of
/// one number.
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

  /// A key that nobody has used: durable already, on this node. `shard` keeps pages of different
  /// shards apart, since they move apart. Where `after` names a key, the one returned comes later
  /// in allocation order, which is that of page numbers and slots; the caller records the
  /// allocation in the shard's own log and hands the last recorded one back at the next start. One
  /// that was given out and never recorded may be given out again by a later process or primary,
  /// never by this process; its nonces differ then, since the term does.
  ///
  /// `term` is the one in which the caller leads the shard, below 2^28: a page that has to be made
  /// is made in it. What is left of pages of earlier terms is used up first, where `after` allows.
  /// Error: `bad_value` (`after` is of another shard), `conflict` (`after`, or a key that this
  /// process gave out, is of a later term), `too_many` (2^20 pages in one term), `disk_full`,
  /// `corrupt`, `io_failed`.
  virtual result<key_ref> allocate(shard_id shard, key_ref after, std::uint64_t term) = 0;

  /// Seals under the person's key (XChaCha20-Poly1305). `nonce` must never be used twice with the
  /// same key by this process: shard (4 bytes), term (8), seq (8), row (4), big-endian. What is
  /// used is its exclusive or with 24 bytes drawn at random when the store was opened: where an
  /// older copy of the data was put back beside these keys, a place comes again, the nonce does
  /// not. `associated` is the storage key. Error: `key_destroyed`, `corrupt`, `io_failed`.
  virtual result<std::string> seal(key_ref key, std::span<const std::uint8_t, 24> nonce,
                                   std::string_view associated, std::string_view plain) = 0;

  /// Opens what `seal` returned (which begins with the nonce that was used). Error:
  /// `crypto_failed`, `key_destroyed`, `corrupt`, `io_failed`.
  virtual result<std::string> open(key_ref key, std::string_view associated,
                                   std::string_view sealed) = 0;

  /// A 16-byte tag of `data` (BLAKE2b keyed by a subkey of the person's key), for the dedupe of
  /// event ids.
  virtual result<std::array<std::uint8_t, 16>> tag(key_ref key, std::string_view data) = 0;

  /// Makes the key unrecoverable. Idempotent: after an error, call it again. Error: `bad_value`,
  /// `corrupt`, `disk_full`, `io_failed`.
  virtual result<void> destroy(key_ref key) = 0;

  /// Whether the page lies here (durably; whether it can be read shows when it is).
  virtual bool has_page(std::uint64_t page) const = 0;

  /// The pages of a shard that lie here, by number.
  virtual std::vector<std::uint64_t> pages(shard_id shard) const = 0;

  /// The page as it lies in its file, for `import_page` of another node. Holds no key that was
  /// destroyed here before. Error: `not_found`, `corrupt`, `io_failed`.
  virtual result<std::string> export_page(std::uint64_t page) = 0;

  /// Takes what another node exported; durable when it returns, under a page key of this node's. A
  /// key that was destroyed here or there stays destroyed: where the page lies here already, what
  /// it lacks is destroyed as `destroy` does. Idempotent. Error: `bad_value` (no number of a page),
  /// `corrupt` (`bytes` are damaged, another page, or of another cluster; or the page here cannot
  /// be read), `conflict` (the page here has other keys), `disk_full`, `io_failed`. After an error
  /// of the disk the page is here as it was, or as it will be: import it again.
  virtual result<void> import_page(std::uint64_t page, std::string_view bytes) = 0;

  /// As `import_page`, of a key backup that may be older than an erasure: of the page's keys only
  /// those in `slots` come; no other is ever written here, and one that is here is destroyed.
  virtual result<void> import_living(std::uint64_t page, std::string_view bytes,
                                     std::span<const std::uint16_t> slots) = 0;

  /// Overwrites and removes all pages of a shard that has left this node. They open nothing more
  /// here, and this process makes none of their numbers again. Idempotent: after an error or a
  /// crash some may be left, so call it again. Error: `corrupt`, `io_failed`.
  virtual result<void> drop_shard(shard_id shard) = 0;
};

/// When pages are made: ahead of need by a thread of the store's own, or (for a simulation, which
/// has no threads) when the first key of one is asked for.
enum class pages_made : bool { ahead, when_needed };

/// Opens or creates the store in `folder`. Finishes what a crash interrupted. Thread-safe.
/// Error: `corrupt`, `crypto_failed` (the master key is not this store's), `io_failed`, `locked`.
result<std::unique_ptr<user_keys>> open_user_keys(const std::filesystem::path& folder,
                                                  const node_secrets& secrets,
                                                  pages_made when = pages_made::ahead);

} // namespace candor::stores
