#include "cluster/replication/replication_actor.hpp"

#include <algorithm>
#include <map>

#include "cluster/transport/spawn_waiting.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/base/planted.hpp"

namespace candor::replication {

namespace {

constexpr auto heartbeat_every = std::chrono::milliseconds{20};
constexpr auto look_at_disk_every = std::chrono::milliseconds{250};
/// More reads than this at a time are one list of all.
constexpr std::size_t reads_one_by_one = 8;

class worker_actor final : public worker_handle::base {
public:
  using worker_handle::base::base;
  const char* name() const override { return "worker"; }
  behavior_type make_behavior() override {
    return {[](const work_ptr& w) { return std::make_shared<const outcome>((*w)()); }};
  }
};

// -- what is asked of the coordinator
// --------------------------------------------------------------

struct swap_told {
  shard_id shard = 0;
  ticket number = 0;
  swap_outcome outcome = swap_outcome::unknown;
};

using shard_swap = std::pair<shard_id, config_swap>;

/// Many in one; where that is refused, one by one, since some of them may be right.
void swap_group(coordination::coordinator& with, std::span<const shard_swap> group,
                std::vector<swap_told>& told) {
  std::vector<coordination::change> changes;
  for (const auto& [shard, swap] : group)
    changes.push_back(
        {sharding::config_key(shard), swap.expected_version, sharding::to_json(swap.config)});
  auto applied = with.compare_and_swap(changes);
  if (applied && !*applied && group.size() > 1) {
    for (std::size_t i = 0; i < group.size(); ++i)
      swap_group(with, group.subspan(i, 1), told);
    return;
  }
  auto outcome = !applied   ? swap_outcome::unknown
                 : *applied ? swap_outcome::applied
                            : swap_outcome::refused;
  for (const auto& [shard, swap] : group)
    told.push_back({shard, swap.number, outcome});
}

std::vector<swap_told> swap_all(coordination::coordinator& with,
                                const std::vector<shard_swap>& all) {
  std::vector<swap_told> told;
  for (std::size_t i = 0; i < all.size(); i += coordination::changes_max)
    swap_group(with, {all.data() + i, std::min(coordination::changes_max, all.size() - i)}, told);
  return told;
}

void add_seen(std::vector<config_seen>& to, shard_id shard, const coordination::versioned& value) {
  if (auto config = sharding::shard_config_from_json(value.value))
    to.push_back({shard, std::move(*config), value.version});
  else
    log::error("replication", "shard={} its record cannot be read: {}", shard,
               config.error().to_string());
}

/// What cannot be read now is asked for again by whoever needs it.
std::vector<config_seen> read_configs(coordination::coordinator& from,
                                      const std::set<shard_id>& shards) {
  std::vector<config_seen> seen;
  if (shards.size() > reads_one_by_one) {
    if (auto all = from.list(sharding::config_prefix))
      for (const auto& [key, value] : *all)
        if (auto shard = sharding::shard_of_key(key); shard && shards.contains(*shard))
          add_seen(seen, *shard, value);
    return seen;
  }
  for (auto shard : shards)
    if (auto value = from.get(sharding::config_key(shard)); value && *value)
      add_seen(seen, shard, **value);
  return seen;
}

// -- the actor
// ---------------------------------------------------------------------------------------

class replication_actor final : public replication_handle::base {
public:
  replication_actor(caf::actor_config& config, replication_surroundings around,
                    std::shared_ptr<replicator> core, sharding::member self, write_door door)
    : replication_handle::base{config}
    , around_{std::move(around)}
    , core_{std::move(core)}
    , self_{std::move(self)}
    , door_{std::move(door)}
    , entries_{metrics::counter("candor_replication_entries_total", "Log entries made durable.")}
    , groups_{metrics::counter("candor_replication_groups_total", "Synced batches written.")}
    , failures_{metrics::counter("candor_replication_failures_total", "Appends not written.")}
    , dropped_{metrics::counter("candor_replication_dropped_bytes_total",
                                "Bytes not sent to another node, which had too many before it.")} {
    door_.actor = nullptr; // it would hold itself
  }

  const char* name() const override { return "replication"; }

  behavior_type make_behavior() override {
    auto make = [this](waits_for what) {
      return around_.make_worker ? around_.make_worker(system(), what)
                                 : transport::spawn_waiting<worker_actor>(system());
    };
    disk_ = make(waits_for::disk);
    coordination_ = make(waits_for::coordinator);
    delayed_send(this, heartbeat_every, heartbeat_atom_v);
    flush_soon();
    return {
        [this](const append_request_ptr& request) { return append(request); },
        [this](open_shard_atom, shard_id shard) { return open(shard); },
        [this](const peer_frame& frame) {
          if (auto taken = core_->receive(frame.node, frame.bytes); !taken)
            log::error("replication", "a frame of {} is refused: {}", frame.node,
                       taken.error().to_string());
          flush_soon();
          return taken_atom_v;
        },
        [this](const configs_seen_ptr& seen) {
          for (const auto& s : *seen)
            core_->configured(s.shard, s.config, s.version);
          flush_soon();
        },
        [this](const shards_wanted_ptr& wanted) {
          for (const auto& w : *wanted)
            core_->wanted(w.shard, w.members, w.holders);
          flush_soon();
        },
        [this](const peer_seen_ptr& peer) {
          if (peer->door)
            peers_[peer->node] = {peer->door, ++links_, 0};
          else
            peers_.erase(peer->node);
        },
        [this](renew_atom, shard_id shard, std::uint64_t term_floor) {
          auto done = std::make_shared<const result<void>>(core_->renew(shard, term_floor));
          flush_soon();
          return done_ptr{done};
        },
        [this](leave_atom) -> caf::result<left_atom> {
          core_->begin_to_end();
          leaving_.push_back(make_response_promise<left_atom>());
          flush_soon();
          return caf::delegated<left_atom>{};
        },
        [this](flush_atom) { flush(); },
        [this](heartbeat_atom) {
          delayed_send(this, heartbeat_every, heartbeat_atom_v);
          look_at_disk();
          core_->tick();
          if (!leaving_.empty() && core_->has_left())
            for (auto& asked : std::exchange(leaving_, {}))
              asked.deliver(left_atom_v);
          show();
          flush();
        },
    };
  }

  void on_exit() override {
    anon_send_exit(disk_, caf::exit_reason::user_shutdown);
    anon_send_exit(coordination_, caf::exit_reason::user_shutdown);
    disk_ = nullptr;
    coordination_ = nullptr;
    leaving_.clear(); // a promise holds this actor
    peers_.clear();
    core_.reset(); // who waits in it holds this actor
  }

private:
  struct peer {
    caf::actor door;
    std::uint64_t link = 0; ///< a node that was only away has the same door again
    std::size_t in_flight_bytes = 0;
  };

  caf::result<append_result_ptr> append(const append_request_ptr& request) {
    auto promise = make_response_promise<append_result_ptr>();
    auto count = request->drafts.size();
    core_->append(*request, [this, promise, count](append_result outcome) mutable {
      door_.waiting->fetch_sub(count);
      (outcome ? entries_ : failures_).Increment(static_cast<double>(count));
      promise.deliver(std::make_shared<append_result>(std::move(outcome)));
    });
    flush_soon();
    return caf::delegated<append_result_ptr>{};
  }

  caf::result<opening_ptr> open(shard_id shard) {
    owners_[shard] = caf::actor_cast<caf::actor_addr>(current_sender()); // a promise takes it
    auto promise = make_response_promise<opening_ptr>();
    core_->open_shard(shard, [promise](shard_opening opening) mutable {
      promise.deliver(std::make_shared<shard_opening>(std::move(opening)));
    });
    flush_soon();
    return caf::delegated<opening_ptr>{};
  }

  /// To the mailbox's end: all that waits there joins the group.
  void flush_soon() {
    if (!std::exchange(flushing_, true))
      send(this, flush_atom_v);
  }

  void flush() {
    flushing_ = false;
    core_->flush();
    // Before an erasure that was received is written, and so before it is acknowledged.
    tell_sessions();
    // First what others do beside the disk.
    hand_out(core_->take_outbox());
    while (auto job = core_->take_job()) {
      write(std::make_shared<disk_job>(std::move(*job)));
      groups_.Increment();
    }
    hand_out(core_->take_outbox()); // there may have been nothing to write for what waited
    for (std::size_t i = 0; i < door_.progress->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      (*door_.progress)[i].applied.store(core_->applied(shard), std::memory_order_release);
      (*door_.progress)[i].holds.store(core_->holds(shard), std::memory_order_relaxed);
    }
  }

  void show() {
    for (std::size_t i = 0; i < door_.progress->size(); ++i) {
      auto shard = static_cast<shard_id>(i);
      auto& shown = (*door_.progress)[i];
      shown.destroyed.store(core_->destroyed_everywhere(shard), std::memory_order_relaxed);
      shown.room.store(core_->room(shard), std::memory_order_relaxed);
    }
  }

  /// Between the writes: while one hangs, nothing is looked at.
  void look_at_disk() {
    auto now = around_.time.monotonic();
    if (!around_.look_at_disk || looking_ || now - looked_at_ < look_at_disk_every)
      return;
    looking_ = true;
    looked_at_ = now;
    request(disk_, caf::infinite, work_ptr{std::make_shared<const work>([this]() -> outcome {
              return [this, room = around_.look_at_disk()] {
                looking_ = false;
                core_->found_room(room);
                show();
                door_.disk->store(room, std::memory_order_relaxed);
              };
            })})
        .then([](const outcome_ptr& then) { (*then)(); });
  }

  void tell_sessions() {
    for (std::size_t i = 0; i < door_.progress->size(); ++i) {
      auto state = core_->for_sessions(static_cast<shard_id>(i));
      (*door_.progress)[i].generation.store(state.generation, std::memory_order_relaxed);
      (*door_.progress)[i].holds_all_of_ms.store(state.holds_all_of.count(),
                                                 std::memory_order_release);
    }
  }

  // No deadlines here: the workers are in this process, answer all they are given, and are given
  // one thing at a time. The replicator watches for how long the disk takes.

  void write(std::shared_ptr<disk_job> job) {
    request(disk_, caf::infinite, work_ptr{std::make_shared<const work>([this, job]() -> outcome {
              auto done = std::make_shared<disk_outcome>(carry_out(*job, around_.db, around_.keys));
              return [this, done] { core_->job_done(*done); };
            })})
        .then([this](const outcome_ptr& then) {
          (*then)();
          if (core_->damaged() && around_.on_damaged)
            std::exchange(around_.on_damaged, nullptr)(*core_->damaged());
          flush();
        });
  }

  /// All swaps that have come up since it was asked last go in one, so that shards that are handed
  /// over together share a transaction; reads wait for them.
  void ask_coordinator() {
    if (asking_ || (swaps_.empty() && config_reads_.empty()))
      return;
    asking_ = true;
    work what;
    if (!swaps_.empty())
      what = [this, swaps = take_swaps()]() -> outcome {
        return [this, told = swap_all(around_.coordinator, swaps)] {
          for (const auto& t : told)
            core_->swapped(t.shard, t.number, t.outcome);
        };
      };
    else
      what = [this, shards = std::exchange(config_reads_, {})]() -> outcome {
        auto asked = around_.time.monotonic();
        return [this, asked, seen = read_configs(around_.coordinator, shards)] {
          for (const auto& s : seen)
            core_->config_read(s.shard, s.config, s.version, asked);
        };
      };
    request(coordination_, caf::infinite, work_ptr{std::make_shared<const work>(std::move(what))})
        .then([this](const outcome_ptr& then) {
          asking_ = false;
          (*then)();
          flush();
        });
  }

  /// Of each shard the first: a transaction names no key twice.
  std::vector<shard_swap> take_swaps() {
    std::vector<shard_swap> taken, later;
    std::set<shard_id> shards;
    for (auto& swap : swaps_)
      (shards.insert(swap.first).second ? taken : later).push_back(std::move(swap));
    swaps_ = std::move(later);
    return taken;
  }

  void hand_out(outbox all) {
    for (auto& [node, items] : all.items)
      send_items(node, std::move(items));
    swaps_.insert(swaps_.end(), std::make_move_iterator(all.swaps.begin()),
                  std::make_move_iterator(all.swaps.end()));
    config_reads_.merge(all.config_reads);
    ask_coordinator();
    for (const auto& [shard, epoch] : all.closed)
      if (auto owner = owners_.find(shard); owner != owners_.end())
        if (auto handle = caf::actor_cast<caf::actor>(owner->second))
          caf::anon_send(handle, shard_closed_atom_v, epoch);
    for (const auto& [shard, config] : all.changed)
      around_.on_config(shard, config);
  }

  void send_items(const std::string& node, std::vector<peer_item> items) {
    std::vector<peer_item> frame;
    std::size_t bytes = 0;
    for (auto& item : items) {
      auto size = size_of(item);
      if (!frame.empty() && bytes + size > limits::peer_frame_bytes) {
        send_frame(node, std::exchange(frame, {}));
        bytes = 0;
      }
      bytes += size;
      frame.push_back(std::move(item));
    }
    send_frame(node, std::move(frame));
  }

  /// What a node cannot take now is lost: the protocol sends it again.
  void send_frame(const std::string& node, std::vector<peer_item> items) {
    auto to = peers_.find(node);
    if (to == peers_.end() || items.empty())
      return;
    peer_frame frame{self_.node, encode_frame(items)};
    auto bytes = frame.bytes.size();
    if (to->second.in_flight_bytes > 0 &&
        to->second.in_flight_bytes + bytes > limits::peer_in_flight_bytes) {
      dropped_.Increment(static_cast<double>(bytes));
      return;
    }
    to->second.in_flight_bytes += bytes;
    auto give_back = [this, node, bytes, link = to->second.link] {
      if (auto p = peers_.find(node);
          p != peers_.end() && (p->second.link == link || planted(bug::window_of_lost_link)))
        p->second.in_flight_bytes -= bytes;
    };
    request(to->second.door, limits::peer_frame_deadline, std::move(frame))
        .then([give_back](taken_atom) { give_back(); },
              [give_back](const caf::error&) { give_back(); });
  }

  replication_surroundings around_;
  std::shared_ptr<replicator> core_;
  sharding::member self_;
  write_door door_;
  worker_handle disk_, coordination_;
  std::map<std::string, peer> peers_;
  std::vector<caf::typed_response_promise<left_atom>> leaving_;
  std::uint64_t links_ = 0;
  std::map<shard_id, caf::actor_addr> owners_; ///< who opened the shard
  std::vector<shard_swap> swaps_;              ///< to be asked of the coordinator next
  std::set<shard_id> config_reads_;            ///< the same
  bool asking_ = false;
  bool flushing_ = false;
  bool looking_ = false; ///< at the disk
  millis looked_at_ = -look_at_disk_every;
  prometheus::Counter& entries_;
  prometheus::Counter& groups_;
  prometheus::Counter& failures_;
  prometheus::Counter& dropped_;
};

} // namespace

bool write_door::full() const noexcept {
  return *waiting >= limits::commit_queue_entries;
}

disk_room write_door::room(shard_id shard) const noexcept {
  return (*progress)[shard].room.load(std::memory_order_relaxed);
}

result<write_door> spawn_replication(caf::actor_system& system, replication_surroundings around,
                                     replicator_options options) {
  auto self = options.self;
  auto shards = options.shards.value;
  CANDOR_TRY(core, replicator::open(around.db, around.keys, *around.promises, around.time,
                                    std::move(options)));
  write_door door;
  door.waiting = std::make_shared<std::atomic<std::size_t>>(0);
  door.progress = std::make_shared<std::vector<shard_progress>>(shards);
  door.promises = around.promises;
  door.disk = std::make_shared<std::atomic<disk_room>>(disk_room::ample);
  door.actor = transport::spawn_waiting<replication_actor>(
      system, std::move(around), std::shared_ptr<replicator>{std::move(core)}, std::move(self),
      door);
  return door;
}

} // namespace candor::replication
