#include "cluster/membership/participant.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"

namespace candor::membership {

using coordination::change;
using coordination::versioned;
using sharding::node_record;
using sharding::node_state;

namespace {

constexpr auto room = "membership";
constexpr auto attempts = 4; ///< of an operator's change, where others change the record meanwhile

} // namespace

struct participant::inbox {
  std::mutex mutex;
  std::map<std::string, versioned, std::less<>> newest;

  /// True: it was empty.
  bool put(std::string_view key, const versioned& now) {
    std::lock_guard guard{mutex};
    auto was_empty = newest.empty();
    auto& kept = newest[std::string{key}];
    if (now.version > kept.version)
      kept = now;
    return was_empty;
  }

  auto take_all() {
    std::lock_guard guard{mutex};
    return std::exchange(newest, {});
  }
};

participant::participant(participant_options options, participant_surroundings around)
  : options_{std::move(options)}
  , around_{std::move(around)}
  , inbox_{std::make_shared<inbox>()} {
  list_at_ = again_at_ = beat_at_ = leader_changed_ = now();
  for (auto prefix : prefixes)
    watches_.push_back(around_.coordinator.watch(
        prefix, [in = inbox_, hint = around_.on_hint](auto key, const auto& now) {
          if (in->put(key, now) && hint)
            hint();
        }));
}

participant::~participant() = default;

// -- the coordinator, and whether it answers
// ---------------------------------------------------------

template <class T>
result<T> participant::heard(result<T> answer) {
  if (answer)
    reachable();
  else
    unreachable(answer.error());
  return answer;
}

void participant::reachable() {
  if (std::exchange(unreachable_since_, std::nullopt)) {
    log::info(room, "the coordinator answers again");
    if (around_.on_coordinator)
      around_.on_coordinator(true);
  }
  answered_at_ = around_.time.now();
  pause_ = limits::membership_pause_min;
}

void participant::unreachable(const error& why) {
  if (!unreachable_since_) {
    unreachable_since_ = around_.time.now();
    log::warn(room, "the coordinator does not answer; what is known stays: {}", why.to_string());
    if (around_.on_coordinator)
      around_.on_coordinator(false);
  }
  again_at_ = now() + pause_;
  pause_ = std::min<millis>(2 * pause_, limits::membership_pause_max);
  list_at_ = now(); // what was written last is unknown
}

/// In order, as many at a time as one compare-and-swap takes. False: some are not written, since
/// something else was.
result<bool> participant::write(std::vector<change> changes) {
  for (std::size_t i = 0; i < changes.size(); i += coordination::changes_max) {
    std::span part{changes.data() + i, std::min(coordination::changes_max, changes.size() - i)};
    CANDOR_TRY(written, heard(around_.coordinator.compare_and_swap(part)));
    if (!written) {
      list_at_ = now();
      return false;
    }
    for (const auto& c : part)
      take(c.key, {c.value, c.expected_version + 1});
  }
  return true;
}

// -- what is known, and told
// -------------------------------------------------------------------------

void participant::take(std::string_view key, const versioned& value) {
  switch (view_.take(key, value)) {
    case news::node:
    case news::desired:
      wanted_may_differ_ = true;
      break;
    case news::config:
      configs_changed_.insert(*sharding::shard_of_key(key));
      break;
    case news::leader:
      leader_changed_ = now();
      if (around_.on_placement_leader && view_.leader)
        around_.on_placement_leader(view_.leader->node);
      break;
    case news::other:
    case news::none:
      break;
  }
}

void participant::take_hints() {
  for (const auto& [key, value] : inbox_->take_all())
    take(key, value);
}

result<void> participant::list_all() {
  for (auto prefix : prefixes) {
    CANDOR_TRY(all, heard(around_.coordinator.list(prefix)));
    for (const auto& [key, value] : all)
      take(key, value);
  }
  list_at_ = now() + limits::membership_list_every;
  return {};
}

/// Whether this node may go on.
result<void> participant::check() {
  if (!refused_ && view_.shards && *view_.shards != options_.shards.value)
    refused_ = error{errc::config_invalid,
                     fmt::format("the cluster was made with shards = {}, this node says {}",
                                 *view_.shards, options_.shards.value)};
  if (auto own = view_.nodes.find(options_.self.name);
      !refused_ && registered_ && own != view_.nodes.end() &&
      own->second.incarnation != options_.self.incarnation)
    refused_ = error{errc::conflict, fmt::format("another process has registered as node {}, at {}",
                                                 options_.self.name, own->second.address)};
  if (refused_)
    return tl::unexpected{*refused_};
  return {};
}

void participant::tell() {
  if (std::exchange(wanted_may_differ_, false)) {
    std::map<std::string, std::string> peers;
    for (const auto& [name, node] : view_.nodes) {
      if (name != options_.self.name)
        peers[name] = node.address;
      auto& told = nodes_told_[name];
      if (around_.on_node && told != node)
        around_.on_node(node);
      told = node;
    }
    for (auto it = nodes_told_.begin(); it != nodes_told_.end();) {
      if (view_.nodes.contains(it->first)) {
        ++it;
        continue;
      }
      it->second.state = node_state::gone;
      if (around_.on_node)
        around_.on_node(it->second);
      it = nodes_told_.erase(it);
    }
    if (peers != peers_told_) {
      peers_told_ = peers;
      around_.on_peers(std::move(peers));
    }
    std::vector<replication::shard_wanted> wanted;
    for (const auto& [shard, record] : view_.desired) {
      replication::shard_wanted now{shard, view_.wanted(shard), view_.holders(shard)};
      auto& told = wanted_told_[shard];
      if (now != told)
        wanted.push_back(told = std::move(now));
    }
    if (!wanted.empty())
      around_.on_wanted(std::move(wanted));
  }
  std::vector<replication::config_seen> seen;
  for (auto shard : std::exchange(configs_changed_, {}))
    seen.push_back({shard, view_.configs.at(shard), view_.version_of(sharding::config_key(shard))});
  if (!seen.empty())
    around_.on_configs(std::move(seen));
}

// -- a tick
// ------------------------------------------------------------------------------------------

result<void> participant::hear() {
  take_hints();
  CANDOR_TRY_VOID(check());
  tell();
  return {};
}

result<void> participant::tick() {
  take_hints();
  CANDOR_TRY_VOID(check());
  note_the_dead();
  if (now() >= again_at_)
    (void)work(); // its errors are the coordinator's: `heard` saw them
  CANDOR_TRY_VOID(check());
  tell();
  return {};
}

result<void> participant::work() {
  if (now() >= list_at_)
    CANDOR_TRY_VOID(list_all());
  if (!check())
    return {};
  CANDOR_TRY_VOID(register_self());
  if (!registered_)
    return {};
  CANDOR_TRY_VOID(object_to_claims());
  CANDOR_TRY_VOID(tell_of_disk());
  CANDOR_TRY_VOID(keep_leading());
  if (!leads_placement())
    return {};
  CANDOR_TRY(made, make_cluster());
  return made ? keep_placed() : result<void>{};
}

result<void> participant::register_self() {
  if (registered_ && view_.nodes.contains(options_.self.name))
    return {};
  registered_ = false; // or an operator had it forgotten while it lives
  const auto key = sharding::node_key(options_.self.name);
  CANDOR_TRY(found, heard(around_.coordinator.get(key)));
  auto record = options_.self;
  record.holds = held_here();
  if (found) {
    take(key, *found);
    // One that cannot be read is replaced too: nothing else could ever mend it.
    auto before = sharding::node_record_from_json(found->value);
    if (before && before->state != node_state::gone) {
      if (before->incarnation == record.incarnation) { // a write whose outcome was unknown
        registered_ = true;
        return {};
      }
      record.state = before->state;
      if (before->disk_id != record.disk_id) {
        CANDOR_TRY(free, name_is_free(*before, found->version));
        if (!free)
          return {};
        log::warn(room, "node {} has another disk than before: {}, not {}", record.name,
                  record.disk_id, before->disk_id);
      }
    }
  }
  CANDOR_TRY(written, write({{key, found ? found->version : 0, sharding::to_json(record)}}));
  registered_ = written;
  claim_objected_ = view_.version_of(claim_key(record.name));
  if (written)
    log::info(room, "registered as node {} at {}", record.name, record.address);
  return {};
}

/// A disk that was wiped, or another process that lives: that one sees the claim and writes its
/// record again. (With the same disk it is this node's own past: a data directory has one process.)
result<bool> participant::name_is_free(const sharding::node_record& before, std::uint64_t version) {
  const auto& self = options_.self;
  if (!claim_ || claim_->before != before) {
    auto key = claim_key(self.name);
    CANDOR_TRY(claimed, write({{key, view_.version_of(key), self.incarnation}}));
    if (claimed)
      claim_ = claim{before, version, now()};
    return false;
  }
  if (version > claim_->version) {
    refused_ = error{errc::conflict, fmt::format("node {} lives, at {} with disk {}", self.name,
                                                 before.address, before.disk_id)};
    return false;
  }
  return now() - claim_->since >= limits::name_claim_wait;
}

result<void> participant::object_to_claims() {
  const auto& name = options_.self.name;
  auto version = view_.version_of(claim_key(name));
  if (version == claim_objected_)
    return {};
  if (view_.claims[name] != options_.self.incarnation) {
    auto key = sharding::node_key(name);
    CANDOR_TRY(written,
               write({{key, view_.version_of(key), sharding::to_json(view_.nodes.at(name))}}));
    if (!written)
      return {}; // it was changed meanwhile: again
    log::warn(room, "another process wants to be node {}; it is told that this one lives", name);
  }
  claim_objected_ = version;
  return {};
}

/// With the shards that it is to hold: so it has said so before it gets anything of them, or soon
/// after. Of a node alone it does not matter.
std::optional<std::set<shard_id>> participant::held_here() const {
  if (!around_.holds || options_.alone)
    return std::nullopt;
  auto is_self = [&](const sharding::member& m) { return m.node == options_.self.name; };
  std::set<shard_id> held;
  for (shard_id shard = 0; shard < options_.shards.value; ++shard) {
    auto config = view_.configs.find(shard);
    if (around_.holds(shard) || std::ranges::any_of(view_.wanted(shard), is_self) ||
        (config != view_.configs.end() && std::ranges::any_of(config->second.in_sync, is_self)))
      held.insert(shard);
  }
  return held;
}

/// Others show operators whether it is low; what it holds, they wait for.
result<void> participant::tell_of_disk() {
  auto own = view_.nodes.find(options_.self.name);
  if (own == view_.nodes.end())
    return {};
  auto record = own->second;
  if (around_.low_on_disk)
    record.low_on_disk = around_.low_on_disk();
  record.holds = held_here();
  if (record == own->second)
    return {};
  auto key = sharding::node_key(record.name);
  CANDOR_TRY(written, write({{key, view_.version_of(key), sharding::to_json(record)}}));
  (void)written; // it was changed meanwhile: again
  return {};
}

// -- who is there
// ------------------------------------------------------------------------------------

bool participant::alive(const std::string& node) const {
  return node == options_.self.name || around_.alive(node);
}

void participant::note_the_dead() {
  for (const auto& [name, node] : view_.nodes)
    if (alive(name))
      dead_since_.erase(name);
    else
      dead_since_.emplace(name, now());
}

/// Not heard of for so long that its shards should lie elsewhere. A node that has none comes in
/// only when it is heard of.
bool participant::is_lost(const std::string& node) const {
  auto since = dead_since_.find(node);
  if (since == dead_since_.end())
    return !alive(node);
  if (!view_.placed || !view_.placed->contains(node))
    return true;
  auto patience = view_.needed_soon(node) ? options_.replace_after_at_min : options_.replace_after;
  return now() - since->second >= patience;
}

/// The nodes that shards may lie on. The lost are left out only where the others are enough to take
/// their place, and half of all: a node that hears of fewer is more likely cut off itself.
placed_nodes participant::usable_nodes() const {
  placed_nodes usable, lost;
  std::size_t active = 0;
  for (const auto& [name, node] : view_.nodes) {
    sharding::placement_node one{name, node.zone,
                                 planted(bug::drain_ignored) ? node_state::active : node.state};
    if (!is_lost(name)) {
      active += node.state == node_state::active;
      usable[name] = std::move(one);
    } else if (view_.placed && view_.placed->contains(name)) {
      lost[name] = std::move(one);
    }
  }
  auto placed = view_.placed ? view_.placed->size() : 0;
  if (active < std::max<std::size_t>(options_.replicas, (placed + 1) / 2))
    usable.merge(lost);
  return usable;
}

sharding::placement_question participant::question(const placed_nodes& nodes) const {
  sharding::placement_question q;
  for (const auto& [name, node] : nodes)
    q.nodes.push_back(node);
  q.shards = options_.shards;
  q.replicas = options_.replicas;
  q.present = view_.placement(options_.shards);
  return q;
}

// -- the leader of the placement
// ---------------------------------------------------------------------

bool participant::leads_placement() const {
  return view_.leader && view_.leader->node == options_.self.name &&
         view_.leader->incarnation == options_.self.incarnation;
}

result<void> participant::keep_leading() {
  const auto is_mine = leads_placement();
  if (is_mine && (now() < beat_at_ || options_.alone))
    return {};
  if (!is_mine && view_.version_of(leader_key) != 0) {
    // A process before this one had this name: it is no more.
    auto was_ours = view_.leader && view_.leader->node == options_.self.name;
    if (!was_ours && now() - leader_changed_ < limits::placement_takeover_after)
      return {};
    // Watches may have skipped what it did meanwhile.
    CANDOR_TRY(found, heard(around_.coordinator.get(leader_key)));
    if (found && found->version > view_.version_of(leader_key)) {
      take(leader_key, *found);
      leader_changed_ = now();
      return {};
    }
  }
  leader_record record{options_.self.name, options_.self.incarnation,
                       is_mine ? view_.leader->beat + 1 : 1};
  CANDOR_TRY(written, write({{leader_key, view_.version_of(leader_key), to_json(record)}}));
  if (written) {
    beat_at_ = now() + limits::placement_beat_every;
    if (!is_mine)
      log::info(room, "this node leads the placement");
  } else if (is_mine) {
    log::info(room, "another node leads the placement");
    view_.leader.reset(); // who: the next listing tells
  }
  return {};
}

/// True: every shard has its record. They are made where they are missing, and nowhere else: a
/// shard that nobody ever led holds nothing, so that its members are all in sync.
result<bool> participant::make_cluster() {
  if (view_.configs.size() >= options_.shards.value)
    return true;
  auto nodes = usable_nodes();
  std::size_t there = std::ranges::count_if(
      nodes, [&](const auto& node) { return node.second.state == node_state::active; });
  if (there < options_.cluster_nodes) {
    if (awaited_told_ != there)
      log::info(room, "a new cluster: {} of {} nodes are there", there, options_.cluster_nodes);
    awaited_told_ = there;
    return false;
  }
  if (!view_.shards) {
    CANDOR_TRY(written, write({{shards_key, 0, std::to_string(options_.shards.value)}}));
    if (!written)
      return false;
  }
  auto placement = sharding::place(question(nodes));
  std::vector<change> changes;
  for (std::size_t s = 0; s < placement.size(); ++s) {
    auto shard = static_cast<shard_id>(s);
    if (view_.version_of(sharding::config_key(shard)) != 0)
      continue;
    auto desired = view_.desired.find(shard);
    auto has_desired = desired != view_.desired.end();
    auto config = first_config(view_.members(has_desired ? desired->second.nodes : placement[s]),
                               options_.in_sync_min);
    if (!config)
      continue;
    if (!has_desired)
      changes.push_back({sharding::desired_key(shard),
                         view_.version_of(sharding::desired_key(shard)),
                         sharding::to_json(sharding::desired_record{placement[s]})});
    changes.push_back({sharding::config_key(shard), 0, sharding::to_json(*config)});
  }
  CANDOR_TRY(written, write(std::move(changes)));
  if (written)
    log::info(room, "a new cluster: {} shards on {} nodes", options_.shards.value, nodes.size());
  return view_.configs.size() >= options_.shards.value;
}

std::vector<change> participant::changes_towards(const sharding::placement& wanted) const {
  std::vector<change> changes;
  for (std::size_t s = 0; s < wanted.size(); ++s) {
    auto shard = static_cast<shard_id>(s);
    auto present = view_.desired.find(shard);
    if (wanted[s].empty() || (present != view_.desired.end() && present->second.nodes == wanted[s]))
      continue;
    auto key = sharding::desired_key(shard);
    changes.push_back(
        {key, view_.version_of(key), sharding::to_json(sharding::desired_record{wanted[s]})});
  }
  return changes;
}

/// Nothing to do while the nodes are those of the last time: so what operators moved stays.
result<void> participant::keep_placed() {
  auto nodes = usable_nodes();
  if (view_.placed && same(*view_.placed, nodes) && view_.desired.size() >= options_.shards.value)
    return {};
  auto changes = changes_towards(sharding::place(question(nodes)));
  auto count = changes.size();
  CANDOR_TRY(written, write(std::move(changes)));
  if (!written)
    return {}; // computed anew from what stands there now
  CANDOR_TRY(noted, write({{placed_key, view_.version_of(placed_key), to_json(nodes)}}));
  if (noted && count > 0)
    log::info(room, "{} shards are placed anew, on {} nodes", count, nodes.size());
  return {};
}

// -- operators
// ---------------------------------------------------------------------------------------

/// Changes the record as `edit` says of what stands there now (false: not at all); again where
/// somebody else was faster. The record as it stands then, and whether it was changed.
result<std::pair<node_record, bool>>
participant::change_record(const std::string& node,
                           const std::function<result<bool>(node_record&)>& edit) {
  const auto key = sharding::node_key(node);
  for (auto left = attempts; left > 0; --left) {
    CANDOR_TRY(found, heard(around_.coordinator.get(key)));
    if (!found)
      return fail(errc::not_found, fmt::format("no node {} is registered", node));
    CANDOR_TRY(record, sharding::node_record_from_json(found->value));
    take(key, *found);
    CANDOR_TRY(edited, edit(record));
    if (!edited)
      return std::pair{std::move(record), false};
    CANDOR_TRY(written, write({{key, found->version, sharding::to_json(record)}}));
    if (written)
      return std::pair{std::move(record), true};
  }
  return fail(errc::conflict, fmt::format("the record of node {} keeps changing", node));
}

result<bool> participant::set_state(const std::string& node, node_state state) {
  CANDOR_TRY(done, change_record(node, [&](node_record& record) -> result<bool> {
               if (record.state == node_state::gone)
                 return fail(errc::not_found, fmt::format("node {} was forgotten", node));
               return std::exchange(record.state, state) != state;
             }));
  return done.second;
}

result<bool> participant::drain(const std::string& node) {
  return set_state(node, node_state::draining);
}

result<bool> participant::undrain(const std::string& node) {
  return set_state(node, node_state::active);
}

result<move_done> participant::move(shard_id shard, const std::string& to) {
  for (auto left = attempts; left > 0; --left) {
    CANDOR_TRY_VOID(list_all());
    auto desired = view_.desired.find(shard);
    if (shard >= options_.shards.value || desired == view_.desired.end())
      return fail(errc::not_found, fmt::format("there is no shard {}", shard));
    auto node = view_.nodes.find(to);
    if (node == view_.nodes.end())
      return fail(errc::not_found, fmt::format("no node {} is registered", to));
    if (node->second.state == node_state::draining)
      return fail(errc::conflict, fmt::format("node {} is draining", to));
    if (!alive(to))
      return fail(errc::conflict, fmt::format("node {} is not heard of", to));
    move_done done{desired->second.nodes,
                   moved(view_.placement(options_.shards), shard, to, options_.replicas)};
    if (done.before == done.after)
      return done;
    auto key = sharding::desired_key(shard);
    CANDOR_TRY(written, write({{key, view_.version_of(key),
                                sharding::to_json(sharding::desired_record{done.after})}}));
    if (written)
      return done;
  }
  return fail(errc::conflict, fmt::format("the placement of shard {} keeps changing", shard));
}

result<rebalance_done> participant::rebalance(bool dry_run) {
  CANDOR_TRY_VOID(list_all());
  if (view_.configs.size() < options_.shards.value)
    return fail(errc::conflict, "the cluster is not made yet");
  note_the_dead();
  auto q = question(usable_nodes());
  auto wanted = sharding::place(q);
  rebalance_done done{sharding::rebalance_moves(q.present, wanted), sharding::ideal_moves(q), 0};
  if (dry_run)
    return done;
  auto changes = changes_towards(wanted);
  done.shards_written = changes.size();
  CANDOR_TRY(written, write(std::move(changes)));
  if (!written)
    return fail(errc::conflict, "the placement changed meanwhile; some shards may be placed anew");
  return done;
}

result<forget_done> participant::forget(const std::string& node) {
  CANDOR_TRY(
      done, change_record(node, [&](node_record& record) -> result<bool> {
        if (record.state == node_state::gone)
          return false;
        CANDOR_TRY_VOID(list_all());
        if (alive(node))
          return fail(errc::conflict, fmt::format("node {} is heard of", node));
        if (auto counts = view_.draining(node); !counts.done())
          return fail(errc::conflict,
                      fmt::format("{} shards count on a copy on node {}", counts.in_sync, node));
        for (const auto& [shard, desired] : view_.desired)
          if (std::ranges::find(desired.nodes, node) != desired.nodes.end())
            return fail(errc::conflict, fmt::format("shard {} should lie on node {}", shard, node));
        record.state = node_state::gone;
        return true;
      }));
  auto& [record, changed] = done;
  if (changed)
    log::warn(room, "node {} is forgotten, with its disk {}", node, record.disk_id);
  return forget_done{std::move(record), changed};
}

// -- what is shown
// -----------------------------------------------------------------------------------

result<drain_progress> participant::drained(const std::string& node) const {
  if (!view_.nodes.contains(node))
    return fail(errc::not_found, fmt::format("no node {} is registered", node));
  return view_.draining(node);
}

snapshot participant::snapshot() const {
  membership::snapshot all;
  for (const auto& [name, record] : view_.nodes)
    all.nodes.push_back({record, alive(name), view_.draining(name)});
  all.configs = view_.configs;
  for (const auto& [shard, record] : view_.desired)
    all.wanted[shard] = view_.wanted(shard);
  if (view_.leader)
    all.placement_leader = view_.leader->node;
  all.unreachable_since = unreachable_since_;
  all.answered_at = answered_at_;
  return all;
}

} // namespace candor::membership
