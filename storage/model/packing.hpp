/// The small vocabulary that every stored form is written with: msgpack arrays that begin with
/// their version. Internal to the model; included by codecs alone. Guarantees: what does not decode
/// is `corrupt`, never an exception or a guess.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <msgpack.hpp>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "storage/model/region.hpp"

namespace candor::model::packing {

using packer = msgpack::packer<msgpack::sbuffer>;

inline void pack_string(packer& to, std::string_view text) {
  to.pack_str(static_cast<std::uint32_t>(text.size()));
  to.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}

inline void pack_time(packer& to, timestamp t) {
  to.pack_int64(to_int(t));
}

template <class Range, class Pack>
void pack_each(packer& to, const Range& range, Pack pack) {
  to.pack_array(static_cast<std::uint32_t>(range.size()));
  for (const auto& x : range)
    pack(x);
}

template <class T, class Pack>
void pack_optional(packer& to, const std::optional<T>& x, Pack pack) {
  if (x)
    pack(*x);
  else
    to.pack_nil();
}

/// Reads an array's elements one after the other; what does not fit throws msgpack::type_error,
/// caught in `decode`.
class reader {
public:
  explicit reader(const msgpack::object& from) {
    if (from.type != msgpack::type::ARRAY)
      throw msgpack::type_error{};
    next_ = from.via.array.ptr;
    end_ = next_ + from.via.array.size;
  }
  const msgpack::object& object() {
    if (next_ == end_)
      throw msgpack::type_error{};
    return *next_++;
  }
  template <class T>
  T value() {
    return object().as<T>();
  }
  std::string text() { return value<std::string>(); }
  timestamp time() { return from_int(value<std::int64_t>()); }
  /// An enumeration's number, which must be below `count`.
  template <class E>
  E choice(unsigned count) {
    auto n = value<unsigned>();
    if (n >= count)
      throw msgpack::type_error{};
    return static_cast<E>(n);
  }
  region_code region() {
    auto letters = text();
    if (letters.size() != 2)
      throw msgpack::type_error{};
    return {{letters[0], letters[1]}};
  }
  bool at_end() const { return next_ == end_; }
  template <class Read>
  void each(Read read) {
    reader inner{object()};
    while (inner.next_ != inner.end_)
      read(inner);
  }
  template <class Read>
  auto optional(Read read) -> std::optional<decltype(read(*this))> {
    if (next_ != end_ && next_->is_nil()) {
      ++next_;
      return std::nullopt;
    }
    return read(*this);
  }

private:
  const msgpack::object* next_;
  const msgpack::object* end_;
};

template <class T, class Read>
result<T> decode(std::string_view bytes, unsigned version, std::string_view what, Read read) {
  try {
    auto handle = msgpack::unpack(bytes.data(), bytes.size());
    reader from{handle.get()};
    auto found = from.value<unsigned>();
    if (found == 0 || found > version)
      return fail(errc::corrupt, std::string{what} + ": written by a later version of Candor");
    T x;
    read(from, x);
    return x;
  } catch (const std::exception&) {
    return fail(errc::corrupt, std::string{what} + " does not decode");
  }
}

inline std::string finish(const msgpack::sbuffer& buffer) {
  return {buffer.data(), buffer.size()};
}

} // namespace candor::model::packing
