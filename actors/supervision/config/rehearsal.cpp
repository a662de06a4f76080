#include "actors/supervision/config/rehearsal.hpp"

#include <memory>

#include <fmt/format.h>
#include <openssl/ssl.h>

#include "actors/notification/templates.hpp"
#include "actors/supervision/config/mail.hpp"
#include "actors/topic_filter/filter.hpp"

namespace candor::config {

namespace {

using tls_context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;

tls_context make_context() {
  tls_context made{SSL_CTX_new(TLS_method()), &SSL_CTX_free};
  CANDOR_ASSERT(made != nullptr);
  // Who would be asked for a key's passphrase? A node has nobody at its terminal.
  SSL_CTX_set_default_passwd_cb(made.get(), [](char*, int, int, void*) { return 0; });
  return made;
}

/// A certificate and its private key. Nothing where none is named.
result<void> try_pair(std::string_view name, const std::filesystem::path& certificate,
                      const std::filesystem::path& key) {
  if (certificate.empty())
    return {};
  auto context = make_context();
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1)
    return fail(errc::config_invalid, fmt::format("{}_certificate: {} is no certificate in PEM",
                                                  name, certificate.string()));
  if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fail(errc::config_invalid, fmt::format("{}_key: {} is not the private key of {}, in "
                                                  "PEM and without a passphrase",
                                                  name, key.string(), certificate.string()));
  return {};
}

result<void> try_authority(std::string_view name, const std::filesystem::path& file) {
  if (!file.empty() && SSL_CTX_load_verify_file(make_context().get(), file.c_str()) != 1)
    return fail(errc::config_invalid,
                fmt::format("{}_ca: {} holds no certificate in PEM", name, file.string()));
  return {};
}

} // namespace

result<void> rehearse(const node_config& config, const checked& files) {
  CANDOR_TRY_VOID(try_pair("tls", config.tls_certificate, config.tls_key));
  CANDOR_TRY_VOID(try_authority("etcd", config.etcd_ca));
  CANDOR_TRY_VOID(try_pair("etcd", config.etcd_certificate, config.etcd_key));
  CANDOR_TRY_VOID(try_authority("node", config.node_ca));
  CANDOR_TRY_VOID(try_pair("node", config.node_certificate, config.node_key));
  CANDOR_TRY_VOID(check_mail(config, files));
  for (const auto& policy : files.policies)
    // Beneath `notices`, as the notification room looks for them.
    CANDOR_TRY_VOID(notification::template_set::load(
        config.notices / std::filesystem::path{policy.notice_templates}.filename()));
  if (config.topics_model == "none")
    CANDOR_TRY_VOID(topic_filter::filter::load(config.lexicon));
  else
    CANDOR_TRY_VOID(topic_filter::filter::load(config.lexicon, config.topics_model));
  return {};
}

} // namespace candor::config
