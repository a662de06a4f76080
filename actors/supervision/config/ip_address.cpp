#include "actors/supervision/config/ip_address.hpp"

#include <algorithm>
#include <string>

#include <arpa/inet.h>

namespace candor::config {

namespace {

constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

} // namespace

std::optional<ip_address> ip_address::read(std::string_view text) {
  ip_address made;
  if (text == "localhost")
    text = "127.0.0.1";
  if (text.size() > 2 && text.front() == '[' && text.back() == ']')
    text = text.substr(1, text.size() - 2);
  std::string ended{text};
  if (::inet_pton(AF_INET6, ended.c_str(), made.bytes_.data()) == 1)
    return made;
  std::ranges::copy(mapped, made.bytes_.begin());
  if (::inet_pton(AF_INET, ended.c_str(), made.bytes_.data() + mapped.size()) == 1)
    return made;
  return std::nullopt;
}

bool ip_address::is_v4() const {
  return std::equal(mapped.begin(), mapped.end(), bytes_.begin());
}

bool ip_address::is_loopback() const {
  return is_v4() ? bytes_[mapped.size()] == 127 : *this == *read("::1");
}

bool ip_address::is_everywhere() const {
  return *this == *read("0.0.0.0") || *this == *read("::");
}

bool ip_address::takes_in(const ip_address& other) const {
  return *this == other || *this == *read("::") || (*this == *read("0.0.0.0") && other.is_v4());
}

} // namespace candor::config
