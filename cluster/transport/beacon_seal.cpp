#include "cluster/transport/beacon_seal.hpp"

#include <sodium.h>

#include "cluster/transport/handshake.hpp"
#include "storage/base/error.hpp"

namespace candor::transport {

namespace {

constexpr char beacon_version = 1;
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t incarnation_bytes = 8;
constexpr std::string_view key_context = "candor beacon v1";

static_assert(nonce_bytes == 24 && tag_bytes == 16);

const unsigned char* data_of(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

unsigned char* data_of(std::string& s) {
  return reinterpret_cast<unsigned char*>(s.data());
}

void put_name(std::string& out, std::string_view name) {
  out.push_back(static_cast<char>(name.size()));
  out += name;
}

} // namespace

beacon_seal::beacon_seal(const cluster_secret& secret, std::string_view cluster) {
  CANDOR_ASSERT(sodium_init() >= 0);
  auto said = std::string{key_context} + std::string{cluster};
  crypto_generichash(key_.data(), key_.size(), data_of(std::string_view{said}), said.size(),
                     secret.data(), secret.size());
}

beacon_seal::~beacon_seal() {
  sodium_memzero(key_.data(), key_.size());
}

std::string beacon_seal::seal(std::string_view sender, std::uint64_t incarnation,
                              std::string_view receiver, std::string_view payload) const {
  CANDOR_ASSERT(is_node_name(sender) && is_node_name(receiver));
  CANDOR_ASSERT(payload.size() <= limits::beacon_payload_bytes);
  std::string plain;
  for (auto i = incarnation_bytes; i-- > 0;)
    plain.push_back(static_cast<char>(incarnation >> (8 * i)));
  put_name(plain, receiver);
  plain += payload;

  std::string out{beacon_version};
  put_name(out, sender);
  auto head = out;
  out.resize(head.size() + nonce_bytes + plain.size() + tag_bytes);
  auto* nonce = data_of(out) + head.size();
  randombytes_buf(nonce, nonce_bytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      nonce + nonce_bytes, nullptr, data_of(std::string_view{plain}), plain.size(),
      data_of(std::string_view{head}), head.size(), nullptr, nonce, key_.data());
  return out;
}

std::optional<std::string_view> beacon_seal::sender_of(std::string_view datagram) noexcept {
  if (datagram.size() < 2 || datagram.size() > beacon_bytes || datagram[0] != beacon_version)
    return std::nullopt;
  auto size = static_cast<std::size_t>(static_cast<unsigned char>(datagram[1]));
  if (datagram.size() < 2 + size + nonce_bytes + incarnation_bytes + 1 + tag_bytes)
    return std::nullopt;
  auto name = datagram.substr(2, size);
  return is_node_name(name) ? std::optional{name} : std::nullopt;
}

std::optional<opened_beacon> beacon_seal::open(std::string_view datagram) const {
  auto sender = sender_of(datagram);
  if (!sender)
    return std::nullopt;
  auto head = datagram.substr(0, 2 + sender->size());
  auto nonce = datagram.substr(head.size(), nonce_bytes);
  auto sealed = datagram.substr(head.size() + nonce_bytes);
  std::array<unsigned char, beacon_bytes> plain;
  unsigned long long plain_bytes = 0;
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain.data(), &plain_bytes, nullptr,
                                                 data_of(sealed), sealed.size(), data_of(head),
                                                 head.size(), data_of(nonce), key_.data()) != 0)
    return std::nullopt;

  std::string_view left{reinterpret_cast<const char*>(plain.data()),
                        static_cast<std::size_t>(plain_bytes)};
  opened_beacon opened;
  for (auto c : left.substr(0, incarnation_bytes))
    opened.incarnation = opened.incarnation << 8 | static_cast<unsigned char>(c);
  auto name_bytes = static_cast<std::size_t>(static_cast<unsigned char>(left[incarnation_bytes]));
  left.remove_prefix(incarnation_bytes + 1);
  if (name_bytes > left.size())
    return std::nullopt;
  opened.receiver = left.substr(0, name_bytes);
  opened.payload = left.substr(name_bytes);
  return opened;
}

} // namespace candor::transport
