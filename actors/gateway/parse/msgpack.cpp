#include <optional>

#include <fmt/format.h>
#include <msgpack.hpp>

#include "actors/gateway/parse/value.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"

namespace candor::parse {

namespace {

/// Builds the tree. Returns false to end the parse as soon as a bound is passed: counts are seen
/// here before anything is allocated for them.
class builder : public msgpack::null_visitor {
public:
  /// `cut`: more bytes would follow, but none that one object may have.
  explicit builder(bool cut)
    : cut_{cut} {}

  bool visit_nil() { return put(value{}); }
  bool visit_boolean(bool v) { return put(value::of_boolean(v)); }
  bool visit_positive_integer(std::uint64_t v) {
    if (v > INT64_MAX)
      return put(value::of_real(static_cast<double>(v)));
    return put(value::of_whole(static_cast<std::int64_t>(v)));
  }
  bool visit_negative_integer(std::int64_t v) { return put(value::of_whole(v)); }
  bool visit_float32(float v) { return put(value::of_real(static_cast<double>(v))); }
  bool visit_float64(double v) { return put(value::of_real(v)); }
  bool visit_bin(const char*, std::uint32_t) { return put(value::of(value::kind::foreign)); }
  bool visit_ext(const char*, std::uint32_t) { return put(value::of(value::kind::foreign)); }
  bool visit_str(const char* data, std::uint32_t size) {
    std::string_view text{data, size};
    if (!valid_utf8(text))
      return refuse(errc::bad_utf8, {});
    return put(value::of_text(text));
  }

  bool start_array(std::uint32_t count) {
    if (count > limits::list_items)
      return refuse(errc::too_many, fmt::format("a list has at most {} items", limits::list_items));
    return open(value::kind::list);
  }
  bool start_array_item() { return true; }
  bool end_array_item() { return true; }
  bool end_array() { return close(); }

  bool start_map(std::uint32_t count) {
    if (count > limits::record_fields)
      return refuse(errc::too_many,
                    fmt::format("an object has at most {} fields", limits::record_fields));
    return open(value::kind::record);
  }
  bool start_map_key() {
    at_key_ = true;
    return true;
  }
  bool end_map_key() {
    at_key_ = false;
    return true;
  }
  bool start_map_value() { return true; }
  bool end_map_value() { return true; }
  bool end_map() {
    if (auto checked = check_names(open_.back().content); !checked)
      return refuse(checked.error().code, checked.error().detail);
    return close();
  }

  void parse_error(std::size_t, std::size_t offset) {
    refuse(errc::malformed, fmt::format("no msgpack at byte {}", offset));
  }
  void insufficient_bytes(std::size_t, std::size_t) {
    refuse(cut_ ? errc::too_large : errc::malformed,
           cut_ ? "an object is longer than its limit" : "the input ends within an object");
  }

  result<value> take() && {
    if (refusal_)
      return tl::unexpected<error>{std::move(*refusal_)};
    if (!done_)
      return fail(errc::malformed, "no whole msgpack object");
    return std::move(*done_);
  }

private:
  struct frame {
    value content;
    std::string_view name; ///< of the field that this is, in the record around it
  };

  bool refuse(errc code, std::string detail) {
    if (!refusal_)
      refusal_ = error{code, std::move(detail)};
    return false;
  }

  bool open(value::kind container) {
    if (at_key_)
      return refuse(errc::malformed, "a field's name is not a string");
    if (open_.size() == limits::json_depth)
      return refuse(errc::malformed, fmt::format("nested deeper than {}", limits::json_depth));
    open_.push_back({value::of(container), name_});
    return true;
  }

  bool close() {
    auto closed = std::move(open_.back());
    open_.pop_back();
    name_ = closed.name;
    return put(std::move(closed.content));
  }

  bool put(value v) {
    if (at_key_) {
      if (v.is != value::kind::text)
        return refuse(errc::malformed, "a field's name is not a string");
      name_ = v.text;
    } else if (open_.empty()) {
      done_ = std::move(v);
    } else {
      auto& around = open_.back().content;
      if (around.is == value::kind::record)
        around.names.push_back(name_);
      around.items.push_back(std::move(v));
    }
    return true;
  }

  bool cut_;
  std::vector<frame> open_;
  std::string_view name_;
  bool at_key_ = false;
  std::optional<value> done_;
  std::optional<error> refusal_;
};

} // namespace

result<value> decode_msgpack(std::string_view bytes, std::size_t& offset, std::size_t bytes_max) {
  auto rest = bytes.substr(offset, bytes_max);
  builder into{offset + rest.size() < bytes.size()};
  std::size_t used = 0;
  try {
    msgpack::parse(rest.data(), rest.size(), used, into);
  } catch (const std::exception&) { // msgpack's own view of sizes on small machines
    return fail(errc::malformed, "a size that cannot be");
  }
  offset += used;
  return std::move(into).take();
}

} // namespace candor::parse
