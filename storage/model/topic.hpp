/// The two vocabularies of the topic filter: interest topics (a closed allow-list) and sensitive
/// categories. A topic is stored by its number; a category is never stored with a person.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace candor::model {

/// A number from topic.def. 0 is no topic.
using topic_id = std::uint16_t;

struct topic_info {
  topic_id id;
  std::string_view slug;   ///< e.g. "food_drink"
  std::string_view title;  ///< English
  std::string_view parent; ///< slug of the tier above, or empty
  std::string_view iab;    ///< id in the IAB Content Taxonomy 3.1
};

std::span<const topic_info> topics() noexcept;
std::optional<topic_id> find_topic(std::string_view slug) noexcept;

/// `id` must be in the table.
const topic_info& info(topic_id id) noexcept;
bool is_topic(topic_id id) noexcept;

/// The twelve categories that always hold, and `unknown` for what could not be judged.
enum class category : std::uint8_t {
  politics,
  health,
  religion,
  sexual_orientation,
  sex_life,
  race_ethnicity,
  union_membership, ///< written "union"
  genetic_biometric,
  criminal,
  financial_hardship,
  personal_hardship,
  minors,
  unknown,
};

inline constexpr std::size_t category_count = 12; ///< without `unknown`

std::string_view to_string(category c) noexcept;
std::optional<category> find_category(std::string_view slug) noexcept;

} // namespace candor::model
