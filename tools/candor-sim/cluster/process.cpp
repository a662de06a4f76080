#include "tools/candor-sim/cluster/process.hpp"

#include <fmt/format.h>

#include "tools/candor-sim/cluster/simulated_worker_actor.hpp"

namespace candor::sim {

namespace {

constexpr std::int64_t wall_off_most_ms = 20;
constexpr std::int64_t rate_ppm_most = 2000; ///< a fifth of what the leases allow for

} // namespace

simulated_node::simulated_node(world_ground& ground, int number)
  : ground_{ground}
  , number_{number}
  , name_{fmt::format("n{}", number + 1)}
  , time_{std::make_unique<stage_clock>(
        ground.on, ground.what.starts_at,
        millis{ground.on.between(-wall_off_most_ms, wall_off_most_ms)},
        ground.on.between(-rate_ppm_most, rate_ppm_most))} {}

config::node_config simulated_node::config() const {
  const auto& what = ground_.what;
  config::node_config c;
  c.name = name_;
  c.data = ground_.folder / name_;
  c.shards = what.shards;
  c.cluster = "simulated";
  c.node_address = name_ + ":1";
  c.advertise = "http://" + name_;
  c.replicas = what.replicas;
  c.in_sync_min = what.in_sync_min;
  c.cluster_nodes = static_cast<std::uint16_t>(what.nodes);
  c.log_kept_bytes = what.log_kept_bytes;
  c.notices = ground_.notices;
  return c;
}

replication::worker_handle simulated_node::make_worker(caf::actor_system& system,
                                                       replication::waits_for what) {
  worker_times times;
  if (what == replication::waits_for::disk) {
    auto takes = [this] {
      return ground_.on.between(ground_.what.disk_least_us, ground_.what.disk_most_us) * disk_times;
    };
    times.before_us = takes;
    times.after_us = takes;
    times.hangs = [this] { return disk_hangs; };
  } else {
    auto takes = [this] { return ground_.coordinator.delay_us(name_); };
    times.before_us = takes;
    times.after_us = takes;
    times.hangs = [] { return false; };
  }
  return spawn_simulated_worker(system, std::move(times));
}

result<void> simulated_node::start() {
  auto c = config();
  std::error_code ec;
  std::filesystem::create_directories(c.data / "keys", ec);
  auto made = std::make_unique<process>();
  made->db = storage.open();
  CANDOR_TRY(keys, stores::open_user_keys(c.data / "keys", ground_.secrets,
                                          stores::pages_made::when_needed));
  made->keys = std::move(keys);
  made->random = std::make_unique<seeded_rng>(ground_.on.chance().next());
  supervision::cluster_edges edges;
  edges.make_coordinator = [this]() -> result<std::unique_ptr<coordination::coordinator>> {
    return ground_.coordinator.connect(name_);
  };
  edges.start_links =
      [this](caf::actor door, const transport::link_options& options,
             transport::link_callbacks callbacks) -> result<std::unique_ptr<transport::links>> {
    return ground_.net.start_links(name_, std::move(door), options, std::move(callbacks));
  };
  edges.start_beacons =
      [this](const transport::beacon_options& options,
             transport::beacon_callbacks callbacks) -> result<std::unique_ptr<transport::beacons>> {
    return ground_.net.start_beacons(name_, *time_, options, std::move(callbacks));
  };
  edges.make_worker = [this](caf::actor_system& system, replication::waits_for what) {
    return make_worker(system, what);
  };
  auto life = ++lives_;
  auto ended = [this, life](result<void> how) {
    if (!how && life == lives_ && process_)
      ground_.failed(number_, how.error());
  };
  result<void> started;
  ground_.on.in_the_name_of(number_, [&] {
    started = [&]() -> result<void> {
      CANDOR_TRY(house, supervision::node_rooms::open(c, {ground_.on.system(),
                                                          *made->db,
                                                          *made->keys,
                                                          ground_.secrets,
                                                          *time_,
                                                          *made->random,
                                                          ground_.files,
                                                          ground_.filter,
                                                          [this] { return ground_.post.connect(); },
                                                          {},
                                                          std::move(edges),
                                                          ended,
                                                          ended}));
      made->house = std::move(house);
      process_ = std::move(made);
      process_->house->spawn();
      return process_->house->join(c.advertise);
    }();
  });
  return started;
}

void simulated_node::crash() {
  if (!process_)
    return;
  ground_.on.pause(number_, false);
  standing = false;
  ground_.net.crash(name_);
  ground_.on.kill(number_, process_->house->actors());
  process_->house->end_cluster_side(); // handles, links, beacons; the actors are gone already
  ground_.on.kill(number_, {});
  process_->keys.reset(); // its folder is free for the next
  storage.crash();
  dead_.push_back(std::move(process_));
}

void simulated_node::wipe() {
  crash();
  storage.wipe();
  std::error_code ec;
  std::filesystem::remove_all(config().data, ec);
}

} // namespace candor::sim
