/// The closed list of what a campaign may be targeted by: attributes, their types and the values
/// that each takes. Used when an expression is parsed, and to describe a request.
/// Guarantees: a value that names a sensitive category is refused here, for every attribute.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "storage/base/error.hpp"

namespace candor::model::targeting {

enum class attribute : std::uint8_t {
  country,      ///< ISO 3166-1 alpha-2 of the person
  region,       ///< subdivision, ISO 3166-2, e.g. US-CA
  lang,         ///< primary language subtag (RFC 5646), lower case
  age_band,     ///< 18-24, 25-34, 35-44, 45-54, 55-64, 65+
  device,       ///< phone, tablet, desktop, tv, other
  placement,    ///< feed, search, story, banner, other
  hour_of_week, ///< 0 (Monday, 00:00 UTC) to 167
  consent,      ///< the request says that personal data may be used
  coppa,        ///< the request is for a child's service (OpenRTB regs.coppa)
  topics,       ///< interests of the person that may serve ads
  ctx,          ///< topics of the page
  segments,     ///< the platform's own names
  follows,      ///< pages that the request says are followed
  bcat,         ///< topics that the page blocks
};
inline constexpr std::size_t attribute_count = 14;

enum class type : std::uint8_t {
  number, ///< whole, within bounds
  word,   ///< one of a vocabulary
  flag,
  list, ///< of words
};

struct attribute_info {
  attribute id;
  std::string_view name;
  targeting::type type;
  bool personal;                    ///< comes from the person's record, not from the request
  std::int64_t least = 0, most = 0; ///< of a number
};

std::span<const attribute_info> schema() noexcept;
const attribute_info& info(attribute a) noexcept;
std::optional<attribute> find_attribute(std::string_view name) noexcept;

/// The canonical spelling of a value (a topic's IAB id becomes its slug). Error: `bad_value`,
/// `unknown_topic`, `sensitive_targeting`.
result<std::string> canonical(attribute a, std::string_view word);

} // namespace candor::model::targeting
