#include "actors/gateway/target.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "storage/base/ascii.hpp"

namespace candor::gateway {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

result<std::string> decode(std::string_view text) {
  std::string made;
  made.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      made += text[i];
      continue;
    }
    auto hi = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    auto lo = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (hi < 0 || lo < 0)
      return fail(errc::malformed, "the path or query has a wrong %-escape");
    made += static_cast<char>(hi << 4 | lo);
    i += 2;
  }
  return made;
}

/// Cuts off and returns what stands before the first `separator`.
std::string_view cut(std::string_view& rest, char separator) {
  auto end = rest.find(separator);
  auto part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

} // namespace

result<target> parse_target(std::string_view text) {
  if (!text.starts_with('/'))
    return fail(errc::malformed, "the request's target is not a path");
  auto path = cut(text, '?');
  auto query = text.substr(0, text.find('#'));
  target made;
  path.remove_prefix(1);
  while (!path.empty()) {
    CANDOR_TRY(segment, decode(cut(path, '/')));
    made.segments.push_back(std::move(segment));
  }
  while (!query.empty()) {
    auto pair = cut(query, '&');
    CANDOR_TRY(name, decode(cut(pair, '=')));
    CANDOR_TRY(value, decode(pair));
    if (!made.query.emplace(std::move(name), std::move(value)).second)
      return fail(errc::malformed, "the query names a key twice");
  }
  return made;
}

result<std::uint64_t> parse_number(std::string_view name, std::string_view text,
                                   std::uint64_t most) {
  std::uint64_t number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || end != text.data() + text.size() || number > most)
    return fail(errc::bad_value, fmt::format("`{}` is a whole number of at most {}", name, most));
  return number;
}

std::string media_type(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  auto last = type.find_last_not_of(" \t");
  return ascii_lower(type.substr(0, last == type.npos ? 0 : last + 1));
}

bool names_loopback(std::string_view text) {
  if (auto scheme = text.find("://"); scheme != text.npos)
    text.remove_prefix(scheme + 3);
  auto host =
      text.starts_with('[') ? text.substr(0, text.find(']') + 1) : text.substr(0, text.find(':'));
  auto dotted =
      std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  return host == "localhost" || host == "[::1]" || (dotted && host.starts_with("127."));
}

} // namespace candor::gateway
