#include "actors/gateway/session.hpp"

#include <charconv>

#include <fmt/format.h>

#include "storage/base/limits.hpp"

namespace candor::gateway {

namespace {

/// Takes a number and what ends it off the front.
template <class Number>
bool take(std::string_view& from, Number& into, char ends_with) {
  auto [end, ec] = std::from_chars(from.data(), from.data() + from.size(), into);
  auto used = static_cast<std::size_t>(end - from.data());
  if (ec != std::errc{} ||
      (ends_with ? used == from.size() || *end != ends_with : used != from.size()))
    return false;
  from.remove_prefix(ends_with ? used + 1 : used);
  return true;
}

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == text.npos)
    return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

} // namespace

result<session_seen> session_seen::parse(std::string_view header) {
  session_seen seen;
  std::size_t count = 0;
  for (auto rest = header; !rest.empty();) {
    auto comma = rest.find(',');
    auto one = trimmed(rest.substr(0, comma));
    rest = comma == rest.npos ? std::string_view{} : rest.substr(comma + 1);
    if (++count > limits::session_tokens)
      return fail(errc::too_many,
                  fmt::format("`Candor-Session` holds at most {} tokens", limits::session_tokens));
    if (one == "*") {
      seen.anything_ = true;
      continue;
    }
    session_token token;
    if (!take(one, token.shard, '.') || !take(one, token.generation, '.') ||
        !take(one, token.seq, '\0'))
      return fail(errc::bad_value, "`Candor-Session` is a list of shard.generation.seq, as an "
                                   "answer gave them");
    seen.add(token);
  }
  return seen;
}

session_token session_seen::of(shard_id shard) const {
  auto found = tokens_.find(shard);
  return found == tokens_.end() ? session_token{shard, 0, 0} : found->second;
}

std::string session_seen::to_header() const {
  if (anything_ || tokens_.size() > limits::session_tokens)
    return "*";
  std::string text;
  for (const auto& [_, t] : tokens_)
    text += fmt::format("{}{}.{}.{}", text.empty() ? "" : ", ", t.shard, t.generation, t.seq);
  return text;
}

} // namespace candor::gateway
