#include "actors/supervision/config/mail.hpp"

namespace candor::config {

notification::sender sender_of(const node_config& config) {
  return {config.mail_from, config.app, config.mail_from.substr(config.mail_from.rfind('@') + 1)};
}

notification::smtp_options smtp_of(const node_config& config, const checked& files) {
  using encryption = notification::smtp_options::encryption;
  notification::smtp_options o;
  o.host = config.smtp_host;
  o.port = config.smtp_port;
  o.tls = config.smtp_tls == "none"       ? encryption::none
          : config.smtp_tls == "implicit" ? encryption::implicit
                                          : encryption::starttls;
  o.user = config.smtp_user;
  o.password = files.smtp_password;
  o.greeting = sender_of(config).domain;
  return o;
}

result<void> check_mail(const node_config& config, const checked& files) {
  if (!notification::is_address(config.mail_from))
    return fail(errc::config_invalid, "mail_from is not an e-mail address");
  if (!config.smtp_host.empty())
    CANDOR_TRY_VOID(notification::make_smtp_mailer(smtp_of(config, files)));
  return {};
}

} // namespace candor::config
