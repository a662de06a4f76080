/// An IP address as it is listened on, so that two texts that mean one address are one ("localhost"
/// and "127.0.0.1", "::" and "0:0::0", "::ffff:127.0.0.1" and "127.0.0.1"). Part of the
/// configuration. Pure: no name but "localhost" is known, and none is looked up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace candor::config {

class ip_address {
public:
  /// Of "127.0.0.1", "::1", "[::1]" or "localhost". Nothing: it is another name, or no address.
  static std::optional<ip_address> read(std::string_view text);

  bool is_loopback() const;
  bool is_everywhere() const; ///< 0.0.0.0 or ::

  /// True where whoever listens here takes the connections to `other` of the same port too: at all
  /// addresses of version 4, or at all of both versions (RFC 3493, 5.3).
  bool takes_in(const ip_address& other) const;

  friend bool operator==(const ip_address&, const ip_address&) = default;

private:
  bool is_v4() const;

  std::array<std::uint8_t, 16> bytes_{}; ///< one of version 4 is mapped (RFC 4291, 2.5.5.2)
};

} // namespace candor::config
