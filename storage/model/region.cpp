#include "storage/model/region.hpp"

#include <algorithm>
#include <optional>
#include <tuple>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/model/toml_reader.hpp"

namespace candor::model {

namespace {

constexpr std::size_t groups_max = 64;
constexpr std::size_t members_max = 1024;

bool upper(char c) {
  return c >= 'A' && c <= 'Z';
}

std::optional<region_code> read_code(std::string_view text) {
  if (text.size() != 2 || !upper(text[0]) || !upper(text[1]))
    return std::nullopt;
  return region_code{{text[0], text[1]}};
}

bool group_name_holds(std::string_view name) {
  auto allowed = [](char c) { return upper(c) || c == '_'; };
  return name.size() >= 2 && name.size() <= 32 && upper(name.front()) &&
         std::ranges::all_of(name, allowed);
}

} // namespace

result<region_table> region_table::parse(std::string_view toml, std::string_view file_name) {
  toml_file file{file_name, errc::config_invalid, limits::config_file_bytes};
  CANDOR_TRY(root, file.parse(toml));
  CANDOR_TRY(top, toml_section::open(file, root, "", {"codes", "group"}));
  region_table made;

  CANDOR_TRY(codes, top.table("codes"));
  for (auto&& [key, name] : *codes) {
    auto code = read_code(key.str());
    if (!code)
      return file.refuse(key.source().begin, "a region code is two letters from A to Z");
    if (!name.is_string() || name.as_string()->get().empty())
      return file.refuse(name.source().begin,
                         fmt::format("codes.{} must be the region's name", key.str()));
    made.codes_.push_back(*code); // TOML tables iterate in ascending order of keys
  }
  std::ranges::sort(made.codes_);

  std::vector<const toml::table*> groups;
  if (top.has("group")) {
    CANDOR_TRY(given, top.tables("group", groups_max));
    groups = std::move(given);
  }
  for (auto table : groups) {
    CANDOR_TRY(group, toml_section::open(file, *table, "group",
                                         {"name", "title", "source", "includes", "members"}));
    CANDOR_TRY(name, group.text("name"));
    if (!group_name_holds(name.text))
      return group.refuse("name", "must be 2 to 32 letters from A to Z and underscores");
    if (made.find(name.text))
      return group.refuse("name", "must not be a region code");
    if (made.is_group(name.text))
      return group.refuse("name", "is taken by an earlier group");
    CANDOR_TRY_VOID(group.text("title"));
    CANDOR_TRY_VOID(group.text("source"));

    std::vector<membership> all;
    if (group.has("includes")) {
      CANDOR_TRY(included, group.texts("includes", groups_max));
      for (const auto& other : included) {
        auto found = made.groups_.find(other.text);
        if (found == made.groups_.end())
          return file.refuse(other.where, "group.includes must name groups that stand earlier");
        all.insert(all.end(), found->second.begin(), found->second.end());
      }
    }
    CANDOR_TRY(members, group.tables("members", members_max));
    for (auto entry : members) {
      CANDOR_TRY(member,
                 toml_section::open(file, *entry, "group.members", {"region", "from", "until"}));
      CANDOR_TRY(region, member.text("region"));
      auto code = made.find(region.text);
      if (!code)
        return member.refuse("region", "must be one of the codes in [codes]");
      CANDOR_TRY(from, member.date("from"));
      auto until = timestamp::max();
      if (member.has("until")) {
        CANDOR_TRY(given, member.date("until"));
        until = given;
      }
      if (until <= from)
        return member.refuse("until", "must be later than from");
      auto overlaps = [&](const membership& m) {
        return m.region == *code && m.from < until && from < m.until;
      };
      if (std::ranges::any_of(all, overlaps))
        return member.refuse("region", "belongs to the group at that time already");
      all.push_back({*code, from, until});
    }
    std::ranges::sort(all, {}, [](const membership& m) { return std::tie(m.region, m.from); });
    for (const auto& m : all) {
      made.changes_.push_back(m.from);
      if (m.until != timestamp::max())
        made.changes_.push_back(m.until);
    }
    made.groups_.emplace(std::move(name.text), std::move(all));
  }
  std::ranges::sort(made.changes_);
  made.changes_.erase(std::unique(made.changes_.begin(), made.changes_.end()), made.changes_.end());
  return made;
}

result<region_code> region_table::find(std::string_view code) const {
  auto read = read_code(code);
  if (!read)
    return fail(errc::bad_region, "a region is two letters from A to Z, such as US");
  if (!std::ranges::binary_search(codes_, *read))
    return fail(errc::bad_region, fmt::format("\"{}\" is not a region", code));
  return *read;
}

bool region_table::is_group(std::string_view name) const {
  return groups_.contains(name);
}

bool region_table::contains(std::string_view name, region_code region, timestamp at) const {
  if (name == region.view())
    return true;
  auto group = groups_.find(name);
  if (group == groups_.end())
    return false;
  const auto& members = group->second;
  auto m = std::ranges::lower_bound(members, region, {}, &membership::region);
  for (; m != members.end() && m->region == region; ++m)
    if (m->from <= at && at < m->until)
      return true;
  return false;
}

} // namespace candor::model
