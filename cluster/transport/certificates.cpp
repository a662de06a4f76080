#include "cluster/transport/certificates.hpp"

#include <memory>

#include <openssl/x509v3.h>

namespace candor::transport {

namespace {

namespace ssl = boost::asio::ssl;

std::string_view text_of(const ASN1_STRING* s) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
          static_cast<std::size_t>(ASN1_STRING_length(s))};
}

bool subject_is(X509* certificate, std::string_view name) {
  auto* subject = X509_get_subject_name(certificate);
  for (int at = -1;;) {
    at = X509_NAME_get_index_by_NID(subject, NID_commonName, at);
    if (at < 0)
      return false;
    if (text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))) == name)
      return true;
  }
}

bool alternative_is(X509* certificate, std::string_view name) {
  std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names{
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free};
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* one = sk_GENERAL_NAME_value(names.get(), i);
    if (one->type == GEN_DNS && text_of(one->d.dNSName) == name)
      return true;
  }
  return false;
}

} // namespace

result<ssl::context> make_tls_context(const std::filesystem::path& ca,
                                      const std::filesystem::path& certificate,
                                      const std::filesystem::path& key) {
  ssl::context context{ssl::context::tlsv13};
  boost::system::error_code ec;
  auto wrong = [&](const std::filesystem::path& file) {
    return fail(errc::config_invalid, file.string() + ": " + ec.message());
  };
  context.load_verify_file(ca.string(), ec);
  if (ec)
    return wrong(ca);
  context.use_certificate_chain_file(certificate.string(), ec);
  if (ec)
    return wrong(certificate);
  context.use_private_key_file(key.string(), ssl::context::pem, ec);
  if (ec)
    return wrong(key);
  context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, ec);
  if (ec)
    return wrong(ca);
  SSL_CTX_set_session_cache_mode(context.native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.native_handle(), 0);
  return context;
}

bool peer_carries_name(SSL* connection, std::string_view name) {
  std::unique_ptr<X509, decltype(&X509_free)> certificate{SSL_get1_peer_certificate(connection),
                                                          &X509_free};
  return certificate &&
         (subject_is(certificate.get(), name) || alternative_is(certificate.get(), name));
}

} // namespace candor::transport
