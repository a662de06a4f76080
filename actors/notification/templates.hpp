/// The texts of a policy's notice in every language, and how they are filled in.
/// Where it stands: the notification room loads a folder at its start and renders from it for each
/// person; the app shows title and text, the mail carries subject, text and html.
/// Guarantees: a set that loaded is complete: every language, every field, every placeholder, so
/// that rendering never finds anything missing; values are escaped in HTML.
/// Must never name a placeholder that tells more of a person than their language and day.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::notification {

/// The languages that every notice is written in.
inline constexpr std::array<std::string_view, 8> languages{"en", "es", "pt", "fr",
                                                           "de", "ja", "ko", "hi"};

/// What stands in for the placeholders.
struct notice_values {
  std::string app;        ///< {app}: 1 to limits::app_bytes bytes without control characters
  std::string link;       ///< {link}: begins with https:// or http://, printable ASCII
  timestamp effective_at; ///< {effective_date}: the day of this instant
  std::string zone;       ///< IANA name: in whose calendar; empty or unknown: UTC
};

/// A notice in one language, with its placeholders or filled in.
struct notice_text {
  std::string lang;    ///< the language it is in: one of `languages`
  std::string subject; ///< one line
  std::string title;   ///< one line
  std::string text;
  std::string html; ///< a fragment
  friend bool operator==(const notice_text&, const notice_text&) = default;
};

class template_set {
public:
  /// Reads `<folder>/<lang>.toml` for each of `languages`; configs/notices/README.md explains the
  /// fields. Error: `config_invalid`; the detail begins with "file:line:column: ", or with the
  /// file's name where it cannot be read.
  static result<template_set> load(const std::filesystem::path& folder);

  /// The language to speak to somebody whose record says `tag` (BCP 47): the tag shortened from its
  /// end until it is one of `languages` (RFC 4647, 3.4: "pt-BR" gives "pt"), else "en".
  static std::string_view best_language(std::string_view tag);

  /// The notice in the best language for `lang`. Error: `bad_value` where a value is not as
  /// `notice_values` says.
  result<notice_text> render(std::string_view lang, const notice_values& values) const;

private:
  std::map<std::string, notice_text, std::less<>> texts_; ///< all of `languages`
};

/// The day of `t` in `zone` as `lang` (one of `languages`) writes it, by CLDR's long form:
/// "December 16, 2025", "16. Dezember 2025", "2025年12月16日". Error: `internal` where ICU has no
/// data.
result<std::string> written_date(timestamp t, std::string_view zone, std::string_view lang);

/// With & < > " ' as character references.
std::string escape_html(std::string_view text);

} // namespace candor::notification
