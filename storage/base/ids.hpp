/// The identifiers that everything else is keyed by.
/// Guarantees: a `user_id` never prints as itself (formatting it gives a hash keyed by this
/// process), so that a log line or an error cannot tell who somebody is; `value()` is the one way
/// to the text.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor {

/// The platform's name for a person: 1 to limits::user_id_bytes bytes of UTF-8 without control
/// characters.
class user_id {
public:
  /// Error: `bad_value`, `too_large`, `bad_utf8`.
  static result<user_id> parse(std::string_view text);

  const std::string& value() const noexcept { return value_; }
  friend auto operator<=>(const user_id&, const user_id&) = default;

private:
  explicit user_id(std::string value)
    : value_{std::move(value)} {}
  std::string value_;
};

/// "user:1f3a9c0b", a keyed hash with a key that lives as long as this process.
std::string to_string(const user_id& id);

/// True where `text` is valid UTF-8 without control characters (an identifier, a name, a language
/// tag).
bool plain_utf8(std::string_view text) noexcept;

/// True where `text` is valid UTF-8 (RFC 3629).
bool valid_utf8(std::string_view text) noexcept;

using shard_id = std::uint16_t;

/// How many virtual shards the cluster has: a power of two, fixed when the cluster is created.
struct shard_count {
  std::uint16_t value = 64;
};

/// What a user is stored under: keyed BLAKE2b-128 of the id. Without the cluster secret it tells
/// nothing.
struct storage_key {
  std::array<std::uint8_t, 16> bytes{};

  /// The top log2(count) bits.
  shard_id shard(shard_count count) const noexcept;

  std::string_view view() const noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  friend auto operator<=>(const storage_key&, const storage_key&) = default;
};

struct storage_key_hash {
  std::size_t operator()(const storage_key& key) const noexcept;
};

/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);

/// Error: `bad_value`.
result<std::string> from_hex(std::string_view text);

} // namespace candor
