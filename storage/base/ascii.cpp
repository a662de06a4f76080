#include "storage/base/ascii.hpp"

#include <algorithm>

namespace candor {

std::string ascii_lower(std::string_view text) {
  std::string made{text};
  for (auto& c : made)
    c = ascii_lower(c);
  return made;
}

bool same_letters(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

} // namespace candor
