/// The one form in which advertisers' names and domains are compared: made where a campaign, a
/// block list or a bid request is read, never while one decides.
///
/// Guarantees: what a browser would take for the same host has the same form. Must never be shown
/// where the advertiser's own spelling is wanted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace candor::model {

/// RFC 1035, section 2.3.4, without the root's dot.
inline constexpr std::size_t domain_bytes_max = 253;

/// The host of an address as a browser reads it (WHATWG URL, "special" schemes: a backslash is a
/// slash, what stands before the last @ is a user), in canonical form. Empty: there is none.
std::string host_of(std::string_view url);

/// A host or an advertiser's name: lower case, without port and trailing dot; what is not ASCII by
/// UTS 46 (`bücher.example` is `xn--bcher-kva.example`). An address counts as its host. What cannot
/// be a host is an advertiser's name: in lower case.
std::string canonical_domain(std::string_view name);

/// Both canonical: a domain has those under it too, example.org also shop.example.org.
bool lies_in(std::string_view host, std::string_view domain) noexcept;

} // namespace candor::model
