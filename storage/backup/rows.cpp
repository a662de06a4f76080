#include "storage/backup/rows.hpp"

#include <algorithm>

#include <sodium.h>

#include "storage/base/limits.hpp"
#include "storage/base/packing.hpp"

namespace candor::backup {

using namespace packing;

namespace {

constexpr unsigned version = 1;
constexpr unsigned page_counter_bits = 48; ///< of a page's number, beneath its shard

/// The items of a part of this kind, each an array of `field_count`.
template <class Item, class Take>
result<std::vector<Item>> decode(std::string_view bytes, std::string_view kind,
                                 std::uint32_t field_count, Take take) {
  if (bytes.size() > limits::backup_part_bytes)
    return fail(errc::too_large, "a part of a backup is larger than any that is written");
  try {
    std::size_t end = 0;
    auto handle = msgpack::unpack(bytes.data(), bytes.size(), end);
    const auto* whole = fields(handle.get(), 3);
    if (end != bytes.size() || whole[0].as<unsigned>() != version ||
        whole[1].as<std::string>() != kind)
      return fail(errc::corrupt, "this is no part of a backup of this kind and version");
    std::vector<Item> made;
    made.reserve(array_of(whole[2]).size);
    for_each(whole[2],
             [&](const msgpack::object& one) { made.push_back(take(fields(one, field_count))); });
    return made;
  } catch (const std::exception&) {
    return fail(errc::corrupt, "a part of a backup does not decode");
  }
}

} // namespace

std::string encode(const std::vector<row>& rows) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(3);
  to.pack(version);
  to.pack("rows");
  to.pack_array(static_cast<std::uint32_t>(rows.size()));
  for (const auto& r : rows) {
    to.pack_array(3);
    to.pack(static_cast<unsigned>(r.table));
    put_bytes(to, r.key);
    put_bytes(to, r.value);
  }
  return {buffer.data(), buffer.size()};
}

result<std::vector<row>> decode_rows(std::string_view bytes) {
  return decode<row>(bytes, "rows", 3, [](const msgpack::object* field) {
    row r{static_cast<engine::table>(field[0].as<std::uint8_t>()), std::string{bytes_of(field[1])},
          std::string{bytes_of(field[2])}};
    if (std::ranges::find(tables_of_a_shard, r.table) == tables_of_a_shard.end())
      throw msgpack::type_error{};
    return r;
  });
}

std::string encode(const std::vector<page>& pages) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(3);
  to.pack(version);
  to.pack("pages");
  to.pack_array(static_cast<std::uint32_t>(pages.size()));
  for (const auto& p : pages) {
    to.pack_array(3);
    to.pack(p.number);
    put_bytes(to, p.bytes);
    to.pack(p.living);
  }
  return {buffer.data(), buffer.size()};
}

result<std::vector<page>> decode_pages(std::string_view bytes) {
  return decode<page>(bytes, "pages", 3, [](const msgpack::object* field) {
    return page{field[0].as<std::uint64_t>(), std::string{bytes_of(field[1])},
                field[2].as<std::vector<std::uint16_t>>()};
  });
}

shard_id shard_of_page(std::uint64_t number) {
  return static_cast<shard_id>(number >> page_counter_bits);
}

std::string to_base64(std::string_view bytes) {
  constexpr auto variant = sodium_base64_VARIANT_ORIGINAL;
  std::string text(sodium_base64_encoded_len(bytes.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), variant);
  text.pop_back(); // its zero byte
  return text;
}

result<std::string> from_base64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size())
    return fail(errc::bad_value, "this is not base64");
  bytes.resize(size);
  return bytes;
}

std::string fingerprint(const stores::node_secrets& secrets) {
  std::array<unsigned char, 16> tag;
  constexpr std::string_view what = "candor backup: which secrets";
  std::array<unsigned char, 64> both;
  std::ranges::copy(secrets.master_key, both.begin());
  std::ranges::copy(secrets.cluster_secret, both.begin() + 32);
  crypto_generichash(tag.data(), tag.size(), reinterpret_cast<const unsigned char*>(what.data()),
                     what.size(), both.data(), both.size());
  sodium_memzero(both.data(), both.size());
  return to_hex({reinterpret_cast<const char*>(tag.data()), tag.size()});
}

} // namespace candor::backup
