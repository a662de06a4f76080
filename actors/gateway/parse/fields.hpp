/// Strict reading of one record that a caller sent. Guarantees: a field that is not asked for, a
/// value of another type and a value out of its range are refused by name, never guessed at. A
/// refusal never shows what a person said, nor a user id.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "actors/gateway/parse/value.hpp"
#include "storage/base/time.hpp"
#include "storage/model/region.hpp"

namespace candor::parse {

class fields {
public:
  /// `path` names the record in refusals ("" for the outermost). `of` must outlive this. Error:
  /// `malformed` where it is no record, `unknown_field`.
  static result<fields> open(const value& of, std::string path,
                             std::initializer_list<std::string_view> known);

  bool has(std::string_view name) const noexcept { return find(name) != nullptr; }
  const value* find(std::string_view name) const noexcept;
  std::string full_name(std::string_view name) const;

  // Where a field may be absent the result is empty; null counts as a value of another type.
  result<std::string_view> text(std::string_view name) const;
  result<std::optional<std::string_view>> text_or_none(std::string_view name) const;
  result<double> real(std::string_view name) const;
  result<std::optional<std::int64_t>> whole_or_none(std::string_view name) const;
  result<const value*> any(std::string_view name) const;
  /// Absent: none. Error: `too_many`.
  result<std::vector<std::string_view>> texts(std::string_view name, std::size_t most) const;

  /// 1 to `bytes_max` bytes of plain UTF-8.
  result<std::string> name_text(std::string_view name, std::size_t bytes_max) const;
  result<std::optional<std::string>> name_text_or_none(std::string_view name,
                                                       std::size_t bytes_max) const;
  /// A well-formed language tag (RFC 5646, section 2.1; form only).
  result<std::optional<std::string>> language_or_none(std::string_view name) const;
  result<std::optional<model::region_code>> region_or_none(std::string_view name,
                                                           const model::region_table& known) const;
  /// RFC 3339.
  result<timestamp> time(std::string_view name) const;
  /// RFC 3339, or a date alone (its first instant in UTC).
  result<std::optional<timestamp>> day_or_time_or_none(std::string_view name) const;

  /// Refuses every one of `names` that is there: `why` ends the sentence "`name` …".
  result<void> none_of(std::initializer_list<std::string_view> names, std::string_view why) const;

  tl::unexpected<error> refuse(errc code, std::string_view name, std::string_view what) const;

private:
  fields(const value& of, std::string path)
    : of_{&of}
    , path_{std::move(path)} {}

  const value* of_;
  std::string path_;
};

} // namespace candor::parse
