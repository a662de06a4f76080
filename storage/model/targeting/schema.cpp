#include "storage/model/targeting/schema.hpp"

#include <algorithm>
#include <array>

#include "storage/base/ids.hpp"
#include "storage/model/topic.hpp"

namespace candor::model::targeting {

namespace {

constexpr std::size_t word_bytes_max = 64;

constexpr std::array<attribute_info, attribute_count> table{{
    {attribute::country, "country", type::word, true},
    {attribute::region, "region", type::word, true},
    {attribute::lang, "lang", type::word, true},
    {attribute::age_band, "age_band", type::word, true},
    {attribute::device, "device", type::word, false},
    {attribute::placement, "placement", type::word, false},
    {attribute::hour_of_week, "hour_of_week", type::number, false, 0, 167},
    {attribute::consent, "consent", type::flag, false},
    {attribute::coppa, "coppa", type::flag, false},
    {attribute::topics, "topics", type::list, true},
    {attribute::ctx, "ctx", type::list, false},
    {attribute::segments, "segments", type::list, true},
    {attribute::follows, "follows", type::list, true},
    {attribute::bcat, "bcat", type::list, false},
}};

using words = std::span<const std::string_view>;
constexpr std::array<std::string_view, 6> age_bands{"18-24", "25-34", "35-44",
                                                    "45-54", "55-64", "65+"};
constexpr std::array<std::string_view, 5> devices{"phone", "tablet", "desktop", "tv", "other"};
constexpr std::array<std::string_view, 5> placements{"feed", "search", "story", "banner", "other"};

result<std::string> one_of(words allowed, std::string_view word) {
  if (std::ranges::find(allowed, word) != allowed.end())
    return std::string{word};
  std::string all;
  for (auto w : allowed)
    all += (all.empty() ? "" : ", ") + std::string{w};
  return fail(errc::bad_value, "is one of " + all);
}

bool all_letters(std::string_view word, char from, char to) {
  return std::ranges::all_of(word, [=](char c) { return c >= from && c <= to; });
}

result<std::string> topic_slug(std::string_view word) {
  if (auto known = find_topic(word))
    return std::string{word};
  std::string named;
  auto count = 0;
  for (const auto& t : topics())
    if (!t.iab.empty() && t.iab == word) {
      named += (named.empty() ? "" : ", ") + std::string{t.slug};
      ++count;
    }
  if (count > 1)
    return fail(errc::bad_value, "names several topics here: " + named);
  return count == 1 ? result<std::string>{named} : fail(errc::unknown_topic, std::string{word});
}

} // namespace

std::span<const attribute_info> schema() noexcept {
  return table;
}

const attribute_info& info(attribute a) noexcept {
  return table[static_cast<std::size_t>(a)];
}

std::optional<attribute> find_attribute(std::string_view name) noexcept {
  auto it = std::ranges::find(table, name, &attribute_info::name);
  return it == table.end() ? std::nullopt : std::optional{it->id};
}

result<std::string> canonical(attribute a, std::string_view word) {
  if (word.empty() || word.size() > word_bytes_max || !plain_utf8(word))
    return fail(errc::bad_value, "a value has 1 to 64 bytes of plain text");
  if (auto sensitive = find_category(word); sensitive && *sensitive != category::unknown)
    return fail(errc::sensitive_targeting, std::string{word});
  switch (a) {
    case attribute::country:
      if (word.size() == 2 && all_letters(word, 'A', 'Z'))
        return std::string{word};
      return fail(errc::bad_value, "is an ISO 3166-1 alpha-2 code such as US");
    case attribute::lang:
      if ((word.size() == 2 || word.size() == 3) && all_letters(word, 'a', 'z'))
        return std::string{word};
      return fail(errc::bad_value, "is a primary language subtag such as en");
    case attribute::age_band:
      return one_of(age_bands, word);
    case attribute::device:
      return one_of(devices, word);
    case attribute::placement:
      return one_of(placements, word);
    case attribute::topics:
    case attribute::ctx:
    case attribute::bcat:
      return topic_slug(word);
    default:
      return std::string{word};
  }
}

} // namespace candor::model::targeting
