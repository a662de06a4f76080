#include "storage/engine/keys.hpp"

namespace candor::engine {

void append_big_endian(std::string& key, std::uint64_t value, unsigned width) {
  for (auto i = width; i-- > 0;)
    key += static_cast<char>(value >> (8 * i));
}

std::uint64_t read_big_endian(std::string_view key, unsigned width) {
  CANDOR_ASSERT(key.size() >= width);
  std::uint64_t value = 0;
  for (unsigned i = 0; i < width; ++i)
    value = value << 8 | static_cast<unsigned char>(key[i]);
  return value;
}

std::string shard_begin(shard_id shard) {
  std::string key;
  append_big_endian(key, shard, 2);
  return key;
}

std::string shard_end(shard_id shard) {
  return prefix_end(shard_begin(shard));
}

std::string prefix_end(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff)
    prefix.pop_back();
  if (prefix.empty())
    return std::string(64, '\xff'); // longer than any key
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

std::string log_key(shard_id shard, std::uint64_t seq) {
  auto key = shard_begin(shard);
  append_big_endian(key, seq, 8);
  return key;
}

std::string user_prefix(shard_id shard, const storage_key& key) {
  return shard_begin(shard).append(key.view());
}

std::string user_key(shard_id shard, const storage_key& key, user_row kind, std::uint64_t version) {
  auto row = user_prefix(shard, key);
  append_big_endian(row, static_cast<std::uint64_t>(kind), 1);
  if (is_numbered(kind))
    append_big_endian(row, version, 8);
  return row;
}

std::string timer_key(shard_id shard, timestamp due, const storage_key& key, std::uint8_t kind) {
  auto row = shard_begin(shard);
  append_big_endian(row, static_cast<std::uint64_t>(to_int(due)), 8);
  row.append(key.view());
  append_big_endian(row, kind, 1);
  return row;
}

std::string audit_key(shard_id shard, std::uint64_t index) {
  return log_key(shard, index);
}

std::string named_key(shard_id shard, std::string_view name) {
  return shard_begin(shard).append(name);
}

} // namespace candor::engine
