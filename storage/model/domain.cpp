#include "storage/model/domain.hpp"

#include <algorithm>
#include <array>
#include <memory>

#include <unicode/uidna.h>

#include "storage/base/ascii.hpp"

namespace candor::model {

namespace {

struct close_idna {
  void operator()(UIDNA* of) const noexcept { uidna_close(of); }
};

/// By UTS 46, as browsers do it. Empty: it is no host.
std::string ascii_of(std::string_view name) {
  static const std::unique_ptr<UIDNA, close_idna> idna = [] {
    auto failed = U_ZERO_ERROR;
    return std::unique_ptr<UIDNA, close_idna>{
        uidna_openUTS46(UIDNA_NONTRANSITIONAL_TO_ASCII | UIDNA_CHECK_BIDI, &failed)};
  }();
  if (!idna || name.size() > 4 * domain_bytes_max)
    return {};
  std::array<char, 4 * domain_bytes_max> into;
  auto failed = U_ZERO_ERROR;
  UIDNAInfo info = UIDNA_INFO_INITIALIZER;
  auto n =
      uidna_nameToASCII_UTF8(idna.get(), name.data(), static_cast<std::int32_t>(name.size()),
                             into.data(), static_cast<std::int32_t>(into.size()), &info, &failed);
  if (U_FAILURE(failed) || info.errors != 0 || n <= 0)
    return {};
  return {into.data(), static_cast<std::size_t>(n)};
}

/// Without a port and the root's dot.
std::string_view bare(std::string_view name) {
  if (auto colon = name.rfind(':'); colon != name.npos && name.find(':') == colon) {
    auto port = name.substr(colon + 1);
    if (std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }))
      name = name.substr(0, colon);
  }
  while (name.ends_with('.'))
    name.remove_suffix(1);
  return name;
}

} // namespace

std::string canonical_domain(std::string_view name) {
  if (name.find("://") != name.npos)
    return host_of(name);
  name = bare(name);
  auto is_ascii = std::ranges::all_of(name, [](char c) { return (c & 0x80) == 0; });
  if (!is_ascii)
    if (auto ascii = ascii_of(name); !ascii.empty())
      return std::string{bare(ascii)};
  return ascii_lower(name);
}

std::string host_of(std::string_view url) {
  if (auto scheme = url.find("://"); scheme != url.npos)
    url.remove_prefix(scheme + 3);
  // Browsers drop tabs and line ends wherever they stand.
  std::string authority;
  for (auto c : url.substr(0, url.find_first_of("/\\?#")))
    if (c != '\t' && c != '\r' && c != '\n')
      authority += c;
  std::string_view host = authority;
  if (auto at = host.rfind('@'); at != host.npos)
    host.remove_prefix(at + 1);
  if (host.starts_with('[')) // an address of IPv6
    return ascii_lower(host.substr(0, host.find(']') + 1));
  return canonical_domain(host);
}

bool lies_in(std::string_view host, std::string_view domain) noexcept {
  return !domain.empty() && host.ends_with(domain) &&
         (host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.');
}

} // namespace candor::model
