/// What a caller sent, decoded but not yet understood: a small tree that JSON and msgpack share, so
/// that one set of rules reads both.
/// Guarantees: text is valid UTF-8; a record names no field twice; every count and depth was
/// checked before anything was allocated for it. Texts are views into the decoder's memory: a tree
/// must not be kept longer than `decode_json` and `decode_msgpack` say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

struct value {
  enum class kind : std::uint8_t { null, boolean, whole, real, text, list, record, foreign };

  kind is = kind::null;                ///< foreign: what no field here takes (binary, extensions)
  std::int64_t whole = 0;              ///< of a boolean too
  double real = 0;                     ///< of a whole number too
  std::string_view text;               ///< valid UTF-8
  std::vector<value> items;            ///< of a list, or a record's contents
  std::vector<std::string_view> names; ///< of a record, one for each item

  static value of_whole(std::int64_t v) {
    value made;
    made.is = kind::whole;
    made.whole = v;
    made.real = static_cast<double>(v);
    return made;
  }
  static value of_real(double v) {
    value made;
    made.is = kind::real;
    made.real = v;
    return made;
  }
  static value of_boolean(bool v) {
    value made;
    made.is = kind::boolean;
    made.whole = v;
    return made;
  }
  static value of_text(std::string_view v) {
    value made;
    made.is = kind::text;
    made.text = v;
    return made;
  }
  static value of(kind k) {
    value made;
    made.is = k;
    return made;
  }

  /// A record's field, or nothing.
  const value* find(std::string_view name) const noexcept;
};

/// "a string", "a list", ...: for refusals.
std::string_view kind_of(const value& v) noexcept;

/// How wide a document may be.
struct json_shape {
  std::size_t fields_max = limits::record_fields;
  std::size_t items_max = limits::list_items;
};

/// One whole JSON document. The tree is good until this thread decodes the next one. Error:
/// `malformed`, `bad_utf8`, `too_many`, `too_large` (over `bytes_max`).
result<value> decode_json(std::string_view text, std::size_t bytes_max, json_shape shape = {});

/// The msgpack object that starts at `offset`, which is moved behind it. The tree is good as long
/// as `bytes`. Error: `malformed`, `bad_utf8`, `too_many`, `too_large` (the object is longer than
/// `bytes_max`); where the next object starts is not known then.
result<value> decode_msgpack(std::string_view bytes, std::size_t& offset, std::size_t bytes_max);

/// A record's last step in both decoders. Error: `bad_value` where a field stands twice.
result<void> check_names(const value& record);

/// A caller's word as a refusal may show it: quoted, cut, without control characters.
std::string quoted(std::string_view word);

} // namespace candor::parse
