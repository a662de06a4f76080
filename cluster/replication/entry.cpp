#include "cluster/replication/entry.hpp"

#include <algorithm>

#include <sodium.h>
#include <xxhash.h>

#include "storage/base/packing.hpp"
#include "storage/engine/keys.hpp"

namespace candor::replication {

using namespace packing;

namespace {

constexpr unsigned entry_version = 2;
constexpr std::size_t checksum_bytes = 8;

template <class E>
E choice(const msgpack::object& from, unsigned count) {
  auto n = from.as<unsigned>();
  if (n >= count)
    throw msgpack::type_error{};
  return static_cast<E>(n);
}

} // namespace

std::string encode(entry& e, const chain_hash& previous) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(8);
  to.pack(entry_version);
  to.pack(e.shard);
  to.pack_uint64(e.term);
  to.pack_uint64(e.seq);
  to.pack_int64(to_int(e.time));
  to.pack_array(static_cast<std::uint32_t>(e.operations.size()));
  for (const auto& o : e.operations) {
    to.pack_array(4);
    to.pack(static_cast<unsigned>(o.kind));
    to.pack(static_cast<unsigned>(o.table));
    put_bytes(to, o.key);
    put_bytes(to, o.value);
  }
  to.pack(e.pages);
  to.pack_array(static_cast<std::uint32_t>(e.destroys.size()));
  for (const auto& key : e.destroys) {
    to.pack_array(2);
    to.pack(key.page);
    to.pack(key.slot);
  }
  std::string bytes{buffer.data(), buffer.size()};
  crypto_generichash(e.chain.data(), e.chain.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                     previous.data(), previous.size());
  bytes.append(reinterpret_cast<const char*>(e.chain.data()), e.chain.size());
  engine::append_big_endian(bytes, XXH3_64bits(bytes.data(), bytes.size()), checksum_bytes);
  return bytes;
}

result<entry> decode_entry(std::string_view bytes) {
  entry e;
  if (bytes.size() < e.chain.size() + checksum_bytes)
    return fail(errc::corrupt, "a log entry is too short");
  auto checksum =
      engine::read_big_endian(bytes.substr(bytes.size() - checksum_bytes), checksum_bytes);
  bytes.remove_suffix(checksum_bytes);
  if (XXH3_64bits(bytes.data(), bytes.size()) != checksum)
    return fail(errc::corrupt, "a log entry's checksum does not hold");
  std::ranges::copy(bytes.substr(bytes.size() - e.chain.size()), e.chain.begin());
  bytes.remove_suffix(e.chain.size());
  try {
    auto handle = msgpack::unpack(bytes.data(), bytes.size());
    auto field = fields(handle.get(), 8);
    if (field[0].as<unsigned>() != entry_version)
      return fail(errc::corrupt, "a log entry was written by another version of Candor");
    e.shard = field[1].as<shard_id>();
    e.term = field[2].as<std::uint64_t>();
    e.seq = field[3].as<std::uint64_t>();
    e.time = from_int(field[4].as<std::int64_t>());
    for_each(field[5], [&](const msgpack::object& one) {
      auto part = fields(one, 4);
      engine::operation o;
      o.kind = choice<engine::operation::what>(part[0], 3);
      o.table = choice<engine::table>(part[1], engine::table_count);
      o.key = bytes_of(part[2]);
      o.value = bytes_of(part[3]);
      e.operations.push_back(std::move(o));
    });
    e.pages = field[6].as<std::vector<std::uint64_t>>();
    for_each(field[7], [&](const msgpack::object& one) {
      auto part = fields(one, 2);
      e.destroys.push_back({part[0].as<std::uint64_t>(), part[1].as<std::uint16_t>()});
    });
    return e;
  } catch (const std::exception&) {
    return fail(errc::corrupt, "a log entry does not decode");
  }
}

} // namespace candor::replication
