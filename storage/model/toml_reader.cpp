#include "storage/model/toml_reader.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "storage/base/ids.hpp"

namespace candor::model {

namespace {

bool before(const toml::source_position& a, const toml::source_position& b) {
  return std::tie(a.line, a.column) < std::tie(b.line, b.column);
}

std::optional<std::chrono::sys_days> to_days(const toml::date& d, int year_least) {
  using namespace std::chrono;
  auto date = year{d.year} / month{d.month} / day{d.day};
  if (!date.ok() || d.year < year_least || d.year > 2199)
    return std::nullopt;
  return sys_days{date};
}

/// A key or a value as a refusal shows it: bounded, and free of control characters.
std::string shown(std::string_view text) {
  if (text.size() > 64 || !plain_utf8(text))
    return "(too long or not printable)";
  return fmt::format("\"{}\"", text);
}

} // namespace

tl::unexpected<error> toml_file::refuse(const toml::source_position& where,
                                        std::string_view what) const {
  return fail(refusal, fmt::format("{}:{}:{}: {}", name, std::max(where.line, 1u),
                                   std::max(where.column, 1u), what));
}

result<toml::table> toml_file::parse(std::string_view text) const {
  if (text.size() > bytes_max)
    return refuse(
        {}, fmt::format("the file has {} bytes; at most {} are read", text.size(), bytes_max));
  if (!valid_utf8(text))
    return refuse({}, "the file is not valid UTF-8");
  auto parsed = toml::parse(text);
  if (!parsed)
    return refuse(parsed.error().source().begin, parsed.error().description());
  return std::move(parsed).table();
}

result<toml_section> toml_section::open(const toml_file& file, const toml::table& table,
                                        std::string path,
                                        std::initializer_list<std::string_view> known) {
  const toml::key* unknown = nullptr;
  for (auto&& [key, value] : table) {
    auto is_known = std::ranges::find(known, key.str()) != known.end();
    if (!is_known && (!unknown || before(key.source().begin, unknown->source().begin)))
      unknown = &key;
  }
  if (unknown) {
    auto place = path.empty() ? std::string{"here"} : fmt::format("in [{}]", path);
    return file.refuse(unknown->source().begin,
                       fmt::format("the key {} is not known {}; known are: {}",
                                   shown(unknown->str()), place, fmt::join(known, ", ")));
  }
  return toml_section{file, table, std::move(path)};
}

toml::source_position toml_section::where(std::string_view key) const {
  auto found = table_->get(key);
  return found ? found->source().begin : table_->source().begin;
}

tl::unexpected<error> toml_section::refuse(std::string_view key, std::string_view what) const {
  return file_->refuse(where(key), fmt::format("{} {}", full_name(key), what));
}

std::string toml_section::full_name(std::string_view key) const {
  return path_.empty() ? std::string{key} : fmt::format("{}.{}", path_, key);
}

result<const toml::node*> toml_section::node(std::string_view key) const {
  auto found = table_->get(key);
  if (!found)
    return refuse(key, "is missing");
  return found;
}

result<placed_text> toml_section::text(std::string_view key) const {
  CANDOR_TRY(found, node(key));
  if (!found->is_string())
    return refuse(key, "must be a quoted string");
  return placed_text{found->as_string()->get(), found->source().begin};
}

result<std::int64_t> toml_section::whole(std::string_view key, std::int64_t least,
                                         std::int64_t most) const {
  CANDOR_TRY(found, node(key));
  auto number = found->as_integer();
  if (!number || number->get() < least || number->get() > most)
    return refuse(key, fmt::format("must be a whole number from {} to {}", least, most));
  return number->get();
}

result<bool> toml_section::truth(std::string_view key) const {
  CANDOR_TRY(found, node(key));
  if (!found->is_boolean())
    return refuse(key, "must be true or false");
  return found->as_boolean()->get();
}

result<timestamp> toml_section::time(std::string_view key) const {
  CANDOR_TRY(found, node(key));
  auto value = found->as_date_time();
  if (!value || !value->get().offset)
    return refuse(key, "must be a time with its offset, unquoted, such as 2025-12-16T00:00:00Z");
  const auto& [date, time, offset] = value->get();
  auto day = to_days(date, 1970);
  auto instant = day ? timestamp{*day} + std::chrono::hours{time.hour} +
                           std::chrono::minutes{time.minute - offset->minutes} +
                           std::chrono::seconds{time.second} + millis{time.nanosecond / 1'000'000}
                     : timestamp{};
  if (!day || to_int(instant) < 0 ||
      instant >= std::chrono::sys_days{std::chrono::year{2200} / 1 / 1})
    return refuse(key, "must lie in the years 1970 to 2199");
  return instant;
}

result<timestamp> toml_section::date(std::string_view key) const {
  CANDOR_TRY(found, node(key));
  auto value = found->as_date();
  if (!value)
    return refuse(key, "must be a date, unquoted, such as 2020-02-01");
  auto day = to_days(value->get(), 1900);
  if (!day)
    return refuse(key, "must lie in the years 1900 to 2199");
  return timestamp{*day};
}

result<millis> toml_section::duration(std::string_view key, millis least) const {
  CANDOR_TRY(given, text(key));
  auto span = parse_duration(given.text);
  if (!span)
    return refuse(key, fmt::format("is not valid: {}", span.error().detail));
  if (*span < least)
    return refuse(key, least == millis{1} ? std::string{"must be more than 0"}
                                          : fmt::format("must be at least {} ms", least.count()));
  return *span;
}

result<const toml::array*> toml_section::array(std::string_view key, std::size_t most,
                                               std::string_view of) const {
  CANDOR_TRY(found, node(key));
  auto items = found->as_array();
  if (!items)
    return refuse(key, fmt::format("must be a list of {}", of));
  if (items->size() > most)
    return refuse(key, fmt::format("has {} items; at most {} are allowed", items->size(), most));
  return items;
}

result<std::vector<placed_text>> toml_section::texts(std::string_view key, std::size_t most) const {
  CANDOR_TRY(items, array(key, most, "quoted strings"));
  std::vector<placed_text> list;
  std::set<std::string_view> seen;
  for (const auto& item : *items) {
    auto where = item.source().begin;
    if (!item.is_string())
      return file_->refuse(where,
                           fmt::format("{} must be a list of quoted strings", full_name(key)));
    const auto& text = item.as_string()->get();
    if (!seen.insert(text).second)
      return file_->refuse(where, fmt::format("{} names {} twice", full_name(key), shown(text)));
    list.push_back({text, where});
  }
  return list;
}

result<std::vector<const toml::table*>> toml_section::tables(std::string_view key,
                                                             std::size_t most) const {
  CANDOR_TRY(items, array(key, most, "tables"));
  std::vector<const toml::table*> list;
  for (const auto& item : *items) {
    if (!item.is_table())
      return file_->refuse(item.source().begin,
                           fmt::format("{} must be a list of tables", full_name(key)));
    list.push_back(item.as_table());
  }
  return list;
}

result<const toml::table*> toml_section::table(std::string_view key) const {
  CANDOR_TRY(found, node(key));
  if (!found->is_table())
    return refuse(key, "must be a table");
  return found->as_table();
}

} // namespace candor::model
