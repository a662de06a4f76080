/// OpenRTB names countries by three letters (ISO 3166-1 alpha-3), everything here by two.
#pragma once

#include <string_view>

namespace candor::parse {

/// Empty where there is no such country. Upper case only.
std::string_view country_of(std::string_view three_letters) noexcept;

} // namespace candor::parse
