/// What a form sends (multipart/form-data, RFC 7578 over RFC 2046, section 5.1): named parts, each
/// with bytes of its own. Pure. Guarantees: whatever the bytes are, they become parts or an error,
/// and nothing throws; no more is taken than `parts_max` parts with heads of bounded length. Text
/// before the first part, and a transfer encoding (which RFC 7578 did away with), are refused.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::parse {

struct form_part {
  std::string name;
  std::string media_type;   ///< in lower case, without parameters; empty where none is stated
  std::string_view content; ///< a view into the body
};

/// `content_type` is the request's, with its boundary. Error: `malformed`, `too_many`, `too_large`
/// (a part's head), `bad_value` (a transfer encoding).
result<std::vector<form_part>> read_form(std::string_view body, std::string_view content_type,
                                         std::size_t parts_max);

} // namespace candor::parse
