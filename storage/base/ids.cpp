#include "storage/base/ids.hpp"

#include <bit>
#include <cstring>

#include <fmt/format.h>
#include <sodium.h>

#include "storage/base/limits.hpp"

namespace candor {

namespace {

/// Length of the well-formed sequence at `p` (1 to 4), or 0. RFC 3629, section 4.
std::size_t sequence_length(const unsigned char* p, std::size_t left) noexcept {
  auto continues = [&](std::size_t i) { return i < left && (p[i] & 0xc0) == 0x80; };
  if (p[0] < 0x80)
    return 1;
  if (p[0] >= 0xc2 && p[0] <= 0xdf)
    return continues(1) ? 2 : 0;
  if (p[0] >= 0xe0 && p[0] <= 0xef) {
    if (!continues(1) || !continues(2) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f))
      return 0;
    return 3;
  }
  if (p[0] >= 0xf0 && p[0] <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
      return 0;
    return 4;
  }
  return 0;
}

template <class Accept>
bool every_sequence(std::string_view text, Accept accept) noexcept {
  auto p = reinterpret_cast<const unsigned char*>(text.data());
  for (std::size_t i = 0; i < text.size();) {
    auto n = sequence_length(p + i, text.size() - i);
    if (n == 0 || !accept(p + i, n))
      return false;
    i += n;
  }
  return true;
}

} // namespace

bool valid_utf8(std::string_view text) noexcept {
  return every_sequence(text, [](auto*, auto) { return true; });
}

bool plain_utf8(std::string_view text) noexcept {
  return every_sequence(text, [](const unsigned char* p, std::size_t n) {
    auto c0 = n == 1 && (p[0] < 0x20 || p[0] == 0x7f);
    auto c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
    return !c0 && !c1;
  });
}

result<user_id> user_id::parse(std::string_view text) {
  if (text.empty())
    return fail(errc::bad_value, "a user id has at least one byte");
  if (text.size() > limits::user_id_bytes)
    return fail(errc::too_large, fmt::format("a user id has at most {} bytes, this one has {}",
                                             limits::user_id_bytes, text.size()));
  if (!valid_utf8(text))
    return fail(errc::bad_utf8, "the user id");
  if (!plain_utf8(text))
    return fail(errc::bad_value, "a user id has no control characters");
  return user_id{std::string{text}};
}

std::string to_string(const user_id& id) {
  static const auto key = [] {
    std::array<unsigned char, crypto_shorthash_KEYBYTES> k;
    randombytes_buf(k.data(), k.size());
    return k;
  }();
  std::array<unsigned char, crypto_shorthash_BYTES> hash;
  crypto_shorthash(hash.data(), reinterpret_cast<const unsigned char*>(id.value().data()),
                   id.value().size(), key.data());
  return "user:" + to_hex({reinterpret_cast<const char*>(hash.data()), 4});
}

shard_id storage_key::shard(shard_count count) const noexcept {
  auto bits = std::bit_width(count.value) - 1;
  auto top = static_cast<unsigned>(bytes[0]) << 8 | bytes[1];
  return static_cast<shard_id>(top >> (16 - bits));
}

std::size_t storage_key_hash::operator()(const storage_key& key) const noexcept {
  std::size_t h;
  std::memcpy(&h, key.bytes.data() + 8, sizeof h); // the key is a hash already
  return h;
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    text += digits[c >> 4];
    text += digits[c & 15];
  }
  return text;
}

result<std::string> from_hex(std::string_view text) {
  auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (text.size() % 2 != 0)
    return fail(errc::bad_value, "hexadecimal has an even number of digits");
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    auto hi = digit(text[i]), lo = digit(text[i + 1]);
    if (hi < 0 || lo < 0)
      return fail(errc::bad_value, "not a lower-case hexadecimal digit");
    bytes += static_cast<char>(hi << 4 | lo);
  }
  return bytes;
}

} // namespace candor
