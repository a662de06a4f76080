/// Letters of protocols (header names, hosts, language tags), where A to Z have a lower case and
/// nothing else has. Must never be used on what people write: that is the normalizer's.
#pragma once

#include <string>
#include <string_view>

namespace candor {

constexpr char ascii_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string ascii_lower(std::string_view text);

/// Whether they differ in case at most.
bool same_letters(std::string_view a, std::string_view b) noexcept;

} // namespace candor
