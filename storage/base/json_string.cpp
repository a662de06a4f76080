#include "storage/base/json_string.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace candor {

namespace {

constexpr std::size_t escape_adds_most = 5; ///< \u001f in place of one byte

bool is_escaped(char c) noexcept {
  return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
}

} // namespace

void append_json_string(std::string& to, std::string_view text) {
  to += '"';
  for (auto c : text)
    if (!is_escaped(c)) {
      to += c;
    } else if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<unsigned>(c));
    }
  to += '"';
}

std::size_t json_string_bytes_most(std::string_view text) noexcept {
  auto escaped = static_cast<std::size_t>(std::ranges::count_if(text, is_escaped));
  return text.size() + escape_adds_most * escaped + 2;
}

} // namespace candor
