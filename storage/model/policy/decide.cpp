#include <algorithm>
#include <array>

#include "storage/model/policy/policy.hpp"

namespace candor::model {

namespace {

using region_or_none = std::optional<region_code>;

bool known(const region_table& regions, const region_or_none& region) {
  return region && regions.find(region->view()).has_value();
}

/// Where the person lives at `t`: the last period that has begun.
region_or_none region_at(const person& who, timestamp t) {
  region_or_none region;
  for (const auto& period : who.regions)
    if (period.since <= t)
      region = period.region;
  return region;
}

bool excludes(const policy& p, const region_table& regions, region_code region, timestamp t) {
  return std::ranges::any_of(p.excluded_regions, [&](const std::string& name) {
    auto is_known = regions.is_group(name) || regions.find(name);
    return !is_known || regions.contains(name, region, t);
  });
}

/// Known to be under the minimum age in the year of `t`. The day of birth is not asked for, so the
/// year decides.
bool is_minor(const policy& p, const person& who, timestamp t) {
  if (!who.birth_year)
    return p.unknown_age == unknown_age_rule::minor && p.minimum_age > 0;
  using namespace std::chrono;
  year_month_day date{floor<days>(t)};
  return static_cast<int>(date.year()) - *who.birth_year < p.minimum_age;
}

/// A notice of this policy and revision had reached the person, by any channel, the lead time
/// before `t`.
bool was_notified(const policy& p, const person& who, timestamp t) {
  return !p.require_notice || std::ranges::any_of(who.notices, [&](const notice_reached& n) {
    return n.policy == p.id && n.revision == p.notice_revision && n.at + p.notice_lead <= t;
  });
}

bool took_opt_out(const policy& p, const person& who) {
  return std::ranges::find(who.opt_outs, p.id, &opt_out::policy) != who.opt_outs.end();
}

/// A version, and the instant at which it was chosen.
struct judge {
  const model::policy* policy;
  timestamp chosen_at;
};

} // namespace

std::string_view to_string(use u) noexcept {
  return u == use::ads ? "ads" : "content";
}

std::string_view to_string(opt_out_mode m) noexcept {
  static constexpr std::string_view names[] = {"none", "ads", "all"};
  return names[static_cast<int>(m)];
}

std::optional<reason> decide(const timeline& policies, const region_table& regions,
                             const person& who, const interaction& what) {
  if (what.duplicate)
    return reason::duplicate;

  auto then = policies.in_force(what.at);
  auto now = policies.in_force(what.received);
  // A caller's clock may run ahead: a version that was not in force on arrival counts for nothing
  // yet.
  if (!then || !now || what.received < then->effective_at)
    return reason::policy_not_effective;
  const std::array judges{judge{then, what.at}, judge{now, what.received}};
  auto either = [&](auto forbids) { return std::ranges::any_of(judges, forbids); };

  std::vector<region_or_none> asked{region_at(who, what.at), region_at(who, what.received)};
  if (what.region)
    asked.push_back(what.region);
  if (!std::ranges::all_of(asked, [&](const auto& region) { return known(regions, region); }))
    return reason::region_unknown;
  if (either([&](const judge& j) {
        return std::ranges::any_of(asked, [&](const auto& region) {
          return excludes(*j.policy, regions, *region, j.chosen_at);
        });
      }))
    return reason::region_excluded;

  if (either([&](const judge& j) { return is_minor(*j.policy, who, what.at); }))
    return reason::minor;
  if (either([&](const judge& j) { return !was_notified(*j.policy, who, what.at); }))
    return reason::not_notified;
  if (either([&](const judge& j) {
        return j.policy->opt_out == opt_out_mode::all && took_opt_out(*j.policy, who);
      }))
    return reason::opted_out;
  if (what.erased)
    return reason::erased;
  if (what.sensitive)
    return reason::sensitive;
  return std::nullopt;
}

std::optional<reason> decide_personal(const timeline& policies, const person& who, use what,
                                      timestamp now) {
  static const policy before_any{};
  auto p = policies.in_force(now);
  if (is_minor(p ? *p : before_any, who, now))
    return reason::minor;
  if (p &&
      (p->opt_out == opt_out_mode::all || (p->opt_out == opt_out_mode::ads && what == use::ads)) &&
      took_opt_out(*p, who))
    return reason::opted_out;
  return std::nullopt;
}

std::optional<reason> decide_use(const timeline& policies, const region_table& regions,
                                 const person& who, source from, use what, timestamp now) {
  auto p = policies.in_force(now);
  if (!p)
    return from == source::ai ? std::optional{reason::policy_not_effective} : std::nullopt;
  if (!p->sources(what).contains(from))
    return reason::policy_not_effective;
  if (from != source::ai)
    return std::nullopt;

  auto region = region_at(who, now);
  if (!known(regions, region))
    return reason::region_unknown;
  if (excludes(*p, regions, *region, now))
    return reason::region_excluded;
  if (is_minor(*p, who, now))
    return reason::minor;
  if (!was_notified(*p, who, now))
    return reason::not_notified;
  auto covered =
      p->opt_out == opt_out_mode::all || (p->opt_out == opt_out_mode::ads && what == use::ads);
  if (covered && took_opt_out(*p, who))
    return reason::opted_out;
  return std::nullopt;
}

bool in_audience(const policy& p, const region_table& regions, const person& who, timestamp t) {
  auto region = region_at(who, t);
  return (p.audience == "everyone" || who.assistant_user_since) && known(regions, region) &&
         !excludes(p, regions, *region, t) && !is_minor(p, who, t);
}

std::optional<timestamp> excluded_since(const timeline& policies, const region_table& regions,
                                        const person& who, timestamp now) {
  auto excluded_at = [&](timestamp t) {
    auto p = policies.in_force(t);
    auto region = region_at(who, t);
    return p && region && excludes(*p, regions, *region, t);
  };
  if (!excluded_at(now))
    return std::nullopt;

  // The answer changes only where a version takes effect, the person moves or a group changes.
  std::vector<timestamp> changes = regions.changes();
  for (const auto& applied : policies.versions())
    changes.push_back(applied.policy.effective_at);
  for (const auto& period : who.regions)
    changes.push_back(period.since);
  std::erase_if(changes, [now](timestamp t) { return t > now; });
  std::ranges::sort(changes, std::ranges::greater{});

  auto since = now;
  for (auto t : changes) {
    if (!excluded_at(t))
      break;
    since = t;
  }
  return since;
}

} // namespace candor::model
