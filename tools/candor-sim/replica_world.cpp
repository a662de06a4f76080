#include "tools/candor-sim/replica_world.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "cluster/replication/broken.hpp"
#include "cluster/replication/replica.hpp"

namespace candor::sim::one_shard {

namespace {

using namespace candor::replication;
using sharding::shard_config;

constexpr std::int64_t ms = 1000; // of virtual time, which runs in microseconds
constexpr std::int64_t sec = 1000 * ms;
constexpr std::int64_t calm_most = 12 * sec; ///< for everything to serve and be equal
constexpr shard_id the_shard = 0;

class dice {
public:
  explicit dice(std::uint64_t seed)
    : state_{seed} {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool one_in(std::uint64_t n) { return next() % n == 0; }
  bool percent(std::uint64_t p) { return next() % 100 < p; }

private:
  std::uint64_t state_;
};

std::uint64_t mix(std::uint64_t h, std::uint64_t value) {
  h = (h ^ value) * 0xff51afd7ed558ccdULL;
  return h ^ h >> 32;
}

/// Chain hashes of the simulated log: as told apart as the real ones, and cheap.
chain_hash chain(const chain_hash& previous, std::uint64_t term, std::uint64_t id) {
  std::uint64_t a = 0, b = 0;
  for (unsigned i = 0; i < 8; ++i) {
    a = a << 8 | previous[i];
    b = b << 8 | previous[8 + i];
  }
  auto x = mix(mix(a + 1, term), id);
  auto y = mix(mix(b + 2, id), term + x);
  chain_hash c;
  for (unsigned i = 0; i < 8; ++i) {
    c[i] = static_cast<std::uint8_t>(x >> (8 * i));
    c[8 + i] = static_cast<std::uint8_t>(y >> (8 * i));
  }
  return c;
}

std::uint64_t id_of(const log_record& r) {
  std::uint64_t id = 0;
  for (unsigned char c : *r.bytes)
    id = id << 8 | c;
  return id;
}

std::shared_ptr<const std::string> bytes_of(std::uint64_t id) {
  std::string s;
  for (int i = 3; i >= 0; --i)
    s.push_back(static_cast<char>(id >> (8 * i)));
  return std::make_shared<const std::string>(std::move(s));
}

// -- what a seed decides before anything happens
// -------------------------------------------------------

struct plan {
  int nodes = 3;
  std::uint32_t in_sync_min = 2;
  int first_in_sync = 3;
  int first_wanted = 3;
  int clients = 3;
  std::int64_t faults_until = 7 * sec;
  std::int64_t think_us = 20 * ms;
  std::int64_t sync_us = 2 * ms;
  std::int64_t delay_us = 1 * ms;
  unsigned loss_percent = 1;
  unsigned duplicate_percent = 1;
  unsigned coordinator_loss_percent = 3; ///< of requests, of replies, and of those that come late
  replica_options options;
  std::vector<fault> faults;
};

const std::map<std::string, std::vector<fault_kind>>& profiles() {
  using k = fault_kind;
  static const std::map<std::string, std::vector<fault_kind>> all = {
      {"mixed",
       {k::crash, k::wipe, k::pause, k::isolate, k::cut_one_way, k::cut_pair, k::cut_data,
        k::cut_beacons, k::cut_coordinator, k::coordinator_down, k::slow_disk, k::slow_network,
        k::place, k::hand_off, k::fence, k::cut_log}},
      // Each of these holds still most things that can go wrong, to press on a few.
      {"races",
       {k::isolate, k::pause, k::cut_data, k::cut_coordinator, k::crash, k::hand_off, k::cut_pair}},
      {"wipes", {k::wipe, k::crash, k::isolate, k::cut_data, k::pause, k::place}},
      {"moves", {k::place, k::hand_off, k::cut_data, k::crash, k::pause}},
      // Staged.
      {"restarts", {}},
      {"appointments", {}},
      {"successions", {}},
  };
  return all;
}

/// Situations in which one rule alone stands between the cluster and a violation, at random times.
void stage(const std::string& profile, plan& p, dice& d) {
  using k = fault_kind;
  auto t = d.between(900, 1800) * ms;
  auto put = [&](fault_kind kind, moment when, std::int64_t at, std::int64_t us, int node,
                 int other = 0) {
    p.faults.push_back({kind, when, at, us, node, other, d.next() & ~1ULL});
  };
  p.nodes = p.first_in_sync = 3;
  p.in_sync_min = 2;
  p.faults.clear();
  p.faults_until = t + 3 * sec;
  p.think_us = d.between(4, 40) * ms;
  p.delay_us = d.between(300, 2000);
  p.loss_percent = p.duplicate_percent = 0;
  p.options.fence_after = p.options.drop_after = millis{3000};
  p.options.silence = p.options.silence_doubted = millis{d.between(100, 250)};
  if (profile == "restarts") {
    // The primary is cut off, and a member starts anew while its promise to it still holds.
    p.coordinator_loss_percent = 0;
    put(k::isolate, moment::at_once, t, d.between(400, 900) * ms, 0);
    put(k::cut_coordinator, moment::at_once, t, d.between(400, 900) * ms, 0);
    put(k::crash, moment::at_once, t + d.between(-60, 120) * ms, d.between(2, 60) * ms, 1);
  } else if (profile == "appointments") {
    // A candidate's request is held up; it starts anew, follows the old primary, and is appointed.
    p.coordinator_loss_percent = 50;
    put(k::cut_coordinator, moment::at_once, t, 3 * sec, 0);
    put(k::cut_pair, moment::at_once, t, d.between(620, 900) * ms, 0, 1);
    put(k::crash, moment::asks, t, d.between(2, 40) * ms, 1);
    put(k::cut_data, moment::at_once, t + d.between(900, 2200) * ms, 2 * sec, 0);
  } else {
    // The shard moves from hand to hand, away from all whom a cut-off primary needs but one.
    p.in_sync_min = 1;
    p.first_in_sync = p.first_wanted = 2;
    p.coordinator_loss_percent = 0;
    p.options.settled_after = millis{d.between(10, 60)};
    put(k::cut_data, moment::at_once, t, 3 * sec, 0);
    put(k::cut_coordinator, moment::at_once, t, 3 * sec, 0);
    put(k::place, moment::at_once, t + d.between(0, 20) * ms, 0, 0);
    p.faults.back().chance = d.between(0, 1000) * 2;
    if (d.percent(60))
      put(d.percent(50) ? k::crash : k::cut_data, moment::changed, t + d.between(100, 400) * ms,
          2 * sec, 1);
    if (d.percent(30))
      put(k::crash, moment::serving, t + d.between(100, 900) * ms, d.between(2, 60) * ms, 1);
  }
}

plan make_plan(const world_options& o) {
  dice d{o.seed * 2 + 1};
  plan p;
  p.nodes = d.percent(70) ? 3 : d.percent(50) ? 4 : 5;
  p.in_sync_min = d.percent(70) ? 2 : 1;
  p.first_in_sync = d.percent(70) ? std::min(p.nodes, 3) : static_cast<int>(p.in_sync_min);
  p.clients = static_cast<int>(d.between(2, 4));
  p.think_us = d.between(4, 120) * ms;
  p.sync_us = d.between(1, 8) * ms;
  p.delay_us = d.percent(80) ? d.between(200, 3000) : d.between(3, 30) * ms;
  p.loss_percent = d.percent(50) ? 0 : static_cast<unsigned>(d.between(0, 10));
  p.duplicate_percent = d.percent(50) ? 0 : static_cast<unsigned>(d.between(0, 10));
  p.coordinator_loss_percent = d.percent(40) ? 0 : static_cast<unsigned>(d.between(0, 30));
  p.faults_until = d.between(2, 5) * sec;
  bool sharp = o.profile != "mixed";
  if (sharp)
    p.coordinator_loss_percent = static_cast<unsigned>(d.between(0, 50));
  if (sharp || d.percent(60)) {
    // Impatient: what is safe must not hang on how long anybody waits before suspecting another.
    p.options.silence = millis{d.between(120, 400)};
    p.options.silence_doubted = p.options.silence + millis{d.between(0, 300)};
    p.options.drop_after = millis{d.between(80, 300)};
    p.options.settled_after = millis{d.between(20, 300)};
    p.options.fence_after = millis{d.between(200, 1000)};
  }

  // A seed uses a few kinds of fault only: all of them at once hide each other's effects.
  const auto& possible = profiles().at(o.profile);
  std::vector<fault_kind> kinds;
  auto want = static_cast<std::size_t>(d.between(1, 5));
  while (kinds.size() < std::min(want, possible.size())) {
    auto k = possible[d.next() % possible.size()];
    if (std::ranges::find(kinds, k) == kinds.end())
      kinds.push_back(k);
  }
  auto count = d.between(1, 14);
  for (std::int64_t i = 0; i < count && !kinds.empty(); ++i) {
    fault f;
    f.kind = kinds[d.next() % kinds.size()];
    f.at_us = d.between(700 * ms, p.faults_until);
    // Many faults come soon after another: the windows in which rules matter are short.
    if (i > 0 && d.percent(50))
      f.at_us = std::min(p.faults.back().at_us + d.between(0, 1500) * ms, p.faults_until);
    if (sharp && i > 0 && d.percent(60))
      f.at_us = std::min(p.faults.back().at_us + d.between(0, 200) * ms, p.faults_until);
    f.for_us = d.percent(50) ? d.between(1, 300) * ms : d.between(300, 2500) * ms;
    f.node = d.percent(40) ? -1 : static_cast<int>(d.between(0, p.nodes - 1));
    if (d.percent(sharp ? 40 : 20))
      f.when = static_cast<moment>(d.between(1, 5));
    f.other = static_cast<int>(d.between(0, p.nodes - 1));
    f.chance = d.next();
    p.faults.push_back(f);
  }
  if (possible.empty())
    stage(o.profile, p, d);
  std::ranges::stable_sort(p.faults, {}, &fault::at_us);
  if (o.faults)
    p.faults = *o.faults;
  return p;
}

// -- the world
// -------------------------------------------------------------------------------------------

struct violation {
  std::string what;
  std::string detail;
};

class world {
public:
  explicit world(const world_options& o)
    : options_{o}
    , plan_{make_plan(o)}
    , dice_{o.seed * 2 + 2} {}

  outcome run();

private:
  struct event {
    int node = -1; ///< -1: of the world
    std::uint64_t process = 0;
    std::function<void()> act;
  };
  struct entry_in_queue {
    std::int64_t at = 0;
    std::uint64_t order = 0;
    std::size_t slot = 0; ///< in events_
  };
  struct later {
    bool operator()(const entry_in_queue& a, const entry_in_queue& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };

  struct disk_state {
    std::string id;
    std::uint64_t term = 0;
    std::vector<log_record> log; ///< all of it from seq 1; the reader gives only what is kept
    std::uint64_t kept_from = 1;
    position applied;
    bool installing = false;
  };
  struct waiter {
    std::uint64_t seq = 0;
    std::uint64_t term = 0;
    std::uint64_t id = 0;
    int client = 0;
    std::uint64_t attempt = 0;
  };
  struct node : log_reader {
    std::vector<log_record> read(shard_id, std::uint64_t from, std::size_t bytes) const override {
      std::vector<log_record> found;
      std::size_t taken = 0;
      for (auto seq = from; seq >= disk.kept_from && seq <= disk.log.size(); ++seq) {
        taken += disk.log[seq - 1].bytes->size();
        if (!found.empty() && taken > bytes)
          break;
        found.push_back(disk.log[seq - 1]);
      }
      return found;
    }

    int number = 0;
    std::string name;
    disk_state disk;
    bool up = false;
    std::uint64_t process = 0;
    std::int64_t paused_until = 0;
    std::int64_t slow_disk_until = 0;
    std::int64_t disk_free_at = 0;
    std::int64_t offset_ms = 0;
    std::int64_t rate_ppm = 0;
    std::unique_ptr<leases> promises;
    std::unique_ptr<replica> self;
    std::vector<log_record> memory; ///< the log as the process sees it
    std::deque<log_write> writing;
    std::vector<waiter> waiters;
    std::uint64_t seen_committed = 0;
    std::uint64_t seen_term = 0;
    role seen_role = role::follower;
    std::unordered_map<std::uint64_t, std::uint64_t> places; ///< of ids in memory: what dedupe asks
    std::uint64_t led_term = 0;
    member who() const { return {name, disk.id}; }
  };
  struct client {
    std::uint64_t id = 0; ///< being sent; 0: thinking
    std::uint64_t attempt = 0;
    int at = 0;
  };

  // time
  void at(std::int64_t when, int node, std::function<void()> act);
  void put(std::int64_t when, event e);
  void in(std::int64_t us, int node, std::function<void()> act) {
    at(now_ + us, node, std::move(act));
  }
  millis local(const node& n) const { return local(n, now_); }
  static millis local(const node& n, std::int64_t at) {
    return millis{n.offset_ms + at / ms + at / ms * n.rate_ppm / 1'000'000};
  }
  void fold(std::uint64_t value) { hash_ = mix(hash_, value); }
  template <class... T>
  void say(const node* n, fmt::format_string<T...> form, T&&... args) {
    if (options_.trace)
      out_.rows.push_back({now_, n ? n->name : "", fmt::format(form, std::forward<T>(args)...)});
  }
  void violate(std::string what, std::string detail) {
    if (!out_.violated.empty())
      return;
    out_.violated = std::move(what);
    out_.detail = std::move(detail);
    say(nullptr, "VIOLATED: {} ({})", out_.violated, out_.detail);
  }

  // nodes
  void start(node& n);
  void crash(node& n, bool wipe);
  void tick(node& n);
  void beacons(node& n);
  template <class F>
  void step(node& n, F&& call) {
    effects out;
    call(*n.self, local(n), out);
    carry_out(n, out);
    observe(n);
  }
  void carry_out(node& n, effects& out);
  void finish_write(node& n);
  void apply_to_disk(node& n, const log_write& w);
  void observe(node& n);
  void send_copy(node& n, const member& to);
  void tell_wanted();
  node* by_name(const std::string& name);

  // network
  bool passes(int from, int to, bool beacon) const;
  std::int64_t delay();
  void transmit(int from, int to, bool beacon, std::function<void()> deliver);
  void deliver(const member& to, const message& m);
  void deliver_datagram(int from, int to, const std::string& bytes);

  // coordinator
  bool reaches_coordinator(int n) const {
    return !coordinator_down_ && !cut_coordinator_[static_cast<std::size_t>(n)];
  }
  void ask_swap(node& n, config_swap s);
  void ask_config(node& n);
  bool apply_swap(const config_swap& s);
  void notify();

  // clients
  void think(int c);
  void send_event(int c);
  void take_event(node& n, int c, std::uint64_t id, std::uint64_t attempt);
  void reply(node& n, int c, std::uint64_t attempt, bool ok);
  void check_copies();
  void strong_read();
  void acknowledge(node& n, std::uint64_t id, std::uint64_t seq);

  // faults
  void begin(fault f);
  void come(moment m, int node);
  void heal_all();
  bool may_wipe(const node& n) const;

  // checks
  void check_members(const char* when);
  violation what_is_missing() const;

  const world_options options_;
  const plan plan_;
  dice dice_;
  std::vector<entry_in_queue> queue_;
  std::vector<event> events_;
  std::vector<std::size_t> free_;
  std::int64_t now_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t hash_ = 1;
  outcome out_;

  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<client> clients_;
  std::vector<member> wanted_;
  std::uint64_t disks_ = 0;
  std::uint64_t ids_ = 0;

  shard_config config_;
  std::uint64_t version_ = 0;
  bool coordinator_down_ = false;
  std::vector<config_swap> under_way_; ///< may be applied later

  std::array<std::array<int, 5>, 5> cut_data_{}, cut_beacons_{};
  std::array<int, 5> cut_coordinator_{};
  std::int64_t slow_network_until_ = 0;
  bool calm_ = false;
  std::vector<fault> armed_; ///< wait for their moment

  // what the checks know
  std::vector<chain_hash> committed_; ///< by seq - 1
  std::set<std::uint64_t> committed_ids_;
  std::uint64_t acked_seq_ = 0; ///< every acknowledged event stands at or before it
  std::map<std::uint64_t, std::uint64_t> acked_; ///< id to seq
  std::vector<std::pair<std::int64_t, std::uint64_t>> acked_at_; ///< when acked_seq_ rose, to what
  std::map<std::uint64_t, std::pair<int, std::uint64_t>> leaders_;
};

void world::at(std::int64_t when, int node, std::function<void()> act) {
  auto process = node < 0 ? 0 : nodes_[static_cast<std::size_t>(node)]->process;
  put(when, {node, process, std::move(act)});
}

void world::put(std::int64_t when, event e) {
  std::size_t slot = events_.size();
  if (free_.empty()) {
    events_.push_back(std::move(e));
  } else {
    slot = free_.back();
    free_.pop_back();
    events_[slot] = std::move(e);
  }
  queue_.push_back({when, ++order_, slot});
  std::ranges::push_heap(queue_, later{});
}

outcome world::run() {
  for (int i = 0; i < plan_.nodes; ++i) {
    auto n = std::make_unique<node>();
    n->number = i;
    n->name = fmt::format("n{}", i);
    n->disk.id = fmt::format("d{}", ++disks_);
    n->offset_ms = dice_.between(1000, 1'000'000);
    n->rate_ppm = dice_.between(-4500, 4500); // two of them differ by less than 1 %
    nodes_.push_back(std::move(n));
  }
  for (int i = 0; i < std::min(plan_.nodes, plan_.first_wanted); ++i)
    wanted_.push_back(nodes_[static_cast<std::size_t>(i)]->who());
  config_.version = version_ = 1;
  config_.term = 1;
  config_.primary = nodes_[0]->who();
  config_.in_sync_min = plan_.in_sync_min;
  for (int i = 0; i < plan_.first_in_sync; ++i)
    config_.in_sync.push_back(nodes_[static_cast<std::size_t>(i)]->who());
  for (auto& n : nodes_)
    start(*n);
  tell_wanted();
  clients_.resize(static_cast<std::size_t>(plan_.clients));
  for (int c = 0; c < plan_.clients; ++c)
    think(c);
  strong_read();
  for (const auto& f : plan_.faults)
    at(f.at_us, -1, [this, f] {
      if (f.when == moment::at_once)
        begin(f);
      else
        armed_.push_back(f);
    });
  auto healed = plan_.faults_until + 1 * sec;
  if (options_.faults) {
    healed = 0;
    for (const auto& f : plan_.faults)
      healed = std::max(healed, f.at_us + f.for_us);
    healed = std::max(healed + 500 * ms, 2 * sec);
  }
  at(healed, -1, [this] { heal_all(); });
  // From then on it is only waited for the end: everything serves and is equal.
  bool ended = false;
  std::function<void()> look = [&] {
    auto [what, detail] = what_is_missing();
    ended = what.empty();
    if (!ended && now_ >= healed + calm_most)
      violate(what, detail);
    else if (!ended)
      in(200 * ms, -1, look);
  };
  at(healed + 500 * ms, -1, [&] { look(); });

  while (!ended && out_.violated.empty() && !queue_.empty()) {
    std::ranges::pop_heap(queue_, later{});
    now_ = queue_.back().at;
    auto slot = queue_.back().slot;
    queue_.pop_back();
    auto e = std::move(events_[slot]);
    free_.push_back(slot);
    if (e.node >= 0) {
      auto& n = *nodes_[static_cast<std::size_t>(e.node)];
      if (!n.up || n.process != e.process)
        continue;
      if (n.paused_until > now_) {
        // What came meanwhile is worked off when it goes on, in any order.
        put(n.paused_until + dice_.between(0, 3 * ms), std::move(e));
        continue;
      }
    }
    fold(static_cast<std::uint64_t>(now_));
    fold(static_cast<std::uint64_t>(e.node + 1));
    ++out_.events;
    e.act();
  }
  out_.hash = mix(hash_, committed_.size());
  out_.ended_us = now_;
  out_.acknowledged = acked_.size();
  out_.terms = config_.term;
  return std::move(out_);
}

// -- nodes
// ---------------------------------------------------------------------------------------------------

world::node* world::by_name(const std::string& name) {
  for (auto& n : nodes_)
    if (n->name == name)
      return n.get();
  return nullptr;
}

void world::start(node& n) {
  n.up = true;
  ++n.process;
  n.disk_free_at = now_;
  if (n.disk.installing) { // half a copy is none
    n.disk.installing = false;
    n.disk.log.clear();
    n.disk.kept_from = 1;
    n.disk.applied = {};
  }
  n.memory = n.disk.log;
  n.led_term = 0;
  n.places.clear();
  for (const auto& r : n.memory)
    n.places.emplace(id_of(r), r.at.seq);
  n.promises =
      std::make_unique<leases>(n.who(), n.process, shard_count{1}, lease_options{}, local(n));
  n.self = std::make_unique<replica>(the_shard, n.who(), plan_.options, *n.promises, n);
  recovered found{n.disk.term, n.disk.log.empty() ? position{} : n.disk.log.back().at,
                  n.disk.applied};
  if (built_variant() == variant::forget_term)
    found.term = found.end.term;
  n.seen_committed = found.committed.seq;
  n.seen_term = found.term;
  n.seen_role = role::follower;
  step(n, [&](replica& r, millis now, effects& out) { r.start(found, now, out); });
  step(n, [&](replica& r, millis now, effects& out) { r.wanted(wanted_, now, out); });
  in(dice_.between(1, 10) * ms, n.number, [this, &n] { tick(n); });
  in(dice_.between(0, 100) * ms, n.number, [this, &n] { beacons(n); });
}

void world::crash(node& n, bool wipe) {
  if (!n.up)
    return;
  n.up = false;
  // A sync under way may have reached the disk, or not.
  while (!n.writing.empty() && dice_.percent(50)) {
    apply_to_disk(n, n.writing.front());
    n.writing.pop_front();
  }
  n.writing.clear();
  for (const auto& w : n.waiters)
    reply(n, w.client, w.attempt, false);
  n.waiters.clear();
  n.self.reset();
  n.promises.reset();
  n.memory.clear();
  n.paused_until = 0;
  if (wipe) {
    n.disk = {};
    n.disk.id = fmt::format("d{}", ++disks_);
    for (auto& m : wanted_)
      if (m.node == n.name)
        m.disk_id = n.disk.id;
    in(dice_.between(1, 200) * ms, -1, [this] { tell_wanted(); });
  }
  check_members(wipe ? "a wipe" : "a crash");
}

void world::tick(node& n) {
  step(n, [](replica& r, millis now, effects& out) { r.tick(now, out); });
  in(dice_.between(5, 20) * ms, n.number, [this, &n] { tick(n); });
}

void world::beacons(node& n) {
  for (auto& other : nodes_)
    if (other.get() != &n)
      for (auto& bytes : n.promises->compose(other->name, local(n)))
        transmit(n.number, other->number, true,
                 [this, from = n.number, to = other->number, bytes = std::move(bytes)] {
                   deliver_datagram(from, to, bytes);
                 });
  in(100 * ms, n.number, [this, &n] { beacons(n); });
}

void world::carry_out(node& n, effects& out) {
  for (auto& [to, m] : out.messages) {
    auto* receiver = by_name(to.node);
    fold(m.term);
    if (receiver)
      transmit(n.number, receiver->number, false,
               [this, to = to, m = std::make_shared<message>(std::move(m))] { deliver(to, *m); });
  }
  for (auto& w : out.writes) {
    if (w.truncate_from) {
      for (auto seq = *w.truncate_from; seq <= n.memory.size(); ++seq) {
        auto place = n.places.find(id_of(n.memory[seq - 1]));
        if (place != n.places.end() && place->second == seq)
          n.places.erase(place);
      }
      n.memory.resize(*w.truncate_from - 1);
      say(&n, "cuts its log from {}", *w.truncate_from);
    }
    for (const auto& r : w.records) {
      n.memory.push_back(r);
      n.places.emplace(id_of(r), r.at.seq);
    }
    n.writing.push_back(std::move(w));
    auto takes = dice_.between(100, plan_.sync_us);
    if (now_ < n.slow_disk_until)
      takes = dice_.between(10 * ms, 400 * ms);
    n.disk_free_at = std::max(n.disk_free_at, now_) + (dice_.percent(50) ? 0 : takes);
    n.disk_free_at = std::max(n.disk_free_at, now_ + takes);
    at(n.disk_free_at, n.number, [this, &n] { finish_write(n); });
  }
  for (auto& s : out.swaps)
    ask_swap(n, std::move(s));
  if (out.read_config)
    ask_config(n);
  for (const auto& m : out.exports)
    send_copy(n, m);
}

void world::apply_to_disk(node& n, const log_write& w) {
  if (w.truncate_from)
    n.disk.log.resize(std::min<std::size_t>(n.disk.log.size(), *w.truncate_from - 1));
  n.disk.log.insert(n.disk.log.end(), w.records.begin(), w.records.end());
  if (w.term)
    n.disk.term = *w.term;
}

void world::finish_write(node& n) {
  if (n.writing.empty())
    return;
  auto w = std::move(n.writing.front());
  n.writing.pop_front();
  apply_to_disk(n, w);
  // The applies of the group before are in the same batch.
  auto c = std::min<std::uint64_t>(n.seen_committed, n.disk.log.size());
  if (c > n.disk.applied.seq)
    n.disk.applied = n.disk.log[c - 1].at;
  step(n, [&](replica& r, millis now, effects& out) {
    r.applied(n.disk.applied.seq);
    r.written(w.number, now, out);
  });
}

void world::observe(node& n) {
  auto& r = *n.self;
  if (r.term() < n.seen_term)
    violate("terms only rise", fmt::format("{} from {} to {}", n.name, n.seen_term, r.term()));
  n.seen_term = r.term();
  fold(r.term() << 8 | static_cast<std::uint64_t>(r.now_is()));
  if (r.now_is() != n.seen_role) {
    static constexpr const char* names[] = {"follows", "is a candidate", "reconciles", "serves"};
    say(&n, "{} in term {} (log {}, committed {})", names[static_cast<int>(r.now_is())], r.term(),
        r.end().seq, r.committed());
    n.seen_role = r.now_is();
    if (n.seen_role != role::follower)
      come(n.seen_role == role::candidate     ? moment::candidate
           : n.seen_role == role::reconciling ? moment::reconciling
                                              : moment::serving,
           n.number);
  }
  bool leads = r.now_is() == role::reconciling || r.now_is() == role::serving;
  // Before its term is durable nothing goes out, and a process that ends forgets that it led.
  if (leads && n.disk.term == r.term() && n.led_term != r.term()) {
    n.led_term = r.term();
    auto [it, first] = leaders_.emplace(r.term(), std::pair{n.number, n.process});
    if (!first && it->second != std::pair{n.number, n.process})
      violate("one leader a term",
              fmt::format("term {}: {} and n{}", r.term(), n.name, it->second.first));
  }

  if (r.committed() > n.seen_committed) {
    if (r.committed() > n.memory.size())
      return violate("the committed log is there", n.name);
    for (auto seq = n.seen_committed + 1; seq <= r.committed(); ++seq) {
      const auto& e = n.memory[seq - 1];
      if (seq <= committed_.size()) {
        if (committed_[seq - 1] != e.at.chain)
          violate("the committed log never changes",
                  fmt::format("{} has another entry at {}", n.name, seq));
      } else {
        committed_.push_back(e.at.chain);
        if (!committed_ids_.insert(id_of(e)).second)
          violate("no event twice", fmt::format("event {} again at {}", id_of(e), seq));
      }
    }
    fold(r.committed());
    n.seen_committed = r.committed();
    if (leads)
      say(&n, "commits up to {}", r.committed());
  }
  if (n.waiters.empty())
    return;
  auto waiting = std::move(n.waiters);
  n.waiters.clear();
  for (const auto& w : waiting) {
    if (r.now_is() == role::serving && r.term() == w.term) {
      if (r.committed() >= w.seq) {
        acknowledge(n, w.id, w.seq);
        reply(n, w.client, w.attempt, true);
      } else {
        n.waiters.push_back(w);
      }
    } else {
      reply(n, w.client, w.attempt, false);
    }
  }
}

void world::send_copy(node& n, const member& to) {
  auto* receiver = by_name(to.node);
  if (!receiver)
    return;
  auto upto = n.seen_committed;
  std::vector<log_record> copy{n.memory.begin(),
                               n.memory.begin() + static_cast<std::ptrdiff_t>(upto)};
  auto term = n.self->term();
  say(&n, "sends a copy up to {} to {}", upto, to.node);
  transmit(n.number, receiver->number, false,
           [this, receiver, to, term, copy = std::move(copy)]() mutable {
             if (receiver->who() != to || copy.empty() ||
                 !receiver->self->begin_install(term, copy.back().at))
               return;
             say(receiver, "installs a copy up to {}", copy.size());
             receiver->disk.installing = true;
             in(dice_.between(1, 60) * ms, receiver->number,
                [this, receiver, copy = std::move(copy)]() mutable {
                  auto& n = *receiver;
                  n.disk.installing = false;
                  n.disk.applied = copy.back().at;
                  n.disk.log = n.memory = std::move(copy);
                  n.disk.kept_from = n.disk.log.size() + 1;
                  n.places.clear();
                  for (const auto& r : n.memory)
                    n.places.emplace(id_of(r), r.at.seq);
                  n.seen_committed = 0;
                  step(n, [&](replica& r, millis now, effects& out) {
                    r.installed(n.disk.applied, now, out);
                  });
                });
           });
}

void world::tell_wanted() {
  for (auto& n : nodes_)
    in(dice_.between(1, 50) * ms, n->number, [this, n = n.get()] {
      step(*n, [&](replica& r, millis now, effects& out) { r.wanted(wanted_, now, out); });
    });
}

// -- the network
// -----------------------------------------------------------------------------------------

bool world::passes(int from, int to, bool beacon) const {
  const auto& cut = beacon ? cut_beacons_ : cut_data_;
  return cut[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)] == 0;
}

std::int64_t world::delay() {
  if (now_ < slow_network_until_ && dice_.percent(30))
    return dice_.between(0, 400 * ms);
  return dice_.between(100, plan_.delay_us) + (dice_.one_in(50) ? 10 * plan_.delay_us : 0);
}

void world::transmit(int from, int to, bool beacon, std::function<void()> deliver) {
  if (!passes(from, to, beacon) || (!calm_ && dice_.percent(plan_.loss_percent)))
    return;
  // A packet to a process that is gone by then meets the one that is there.
  auto arrive = [this, to, deliver = std::move(deliver)] {
    auto& n = *nodes_[static_cast<std::size_t>(to)];
    if (!n.up)
      return;
    if (n.paused_until > now_)
      at(now_, to, deliver);
    else
      deliver();
  };
  if (!calm_ && dice_.percent(plan_.duplicate_percent))
    in(delay(), -1, arrive);
  in(delay(), -1, std::move(arrive));
}

void world::deliver(const member& to, const message& m) {
  auto& n = *by_name(to.node);
  step(n, [&](replica& r, millis now, effects& out) { r.receive(m, now, out); });
}

void world::deliver_datagram(int from, int to, const std::string& bytes) {
  auto& n = *nodes_[static_cast<std::size_t>(to)];
  for (auto& answer :
       n.promises->receive(nodes_[static_cast<std::size_t>(from)]->name, bytes, local(n)))
    transmit(to, from, true,
             [this, from, to, answer = std::move(answer)] { deliver_datagram(to, from, answer); });
}

// -- the coordinator
// ----------------------------------------------------------------------------------------

bool world::apply_swap(const config_swap& s) {
  std::erase_if(under_way_, [&](const config_swap& u) {
    return u.number == s.number && u.expected_version == s.expected_version && u.config == s.config;
  });
  if (s.expected_version != version_)
    return false;
  if (s.config.version <= config_.version || s.config.term < config_.term)
    violate("versions and terms only rise", "a swap that would take one back");
  config_ = s.config;
  ++version_;
  std::string names;
  for (const auto& m : config_.in_sync)
    names += " " + m.node + "/" + m.disk_id;
  say(nullptr, "coordinator: version {}, term {} led by {}, in sync{}", version_, config_.term,
      config_.primary.node, names);
  fold(version_);
  if (auto* leader = by_name(config_.primary.node))
    come(moment::changed, leader->number);
  check_members("a change of the in-sync set");
  notify();
  return true;
}

void world::notify() {
  for (auto& n : nodes_) {
    if (!reaches_coordinator(n->number) || (!calm_ && dice_.percent(20)))
      continue;
    in(dice_.between(200, 20 * ms), n->number, [this, n = n.get(), c = config_, v = version_] {
      step(*n, [&](replica& r, millis now, effects& out) { r.configured(c, v, now, out); });
    });
  }
}

void world::ask_swap(node& n, config_swap s) {
  come(moment::asks, n.number);
  say(&n, "asks for version {}, term {} led by {}, {} in sync", s.config.version, s.config.term,
      s.config.primary.node, s.config.in_sync.size());
  auto answer = [this, &n](std::int64_t after, ticket number, swap_outcome o) {
    in(after, n.number, [this, &n, number, o] {
      step(n, [&](replica& r, millis now, effects& out) { r.swapped(number, o, now, out); });
    });
  };
  auto lossy = calm_ ? 0 : plan_.coordinator_loss_percent;
  auto deadline = dice_.between(100, 600) * ms;
  bool lost = !reaches_coordinator(n.number) || dice_.percent(lossy);
  bool late = !lost && dice_.percent(lossy);
  if (lost) {
    // Perhaps it is only held up somewhere.
    if (!calm_ && dice_.percent(30)) {
      under_way_.push_back(s);
      in(dice_.between(10, 2500) * ms, -1, [this, s] { apply_swap(s); });
    }
    return answer(deadline, s.number, swap_outcome::unknown);
  }
  under_way_.push_back(s);
  auto there = late ? dice_.between(10, 1500) * ms : dice_.between(300, 3 * ms);
  bool unheard = dice_.percent(lossy);
  if (late || unheard)
    answer(deadline, s.number, swap_outcome::unknown);
  in(there, -1, [this, &n, s, answer, silent = late || unheard, process = n.process] {
    bool applied = apply_swap(s);
    if (!silent && n.up && n.process == process && out_.violated.empty())
      answer(dice_.between(300, 3 * ms), s.number,
             applied ? swap_outcome::applied : swap_outcome::refused);
  });
}

void world::ask_config(node& n) {
  if (!reaches_coordinator(n.number) || (!calm_ && dice_.percent(plan_.coordinator_loss_percent)))
    return;
  in(dice_.between(300, 3 * ms), -1, [this, &n, asked = local(n), process = n.process] {
    if (!n.up || n.process != process)
      return;
    in(dice_.between(300, 3 * ms), n.number, [this, &n, asked, c = config_, v = version_] {
      step(n, [&](replica& r, millis now, effects& out) {
        r.configured(c, v, now, out);
        r.confirmed(c, asked, now, out);
      });
    });
  });
}

// -- clients
// ---------------------------------------------------------------------------------------------------

void world::think(int c) {
  in(calm_ ? 50 * ms : dice_.between(1, plan_.think_us), -1, [this, c] {
    auto& me = clients_[static_cast<std::size_t>(c)];
    me.id = ++ids_;
    send_event(c);
  });
}

void world::send_event(int c) {
  auto& me = clients_[static_cast<std::size_t>(c)];
  auto attempt = ++me.attempt;
  in(dice_.between(100, 2 * ms), -1, [this, c, id = me.id, attempt, to = me.at] {
    auto& n = *nodes_[static_cast<std::size_t>(to)];
    if (!n.up)
      return reply(n, c, attempt, false);
    if (n.paused_until > now_)
      return at(now_, to, [this, &n, c, id, attempt] { take_event(n, c, id, attempt); });
    take_event(n, c, id, attempt);
  });
  in(dice_.between(50, 600) * ms, -1, [this, c, attempt] {
    auto& me = clients_[static_cast<std::size_t>(c)];
    if (me.id == 0 || me.attempt != attempt)
      return;
    me.at = static_cast<int>(dice_.between(0, plan_.nodes - 1));
    send_event(c); // the same id
  });
}

void world::take_event(node& n, int c, std::uint64_t id, std::uint64_t attempt) {
  auto& r = *n.self;
  if (!r.writable())
    return reply(n, c, attempt, false);
  auto known = n.places.find(id);
  if (known != n.places.end() && built_variant() != variant::no_dedupe) {
    if (r.committed() >= known->second) {
      acknowledge(n, id, known->second);
      return reply(n, c, attempt, true);
    }
    n.waiters.push_back({known->second, r.term(), id, c, attempt});
    return;
  }
  position at{r.end().seq + 1, r.term(), chain(r.end().chain, r.term(), id)};
  say(&n, "appends event {} at {}", id, at.seq);
  n.waiters.push_back({at.seq, r.term(), id, c, attempt});
  step(n, [&](replica& self, millis now, effects& out) {
    self.append({{at, bytes_of(id)}}, now, out);
  });
}

void world::reply(node& n, int c, std::uint64_t attempt, bool ok) {
  in(dice_.between(100, 2 * ms), -1, [this, c, attempt, ok, from = n.number] {
    auto& me = clients_[static_cast<std::size_t>(c)];
    if (me.id == 0 || me.attempt != attempt)
      return;
    if (ok) {
      me.id = 0;
      return think(c);
    }
    // Ask another one, but not at once: the timer does it where this is overtaken.
    in(dice_.between(5, 60) * ms, -1, [this, c, attempt, from] {
      auto& me = clients_[static_cast<std::size_t>(c)];
      if (me.id == 0 || me.attempt != attempt)
        return;
      me.at = (from + 1) % plan_.nodes;
      send_event(c);
    });
  });
}

void world::acknowledge(node& n, std::uint64_t id, std::uint64_t seq) {
  if (!acked_.emplace(id, seq).second)
    return;
  say(&n, "acknowledges event {} at {}", id, seq);
  acked_seq_ = std::max(acked_seq_, seq);
  acked_at_.emplace_back(now_, acked_seq_);
  check_members("an acknowledgement");
}

/// A copy holds everything that was acknowledged by the time that it names, whoever led then.
void world::check_copies() {
  if (built_variant() != variant::none)
    return;
  for (const auto& n : nodes_) {
    auto holds = n->up && n->self ? n->self->holds_all_of() : std::nullopt;
    if (!holds)
      continue;
    ++out_.copy_reads;
    auto after = std::ranges::partition_point(
        acked_at_, [&](const auto& a) { return local(*n, a.first) < *holds; });
    if (after != acked_at_.begin() && n->disk.applied.seq < std::prev(after)->second)
      violate("a copy holds all that it says",
              fmt::format("{} has applied {} and says to hold {}", n->name, n->disk.applied.seq,
                          std::prev(after)->second));
  }
}

void world::strong_read() {
  in(dice_.between(1, calm_ ? 200 : 10) * ms, -1, [this] { strong_read(); });
  check_copies();
  // Any node that believes to serve may be asked: a client's map may be old.
  auto first = dice_.next() % nodes_.size();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    auto& n = *nodes_[(first + i) % nodes_.size()];
    if (!n.up || !n.self || n.self->now_is() != role::serving)
      continue;
    auto ask = [this, &n] {
      if (n.self->now_is() != role::serving)
        return;
      // Read, then look whether the promises hold. A pause may fall between the two.
      auto must_see = acked_seq_;
      auto sees = n.self->committed();
      auto term = n.self->term();
      in(dice_.percent(70) ? 0 : dice_.between(0, 5 * ms), n.number,
         [this, &n, must_see, sees, term] {
           if (!n.promises->held(the_shard, term, local(n)))
             return;
           ++out_.strong_reads;
           if (sees < must_see)
             violate("a strong read sees every acknowledged event",
                     fmt::format("{} answers from {} in term {}, acknowledged is {}", n.name, sees,
                                 term, must_see));
         });
    };
    if (n.paused_until > now_)
      at(now_, n.number, ask);
    else
      ask();
    if (dice_.percent(60))
      return;
  }
}

// -- faults
// -----------------------------------------------------------------------------------------------------

/// A disk is lost only while every set that the coordinator holds or may come to hold is whole and
/// has another member: losing all copies at once is no fault of the protocol.
bool world::may_wipe(const node& n) const {
  auto survives = [&](const shard_config& c) {
    auto whole = [&](const member& m) {
      return std::ranges::any_of(
          nodes_, [&](const auto& x) { return x->who() == m && !x->disk.installing; });
    };
    auto in = std::ranges::find(c.in_sync, n.who()) != c.in_sync.end();
    return std::ranges::all_of(c.in_sync, whole) &&
           (!in || c.in_sync.size() > 1 ||
            (built_variant() == variant::shrink && plan_.in_sync_min > 1));
  };
  return survives(config_) &&
         std::ranges::all_of(under_way_, [&](const config_swap& s) { return survives(s.config); });
}

/// `m` is now, at `node`: what waited for it begins there, soon.
void world::come(moment m, int node) {
  for (auto f = armed_.begin(); f != armed_.end();) {
    if (f->when != m) {
      ++f;
      continue;
    }
    auto now = *f;
    now.when = moment::at_once;
    now.node = node;
    in(f->chance % 3 == 0 ? 0 : dice_.between(0, 40 * ms), -1, [this, now] {
      if (!calm_)
        begin(now);
    });
    f = armed_.erase(f);
  }
}

void world::begin(fault f) {
  if (f.node < 0) {
    auto* leader = by_name(config_.primary.node);
    f.node = leader ? leader->number : 0;
  }
  f.at_us = now_;
  auto& n = *nodes_[static_cast<std::size_t>(f.node % plan_.nodes)];
  auto a = static_cast<std::size_t>(n.number);
  auto b = static_cast<std::size_t>(f.other % plan_.nodes);
  out_.faults.push_back(f);
  say(nullptr, "FAULT {}", to_string(f));
  auto cut = [this](auto& table, std::size_t from, std::size_t to, std::int64_t us) {
    ++table[from][to];
    in(us, -1, [this, &table, from, to] {
      if (!calm_)
        --table[from][to];
    });
  };
  auto restart = [&] {
    in(f.for_us, -1, [this, &n] {
      if (!n.up)
        start(n);
    });
  };
  switch (f.kind) {
    case fault_kind::crash:
      if (n.up) {
        crash(n, false);
        restart();
      }
      break;
    case fault_kind::wipe:
      if (n.up && may_wipe(n)) {
        crash(n, true);
        restart();
      }
      break;
    case fault_kind::pause:
      if (n.up)
        n.paused_until = std::max(n.paused_until, now_ + f.for_us);
      break;
    case fault_kind::isolate:
      for (std::size_t x = 0; x < nodes_.size(); ++x)
        if (x != a) {
          for (auto* table : {&cut_data_, &cut_beacons_}) {
            cut(*table, a, x, f.for_us);
            cut(*table, x, a, f.for_us);
          }
        }
      if (f.chance % 2 == 0) {
        ++cut_coordinator_[a];
        in(f.for_us, -1, [this, a] {
          if (!calm_)
            --cut_coordinator_[a];
        });
      }
      break;
    case fault_kind::cut_one_way:
      cut(cut_data_, a, b, f.for_us);
      cut(cut_beacons_, a, b, f.for_us);
      break;
    case fault_kind::cut_pair:
      for (auto* table : {&cut_data_, &cut_beacons_}) {
        cut(*table, a, b, f.for_us);
        cut(*table, b, a, f.for_us);
      }
      break;
    case fault_kind::cut_data:
      for (std::size_t x = 0; x < nodes_.size(); ++x)
        if (x != a && (f.chance % 2 == 0 || x == b)) {
          cut(cut_data_, a, x, f.for_us);
          cut(cut_data_, x, a, f.for_us);
        }
      break;
    case fault_kind::cut_beacons:
      for (std::size_t x = 0; x < nodes_.size(); ++x)
        if (x != a && (f.chance % 2 == 0 || x == b)) {
          cut(cut_beacons_, a, x, f.for_us);
          cut(cut_beacons_, x, a, f.for_us);
        }
      break;
    case fault_kind::cut_coordinator:
      ++cut_coordinator_[a];
      in(f.for_us, -1, [this, a] {
        if (!calm_)
          --cut_coordinator_[a];
      });
      break;
    case fault_kind::coordinator_down:
      coordinator_down_ = true;
      in(f.for_us, -1, [this] { coordinator_down_ = false; });
      break;
    case fault_kind::slow_disk:
      n.slow_disk_until = std::max(n.slow_disk_until, now_ + f.for_us);
      break;
    case fault_kind::slow_network:
      slow_network_until_ = std::max(slow_network_until_, now_ + f.for_us);
      break;
    case fault_kind::place: {
      dice d{f.chance};
      std::vector<member> next;
      auto first = d.next() % nodes_.size();
      auto count = d.percent(40) ? 2 : 3;
      if (options_.profile == "successions") {
        first = 1 + first % 2; // away from the first primary
        next = {nodes_[first]->who(), nodes_[3 - first]->who()};
        count = 0;
      }
      for (std::size_t i = 0; i < nodes_.size() && next.size() < static_cast<std::size_t>(count);
           ++i)
        next.push_back(nodes_[(first + i) % nodes_.size()]->who());
      wanted_ = std::move(next);
      tell_wanted();
      break;
    }
    case fault_kind::hand_off:
      for (auto& x : nodes_)
        if (x->up && x->paused_until <= now_ && x->self->now_is() == role::serving) {
          member to = n.who();
          step(*x, [&](replica& r, millis now, effects& out) { r.hand_off(to, now, out); });
        }
      break;
    case fault_kind::fence:
      if (n.up && n.paused_until <= now_)
        step(n, [](replica& r, millis now, effects& out) { r.fence(now, out); });
      break;
    case fault_kind::cut_log:
      if (n.up) {
        auto to = f.chance % 2 == 0 ? n.self->needed_from() : n.disk.applied.seq;
        n.disk.kept_from = std::max(n.disk.kept_from, std::min(to, n.disk.applied.seq));
      }
      break;
  }
}

void world::heal_all() {
  calm_ = true;
  armed_.clear();
  say(nullptr, "every fault ends");
  for (auto& row : cut_data_)
    row.fill(0);
  for (auto& row : cut_beacons_)
    row.fill(0);
  cut_coordinator_.fill(0);
  coordinator_down_ = false;
  slow_network_until_ = 0;
  for (auto& n : nodes_) {
    n->slow_disk_until = 0;
    n->paused_until = std::min(n->paused_until, now_);
    if (!n->up)
      start(*n);
  }
  tell_wanted();
  notify(); // a shell lists again where its watch was cut
}

// -- checks
// -------------------------------------------------------------------------------------------------------

void world::check_members(const char* when) {
  if (acked_seq_ == 0)
    return;
  bool any = false;
  for (const auto& m : config_.in_sync)
    for (const auto& n : nodes_) {
      if (n->who() != m)
        continue;
      bool has = n->disk.log.size() >= acked_seq_ && !n->disk.installing &&
                 n->disk.log[acked_seq_ - 1].at.chain == committed_[acked_seq_ - 1];
      any = any || has;
      if (!has)
        violate("every in-sync member holds every acknowledged event",
                fmt::format("after {} {} holds {} of {} durably", when, n->name, n->disk.log.size(),
                            acked_seq_));
    }
  if (!any)
    violate("some member holds every acknowledged event", fmt::format("after {} none does", when));
}

/// Of a cluster in which everything serves and is equal; empty where nothing is.
violation world::what_is_missing() const {
  auto missing = [](std::string detail) {
    return violation{"everything serves in the end", std::move(detail)};
  };
  const node* primary = nullptr;
  for (const auto& n : nodes_)
    if (n->up && n->self->now_is() == role::serving && n->self->term() == config_.term)
      primary = n.get();
  if (!primary)
    return missing("nobody leads");
  if (!primary->promises->held(the_shard, primary->self->term(), local(*primary)))
    return missing("no strong read");
  for (const auto& m : wanted_) {
    if (std::ranges::find(config_.in_sync, m) == config_.in_sync.end())
      return missing(m.node + " is not in sync");
    for (const auto& n : nodes_)
      if (n->name == m.node && n->seen_committed + 200 < primary->seen_committed)
        return missing(m.node + " lags");
  }
  if (config_.in_sync.size() != wanted_.size())
    return missing("a member that is not wanted stays in sync");
  if (primary->who() != wanted_.front())
    return missing("led by " + primary->name + ", wanted is " + wanted_.front().node);
  for (const auto& [id, seq] : acked_)
    if (seq > primary->seen_committed || !committed_ids_.contains(id))
      return {"no acknowledged event is lost", fmt::format("event {}", id)};
  return {};
}

} // namespace

outcome run_replica_world(const world_options& options) {
  return world{options}.run();
}

outcome shrink(const world_options& options, const outcome& found) {
  auto tries = options;
  tries.trace = true;
  auto best = found;
  bool faults_matter = !found.faults.empty();
  tries.faults = found.faults;
  // A run with given faults heals earlier, so it may not break at all; then the whole run stays.
  auto again = run_replica_world(tries);
  if (again.violated != found.violated) {
    tries.faults.reset();
    return run_replica_world(tries);
  }
  best = std::move(again);
  for (bool changed = faults_matter; changed;) {
    changed = false;
    for (std::size_t i = 0; i < best.faults.size(); ++i) {
      auto fewer = best.faults;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      tries.faults = fewer;
      auto o = run_replica_world(tries);
      if (o.violated == found.violated && o.ended_us <= best.ended_us) {
        best = std::move(o);
        changed = true;
        break;
      }
    }
  }
  return best;
}

bool known_profile(const std::string& name) {
  return profiles().contains(name);
}

std::string to_string(const fault& f) {
  static constexpr const char* names[] = {
      "crash",     "wipe",         "pause",       "isolate",         "cut one way",
      "cut pair",  "cut data",     "cut beacons", "cut coordinator", "coordinator down",
      "slow disk", "slow network", "place",       "hand off to",     "fence",
      "cut log"};
  return fmt::format("{} n{} (n{}) for {} ms", names[static_cast<int>(f.kind)], f.node, f.other,
                     f.for_us / ms);
}

} // namespace candor::sim::one_shard
