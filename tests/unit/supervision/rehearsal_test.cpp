#include <catch2/catch.hpp>

#include <fstream>
#include <functional>
#include <memory>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "actors/gateway/keys.hpp"
#include "actors/supervision/config/rehearsal.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::config;

namespace {

const std::filesystem::path shipped{CANDOR_SOURCE_DIR "/configs"};

/// A certificate that signs itself, and its key, as PEM files.
void write_pair(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair{EVP_EC_gen("P-256"), &EVP_PKEY_free};
  std::unique_ptr<X509, decltype(&X509_free)> made{X509_new(), &X509_free};
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), pair.get());
  REQUIRE(X509_sign(made.get(), pair.get(), EVP_sha256()) > 0);
  auto to = std::fopen(certificate.c_str(), "w");
  REQUIRE(PEM_write_X509(to, made.get()) == 1);
  std::fclose(to);
  to = std::fopen(key.c_str(), "w");
  REQUIRE(PEM_write_PrivateKey(to, pair.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(to);
}

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream{file} << text;
}

/// As `candorctl config check` asks.
result<void> judge(const node_config& c) {
  CANDOR_TRY(files, check(c));
  return rehearse(c, files);
}

} // namespace

TEST_CASE("what no node would start on is found beforehand, one broken file a row", "[config]") {
  test::temporary_folder folder;
  write_pair(folder / "http.crt", folder / "http.key");
  write_pair(folder / "node.crt", folder / "node.key");
  write(folder / "rubbish.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
  write(folder / "short", "too short");
  write(folder / "notices/ai-interactions/en.toml", "subject = 3\n");
  std::filesystem::create_directories(folder / "lexicon/sensitive"); // a small one, read quickly
  std::filesystem::copy(shipped / "lexicon/sensitive/health.en.txt", folder / "lexicon/sensitive");
  write(folder / "broken/sensitive/health.en.txt", "[no such tier]\n");
  write(folder / "rubbish.model", "no model");
  auto hash = *gateway::hash_api_key("correct horse battery");

  auto whole = *load(std::nullopt, shipped, {{"topics_model", "none"}});
  whole.lexicon = folder / "lexicon";
  whole.tls_certificate = folder / "http.crt";
  whole.tls_key = folder / "http.key";
  whole.node_ca = whole.node_certificate = folder / "node.crt";
  whole.node_key = folder / "node.key";
  whole.etcd_ca = whole.etcd_certificate = folder / "http.crt";
  whole.etcd_key = folder / "http.key";
  whole.keys = {{"operator", "admin", hash}};
  whole.topics_hook = {"/bin/sh"};
  whole.smtp_host = "127.0.0.1";
  {
    auto judged = judge(whole);
    INFO((judged ? "" : judged.error().to_string()));
    REQUIRE(judged);
  }

  struct row {
    std::string what, words;
    std::function<void(node_config&)> breaks;
  };
  auto gone = folder / "gone";
  for (const auto& r : std::vector<row>{
           {"no certificate", "gone", [&](auto& c) { c.tls_certificate = gone; }},
           {"no key", "gone", [&](auto& c) { c.tls_key = gone; }},
           {"a key for a certificate", "tls_certificate",
            [&](auto& c) { c.tls_certificate = folder / "http.key"; }},
           {"a certificate that cannot be read", "tls_certificate",
            [&](auto& c) { c.tls_certificate = folder / "rubbish.pem"; }},
           {"another's key", "tls_key", [&](auto& c) { c.tls_key = folder / "node.key"; }},
           {"another's key to nodes", "node_key",
            [&](auto& c) { c.node_key = folder / "http.key"; }},
           {"another's key to etcd", "etcd_key",
            [&](auto& c) { c.etcd_key = folder / "node.key"; }},
           {"an authority that cannot be read", "node_ca",
            [&](auto& c) { c.node_ca = folder / "rubbish.pem"; }},
           {"no lexicon", "gone", [&](auto& c) { c.lexicon = gone; }},
           {"a broken lexicon", "health.en.txt:1", [&](auto& c) { c.lexicon = folder / "broken"; }},
           {"no model", "gone", [&](auto& c) { c.topics_model = gone; }},
           {"a model that is none", "rubbish.model",
            [&](auto& c) { c.topics_model = folder / "rubbish.model"; }},
           {"no notices", "gone", [&](auto& c) { c.notices = gone; }},
           {"a broken notice", "en.toml:1", [&](auto& c) { c.notices = folder / "notices"; }},
           {"no hook", "topics_hook", [&](auto& c) { c.topics_hook = {gone.string()}; }},
           {"a hook that is no program", "topics_hook",
            [&](auto& c) { c.topics_hook = {"/etc/passwd"}; }},
           {"a hash that is none", "key operator",
            [&](auto& c) { c.keys.front().hash = "$argon2id$v=19$m=65536,t=2,p=1$RE$RE"; }},
           {"a role that no key has", "key operator",
            [&](auto& c) { c.keys.front().role = "user"; }},
           {"a secret that is too short", "32 bytes",
            [&](auto& c) { c.user_token_secret_file = folder / "short"; }},
           {"no password", "gone", [&](auto& c) { c.smtp_password_file = gone; }},
           {"no sender", "mail_from", [&](auto& c) { c.mail_from = "nobody"; }},
           {"half a login", "smtp", [&](auto& c) { c.smtp_user = "candor"; }},
       }) {
    INFO(r.what);
    auto c = whole;
    r.breaks(c);
    auto judged = judge(c);
    REQUIRE(!judged);
    CHECK(judged.error().code == errc::config_invalid);
    CHECK_THAT(judged.error().detail, Catch::Contains(r.words));
  }
}
