#include "tools/candor-sim/cluster/network.hpp"

#include <algorithm>
#include <deque>
#include <optional>

namespace candor::sim {

namespace {

constexpr std::int64_t silence_us = 1'000'000; ///< then a link is dropped

/// Takes every message that is for an actor of another node, or for whoever asked from there.
class wire_end final : public caf::actor_proxy {
public:
  using taker = std::function<void(caf::strong_actor_ptr sender, caf::message_id, caf::message)>;

  wire_end(caf::actor_config& config, taker take)
    : caf::actor_proxy{config}
    , take_{std::move(take)} {}

  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) override {
    take_(std::move(what->sender), what->mid, what->move_content_to_message());
  }
  void kill_proxy(caf::execution_unit*, caf::error) override {}

private:
  taker take_;
};

caf::strong_actor_ptr make_end(caf::actor_system& system, wire_end::taker take) {
  caf::actor_config config;
  return caf::make_actor<wire_end, caf::strong_actor_ptr>(system.next_actor_id(), system.node(),
                                                          &system, config, std::move(take));
}

void put(const caf::strong_actor_ptr& to, caf::strong_actor_ptr sender, caf::message_id id,
         caf::message content) {
  to->enqueue(caf::make_mailbox_element(std::move(sender), id, {}, std::move(content)), nullptr);
}

} // namespace

struct network::packet {
  std::int64_t due_us;
  std::function<void()> deliver;
};

/// Of an unordered pair of nodes; `queues` by the sender.
struct network::pair_state {
  bool up = false;
  std::uint64_t generation = 0;
  std::int64_t broken_us = -1; ///< since when something of the path is cut
  std::int64_t redial_us = 0;
  std::map<std::string, std::deque<packet>> queues;
};

struct network::links_end final : transport::links {
  links_end(network& all, std::string node, caf::actor door, transport::link_callbacks callbacks)
    : all{all}
    , node{std::move(node)}
    , door{std::move(door)}
    , callbacks{std::move(callbacks)} {}
  ~links_end() override { stop(); }

  result<void> set_peers(const std::map<std::string, std::string>& names) override {
    peers.clear();
    for (const auto& [name, _] : names)
      peers.insert(name);
    return {};
  }
  std::uint16_t port() const override { return 1; }
  transport::link_stats stats() const override { return {}; }
  void stop() override {
    if (all.ends_.contains(node) && all.ends_[node] == this)
      all.ends_.erase(node);
    door = nullptr;
    callbacks = {};
  }

  network& all;
  std::string node;
  caf::actor door;
  transport::link_callbacks callbacks;
  std::set<std::string> peers;
};

struct network::beacons_end final : transport::beacons {
  beacons_end(network& all, std::string node, const clock& time,
              transport::beacon_callbacks callbacks)
    : all{all}
    , node{std::move(node)}
    , time{time}
    , callbacks{std::move(callbacks)} {}
  ~beacons_end() override { stop(); }

  result<void> set_peers(const std::map<std::string, std::string>& names) override {
    peers.clear();
    for (const auto& [name, _] : names)
      peers.insert(name);
    return {};
  }
  std::uint16_t port() const override { return 1; }
  transport::beacon_stats stats() const override { return {}; }
  void stop() override {
    if (all.beacons_.contains(node) && all.beacons_[node] == this)
      all.beacons_.erase(node);
    callbacks = {};
  }

  void round() {
    for (const auto& peer : peers)
      for (auto& payload : callbacks.compose(peer, time.monotonic()))
        all.send_beacon(node, peer, std::move(payload));
  }

  network& all;
  std::string node;
  const clock& time;
  transport::beacon_callbacks callbacks;
  std::set<std::string> peers;
  bool paused = false;
};

network::network(stage& on, std::vector<std::string> nodes, network_quality quality)
  : on_{on}
  , nodes_{std::move(nodes)}
  , quality_{quality} {}

network::~network() = default;

std::int64_t network::delay(const std::string& from, const std::string& to) {
  auto us = on_.between(quality_.delay_least_us, quality_.delay_most_us);
  for (const auto* node : {&from, &to})
    if (auto s = slow_.find(*node); s != slow_.end())
      us *= s->second;
  return us;
}

bool network::is_cut(const std::string& from, const std::string& to) const {
  return cut_.contains({from, to});
}

network::pair_state& network::link_of(const std::string& a, const std::string& b) {
  return pairs_[a < b ? direction{a, b} : direction{b, a}];
}

// -- links ---------------------------------------------------------------------------------------

std::unique_ptr<transport::links> network::start_links(const std::string& node, caf::actor door,
                                                       const transport::link_options&,
                                                       transport::link_callbacks callbacks) {
  auto end = std::make_unique<links_end>(*this, node, std::move(door), std::move(callbacks));
  ends_[node] = end.get();
  forget_doors(node);
  for (const auto& other : nodes_)
    if (other != node)
      look(std::min(node, other), std::max(node, other));
  return end;
}

/// Whether a link between the two should be there; asked again and again while one of them lives.
void network::look(const std::string& a, const std::string& b) {
  auto& pair = link_of(a, b);
  auto x = ends_.find(a), y = ends_.find(b);
  auto both = x != ends_.end() && y != ends_.end() && x->second->peers.contains(b) &&
              y->second->peers.contains(a);
  auto cut = is_cut(a, b) || is_cut(b, a);
  if (pair.up) {
    if (!cut)
      pair.broken_us = -1;
    else if (pair.broken_us < 0)
      pair.broken_us = on_.now_us();
    if (!both)
      drop(a, b, "the other node ended");
    else if (cut && on_.now_us() - pair.broken_us >= silence_us)
      drop(a, b, "the other node does not answer");
  } else if (both && !cut && on_.now_us() >= pair.redial_us) {
    come_up(a, b);
  }
}

void network::come_up(const std::string& a, const std::string& b) {
  auto& pair = link_of(a, b);
  pair.up = true;
  pair.broken_us = -1;
  pair.queues.clear();
  auto generation = ++pair.generation;
  auto tell = [this, generation](const std::string& here, const std::string& there) {
    on_.after(delay(here, there), [this, generation, here, there] {
      auto& pair = link_of(here, there);
      auto end = ends_.find(here);
      if (pair.up && pair.generation == generation && end != ends_.end())
        end->second->callbacks.on_up(there, 1,
                                     caf::actor_cast<caf::strong_actor_ptr>(door_to(here, there)));
    });
  };
  tell(a, b);
  tell(b, a);
}

void network::drop(const std::string& a, const std::string& b, const std::string& why) {
  auto& pair = link_of(a, b);
  pair.up = false;
  pair.queues.clear();
  pair.redial_us = on_.now_us() + on_.between(50'000, 600'000);
  auto tell = [this, why, generation = pair.generation](const std::string& here,
                                                        const std::string& there) {
    on_.after(on_.between(100, 20'000), [this, here, there, why, generation] {
      auto end = ends_.find(here);
      if (end != ends_.end() && link_of(here, there).generation == generation)
        end->second->callbacks.on_down(there, why);
    });
  };
  tell(a, b);
  tell(b, a);
}

/// What `from` sends to reach the door of `to`: the same one over every link to the same process,
/// as CAF's proxies are. What is sent, and what answers it, goes over whichever link is up then.
caf::actor network::door_to(const std::string& from, const std::string& to) {
  auto& door = doors_[{from, to}];
  if (door)
    return door;
  auto end = make_end(on_.system(), [this, from, to](auto asker, auto id, auto content) {
    caf::strong_actor_ptr back;
    if (asker && id.is_request()) {
      back = make_end(on_.system(), [this, from, to, asker](auto who, auto id, auto content) {
        send(to, from, [asker, who, id, content = std::move(content)]() mutable {
          put(asker, who, id, std::move(content));
        });
      });
    }
    send(from, to, [this, to, back, id, content = std::move(content)]() mutable {
      if (auto end = ends_.find(to); end != ends_.end() && end->second->door)
        put(caf::actor_cast<caf::strong_actor_ptr>(end->second->door), back, id,
            std::move(content));
    });
  });
  door = caf::actor_cast<caf::actor>(end);
  return door;
}

void network::forget_doors(const std::string& node) {
  std::erase_if(doors_,
                [&](const auto& d) { return d.first.first == node || d.first.second == node; });
}

void network::send(const std::string& from, const std::string& to, std::function<void()> deliver) {
  auto& pair = link_of(from, to);
  if (!pair.up || !ends_.contains(from))
    return; // it vanishes
  auto& queue = pair.queues[from];
  auto due = on_.now_us() + delay(from, to);
  if (!queue.empty())
    due = std::max(due, queue.back().due_us);
  queue.push_back({due, std::move(deliver)});
  on_.at(due, [this, from, to] { pump(from, to); });
}

void network::pump(const std::string& from, const std::string& to) {
  auto& pair = link_of(from, to);
  if (!pair.up || is_cut(from, to))
    return; // sent again when it is healed
  auto generation = pair.generation;
  auto& queue = pair.queues[from];
  while (pair.up && pair.generation == generation && !queue.empty() &&
         queue.front().due_us <= on_.now_us()) {
    auto deliver = std::move(queue.front().deliver);
    queue.pop_front();
    deliver();
  }
}

void network::crash(const std::string& node) {
  ends_.erase(node);
  beacons_.erase(node);
  forget_doors(node);
  for (const auto& other : nodes_)
    if (other != node && link_of(node, other).up)
      drop(node, other, "the other node died");
}

void network::cut(const std::string& from, const std::string& to, bool is_cut) {
  if (is_cut)
    cut_.insert({from, to});
  else
    cut_.erase({from, to});
  look(std::min(from, to), std::max(from, to));
  if (!is_cut)
    on_.after(delay(from, to), [this, from, to] { pump(from, to); });
}

void network::cut_beacons(const std::string& from, const std::string& to, bool is_cut) {
  if (is_cut)
    beacons_cut_.insert({from, to});
  else
    beacons_cut_.erase({from, to});
}

void network::slow(const std::string& node, std::int64_t times) {
  slow_[node] = times;
}

// -- beacons -------------------------------------------------------------------------------------

std::unique_ptr<transport::beacons> network::start_beacons(const std::string& node,
                                                           const clock& time,
                                                           const transport::beacon_options&,
                                                           transport::beacon_callbacks callbacks) {
  auto end = std::make_unique<beacons_end>(*this, node, time, std::move(callbacks));
  beacons_[node] = end.get();
  return end;
}

void network::round() {
  for (const auto& [_, end] : beacons_)
    if (!end->paused)
      on_.after(on_.between(0, 2000), [this, node = end->node] {
        if (auto end = beacons_.find(node); end != beacons_.end() && !end->second->paused)
          end->second->round();
      });
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (std::size_t k = i + 1; k < nodes_.size(); ++k)
      look(std::min(nodes_[i], nodes_[k]), std::max(nodes_[i], nodes_[k]));
}

void network::send_beacon(const std::string& from, const std::string& to, std::string payload) {
  if (on_.happens(quality_.beacon_loss))
    return;
  auto copies = on_.happens(quality_.beacon_doubled) ? 2 : 1;
  for (auto i = 0; i < copies; ++i)
    on_.after(delay(from, to), [this, from, to, payload] {
      auto end = beacons_.find(to);
      if (end == beacons_.end() || end->second->paused || !end->second->peers.contains(from) ||
          is_cut(from, to) || beacons_cut_.contains({from, to}))
        return;
      auto& b = *end->second;
      for (auto& answer : b.callbacks.receive(from, 1, payload, b.time.monotonic()))
        send_beacon(to, from, std::move(answer));
    });
}

void network::pause(const std::string& node, bool paused) {
  if (auto end = beacons_.find(node); end != beacons_.end())
    end->second->paused = paused;
}

} // namespace candor::sim
