/// What links ask of OpenSSL: the context of a node, and whether a certificate carries a name.
/// Must never fall back on the machine's own CAs.
#pragma once

#include <filesystem>
#include <string_view>

#include <boost/asio/ssl/context.hpp>

#include "storage/base/error.hpp"

namespace candor::transport {

/// TLS 1.3 alone, both sides with certificates, no resumption. Error: `config_invalid`.
result<boost::asio::ssl::context> make_tls_context(const std::filesystem::path& ca,
                                                   const std::filesystem::path& certificate,
                                                   const std::filesystem::path& key);

/// As its CN or as one of its SAN DNS names, letter by letter: no wildcards.
bool peer_carries_name(SSL* connection, std::string_view name);

} // namespace candor::transport
