#include "actors/gateway/problem.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace candor::gateway {

namespace {

constexpr int retry_after_s = 1;

bool hex_of(std::string_view text, std::size_t digits) {
  auto lower_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return text.size() == digits && std::ranges::all_of(text, lower_hex);
}

bool all_zero(std::string_view text) {
  return text.find_first_not_of('0') == text.npos;
}

/// The trace id and flags of `version-trace-parent-flags`.
std::optional<std::pair<std::string_view, std::string_view>> read_traceparent(std::string_view t) {
  if (t.size() < 55 || t[2] != '-' || t[35] != '-' || t[52] != '-')
    return std::nullopt;
  auto version = t.substr(0, 2), trace = t.substr(3, 32), parent = t.substr(36, 16),
       flags = t.substr(53, 2);
  auto length_holds = version == "00" ? t.size() == 55 : t.size() == 55 || t[55] == '-';
  if (!length_holds || !hex_of(version, 2) || version == "ff" || !hex_of(trace, 32) ||
      !hex_of(parent, 16) || !hex_of(flags, 2) || all_zero(trace) || all_zero(parent))
    return std::nullopt;
  return std::pair{trace, flags};
}

} // namespace

problem_kind kind_of(errc code) {
  const auto& row = info(code);
  return {std::string{row.slug}, std::string{row.sentence}, std::string{row.remedy},
          row.http_status};
}

reply make_problem(const problem_kind& kind, std::string_view detail, std::string_view trace_id,
                   std::optional<std::string_view> event_id) {
  nlohmann::ordered_json body = {{"type", "https://candor.invalid/problems/" + kind.code},
                                 {"title", kind.title},
                                 {"status", kind.status},
                                 {"code", kind.code}};
  if (!detail.empty())
    body["detail"] = detail;
  if (!kind.remedy.empty())
    body["remedy"] = kind.remedy;
  body["trace_id"] = trace_id;
  if (event_id)
    body["id"] = *event_id;
  reply made;
  made.status = kind.status;
  made.content_type = "application/problem+json";
  made.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (kind.status == 429 || kind.status == 503)
    made.headers.emplace_back("Retry-After", std::to_string(retry_after_s));
  if (kind.status == 401)
    made.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"candor\"");
  return made;
}

reply make_problem(const error& why, std::string_view trace_id) {
  return make_problem(kind_of(why.code), why.detail, trace_id);
}

void join_trace(exchange& x, rng& random) {
  std::string flags = "00";
  if (auto given = read_traceparent(x.head.traceparent)) {
    x.trace_id = given->first;
    flags = given->second;
  } else {
    x.trace_id = fmt::format("{:016x}{:016x}", random.next(), random.next() | 1);
  }
  x.traceparent = fmt::format("00-{}-{:016x}-{}", x.trace_id, random.next() | 1, flags);
}

} // namespace candor::gateway
