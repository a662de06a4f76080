#include <algorithm>

#include "cluster/replication/replica.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/packing.hpp"

namespace candor::replication {

using namespace packing;

namespace {

constexpr unsigned message_version = 2;
enum kinds : unsigned { prepare_kind, acknowledgement_kind, released_kind };

void pack_position(packer& to, const position& at) {
  to.pack_array(3);
  to.pack_uint64(at.seq);
  to.pack_uint64(at.term);
  put_bytes(to, {reinterpret_cast<const char*>(at.chain.data()), at.chain.size()});
}

position position_from(const msgpack::object& from) {
  const auto* field = fields(from, 3);
  position at{field[0].as<std::uint64_t>(), field[1].as<std::uint64_t>(), {}};
  auto chain = bytes_of(field[2], at.chain.size());
  if (chain.size() != at.chain.size())
    throw msgpack::type_error{};
  std::ranges::copy(chain, at.chain.begin());
  return at;
}

prepare prepare_from(const msgpack::object& from) {
  const auto* field = fields(from, 4);
  prepare p{position_from(field[0]),
            field[1].as<std::uint64_t>(),
            {},
            millis{field[3].as<std::int64_t>()}};
  if (array_of(field[2]).size > limits::prepare_entries)
    throw msgpack::type_error{};
  for_each(field[2], [&](const msgpack::object& one) {
    const auto* part = fields(one, 2);
    p.entries.push_back({position_from(part[0]), std::make_shared<const std::string>(bytes_of(
                                                     part[1], limits::replica_message_bytes))});
  });
  return p;
}

acknowledgement acknowledgement_from(const msgpack::object& from) {
  const auto* field = fields(from, 7);
  return {field[0].as<std::uint64_t>(),       field[1].as<bool>(),          position_from(field[2]),
          field[3].as<std::uint64_t>(),       field[4].as<std::uint64_t>(), field[5].as<bool>(),
          millis{field[6].as<std::int64_t>()}};
}

} // namespace

std::string encode(const message& m) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(7);
  to.pack(message_version);
  to.pack(m.shard);
  to.pack_uint64(m.term);
  put_bytes(to, m.from.node);
  put_bytes(to, m.from.disk_id);
  if (const auto* p = std::get_if<prepare>(&m.body)) {
    to.pack(static_cast<unsigned>(prepare_kind));
    to.pack_array(4);
    pack_position(to, p->previous);
    to.pack_uint64(p->committed);
    to.pack_array(static_cast<std::uint32_t>(p->entries.size()));
    for (const auto& r : p->entries) {
      to.pack_array(2);
      pack_position(to, r.at);
      put_bytes(to, *r.bytes);
    }
    to.pack_int64(p->vouched.count());
  } else if (const auto* a = std::get_if<acknowledgement>(&m.body)) {
    to.pack(static_cast<unsigned>(acknowledgement_kind));
    to.pack_array(7);
    to.pack_uint64(a->verified);
    to.pack(a->apart);
    pack_position(to, a->committed);
    to.pack_uint64(a->applied);
    to.pack_uint64(a->destroyed);
    to.pack(a->low_on_disk);
    to.pack_int64(a->sent.count());
  } else {
    to.pack(static_cast<unsigned>(released_kind));
    to.pack_nil();
  }
  return {buffer.data(), buffer.size()};
}

result<message> decode_message(std::string_view bytes) {
  if (bytes.size() > limits::replica_message_bytes)
    return fail(errc::corrupt, "a message between replicas is too large");
  try {
    auto handle = msgpack::unpack(bytes.data(), bytes.size());
    const auto* field = fields(handle.get(), 7);
    if (field[0].as<unsigned>() != message_version)
      return fail(errc::corrupt, "a message between replicas is of a later version of Candor");
    message m;
    m.shard = field[1].as<shard_id>();
    m.term = field[2].as<std::uint64_t>();
    m.from.node = bytes_of(field[3], limits::node_name_bytes);
    m.from.disk_id = bytes_of(field[4], limits::node_name_bytes);
    switch (field[5].as<unsigned>()) {
      case prepare_kind:
        m.body = prepare_from(field[6]);
        break;
      case acknowledgement_kind:
        m.body = acknowledgement_from(field[6]);
        break;
      case released_kind:
        m.body = released{};
        break;
      default:
        throw msgpack::type_error{};
    }
    return m;
  } catch (const std::exception&) {
    return fail(errc::corrupt, "a message between replicas does not decode");
  }
}

} // namespace candor::replication
