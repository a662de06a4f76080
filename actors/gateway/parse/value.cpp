#include "actors/gateway/parse/value.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "storage/base/ids.hpp"

namespace candor::parse {

namespace {

constexpr std::size_t quoted_bytes_max = 40;

} // namespace

std::string_view kind_of(const value& v) noexcept {
  static constexpr std::string_view names[] = {"null",     "a boolean", "a number",  "a number",
                                               "a string", "a list",    "an object", "binary data"};
  return names[static_cast<std::size_t>(v.is)];
}

std::string quoted(std::string_view word) {
  if (!plain_utf8(word))
    return "(not plain text)";
  if (word.size() <= quoted_bytes_max)
    return fmt::format("\"{}\"", word);
  auto end = quoted_bytes_max;
  while ((word[end] & 0xc0) == 0x80)
    --end;
  return fmt::format("\"{}…\"", word.substr(0, end));
}

result<void> check_names(const value& record) {
  for (auto it = record.names.begin(); it != record.names.end(); ++it)
    if (std::find(record.names.begin(), it, *it) != it)
      return fail(errc::bad_value, fmt::format("{} stands twice", quoted(*it)));
  return {};
}

const value* value::find(std::string_view name) const noexcept {
  auto it = std::ranges::find(names, name);
  return it == names.end() ? nullptr : &items[static_cast<std::size_t>(it - names.begin())];
}

} // namespace candor::parse
