#include "actors/gateway/parse/form.hpp"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>

#include "storage/base/ascii.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  auto begin = text.find_first_not_of(blanks);
  return begin == text.npos ? std::string_view{}
                            : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// The characters of a token (RFC 2045, section 5.1) and the slash of a media type.
bool is_media_type(std::string_view text) {
  constexpr std::string_view others = "!#$&^_.+-/";
  return text.size() <= limits::media_type_bytes && std::ranges::all_of(text, [&](unsigned char c) {
           return std::isalnum(c) || others.find(static_cast<char>(c)) != others.npos;
         });
}

/// Cuts `value` or `"value"` from the front of `rest`. Browsers write a quote within as %22 (WHATWG
/// HTML, 4.10.21.8), others with a backslash.
std::optional<std::string> cut_value(std::string_view& rest) {
  std::string made;
  if (!rest.starts_with('"')) {
    auto end = std::min(rest.find(';'), rest.size());
    made = trimmed(rest.substr(0, end));
    rest.remove_prefix(end);
    return made;
  }
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return made;
    }
    if (rest[i] == '\\' && i + 1 < rest.size())
      ++i;
    made += rest[i];
  }
  return std::nullopt; // it is not closed
}

/// `first; name=value; …`: the value of `name`. Error: `malformed`; no value: an empty text.
result<std::string> parameter(std::string_view header, std::string_view name) {
  auto malformed = fail(errc::malformed, "a header's parameters cannot be read");
  std::string found;
  auto rest = header.substr(std::min(header.find(';'), header.size()));
  while (!rest.empty()) {
    if (rest.front() != ';')
      return malformed;
    rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (rest.empty())
      break;
    auto equals = rest.find('=');
    if (equals == rest.npos)
      return malformed;
    auto is = ascii_lower(trimmed(rest.substr(0, equals)));
    rest.remove_prefix(equals + 1);
    auto value = cut_value(rest);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!value || (is == name && !found.empty()))
      return malformed;
    if (is == name)
      found = std::move(*value);
  }
  return found;
}

/// One `Name: value` of a part's head.
result<void> read_line(std::string_view line, form_part& into) {
  auto colon = line.find(':');
  if (colon == line.npos)
    return fail(errc::malformed, "a part's head has a line that is none");
  auto name = ascii_lower(trimmed(line.substr(0, colon)));
  auto value = trimmed(line.substr(colon + 1));
  if (name == "content-disposition") {
    if (ascii_lower(trimmed(value.substr(0, value.find(';')))) != "form-data")
      return fail(errc::malformed, "a part is no form-data");
    CANDOR_TRY(given, parameter(value, "name"));
    if (!into.name.empty() || given.empty())
      return fail(errc::malformed, "a part has one name");
    into.name = std::move(given);
  } else if (name == "content-type") {
    into.media_type = ascii_lower(trimmed(value.substr(0, value.find(';'))));
    if (!is_media_type(into.media_type))
      return fail(errc::malformed, "a part's Content-Type is no media type");
  } else if (name == "content-transfer-encoding") {
    auto how = ascii_lower(value);
    if (how != "binary" && how != "8bit" && how != "7bit")
      return fail(errc::bad_value, "a part has a Content-Transfer-Encoding: send it as it is");
  }
  return {};
}

result<void> read_head(std::string_view head, form_part& into) {
  while (!head.empty()) {
    auto end = head.find("\r\n");
    CANDOR_TRY_VOID(read_line(head.substr(0, end), into));
    head.remove_prefix(end == head.npos ? head.size() : end + 2);
  }
  if (into.name.empty())
    return fail(errc::malformed, "a part has no name");
  return {};
}

} // namespace

result<std::vector<form_part>> read_form(std::string_view body, std::string_view content_type,
                                         std::size_t parts_max) {
  CANDOR_TRY(boundary, parameter(content_type, "boundary"));
  if (boundary.empty() || boundary.size() > limits::form_boundary_bytes)
    return fail(errc::malformed,
                fmt::format("the Content-Type names no boundary of 1 to {} characters",
                            limits::form_boundary_bytes));
  auto delimiter = "\r\n--" + boundary;
  auto broken = fail(errc::malformed, "the body does not end with the boundary's last line");
  auto rest = body;
  if (!rest.starts_with(std::string_view{delimiter}.substr(2)))
    return fail(errc::malformed, "the body does not begin with the boundary");
  rest.remove_prefix(delimiter.size() - 2);
  std::vector<form_part> parts;
  while (!rest.starts_with("--")) {
    if (!rest.starts_with("\r\n"))
      return broken;
    if (parts.size() == parts_max)
      return fail(errc::too_many, fmt::format("a form has at most {} parts here", parts_max));
    rest.remove_prefix(2);
    auto head = rest.substr(0, limits::form_part_head_bytes + 4).find("\r\n\r\n");
    if (head == rest.npos && rest.size() <= limits::form_part_head_bytes)
      return broken;
    if (head == rest.npos)
      return fail(errc::too_large,
                  fmt::format("a part's head has at most {} bytes", limits::form_part_head_bytes));
    auto& part = parts.emplace_back();
    CANDOR_TRY_VOID(read_head(rest.substr(0, head), part));
    rest.remove_prefix(head + 4);
    auto end = rest.find(delimiter);
    if (end == rest.npos)
      return broken;
    part.content = rest.substr(0, end);
    rest.remove_prefix(end + delimiter.size());
  }
  rest.remove_prefix(2);
  if (!rest.empty() && rest != "\r\n")
    return fail(errc::malformed, "something stands behind the form's end");
  return parts;
}

} // namespace candor::parse
