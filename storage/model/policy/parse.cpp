#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/model/policy/policy.hpp"
#include "storage/model/toml_reader.hpp"
#include "storage/model/topic.hpp"

namespace candor::model {

namespace {

constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t templates_bytes_max = 256;
constexpr std::size_t excluded_regions_max = 256;
constexpr std::size_t sensitive_extra_max = 64;
constexpr int minimum_age_max = 99;
constexpr std::uint32_t notice_revision_max = 1'000'000;
constexpr std::uint32_t notices_per_second_max = 100'000;

bool lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}

/// Lower-case letters, digits and `separator`, a letter first.
bool is_slug(std::string_view text, char separator) {
  auto allowed = [=](char c) { return lower(c) || digit(c) || c == separator; };
  return !text.empty() && text.size() <= name_bytes_max && lower(text.front()) &&
         std::ranges::all_of(text, allowed);
}

/// `YYYY-MM-DD.N`, N from 1 to 9999.
bool is_version(std::string_view text) {
  if (text.size() < 12 || text.size() > 15 || text[10] != '.' || text[11] == '0')
    return false;
  return parse_date(text.substr(0, 10)) && std::ranges::all_of(text.substr(11), digit);
}

/// `HH:MM`, 00:00 to 23:59.
bool is_time_of_day(std::string_view text) {
  return text.size() == 5 && text[2] == ':' && digit(text[0]) && digit(text[1]) && digit(text[3]) &&
         digit(text[4]) && text.substr(0, 2) <= "23" && text[3] <= '5';
}

/// A relative path of plain names: nothing that leads out of the folder it is taken in.
bool is_plain_path(std::string_view text) {
  if (text.empty() || text.size() > templates_bytes_max)
    return false;
  for (std::size_t from = 0; from <= text.size();) {
    auto to = std::min(text.find('/', from), text.size());
    if (!is_slug(text.substr(from, to - from), '-'))
      return false;
    from = to + 1;
  }
  return true;
}

/// The value of `key`, one of `allowed`, as its index.
result<std::size_t> one_of(const toml_section& section, std::string_view key,
                           std::initializer_list<std::string_view> allowed) {
  CANDOR_TRY(given, section.text(key));
  auto it = std::ranges::find(allowed, given.text);
  if (it == allowed.end())
    return section.refuse(key, fmt::format("must be one of: {}", fmt::join(allowed, ", ")));
  return static_cast<std::size_t>(it - allowed.begin());
}

/// The items of `key`, each read by `read` (an optional), or a refusal that names what is
/// `allowed`.
template <class Read>
auto all_of(const toml_section& section, std::string_view key, std::size_t most,
            std::string_view allowed, Read read)
    -> result<std::vector<typename decltype(read(std::string_view{}))::value_type>> {
  CANDOR_TRY(items, section.texts(key, most));
  std::vector<typename decltype(read(std::string_view{}))::value_type> values;
  for (const auto& item : items) {
    auto value = read(std::string_view{item.text});
    if (!value)
      return section.file().refuse(item.where,
                                   fmt::format("{} may hold: {}", section.full_name(key), allowed));
    values.push_back(std::move(*value));
  }
  return values;
}

result<void> read_identity(const toml_section& top, policy& p) {
  CANDOR_TRY(id, top.text("id"));
  if (!is_slug(id.text, '-'))
    return top.refuse("id", fmt::format("must be 1 to {} lower-case letters, digits and hyphens, "
                                        "a letter first",
                                        name_bytes_max));
  CANDOR_TRY(version, top.text("version"));
  if (!is_version(version.text))
    return top.refuse("version", "must be a date and a number from 1 to 9999, such as "
                                 "2025-12-16.1");
  CANDOR_TRY(revision, top.whole("notice_revision", 1, notice_revision_max));
  p.id = std::move(id.text);
  p.version = std::move(version.text);
  p.notice_revision = static_cast<std::uint32_t>(revision);
  return {};
}

result<void> read_people(const toml_section& top, policy& p) {
  CANDOR_TRY(audience, one_of(top, "audience", {"ai_users", "everyone"}));
  CANDOR_TRY(age, top.whole("minimum_age", 0, minimum_age_max));
  CANDOR_TRY(unknown_age, one_of(top, "unknown_age", {"adult", "minor"}));
  CANDOR_TRY(opt_out, one_of(top, "opt_out", {"none", "ads", "all"}));
  p.audience = audience == 0 ? "ai_users" : "everyone";
  p.minimum_age = static_cast<int>(age);
  p.unknown_age = static_cast<unknown_age_rule>(unknown_age);
  p.opt_out = static_cast<opt_out_mode>(opt_out);
  return {};
}

result<void> read_regions(const toml_section& top, const region_table& regions, policy& p) {
  auto read = [&](std::string_view name) -> std::optional<std::string> {
    if (!regions.is_group(name) && !regions.find(name))
      return std::nullopt;
    return std::string{name};
  };
  CANDOR_TRY(names, all_of(top, "excluded_regions", excluded_regions_max,
                           "region codes (ISO 3166-1 alpha-2) and groups of regions.toml", read));
  CANDOR_TRY(grace, top.duration("purge_grace", millis{0}));
  p.excluded_regions = std::move(names);
  p.purge_grace = grace;
  return {};
}

result<void> read_sensitive(const toml_section& top, policy& p) {
  if (!top.has("sensitive_extra"))
    return {};
  auto read = [](std::string_view name) -> std::optional<std::string> {
    if (!is_slug(name, '_') || find_category(name))
      return std::nullopt;
    return std::string{name};
  };
  CANDOR_TRY(extra, all_of(top, "sensitive_extra", sensitive_extra_max,
                           "names of categories to add, in lower-case letters, digits and "
                           "underscores; the twelve categories always hold and are not repeated",
                           read));
  p.sensitive_extra = std::move(extra);
  return {};
}

result<void> read_uses(const toml_section& top, policy& p) {
  CANDOR_TRY(table, top.table("uses"));
  CANDOR_TRY(uses, toml_section::open(top.file(), *table, "uses", {"ads", "content"}));
  CANDOR_TRY(ads, all_of(uses, "ads", source_count, "ai, engagement", find_source));
  CANDOR_TRY(content, all_of(uses, "content", source_count, "ai, engagement", find_source));
  p.ads_sources = {ads.begin(), ads.end()};
  p.content_sources = {content.begin(), content.end()};
  return {};
}

result<void> read_decay(const toml_section& top, policy& p) {
  CANDOR_TRY(table, top.table("decay"));
  CANDOR_TRY(decay, toml_section::open(top.file(), *table, "decay", {"half_life", "retention"}));
  CANDOR_TRY(half_life, decay.duration("half_life", millis{1}));
  CANDOR_TRY(retention, decay.duration("retention", millis{1}));
  if (retention < half_life)
    return decay.refuse("retention", "must be at least decay.half_life");
  p.half_life = half_life;
  p.retention = retention;
  return {};
}

/// [notices], and the dates that must fit it.
result<void> read_notices(const toml_section& top, policy& p) {
  CANDOR_TRY(announce_at, top.time("announce_at"));
  CANDOR_TRY(effective_at, top.time("effective_at"));
  CANDOR_TRY(required, top.truth("require_notice"));
  p.announce_at = announce_at;
  p.effective_at = effective_at;
  p.require_notice = required;
  if (top.has("notice_lead")) {
    CANDOR_TRY(lead, top.duration("notice_lead", millis{0}));
    p.notice_lead = lead;
  }
  if (effective_at < announce_at)
    return top.refuse("effective_at", "must not be before announce_at");
  if (!top.has("notices") && !required)
    return {};

  CANDOR_TRY(table, top.table("notices"));
  CANDOR_TRY(notices, toml_section::open(top.file(), *table, "notices",
                                         {"channels", "complete_by", "quiet_hours",
                                          "rate_per_second", "templates"}));
  CANDOR_TRY(channels, all_of(notices, "channels", 2, "in_app, email", find_channel));
  if (channels.empty())
    return notices.refuse("channels", "must name at least one of: in_app, email");
  CANDOR_TRY(complete_by, notices.time("complete_by"));
  if (complete_by < announce_at)
    return notices.refuse("complete_by", "must not be before announce_at");
  if (complete_by > effective_at)
    return notices.refuse("complete_by", "must not be after effective_at");
  if (complete_by + p.notice_lead > effective_at)
    return notices.refuse("complete_by", "must be at least notice_lead before effective_at");
  if (notices.has("quiet_hours")) {
    auto read = [](std::string_view time) -> std::optional<std::string> {
      return is_time_of_day(time) ? std::optional{std::string{time}} : std::nullopt;
    };
    CANDOR_TRY(quiet, all_of(notices, "quiet_hours", 2, "times of day such as 21:00", read));
    if (quiet.size() != 2)
      return notices.refuse("quiet_hours", "must be two times of day, such as [\"21:00\", "
                                           "\"08:00\"], or be left out");
    p.quiet_from = std::move(quiet[0]);
    p.quiet_until = std::move(quiet[1]);
  }
  CANDOR_TRY(rate, notices.whole("rate_per_second", 1, notices_per_second_max));
  CANDOR_TRY(templates, notices.text("templates"));
  if (!is_plain_path(templates.text))
    return notices.refuse("templates", "must be a relative path of lower-case letters, digits and "
                                       "hyphens, such as notices/ai-interactions");
  p.notice_channels = std::move(channels);
  p.notices_complete_by = complete_by;
  p.notices_per_second = static_cast<std::uint32_t>(rate);
  p.notice_templates = std::move(templates.text);
  return {};
}

} // namespace

result<policy> parse_policy(std::string_view toml, std::string_view file_name,
                            const region_table& regions) {
  toml_file file{file_name, errc::policy_invalid, limits::policy_file_bytes};
  CANDOR_TRY(root, file.parse(toml));
  CANDOR_TRY(top,
             toml_section::open(file, root, "",
                                {"id", "version", "notice_revision", "announce_at", "effective_at",
                                 "audience", "minimum_age", "unknown_age", "opt_out",
                                 "require_notice", "notice_lead", "excluded_regions", "purge_grace",
                                 "sensitive_extra", "uses", "decay", "notices"}));
  policy p;
  CANDOR_TRY_VOID(read_identity(top, p));
  CANDOR_TRY_VOID(read_people(top, p));
  CANDOR_TRY_VOID(read_regions(top, regions, p));
  CANDOR_TRY_VOID(read_sensitive(top, p));
  CANDOR_TRY_VOID(read_uses(top, p));
  CANDOR_TRY_VOID(read_decay(top, p));
  CANDOR_TRY_VOID(read_notices(top, p));
  p.text = toml;
  return p;
}

} // namespace candor::model
