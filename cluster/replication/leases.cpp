#include "cluster/replication/leases.hpp"

#include <algorithm>
#include <cstring>

#include "cluster/replication/broken.hpp"
#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"

namespace candor::replication {

namespace {

// A datagram: kind, version, incarnation (8), sent at (8), disk id (text), then by kind
//   beacon: names of peers that the sender hears (count, texts; not_told where an earlier datagram
//           of the beacon tells them), (shard 2, term 8) that it leads
//   answer: (shard, term) that are granted
// Numbers are big-endian, a text is its length in one byte and its bytes, a count is one byte.
constexpr char format_version = 1;
constexpr char beacon_kind = 'b';
constexpr char answer_kind = 'a';
constexpr std::size_t shard_bytes = 10;
constexpr std::uint64_t not_told = 255;

void put_number(std::string& to, std::uint64_t value, unsigned width) {
  for (unsigned i = width; i-- > 0;)
    to.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void put_text(std::string& to, std::string_view text) {
  to.push_back(static_cast<char>(text.size()));
  to.append(text);
}

struct reader {
  std::string_view left;
  bool good = true;

  std::string_view bytes(std::size_t n) {
    if (left.size() < n) {
      good = false;
      left = {};
      return {};
    }
    auto taken = left.substr(0, n);
    left.remove_prefix(n);
    return taken;
  }
  std::uint64_t number(unsigned width) {
    std::uint64_t value = 0;
    for (char c : bytes(width))
      value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::string_view text() { return bytes(number(1)); }
};

struct led_shard {
  shard_id shard = 0;
  std::uint64_t term = 0;
};

struct datagram {
  char kind = 0;
  std::uint64_t incarnation = 0;
  std::int64_t sent_at = 0;
  std::string_view disk_id;
  bool tells = false;
  std::vector<std::string_view> hears;
  std::vector<led_shard> shards;
};

bool parse(std::string_view bytes, datagram& into) {
  if (bytes.size() > limits::datagram_bytes)
    return false;
  reader in{bytes};
  into.kind = static_cast<char>(in.number(1));
  if (static_cast<char>(in.number(1)) != format_version)
    return false;
  into.incarnation = in.number(8);
  into.sent_at = static_cast<std::int64_t>(in.number(8));
  into.disk_id = in.text();
  if (into.kind == beacon_kind) {
    auto names = in.number(1);
    into.tells = names != not_told;
    for (std::uint64_t i = 0; into.tells && i < names && in.good; ++i)
      into.hears.push_back(in.text());
  } else if (into.kind != answer_kind) {
    return false;
  }
  if (!in.good || in.left.size() % shard_bytes != 0)
    return false;
  while (!in.left.empty()) {
    auto shard = static_cast<shard_id>(in.number(2));
    into.shards.push_back({shard, in.number(8)});
  }
  return true;
}

std::string header(char kind, std::uint64_t incarnation, std::int64_t sent_at,
                   std::string_view disk_id) {
  std::string to;
  to.reserve(limits::datagram_bytes);
  to.push_back(kind);
  to.push_back(format_version);
  put_number(to, incarnation, 8);
  put_number(to, static_cast<std::uint64_t>(sent_at), 8);
  put_text(to, disk_id);
  return to;
}

} // namespace

leases::leases(member self, std::uint64_t incarnation, shard_count shards, lease_options options,
               millis now)
  : self_{std::move(self)}
  , incarnation_{incarnation}
  , options_{options}
  , start_{now}
  , shards_(shards.value) {
  CANDOR_ASSERT(self_.node.size() <= limits::node_name_bytes &&
                self_.disk_id.size() <= limits::node_name_bytes);
  if (!broken(variant::grant_lost))
    for (auto& s : shards_)
      s.others_until = now + kept();
}

millis leases::kept() const {
  // One more for what two clocks cut off.
  return options_.lease + options_.lease * options_.drift_permille / 1000 + millis{1};
}

void leases::follow(shard_id shard, std::uint64_t term, const member& primary) {
  std::lock_guard guard{lock_};
  auto& s = shards_.at(shard);
  s.grants = true;
  s.follows_term = term;
  s.follows = primary;
}

void leases::withhold(shard_id shard) {
  std::lock_guard guard{lock_};
  shards_.at(shard).grants = false;
}

void leases::lead(shard_id shard, std::uint64_t term, const std::vector<member>& must) {
  std::lock_guard guard{lock_};
  auto& s = shards_.at(shard);
  std::vector<holding> held;
  for (const auto& m : must) {
    if (m == self_)
      continue;
    auto until = millis::min();
    if (s.leads && s.leads_term == term)
      for (const auto& h : s.held)
        if (h.who == m)
          until = h.until;
    held.push_back({m, until});
  }
  s.grants = false;
  s.leads = true;
  s.leads_term = term;
  s.held = std::move(held);
}

void leases::stop_leading(shard_id shard) {
  std::lock_guard guard{lock_};
  auto& s = shards_.at(shard);
  s.leads = false;
  s.held.clear();
}

void leases::release(shard_id shard, const member& led, std::uint64_t term) {
  std::lock_guard guard{lock_};
  auto& s = shards_.at(shard);
  // A beacon from before it stopped may still be under way: grant nothing for it either.
  if (s.grants && s.follows == led && s.follows_term <= term)
    s.grants = false;
  if (s.granted_to == led && s.granted_term <= term)
    s.granted_until = millis{0};
}

void leases::granted_nothing_before(shard_id shard) {
  std::lock_guard guard{lock_};
  auto& s = shards_.at(shard);
  // Only the guess about the process before; what this one granted stands by itself.
  if (s.granted_term == 0)
    s.others_until = millis{0};
}

millis leases::granted_until(shard_id shard) const {
  std::lock_guard guard{lock_};
  const auto& s = shards_.at(shard);
  return std::max(s.granted_until, s.others_until);
}

bool leases::held(shard_id shard, std::uint64_t term, millis now) const {
  return held_until(shard, term) > now;
}

millis leases::held_until(shard_id shard, std::uint64_t term) const {
  std::lock_guard guard{lock_};
  const auto& s = shards_.at(shard);
  if (!s.leads || s.leads_term != term)
    return millis::min();
  auto until = millis::max();
  if (!broken(variant::read_nolease))
    for (const auto& h : s.held)
      until = std::min(until, h.until);
  return until;
}

millis leases::granted_by(shard_id shard, std::uint64_t term, const member& who) const {
  std::lock_guard guard{lock_};
  const auto& s = shards_.at(shard);
  if (s.leads && s.leads_term == term)
    for (const auto& h : s.held)
      if (h.who == who)
        return h.until;
  return millis::min();
}

millis leases::last_echo(const member& who) const {
  std::lock_guard guard{lock_};
  auto found = peers_.find(who.node);
  if (found == peers_.end() || found->second.disk_id != who.disk_id)
    return start_;
  return std::max(start_, found->second.echoed);
}

bool leases::heard_by_others(std::string_view node, millis now, millis within) const {
  std::lock_guard guard{lock_};
  for (const auto& [name, peer] : peers_)
    if (name != node && peer.told_at + within >= now &&
        std::ranges::find(peer.hears, node) != peer.hears.end())
      return true;
  return false;
}

std::vector<std::string> leases::compose(std::string_view peer, millis now) {
  std::lock_guard guard{lock_};
  auto first = header(beacon_kind, incarnation_, now.count(), self_.disk_id);
  auto next = first;
  next.push_back(static_cast<char>(not_told));
  std::vector<std::string_view> heard;
  std::size_t bytes = 0;
  for (const auto& [name, other] : peers_)
    if (name != peer && other.echoed > start_ && other.echoed + options_.lease / 2 >= now &&
        heard.size() < not_told - 1 && bytes + name.size() + 1 <= limits::datagram_bytes / 2) {
      heard.push_back(name);
      bytes += name.size() + 1;
    }
  first.push_back(static_cast<char>(heard.size()));
  for (auto name : heard)
    put_text(first, name);

  std::vector<std::string> all{std::move(first)};
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    const auto& s = shards_[shard];
    if (!s.leads || std::ranges::none_of(s.held, [&](auto& h) { return h.who.node == peer; }))
      continue;
    if (all.back().size() + shard_bytes > limits::datagram_bytes)
      all.push_back(next);
    put_number(all.back(), shard, 2);
    put_number(all.back(), s.leads_term, 8);
  }
  return all;
}

std::vector<std::string> leases::receive(std::string_view peer, std::string_view bytes,
                                         millis now) {
  datagram d;
  if (peer == self_.node || !parse(bytes, d))
    return {};
  std::lock_guard guard{lock_};
  auto* from = known(peer);
  if (!from)
    return {};

  if (d.kind == beacon_kind) {
    if (d.tells) {
      from->told_at = now;
      from->hears.assign(d.hears.begin(), d.hears.end());
    }
    auto answer = header(answer_kind, d.incarnation, d.sent_at, self_.disk_id);
    for (auto [shard, term] : d.shards) {
      if (shard >= shards_.size())
        continue;
      auto& s = shards_[shard];
      bool same =
          s.follows_term == term && s.follows.node == peer && s.follows.disk_id == d.disk_id;
      if (broken(variant::grant_oldterm))
        same = term <= s.follows_term;
      if (!s.grants || !same)
        continue;
      member to{std::string{peer}, std::string{d.disk_id}};
      if (s.granted_to != to || s.granted_term != term) {
        s.others_until = std::max(s.others_until, s.granted_until);
        s.granted_to = std::move(to);
        s.granted_term = term;
        s.granted_until = millis{0};
      }
      s.granted_until = std::max(s.granted_until, now + kept());
      put_number(answer, shard, 2);
      put_number(answer, term, 8);
    }
    return {std::move(answer)};
  }

  millis sent_at{d.sent_at};
  if (d.incarnation != incarnation_ || sent_at > now || sent_at < start_)
    return {};
  if (from->disk_id != d.disk_id) {
    from->disk_id = d.disk_id;
    from->echoed = millis{0};
  }
  from->echoed = std::max(from->echoed, sent_at);
  for (auto [shard, term] : d.shards) {
    if (shard >= shards_.size())
      continue;
    auto& s = shards_[shard];
    if (!s.leads || s.leads_term != term)
      continue;
    for (auto& h : s.held)
      if (h.who.node == peer && (h.who.disk_id == d.disk_id || broken(variant::keep_id)))
        h.until = std::max(h.until, sent_at + options_.lease);
  }
  return {};
}

leases::peer_state* leases::known(std::string_view peer) {
  auto found = peers_.find(peer);
  if (found != peers_.end())
    return &found->second;
  if (peer.size() > limits::node_name_bytes || peers_.size() >= limits::nodes)
    return nullptr;
  return &peers_.emplace(std::string{peer}, peer_state{}).first->second;
}

} // namespace candor::replication
