#include "actors/gateway/keys.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>
#include <sodium.h>

#include "storage/base/limits.hpp"

namespace candor::gateway {

namespace {

constexpr std::size_t secret_bytes_min = 32;
constexpr std::size_t keys_max = 64;
constexpr std::size_t mac_bytes = 32;
constexpr std::size_t expiry_bytes = 8;
constexpr std::string_view token_prefix = "u.";
constexpr std::string_view token_purpose = "candor user token 1";

constexpr std::string_view role_names[] = {"ingest", "decision", "user",   "editor",
                                           "admin",  "auditor",  "monitor"};

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string keyed_hash(std::string_view key, std::string_view text) {
  std::string out(mac_bytes, '\0');
  auto failed = crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                                   bytes_of(text), text.size(), bytes_of(key), key.size());
  CANDOR_ASSERT(failed == 0);
  return out;
}

std::string derive_token_key(std::string_view secret) {
  return keyed_hash({}, std::string{token_purpose} + '\0' + std::string{secret});
}

std::string sign(std::string_view token_key, std::string_view payload) {
  return keyed_hash(token_key, payload);
}

void start_sodium() {
  CANDOR_ASSERT(sodium_init() >= 0);
}

} // namespace

std::string_view to_string(role r) noexcept {
  return role_names[static_cast<std::size_t>(r)];
}

std::optional<role> find_role(std::string_view name) noexcept {
  auto it = std::ranges::find(role_names, name);
  if (it == std::end(role_names))
    return std::nullopt;
  return static_cast<role>(it - std::begin(role_names));
}

std::string key_roles() {
  std::vector<std::string_view> known;
  std::ranges::remove_copy(role_names, std::back_inserter(known), to_string(role::user));
  return fmt::format("{} or {}", fmt::join(known.begin(), known.end() - 1, ", "), known.back());
}

result<role> find_key_role(std::string_view name) {
  auto found = find_role(name);
  if (found && *found != role::user)
    return *found;
  return fail(errc::config_invalid,
              fmt::format("role is {}{}", key_roles(),
                          found ? "; user is given by a signed token that names one person "
                                  "(`candorctl key user-token`), not by a key"
                                : ""));
}

result<std::string> hash_api_key(std::string_view key) {
  start_sodium();
  if (key.size() < limits::api_key_bytes_min || key.size() > limits::api_key_bytes)
    return fail(errc::bad_value, fmt::format("an API key has {} to {} bytes",
                                             limits::api_key_bytes_min, limits::api_key_bytes));
  std::array<char, crypto_pwhash_STRBYTES> hash;
  if (crypto_pwhash_str(hash.data(), key.data(), key.size(), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                        crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
    return fail(errc::internal, "not enough memory for argon2id");
  return std::string{hash.data()};
}

result<std::string> make_user_token(std::string_view secret, const user_id& user,
                                    timestamp expires) {
  start_sodium();
  if (secret.size() < secret_bytes_min)
    return fail(errc::bad_value,
                fmt::format("the user token secret has at least {} bytes", secret_bytes_min));
  std::string payload;
  auto until = static_cast<std::uint64_t>(to_int(expires));
  for (int shift = 56; shift >= 0; shift -= 8)
    payload += static_cast<char>(until >> shift & 0xff);
  payload += user.value();
  auto signed_payload = payload + sign(derive_token_key(secret), payload);
  constexpr auto form = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(signed_payload.size(), form), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes_of(signed_payload), signed_payload.size(),
                    form);
  text.pop_back(); // the terminating zero
  return std::string{token_prefix} + text;
}

result<std::unique_ptr<key_ring>> key_ring::make(std::vector<api_key> keys,
                                                 std::string user_token_secret) {
  start_sodium();
  if (keys.size() > keys_max)
    return fail(errc::config_invalid, fmt::format("there are more than {} keys", keys_max));
  std::vector<known_key> known;
  for (auto& key : keys) {
    auto role = find_key_role(key.role);
    if (!role)
      return fail(errc::config_invalid, fmt::format("key {}: {}", key.name, role.error().detail));
    auto is_argon2id = key.hash.starts_with("$argon2id$") && key.hash.find('\0') == key.hash.npos &&
                       key.hash.size() < crypto_pwhash_STRBYTES;
    if (!is_argon2id || crypto_pwhash_str_needs_rehash(key.hash.c_str(), 0, 0) < 0)
      return fail(errc::config_invalid,
                  fmt::format("key {}: the hash is not one of argon2id", key.name));
    known.push_back({std::move(key.name), *role, std::move(key.hash)});
  }
  if (!user_token_secret.empty() && user_token_secret.size() < secret_bytes_min)
    return fail(errc::config_invalid,
                fmt::format("the user token secret has at least {} bytes", secret_bytes_min));
  return std::unique_ptr<key_ring>{new key_ring{std::move(known), std::move(user_token_secret)}};
}

key_ring::key_ring(std::vector<known_key> keys, std::string secret)
  : keys_{std::move(keys)}
  , fingerprint_key_(crypto_generichash_KEYBYTES, '\0')
  , tries_of_others_{limits::key_tries_burst, millis{0}} {
  if (!secret.empty()) {
    token_key_ = derive_token_key(secret);
    sodium_memzero(secret.data(), secret.size());
  }
  randombytes_buf(fingerprint_key_.data(), fingerprint_key_.size());
}

std::string key_ring::fingerprint(std::string_view bearer) const {
  return keyed_hash(fingerprint_key_, bearer);
}

std::optional<caller> key_ring::read_token(std::string_view bearer, timestamp now) const {
  bearer.remove_prefix(token_prefix.size());
  if (token_key_.empty() || bearer.size() > limits::user_token_bytes)
    return std::nullopt;
  std::string raw(bearer.size(), '\0');
  std::size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(raw.data()), raw.size(), bearer.data(),
                        bearer.size(), nullptr, &size, nullptr,
                        sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
      size <= expiry_bytes + mac_bytes)
    return std::nullopt;
  std::string_view all{raw.data(), size};
  auto payload = all.substr(0, size - mac_bytes), mac = all.substr(size - mac_bytes);
  if (sodium_memcmp(sign(token_key_, payload).data(), mac.data(), mac_bytes) != 0)
    return std::nullopt;
  std::uint64_t until = 0;
  for (std::size_t i = 0; i < expiry_bytes; ++i)
    until = until << 8 | static_cast<unsigned char>(payload[i]);
  if (from_int(static_cast<std::int64_t>(until)) <= now)
    return std::nullopt;
  return caller{"user", role::user, std::string{payload.substr(expiry_bytes)}};
}

result<std::optional<caller>> key_ring::recall(std::string_view bearer, timestamp now) const {
  if (bearer.starts_with(token_prefix)) {
    if (auto found = read_token(bearer, now))
      return found;
    return fail(errc::unauthenticated, "the token is not valid, or no longer");
  }
  if (bearer.size() < limits::api_key_bytes_min || bearer.size() > limits::api_key_bytes)
    return fail(errc::unauthenticated);
  return find_verified(bearer);
}

std::optional<caller> key_ring::find_verified(std::string_view bearer) const {
  auto print = fingerprint(bearer);
  std::lock_guard guard{mutex_};
  auto it = verified_.find(print);
  if (it == verified_.end())
    return std::nullopt;
  const auto& key = keys_[it->second];
  return caller{key.name, key.role, {}};
}

void key_ring::tries::fill(millis monotonic) {
  auto passed = std::max(millis{0}, monotonic - as_of);
  as_of = std::max(as_of, monotonic);
  left = std::min(limits::key_tries_burst,
                  left + static_cast<double>(passed.count()) * limits::key_tries_per_second / 1000);
}

/// Filled up to now. Under `mutex_`.
key_ring::tries& key_ring::tries_of(std::string_view peer, millis monotonic) {
  auto it = tries_.find(peer);
  if (it == tries_.end() && tries_.size() >= limits::key_tries_peers)
    std::erase_if(tries_, [&](const auto& of) {
      auto now = of.second;
      now.fill(monotonic);
      return now.left >= limits::key_tries_burst; // as one who never came
    });
  if (it == tries_.end() && tries_.size() < limits::key_tries_peers)
    it = tries_.emplace(peer, tries{limits::key_tries_burst, monotonic}).first;
  auto& found = it == tries_.end() ? tries_of_others_ : it->second;
  found.fill(monotonic);
  return found;
}

result<caller> key_ring::verify(std::string_view bearer, std::string_view peer, millis monotonic) {
  // Of many requests that came with one key at once the first has verified it for all.
  if (auto found = find_verified(bearer))
    return std::move(*found);
  {
    std::lock_guard guard{mutex_};
    auto& left = tries_of(peer, monotonic).left;
    if (left < 1)
      return fail(errc::overloaded, "too many wrong keys were tried lately");
    left -= 1;
  }
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (crypto_pwhash_str_verify(keys_[i].hash.c_str(), bearer.data(), bearer.size()) != 0)
      continue;
    std::lock_guard guard{mutex_};
    auto& left = tries_of(peer, monotonic).left;
    left = std::min(limits::key_tries_burst, left + 1);
    verified_.emplace(fingerprint(bearer), i); // at most one for each configured key
    return caller{keys_[i].name, keys_[i].role, {}};
  }
  return fail(errc::unauthenticated);
}

} // namespace candor::gateway
