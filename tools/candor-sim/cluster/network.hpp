/// The network between simulated nodes: links that carry messages between doors, and beacons.
///
/// A link behaves as TCP does: in order, nothing twice; while its path is cut what was sent waits,
/// and is lost only with the link. A link whose path stays cut, or whose other end does not answer,
/// is dropped after a second, one to a process that died at once; both ends hear so, each in its
/// time, and it comes back with new doors. Beacons are datagrams: each may be lost, doubled or
/// overtaken. Paths are cut in one direction or both, for all or for beacons only.
/// Must never change what a message says.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/transport/beacons.hpp"
#include "cluster/transport/links.hpp"
#include "tools/candor-sim/cluster/stage.hpp"

namespace candor::sim {

struct network_quality {
  std::int64_t delay_least_us = 100, delay_most_us = 1000;
  double beacon_loss = 0.01, beacon_doubled = 0.005;
};

class network {
public:
  network(stage& on, std::vector<std::string> nodes, network_quality quality);
  ~network();

  std::unique_ptr<transport::links> start_links(const std::string& node, caf::actor door,
                                                const transport::link_options& options,
                                                transport::link_callbacks callbacks);
  std::unique_ptr<transport::beacons> start_beacons(const std::string& node, const clock& time,
                                                    const transport::beacon_options& options,
                                                    transport::beacon_callbacks callbacks);
  /// Every 100 ms: beacons go out, links are looked at.
  void round();
  /// Its beacons stand still with it.
  void pause(const std::string& node, bool paused);
  /// The process of the node is gone.
  void crash(const std::string& node);

  void cut(const std::string& from, const std::string& to, bool is_cut);
  void cut_beacons(const std::string& from, const std::string& to, bool is_cut);
  /// Delays of everything from and to the node are so many times longer.
  void slow(const std::string& node, std::int64_t times);

private:
  struct links_end;
  struct beacons_end;
  struct pair_state;
  struct packet;

  using direction = std::pair<std::string, std::string>;

  std::int64_t delay(const std::string& from, const std::string& to);
  bool is_cut(const std::string& from, const std::string& to) const;
  pair_state& link_of(const std::string& a, const std::string& b);
  void look(const std::string& a, const std::string& b);
  void come_up(const std::string& a, const std::string& b);
  void drop(const std::string& a, const std::string& b, const std::string& why);
  caf::actor door_to(const std::string& from, const std::string& to);
  void forget_doors(const std::string& node);
  void send(const std::string& from, const std::string& to, std::function<void()> deliver);
  void pump(const std::string& from, const std::string& to);
  void send_beacon(const std::string& from, const std::string& to, std::string payload);

  stage& on_;
  std::vector<std::string> nodes_;
  network_quality quality_;
  std::map<std::string, links_end*> ends_;
  std::map<std::string, beacons_end*> beacons_;
  std::map<direction, pair_state> pairs_;
  std::map<direction, caf::actor> doors_;
  std::set<direction> cut_, beacons_cut_;
  std::map<std::string, std::int64_t> slow_;
};

} // namespace candor::sim
