#include "storage/model/topic.hpp"

#include <algorithm>
#include <array>

#include "storage/base/error.hpp"

namespace candor::model {

namespace {

constexpr topic_info table[] = {
#define T(number, slug, title, parent, iab) {number, #slug, title, parent, iab},
#include "storage/model/topic.def"
#undef T
};

constexpr std::array<std::string_view, category_count + 1> category_slugs = {"politics",
                                                                             "health",
                                                                             "religion",
                                                                             "sexual_orientation",
                                                                             "sex_life",
                                                                             "race_ethnicity",
                                                                             "union",
                                                                             "genetic_biometric",
                                                                             "criminal",
                                                                             "financial_hardship",
                                                                             "personal_hardship",
                                                                             "minors",
                                                                             "unknown"};

} // namespace

std::span<const topic_info> topics() noexcept {
  return table;
}

std::optional<topic_id> find_topic(std::string_view slug) noexcept {
  auto it = std::ranges::find(table, slug, &topic_info::slug);
  return it == std::end(table) ? std::nullopt : std::optional{it->id};
}

bool is_topic(topic_id id) noexcept {
  return std::ranges::find(table, id, &topic_info::id) != std::end(table);
}

const topic_info& info(topic_id id) noexcept {
  auto it = std::ranges::find(table, id, &topic_info::id);
  CANDOR_ASSERT(it != std::end(table));
  return *it;
}

std::string_view to_string(category c) noexcept {
  return category_slugs[static_cast<std::size_t>(c)];
}

std::optional<category> find_category(std::string_view slug) noexcept {
  auto it = std::ranges::find(category_slugs, slug);
  if (it == category_slugs.end())
    return std::nullopt;
  return static_cast<category>(it - category_slugs.begin());
}

} // namespace candor::model
