#include "cluster/sharding/placement.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <xxhash.h>

namespace candor::sharding {

namespace {

/// Nodes and shards by their index.
using node_set = std::vector<std::size_t>;

/// What a node should have, as a fraction, since it seldom is a whole number.
struct share {
  std::uint64_t amount = 0;
  std::uint64_t among = 1;

  std::uint64_t whole() const { return amount / among; }
  std::uint64_t least() const { return 95 * amount / (100 * among); }
  std::uint64_t most() const { return (105 * amount + 100 * among - 1) / (100 * among); }
};

/// The active nodes, and what each should hold.
struct room {
  std::vector<std::string> names; ///< sorted
  std::vector<std::size_t> zone;  ///< by node
  std::size_t replicas = 0;       ///< of a shard: no more than there are nodes
  std::size_t zone_most = 0;      ///< replicas of one shard in one zone
  std::vector<share> shares;      ///< by node

  std::optional<std::size_t> find(const std::string& name) const {
    auto i = std::ranges::lower_bound(names, name);
    if (i == names.end() || *i != name)
      return std::nullopt;
    return static_cast<std::size_t>(i - names.begin());
  }
};

/// The even share of each node, where a zone may hold no more than `zone_most` replicas of a shard:
/// the zones that would exceed that get just that, and the rest is shared anew.
std::vector<share> even_shares(const room& r, std::size_t shards, std::size_t zones) {
  node_set nodes_in(zones);
  for (auto z : r.zone)
    ++nodes_in[z];
  auto zone_room = [&](std::size_t z) { return shards * std::min(r.zone_most, nodes_in[z]); };
  share rest{shards * r.replicas, r.names.size()};
  std::vector<bool> full(zones);
  for (auto changed = true; changed;) {
    changed = false;
    for (std::size_t z = 0; z < zones; ++z)
      if (!full[z] && nodes_in[z] * rest.amount > zone_room(z) * rest.among) {
        full[z] = changed = true;
        rest.amount -= zone_room(z);
        rest.among -= nodes_in[z];
      }
  }
  std::vector<share> shares;
  for (auto z : r.zone)
    shares.push_back(full[z] ? share{zone_room(z), nodes_in[z]} : rest);
  return shares;
}

room room_of(const placement_question& question) {
  room r;
  std::map<std::string, std::string> zone_of;
  std::map<std::string, std::size_t> zones;
  for (auto& node : question.nodes)
    if (node.state == node_state::active) {
      CANDOR_ASSERT(zone_of.emplace(node.name, node.zone).second);
      zones.emplace(node.zone, 0);
    }
  std::size_t number = 0;
  for (auto& [name, index] : zones)
    index = number++;
  node_set nodes_in(zones.size());
  for (auto& [name, zone] : zone_of) {
    r.names.push_back(name);
    r.zone.push_back(zones[zone]);
    ++nodes_in[zones[zone]];
  }
  r.replicas = std::min<std::size_t>(question.replicas, r.names.size());
  for (std::size_t room = 0; room < r.replicas;) {
    ++r.zone_most;
    room = 0;
    for (auto n : nodes_in)
      room += std::min(n, r.zone_most);
  }
  if (!r.names.empty())
    r.shares = even_shares(r, question.shards.value, zones.size());
  return r;
}

/// By shard and node.
using scores = std::vector<std::vector<std::uint64_t>>;

scores score_all(std::size_t shards, const std::vector<std::string>& names) {
  scores all(shards);
  for (std::size_t s = 0; s < shards; ++s)
    for (auto& name : names) {
      auto text = fmt::format("{:04}/{}", s, name);
      all[s].push_back(XXH3_64bits(text.data(), text.size()));
    }
  return all;
}

/// Things that lie on nodes and can pass from one to another, until every node has between the
/// least and the most that it should: replicas first, then primaries.
class balance {
public:
  /// `may_pass(shard, from, to)`; `pass` is told of what passed.
  using rule = std::function<bool(std::size_t, std::size_t, std::size_t)>;
  using effect = std::function<void(std::size_t, std::size_t, std::size_t)>;

  balance(const std::vector<share>& shares, const scores& preference, rule may_pass, effect pass)
    : shares_{shares}
    , preference_{preference}
    , may_pass_{std::move(may_pass)}
    , pass_{std::move(pass)}
    , held_(shares.size()) {}

  /// `lay_there`: in the present placement, so that to pass it on is a move.
  void put(std::size_t shard, std::size_t node, bool lay_there) {
    held_[node].emplace(shard, lay_there);
  }

  bool lacks(std::size_t node) const { return held_[node].size() < shares_[node].least(); }
  bool has_room(std::size_t node) const { return held_[node].size() < shares_[node].most(); }

  void settle() {
    for (std::size_t n = 0; n < held_.size(); ++n)
      while (held_[n].size() > shares_[n].most() && push(n))
        ;
    for (std::size_t n = 0; n < held_.size(); ++n)
      while (lacks(n) && pull(n))
        ;
  }

private:
  enum class passing : bool { newcomers, all };

  /// One less for `from`. What lay nowhere yet goes first: it moves in any case.
  bool push(std::size_t from) {
    auto lacking = [&](auto to) { return lacks(to); };
    auto roomy = [&](auto to) { return has_room(to); };
    return shift(from, lacking, passing::newcomers) || shift(from, roomy, passing::newcomers) ||
           shift(from, lacking, passing::all) || shift(from, roomy, passing::all);
  }

  /// One more for `to`, from whoever has most.
  bool pull(std::size_t to) {
    node_set givers;
    for (std::size_t n = 0; n < held_.size(); ++n)
      if (held_[n].size() > shares_[n].least())
        givers.push_back(n);
    std::ranges::stable_sort(givers, std::greater{}, [&](auto n) { return held_[n].size(); });
    for (auto what : {passing::newcomers, passing::all})
      for (auto from : givers)
        if (shift(
                from, [&](auto n) { return n == to; }, what))
          return true;
    return false;
  }

  /// One less for `from`, one more for a node that may take it, by the fewest passings: directly,
  /// or through nodes that pass on another thing than they took, where zones stand in the way.
  /// Fewest also means that no passing spoils a later one: had two of them the same shard, one
  /// would do.
  bool shift(std::size_t from, const std::function<bool(std::size_t)>& may_take, passing what) {
    struct step {
      std::size_t from, shard;
    };
    std::vector<std::optional<step>> reached(held_.size());
    std::deque<std::size_t> next{from};
    while (!next.empty()) {
      auto giver = next.front();
      next.pop_front();
      std::vector<std::optional<step>> fresh(held_.size());
      for (auto [s, lay_there] : held_[giver])
        for (std::size_t n = 0; n < held_.size(); ++n)
          if (n != from && !reached[n] && !(lay_there && what == passing::newcomers) &&
              may_pass_(s, giver, n) &&
              (!fresh[n] || preference_[s][n] > preference_[fresh[n]->shard][n]))
            fresh[n] = step{giver, s};
      std::optional<std::size_t> taker;
      for (std::size_t n = 0; n < held_.size(); ++n) {
        if (!fresh[n])
          continue;
        reached[n] = fresh[n];
        next.push_back(n);
        if (may_take(n) &&
            (!taker || preference_[fresh[n]->shard][n] > preference_[fresh[*taker]->shard][*taker]))
          taker = n;
      }
      if (!taker)
        continue;
      for (auto to = *taker; to != from;) {
        auto [giver_of, shard] = *reached[to];
        held_[giver_of].erase(shard);
        held_[to].emplace(shard, false);
        pass_(shard, giver_of, to);
        to = giver_of;
      }
      return true;
    }
    return false;
  }

  const std::vector<share>& shares_;
  const scores& preference_;
  rule may_pass_;
  effect pass_;
  std::vector<std::map<std::size_t, bool>> held_; ///< by node: shards, and whether each lay there
};

bool contains(const node_set& all, std::size_t node) {
  return std::ranges::find(all, node) != all.end();
}

/// The nodes of each shard, in no order that means anything.
std::vector<node_set> choose_replicas(const placement_question& question, const room& r,
                                      const scores& score) {
  std::vector<node_set> chosen(question.shards.value);
  auto zone_has_room = [&](const node_set& nodes, std::size_t zone) {
    return std::ranges::count(nodes, zone, [&](auto n) { return r.zone[n]; }) <
           static_cast<std::ptrdiff_t>(r.zone_most);
  };
  balance loads{
      r.shares, score,
      [&](auto shard, auto from, auto to) {
        auto& nodes = chosen[shard];
        return !contains(nodes, to) &&
               (r.zone[from] == r.zone[to] || zone_has_room(nodes, r.zone[to]));
      },
      [&](auto shard, auto from, auto to) { *std::ranges::find(chosen[shard], from) = to; }};

  // What lies well stays.
  for (std::size_t s = 0; s < std::min(chosen.size(), question.present.size()); ++s)
    for (auto& name : question.present[s]) {
      auto node = r.find(name);
      if (!node || contains(chosen[s], *node) || chosen[s].size() == r.replicas ||
          !zone_has_room(chosen[s], r.zone[*node]))
        continue;
      chosen[s].push_back(*node);
      loads.put(s, *node, true);
    }
  // What is missing goes to nodes that have too little, else to those that have room, else
  // anywhere: there are always enough places that zones allow, and what is too much passes on
  // below.
  for (std::size_t s = 0; s < chosen.size(); ++s)
    while (chosen[s].size() < r.replicas) {
      std::optional<std::size_t> best;
      auto rank = [&](std::size_t n) {
        return std::tuple{loads.lacks(n), loads.has_room(n), score[s][n]};
      };
      for (std::size_t n = 0; n < r.names.size(); ++n)
        if (!contains(chosen[s], n) && zone_has_room(chosen[s], r.zone[n]) &&
            (!best || rank(n) > rank(*best)))
          best = n;
      CANDOR_ASSERT(best);
      chosen[s].push_back(*best);
      loads.put(s, *best, false);
    }
  loads.settle();
  return chosen;
}

/// The preferred primary of each shard, one of its nodes.
node_set choose_primaries(const placement_question& question, const room& r, const scores& score,
                          const std::vector<node_set>& chosen) {
  node_set primary(chosen.size());
  std::vector<share> shares(r.names.size(), {chosen.size(), r.names.size()});
  balance loads{shares, score,
                [&](auto shard, auto, auto to) { return contains(chosen[shard], to); },
                [&](auto shard, auto, auto to) { primary[shard] = to; }};
  for (std::size_t s = 0; s < chosen.size(); ++s) {
    std::optional<std::size_t> present;
    if (s < question.present.size() && !question.present[s].empty())
      present = r.find(question.present[s].front());
    auto stays = present && contains(chosen[s], *present);
    primary[s] =
        stays ? *present
              : *std::ranges::max_element(chosen[s], {}, [&](auto n) { return score[s][n]; });
    loads.put(s, primary[s], stays);
  }
  loads.settle();
  return primary;
}

std::set<std::string> of_shard(const placement& p, std::size_t shard) {
  if (shard >= p.size())
    return {};
  return {p[shard].begin(), p[shard].end()};
}

} // namespace

placement place(const placement_question& question) {
  auto r = room_of(question);
  placement wanted(question.shards.value);
  if (r.replicas > 0) {
    auto score = score_all(wanted.size(), r.names);
    auto chosen = choose_replicas(question, r, score);
    auto primary = choose_primaries(question, r, score, chosen);
    for (std::size_t s = 0; s < wanted.size(); ++s) {
      auto rank = [&](std::size_t n) { return std::pair{n == primary[s], score[s][n]}; };
      std::ranges::sort(chosen[s], std::greater{}, rank);
      for (auto n : chosen[s])
        wanted[s].push_back(r.names[n]);
    }
  }
  if (r.replicas == question.replicas)
    return wanted;
  std::set<std::string> draining;
  for (auto& node : question.nodes)
    if (node.state == node_state::draining)
      draining.insert(node.name);
  for (std::size_t s = 0; s < std::min(wanted.size(), question.present.size()); ++s)
    for (auto& name : question.present[s])
      if (wanted[s].size() < question.replicas && draining.contains(name) &&
          std::ranges::find(wanted[s], name) == wanted[s].end())
        wanted[s].push_back(name);
  return wanted;
}

std::vector<replica_move> rebalance_moves(const placement& present, const placement& wanted) {
  std::vector<replica_move> moves;
  for (std::size_t s = 0; s < std::max(present.size(), wanted.size()); ++s) {
    auto before = of_shard(present, s), after = of_shard(wanted, s);
    std::vector<std::string> lost, gained;
    std::ranges::set_difference(before, after, std::back_inserter(lost));
    std::ranges::set_difference(after, before, std::back_inserter(gained));
    for (std::size_t i = 0; i < std::max(lost.size(), gained.size()); ++i)
      moves.push_back({static_cast<shard_id>(s), i < lost.size() ? lost[i] : "",
                       i < gained.size() ? gained[i] : ""});
  }
  return moves;
}

std::size_t ideal_moves(const placement_question& question) {
  auto r = room_of(question);
  std::vector<std::uint64_t> held(r.names.size());
  for (std::size_t s = 0; s < question.present.size(); ++s)
    for (auto& name : of_shard(question.present, s))
      if (auto node = r.find(name))
        ++held[*node];
  std::size_t moves = 0;
  for (std::size_t n = 0; n < held.size(); ++n)
    moves += r.shares[n].whole() - std::min(r.shares[n].whole(), held[n]);
  return moves;
}

} // namespace candor::sharding
