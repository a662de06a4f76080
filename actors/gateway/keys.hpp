/// Who is asking: API keys with roles, and signed tokens that bind the role `user` to one person.
/// Stands before every route. Guarantees: a key is kept as its argon2id hash alone, and in memory
/// as a keyed hash; comparing takes the same time whatever was sent; wrong keys are tried at a
/// bounded rate, for each peer apart: who tries wrong ones uses up nobody else's tries. Must never
/// log a key, a peer, nor the person whom a token names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/time.hpp"

namespace candor::gateway {

enum class role : std::uint8_t { ingest, decision, user, editor, admin, auditor, monitor };

std::string_view to_string(role r) noexcept;
std::optional<role> find_role(std::string_view name) noexcept;

/// "ingest, decision, … or monitor": those that a key may have.
std::string key_roles();

/// The role of a key: any but `user`, which only a signed token gives. Error: `config_invalid`,
/// naming those there are.
result<role> find_key_role(std::string_view name);

/// As the configuration has it.
struct api_key {
  std::string name; ///< stands in the audit log
  std::string role;
  std::string hash; ///< of `hash_api_key`
};

struct caller {
  std::string name;
  candor::gateway::role role = role::monitor;
  std::string user; ///< of role user: the one person
};

/// What the configuration keeps of a key (argon2id, about a tenth of a second). Error: `bad_value`
/// for a key of less than 16 or more than 256 bytes.
result<std::string> hash_api_key(std::string_view key);

/// A bearer token for one person until `expires`: "u." and base64url of the expiry, the id and a
/// keyed BLAKE2b-256 over both. Error: `bad_value` for a secret of less than 32 bytes.
result<std::string> make_user_token(std::string_view secret, const user_id& user,
                                    timestamp expires);

class key_ring {
public:
  /// No keys: nobody is asked for one. An empty secret: no token is valid. Error: `config_invalid`.
  static result<std::unique_ptr<key_ring>> make(std::vector<api_key> keys,
                                                std::string user_token_secret);

  bool is_empty() const noexcept { return keys_.empty(); }

  /// A token, or a key that was verified before; fast. Error: `unauthenticated` for a token that
  /// does not hold. Nothing: `verify` must tell.
  result<std::optional<caller>> recall(std::string_view bearer, timestamp now) const;

  /// Tries a key against every hash; takes a tenth of a second for each, unless it was verified
  /// meanwhile. `peer` is whoever tries; `monotonic` paces the tries. Error: `unauthenticated`;
  /// `overloaded` where too many wrong keys came from this peer lately.
  result<caller> verify(std::string_view bearer, std::string_view peer, millis monotonic);

private:
  struct known_key {
    std::string name;
    candor::gateway::role role;
    std::string hash;
  };

  /// How many wrong keys may be tried yet: a bucket that fills with time (token bucket).
  struct tries {
    double left;
    millis as_of;
    void fill(millis monotonic);
  };

  key_ring(std::vector<known_key> keys, std::string secret);
  std::optional<caller> find_verified(std::string_view bearer) const;
  tries& tries_of(std::string_view peer, millis monotonic);
  std::string fingerprint(std::string_view bearer) const;
  std::optional<caller> read_token(std::string_view bearer, timestamp now) const;

  std::vector<known_key> keys_;
  std::string token_key_;       ///< empty: no tokens
  std::string fingerprint_key_; ///< of this process
  mutable std::mutex mutex_;
  std::map<std::string, std::size_t> verified_;     ///< fingerprint -> index of the key
  std::map<std::string, tries, std::less<>> tries_; ///< by peer; who is not there has all
  tries tries_of_others_; ///< of all for whom there is no room in `tries_`, together
};

} // namespace candor::gateway
