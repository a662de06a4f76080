/// A JSON string, written without a document around it: for lines that are made by the thousand,
/// and for text that no library may copy. Guarantees: valid JSON (RFC 8259) where the text is
/// UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace candor {

/// With its quotes. At most `json_string_bytes_most(text)` are added.
void append_json_string(std::string& to, std::string_view text);

/// Of the string as it is written: so much room, and nothing moves while it is.
std::size_t json_string_bytes_most(std::string_view text) noexcept;

} // namespace candor
