/// What became of an event: the status line that every caller gets, in the order that semantics
/// fix.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace candor::model {

enum class status : std::uint8_t {
  accepted,   ///< committed: what it teaches is in the profile, once
  duplicate,  ///< an event with this id is committed already
  withheld,   ///< final: nothing was learned, and `reason` says why
  invalid,    ///< the event itself is wrong, and `reason` (and `detail`) say how
  unknown,    ///< outcome unknown: send it again with the same id
  overloaded, ///< not tried
};

/// Why an event was withheld, in the order in which the reasons are asked.
enum class reason : std::uint8_t {
  duplicate,
  policy_not_effective,
  region_unknown,
  region_excluded,
  minor,
  not_notified,
  opted_out,
  erased,
  sensitive,
};

std::string_view to_string(status s) noexcept;
std::string_view to_string(reason r) noexcept;

struct verdict {
  model::status status = model::status::unknown;
  std::string reason; ///< slug of a `reason` or an error; of overloaded: `disk_full`, or empty
  std::string detail; ///< for a person; never a word of the event's text

  static verdict accepted() { return {model::status::accepted, {}, {}}; }
  static verdict duplicate() { return {model::status::duplicate, {}, {}}; }
  static verdict withheld(model::reason r) {
    return {model::status::withheld, std::string{to_string(r)}, {}};
  }
  static verdict invalid(std::string_view why, std::string detail = {}) {
    return {model::status::invalid, std::string{why}, std::move(detail)};
  }
  static verdict overloaded() { return {model::status::overloaded, {}, {}}; }
  static verdict unknown() { return {model::status::unknown, {}, {}}; }
  friend bool operator==(const verdict&, const verdict&) = default;
};

} // namespace candor::model
