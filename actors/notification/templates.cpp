#include "actors/notification/templates.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <unicode/udat.h>
#include <unicode/ustring.h>

#include "actors/notification/schedule.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/toml_reader.hpp"

namespace candor::notification {

namespace {

using model::toml_file;
using model::toml_section;

constexpr std::size_t file_bytes_max = 64 * 1024;
constexpr std::size_t line_bytes_max = 400; ///< of a subject or a title, before it is filled in
constexpr std::size_t link_bytes_max = 1024;

constexpr std::array<std::string_view, 3> placeholders{"{app}", "{effective_date}", "{link}"};

/// What a field may hold.
struct field {
  std::string_view name;
  std::string notice_text::*member;
  bool whole; ///< may run over lines and must have every placeholder; else one line without {link}
};

constexpr std::array<field, 4> fields{{{"subject", &notice_text::subject, false},
                                       {"title", &notice_text::title, false},
                                       {"text", &notice_text::text, true},
                                       {"html", &notice_text::html, true}}};

/// Where byte `offset` of `text` stands in the file, whose value it is that begins at `value`; that
/// beginning where the file writes the text otherwise (with an escape).
toml::source_position place_in(std::string_view file, toml::source_position value,
                               std::string_view text, std::size_t offset) {
  std::size_t start = 0;
  for (toml::source_index line = 1; line < value.line; ++line) {
    auto end = file.find('\n', start);
    if (end == file.npos)
      return value;
    start = end + 1;
  }
  auto found = file.find(text, start);
  if (found == file.npos)
    return value;
  auto before = file.substr(start, found + offset - start);
  auto lines = std::ranges::count(before, '\n');
  auto line_start = before.rfind('\n') + 1; // npos + 1 is 0
  return {static_cast<toml::source_index>(value.line + lines),
          static_cast<toml::source_index>(before.size() - line_start + 1)};
}

result<std::string> read_field(const toml_section& top, const field& f, std::string_view source) {
  CANDOR_TRY(given, top.text(f.name));
  const auto& text = given.text;
  if (std::ranges::all_of(text, [](char c) { return c == ' ' || c == '\n'; }))
    return top.refuse(f.name, "must not be empty");
  if (!f.whole && (text.size() > line_bytes_max || !plain_utf8(text)))
    return top.refuse(f.name, fmt::format("must be one line of at most {} bytes", line_bytes_max));
  for (auto i = text.find_first_of("{}"); i != text.npos; i = text.find_first_of("{}", i)) {
    auto here = std::string_view{text}.substr(i);
    auto known = std::ranges::find_if(
        placeholders, [&](std::string_view name) { return here.starts_with(name); });
    auto where = [&] { return place_in(source, given.where, text, i); };
    if (known == placeholders.end())
      return top.file().refuse(where(), fmt::format("{} may have in braces only: {}", f.name,
                                                    fmt::join(placeholders, ", ")));
    if (!f.whole && *known == "{link}")
      return top.file().refuse(where(), fmt::format("{} must not have {{link}}", f.name));
    i += known->size();
  }
  if (f.whole)
    for (auto name : placeholders)
      if (text.find(name) == text.npos)
        return top.refuse(f.name, fmt::format("must have {}", name));
  return text;
}

result<notice_text> read_language(const std::filesystem::path& path, std::string_view lang) {
  auto name = path.string();
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return fail(errc::config_invalid, fmt::format("{}: cannot be read", name));
  std::string source(file_bytes_max + 1, '\0');
  in.read(source.data(), static_cast<std::streamsize>(source.size()));
  if (in.bad() || in.gcount() == 0)
    return fail(errc::config_invalid, fmt::format("{}: cannot be read, or is empty", name));
  source.resize(static_cast<std::size_t>(in.gcount()));

  toml_file file{name, errc::config_invalid, file_bytes_max};
  CANDOR_TRY(table, file.parse(source));
  CANDOR_TRY(top, toml_section::open(file, table, "", {"subject", "title", "text", "html"}));
  notice_text made;
  made.lang = lang;
  for (const auto& f : fields) {
    CANDOR_TRY(text, read_field(top, f, source));
    made.*f.member = std::move(text);
  }
  return made;
}

bool link_holds(std::string_view link) {
  if (link.size() > link_bytes_max)
    return false;
  auto host = link.starts_with("https://")  ? link.substr(8)
              : link.starts_with("http://") ? link.substr(7)
                                            : std::string_view{};
  return !host.empty() && std::ranges::all_of(link, [](char c) { return c > ' ' && c < 0x7f; });
}

/// One pass, so that braces in a value are only braces.
std::string fill(std::string_view form,
                 const std::array<std::string, placeholders.size()>& values) {
  std::string filled;
  filled.reserve(form.size() + 256);
  while (!form.empty()) {
    auto brace = std::min(form.find('{'), form.size());
    filled += form.substr(0, brace);
    form.remove_prefix(brace);
    if (form.empty())
      break;
    auto name = std::ranges::find_if(
        placeholders, [&](std::string_view known) { return form.starts_with(known); });
    CANDOR_ASSERT(name != placeholders.end()); // as it was loaded
    filled += values[static_cast<std::size_t>(name - placeholders.begin())];
    form.remove_prefix(name->size());
  }
  return filled;
}

} // namespace

result<template_set> template_set::load(const std::filesystem::path& folder) {
  template_set made;
  for (auto lang : languages) {
    CANDOR_TRY(text, read_language(folder / fmt::format("{}.toml", lang), lang));
    made.texts_.emplace(lang, std::move(text));
  }
  return made;
}

std::string_view template_set::best_language(std::string_view tag) {
  std::string lower{tag.substr(0, limits::language_tag_bytes)};
  for (auto& c : lower)
    c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  // All of `languages` are single subtags, so that shortening from the end ends at the first.
  auto found = std::ranges::find(languages, std::string_view{lower}.substr(0, lower.find('-')));
  return found == languages.end() ? languages.front() : *found;
}

result<notice_text> template_set::render(std::string_view lang, const notice_values& values) const {
  if (values.app.empty() || values.app.size() > limits::app_bytes || !plain_utf8(values.app))
    return fail(errc::bad_value, fmt::format("app must be 1 to {} bytes of UTF-8 without control "
                                             "characters",
                                             limits::app_bytes));
  if (!link_holds(values.link))
    return fail(errc::bad_value, "link must be an http(s) address in printable ASCII");
  auto found = texts_.find(best_language(lang));
  CANDOR_ASSERT(found != texts_.end());
  const auto& form = found->second;
  CANDOR_TRY(date, written_date(values.effective_at, values.zone, form.lang));

  std::array<std::string, placeholders.size()> plain{values.app, date, values.link};
  std::array<std::string, placeholders.size()> escaped;
  std::ranges::transform(plain, escaped.begin(), escape_html);
  notice_text made;
  made.lang = form.lang;
  made.subject = fill(form.subject, plain);
  made.title = fill(form.title, plain);
  made.text = fill(form.text, plain);
  made.html = fill(form.html, escaped);
  return made;
}

result<std::string> written_date(timestamp t, std::string_view zone, std::string_view lang) {
  // The day is found with the same time zones as quiet hours; ICU, whose own may be older or newer,
  // only writes it down.
  auto status = U_ZERO_ERROR;
  std::string locale{lang};
  auto* format = udat_open(UDAT_NONE, UDAT_LONG, locale.c_str(), u"UTC", 3, nullptr, 0, &status);
  if (U_FAILURE(status))
    return fail(errc::internal, fmt::format("no date format: {}", u_errorName(status)));
  UChar wide[128];
  auto day = static_cast<UDate>(to_int(local_day(t, zone)));
  auto length = udat_format(format, day, wide, std::size(wide), nullptr, &status);
  udat_close(format);
  char text[512];
  int32_t bytes = 0;
  if (U_SUCCESS(status))
    u_strToUTF8(text, std::size(text), &bytes, wide, length, &status);
  if (U_FAILURE(status))
    return fail(errc::internal, fmt::format("no date: {}", u_errorName(status)));
  return std::string(text, static_cast<std::size_t>(bytes));
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (auto c : text)
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  return escaped;
}

} // namespace candor::notification
