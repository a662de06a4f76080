#include "actors/gateway/render.hpp"

#include "actors/gateway/render_ads.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/json_string.hpp"

namespace candor::gateway {

namespace {

using json = nlohmann::ordered_json;

std::string text_of(const json& j) {
  return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

json or_null(const std::string& text) {
  return text.empty() ? json{} : json(text);
}

void put_if(json& into, const char* name, const std::string& text) {
  if (!text.empty())
    into[name] = text;
}

json use_of(const std::string& reason) {
  return reason.empty() ? json(true) : json{{"not", reason}};
}

/// What the platform and the policy state of a person.
json person_of(const person_view& who) {
  const auto& r = who.record;
  json regions = json::array();
  for (const auto& period : r.person.regions)
    regions.push_back({{"region", period.region.view()}, {"since", format_time(period.since)}});
  json notices = json::array();
  for (const auto& n : r.person.notices)
    notices.push_back({{"policy", n.policy},
                       {"revision", n.revision},
                       {"channel", to_string(n.channel)},
                       {"reached", format_time(n.at)}});
  json made = {{"user", r.user}, {"pseudonym", r.pseudonym}, {"created", format_time(r.created)}};
  if (!r.person.regions.empty()) {
    made["region"] = r.person.regions.back().region.view();
    made["region_since"] = format_time(r.person.regions.back().since);
  }
  made["region_state"] = who.region_state;
  made["regions"] = std::move(regions);
  put_if(made, "lang", r.lang);
  put_if(made, "zone", r.zone);
  put_if(made, "email", r.email);
  if (r.person.birth_year)
    made["birth_year"] = *r.person.birth_year;
  put_if(made, "app", r.app);
  made["assistant_user_since"] =
      r.person.assistant_user_since ? json(format_date(*r.person.assistant_user_since)) : json{};
  made["notices"] = std::move(notices);
  if (!r.person.opt_outs.empty()) {
    json list = json::array();
    for (const auto& o : r.person.opt_outs)
      list.push_back({{"policy", o.policy}, {"at", format_time(o.at)}});
    made["opt_outs"] = std::move(list);
  }
  made["policy_version"] = or_null(who.policy_version);
  return made;
}

json interests_of(const person_view& who) {
  json list = json::array();
  for (const auto& now : who.interests) {
    if (!model::is_topic(now.topic))
      continue; // learned by a newer version of the taxonomy
    auto held = std::ranges::find_if(who.record.interests, [&](const model::interest& i) {
      return i.topic == now.topic && i.source == now.source;
    });
    const auto& topic = model::info(now.topic);
    json one = {{"topic", topic.slug},
                {"title", topic.title},
                {"source", to_string(now.source)},
                {"strength", now.strength},
                {"weight", std::round(static_cast<double>(now.weight) * 1000 / 65536) / 1000}};
    if (held != who.record.interests.end()) {
      one["since"] = format_time(held->since);
      one["last"] = format_time(held->last);
      one["events"] = held->events;
      one["policy_version"] = or_null(held->policy_version);
    }
    one["uses"] = {{"ads", use_of(now.ads)}, {"content", use_of(now.content)}};
    list.push_back(std::move(one));
  }
  return list;
}

json events_of(const person_view& who) {
  json times = json::array();
  for (const auto& e : who.record.seen)
    times.push_back(format_time(e.at));
  return times;
}

json line_of(const model::notice& n) {
  auto time = [](const std::optional<timestamp>& t) { return t ? json(format_time(*t)) : json{}; };
  return {{"notice", n.id},
          {"policy", n.policy},
          {"revision", n.revision},
          {"channel", to_string(n.channel)},
          {"lang", n.lang},
          {"state", to_string(n.state)},
          {"created", format_time(n.created)},
          {"sent", time(n.sent)},
          {"reached", time(n.reached)}};
}

} // namespace

std::string user_json(const person_view& who) {
  return text_of(person_of(who));
}

std::string user_json_with_events(const person_view& who) {
  auto made = person_of(who);
  made["events"] = events_of(who);
  return text_of(made);
}

std::string interests_json(const person_view& who) {
  return text_of({{"user", who.record.user},
                  {"at", format_time(who.at)},
                  {"policy_version", or_null(who.policy_version)},
                  {"interests", interests_of(who)}});
}

std::string export_json(const person_view& who) {
  json made = {{"exported_at", format_time(who.at)}};
  made.update(person_of(who));
  made["interests"] = interests_of(who);
  made["events_remembered"] = who.record.seen.size();
  made["events"] = events_of(who);
  made["ads"] = json::array();
  for (const auto& x : who.impressions)
    made["ads"].push_back(to_json(x));
  made["content"] = json::array();
  for (const auto& x : who.content)
    made["content"].push_back({{"content", x.content},
                               {"at", format_time(x.at)},
                               {"state", x.hidden ? "hidden" : "seen"}});
  made["notice_ledger"] = json::array();
  for (const auto& n : who.record.notices)
    made["notice_ledger"].push_back(line_of(n));
  return text_of(made);
}

void append_verdict(std::string& to, std::string_view id, const model::verdict& v,
                    std::size_t line) {
  to += "{\"id\":";
  if (id.empty())
    to += "null";
  else
    append_json_string(to, id);
  to += ",\"status\":";
  append_json_string(to, to_string(v.status));
  if (!v.reason.empty()) {
    to += ",\"reason\":";
    append_json_string(to, v.reason);
  }
  if (!v.detail.empty()) {
    to += ",\"detail\":";
    append_json_string(to, v.detail);
  }
  if (line > 0 && v.status == model::status::invalid)
    fmt::format_to(std::back_inserter(to), ",\"line\":{}", line);
  to += '}';
}

} // namespace candor::gateway
