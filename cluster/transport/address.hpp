/// `host:port` in its parts. Pure: nothing is looked up.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor::transport {

struct address {
  std::string host; ///< without the brackets of an IPv6 address
  std::uint16_t port = 0;
};

/// `10.0.0.1:7001`, `[::1]:7001`, `node-1.example:7001`. Error: `bad_value`.
inline result<address> parse_address(std::string_view text) {
  auto wrong = [&] { return fail(errc::bad_value, std::string{text} + " is not host:port"); };
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return wrong();
  auto host = text.substr(0, colon);
  if (host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos)
    return wrong();
  address parsed{std::string{host}, 0};
  auto digits = text.substr(colon + 1);
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), parsed.port);
  if (ec != std::errc{} || end != digits.data() + digits.size() || host.empty())
    return wrong();
  return parsed;
}

} // namespace candor::transport
