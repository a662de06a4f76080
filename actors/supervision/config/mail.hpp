/// What the notification room is told of mail, made of a configuration. Between the configuration
/// and the rooms that a node starts. Guarantees: where `check_mail` finds nothing, a mailer can be
/// made of the options. Must never speak to the mail server.
#pragma once

#include "actors/notification/mail.hpp"
#include "actors/supervision/config/config.hpp"

namespace candor::config {

/// Whom a node's mails are from.
notification::sender sender_of(const node_config& config);

/// Of a configuration that names a server.
notification::smtp_options smtp_of(const node_config& config, const checked& files);

/// Error: `config_invalid`.
result<void> check_mail(const node_config& config, const checked& files);

} // namespace candor::config
