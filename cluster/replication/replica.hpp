/// One shard's replica on one disk, as a state machine without I/O: who leads, what is durable
/// where, what is committed. In come messages, finished writes, configurations, outcomes of
/// compare-and-swaps, and ticks; out come messages, writes, compare-and-swaps. The protocol is
/// docs/replication.md (PacificA with leases); it was model-checked (tests/model), and every broken
/// variant of it is a build flag that the simulator finds.
///
/// Where it stands: the replicator (its shell) owns one for each shard, feeds it, gathers the
/// writes of all of them into one synced batch, and carries out the rest. It never looks into an
/// entry.
///
/// Guarantees: I1 what is committed is durable on every member of every in-sync set that the
/// coordinator might hold; I2 the committed prefix never changes; I4 while the grants of `must`
/// hold (leases::held), nobody else can have committed anything; I6 terms and versions only rise.
/// What one node can see of I2 and I6 is asserted in release builds too; the rest the simulator
/// checks. Must never read a clock, a disk or the network, nor depend on the order of a hash table:
/// a seed must repeat it.
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
#include "storage/base/disk_room.hpp"

namespace candor::replication {

/// A place in a log, told apart by what led to it: equal chain hashes mean equal logs up to there.
struct position {
  std::uint64_t seq = 0; ///< 0: before the first entry
  std::uint64_t term = 0;
  chain_hash chain{};
  friend bool operator==(const position&, const position&) = default;
};

/// An entry as it is stored and sent.
struct log_record {
  position at;
  std::shared_ptr<const std::string> bytes;
};

// -- messages between the replicas of a shard
// ------------------------------------------------------

/// primary -> member or learner. Without entries: a heartbeat, which carries `committed`.
struct prepare {
  position previous; ///< the entries connect here
  std::uint64_t committed = 0;
  std::vector<log_record> entries;
  /// At this time of the receiver's own clock, or later, nobody but the sender led, and all that
  /// had been acknowledged was up to `committed`. 0: the sender cannot say.
  millis vouched{0};
};

/// The answer. Counts only with the disk that the primary knows (message::from).
struct acknowledgement {
  std::uint64_t verified = 0; ///< durable here and equal to the primary's log, in this term
  bool apart = false;         ///< `previous` is not in this log: send from `committed` on
  position committed;         ///< the end of what this disk knows to be committed
  std::uint64_t applied = 0;
  std::uint64_t destroyed = 0; ///< keys that entries up to here destroy are destroyed on this disk
  bool low_on_disk = false;    ///< do without this disk where that is possible
  millis sent{0};              ///< by the sender's clock: the primary hands it back in `vouched`
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

// -- what the shell carries out
// ----------------------------------------------------------------------

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
  /// A disk lacks what it had acknowledged, up to this entry. It learns it again from whoever has
  /// it; what nobody has is lost.
  struct lost_entries {
    member disk;
    std::uint64_t upto = 0;
  };
  std::vector<lost_entries> lost;
};

/// Where the replica reads its own log: durable entries with from <= seq, at most `bytes` (at least
/// one where there is one), contiguous. Empty: not kept any more, or not durable yet (what it has
/// asked to be written the replica remembers itself).
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
  millis silence{700};          ///< without an echo: suspected
  millis silence_doubted{1400}; ///< the same where another member still hears it; once
  millis drop_after{500};    ///< a member that has not acknowledged is dropped from the in-sync set
  millis heartbeat{50};      ///< an idle primary's prepares; also when it sends again
  millis fence_after{1000};  ///< without grants of all of `must`
  millis candidate_step{15}; ///< by which candidates of lower rank wait longer
  millis leave_asks{1000};   ///< for the coordinator, before a hand-over is given up
  millis leave_within{100};  ///< of taking no more entries, whatever is not committed
  millis settled_after{1000}; ///< of serving, before the shard is moved as the placement wants
  /// Where a change makes the in-sync set this large, its minimum is raised to this; 0: left alone.
  std::uint32_t in_sync_least = 0;
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
  /// The coordinator, asked at `asked` or later, had this record (a read; a watch proves nothing).
  void confirmed(const sharding::shard_config& record, millis asked, millis now, effects& out);
  /// Members that the placement wants, first the wanted primary, with the disks that they have now.
  void wanted(std::vector<member> members, millis now, effects& out);
  /// Entries placed by this primary in `term()`, connecting to `end()`. Only while `role::serving`.
  void append(std::vector<log_record> records, millis now, effects& out);
  void tick(millis now, effects& out);
  /// Hands the shard to `to`, an in-sync member: once the coordinator is known to answer (while it
  /// does not, this member serves on), it takes no more entries, and leaves as soon as those it has
  /// are committed, so that nobody is left without an answer; after `leave_within` in any case.
  /// False: it cannot (not serving, a swap is in flight, it leaves already, `to` is not in sync).
  bool hand_off(const member& to, millis now, effects& out);
  /// Stops serving and leads again in a term of at least `term_floor`, with the next generation:
  /// the shard's content was replaced. False: it cannot now (not serving, a swap is in flight).
  bool renew(std::uint64_t term_floor, millis now, effects& out);
  /// Gives up leading at once (the disk hangs or failed); nothing more is acknowledged.
  void fence(millis now, effects& out);
  /// The same, and names an in-sync member that is to lead, which then need not wait for this one's
  /// grants to lapse. For a disk that failed: what is not committed has no answer anyway.
  void abandon(member to, millis now, effects& out);
  /// Asked by the shell before it replaces what is here by a copy that the primary of `term` made
  /// and that ends at `at`. True: nothing is taken or acknowledged until `installed`; a process
  /// that ends before that must start with nothing (`recovered` with its term only). False: drop
  /// the copy, it is older than what was acknowledged since.
  bool begin_install(std::uint64_t term, const position& at);
  /// The shell put a whole copy of the shard's state here, durably, that ends at `at`.
  void installed(const position& at, millis now, effects& out);
  /// What the shell has put into the tables, and the keys it has destroyed.
  void applied(std::uint64_t seq) {
    applied_ = seq;
    note_what_is_held();
  }
  void destroyed(std::uint64_t seq) { destroyed_ = seq; }
  /// What the disk has room for. Below `ample` this member says so, and is done without where that
  /// is possible; with `none` it takes no entries.
  void set_room(disk_room room) { room_ = room; }

  role now_is() const noexcept { return role_; }
  /// It takes no more entries, though it serves.
  bool leaving() const noexcept { return leaving_ && leaving_->takes_no_more; }
  std::uint64_t term() const noexcept { return term_; }
  const position& end() const noexcept { return end_; }
  /// Every entry up to here may be applied.
  std::uint64_t committed() const noexcept { return committed_.seq; }
  /// Serving, and with enough members for what is appended now to become committed.
  bool writable() const;
  /// For new data, as a primary: where this disk is low, or a member that cannot be done without.
  disk_room room() const;
  /// As this primary heard last.
  bool is_low(const member& who) const;
  /// Nobody else's acknowledgement counts: what is durable here is committed.
  bool alone() const { return must().size() == 1; }
  const sharding::shard_config& config() const noexcept { return config_; }
  /// All that anybody had been acknowledged by then is in what is applied here, of the generation
  /// that `config` names. nullopt: not known.
  std::optional<millis> holds_all_of() const;
  /// Up to where every copy that may hold keys has destroyed them, as far as this primary knows the
  /// copies: the in-sync members and the wanted ones.
  std::uint64_t destroyed_everywhere() const;
  /// Whether this primary knows the copy on that disk, so that `destroyed_everywhere` waits for it.
  bool knows(const member& who) const { return who == self_ || find(who) != nullptr; }
  /// Up to where the log may be cut without forcing an export on a member that is catching up. What
  /// is not applied here must be kept in any case.
  std::uint64_t needed_from() const;

private:
  /// What a primary knows of another member or learner, in its term.
  struct peer {
    member who;
    std::optional<std::uint64_t> acked; ///< durable there and verified in this term
    bool connected = false;             ///< known where its log meets ours: `sent` is meaningful
    bool paced = false;                 ///< sent again: one batch until it answers
    bool no_log = false;                ///< the log does not reach back to it: it needs a copy
    std::uint64_t meets = 0;            ///< while connected: its log is known to be ours up to here
    std::uint64_t sent = 0;
    std::deque<std::pair<std::uint64_t, std::size_t>> in_flight; ///< (last seq, bytes) of prepares
    std::size_t in_flight_bytes = 0;
    millis sent_at{0};
    millis progress_at{0};             ///< last acknowledged more, or everything
    std::optional<millis> apart_since; ///< says that it lacks what it acknowledged
    std::optional<millis> must_since;
    millis rewound_at{0};
    millis export_asked{0};
    std::uint64_t applied = 0;
    std::uint64_t destroyed = 0;
    bool low_on_disk = false;
    millis told{0}; ///< when it sent its last acknowledgement, by its own clock
  };
  struct departure {
    member to;
    millis since{0}; ///< of the wish; then of taking no more
    bool takes_no_more = false;
  };
  struct pending_swap {
    config_swap swap;
    bool in_flight = true; ///< false: its outcome is unknown
  };
  struct pending_write {
    ticket number;
    std::uint64_t end; ///< of the log once this is durable, if nothing cut it since
    std::optional<std::uint64_t> term;
  };

  bool leading() const { return role_ == role::reconciling || role_ == role::serving; }
  bool settled_term() const; ///< the term followed is durable

  // the log
  std::optional<position> place(std::uint64_t seq) const;
  std::vector<log_record> read_from(std::uint64_t seq, std::size_t bytes) const;
  std::uint64_t durable() const;
  void trim_recent();
  ticket write(std::optional<std::uint64_t> cut, std::vector<log_record> records,
               std::optional<std::uint64_t> term, effects& out);

  // following
  void follow(std::uint64_t term, const member& primary, millis now, effects& out);
  void grant_again();
  void take_prepare(const message& m, const prepare& p, millis now, effects& out);
  void acknowledge(bool apart, millis now, effects& out);
  void note_what_is_held();

  // becoming primary
  bool eligible() const;
  bool can_serve_after(millis now) const;
  bool suspects(millis now) const;
  void consider(millis now, effects& out);
  void take_over(millis now, effects& out);
  void lead(millis now, effects& out);
  void step_down(millis now);
  void leave(millis now, effects& out);
  void pass_on(member to, millis now, effects& out);
  std::uint32_t rank() const;

  // leading
  std::vector<member> must() const;
  void must_changed(millis now);
  peer* find(const member& who);
  const peer* find(const member& who) const;
  bool silent(const member& who, millis now) const;
  void take_acknowledgement(const message& m, const acknowledgement& a, millis now, effects& out);
  void note_lost_tail(peer& of, const acknowledgement& a, millis now, effects& out);
  void send(peer& to, millis now, effects& out);
  void rewind(peer& to, millis now);
  void heartbeat(peer& to, millis now, effects& out);
  millis vouch(const peer& to, millis now) const;
  void advance(millis now);
  void next_step(millis now, effects& out);
  bool ready(const peer& learner) const;
  std::size_t live(millis now, const std::vector<member>& of) const;
  bool fence_where_grants_are_missing(millis now, effects& out);
  void ask_exports(millis now, effects& out);
  void swap(sharding::shard_config config, millis now, effects& out);
  void ask_config(millis now, effects& out);
  void set_role(role next, millis now);

  const shard_id shard_;
  const member self_;
  const replica_options options_;
  leases& promises_;
  const log_reader& log_;

  role role_ = role::follower;
  std::uint64_t term_ = 0;
  position end_;
  position committed_;
  std::uint64_t durable_ = 0;
  std::deque<log_record> recent_; ///< the end of the log: what is not durable yet, and some before
  std::size_t recent_bytes_ = 0;
  std::deque<pending_write> writes_;
  ticket tickets_ = 0;
  std::uint64_t found_term_ = 0;           ///< as the process before left it
  std::optional<std::uint64_t> left_term_; ///< led last in this process, and not any more
  std::uint64_t applied_ = 0;
  std::uint64_t destroyed_ = 0;
  bool installing_ = false;
  disk_room room_ = disk_room::ample;

  sharding::shard_config config_;
  std::uint64_t config_version_ = 0; ///< the coordinator's
  std::vector<pending_swap> swaps_;  ///< in flight, or of unknown outcome
  std::vector<member> wanted_;
  bool stale_ = false; ///< a swap was refused: there is a later configuration
  millis config_asked_{0};
  millis swapped_at_{0};

  // as a follower
  std::optional<member> primary_;        ///< of term_
  std::optional<std::uint64_t> matched_; ///< equal to the primary's log up to here, in this term
  std::uint64_t told_committed_ = 0;     ///< by the primary, in this term
  millis heard_at_{0};                   ///< a prepare of this term
  millis started_at_{0};
  millis holds_all_of_{0};
  /// When this is applied, it holds all of that time.
  std::optional<std::pair<std::uint64_t, millis>> vouched_;
  std::optional<millis> ready_at_; ///< as a candidate: when it could first swap
  millis hold_back_until_{0};      ///< fenced: others first

  // as a primary
  std::vector<peer> peers_;
  std::optional<departure> leaving_;
  std::optional<member> counted_; ///< a learner that counts already, to be added
  std::uint64_t counted_end_ = 0; ///< of the log when it began to count
  millis counted_at_{0};
  millis since_{0};      ///< of the role
  millis granted_at_{0}; ///< when all grants were last seen to hold
};

} // namespace candor::replication
