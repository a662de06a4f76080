/// What serves ads and content of a person, and the ads that were chosen for them. Part of
/// user_table.

#include <algorithm>

#include "actors/profile/user_table.hpp"
#include "storage/base/limits.hpp"

namespace candor::profile {

namespace {

using model::impression;
using model::impression_state;

/// By the year alone, as the policy's own rule of age.
std::string age_band(const std::optional<int>& birth_year, timestamp now) {
  if (!birth_year)
    return {};
  using namespace std::chrono;
  auto age = static_cast<int>(year_month_day{floor<days>(now)}.year()) - *birth_year;
  return age < 18   ? ""
         : age < 25 ? "18-24"
         : age < 35 ? "25-34"
         : age < 45 ? "35-44"
         : age < 55 ? "45-54"
         : age < 65 ? "55-64"
                    : "65+";
}

/// A reservation lapses when both clocks say so: one of them may have been set ahead, and a cap
/// must hold meanwhile.
bool counts(const impression& x, timestamp wall, timestamp log_time) {
  return x.state != impression_state::reserved ||
         std::min(wall, log_time) < x.at + limits::impression_window;
}

} // namespace

use_view user_table::use_of(const slot& s, model::use what) const {
  use_view made;
  auto now = around_.time.now();
  if (auto in_force = policies_.in_force(now))
    made.policy_version = in_force->version;
  if (!s.exists) {
    made.why_not_personal = "unknown";
    return made;
  }
  const auto& who = s.base.person;
  if (auto why = model::decide_personal(policies_, who, what, now)) {
    made.why_not_personal = to_string(*why);
    return made;
  }
  made.personal = true;
  if (!who.regions.empty())
    made.country = who.regions.back().region.view();
  made.lang = s.base.lang.substr(0, s.base.lang.find('-'));
  made.age_band = age_band(who.birth_year, now);
  model::user_record folded; // of the interests alone: a record may remember thousands of events
  folded.interests = s.base.interests;
  fold_into(folded, s);
  for (const auto& i : states_of(folded.interests, who, now))
    if (!(what == model::use::ads ? i.ads : i.content) && i.strength_now > 0)
      made.topics.push_back(
          {i.interest.topic, i.interest.source, i.interest.since, i.strength_now});
  if (what == model::use::content) {
    for (const auto& [_, x] : s.content)
      if (x.hidden)
        made.hidden.push_back(x.content);
      else
        made.shown.emplace_back(x.content, x.at);
    return made;
  }
  auto of_log = log_time();
  for (const auto& [_, x] : s.impressions) {
    if (x.state == impression_state::hidden)
      made.hidden.push_back(x.campaign);
    if (counts(x, now, of_log))
      made.shown.push_back({x.campaign, x.at});
  }
  made.shown_since = s.impressions.size() >= limits::impressions_remembered
                         ? s.impressions.begin()->second.at
                         : timestamp{};
  return made;
}

result<use_view> user_table::read_use(const user_id& user, model::use what) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  return use_of(*s, what);
}

result<bool> user_table::add_impressions(const user_id& user, const std::vector<impression>& chosen,
                                         replication::draft& entry) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return false;
  for (const auto& x : chosen) {
    auto ordinal = s->impressions.empty() ? 1 : s->impressions.rbegin()->first + 1;
    put_impression(*s, ordinal, x, entry);
    if (s->impressions.size() > limits::impressions_remembered) {
      auto oldest = s->impressions.begin();
      entry.rows.push_back(replication::erase_row(
          engine::table::user,
          engine::user_key(shard_, s->key, engine::user_row::impression, oldest->first)));
      s->impressions.erase(oldest);
    }
  }
  return true;
}

void user_table::put_impression(slot& s, std::uint64_t ordinal, const impression& x,
                                replication::draft& entry) {
  s.impressions[ordinal] = x;
  entry.rows.push_back(sealed_put(
      s, engine::user_key(shard_, s.key, engine::user_row::impression, ordinal), model::encode(x)));
  touch(s);
}

result<bool> user_table::mark_impression(const user_id& user, const std::string& id,
                                         impression_state state, replication::draft& entry) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  auto it = std::ranges::find_if(s->impressions, [&](const auto& x) { return x.second.id == id; });
  if (it == s->impressions.end())
    return fail(errc::not_found, "this person has no such impression");
  // A person who hides an ad wants that to stay, whatever is told later.
  if (it->second.state >= state)
    return false;
  auto marked = it->second;
  marked.state = state;
  put_impression(*s, it->first, marked, entry);
  return true;
}

result<impression> user_table::find_impression(const user_id& user, const std::string& id) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  for (const auto& [_, x] : s->impressions)
    if (x.id == id)
      return x;
  return fail(errc::not_found, "this person has no such impression");
}

result<std::vector<std::pair<std::string, std::string>>>
user_table::not_used_for_ads(const user_id& user) {
  CANDOR_TRY(seen, read(user));
  std::vector<std::pair<std::string, std::string>> rest;
  if (auto in_force = policies_.in_force(seen.at))
    rest.emplace_back("assistant interactions before " + format_time(in_force->effective_at),
                      to_string(model::reason::policy_not_effective));
  for (const auto& i : seen.interests)
    if (i.ads)
      rest.emplace_back("interest in " + std::string{model::info(i.interest.topic).slug} +
                            " from " + std::string{to_string(i.interest.source)},
                        to_string(*i.ads));
  rest.emplace_back("sensitive topics", to_string(model::reason::sensitive));
  return rest;
}

result<std::vector<impression>> user_table::impressions(const user_id& user) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  std::vector<impression> all;
  for (const auto& [_, x] : s->impressions)
    all.push_back(x);
  return all;
}

result<bool> user_table::note_content(const user_id& user, const std::string& content, bool hidden,
                                      replication::draft& entry) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  if (!s->exists)
    return fail(errc::user_not_found);
  auto row_key = [&](std::uint64_t ordinal) {
    return engine::user_key(shard_, s->key, engine::user_row::content, ordinal);
  };
  auto& all = s->content;
  auto it = std::ranges::find_if(all, [&](const auto& x) { return x.second.content == content; });
  if (it != all.end() && (it->second.hidden || !hidden))
    return false;
  auto drop = [&](auto row) {
    entry.rows.push_back(replication::erase_row(engine::table::user, row_key(row->first)));
    all.erase(row);
  };
  auto ordinal = all.empty() ? 1 : all.rbegin()->first + 1;
  if (it != all.end())
    drop(it);
  model::content_shown seen{content, entry.time, hidden};
  entry.rows.push_back(sealed_put(*s, row_key(ordinal), model::encode(seen)));
  all.emplace(ordinal, std::move(seen));
  if (all.size() > limits::content_remembered) {
    // What was hidden is remembered longest: the person asked for that.
    auto oldest = std::ranges::find_if(all, [](const auto& x) { return !x.second.hidden; });
    drop(oldest == all.end() ? all.begin() : oldest);
  }
  touch(*s);
  return true;
}

result<std::vector<model::content_shown>> user_table::content_shown(const user_id& user) {
  CANDOR_TRY(s, find(stores::derive_storage_key(around_.secrets, user)));
  std::vector<model::content_shown> all;
  for (const auto& [_, x] : s->content)
    all.push_back(x);
  return all;
}

} // namespace candor::profile
