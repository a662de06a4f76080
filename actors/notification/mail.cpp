#include "actors/notification/mail.hpp"

#include <algorithm>
#include <array>

#include <date/date.h>
#include <fmt/format.h>
#include <sodium/utils.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::notification {

namespace {

constexpr std::size_t subject_bytes_max = 998;
constexpr std::size_t body_bytes_max = 256 * 1024;
constexpr std::size_t notice_id_bytes_max = 64;
constexpr std::size_t local_part_bytes_max = 64;
constexpr std::size_t host_bytes_max = 253;
constexpr std::size_t label_bytes_max = 63;
/// RFC 2045, 6.8: an encoded line has at most 76 characters, which is 57 bytes.
constexpr std::size_t encoded_line_bytes = 57;
/// RFC 2047, 2: a line with an encoded word has at most 76 characters; "Subject: =?UTF-8?B?" and
/// "?=" leave 55 for base64, which is 39 bytes.
constexpr std::size_t encoded_word_bytes = 39;
/// A header's text that fits on one line with the header's name.
constexpr std::size_t plain_bytes_max = 66;

bool letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// RFC 5322, 3.2.3: atext.
bool atom_char(char c) {
  return letter_or_digit(c) || std::string_view{"!#$%&'*+-/=?^_`{|}~"}.find(c) != std::string::npos;
}

/// Calls `holds` for every part between dots; all must hold.
bool all_parts(std::string_view text, auto holds) {
  for (;;) {
    auto dot = std::min(text.find('.'), text.size());
    if (!holds(text.substr(0, dot)))
      return false;
    if (dot == text.size())
      return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_host(std::string_view text) noexcept {
  return text.size() <= host_bytes_max && all_parts(text, [](std::string_view label) {
           return !label.empty() && label.size() <= label_bytes_max && label.front() != '-' &&
                  label.back() != '-' &&
                  std::ranges::all_of(label, [](char c) { return letter_or_digit(c) || c == '-'; });
         });
}

std::string base64(std::string_view bytes) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back(); // the terminating zero
  return text;
}

/// The most bytes of `text`, at most `most`, that end with a whole UTF-8 character.
std::size_t whole_characters(std::string_view text, std::size_t most) {
  if (text.size() <= most)
    return text.size();
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80)
    --most;
  return most;
}

/// A header's text: as it is where that is plain ASCII that needs no folding, else in encoded words
/// on lines of their own. `text` has no control characters.
std::string header_text(std::string_view text) {
  auto plain = [](char c) { return c >= ' ' && c < 0x7f; };
  if (text.size() <= plain_bytes_max && std::ranges::all_of(text, plain) &&
      text.find("=?") == text.npos && text.front() != ' ' && text.back() != ' ')
    return std::string{text};
  std::string words;
  while (!text.empty()) {
    auto length = whole_characters(text, encoded_word_bytes);
    words += fmt::format("{}=?UTF-8?B?{}?=", words.empty() ? "" : "\r\n ",
                         base64(text.substr(0, length)));
    text.remove_prefix(length);
  }
  return words;
}

/// RFC 5322, 3.4: a display name. Plain ASCII goes into a quoted string.
std::string display_name(std::string_view name) {
  auto words = header_text(name);
  if (words.starts_with("=?"))
    return words;
  std::string quoted{"\""};
  for (auto c : words) {
    if (c == '"' || c == '\\')
      quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

/// RFC 5322, 3.3, in UTC. Names of days and months are English by the standard, so that no locale
/// may write them.
std::string header_date(timestamp t) {
  static constexpr std::array<std::string_view, 7> names{"Sun", "Mon", "Tue", "Wed",
                                                         "Thu", "Fri", "Sat"};
  static constexpr std::array<std::string_view, 12> months{
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  auto day = date::floor<date::days>(t);
  date::year_month_day ymd{day};
  date::hh_mm_ss<millis> time{t - day};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} +0000",
                     names[date::weekday{day}.c_encoding()], static_cast<unsigned>(ymd.day()),
                     months[static_cast<unsigned>(ymd.month()) - 1], static_cast<int>(ymd.year()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

/// Text as a part has it: line ends are CRLF (RFC 2046, 4.1.1), also inside base64.
std::string canonical_lines(std::string_view text) {
  std::string lines;
  lines.reserve(text.size() + text.size() / 32);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n')
      continue;
    if (text[i] == '\n')
      lines += '\r';
    lines += text[i];
  }
  return lines;
}

void add_part(std::string& message, std::string_view boundary, std::string_view type,
              std::string_view text) {
  message += fmt::format("--{}\r\nContent-Type: {}; charset=utf-8\r\n"
                         "Content-Transfer-Encoding: base64\r\n\r\n",
                         boundary, type);
  auto lines = canonical_lines(text);
  for (std::string_view rest{lines}; !rest.empty();) {
    auto length = std::min(rest.size(), encoded_line_bytes);
    message += base64(rest.substr(0, length));
    message += "\r\n";
    rest.remove_prefix(length);
  }
}

result<void> check(const sender& from, const letter& what) {
  auto refuse = [](std::string_view field, std::string_view is) {
    return fail(errc::bad_value, fmt::format("{} {}", field, is));
  };
  auto word = [](std::string_view text, std::size_t most) {
    return !text.empty() && text.size() <= most &&
           std::ranges::all_of(text, [](char c) { return letter_or_digit(c) || c == '-'; });
  };
  auto line = [](std::string_view text, std::size_t most) {
    return !text.empty() && text.size() <= most && plain_utf8(text);
  };
  if (!is_address(from.address))
    return refuse("sender.address", "must be an e-mail address");
  if (!line(from.name, limits::app_bytes))
    return refuse("sender.name",
                  fmt::format("must be one line of at most {} bytes", limits::app_bytes));
  if (!is_host(from.domain))
    return refuse("sender.domain", "must be a host name");
  if (!word(what.notice_id, notice_id_bytes_max))
    return refuse("notice_id", "must be letters, digits and hyphens");
  if (!is_address(what.to))
    return refuse("to", "must be an e-mail address");
  if (!word(what.lang, limits::language_tag_bytes))
    return refuse("lang", "must be a language tag");
  if (!line(what.subject, subject_bytes_max))
    return refuse("subject",
                  fmt::format("must be one line of at most {} bytes", subject_bytes_max));
  for (auto* body : {&what.text, &what.html})
    if (body->empty() || body->size() > body_bytes_max || !valid_utf8(*body) ||
        body->find('\0') != body->npos)
      return refuse("text and html", fmt::format("must be 1 to {} bytes of UTF-8", body_bytes_max));
  if (to_int(what.date) < 0)
    return refuse("date", "must not be before 1970");
  return {};
}

} // namespace

bool is_address(std::string_view text) noexcept {
  auto at = text.find('@');
  if (at == text.npos || text.size() > limits::email_bytes || at > local_part_bytes_max)
    return false;
  return all_parts(text.substr(0, at),
                   [](std::string_view atom) {
                     return !atom.empty() && std::ranges::all_of(atom, atom_char);
                   }) &&
         is_host(text.substr(at + 1));
}

result<mail> compose(const sender& from, const letter& what) {
  CANDOR_TRY_VOID(check(from, what));
  // An underscore stands in no base64, so that no line of a part can be the boundary.
  auto boundary = fmt::format("=_{}", what.notice_id);
  auto message =
      fmt::format("Date: {}\r\n"
                  "From: {}\r\n <{}>\r\n"
                  "To: <{}>\r\n"
                  "Message-ID: <{}@{}>\r\n"
                  "Subject: {}\r\n"
                  "Content-Language: {}\r\n"
                  "Auto-Submitted: auto-generated\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/alternative;\r\n boundary=\"{}\"\r\n"
                  "\r\n",
                  header_date(what.date), display_name(from.name), from.address, what.to,
                  what.notice_id, from.domain, header_text(what.subject), what.lang, boundary);
  add_part(message, boundary, "text/plain", what.text);
  add_part(
      message, boundary, "text/html",
      fmt::format("<!DOCTYPE html>\n<html lang=\"{}\">\n<head><meta charset=\"utf-8\"></head>\n"
                  "<body>\n{}</body>\n</html>\n",
                  what.lang, what.html));
  message += fmt::format("--{}--\r\n", boundary);
  return mail{from.address, what.to, std::move(message)};
}

std::string_view to_string(outcome::kind k) noexcept {
  switch (k) {
    case outcome::kind::accepted:
      return "accepted";
    case outcome::kind::deferred:
      return "deferred";
    case outcome::kind::refused:
      return "refused";
  }
  return "";
}

} // namespace candor::notification
