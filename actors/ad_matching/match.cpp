#include "actors/ad_matching/match.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "actors/ad_matching/refusals.hpp"

namespace candor::ad_matching {

namespace {

using model::targeting::attribute;
using model::targeting::attributes;

std::int64_t hour_of_week(timestamp now) {
  using namespace std::chrono;
  auto day = floor<days>(now);
  auto since_monday = (weekday{day} - Monday).count();
  return since_monday * 24 + floor<hours>(now - day).count();
}

struct field {
  std::vector<std::shared_ptr<const model::live_campaign>> eligible;
  std::vector<bidder> bidders;
};

field bid_of(std::span<const std::shared_ptr<const model::live_campaign>> eligible,
             const ad_request& asked) {
  field made;
  auto strengths = asked.who.personal ? model::strengths_of(asked.who.topics) : model::interests{};
  for (const auto& c : eligible) {
    made.eligible.push_back(c);
    made.bidders.push_back({c->campaign.id, c->campaign.bid_micros, c->campaign.quality,
                            model::relevance(c->campaign.relevance, strengths)});
  }
  return made;
}

std::vector<std::shared_ptr<const model::live_campaign>>
eligible_of(const model::campaign_list& all, const ad_request& asked, const attributes& of) {
  std::vector<std::shared_ptr<const model::live_campaign>> made;
  for (const auto& c : all)
    if (!why_not(*c, asked, of))
      made.push_back(c);
  return made;
}

} // namespace

attributes attributes_of(const audience& who, const page& on, timestamp now) {
  attributes of;
  auto word = [&](attribute a, const std::string& personal, const std::string& said) {
    const auto& w = who.personal && !personal.empty() ? personal : said;
    if (!w.empty())
      of.set_word(a, w);
  };
  word(attribute::country, who.country, on.country);
  word(attribute::lang, who.lang, on.lang);
  word(attribute::region, {}, on.region);
  word(attribute::device, {}, on.device);
  word(attribute::placement, {}, on.placement);
  of.set_list(attribute::ctx, on.ctx);
  of.set_list(attribute::bcat, on.bcat);
  of.set_number(attribute::hour_of_week, hour_of_week(now));
  of.set_flag(attribute::consent, on.consent);
  of.set_flag(attribute::coppa, on.coppa);
  if (!who.personal)
    return of;
  word(attribute::age_band, who.age_band, {});
  of.set_list(attribute::segments, on.segments);
  of.set_list(attribute::follows, on.follows);
  std::vector<std::string> slugs;
  for (const auto& t : model::strengths_of(who.topics))
    slugs.emplace_back(model::info(t.topic).slug);
  of.set_list(attribute::topics, std::move(slugs));
  return of;
}

bool names_no_interest(const model::live_campaign& campaign) {
  return std::ranges::any_of(campaign.wants.topics_named(),
                             [](const auto& topic) { return !model::find_topic(topic); });
}

namespace {

/// What comes before the targeting in the order of objections, and what after; told as `tell`
/// does (refusals.hpp).
template <class Tell>
auto objects_before(const model::campaign& c, const ad_request& asked, Tell tell)
    -> decltype(tell.nothing()) {
  if (c.paused)
    return tell("paused", [] { return std::string{}; });
  if (asked.now < c.from || asked.now >= c.to)
    return tell("outside_schedule",
                [&] { return format_time(c.from) + " to " + format_time(c.to); });
  return tell.nothing();
}

template <class Tell>
auto objects_after(const model::campaign& c, const ad_request& asked, Tell tell)
    -> decltype(tell.nothing()) {
  if (asked.who.personal && among(asked.who.hidden, c.id))
    return tell("hidden", [] { return std::string{}; });
  if (c.cap) {
    if (!asked.who.personal) // nobody counts for a stranger
      return tell("capped",
                  [] { return std::string{"nothing is counted for who may not be known"}; });
    auto since = asked.now - c.cap->per;
    auto count = std::ranges::count_if(
        asked.who.shown, [&](const shown_ad& s) { return s.campaign == c.id && s.at > since; });
    if (count >= static_cast<std::ptrdiff_t>(c.cap->impressions))
      return tell("capped", [&] { return fmt::format("{} of {}", count, c.cap->impressions); });
  }
  if (asked.excluded.contains(c.id))
    return tell(asked.paced.contains(c.id) ? "paced" : "no_budget", [] { return std::string{}; });
  return tell.nothing();
}

} // namespace

objection why_not(const model::live_campaign& campaign, const ad_request& asked,
                  const attributes& of) {
  const auto& c = campaign.campaign;
  if (auto found = objects_before(c, asked, in_words{}))
    return found;
  // The second lock on a second path: creation refused this already.
  if (names_no_interest(campaign))
    return {"sensitive_targeting", {}};
  if (auto found = objects_of_page(asked.on, campaign, in_words{}))
    return found;
  if (auto failing = campaign.wants.first_failing(of); !failing.empty())
    return {"targeting", failing};
  return objects_after(c, asked, in_words{});
}

bool is_kept_away(const model::live_campaign& campaign, const ad_request& asked) {
  const auto& c = campaign.campaign;
  return objects_before(c, asked, in_silence{}) ||
         objects_of_page(asked.on, campaign, in_silence{}) || objects_after(c, asked, in_silence{});
}

objection not_found() {
  return {"not_found", "there is no such campaign, or this node has not heard of it yet"};
}

std::vector<winner> match(const model::campaign_list& all, const ad_request& asked, std::size_t k) {
  auto of = attributes_of(asked.who, asked.on, asked.now);
  return winners_of(eligible_of(all, asked, of), asked, of, k);
}

std::vector<winner>
winners_of(std::span<const std::shared_ptr<const model::live_campaign>> eligible,
           const ad_request& asked, const attributes& of, std::size_t k) {
  auto taking_part = bid_of(eligible, asked);
  std::vector<winner> winners;
  for (const auto& p : run_auction(taking_part.bidders, k, reserve_of(asked.on))) {
    winner w;
    w.campaign = taking_part.eligible[p.bidder];
    w.price_micros = p.price_micros;
    w.matched = w.campaign->wants.reasons(of);
    auto named = w.campaign->wants.topics_named();
    if (asked.who.personal)
      for (const auto& t : asked.who.topics) {
        auto relevant = std::ranges::any_of(w.campaign->campaign.relevance,
                                            [&](const auto& r) { return r.topic == t.topic; });
        if (relevant || among(named, model::info(t.topic).slug))
          w.topics.push_back(t);
      }
    winners.push_back(std::move(w));
  }
  return winners;
}

objection standing(const model::campaign_list& all, const ad_request& asked, const std::string& id,
                   std::size_t k) {
  auto it = std::ranges::find_if(all, [&](const auto& c) { return c->campaign.id == id; });
  if (it == all.end())
    return not_found();
  auto of = attributes_of(asked.who, asked.on, asked.now);
  if (auto found = why_not(**it, asked, of))
    return found;
  return standing_among(eligible_of(all, asked, of), asked, id, k);
}

objection standing_among(std::span<const std::shared_ptr<const model::live_campaign>> eligible,
                         const ad_request& asked, const std::string& id, std::size_t k) {
  auto taking_part = bid_of(eligible, asked);
  auto places = run_auction(taking_part.bidders, k, reserve_of(asked.on));
  auto own = std::ranges::find(taking_part.bidders, std::string_view{id}, &bidder::id);
  for (const auto& p : places)
    if (taking_part.bidders[p.bidder].id == id)
      return {"eligible", fmt::format("it would win for {} micros", p.price_micros)};
  const auto& last = taking_part.bidders[places.back().bidder];
  auto needed = static_cast<std::int64_t>(last.rank() / (wide(own->quality) * own->relevance)) + 1;
  return {"outbid",
          fmt::format("{} micros more would take the last place", needed - own->bid_micros)};
}

} // namespace candor::ad_matching
