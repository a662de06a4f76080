/// What two nodes tell each other after TLS and before CAF's protocol: who they are, and whether
/// that will do. Pure.
///
/// The dialer sends `frame(encode(hello))`; the other answers `frame(encode(answer))`. A frame is
/// the magic, a length of two bytes (most significant first) and that many bytes.
/// Must never be trusted for the name alone: the certificate has to carry the same one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/rng.hpp"
#include "storage/base/time.hpp"

namespace candor::transport {

inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::string_view hello_magic = "CNDRLNK1";
inline constexpr std::size_t frame_head_bytes = hello_magic.size() + 2;

/// Orders the lives of a node: milliseconds since 1970 in the upper 44 bits, chance in the lower
/// 20. Made once at a process's start.
/// Greater than `previous` even where the wall clock went back, so keep the last one on disk and
/// hand it in: peers refuse a life that is older than one they have met.
std::uint64_t make_incarnation(timestamp now, std::uint64_t previous, rng& random);

struct hello {
  std::uint16_t version = protocol_version;
  std::string cluster;
  std::string node;
  std::uint64_t incarnation = 0;

  friend bool operator==(const hello&, const hello&) = default;
};

/// Why there is no link. The numbers travel; the names are labels of a metric.
enum class refusal : std::uint8_t {
  none,
  malformed,         ///< not a hello
  other_version,     ///< of this protocol
  other_cluster,     ///< another cluster id
  wrong_name,        ///< not the certificate's, or not the one that was dialed
  unknown_peer,      ///< not in the set of peers
  wrong_direction,   ///< the node with the lower name dials
  stale_incarnation, ///< an earlier life of a node whose later one was met
  tls_failed,        ///< no certificate of the cluster's, or not TLS 1.3 at all
  too_slow,          ///< TLS and hello did not end within their deadline
  too_many,          ///< pushed out by later ones
  no_connection,     ///< TCP said no, or nothing in time
  frame_too_large,   ///< a frame of CAF's protocol over `limits::frame_bytes`, later on
};
inline constexpr std::size_t refusals = static_cast<std::size_t>(refusal::frame_too_large) + 1;

std::string_view name_of(refusal r) noexcept;

struct answer {
  refusal verdict = refusal::none;
  hello self;

  friend bool operator==(const answer&, const answer&) = default;
};

/// Version, cluster, node, incarnation: every later version keeps these four, so that each side can
/// say that the version is the reason.
std::string encode(const hello& h);
std::string encode(const answer& a);

/// Nothing where a byte is missing, too much, or not what it has to be.
std::optional<hello> decode_hello(std::string_view bytes);
std::optional<answer> decode_answer(std::string_view bytes);

/// `bytes` with the head before it; at most `limits::hello_bytes`.
std::string frame(std::string_view bytes);
/// How many bytes follow the head; nothing where it is not one of ours or claims too much.
std::optional<std::size_t> frame_body_bytes(std::string_view head);

/// 1 to 64 of a-z, A-Z, 0-9, dot, dash, underscore: what a certificate's name can say as well.
bool is_node_name(std::string_view name) noexcept;

/// What a hello is held against.
struct expectation {
  std::string cluster;
  std::string certified_node; ///< a name that the certificate carries and the hello claims; or ""
  std::string dialed_node;    ///< "" where we were dialed
  bool known = true;          ///< in the set of peers
  bool may_dial = true;       ///< or is the one that was dialed
  std::uint64_t newest_incarnation = 0; ///< that was met of this node
};

refusal judge(const hello& h, const expectation& e) noexcept;

} // namespace candor::transport
