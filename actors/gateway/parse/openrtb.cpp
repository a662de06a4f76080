#include "actors/gateway/parse/openrtb.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "actors/gateway/parse/country.hpp"
#include "actors/gateway/parse/value.hpp"
#include "storage/base/ascii.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/domain.hpp"
#include "storage/model/targeting/expression.hpp"
#include "storage/model/topic.hpp"

namespace candor::parse {

namespace {

using model::targeting::attribute;
using model::targeting::canonical;

constexpr double micros_of_a_cpm_unit = 1000; ///< a CPM of 1.00 is 1 000 micros an impression

/// One object; `path` names it in refusals. Nothing there reads as an empty one.
class object {
public:
  object(const value* of, std::string path)
    : of_{of}
    , path_{std::move(path)} {}

  bool exists() const { return of_ != nullptr; }

  /// null counts as absent.
  const value* find(std::string_view name) const {
    auto found = of_ ? of_->find(name) : nullptr;
    return found && found->is != value::kind::null ? found : nullptr;
  }

  tl::unexpected<error> refuse(std::string_view name, std::string_view what) const {
    return fail(errc::bad_value, fmt::format("`{}` {}", full(name), what));
  }

  result<object> record(std::string_view name) const {
    auto found = find(name);
    if (found && found->is != value::kind::record)
      return refuse(name, fmt::format("is an object, not {}", kind_of(*found)));
    return object{found, full(name)};
  }

  result<std::vector<object>> records(std::string_view name) const {
    std::vector<object> made;
    CANDOR_TRY(items, list(name));
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i]->is != value::kind::record)
        return refuse(name, "is a list of objects");
      made.emplace_back(items[i], fmt::format("{}[{}]", full(name), i));
    }
    return made;
  }

  result<std::string_view> text(std::string_view name) const {
    auto found = find(name);
    if (!found)
      return std::string_view{};
    if (found->is != value::kind::text)
      return refuse(name, fmt::format("is a string, not {}", kind_of(*found)));
    return found->text;
  }

  result<std::vector<std::string_view>> texts(std::string_view name) const {
    std::vector<std::string_view> made;
    CANDOR_TRY(items, list(name));
    for (auto item : items) {
      if (item->is != value::kind::text)
        return refuse(name, "is a list of strings");
      made.push_back(item->text);
    }
    return made;
  }

  result<std::optional<std::int64_t>> whole(std::string_view name) const {
    auto found = find(name);
    if (!found)
      return std::nullopt;
    if (found->is != value::kind::whole)
      return refuse(name, "is a whole number");
    return found->whole;
  }

  /// 0 or 1; absent is 0.
  result<bool> flag(std::string_view name) const {
    CANDOR_TRY(n, whole(name));
    if (n && *n != 0 && *n != 1)
      return refuse(name, "is 0 or 1");
    return n == 1;
  }

  /// Not negative; absent is 0.
  result<double> amount(std::string_view name) const {
    auto found = find(name);
    if (!found)
      return 0.0;
    if (found->is != value::kind::whole && found->is != value::kind::real)
      return refuse(name, fmt::format("is a number, not {}", kind_of(*found)));
    if (!(found->real >= 0 && found->real <= limits::bid_request_cpm))
      return refuse(name, "is an amount of 0 or more");
    return found->real;
  }

private:
  std::string full(std::string_view name) const {
    return path_.empty() ? std::string{name} : fmt::format("{}.{}", path_, name);
  }
  result<std::vector<const value*>> list(std::string_view name) const {
    std::vector<const value*> made;
    auto found = find(name);
    if (!found)
      return made;
    if (found->is != value::kind::list)
      return refuse(name, fmt::format("is a list, not {}", kind_of(*found)));
    for (const auto& item : found->items)
      made.push_back(&item);
    return made;
  }

  const value* of_;
  std::string path_;
};

/// As many as an expression can name; what is over that could not be asked for.
void add(std::vector<std::string>& to, std::string_view word) {
  if (to.size() < model::targeting::values_max && std::ranges::find(to, word) == to.end())
    to.emplace_back(word);
}

std::vector<std::string_view> topics_of(std::string_view iab) {
  std::vector<std::string_view> slugs;
  for (const auto& t : model::topics())
    if (!t.iab.empty() && t.iab == iab)
      slugs.push_back(t.slug);
  return slugs;
}

/// What the page is about. A category that several topics lie in tells of none of them.
result<void> read_page_categories(const object& page, bid_request& into) {
  CANDOR_TRY(taxonomy, page.whole("cattax"));
  for (std::string_view name : {"cat", "sectioncat", "pagecat"}) {
    CANDOR_TRY(categories, page.texts(name));
    if (taxonomy != content_taxonomy)
      continue;
    for (auto c : categories)
      if (auto slugs = topics_of(c); slugs.size() == 1)
        add(into.ctx, slugs.front());
  }
  return {};
}

result<void> read_page(const object& request, bid_request& into) {
  for (std::string_view name : {"site", "app"}) {
    CANDOR_TRY(page, request.record(name));
    CANDOR_TRY_VOID(read_page_categories(page, into));
    CANDOR_TRY(content, page.record("content"));
    CANDOR_TRY_VOID(read_page_categories(content, into));
  }
  return {};
}

result<void> read_blocks(const object& request, bid_request& into) {
  CANDOR_TRY(taxonomy, request.whole("cattax"));
  CANDOR_TRY(categories, request.texts("bcat"));
  if (!categories.empty() && taxonomy != content_taxonomy)
    into.refused = no_bid::categories_unread;
  for (auto c : categories)
    for (auto slug : topics_of(c)) // all that it may mean: a block is taken at its widest
      add(into.bcat, slug);
  CANDOR_TRY(domains, request.texts("badv"));
  for (auto d : domains)
    if (!d.empty() && d.size() <= model::domain_bytes_max)
      into.badv.push_back(model::canonical_domain(d));
  for (std::string_view name : {"wlang", "wlangb"}) {
    CANDOR_TRY(languages, request.texts(name));
    for (auto l : languages)
      add(into.wlang, ascii_lower(l.substr(0, l.find('-'))));
  }
  return {};
}

std::string_view device_of(std::int64_t type) {
  switch (type) { // AdCOM 1.0, "List: Device Types"
    case 2:
      return "desktop";
    case 3:
    case 7:
      return "tv";
    case 4:
      return "phone";
    case 5:
      return "tablet";
    case 6:
    case 8:
      return "other";
    default: // 1 is a phone or a tablet
      return {};
  }
}

result<void> read_device(const object& device, bid_request& into) {
  CANDOR_TRY(type, device.whole("devicetype"));
  into.device = device_of(type.value_or(0));
  for (std::string_view name : {"language", "langb"}) {
    CANDOR_TRY(tag, device.text(name));
    if (auto lang = canonical(attribute::lang, ascii_lower(tag.substr(0, tag.find('-'))));
        lang && into.lang.empty())
      into.lang = std::move(*lang);
  }
  CANDOR_TRY(geo, device.record("geo"));
  CANDOR_TRY(country, geo.text("country"));
  into.country =
      country.size() == 2 && canonical(attribute::country, country) ? country : country_of(country);
  CANDOR_TRY(region, geo.text("region"));
  if (region.empty() || into.country.empty())
    return {};
  auto full = region.find('-') == region.npos ? fmt::format("{}-{}", into.country, region)
                                              : std::string{region};
  if (auto known = canonical(attribute::region, full))
    into.region = std::move(*known);
  return {};
}

/// IAB's "U.S. Privacy String": version, notice given, sale opted out of, LSPA.
bool us_privacy_allows(std::string_view text) {
  if (text.empty())
    return true;
  auto letters = [](char c) { return c == 'Y' || c == 'N' || c == '-'; };
  return text.size() == 4 && text[0] == '1' && std::ranges::all_of(text.substr(1), letters) &&
         text[2] != 'Y';
}

/// Whether the person may be known. A consent string is no consent here: nobody has told Candor's
/// number in the list of vendors that it would have to name.
result<void> read_privacy(const object& request, const object& device, bid_request& into) {
  CANDOR_TRY(regs, request.record("regs"));
  CANDOR_TRY(coppa, regs.flag("coppa"));
  into.coppa = coppa;
  CANDOR_TRY(before_2_6, regs.record("ext"));
  for (const auto& at : {regs, before_2_6}) {
    CANDOR_TRY(gdpr, at.flag("gdpr"));
    CANDOR_TRY(us_privacy, at.text("us_privacy"));
    CANDOR_TRY(gpp, at.text("gpp"));
    into.consent &= !gdpr && us_privacy_allows(us_privacy) && gpp.empty();
  }
  for (std::string_view name : {"dnt", "lmt"}) {
    CANDOR_TRY(limited, device.flag(name));
    into.consent &= !limited;
  }
  return {};
}

result<void> read_user(const object& request, bid_request& into) {
  CANDOR_TRY(user, request.record("user"));
  CANDOR_TRY(ours, user.text("buyeruid"));
  CANDOR_TRY(theirs, user.text("id"));
  CANDOR_TRY(data, user.records("data"));
  std::vector<std::string> segments;
  for (const auto& d : data) {
    CANDOR_TRY(list, d.records("segment"));
    for (const auto& s : list) {
      CANDOR_TRY(id, s.text("id"));
      // (What names a sensitive category, or is no word, is passed over.)
      if (auto word = canonical(attribute::segments, id))
        add(segments, *word);
    }
  }
  if (!into.consent || into.coppa)
    return {};
  // Who cannot be one of our users is nobody.
  if (auto id = user_id::parse(ours.empty() ? theirs : ours))
    into.user = id->value();
  into.segments = std::move(segments);
  return {};
}

result<void> read_places(const object& request, bid_request& into) {
  CANDOR_TRY(imps, request.records("imp"));
  if (imps.empty())
    return fail(errc::missing_field, "`imp`: at least one");
  for (const auto& imp : imps) {
    CANDOR_TRY(id, imp.text("id"));
    if (id.empty() || id.size() > limits::bid_request_id_bytes)
      return imp.refuse("id", fmt::format("has 1 to {} bytes", limits::bid_request_id_bytes));
    CANDOR_TRY(floor, imp.amount("bidfloor"));
    CANDOR_TRY(currency, imp.text("bidfloorcur"));
    CANDOR_TRY(banner, imp.record("banner"));
    CANDOR_TRY(native, imp.record("native"));
    CANDOR_TRY(deals, imp.record("pmp"));
    CANDOR_TRY(deals_only, deals.flag("private_auction"));
    auto foreign = floor > 0 && !currency.empty() && currency != bid_currency;
    if (foreign || deals_only || (!banner.exists() && !native.exists()) ||
        into.places.size() == limits::ads_per_decision)
      continue;
    into.places.push_back({std::string{id}, native.exists() ? "feed" : "banner",
                           static_cast<std::int64_t>(std::ceil(floor * micros_of_a_cpm_unit))});
  }
  if (into.places.empty())
    into.refused = no_bid::no_place_to_fill;
  return {};
}

/// Whom and what the exchange would take a bid from and in.
result<void> read_terms(const object& request, bid_request& into) {
  CANDOR_TRY(test, request.flag("test"));
  into.test = test;
  CANDOR_TRY(type, request.whole("at"));
  if (type && *type < 1)
    return request.refuse("at", "is a type of auction, such as 1 or 2");
  CANDOR_TRY(tmax, request.whole("tmax"));
  if (tmax && *tmax < 0)
    return request.refuse("tmax", "is a number of milliseconds");
  if (tmax && *tmax > 0)
    into.tmax = millis{*tmax};
  CANDOR_TRY(currencies, request.texts("cur"));
  if (!currencies.empty() && std::ranges::find(currencies, bid_currency) == currencies.end())
    into.refused = no_bid::currency;
  CANDOR_TRY(seats, request.texts("wseat"));
  CANDOR_TRY(blocked, request.texts("bseat"));
  if ((!seats.empty() && std::ranges::find(seats, bid_seat) == seats.end()) ||
      std::ranges::find(blocked, bid_seat) != blocked.end())
    into.refused = no_bid::seat_blocked;
  return {};
}

} // namespace

result<bid_request> parse_bid_request(std::string_view body) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes,
                                  {limits::bid_request_fields, limits::bid_request_items}));
  if (content.is != value::kind::record)
    return fail(errc::malformed, fmt::format("an object is wanted, this is {}", kind_of(content)));
  object request{&content, {}};
  bid_request made;
  CANDOR_TRY(id, request.text("id"));
  if (id.empty() || id.size() > limits::bid_request_id_bytes)
    return id.empty() ? fail(errc::missing_field, "`id`")
                      : request.refuse("id", fmt::format("has at most {} bytes",
                                                         limits::bid_request_id_bytes));
  made.id = id;
  CANDOR_TRY_VOID(read_places(request, made));
  CANDOR_TRY_VOID(read_page(request, made));
  CANDOR_TRY_VOID(read_blocks(request, made));
  CANDOR_TRY(device, request.record("device"));
  CANDOR_TRY_VOID(read_device(device, made));
  CANDOR_TRY_VOID(read_privacy(request, device, made));
  CANDOR_TRY_VOID(read_user(request, made));
  CANDOR_TRY_VOID(read_terms(request, made));
  return made;
}

} // namespace candor::parse
