/// msgpack where its own conversions take too much: bytes that are bytes, arrays of a known length.
/// For the codecs of logs, messages and backups. Reading throws what msgpack throws, a
/// std::exception, where the form is another; a codec catches it and says `corrupt`. What is viewed
/// lives as long as the object it was read from.
#pragma once

#include <cstdint>
#include <string_view>

#include <msgpack.hpp>

namespace candor::packing {

using packer = msgpack::packer<msgpack::sbuffer>;

inline void put_bytes(packer& to, std::string_view bytes) {
  to.pack_bin(static_cast<std::uint32_t>(bytes.size()));
  to.pack_bin_body(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
}

inline std::string_view bytes_of(const msgpack::object& from, std::size_t most = ~std::size_t{0}) {
  if (from.type != msgpack::type::BIN || from.via.bin.size > most)
    throw msgpack::type_error{};
  return {from.via.bin.ptr, from.via.bin.size};
}

inline const msgpack::object_array& array_of(const msgpack::object& from) {
  if (from.type != msgpack::type::ARRAY)
    throw msgpack::type_error{};
  return from.via.array;
}

/// Of an array of exactly so many.
inline const msgpack::object* fields(const msgpack::object& from, std::uint32_t count) {
  const auto& array = array_of(from);
  if (array.size != count)
    throw msgpack::type_error{};
  return array.ptr;
}

template <class Each>
void for_each(const msgpack::object& from, Each each) {
  const auto& array = array_of(from);
  for (std::uint32_t i = 0; i < array.size; ++i)
    each(array.ptr[i]);
}

} // namespace candor::packing
