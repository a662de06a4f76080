/// E-mail: a notice as a MIME message, and the SMTP server that takes it.
/// Where it stands: the notification room records the intent, composes, sends, records the outcome.
/// Guarantees: the same letter always gives the same bytes with the same Message-ID, so that a
/// repeat after a crash can be told by the mailbox; what could add a header, a recipient or an SMTP
/// command is refused before anything is composed; sending ends within its deadline.
/// Must never log or report an address, nor what the server said (servers quote addresses).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::notification {

/// Whom mails are from; the same for all.
struct sender {
  std::string address; ///< an address; answers and bounces go there
  std::string name;    ///< the app's: 1 to limits::app_bytes bytes of UTF-8
  std::string domain;  ///< the right side of every Message-ID
};

/// What one person is told.
struct letter {
  std::string notice_id; ///< "n-…": 1 to 64 of letters, digits and hyphens
  std::string to;        ///< an address
  std::string lang;      ///< one of `languages`
  std::string subject;   ///< one line, 1 to 998 bytes of UTF-8
  std::string text;
  std::string html; ///< a fragment
  timestamp date;   ///< when the notice was created, not when it is sent: a repeat is the same
};

/// An envelope and its message.
struct mail {
  std::string from;    ///< RFC 5321 reverse-path
  std::string to;      ///< RFC 5321 forward-path
  std::string message; ///< RFC 5322, CRLF line ends
};

/// True for a dot-atom, "@" and a host name (RFC 5321, 4.1.2, without quoted strings, address
/// literals and SMTPUTF8), of at most limits::email_bytes bytes.
bool is_address(std::string_view text) noexcept;

/// multipart/alternative of text/plain and text/html, UTF-8 in base64 (RFC 2045, 2046), headers by
/// RFC 5322 and 2047, Auto-Submitted by RFC 3834. There is no List-Unsubscribe: a notice is owed to
/// the person, and nothing can be unsubscribed from. Error: `bad_value`, naming the field and not
/// its value.
result<mail> compose(const sender& from, const letter& what);

/// How a sending ended.
struct outcome {
  enum class kind : std::uint8_t {
    accepted, ///< the server answered the message with 2xx: it has it
    deferred, ///< a 4xx, no connection, a time-out, or a server that refuses us rather than this
              ///< mail: try again
    refused,  ///< a 5xx to this recipient or this message: trying again is of no use
  };
  outcome::kind what = kind::deferred;
  int code = 0;    ///< the server's last reply, 0 where there was none
  std::string why; ///< for an operator; names no address
  friend bool operator==(const outcome&, const outcome&) = default;
};

std::string_view to_string(outcome::kind k) noexcept;

/// The door through which mail leaves. Not thread-safe.
class mailer {
public:
  virtual ~mailer() = default;

  /// Blocks until the server has answered, or the deadline has passed.
  virtual outcome send(const mail& what) = 0;
};

struct smtp_options {
  enum class encryption : std::uint8_t {
    none,     ///< only without a password, unless the server is on loopback
    starttls, ///< required, with the server's certificate verified
    implicit, ///< from the first byte (port 465), verified
  };
  std::string host; ///< a host name or an IPv4 address
  std::uint16_t port = 25;
  smtp_options::encryption tls = encryption::starttls;
  std::string user, password; ///< both or none
  std::string ca_file;        ///< PEM; empty: the system's
  std::string greeting;       ///< the host name told with EHLO: the sender's domain
  millis connect_deadline{5'000};
  millis deadline{30'000}; ///< of one mail, connection and all
};

/// Sends by libcurl, several mails over one connection where the server lets it.
/// Error: `config_invalid`.
result<std::unique_ptr<mailer>> make_smtp_mailer(smtp_options options);

} // namespace candor::notification
