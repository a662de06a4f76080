#include "actors/admin/arguments.hpp"

#include <fmt/format.h>

namespace candor::admin {

result<arguments> arguments::parse(const std::string& json) {
  auto object = nlohmann::json::parse(json.empty() ? "{}" : json, nullptr, false);
  if (!object.is_object())
    return fail(errc::malformed, "the arguments are not a JSON object");
  return arguments{std::move(object)};
}

std::optional<std::string> arguments::text_or_none(const std::string& field) {
  asked_.insert(field);
  auto it = object_.find(field);
  if (it == object_.end() || !it->is_string())
    return std::nullopt;
  return it->get<std::string>();
}

result<std::string> arguments::text(const std::string& field) {
  if (auto value = text_or_none(field))
    return std::move(*value);
  if (has(field))
    return fail(errc::bad_value, field + " is not a string");
  return fail(errc::missing_field, field);
}

result<std::uint64_t> arguments::number(const std::string& field, std::uint64_t max) {
  asked_.insert(field);
  auto it = object_.find(field);
  if (it == object_.end())
    return fail(errc::missing_field, field);
  if (!it->is_number_unsigned() || it->get<std::uint64_t>() > max)
    return fail(errc::bad_value, fmt::format("{} is not a whole number of at most {}", field, max));
  return it->get<std::uint64_t>();
}

result<std::uint64_t> arguments::number_or(const std::string& field, std::uint64_t max,
                                           std::uint64_t otherwise) {
  if (!has(field))
    return otherwise;
  return number(field, max);
}

result<bool> arguments::truth(const std::string& field) {
  asked_.insert(field);
  auto it = object_.find(field);
  if (it == object_.end())
    return false;
  if (!it->is_boolean())
    return fail(errc::bad_value, field + " is true or false");
  return it->get<bool>();
}

result<nlohmann::json> arguments::list(const std::string& field) {
  asked_.insert(field);
  auto it = object_.find(field);
  if (it == object_.end())
    return nlohmann::json::array();
  if (!it->is_array())
    return fail(errc::bad_value, field + " is not a list");
  return *it;
}

result<timestamp> arguments::time(const std::string& field) {
  CANDOR_TRY(value, text(field));
  auto parsed = parse_time(value);
  if (!parsed)
    return fail(errc::bad_time, field + ": " + parsed.error().detail);
  return parsed;
}

result<void> arguments::all_known() const {
  for (const auto& [field, _] : object_.items())
    if (!asked_.contains(field))
      return fail(errc::unknown_field, field);
  return {};
}

} // namespace candor::admin
