#include "actors/gateway/parse/ads.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "actors/gateway/parse/fields.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/domain.hpp"
#include "storage/model/targeting/expression.hpp"

namespace candor::parse {

namespace {

using model::targeting::attribute;

result<std::int64_t> whole(const fields& in, std::string_view name, std::int64_t least,
                           std::int64_t most) {
  CANDOR_TRY(n, in.whole_or_none(name));
  if (!n)
    return fail(errc::missing_field, "`" + in.full_name(name) + "`");
  if (*n < least || *n > most)
    return in.refuse(errc::bad_value, name, fmt::format("is within {} and {}", least, most));
  return *n;
}

result<std::vector<model::topic_strength>> strengths(const fields& in, std::string_view name) {
  std::vector<model::topic_strength> made;
  auto of = in.find(name);
  if (!of)
    return made;
  if (of->is != value::kind::record)
    return in.refuse(errc::bad_value, name, "is a record of topics with weights");
  for (std::size_t i = 0; i < of->items.size(); ++i) {
    auto topic = model::find_topic(of->names[i]);
    if (!topic) {
      auto sensitive = model::find_category(of->names[i]);
      return in.refuse(sensitive ? errc::sensitive_targeting : errc::unknown_topic, name,
                       "names " + quoted(of->names[i]));
    }
    const auto& weight = of->items[i];
    if (weight.is != value::kind::whole || weight.whole < 1 || weight.whole > 255)
      return in.refuse(errc::bad_value, name, "has weights of 1 to 255");
    made.push_back({*topic, static_cast<std::uint8_t>(weight.whole)});
  }
  std::ranges::sort(made, {}, &model::topic_strength::topic);
  return made;
}

/// The JSON form of an expression as text, which is then read as any other.
result<std::string> expression_text(const value& of, std::size_t depth) {
  constexpr std::string_view shape =
      R"({"and":[…]}, {"or":[…]}, {"not":…} or {"attr":…,"in"|"not_in"|"eq"|"ne"|"ge"|"le"|)"
      R"("one_of"|"none_of"|"all_of":…})";
  auto wrong = [&] {
    return fail(errc::targeting_invalid, "a JSON expression is " + std::string{shape});
  };
  if (of.is != value::kind::record || of.items.empty() || of.items.size() > 2 ||
      depth > model::targeting::depth_max)
    return wrong();
  auto word = [](const value& v) { return fmt::format("\"{}\"", v.text); };
  for (std::string_view joint : {"and", "or"})
    if (auto members = of.find(joint)) {
      if (of.items.size() != 1 || members->is != value::kind::list || members->items.empty())
        return wrong();
      std::string made;
      for (const auto& m : members->items) {
        CANDOR_TRY(text, expression_text(m, depth + 1));
        made += (made.empty() ? "(" : fmt::format(" {} ", joint)) + text;
      }
      return made + ")";
    }
  if (auto inner = of.find("not")) {
    CANDOR_TRY(text, expression_text(*inner, depth + 1));
    return of.items.size() == 1 ? result<std::string>{"not " + text} : wrong();
  }
  auto named = of.find("attr");
  if (!named || named->is != value::kind::text)
    return wrong();
  if (of.items.size() == 1)
    return std::string{named->text};
  constexpr std::pair<std::string_view, std::string_view> operators[] = {
      {"in", "in"},         {"not_in", "not in"},   {"eq", "="},
      {"ne", "<>"},         {"ge", ">="},           {"le", "<="},
      {"one_of", "one of"}, {"none_of", "none of"}, {"all_of", "all of"}};
  for (auto [name, sign] : operators) {
    auto what = of.find(name);
    if (!what)
      continue;
    auto made = fmt::format("{} {} ", named->text, sign);
    if (what->is == value::kind::whole)
      return made + std::to_string(what->whole);
    if (what->is == value::kind::text)
      return made + word(*what);
    if (what->is != value::kind::list)
      return wrong();
    std::string list;
    for (const auto& v : what->items) {
      if (v.is != value::kind::text || v.text.find_first_of("\"\\") != v.text.npos)
        return wrong();
      list += (list.empty() ? "(" : ", ") + word(v);
    }
    return made + (list.empty() ? "(" : list) + ")";
  }
  return wrong();
}

result<std::string> targeting(const fields& in) {
  auto given = in.find("targeting");
  if (!given)
    return std::string{};
  std::string text;
  if (given->is == value::kind::text) {
    text = given->text;
  } else {
    CANDOR_TRY(written, expression_text(*given, 0));
    text = std::move(written);
  }
  auto parsed = model::targeting::expression::parse(text);
  if (!parsed)
    return fail(parsed.error().code, "`targeting`, " + parsed.error().detail);
  return parsed->to_text();
}

result<std::optional<model::frequency_cap>> cap(const fields& in) {
  using maybe = std::optional<model::frequency_cap>;
  auto given = in.find("cap");
  if (!given)
    return maybe{};
  CANDOR_TRY(of, fields::open(*given, "cap", {"impressions", "per"}));
  CANDOR_TRY(impressions, whole(of, "impressions", 1, limits::impressions_remembered / 2));
  CANDOR_TRY(text, of.text("per"));
  auto per = parse_duration(text);
  if (!per || *per < std::chrono::minutes{1} || *per > limits::cap_window_max)
    return of.refuse(errc::bad_value, "per", "is a duration such as 24h, of 1m to 30d");
  return maybe{{static_cast<std::uint32_t>(impressions), *per}};
}

/// What a request says of itself, as targeting spells it; absent: empty.
result<void> read_words(const fields& in, std::string_view name, attribute a, std::string& into) {
  CANDOR_TRY(text, in.text_or_none(name));
  if (!text)
    return {};
  auto made = model::targeting::canonical(a, *text);
  if (!made)
    return in.refuse(made.error().code, name, made.error().detail);
  into = std::move(*made);
  return {};
}

result<std::vector<model::creative>> creatives(const fields& in) {
  auto given = in.find("creatives");
  if (!given || given->is != value::kind::list || given->items.empty())
    return in.refuse(errc::missing_field, "creatives", "is a list of at least one");
  if (given->items.size() > limits::creatives)
    return in.refuse(errc::too_many, "creatives", fmt::format("has at most {}", limits::creatives));
  std::vector<model::creative> made;
  for (const auto& item : given->items) {
    CANDOR_TRY(of, fields::open(item, "creatives", {"id", "title", "body", "url", "lang"}));
    model::creative c;
    CANDOR_TRY(id, of.name_text("id", limits::item_id_bytes));
    CANDOR_TRY(title, of.name_text("title", limits::item_text_bytes));
    CANDOR_TRY(body, of.name_text_or_none("body", limits::item_text_bytes));
    CANDOR_TRY(url, of.name_text("url", limits::item_text_bytes));
    if (!url.starts_with("https://"))
      return of.refuse(errc::bad_value, "url", "begins with https://");
    // (A browser would decode it: then it is another advertiser's than it seems.)
    if (auto host = model::host_of(url); host.empty() || host.find('%') != host.npos)
      return of.refuse(errc::bad_value, "url", "names a host, without %");
    if (std::ranges::find(made, id, &model::creative::id) != made.end())
      return of.refuse(errc::bad_value, "id", "stands twice");
    CANDOR_TRY_VOID(read_words(of, "lang", attribute::lang, c.lang));
    made.push_back(
        {std::move(id), std::move(title), body.value_or(""), std::move(url), std::move(c.lang)});
  }
  return made;
}

result<void> same_id(const fields& in, std::string_view name, std::string_view id) {
  CANDOR_TRY_VOID(check_item_id(id));
  CANDOR_TRY(repeated, in.text_or_none(name));
  if (repeated && *repeated != id)
    return in.refuse(errc::bad_value, name, "differs from the id in the path");
  return {};
}

result<void> read_words(const fields& in, std::string_view name, attribute a,
                        std::vector<std::string>& into) {
  CANDOR_TRY(texts, in.texts(name, model::targeting::values_max));
  for (auto text : texts) {
    auto one = model::targeting::canonical(a, text);
    if (!one)
      return in.refuse(one.error().code, name, "names " + quoted(text));
    into.push_back(std::move(*one));
  }
  return {};
}

result<bool> truth(const fields& in, std::string_view name, bool otherwise) {
  auto v = in.find(name);
  if (!v)
    return otherwise;
  if (v->is != value::kind::boolean)
    return in.refuse(errc::bad_value, name, "is true or false");
  return v->whole != 0;
}

result<void> read_context(const fields& in, match_request& into) {
  auto given = in.find("context");
  if (!given)
    return {};
  CANDOR_TRY(of, fields::open(*given, "context",
                              {"country", "region", "lang", "device", "placement", "ctx", "bcat",
                               "badv", "segments", "follows", "consent", "coppa"}));
  CANDOR_TRY_VOID(read_words(of, "country", attribute::country, into.country));
  CANDOR_TRY_VOID(read_words(of, "region", attribute::region, into.region));
  CANDOR_TRY_VOID(read_words(of, "lang", attribute::lang, into.lang));
  CANDOR_TRY_VOID(read_words(of, "device", attribute::device, into.device));
  CANDOR_TRY_VOID(read_words(of, "placement", attribute::placement, into.placement));
  CANDOR_TRY_VOID(read_words(of, "ctx", attribute::ctx, into.ctx));
  CANDOR_TRY_VOID(read_words(of, "bcat", attribute::bcat, into.bcat));
  CANDOR_TRY(blocked, of.texts("badv", model::targeting::values_max));
  for (auto b : blocked) {
    if (b.empty() || b.size() > model::domain_bytes_max || !plain_utf8(b))
      return of.refuse(errc::bad_value, "badv",
                       fmt::format("names advertisers or their domains, each of 1 to {} bytes",
                                   model::domain_bytes_max));
    into.badv.push_back(model::canonical_domain(b));
  }
  CANDOR_TRY_VOID(read_words(of, "segments", attribute::segments, into.segments));
  CANDOR_TRY_VOID(read_words(of, "follows", attribute::follows, into.follows));
  CANDOR_TRY(consent, truth(of, "consent", true));
  CANDOR_TRY(coppa, truth(of, "coppa", false));
  into.consent = consent;
  into.coppa = coppa;
  return {};
}

} // namespace

result<void> check_item_id(std::string_view id) {
  if (id.empty() || id.size() > limits::item_id_bytes || !plain_utf8(id) || id.find('/') != id.npos)
    return fail(errc::bad_value, fmt::format("an id has 1 to {} bytes of plain text without /",
                                             limits::item_id_bytes));
  return {};
}

result<model::campaign> parse_campaign_json(std::string_view body, std::string_view id,
                                            timestamp now) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  CANDOR_TRY(in,
             fields::open(content, "",
                          {"campaign", "advertiser", "bid_micros", "quality", "budget", "schedule",
                           "cap", "pacing", "relevance", "targeting", "creatives"}));
  CANDOR_TRY_VOID(same_id(in, "campaign", id));
  model::campaign made;
  made.id = id;
  CANDOR_TRY(advertiser, in.name_text("advertiser", limits::item_id_bytes));
  made.advertiser = std::move(advertiser);
  CANDOR_TRY(bid, whole(in, "bid_micros", 1, limits::money_micros));
  made.bid_micros = bid;
  CANDOR_TRY(quality, whole(in, "quality", 1, 255));
  made.quality = static_cast<std::uint8_t>(quality);

  CANDOR_TRY(budget_given, in.any("budget"));
  CANDOR_TRY(budget, fields::open(*budget_given, "budget", {"total_micros", "daily_micros"}));
  CANDOR_TRY(total, whole(budget, "total_micros", 1, 10 * limits::money_micros));
  made.total_micros = total;
  made.daily_micros = total;
  if (budget.has("daily_micros")) {
    CANDOR_TRY(daily, whole(budget, "daily_micros", 1, total));
    made.daily_micros = daily;
  }
  CANDOR_TRY(schedule_given, in.any("schedule"));
  CANDOR_TRY(schedule, fields::open(*schedule_given, "schedule", {"from", "to"}));
  CANDOR_TRY(from, schedule.time("from"));
  CANDOR_TRY(to, schedule.time("to"));
  if (to <= from)
    return schedule.refuse(errc::bad_value, "to", "is after `from`");
  if (to <= now)
    return schedule.refuse(errc::bad_value, "to", "is over already");
  made.from = from;
  made.to = to;
  CANDOR_TRY(limit, cap(in));
  made.cap = limit;
  CANDOR_TRY(pacing, in.text_or_none("pacing"));
  if (pacing && *pacing != "even" && *pacing != "asap")
    return in.refuse(errc::bad_value, "pacing", "is even or asap");
  made.even_pacing = pacing == "even";
  CANDOR_TRY(relevance, strengths(in, "relevance"));
  made.relevance = std::move(relevance);
  CANDOR_TRY(wants, targeting(in));
  made.targeting = std::move(wants);
  CANDOR_TRY(shown, creatives(in));
  made.creatives = std::move(shown);
  return made;
}

result<model::content_item> parse_content_json(std::string_view body, std::string_view id,
                                               const model::region_table& regions) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  CANDOR_TRY(in,
             fields::open(content, "",
                          {"content", "title", "url", "lang", "regions", "topics", "published"}));
  CANDOR_TRY_VOID(same_id(in, "content", id));
  model::content_item made;
  made.id = id;
  CANDOR_TRY(title, in.name_text("title", limits::item_text_bytes));
  made.title = std::move(title);
  CANDOR_TRY(url, in.name_text("url", limits::item_text_bytes));
  if (!url.starts_with("https://"))
    return in.refuse(errc::bad_value, "url", "begins with https://");
  made.url = std::move(url);
  CANDOR_TRY(lang, in.language_or_none("lang"));
  made.lang = lang.value_or("");
  CANDOR_TRY(codes, in.texts("regions", model::targeting::values_max));
  for (auto code : codes) {
    auto region = regions.find(code);
    if (!region)
      return in.refuse(region.error().code, "regions", "names " + quoted(code));
    made.regions.push_back(*region);
  }
  CANDOR_TRY(topics, strengths(in, "topics"));
  made.topics = std::move(topics);
  CANDOR_TRY(published, in.time("published"));
  made.published = published;
  return made;
}

namespace {

/// Empty where nobody is named.
result<std::string> read_user(const fields& in) {
  CANDOR_TRY(user, in.text_or_none("user"));
  if (!user)
    return std::string{};
  auto id = user_id::parse(*user);
  if (!id)
    return in.refuse(id.error().code, "user", id.error().detail);
  return id->value();
}

} // namespace

result<match_request> parse_match_json(std::string_view body, bool asks_why_not) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  std::string_view name = asks_why_not ? "why_not" : "match";
  CANDOR_TRY(outer, fields::open(content, "", {name}));
  CANDOR_TRY(inner, outer.any(name));
  match_request made;
  auto opened = asks_why_not
                    ? fields::open(*inner, std::string{name}, {"user", "campaign", "context"})
                    : fields::open(*inner, std::string{name}, {"user", "k", "context"});
  if (!opened)
    return tl::unexpected<error>{opened.error()};
  const auto& in = *opened;
  CANDOR_TRY(user, read_user(in));
  made.user = std::move(user);
  if (asks_why_not) {
    CANDOR_TRY(campaign, in.name_text("campaign", limits::item_id_bytes));
    made.campaign = std::move(campaign);
  } else if (in.has("k")) {
    CANDOR_TRY(k, whole(in, "k", 1, limits::ads_per_decision));
    made.k = static_cast<std::uint32_t>(k);
  }
  CANDOR_TRY_VOID(read_context(in, made));
  return made;
}

result<ad_happened> parse_ad_event_json(std::string_view body) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  CANDOR_TRY(in, fields::open(content, "", {"event", "impression", "user"}));
  ad_happened made;
  CANDOR_TRY(what, in.text("event"));
  if (what != "impression" && what != "click" && what != "hide")
    return in.refuse(errc::bad_value, "event", "is impression, click or hide");
  made.what = what;
  CANDOR_TRY(impression, in.name_text("impression", limits::item_id_bytes));
  made.impression = std::move(impression);
  CANDOR_TRY(user, read_user(in));
  made.user = std::move(user);
  return made;
}

result<feed_happened> parse_feed_event_json(std::string_view body) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  CANDOR_TRY(in, fields::open(content, "", {"event", "content"}));
  CANDOR_TRY(what, in.text("event"));
  if (what != "seen" && what != "hide")
    return in.refuse(errc::bad_value, "event", "is seen or hide");
  feed_happened made;
  made.hidden = what == "hide";
  CANDOR_TRY(item, in.name_text("content", limits::item_id_bytes));
  made.content = std::move(item);
  return made;
}

} // namespace candor::parse
