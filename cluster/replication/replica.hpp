/// One shard's replica on one disk, as a state machine without I/O: who leads, what is durable where,
/// what is committed. In come messages, finished writes, configurations, outcomes of
/// compare-and-swaps, and ticks; out come messages, writes, compare-and-swaps. The protocol is
/// docs/replication.md (PacificA with leases); it was model-checked (tests/model), and every broken
/// variant of it is a build flag that the simulator finds.
///
/// Where it stands: the replicator (its shell) owns one for each shard, feeds it, gathers the writes
/// of all of them into one synced batch, and carries out the rest. It never looks into an entry.
///
/// Guarantees, asserted in release builds too:
///   I1 what is committed is durable on every member of every in-sync set that the coordinator might
///      hold; I2 the committed prefix never changes; I4 `may_answer` is true only while nobody else
///      can have committed anything; I6 terms and versions only rise.
/// Must never read a clock, a disk or the network, nor depend on the order of a hash table: a seed
/// must repeat it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cluster/replication/entry.hpp"
#include "cluster/replication/leases.hpp"
#include "cluster/sharding/shard_map.hpp"

namespace candor::replication {

/// An entry as it is stored and sent.
struct log_record {
  position at;
  std::shared_ptr<const std::string> bytes;
};

// -- messages between the replicas of a shard ------------------------------------------------------

/// primary -> member or learner. Without entries: a heartbeat, which carries `committed`.
struct prepare {
  position previous; ///< the entries connect here
  std::uint64_t committed = 0;
  std::vector<log_record> entries;
};

/// The answer. Counts only with the disk that the primary knows (message::from).
struct acknowledgement {
  std::uint64_t verified = 0; ///< durable here and equal to the primary's log, in this term
  bool apart = false;         ///< `previous` is not in this log: send from `committed` on
  position committed;         ///< the end of what this disk knows to be committed
  std::uint64_t applied = 0;
  std::uint64_t destroyed = 0; ///< keys that entries up to here destroy are destroyed on this disk
};

/// The old primary handed the shard over on purpose: look at the configuration now.
struct released {};

struct message {
  shard_id shard = 0;
  std::uint64_t term = 0;
  member from;
  std::variant<prepare, acknowledgement, released> body;
};

/// Versioned msgpack. Error: `corrupt`.
std::string encode(const message& m);
result<message> decode_message(std::string_view bytes);

// -- what the shell carries out ----------------------------------------------------------------------

using ticket = std::uint64_t; ///< told apart within one replica

/// To be made durable in the order in which they were asked for; one synced batch may hold many.
struct log_write {
  ticket number = 0;
  std::optional<std::uint64_t> truncate_from; ///< first: drop the entries from this seq on
  std::vector<log_record> records;            ///< then put these
  std::optional<std::uint64_t> term;          ///< the term that this disk follows from now on
};

/// A compare-and-swap of the shard's record in the coordinator.
struct config_swap {
  ticket number = 0;
  std::uint64_t expected_version = 0; ///< the coordinator's
  sharding::shard_config config;
};

enum class swap_outcome : std::uint8_t { applied, refused, unknown };

struct effects {
  std::vector<std::pair<member, message>> messages;
  std::vector<log_write> writes;
  std::vector<config_swap> swaps;
  /// The shell should read the shard's record (a fenced read) and call `configured`.
  bool read_config = false;
  /// This member needs a copy of the shard's state: the log does not reach back to where it is.
  std::vector<member> exports;
};

/// Where the replica reads its own log: entries with from <= seq, at most `bytes` (at least one where
/// there is one), contiguous. Empty: not kept any more.
class log_reader {
public:
  virtual ~log_reader() = default;
  virtual std::vector<log_record> read(shard_id shard, std::uint64_t from,
                                       std::size_t bytes) const = 0;
};

/// What a disk knows of a shard when its process starts.
struct recovered {
  std::uint64_t term = 0; ///< followed last
  position end;           ///< of the log
  position committed;     ///< up to where it is applied
};

struct replica_options {
  std::uint32_t replicas = 3; ///< wanted
  millis silence{700};        ///< without an echo: suspected
  millis silence_doubted{1400}; ///< the same where another member still hears it; once
  millis drop_after{500};     ///< a member that has not acknowledged is dropped from the in-sync set
  millis heartbeat{50};       ///< an idle primary's prepares; also when it sends again
  millis fence_after{1000};   ///< without grants of all of `must`
  std::size_t prepare_bytes = 256 * 1024;
  std::size_t in_flight_bytes = 4 * 1024 * 1024; ///< to one member, not acknowledged
};

enum class role : std::uint8_t { follower, candidate, reconciling, serving };

class replica {
public:
  replica(shard_id shard, member self, replica_options options, leases& promises,
          const log_reader& log);

  void start(const recovered& found, millis now, effects& out);

  /// The shard's record as the coordinator has it (from a watch or a read; older ones are ignored).
  void configured(const sharding::shard_config& config, std::uint64_t version, millis now,
                  effects& out);
  void receive(const message& m, millis now, effects& out);
  void written(ticket number, millis now, effects& out);
  void swapped(ticket number, swap_outcome outcome, millis now, effects& out);
  /// Members that the placement wants, first the wanted primary, with the disks that they have now.
  void wanted(std::vector<member> members, millis now, effects& out);
  /// Entries placed by this primary in `term()`, connecting to `end()`. Only while `role::serving`.
  void append(std::vector<log_record> records, millis now, effects& out);
  void tick(millis now, effects& out);
  /// Stops serving and hands the shard to `to`, an in-sync member. False: it cannot (not serving, a
  /// swap is in flight, `to` is not in sync).
  bool hand_off(const member& to, millis now, effects& out);
  /// Gives up leading at once (the disk hangs or failed); nothing more is acknowledged.
  void fence(millis now, effects& out);
  /// The shell put a whole copy of the shard's state here, durably, that ends at `at`.
  void installed(const position& at, millis now, effects& out);
  /// What the shell has put into the tables, and the keys it has destroyed.
  void applied(std::uint64_t seq) { applied_ = seq; }
  void destroyed(std::uint64_t seq) { destroyed_ = seq; }

  role now_is() const noexcept { return role_; }
  std::uint64_t term() const noexcept { return term_; }
  const position& end() const noexcept { return end_; }
  /// Every entry up to here may be applied.
  std::uint64_t committed() const noexcept { return committed_.seq; }
  const sharding::shard_config& config() const noexcept { return config_; }
  /// Up to where every copy that may hold keys has destroyed them.
  std::uint64_t destroyed_everywhere() const;
  /// Up to where the log may be cut without forcing an export on a member that is catching up.
  std::uint64_t needed_from() const;
};

} // namespace candor::replication
