#include "actors/gateway/parse/users.hpp"

#include <algorithm>

#include <date/tz.h>
#include <fmt/format.h>

#include "actors/gateway/parse/fields.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

constexpr int first_birth_year = 1900;

result<bool> zone_known(std::string_view name) {
  try {
    const auto& all = date::get_tzdb();
    auto named = [&](const auto& x) { return x.name() == name; };
    return std::ranges::any_of(all.zones, named)
#if !USE_OS_TZDB
           || std::ranges::any_of(all.links, named)
#endif
        ;
  } catch (const std::exception&) {
    return fail(errc::unavailable, "this machine has no time zone database (package tzdata)");
  }
}

/// RFC 5321's lengths, one @ and a domain of labels; whether it takes mail shows when it does.
bool email_holds(std::string_view text) {
  auto at = text.find('@');
  if (at == std::string_view::npos || at == 0 || at > 64 || text.find(' ') != text.npos)
    return false;
  auto domain = text.substr(at + 1);
  auto allowed = [](unsigned char c) {
    return c >= 0x80 || c == '-' || c == '.' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
  };
  return !domain.empty() && std::ranges::all_of(domain, allowed) && domain.front() != '.' &&
         domain.back() != '.' && domain.find("..") == domain.npos &&
         domain.find('.') != domain.npos;
}

result<std::optional<timestamp>> past(const fields& in, std::string_view name, timestamp now) {
  CANDOR_TRY(at, in.day_or_time_or_none(name));
  if (at && *at > now + limits::future_tolerance)
    return in.refuse(errc::bad_value, name, "is in the future");
  return at;
}

} // namespace

result<model::user_details> parse_user_json(std::string_view body, const user_id& user,
                                            const model::region_table& regions, timestamp now) {
  CANDOR_TRY(content, decode_json(body, limits::single_body_bytes));
  CANDOR_TRY(in, fields::open(content, "",
                              {"user", "region", "region_since", "lang", "zone", "email",
                               "birth_year", "assistant_user_since", "app"}));
  CANDOR_TRY(repeated, in.text_or_none("user"));
  if (repeated && *repeated != user.value())
    return in.refuse(errc::bad_value, "user", "differs from the id in the path");

  model::user_details made;
  CANDOR_TRY(region, in.region_or_none("region", regions));
  made.region = region;
  CANDOR_TRY(region_since, past(in, "region_since", now));
  if (region_since && !region)
    return fail(errc::missing_field, "`region`, which `region_since` belongs to");
  made.region_since = region_since;
  CANDOR_TRY(lang, in.language_or_none("lang"));
  made.lang = std::move(lang);
  CANDOR_TRY(zone, in.name_text_or_none("zone", limits::zone_bytes));
  if (zone) {
    CANDOR_TRY(known, zone_known(*zone));
    if (!known)
      return in.refuse(errc::bad_value, "zone", "is a name of the IANA time zone database");
  }
  made.zone = std::move(zone);
  CANDOR_TRY(email, in.name_text_or_none("email", limits::email_bytes));
  if (email && !email_holds(*email))
    return in.refuse(errc::bad_value, "email", "is an address such as name@example.org");
  made.email = std::move(email);
  CANDOR_TRY(birth_year, in.whole_or_none("birth_year"));
  if (birth_year) {
    auto this_year = static_cast<int>(
        std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(now)}.year());
    if (*birth_year < first_birth_year || *birth_year > this_year)
      return in.refuse(errc::bad_value, "birth_year",
                       fmt::format("is within {} and {}", first_birth_year, this_year));
    made.birth_year = static_cast<int>(*birth_year);
  }
  CANDOR_TRY(assistant_since, past(in, "assistant_user_since", now));
  made.assistant_user_since = assistant_since;
  CANDOR_TRY(app, in.name_text_or_none("app", limits::app_bytes));
  made.app = std::move(app);
  return made;
}

} // namespace candor::parse
