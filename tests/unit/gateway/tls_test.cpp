#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "tests/support/temporary_folder.hpp"
#include "tests/unit/gateway/house.hpp"

using namespace candor;
using namespace candor::gateway_tests;

namespace {

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* p) const { Free(p); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY, EVP_PKEY_free>>;
using certificate_ptr = std::unique_ptr<X509, freed<X509, X509_free>>;
using context_ptr = std::unique_ptr<SSL_CTX, freed<SSL_CTX, SSL_CTX_free>>;
using session_ptr = std::unique_ptr<SSL, freed<SSL, SSL_free>>;

/// A certificate that signs itself, and its key, as PEM files.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  key_ptr key{EVP_EC_gen("P-256")};
  certificate_ptr made{X509_new()};
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  auto name = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(made.get(), name);
  REQUIRE(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
  auto to = std::fopen(certificate_file.c_str(), "w");
  REQUIRE(PEM_write_X509(to, made.get()) == 1);
  std::fclose(to);
  to = std::fopen(key_file.c_str(), "w");
  REQUIRE(PEM_write_PrivateKey(to, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(to);
}

struct tls_house : house {
  tls_house() {
    config.tls_certificate = (folder.path() / "certificate.pem").string();
    config.tls_key = (folder.path() / "key.pem").string();
    write_certificate(config.tls_certificate, config.tls_key);
  }
  test::temporary_folder folder;
};

/// What comes back over TLS of at most `version`; empty where the handshake fails.
std::string ask_over_tls(std::uint16_t port, int version, const std::string& text) {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  context_ptr context{SSL_CTX_new(TLS_client_method())};
  SSL_CTX_set_max_proto_version(context.get(), version);
  session_ptr session{SSL_new(context.get())};
  SSL_set_fd(session.get(), fd);
  std::string got;
  if (SSL_connect(session.get()) == 1) {
    SSL_write(session.get(), text.data(), static_cast<int>(text.size()));
    char piece[4096];
    for (int n; (n = SSL_read(session.get(), piece, sizeof piece)) > 0;)
      got.append(piece, static_cast<std::size_t>(n));
  }
  ::close(fd);
  return got;
}

} // namespace

TEST_CASE("requests are answered over TLS 1.3", "[gateway]") {
  tls_house h;
  auto got = ask_over_tls(
      h.port(), TLS1_3_VERSION,
      request("POST", "/v1/events", chat, "application/json", "Connection: close\r\n"));
  CHECK_THAT(got, Catch::Matchers::StartsWith("HTTP/1.1 200 OK"));
  CHECK_THAT(got, Catch::Matchers::Contains(R"("status":"accepted")"));
}

TEST_CASE("older TLS, and no TLS at all, get nothing", "[gateway]") {
  tls_house h;
  auto port = h.port();
  CHECK(ask_over_tls(port, TLS1_2_VERSION, request("GET", "/livez")).empty());
  http_client plain{port};
  plain.send(request("GET", "/livez"));
  CHECK(plain.receive().status == 0);
  CHECK(plain.ended());
}

TEST_CASE("with TLS and keys a node may listen beyond this machine", "[gateway]") {
  tls_house h;
  h.config.http.address = "0.0.0.0";
  CHECK(h.try_start().error().code == errc::config_invalid); // no keys yet
  h.config.keys = {{"boss", "admin", *gateway::hash_api_key("admin-admin-admin")}};
  CHECK(h.try_start().has_value());
}

TEST_CASE("a key of another certificate is refused", "[gateway]") {
  tls_house h;
  write_certificate((h.folder.path() / "other.pem").string(), h.config.tls_key);
  CHECK(h.try_start().error().code == errc::config_invalid);
}
