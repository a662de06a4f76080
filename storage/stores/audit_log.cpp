#include "storage/stores/audit_log.hpp"
#include <algorithm>

#include <fmt/format.h>
#include <msgpack.hpp>
#include <sodium.h>

namespace candor::stores {

namespace {

constexpr unsigned version = 1;

using packer = msgpack::packer<msgpack::sbuffer>;

void pack_text(packer& to, std::string_view text) {
  CANDOR_ASSERT(text.size() <= audit_field_bytes);
  to.pack_str(static_cast<std::uint32_t>(text.size()));
  to.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}

void pack_hash(packer& to, const hash32& hash) {
  to.pack_bin(static_cast<std::uint32_t>(hash.size()));
  to.pack_bin_body(reinterpret_cast<const char*>(hash.data()),
                   static_cast<std::uint32_t>(hash.size()));
}

/// [version, shard, index, previous, at, actor, action, subject, detail] and, where asked for,
/// hash. msgpack leaves no choice here: an integer takes its shortest form, so that the same record
/// gives the same bytes everywhere.
msgpack::sbuffer pack(const audit_record& record, bool with_hash) {
  msgpack::sbuffer bytes;
  packer to{bytes};
  to.pack_array(with_hash ? 10 : 9);
  to.pack(version);
  to.pack(record.shard);
  to.pack(record.index);
  pack_hash(to, record.previous);
  to.pack(to_int(record.event.at));
  for (auto* text :
       {&record.event.actor, &record.event.action, &record.event.subject, &record.event.detail})
    pack_text(to, *text);
  if (with_hash)
    pack_hash(to, record.hash);
  return bytes;
}

hash32 hash_of(const audit_record& record) {
  auto bytes = pack(record, false);
  hash32 hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size(), nullptr, 0);
  return hash;
}

hash32 read_hash(const msgpack::object& from) {
  hash32 hash;
  if (from.type != msgpack::type::BIN || from.via.bin.size != hash.size())
    throw msgpack::type_error{};
  std::copy_n(from.via.bin.ptr, hash.size(), reinterpret_cast<char*>(hash.data()));
  return hash;
}

/// Throws what msgpack throws.
audit_record unpack(std::string_view bytes) {
  std::size_t end = 0;
  auto text = audit_field_bytes;
  msgpack::unpack_limit limit{10, 0, text, sizeof(hash32), 0, 1};
  auto handle = msgpack::unpack(bytes.data(), bytes.size(), end, nullptr, nullptr, limit);
  auto& fields = handle.get();
  if (end != bytes.size() || fields.type != msgpack::type::ARRAY || fields.via.array.size != 10 ||
      fields.via.array.ptr[0].as<unsigned>() != version)
    throw msgpack::type_error{};
  auto* field = fields.via.array.ptr;
  audit_record record;
  record.shard = field[1].as<shard_id>();
  record.index = field[2].as<std::uint64_t>();
  record.previous = read_hash(field[3]);
  record.event.at = from_int(field[4].as<std::int64_t>());
  record.event.actor = field[5].as<std::string>();
  record.event.action = field[6].as<std::string>();
  record.event.subject = field[7].as<std::string>();
  record.event.detail = field[8].as<std::string>();
  record.hash = read_hash(field[9]);
  return record;
}

tl::unexpected<error> broken_at(shard_id shard, std::uint64_t index, std::string_view how) {
  return fail(errc::corrupt,
              fmt::format("audit log of shard {}, record {}: {}", shard, index, how));
}

} // namespace

audit_record chain(shard_id shard, const audit_head& head, audit_event event) {
  audit_record record;
  record.shard = shard;
  record.index = head.index + 1;
  record.event = std::move(event);
  record.previous = head.hash;
  record.hash = hash_of(record);
  return record;
}

std::string encode(const audit_record& record) {
  auto bytes = pack(record, true);
  return {bytes.data(), bytes.size()};
}

result<audit_record> decode_audit_record(std::string_view bytes) {
  audit_record record;
  try {
    record = unpack(bytes);
  } catch (const std::exception&) { // msgpack's errors, and bad_alloc
    return fail(errc::corrupt, "an audit record cannot be read");
  }
  // The same values in other bytes are refused, too: there is one form of a record.
  if (record.hash != hash_of(record) || encode(record) != bytes)
    return fail(errc::corrupt, "an audit record does not fit its hash");
  return record;
}

result<void> read_audit(const engine::engine& db, shard_id shard, std::uint64_t from,
                        const std::function<bool(const audit_record&)>& visit) {
  auto expected = std::max<std::uint64_t>(from, 1);
  result<void> outcome;
  auto scanned =
      db.scan(engine::table::audit, engine::audit_key(shard, expected), engine::shard_end(shard),
              [&](std::string_view key, std::string_view value) {
                auto bytes_of_key = engine::audit_key(shard, expected);
                if (key != bytes_of_key) {
                  outcome = broken_at(shard, expected, "it is missing");
                  return false;
                }
                auto record = decode_audit_record(value);
                if (!record)
                  outcome = broken_at(shard, expected, record.error().detail);
                else if (record->shard != shard || record->index != expected)
                  outcome = broken_at(shard, expected,
                                      fmt::format("in its place stands record {} of shard {}",
                                                  record->index, record->shard));
                else {
                  ++expected;
                  return visit(*record);
                }
                return false;
              });
  CANDOR_TRY_VOID(std::move(scanned));
  return outcome;
}

engine::operation head_row(shard_id shard, const audit_head& head) {
  std::string value;
  engine::append_big_endian(value, head.index, 8);
  value.append(reinterpret_cast<const char*>(head.hash.data()), head.hash.size());
  return {engine::operation::what::put, engine::table::meta, engine::named_key(shard, "audit_head"),
          std::move(value)};
}

result<std::optional<audit_head>> read_audit_head(const engine::engine& db, shard_id shard) {
  CANDOR_TRY(row, db.get(engine::table::meta, engine::named_key(shard, "audit_head")));
  if (!row)
    return std::nullopt;
  CANDOR_TRY(head, decode_audit_head(*row));
  return head;
}

result<audit_head> decode_audit_head(std::string_view bytes) {
  audit_head head;
  if (bytes.size() != 8 + head.hash.size())
    return fail(errc::corrupt, "the head of an audit chain has the wrong size");
  head.index = engine::read_big_endian(bytes, 8);
  std::ranges::copy(bytes.substr(8), head.hash.begin());
  return head;
}

result<audit_head> verify_audit(const engine::engine& db, shard_id shard,
                                std::vector<audit_head> known) {
  // Whatever stands in this table was written together with a record.
  CANDOR_TRY(policy,
             db.last(engine::table::policy, engine::shard_begin(shard), engine::shard_end(shard)));
  CANDOR_TRY(before, read_audit_head(db, shard));
  if (before)
    known.push_back(*before);
  std::ranges::sort(known, {}, &audit_head::index);
  auto next = std::ranges::upper_bound(known, std::uint64_t{0}, {}, &audit_head::index);
  audit_head head;
  result<void> outcome;
  CANDOR_TRY_VOID(read_audit(db, shard, 1, [&](const audit_record& record) {
    if (record.previous != head.hash) {
      outcome = broken_at(shard, record.index, "it does not follow from the record before it");
      return false;
    }
    head = {record.index, record.hash};
    for (; next != known.end() && next->index == head.index; ++next)
      if (next->hash != head.hash) {
        outcome = broken_at(shard, head.index, "it is not the record that was known to stand here");
        return false;
      }
    return true;
  }));
  CANDOR_TRY_VOID(std::move(outcome));
  if (next != known.end())
    return broken_at(
        shard, head.index + 1,
        fmt::format("it is missing; the log was known to reach {}", known.back().index));
  CANDOR_TRY(after, read_audit_head(db, shard));
  if (policy && head.index == 0 && !after)
    return broken_at(shard, 1, "it is missing, and the head with it, where policies stand");
  if (auto end = after ? after->index : 0; head.index > end)
    return broken_at(shard, end + 1, "it stands beyond the head of the log");
  return head;
}

} // namespace candor::stores
