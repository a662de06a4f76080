/// What the gateway's tests share: a few regions, and events as text.
#pragma once

#include <string>
#include <string_view>

#include "storage/model/region.hpp"

namespace candor::gateway_tests {

inline const model::region_table& regions() {
  static const auto table = model::region_table::parse(R"(
[codes]
DE = "Germany"
GB = "United Kingdom"
US = "United States"
)",
                                                       "regions.toml");
  CANDOR_ASSERT(table.has_value());
  return *table;
}

inline const std::string chat =
    R"({"id":"e-1","user":"u-42","at":"2025-12-17T09:30:00Z","kind":"ai_interaction",)"
    R"("modality":"text","lang":"en","text":"which hiking boots are good in winter?"})";

inline const std::string voice =
    R"({"id":"e-2","user":"u-42","at":"2025-12-17T09:30:00Z","kind":"ai_interaction",)"
    R"("modality":"voice","transcript":"play some jazz","confidence":0.75,"region":"US"})";

inline const std::string like =
    R"({"id":"e-3","user":"u-42","at":"2025-12-17T09:31:00Z","kind":"engagement","action":"like",)"
    R"("object":{"id":"page-7","topics":["outdoors","fitness"],"text":"Winter trails"}})";

/// `text` with its first `from` replaced.
inline std::string with(std::string text, std::string_view from, std::string_view to) {
  auto at = text.find(from);
  CANDOR_ASSERT(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace candor::gateway_tests
