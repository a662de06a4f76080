#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <simdjson.h>

#include "actors/gateway/parse/value.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

namespace dom = simdjson::dom;

tl::unexpected<error> refuse(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR:
      return fail(errc::bad_utf8);
    case simdjson::EMPTY:
      return fail(errc::malformed, "there is nothing");
    case simdjson::DEPTH_ERROR:
      return fail(errc::malformed, fmt::format("nested deeper than {}", limits::json_depth));
    case simdjson::MEMALLOC:
      return fail(errc::overloaded, "no memory for the document");
    default:
      return fail(errc::malformed, simdjson::error_message(code));
  }
}

result<std::string_view> text_of(std::string_view text) {
  if (!valid_utf8(text)) // an escape such as \udc00 can stand for no character
    return fail(errc::bad_utf8, "an escaped surrogate without its other half");
  return text;
}

result<value> convert(dom::element from, const json_shape& shape) {
  switch (from.type()) {
    case dom::element_type::NULL_VALUE:
      return value{};
    case dom::element_type::BOOL:
      return value::of_boolean(bool(from));
    case dom::element_type::INT64:
      return value::of_whole(std::int64_t(from));
    case dom::element_type::UINT64: // only what is above the range of int64
      return value::of_real(static_cast<double>(std::uint64_t(from)));
    case dom::element_type::DOUBLE:
      return value::of_real(double(from));
    case dom::element_type::STRING: {
      CANDOR_TRY(text, text_of(std::string_view(from)));
      return value::of_text(text);
    }
    case dom::element_type::ARRAY: {
      auto made = value::of(value::kind::list);
      for (auto item : dom::array(from)) {
        if (made.items.size() == shape.items_max)
          return fail(errc::too_many, fmt::format("a list has at most {} items", shape.items_max));
        CANDOR_TRY(content, convert(item, shape));
        made.items.push_back(std::move(content));
      }
      return made;
    }
    case dom::element_type::OBJECT: {
      auto made = value::of(value::kind::record);
      for (auto [name, item] : dom::object(from)) {
        if (made.items.size() == shape.fields_max)
          return fail(errc::too_many,
                      fmt::format("an object has at most {} fields", shape.fields_max));
        CANDOR_TRY(checked_name, text_of(name));
        CANDOR_TRY(content, convert(item, shape));
        made.names.push_back(checked_name);
        made.items.push_back(std::move(content));
      }
      CANDOR_TRY_VOID(check_names(made));
      return made;
    }
  }
  return fail(errc::internal, "a JSON element of no type");
}

/// One for each thread: its buffers are used again.
struct reader {
  dom::parser parser;
  std::unique_ptr<char[]> padded;
  std::size_t capacity = 0;

  result<dom::element> parse(std::string_view text) {
    if (text.size() > capacity) {
      capacity = std::max<std::size_t>(2 * text.size(), 4096);
      padded = std::make_unique<char[]>(capacity + simdjson::SIMDJSON_PADDING);
      if (auto code = parser.allocate(capacity, limits::json_depth))
        return refuse(code);
    }
    if (text.empty())
      return refuse(simdjson::EMPTY);
    std::memcpy(padded.get(), text.data(), text.size());
    dom::element root;
    if (auto code = parser.parse(padded.get(), text.size(), false).get(root))
      return refuse(code);
    return root;
  }
};

} // namespace

result<value> decode_json(std::string_view text, std::size_t bytes_max, json_shape shape) {
  if (text.size() > bytes_max)
    return fail(errc::too_large,
                fmt::format("{} bytes; the limit is {} bytes", text.size(), bytes_max));
  thread_local reader mine;
  CANDOR_TRY(root, mine.parse(text));
  return convert(root, shape);
}

} // namespace candor::parse
