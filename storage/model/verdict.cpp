#include "storage/model/verdict.hpp"

namespace candor::model {

std::string_view to_string(status s) noexcept {
  static constexpr std::string_view names[] = {"accepted", "duplicate", "withheld",
                                               "invalid",  "unknown",   "overloaded"};
  return names[static_cast<int>(s)];
}

std::string_view to_string(reason r) noexcept {
  static constexpr std::string_view names[] = {
      "duplicate", "policy_not_effective", "region_unknown", "region_excluded",
      "minor",     "not_notified",         "opted_out",      "erased",
      "sensitive"};
  return names[static_cast<int>(r)];
}

} // namespace candor::model
