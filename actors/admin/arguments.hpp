/// The arguments of an operator's message: a JSON object of which every member must be asked for.
/// Errors are `malformed`, `missing_field`, `unknown_field` and `bad_value`, each naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::admin {

class arguments {
public:
  static result<arguments> parse(const std::string& json);

  result<std::string> text(const std::string& field);
  std::optional<std::string> text_or_none(const std::string& field);
  result<std::uint64_t> number(const std::string& field, std::uint64_t max);
  result<std::uint64_t> number_or(const std::string& field, std::uint64_t max,
                                  std::uint64_t otherwise);
  /// false where the field is absent.
  result<bool> truth(const std::string& field);
  /// An array; an empty one where the field is absent.
  result<nlohmann::json> list(const std::string& field);
  /// RFC 3339
  result<timestamp> time(const std::string& field);
  bool has(const std::string& field) const { return object_.contains(field); }
  /// All of it, for another node.
  const nlohmann::json& object() const noexcept { return object_; }

  /// After all have been asked for: names the first that nobody did.
  result<void> all_known() const;

private:
  // Round brackets: of curly ones nlohmann-json makes an array.
  explicit arguments(nlohmann::json object)
    : object_(std::move(object)) {}

  nlohmann::json object_;
  std::set<std::string> asked_;
};

} // namespace candor::admin
