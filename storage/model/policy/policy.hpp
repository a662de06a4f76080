/// The data-use policy: what a version says, which version is in force when, and the one function that decides.
///
/// `decide` answers, for an interaction with the assistant, whether anything may be learned from it, and names the
/// first reason that forbids it. It is asked twice for every event (at admission, before any text is looked at, and
/// again in the step that appends the entry) and once more at every use (`decide_use`), always over the same values:
/// the person, the versions applied so far, the region table, the event's two times.
///
/// Rules that never bend:
///  - an event is judged by the version in force at its own time and by the one in force now; both must allow it;
///  - the interaction counts only if both its own time and its arrival are at or after the effective time of the
///    version at its own time, and a version is in force on arrival;
///  - the record's region is required, an event's own region may only restrict; an event older than the record's
///    `region_since` is judged by the earlier region too (an unknown earlier region: region_unknown);
///  - each version is asked about every one of these regions, with the groups as they stood at the time that chose it;
///  - a region that the table does not know is unknown, and an excluded name that it does not know excludes everybody:
///    a table and a policy that do not fit never open a door;
///  - the order of reasons is the order of `model::reason`: a rule is asked of both versions before the next rule.
///
/// Pure: no clock, no storage, no locale. Where it stands in the flow: the profile room asks it; nobody else decides.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/model/person.hpp"
#include "storage/model/region.hpp"
#include "storage/model/signal.hpp"
#include "storage/model/verdict.hpp"

namespace candor::model {

enum class opt_out_mode : std::uint8_t { none, ads, all };
enum class unknown_age_rule : std::uint8_t { adult, minor };
enum class use : std::uint8_t { ads, content };

std::string_view to_string(use u) noexcept;
std::string_view to_string(opt_out_mode m) noexcept;

/// One immutable version of a policy.
struct policy {
  std::string id;
  std::string version;
  std::uint32_t notice_revision = 1;
  timestamp announce_at;
  timestamp effective_at;
  std::string audience; ///< "ai_users" or "everyone"
  int minimum_age = 18;
  unknown_age_rule unknown_age = unknown_age_rule::adult;
  opt_out_mode opt_out = opt_out_mode::none;
  bool require_notice = true;
  millis notice_lead{0};
  std::vector<std::string> excluded_regions; ///< codes or groups
  millis purge_grace{0};
  std::vector<std::string> sensitive_extra;
  std::set<source> ads_sources, content_sources; ///< [uses]
  millis half_life{0};
  millis retention{0};
  std::vector<channel> notice_channels;
  std::optional<timestamp> notices_complete_by;
  std::string quiet_from, quiet_until; ///< "HH:MM" local time, or empty
  std::uint32_t notices_per_second = 0;
  std::string notice_templates;
  std::string text; ///< the file as it was given: what is stored, shown and hashed

  const std::set<source>& sources(use u) const {
    return u == use::ads ? ads_sources : content_sources;
  }
};

/// Reads and validates a policy file (TOML; configs/policies/README.md explains every key). Unknown keys, unknown
/// regions and date orders that make no sense are refused. Error: `policy_invalid`; the detail begins with
/// "file:line:column: ".
result<policy> parse_policy(std::string_view toml, std::string_view file_name,
                            const region_table& regions);

/// An applied version.
struct applied_policy {
  model::policy policy;
  timestamp applied_at;
};

/// The versions applied so far, as a function of time. A later version only starts its notices.
class timeline {
public:
  /// A version that is applied already stays as it was. Error: `policy_conflict` (same version, other text),
  /// `too_many`.
  result<void> apply(policy p, timestamp applied_at);

  /// The applied version with the greatest effective time <= t (of equals, the one applied last), or nullptr.
  const policy* in_force(timestamp t) const noexcept;

  /// The versions whose notices go out at `t`: the one in force, and those that are announced and not yet in force.
  /// Several may have one policy and revision, each with an audience of its own: whoever was told of one was told of
  /// all.
  std::vector<const policy*> announced(timestamp t) const;

  /// By version name, or nullptr.
  const policy* find(std::string_view version) const noexcept;

  const std::vector<applied_policy>& versions() const noexcept { return versions_; }

private:
  std::vector<applied_policy> versions_;
};

/// What is known of an event beside the person it belongs to.
struct interaction {
  timestamp at;
  timestamp received;
  std::optional<region_code> region = std::nullopt; ///< the event's own
  bool duplicate = false; ///< its id is committed already
  bool erased = false;    ///< it is older than the person's erasure
  bool sensitive = false; ///< what the topic filter said, once it was asked
};

/// nullopt: it may be learned from. Not to be asked for engagement, which needs no notice and knows no excluded region.
/// An opt-out forbids learning where the mode is `all`; where it is `ads`, learning goes on (for content), and
/// `decide_use` keeps it from ads. Where the mode is `none`, an opt-out on record has no effect.
std::optional<reason> decide(const timeline& policies, const region_table& regions, const person& who,
                             const interaction& what);

/// May anything of the person serve `what` now, their region and language included? nullopt: yes. Of a minor and of who
/// opted out of it nothing may: what serves them is what would serve a stranger.
std::optional<reason> decide_personal(const timeline& policies, const person& who, use what, timestamp now);

/// May what was learned from `from` serve `what` now? nullopt: yes. Engagement is only bound by [uses]; where no
/// version is in force, engagement may serve every use and assistant interactions none. A use that [uses] does not
/// grant is `policy_not_effective`: no policy in force provides for it.
std::optional<reason> decide_use(const timeline& policies, const region_table& regions,
                                 const person& who, source from, use what, timestamp now);

/// Does the person belong to those whom this version's notices are for at `t`? Its audience, in a region that is known
/// and not excluded by it, not known to be under age.
bool in_audience(const policy& p, const region_table& regions, const person& who, timestamp t);

/// The first instant from which the person has been in an excluded region without a break, by the versions in force
/// over time; nullopt where their region is not excluded at `now`. Starts the purge's grace period: moving from one
/// excluded region to another does not start it anew.
std::optional<timestamp> excluded_since(const timeline& policies, const region_table& regions,
                                        const person& who, timestamp now);

} // namespace candor::model
