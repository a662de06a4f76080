/// The one door for writes of a disk: owns the replica of every shard that lies on it, and is the
/// core of their shell (replication_actor). Rooms hand in drafts for shards that this node leads;
/// the replicator places, seals and chains them, feeds the replicas, gathers what all of them want
/// written into one synced batch, applies what is committed, and answers once it is durable on
/// every member that must hold it. On one node that is the node itself.
///
/// Guarantees: an answer means durable on all of `must`; entries of a shard are applied in the
/// order of their seq, without gaps, and only when committed; no (key, nonce) pair is used twice,
/// since every leadership begins a new term; nothing is acknowledged whose pages of keys are not
/// durable here; after a failed write everything handed in under the same epoch fails too. Must
/// never interpret a row.
///
/// It does no waiting: `take_job` hands out what is to be written, `job_done` tells the outcome,
/// and meanwhile everything else goes on. Not thread-safe: its actor owns it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/replication/disk_patience.hpp"
#include "cluster/replication/entry.hpp"
#include "cluster/replication/leases.hpp"
#include "cluster/replication/peer_wire.hpp"
#include "cluster/replication/replica.hpp"
#include "cluster/replication/shard_log.hpp"
#include "cluster/sharding/shard_map.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/limits.hpp"

namespace candor::replication {

/// What a shard's owner needs to know when it takes over.
struct shard_opening {
  std::uint64_t epoch = 0; ///< to be named with every append
  std::uint64_t term = 0;
  std::uint64_t seq = 0; ///< of the last committed entry
  std::uint64_t generation = 0;
  log_clock time;
  stores::audit_head audit;
};

struct append_request {
  shard_id shard = 0;
  std::uint64_t epoch = 0;
  std::vector<draft> drafts; ///< appended one after the other, all or none
};

using append_result = result<std::vector<committed>>;

struct replicator_options {
  sharding::member self;
  shard_count shards;
  std::uint64_t log_kept_bytes = 1u << 20; ///< of each shard, for those who catch up from it
  replica_options protocol{};
  millis fence_after{1000}; ///< a sync takes longer: nothing is promised any more
};

/// What the disk has to do next, in this order.
struct disk_job {
  std::vector<shard_id> drop_keys;      ///< all pages of these shards
  std::vector<page_copy> pages;         ///< durable before the batch
  engine::batch batch;                  ///< one synced write
  std::vector<stores::key_ref> destroy; ///< keys, after the batch
};

struct disk_outcome {
  result<void> written;                       ///< error: how much of the batch is there is unknown
  std::vector<stores::key_ref> not_destroyed; ///< tried again after the next start
};

/// Waits for the disk.
disk_outcome carry_out(const disk_job& job, engine::engine& db, stores::user_keys& keys);

/// What others have to do next.
struct outbox {
  std::map<std::string, std::vector<peer_item>> items; ///< by node
  std::vector<std::pair<shard_id, config_swap>> swaps;
  std::set<shard_id> config_reads;
  std::vector<std::pair<shard_id, std::uint64_t>> closed; ///< with the epoch that ended
  std::map<shard_id, sharding::shard_config> changed;     ///< configurations that this node learned
};

/// What a session may be told from this disk's copy of a shard.
struct session_state {
  std::uint64_t generation = 0;
  millis holds_all_of{0}; ///< all that anybody had been acknowledged by then; 0: tell it nothing
};

struct replica_status {
  shard_id shard = 0;
  role now_is = role::follower;
  std::uint64_t seq = 0, committed = 0, applied = 0;
  sharding::shard_config config;
};

class replicator final : public log_reader {
public:
  using answer = std::function<void(append_result)>;
  using opened = std::function<void(shard_opening)>;

  /// Reads what the disk knows. All referenced objects must outlive it. Error: `corrupt`, and the
  /// engine's.
  static result<std::unique_ptr<replicator>> open(engine::engine& db, stores::user_keys& keys,
                                                  leases& promises, const clock& time,
                                                  replicator_options options);

  /// `then` is called once, in the order of the appends of a shard. Error: `outcome_unknown`.
  void append(const append_request& request, answer then);
  /// `then` is called when this node leads the shard and its tables hold all that is committed.
  void open_shard(shard_id shard, opened then);

  /// What another node's replicator sent. Error: `corrupt`.
  result<void> receive(const std::string& node, std::string_view frame);
  void configured(shard_id shard, const sharding::shard_config& config, std::uint64_t version);
  void swapped(shard_id shard, ticket number, swap_outcome outcome);
  /// `configured`, by a read of the coordinator that began at `asked`.
  void config_read(shard_id shard, const sharding::shard_config& config, std::uint64_t version,
                   millis asked);
  /// `holders`: whose disks may hold anything of the shard.
  void wanted(shard_id shard, std::vector<sharding::member> members,
              std::vector<sharding::member> holders);
  /// The shard's content was replaced by a restore: leads it on in a term of at least `term_floor`,
  /// and with the next generation. Error: `conflict` (not led here, or a change is under way).
  result<void> renew(shard_id shard, std::uint64_t term_floor);
  /// What was found of the disk's room. Below `ample` this node leads only what nobody else can.
  void found_room(disk_room room);
  /// This process is to end. From now on it hands over what it leads, and asks to be left out of
  /// every in-sync set that can do without it, so that nobody waits for it once it is gone.
  void begin_to_end() { ending_ = true; }
  /// All of that was done, as far as the coordinator's records that are known here tell.
  bool has_left() const;
  /// Every 20 ms or so.
  void tick();

  /// Hands the replicas what was appended since the last call: so many appends make one message.
  void flush();
  /// Nothing while the last one has not been told done, or where there is nothing to do.
  std::optional<disk_job> take_job();
  void job_done(const disk_outcome& outcome);

  outbox take_outbox() { return std::exchange(outbox_, {}); }

  std::vector<replica_status> status() const;
  /// Nothing while the log holds an erasure that is not applied: on a member of the in-sync set
  /// that is from before anybody hears of it.
  session_state for_sessions(shard_id shard) const;
  /// Up to where erasures of the shard are final: every disk that may hold it has destroyed its
  /// keys. 0 while a disk may that is neither in sync nor wanted: what it destroyed, nobody knows.
  std::uint64_t destroyed_everywhere(shard_id shard) const;
  /// What is stored cannot be trusted: no later try will mend it, and this node must end.
  const std::optional<error>& damaged() const noexcept { return damaged_; }
  /// Whether this disk may hold anything of the shard.
  bool holds(shard_id shard) const { return shards_.at(shard).holds; }
  /// For new data of a shard that is led here.
  disk_room room(shard_id shard) const { return shards_.at(shard).machine->room(); }
  std::uint64_t applied(shard_id shard) const { return shards_.at(shard).applied.at.seq; }

private:
  /// Where the next entry goes, while this node leads.
  struct placing {
    std::uint64_t seq = 0;
    chain_hash chain{};
    timestamp time;
    stores::audit_head audit;
  };

  struct waiting_append {
    std::uint64_t seq = 0; ///< answered when this is committed
    append_result outcome;
    answer then;
  };

  /// A copy of a shard's state on its way here.
  struct arriving_copy {
    std::string from;
    std::uint64_t id = 0;
    applied_mark mark;
    std::uint64_t next = 0; ///< the part that is to come; 0: the beginning is not durable yet
    millis heard{0};
  };

  /// A copy on its way to another member.
  struct leaving_copy {
    sharding::member to;
    std::uint64_t id = 0;
    applied_mark mark;
    std::unique_ptr<engine::snapshot> state;
    std::vector<std::uint64_t> pages; ///< still to be sent, the last first
    std::size_t table = 0;
    std::string key; ///< the next
    std::uint64_t sent = 0, taken = 0;
    bool begun = false, all_sent = false;
    millis heard{0};
  };

  struct shard_state {
    std::unique_ptr<replica> machine;
    std::uint64_t epoch = 1;
    std::uint64_t found_term = 0; ///< that this disk followed when its process started
    std::uint64_t term = 0;       ///< that it follows durably
    std::uint64_t machines = 0;   ///< made so far: tickets of an earlier one count for nothing
    std::optional<std::vector<sharding::member>> wanted;  ///< as the placement said last
    std::optional<std::vector<sharding::member>> holders; ///< as they said last
    bool holds = false;                                   ///< this disk may hold something of it
    std::uint64_t arrived = 0; ///< rises with whatever makes `holds` true
    millis in_use{0};          ///< when a primary last spoke to it, or it counted for something
    std::optional<millis> asked_once_more; ///< the coordinator, whether it may be emptied
    millis read_at{0};                     ///< when the record that was read last was asked for
    bool told_behind = false;
    std::optional<placing> place;   ///< while the shard is open here
    std::uint64_t led_term = 0;     ///< whose leadership `place` and `waiting` belong to
    std::vector<log_record> placed; ///< for the next flush
    std::deque<waiting_append> waiting;
    std::vector<opened> openers;
    std::deque<entry> unapplied;          ///< contiguous, from after `applying` on
    std::map<std::uint64_t, entry> heard; ///< decoded from prepares, until the replica takes them
    std::uint64_t queued = 0;             ///< the last entry that is in a batch, done or under way
    applied_mark applied, applying;
    std::uint64_t cut = 1;      ///< the log begins here
    std::uint64_t next_cut = 0; ///< and may begin here when it has grown by `log_kept_bytes`
    std::uint64_t bytes_since_cut = 0;
    std::vector<doomed_key> doomed; ///< keys that this disk has still to destroy
    std::uint64_t last_erasure =
        0; ///< the last entry of the log that destroys keys, or a later one
    std::map<std::string, std::set<std::uint64_t>> pages_sent; ///< by node, in this leadership
    std::vector<message> held;                                 ///< until their pages are here
    millis pages_asked{0};
    std::optional<arriving_copy> arriving;
    std::uint64_t published = 0; ///< version of the configuration that was made known
  };

  /// What is in the batch that the disk writes now.
  struct asked_write {
    shard_id shard = 0;
    std::uint64_t machine = 0; ///< whose ticket it is
    ticket number = 0;
    std::optional<std::uint64_t> term;
  };
  struct job_under_way {
    std::vector<asked_write> tickets;
    std::set<shard_id> applying;
    std::vector<std::pair<shard_id, doomed_key>> destroyed;
    std::vector<std::pair<shard_id, doomed_key>> forgotten; ///< whose rows the batch erases
    std::vector<std::function<void()>> then;
    millis since{0};
  };

  replicator(engine::engine& db, stores::user_keys& keys, leases& promises, const clock& time,
             replicator_options options)
    : db_{db}
    , keys_{keys}
    , leases_{promises}
    , clock_{time}
    , options_{std::move(options)} {}

  std::vector<log_record> read(shard_id shard, std::uint64_t from,
                               std::size_t bytes) const override;

  millis now() const { return clock_.monotonic(); }
  result<void> recover();
  void restart(shard_id shard, found_shard found);
  void tell_destroyed(shard_id shard);
  void begin_to_hold(shard_id shard);
  /// Nothing of the shard stays on this disk, neither rows nor keys.
  void empty(shard_id shard);
  void empty_where_nobody_wants_it(shard_id shard);
  /// Runs one step of a replica and carries its effects out.
  template <class Step>
  void step(shard_id shard, Step step);
  void carry_out_effects(shard_id shard, effects& out);
  void review(shard_id shard);
  void take_no_more(shard_id shard); ///< what was taken is still answered
  void close(shard_id shard);
  void fail_all(const error& why);
  std::optional<sharding::member> find_successor(const replica& r) const;
  disk_room room_as_told(const replica& r) const;

  result<committed> place_one(const draft& from, shard_id shard, placing& at, entry& placed);
  void queue_write(shard_id shard, log_write write);
  void add_applies(shard_id shard, disk_job& job);
  void add_cut(shard_id shard, disk_job& job);
  void send(const std::string& node, peer_item item);
  void send_pages(shard_id shard, const std::string& node, const prepare& p);

  void receive(const std::string& node, message m);
  void receive(const std::string& node, page_copies x);
  void receive(const std::string& node, const page_request& x);
  void receive(const std::string& node, const copy_begin& x);
  void receive(const std::string& node, copy_part x);
  void receive(const std::string& node, const copy_taken& x);
  void begin_copy(shard_id shard, const sharding::member& to);
  void go_on(leaving_copy& copy, shard_id shard);
  std::optional<copy_part> next_part(leaving_copy& copy, shard_id shard);

  engine::engine& db_;
  stores::user_keys& keys_;
  leases& leases_;
  const clock& clock_;
  replicator_options options_;
  std::vector<shard_state> shards_;
  std::map<std::pair<shard_id, std::string>, leaving_copy> leaving_; ///< by shard and node
  std::uint64_t copies_ = 0;
  outbox outbox_;
  std::vector<std::pair<shard_id, log_write>> writes_; ///< for the next job
  disk_job next_;                                      ///< what else goes into it
  job_under_way next_under_way_;
  std::set<shard_id> dirty_;  ///< shards with something to apply
  std::set<shard_id> placed_; ///< shards with something to flush
  std::optional<job_under_way> under_way_;
  bool failed_ = false; ///< the last write did; its outcome is unknown
  std::optional<error> damaged_;
  millis tried_again_{0};
  disk_room room_ = disk_room::ample;
  disk_patience patience_;
  bool ending_ = false;
};

} // namespace candor::replication
