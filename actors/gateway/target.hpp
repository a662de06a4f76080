/// What a request's target says: the path's segments and the query, percent-decoded. Pure. A
/// segment is decoded after the path is cut, so that an id may hold any character.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::gateway {

struct target {
  std::vector<std::string> segments; ///< of "/v1/users/a%2Fb": "v1", "users", "a/b"
  std::map<std::string, std::string, std::less<>> query;
};

/// Error: `malformed` for what is not a path, a wrong escape, or a query that names a key twice.
result<target> parse_target(std::string_view text);

/// A whole decimal number. Error: `bad_value`, naming `name`.
result<std::uint64_t> parse_number(std::string_view name, std::string_view text,
                                   std::uint64_t most);

/// The type alone, in lower case, without parameters.
std::string media_type(std::string_view content_type);

/// True where a Host or Origin header names this machine by a loopback name: what a browser on
/// another site cannot send.
bool names_loopback(std::string_view host_or_origin);

} // namespace candor::gateway
