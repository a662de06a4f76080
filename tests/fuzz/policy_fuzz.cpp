/// Any bytes as a policy file and as a regions file: each is read or refused with a place, and
/// nothing throws.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "storage/base/ids.hpp"
#include "storage/model/policy/policy.hpp"

namespace {

using namespace candor;

const model::region_table& known_regions() {
  static const auto table = model::region_table::parse(R"(
[codes]
DE = "Germany"
GB = "United Kingdom"
KR = "South Korea"
US = "United States"
[[group]]
name = "EU"
title = "European Union"
source = "a test"
members = [ { region = "DE", from = 1958-01-01 } ]
)",
                                                       "regions.toml");
  CANDOR_ASSERT(table.has_value());
  return *table;
}

void check_refusal(const error& refusal, errc code, std::string_view file) {
  CANDOR_ASSERT(refusal.code == code);
  CANDOR_ASSERT(refusal.detail.starts_with(file));
  CANDOR_ASSERT(valid_utf8(refusal.detail));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text{reinterpret_cast<const char*>(data), size};

  if (auto p = model::parse_policy(text, "p.toml", known_regions())) {
    CANDOR_ASSERT(p->text == text);
    CANDOR_ASSERT(p->announce_at <= p->effective_at);
    CANDOR_ASSERT(p->half_life > millis{0} && p->retention >= p->half_life);
    CANDOR_ASSERT(!p->require_notice || p->notices_complete_by.has_value());
    for (const auto& name : p->excluded_regions)
      CANDOR_ASSERT(known_regions().is_group(name) || known_regions().find(name));
  } else {
    check_refusal(p.error(), errc::policy_invalid, "p.toml:");
  }

  if (auto table = model::region_table::parse(text, "r.toml")) {
    for (auto code : table->codes())
      CANDOR_ASSERT(table->find(code.view()).has_value());
  } else {
    check_refusal(table.error(), errc::config_invalid, "r.toml:");
  }
  return 0;
}
