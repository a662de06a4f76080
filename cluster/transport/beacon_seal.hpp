/// One beacon as bytes: plain enough to be thrown away cheaply, sealed for everything that counts.
///
///   version (1) | length and name of the sender | nonce (24) | sealed:
///       incarnation (8) | length and name of the receiver | payload
///
/// XChaCha20-Poly1305; everything before the nonce is authenticated with it. The key is derived
/// from the cluster's secret and id. Guarantees: `open` gives only what a holder of the secret
/// sealed, for the receiver it names. Does not tell a datagram from its repetition: what counts in
/// a payload has to carry its own time or number. Must never allocate for a datagram before its
/// seal was found good.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/limits.hpp"

namespace candor::transport {

using cluster_secret = std::array<unsigned char, 32>;

inline constexpr std::size_t beacon_bytes = 2 + limits::node_name_bytes + 24 + 8 + 1 +
                                            limits::node_name_bytes + limits::beacon_payload_bytes +
                                            16;

struct opened_beacon {
  std::uint64_t incarnation = 0; ///< of the sender
  std::string receiver;
  std::string payload;
};

class beacon_seal {
public:
  beacon_seal(const cluster_secret& secret, std::string_view cluster);
  ~beacon_seal(); ///< wipes the key
  beacon_seal(const beacon_seal&) = delete;
  beacon_seal& operator=(const beacon_seal&) = delete;

  /// `payload` of at most `limits::beacon_payload_bytes`.
  std::string seal(std::string_view sender, std::uint64_t incarnation, std::string_view receiver,
                   std::string_view payload) const;

  /// Who says to have sent it; nothing where it cannot be a beacon.
  static std::optional<std::string_view> sender_of(std::string_view datagram) noexcept;

  /// Nothing where the seal is not good.
  std::optional<opened_beacon> open(std::string_view datagram) const;

private:
  std::array<unsigned char, 32> key_{};
};

} // namespace candor::transport
