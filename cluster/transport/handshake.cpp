#include "cluster/transport/handshake.hpp"

#include <algorithm>
#include <array>

#include "storage/base/limits.hpp"

namespace candor::transport {

namespace {

constexpr int random_bits = 20;

constexpr std::array<std::string_view, refusals> names{
    "none",         "malformed",       "other_version",     "other_cluster", "wrong_name",
    "unknown_peer", "wrong_direction", "stale_incarnation", "tls_failed",    "too_slow",
    "too_many",     "no_connection",   "frame_too_large"};

/// Most significant byte first.
void put(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (auto i = bytes; i-- > 0;)
    out.push_back(static_cast<char>(value >> (8 * i)));
}

void put(std::string& out, std::string_view text) {
  put(out, text.size(), 1);
  out += text;
}

/// Takes fields off the front; once one is missing, all that follow are.
class reader {
public:
  explicit reader(std::string_view bytes)
    : left_{bytes} {}

  std::uint64_t number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (auto c : take(bytes))
      value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  std::string text() { return std::string{take(number(1))}; }

  bool complete() const noexcept { return good_ && left_.empty(); }

private:
  std::string_view take(std::size_t bytes) {
    good_ = good_ && bytes <= left_.size();
    if (!good_)
      return {};
    auto taken = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return taken;
  }

  std::string_view left_;
  bool good_ = true;
};

void put(std::string& out, const hello& h) {
  put(out, h.version, 2);
  put(out, h.cluster);
  put(out, h.node);
  put(out, h.incarnation, 8);
}

hello take_hello(reader& in) {
  hello h;
  h.version = static_cast<std::uint16_t>(in.number(2));
  h.cluster = in.text();
  h.node = in.text();
  h.incarnation = in.number(8);
  return h;
}

bool plausible(const hello& h) {
  return h.cluster.size() <= limits::cluster_id_bytes && is_node_name(h.node);
}

} // namespace

std::uint64_t make_incarnation(timestamp now, std::uint64_t previous, rng& random) {
  auto made = static_cast<std::uint64_t>(std::max<std::int64_t>(to_int(now), 0)) << random_bits;
  made |= random.next() >> (64 - random_bits);
  return std::max(made, previous + 1);
}

std::string_view name_of(refusal r) noexcept {
  return names[static_cast<std::size_t>(r)];
}

std::string encode(const hello& h) {
  std::string out;
  put(out, h);
  return out;
}

std::string encode(const answer& a) {
  std::string out;
  put(out, static_cast<std::uint8_t>(a.verdict), 1);
  put(out, a.self);
  return out;
}

std::optional<hello> decode_hello(std::string_view bytes) {
  reader in{bytes};
  auto h = take_hello(in);
  return in.complete() && plausible(h) ? std::optional{h} : std::nullopt;
}

std::optional<answer> decode_answer(std::string_view bytes) {
  reader in{bytes};
  auto verdict = in.number(1);
  auto h = take_hello(in);
  if (!in.complete() || !plausible(h) || verdict >= refusals)
    return std::nullopt;
  return answer{static_cast<refusal>(verdict), std::move(h)};
}

std::string frame(std::string_view bytes) {
  std::string out{hello_magic};
  put(out, bytes.size(), 2);
  out += bytes;
  return out;
}

std::optional<std::size_t> frame_body_bytes(std::string_view head) {
  if (head.size() != frame_head_bytes || !head.starts_with(hello_magic))
    return std::nullopt;
  auto bytes = static_cast<std::size_t>(reader{head.substr(hello_magic.size())}.number(2));
  return bytes + frame_head_bytes <= limits::hello_bytes ? std::optional{bytes} : std::nullopt;
}

bool is_node_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= limits::node_name_bytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

refusal judge(const hello& h, const expectation& e) noexcept {
  if (h.version != protocol_version)
    return refusal::other_version;
  if (h.cluster != e.cluster)
    return refusal::other_cluster;
  if (h.node != e.certified_node || (!e.dialed_node.empty() && h.node != e.dialed_node))
    return refusal::wrong_name;
  if (!e.known)
    return refusal::unknown_peer;
  if (!e.may_dial)
    return refusal::wrong_direction;
  if (h.incarnation < e.newest_incarnation)
    return refusal::stale_incarnation;
  return refusal::none;
}

} // namespace candor::transport
