#include "actors/topic_filter/scan_file.hpp"

#include <cstdlib>
#include <fstream>
#include <memory>

#include <hs/hs.h>
#include <sodium.h>

namespace candor::topic_filter {

namespace {

constexpr std::streamoff file_bytes_max = 1 << 29;
constexpr std::size_t key_bytes = 32;

std::string digest_of(const char* bytes, std::size_t size) {
  std::string digest(key_bytes, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(digest.data()), digest.size(),
                     reinterpret_cast<const unsigned char*>(bytes), size, nullptr, 0);
  return digest;
}

} // namespace

std::string scan_key(const std::vector<const std::string*>& terms) {
  crypto_generichash_state state;
  std::string key(key_bytes, '\0');
  crypto_generichash_init(&state, nullptr, 0, key.size());
  auto add = [&](std::string_view text) {
    auto size = static_cast<std::uint64_t>(text.size());
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&size), sizeof size);
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(text.data()),
                              text.size());
  };
  add(hs_version());
  for (const auto* term : terms)
    add(*term);
  crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(key.data()), key.size());
  return key;
}

hs_database* read_scan_file(const std::filesystem::path& file, const std::string& key) {
  std::ifstream from{file, std::ios::binary | std::ios::ate};
  auto size = from.is_open() ? static_cast<std::streamoff>(from.tellg()) : 0;
  auto front = key.size() + key_bytes; // before the database: its key and its digest
  if (size <= static_cast<std::streamoff>(front) || size > file_bytes_max)
    return nullptr;
  std::string bytes(static_cast<std::size_t>(size), '\0');
  from.seekg(0);
  if (!from.read(bytes.data(), size) || !bytes.starts_with(key))
    return nullptr;
  const auto* database = bytes.data() + front;
  if (bytes.substr(key.size(), key_bytes) != digest_of(database, bytes.size() - front))
    return nullptr;
  hs_database* made = nullptr; // it knows for which processor it was made
  auto outcome = hs_deserialize_database(database, bytes.size() - front, &made);
  return outcome == HS_SUCCESS ? made : nullptr;
}

result<std::string> make_scan_file(const std::string& key, const hs_database* database) {
  char* bytes = nullptr;
  std::size_t size = 0;
  if (hs_serialize_database(database, &bytes, &size) != HS_SUCCESS)
    return fail(errc::internal, "the lexicon's database cannot be put into bytes");
  std::unique_ptr<char, void (*)(void*)> owned{bytes, std::free};
  auto made = key + digest_of(bytes, size);
  made.append(bytes, size);
  return made;
}

} // namespace candor::topic_filter
