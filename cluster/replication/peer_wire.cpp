#include "cluster/replication/peer_wire.hpp"

#include <algorithm>

#include "storage/base/packing.hpp"

namespace candor::replication {

using namespace packing;

namespace {

/// Numbers of the wire, in the order of peer_item.
enum class kind : unsigned { message, page_copies, page_request, copy_begin, copy_part, copy_taken };

void put_pages(packer& to, const std::vector<page_copy>& pages) {
  to.pack_array(static_cast<std::uint32_t>(pages.size()));
  for (const auto& p : pages) {
    to.pack_array(2);
    to.pack(p.page);
    put_bytes(to, p.bytes);
  }
}

std::vector<page_copy> pages_of(const msgpack::object& from) {
  std::vector<page_copy> pages;
  for_each(from, [&](const msgpack::object& one) {
    auto part = fields(one, 2);
    pages.push_back({part[0].as<std::uint64_t>(), std::string{bytes_of(part[1])}});
  });
  return pages;
}

void put_item(packer& to, const message& m) {
  put_bytes(to, encode(m));
}

void put_item(packer& to, const page_copies& x) {
  to.pack_array(2);
  to.pack(x.shard);
  put_pages(to, x.pages);
}

void put_item(packer& to, const page_request& x) {
  to.pack_array(2);
  to.pack(x.shard);
  to.pack(x.pages);
}

void put_item(packer& to, const copy_begin& x) {
  to.pack_array(7);
  to.pack(x.shard);
  to.pack(x.term);
  to.pack(x.id);
  to.pack(x.mark.at.seq);
  to.pack(x.mark.at.term);
  put_bytes(to, {reinterpret_cast<const char*>(x.mark.at.chain.data()), x.mark.at.chain.size()});
  to.pack(to_int(x.mark.time));
}

void put_item(packer& to, const copy_part& x) {
  to.pack_array(6);
  to.pack(x.shard);
  to.pack(x.id);
  to.pack(x.index);
  to.pack(x.last);
  to.pack_array(static_cast<std::uint32_t>(x.rows.size()));
  for (const auto& row : x.rows) {
    to.pack_array(3);
    to.pack(static_cast<unsigned>(row.table));
    put_bytes(to, row.key);
    put_bytes(to, row.value);
  }
  put_pages(to, x.pages);
}

void put_item(packer& to, const copy_taken& x) {
  to.pack_array(3);
  to.pack(x.shard);
  to.pack(x.id);
  to.pack(x.index);
}

copy_begin read_copy_begin(const msgpack::object& from) {
  auto field = fields(from, 7);
  copy_begin x;
  x.shard = field[0].as<shard_id>();
  x.term = field[1].as<std::uint64_t>();
  x.id = field[2].as<std::uint64_t>();
  x.mark.at.seq = field[3].as<std::uint64_t>();
  x.mark.at.term = field[4].as<std::uint64_t>();
  auto chain = bytes_of(field[5]);
  if (chain.size() != x.mark.at.chain.size())
    throw msgpack::type_error{};
  std::ranges::copy(chain, x.mark.at.chain.begin());
  x.mark.time = from_int(field[6].as<std::int64_t>());
  return x;
}

copy_part read_copy_part(const msgpack::object& from) {
  auto field = fields(from, 6);
  copy_part x;
  x.shard = field[0].as<shard_id>();
  x.id = field[1].as<std::uint64_t>();
  x.index = field[2].as<std::uint64_t>();
  x.last = field[3].as<bool>();
  for_each(field[4], [&](const msgpack::object& one) {
    auto part = fields(one, 3);
    auto number = part[0].as<unsigned>();
    if (number >= engine::table_count)
      throw msgpack::type_error{};
    x.rows.push_back({static_cast<engine::table>(number), std::string{bytes_of(part[1])},
                      std::string{bytes_of(part[2])}});
  });
  x.pages = pages_of(field[5]);
  return x;
}

result<peer_item> read_item(kind what, const msgpack::object& from) {
  switch (what) {
    case kind::message: {
      CANDOR_TRY(m, decode_message(bytes_of(from)));
      return peer_item{std::move(m)};
    }
    case kind::page_copies: {
      auto field = fields(from, 2);
      return peer_item{page_copies{field[0].as<shard_id>(), pages_of(field[1])}};
    }
    case kind::page_request: {
      auto field = fields(from, 2);
      return peer_item{
          page_request{field[0].as<shard_id>(), field[1].as<std::vector<std::uint64_t>>()}};
    }
    case kind::copy_begin:
      return peer_item{read_copy_begin(from)};
    case kind::copy_part:
      return peer_item{read_copy_part(from)};
    case kind::copy_taken: {
      auto field = fields(from, 3);
      return peer_item{copy_taken{field[0].as<shard_id>(), field[1].as<std::uint64_t>(),
                                  field[2].as<std::uint64_t>()}};
    }
  }
  return fail(errc::corrupt, "a frame holds what is not known here");
}

} // namespace

std::string encode_frame(const std::vector<peer_item>& items) {
  msgpack::sbuffer buffer;
  packer to{buffer};
  to.pack_array(static_cast<std::uint32_t>(items.size()));
  for (const auto& item : items) {
    to.pack_array(2);
    to.pack(static_cast<unsigned>(item.index()));
    std::visit([&](const auto& x) { put_item(to, x); }, item);
  }
  return {buffer.data(), buffer.size()};
}

result<std::vector<peer_item>> decode_frame(std::string_view bytes) {
  std::vector<peer_item> items;
  try {
    auto handle = msgpack::unpack(bytes.data(), bytes.size());
    std::optional<error> wrong;
    for_each(handle.get(), [&](const msgpack::object& one) {
      auto part = fields(one, 2);
      auto item = read_item(static_cast<kind>(part[0].as<unsigned>()), part[1]);
      if (item)
        items.push_back(std::move(*item));
      else
        wrong = item.error();
    });
    if (wrong)
      return tl::unexpected<error>{*wrong};
    return items;
  } catch (const std::exception&) {
    return fail(errc::corrupt, "a frame does not decode");
  }
}

namespace {

std::size_t size_of_pages(const std::vector<page_copy>& pages) {
  std::size_t bytes = 0;
  for (const auto& p : pages)
    bytes += 16 + p.bytes.size();
  return bytes;
}

struct sizes {
  std::size_t operator()(const message& m) const {
    std::size_t bytes = 128;
    if (auto p = std::get_if<prepare>(&m.body))
      for (const auto& e : p->entries)
        bytes += 48 + e.bytes->size();
    return bytes;
  }
  std::size_t operator()(const page_copies& x) const { return 16 + size_of_pages(x.pages); }
  std::size_t operator()(const page_request& x) const { return 16 + 9 * x.pages.size(); }
  std::size_t operator()(const copy_begin&) const { return 96; }
  std::size_t operator()(const copy_part& x) const {
    auto bytes = 32 + size_of_pages(x.pages);
    for (const auto& row : x.rows)
      bytes += 16 + row.key.size() + row.value.size();
    return bytes;
  }
  std::size_t operator()(const copy_taken&) const { return 32; }
};

} // namespace

std::size_t size_of(const peer_item& item) {
  return std::visit(sizes{}, item);
}

} // namespace candor::replication
