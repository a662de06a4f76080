#include "actors/gateway/parse/fields.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool language_holds(std::string_view tag) {
  if (tag.empty() || tag.size() > limits::language_tag_bytes)
    return false;
  auto first = true;
  while (true) {
    auto end = tag.find('-');
    auto part = tag.substr(0, end);
    auto allowed = [&](char c) { return letter(c) || (!first && c >= '0' && c <= '9'); };
    if (part.empty() || part.size() > 8 || !std::ranges::all_of(part, allowed))
      return false;
    if (first && part.size() == 1 && part != "x" && part != "X" && part != "i" && part != "I")
      return false;
    if (end == std::string_view::npos)
      return !(first && part.size() == 1);
    tag.remove_prefix(end + 1);
    first = false;
  }
}

} // namespace

result<fields> fields::open(const value& of, std::string path,
                            std::initializer_list<std::string_view> known) {
  if (of.is != value::kind::record)
    return fail(path.empty() ? errc::malformed : errc::bad_value,
                fmt::format("{}an object is wanted, this is {}",
                            path.empty() ? std::string{} : fmt::format("`{}`: ", path),
                            kind_of(of)));
  fields made{of, std::move(path)};
  for (auto name : of.names)
    if (std::ranges::find(known, name) == known.end())
      return fail(errc::unknown_field, made.path_.empty()
                                           ? quoted(name)
                                           : fmt::format("{} in `{}`", quoted(name), made.path_));
  return made;
}

const value* fields::find(std::string_view name) const noexcept {
  return of_->find(name);
}

std::string fields::full_name(std::string_view name) const {
  return path_.empty() ? std::string{name} : fmt::format("{}.{}", path_, name);
}

tl::unexpected<error> fields::refuse(errc code, std::string_view name,
                                     std::string_view what) const {
  return fail(code, fmt::format("`{}` {}", full_name(name), what));
}

result<const value*> fields::any(std::string_view name) const {
  if (auto found = find(name))
    return found;
  return fail(errc::missing_field, fmt::format("`{}`", full_name(name)));
}

result<std::string_view> fields::text(std::string_view name) const {
  CANDOR_TRY(found, any(name));
  if (found->is == value::kind::text)
    return found->text;
  return refuse(errc::bad_value, name, fmt::format("is a string, not {}", kind_of(*found)));
}

result<std::optional<std::string_view>> fields::text_or_none(std::string_view name) const {
  if (!has(name))
    return std::nullopt;
  CANDOR_TRY(content, text(name));
  return content;
}

result<double> fields::real(std::string_view name) const {
  CANDOR_TRY(found, any(name));
  if (found->is == value::kind::real || found->is == value::kind::whole)
    return found->real;
  return refuse(errc::bad_value, name, fmt::format("is a number, not {}", kind_of(*found)));
}

result<std::optional<std::int64_t>> fields::whole_or_none(std::string_view name) const {
  auto found = find(name);
  if (!found)
    return std::nullopt;
  if (found->is == value::kind::whole)
    return found->whole;
  return refuse(errc::bad_value, name, "is a whole number");
}

result<std::vector<std::string_view>> fields::texts(std::string_view name, std::size_t most) const {
  std::vector<std::string_view> made;
  auto found = find(name);
  if (!found)
    return made;
  if (found->is != value::kind::list)
    return refuse(errc::bad_value, name,
                  fmt::format("is a list of strings, not {}", kind_of(*found)));
  if (found->items.size() > most)
    return refuse(errc::too_many, name,
                  fmt::format("has {} items; the limit is {}", found->items.size(), most));
  for (const auto& item : found->items) {
    if (item.is != value::kind::text)
      return refuse(errc::bad_value, name,
                    fmt::format("is a list of strings, and holds {}", kind_of(item)));
    made.push_back(item.text);
  }
  return made;
}

result<std::string> fields::name_text(std::string_view name, std::size_t bytes_max) const {
  CANDOR_TRY(content, text(name));
  if (content.empty())
    return refuse(errc::bad_value, name, "is empty");
  if (content.size() > bytes_max)
    return refuse(errc::too_large, name,
                  fmt::format("has {} bytes; the limit is {}", content.size(), bytes_max));
  if (!plain_utf8(content))
    return refuse(errc::bad_value, name, "has control characters");
  return std::string{content};
}

result<std::optional<std::string>> fields::name_text_or_none(std::string_view name,
                                                             std::size_t bytes_max) const {
  if (!has(name))
    return std::nullopt;
  CANDOR_TRY(content, name_text(name, bytes_max));
  return std::move(content);
}

result<std::optional<std::string>> fields::language_or_none(std::string_view name) const {
  CANDOR_TRY(tag, text_or_none(name));
  if (!tag)
    return std::nullopt;
  if (!language_holds(*tag))
    return refuse(errc::bad_value, name, "is a language tag of BCP 47, such as en or pt-BR");
  return std::string{*tag};
}

result<std::optional<model::region_code>>
fields::region_or_none(std::string_view name, const model::region_table& known) const {
  CANDOR_TRY(code, text_or_none(name));
  if (!code)
    return std::nullopt;
  auto region = known.find(*code);
  if (!region)
    return refuse(errc::bad_region, name, fmt::format("is {}", quoted(*code)));
  return *region;
}

result<timestamp> fields::time(std::string_view name) const {
  CANDOR_TRY(content, text(name));
  auto read = parse_time(content);
  if (!read)
    return refuse(errc::bad_time, name, read.error().detail);
  return *read;
}

result<std::optional<timestamp>> fields::day_or_time_or_none(std::string_view name) const {
  CANDOR_TRY(content, text_or_none(name));
  if (!content)
    return std::nullopt;
  auto read = content->size() == 10 ? parse_date(*content) : parse_time(*content);
  if (!read)
    return refuse(errc::bad_time, name, read.error().detail);
  return *read;
}

result<void> fields::none_of(std::initializer_list<std::string_view> names,
                             std::string_view why) const {
  for (auto name : names)
    if (has(name))
      return refuse(errc::bad_value, name, why);
  return {};
}

} // namespace candor::parse
