#include "cluster/replication/shard_log.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <msgpack.hpp>

#include "storage/engine/keys.hpp"

namespace candor::replication {

namespace {

using engine::append_big_endian;
using engine::operation;
using engine::read_big_endian;
using engine::table;

/// No shard has this number, so these rows belong to none and are never copied with one.
constexpr shard_id outside_shards = 0xffff;
constexpr std::size_t entry_checksum_bytes = 8;

std::string own_key(shard_id shard, std::string_view name) {
  return engine::named_key(outside_shards, fmt::format("replica/{:05}/{}", shard, name));
}

std::string doomed_name(shard_id shard, const doomed_key& key) {
  return own_key(shard, fmt::format("doomed/{:020}/{:016x}/{:05}", key.seq, key.key.page, key.key.slot));
}

operation put(std::string key, std::string value) {
  return {operation::what::put, table::meta, std::move(key), std::move(value)};
}

operation erase(std::string key) {
  return {operation::what::erase, table::meta, std::move(key), {}};
}

} // namespace

operation put_term(shard_id shard, std::uint64_t term) {
  std::string value;
  append_big_endian(value, term, 8);
  return put(own_key(shard, "term"), std::move(value));
}

std::string applied_key(shard_id shard) {
  return own_key(shard, "applied");
}

operation put_applied(shard_id shard, const applied_mark& mark) {
  std::string value;
  append_big_endian(value, mark.at.seq, 8);
  append_big_endian(value, mark.at.term, 8);
  append_big_endian(value, static_cast<std::uint64_t>(to_int(mark.time)), 8);
  value.append(reinterpret_cast<const char*>(mark.at.chain.data()), mark.at.chain.size());
  return put(applied_key(shard), std::move(value));
}

result<applied_mark> decode_applied(std::string_view bytes) {
  applied_mark mark;
  if (bytes.size() != 24 + mark.at.chain.size())
    return fail(errc::corrupt, "the mark of what is applied does not decode");
  mark.at.seq = read_big_endian(bytes, 8);
  mark.at.term = read_big_endian(bytes.substr(8), 8);
  mark.time = from_int(static_cast<std::int64_t>(read_big_endian(bytes.substr(16), 8)));
  std::ranges::copy(bytes.substr(24), mark.at.chain.begin());
  return mark;
}

operation put_doomed(shard_id shard, const doomed_key& key) {
  std::string value;
  append_big_endian(value, key.seq, 8);
  append_big_endian(value, key.key.page, 8);
  append_big_endian(value, key.key.slot, 2);
  return put(doomed_name(shard, key), std::move(value));
}

operation erase_doomed(shard_id shard, const doomed_key& key) {
  return erase(doomed_name(shard, key));
}

operation put_installing(shard_id shard) {
  return put(own_key(shard, "installing"), "1");
}

operation erase_installing(shard_id shard) {
  return erase(own_key(shard, "installing"));
}

operation put_record(shard_id shard, const log_record& record) {
  return {operation::what::put, table::log, engine::log_key(shard, record.at.seq), *record.bytes};
}

operation cut_log(shard_id shard, std::uint64_t from, std::uint64_t to) {
  return {operation::what::erase_range, table::log, engine::log_key(shard, from),
          engine::log_key(shard, to)};
}

engine::batch erase_shard(shard_id shard) {
  engine::batch all;
  for (std::size_t t = 0; t < engine::table_count; ++t)
    all.push_back({operation::what::erase_range, static_cast<table>(t), engine::shard_begin(shard),
                   engine::shard_end(shard)});
  all.push_back(erase(applied_key(shard)));
  return all;
}

result<position> position_of(std::string_view bytes) {
  position at;
  if (bytes.size() < at.chain.size() + entry_checksum_bytes)
    return fail(errc::corrupt, "a log entry is too short");
  auto chain = bytes.substr(bytes.size() - at.chain.size() - entry_checksum_bytes, at.chain.size());
  std::ranges::copy(chain, at.chain.begin());
  // Version, shard, term and seq are the first four fields; the last two have a fixed width.
  std::size_t offset = 1;
  try {
    for (auto skipped = 0; skipped < 2; ++skipped)
      msgpack::unpack(bytes.data(), bytes.size(), offset);
    at.term = msgpack::unpack(bytes.data(), bytes.size(), offset)->as<std::uint64_t>();
    at.seq = msgpack::unpack(bytes.data(), bytes.size(), offset)->as<std::uint64_t>();
  } catch (const std::exception&) {
    return fail(errc::corrupt, "a log entry does not decode");
  }
  return at;
}

result<std::vector<log_record>> read_log(const engine::engine& db, shard_id shard,
                                         std::uint64_t from, std::size_t bytes) {
  std::vector<log_record> records;
  std::size_t taken = 0;
  std::optional<error> wrong;
  CANDOR_TRY_VOID(db.scan(table::log, engine::log_key(shard, from), engine::shard_end(shard),
                          [&](std::string_view, std::string_view value) {
                            auto at = position_of(value);
                            if (!at)
                              wrong = at.error();
                            else if (at->seq != from + records.size())
                              return false; // what is asked for is not kept any more
                            else
                              records.push_back(
                                  {*at, std::make_shared<const std::string>(value)});
                            taken += value.size();
                            return !wrong && taken < bytes;
                          }));
  if (wrong)
    return tl::unexpected<error>{*wrong};
  return records;
}

result<found_shard> read_shard(const engine::engine& db, shard_id shard) {
  found_shard found;
  CANDOR_TRY(term, db.get(table::meta, own_key(shard, "term")));
  if (term)
    found.term = read_big_endian(*term, 8);
  CANDOR_TRY(installing, db.get(table::meta, own_key(shard, "installing")));
  found.installing = installing.has_value();
  CANDOR_TRY(applied, db.get(table::meta, applied_key(shard)));
  if (applied) {
    CANDOR_TRY(mark, decode_applied(*applied));
    found.applied = mark;
  }
  auto doomed = own_key(shard, "doomed/");
  CANDOR_TRY_VOID(db.scan(table::meta, doomed, engine::prefix_end(doomed),
                          [&](std::string_view, std::string_view value) {
                            if (value.size() == 18)
                              found.doomed.push_back(
                                  {read_big_endian(value, 8),
                                   {read_big_endian(value.substr(8), 8),
                                    static_cast<std::uint16_t>(
                                        read_big_endian(value.substr(16), 2))}});
                            return true;
                          }));
  found.end = found.applied.at;
  if (found.installing)
    return found;
  auto previous = found.applied.at;
  std::optional<error> wrong;
  CANDOR_TRY(last, db.get(table::log, engine::log_key(shard, previous.seq)));
  if (last) { // it may have been cut
    auto decoded = decode_entry(*last);
    if (!decoded || position{decoded->seq, decoded->term, decoded->chain} != previous)
      return fail(errc::corrupt, fmt::format("entry {} of the log of shard {} is not the one that "
                                             "was applied",
                                             previous.seq, shard));
  }
  CANDOR_TRY_VOID(db.scan(
      table::log, engine::log_key(shard, previous.seq + 1), engine::shard_end(shard),
      [&](std::string_view, std::string_view value) {
        auto decoded = decode_entry(value);
        if (!decoded) {
          wrong = decoded.error();
          return false;
        }
        auto again = *decoded;
        encode(again, previous.chain);
        if (decoded->shard != shard || decoded->seq != previous.seq + 1 ||
            again.chain != decoded->chain) {
          wrong = error{errc::corrupt,
                        fmt::format("the log of shard {} does not go on after entry {}", shard,
                                    previous.seq)};
          return false;
        }
        previous = {decoded->seq, decoded->term, decoded->chain};
        found.unapplied.push_back(std::move(*decoded));
        return true;
      }));
  if (wrong)
    return tl::unexpected<error>{*wrong};
  found.end = previous;
  return found;
}

} // namespace candor::replication
