#include <algorithm>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/model/policy/policy.hpp"

namespace candor::model {

result<void> timeline::apply(policy p, timestamp applied_at) {
  if (auto same = find(p.version)) {
    if (same->text != p.text || same->id != p.id)
      return fail(errc::policy_conflict,
                  fmt::format("version {} was applied with another text", p.version));
    return {};
  }
  if (versions_.size() >= limits::policies)
    return fail(errc::too_many,
                fmt::format("a cluster has at most {} policy versions", limits::policies));
  versions_.push_back({std::move(p), applied_at});
  return {};
}

const policy* timeline::in_force(timestamp t) const noexcept {
  const policy* latest = nullptr;
  for (const auto& [p, applied_at] : versions_)
    if (p.effective_at <= t && (!latest || latest->effective_at <= p.effective_at))
      latest = &p;
  return latest;
}

const policy* timeline::find(std::string_view version) const noexcept {
  auto it = std::ranges::find(versions_, version,
                              [](const applied_policy& a) { return a.policy.version; });
  return it == versions_.end() ? nullptr : &it->policy;
}

std::vector<const policy*> timeline::announced(timestamp t) const {
  std::vector<const policy*> found;
  if (auto now = in_force(t))
    found.push_back(now);
  for (const auto& v : versions_)
    if (v.policy.announce_at <= t && v.policy.effective_at > t)
      found.push_back(&v.policy);
  return found;
}

} // namespace candor::model
