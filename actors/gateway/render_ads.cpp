#include "actors/gateway/render_ads.hpp"

#include <fmt/format.h>

namespace candor::gateway {

namespace {

using json = nlohmann::ordered_json;

json strengths(const std::vector<model::topic_strength>& of) {
  auto made = json::object();
  for (const auto& t : of)
    made[std::string{model::info(t.topic).slug}] = t.weight;
  return made;
}

std::string duration_text(millis span) {
  using namespace std::chrono;
  if (span % hours{24} == 0ms)
    return fmt::format("{}d", span / hours{24});
  if (span % hours{1} == 0ms)
    return fmt::format("{}h", span / hours{1});
  return fmt::format("{}m", span / minutes{1});
}

json topics_of(const std::vector<model::topic_used>& of) {
  auto list = json::array();
  for (const auto& t : of)
    list.push_back({{"topic", model::info(t.topic).slug},
                    {"source", to_string(t.source)},
                    {"since", format_time(t.since).substr(0, 10)},
                    {"weight", t.weight}});
  return list;
}

} // namespace

json to_json(const model::campaign& c) {
  json made = {{"campaign", c.id},
               {"advertiser", c.advertiser},
               {"bid_micros", c.bid_micros},
               {"quality", c.quality},
               {"budget", {{"total_micros", c.total_micros}, {"daily_micros", c.daily_micros}}},
               {"schedule", {{"from", format_time(c.from)}, {"to", format_time(c.to)}}}};
  if (c.cap)
    made["cap"] = {{"impressions", c.cap->impressions}, {"per", duration_text(c.cap->per)}};
  made["pacing"] = c.even_pacing ? "even" : "asap";
  made["relevance"] = strengths(c.relevance);
  if (!c.targeting.empty())
    made["targeting"] = c.targeting;
  made["creatives"] = json::array();
  for (const auto& x : c.creatives) {
    json creative = {{"id", x.id}, {"title", x.title}, {"body", x.body}, {"url", x.url}};
    if (!x.lang.empty())
      creative["lang"] = x.lang;
    made["creatives"].push_back(std::move(creative));
  }
  made["state"] = c.paused ? "paused" : "running";
  return made;
}

json to_json(const model::content_item& c) {
  json made = {{"content", c.id}, {"title", c.title}, {"url", c.url}, {"lang", c.lang}};
  made["regions"] = json::array();
  for (const auto& r : c.regions)
    made["regions"].push_back(r.view());
  made["topics"] = strengths(c.topics);
  made["published"] = format_time(c.published);
  return made;
}

json to_json(const model::impression& x) {
  return {{"impression", x.id},
          {"decision", x.decision},
          {"campaign", x.campaign},
          {"creative", x.creative},
          {"at", format_time(x.at)},
          {"state", to_string(x.state)},
          {"matched", x.matched},
          {"topics", topics_of(x.topics)},
          {"policy_version", x.policy_version}};
}

json decision_json(const ads_matched& decided) {
  json made = {{"decision", decided.decision}, {"ads", json::array()}};
  for (std::size_t i = 0; i < decided.ads.size(); ++i) {
    const auto& a = decided.ads[i];
    made["ads"].push_back({{"campaign", a.campaign},
                           {"creative", a.creative},
                           {"place", i + 1},
                           {"price_micros", a.price_micros},
                           {"impression", a.impression},
                           {"title", a.title},
                           {"body", a.body},
                           {"url", a.url}});
  }
  made["personal"] = decided.why_not_personal.empty();
  if (!decided.why_not_personal.empty())
    made["why_not_personal"] = decided.why_not_personal;
  made["policy_version"] = decided.policy_version;
  return made;
}

json why_json(const model::impression& x, const std::vector<not_used>& rest) {
  json made = {{"why", x.id},
               {"campaign", x.campaign},
               {"at", format_time(x.at)},
               {"matched", x.matched},
               {"topics", topics_of(x.topics)},
               {"not_used", json::array()},
               {"controls", json::array()},
               {"policy_version", x.policy_version}};
  for (const auto& n : rest)
    made["not_used"].push_back({{"what", n.what}, {"reason", n.reason}});
  std::string last;
  for (const auto& t : x.topics)
    if (auto control = "forget-interest " + std::string{model::info(t.topic).slug};
        control != last) {
      made["controls"].push_back(control);
      last = control;
    }
  made["controls"].push_back("hide " + x.id);
  return made;
}

json feed_json(const feed_ranked& feed) {
  json made = {{"items", json::array()}};
  for (const auto& i : feed.items) {
    auto topics = json::array();
    for (auto t : i.topics)
      topics.push_back(model::info(t).slug);
    made["items"].push_back({{"content", i.id},
                             {"title", i.title},
                             {"url", i.url},
                             {"lang", i.lang},
                             {"published", format_time(i.published)},
                             {"score", i.score},
                             {"because", std::move(topics)}});
  }
  made["personal"] = feed.why_not_personal.empty();
  if (!feed.why_not_personal.empty())
    made["why_not_personal"] = feed.why_not_personal;
  made["policy_version"] = feed.policy_version;
  return made;
}

} // namespace candor::gateway
