#include "actors/supervision/cluster_side.hpp"

#include <charconv>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "actors/supervision/chronicle.hpp"
#include "cluster/coordination/etcd_coordinator.hpp"
#include "cluster/transport/beacons.hpp"
#include "cluster/transport/links.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/planted.hpp"
#include "storage/stores/durable_file.hpp"

namespace candor::supervision {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t small_file_bytes = 128;
constexpr millis heard_within = 2s; ///< a node that was heard of is alive

/// The disk's own name, given to it on the first start.
result<std::string> load_or_make_disk_id(const std::filesystem::path& file, rng& random) {
  auto found = stores::read_file(file, small_file_bytes);
  if (!found && found.error().code != errc::not_found)
    return found;
  if (!found) {
    auto made = random_id(random, "disk-");
    CANDOR_TRY_VOID(stores::replace_file(file, made + '\n'));
    return made;
  }
  auto line = found->substr(0, found->find('\n'));
  if (line.empty())
    return fail(errc::corrupt, file.string() + " is empty");
  return line;
}

/// Greater than that of every process before on this disk, whatever the wall clock says.
result<std::uint64_t> next_incarnation(const std::filesystem::path& file, timestamp now,
                                       rng& random) {
  std::uint64_t previous = 0;
  auto found = stores::read_file(file, small_file_bytes);
  if (found)
    std::from_chars(found->data(), found->data() + found->size(), previous);
  else if (found.error().code != errc::not_found)
    return tl::unexpected<error>{found.error()};
  auto made = transport::make_incarnation(now, previous, random);
  CANDOR_TRY_VOID(stores::replace_file(file, std::to_string(made) + '\n'));
  return made;
}

/// When each node was last heard of. Thread-safe.
class last_heard {
public:
  void note(const std::string& node, millis now) {
    std::lock_guard guard{mutex_};
    at_[node] = now;
  }
  bool within(const std::string& node, millis now, millis span) const {
    std::lock_guard guard{mutex_};
    auto it = at_.find(node);
    return it != at_.end() && now - it->second <= span;
  }

private:
  mutable std::mutex mutex_;
  std::map<std::string, millis> at_;
};

class joined_side final : public cluster_side {
public:
  joined_side(const config::node_config& config, beneath_the_rooms around)
    : config_{config}
    , around_{std::move(around)} {}

  ~joined_side() override { stop(); }

  result<void> open() {
    auto data = config_.data;
    CANDOR_TRY(disk_id, load_or_make_disk_id(data / "disk.id", around_.random));
    self_ = {config_.name, disk_id};
    CANDOR_TRY(incarnation,
               next_incarnation(data / "incarnation", around_.time.now(), around_.random));
    incarnation_ = incarnation;
    events_ = std::make_shared<cluster_events>(fmt::format("{:x}", incarnation_));
    chronicle_ = std::make_shared<chronicle>(around_.time, events_);
    CANDOR_TRY_VOID(open_coordinator());
    shard_count shards{config_.shards};
    promises_ = std::make_shared<replication::leases>(
        self_, incarnation_, shards, replication::lease_options{}, around_.time.monotonic());
    if (is_alone()) // no beacons went out before
      for (std::uint16_t i = 0; i < shards.value; ++i)
        promises_->granted_nothing_before(i);
    replication::replicator_options options;
    options.self = self_;
    options.shards = shards;
    options.log_kept_bytes = is_alone() ? alone_log_kept_bytes : config_.log_kept_bytes;
    options.protocol.in_sync_least = is_alone() ? 1 : config_.in_sync_min;
    CANDOR_TRY(door, replication::spawn_replication(
                         around_.system,
                         {around_.db, around_.keys, *coordinator_, promises_, around_.time,
                          [shards = around_.shards, written = chronicle_](shard_id shard,
                                                                          const auto& config) {
                            if (shards->leader(shard).empty() || !planted(bug::stale_map))
                              shards->set_leader(shard, config.primary.node);
                            written->config(shard, config);
                            look_again(*shards);
                          },
                          around_.look_at_disk,
                          [failed = around_.failed](const error& why) {
                            failed(tl::unexpected<error>{database_damaged(why)});
                          },
                          around_.edges.make_worker},
                         std::move(options)));
    door_ = door;
    return {};
  }

  const replication::write_door& door() const override { return door_; }
  std::shared_ptr<const cluster_events> events() const override { return events_; }
  membership::membership_handle membership() const override { return membership_; }

  result<void> join(const std::string& url, caf::actor node_door) override {
    if (!is_alone()) {
      CANDOR_TRY_VOID(open_links(std::move(node_door)));
      CANDOR_TRY_VOID(open_beacons());
    }
    spawn_membership(url);
    return {};
  }

  void stop() override {
    if (links_)
      links_->stop();
    if (beacons_)
      beacons_->stop();
    if (membership_)
      caf::anon_send_exit(membership_, caf::exit_reason::user_shutdown);
    if (door_.actor)
      caf::anon_send_exit(door_.actor, caf::exit_reason::user_shutdown);
    membership_ = nullptr;
    door_ = {};
    std::lock_guard guard{peers_guard_};
    links_.reset();
    beacons_.reset();
  }

private:
  /// Nobody catches up from the log of a node that is alone.
  static constexpr std::uint64_t alone_log_kept_bytes = 1u << 20;

  bool is_alone() const { return config_.cluster.empty(); }

  static void look_again(const shard_directory& shards) {
    if (auto router = shards.primary(0))
      caf::anon_send(caf::actor_cast<caf::actor>(router), retry_atom_v);
  }

  result<void> open_coordinator() {
    if (is_alone()) {
      coordinator_ = coordination::make_local_coordinator(around_.db);
      return {};
    }
    if (around_.edges.make_coordinator) {
      CANDOR_TRY(made, around_.edges.make_coordinator());
      coordinator_ = std::move(made);
      return {};
    }
    coordination::etcd_options options;
    options.endpoints = config_.etcd;
    options.tls = {config_.etcd_ca, config_.etcd_certificate, config_.etcd_key};
    options.prefix = "candor/" + config_.cluster + "/";
    CANDOR_TRY(made, coordination::make_etcd_coordinator(options));
    coordinator_ = std::move(made);
    return {};
  }

  result<void> open_links(caf::actor node_door) {
    transport::link_options options;
    options.name = config_.name;
    options.incarnation = incarnation_;
    options.cluster = config_.cluster;
    options.listen = config_.node_address;
    options.ca = config_.node_ca;
    options.certificate = config_.node_certificate;
    options.key = config_.node_key;
    auto tell = [shards = around_.shards, replication = door_.actor](const std::string& peer,
                                                                     caf::actor door) {
      shards->set_door(peer, door);
      caf::anon_send(replication,
                     replication::peer_seen_ptr{std::make_shared<const replication::peer_seen>(
                         replication::peer_seen{peer, std::move(door)})});
      look_again(*shards);
    };
    transport::link_callbacks callbacks;
    callbacks.on_up = [tell, written = chronicle_](const std::string& peer, std::uint64_t,
                                                   const caf::strong_actor_ptr& door) {
      log::info("cluster", "linked to {}", peer);
      written->link_up(peer);
      tell(peer, caf::actor_cast<caf::actor>(door));
    };
    callbacks.on_down = [tell, written = chronicle_](const std::string& peer,
                                                     const std::string& why) {
      written->link_down(peer, why);
      log::info("cluster", "the link to {} is down: {}", peer, why);
      tell(peer, nullptr);
    };
    CANDOR_TRY(opened, around_.edges.start_links
                           ? around_.edges.start_links(std::move(node_door), std::move(options),
                                                       std::move(callbacks))
                           : transport::links::start(around_.system, std::move(node_door),
                                                     std::move(options), std::move(callbacks)));
    links_ = std::move(opened);
    return {};
  }

  result<void> open_beacons() {
    transport::beacon_options options;
    options.name = config_.name;
    options.incarnation = incarnation_;
    options.cluster = config_.cluster;
    options.listen = config_.node_address;
    options.secret = around_.secrets.cluster_secret;
    transport::beacon_callbacks callbacks;
    callbacks.compose = [this](const std::string& peer, millis now) {
      return promises_->compose(peer, now);
    };
    callbacks.receive = [this](const std::string& peer, std::uint64_t, std::string_view payload,
                               millis now) {
      heard_.note(peer, now);
      return promises_->receive(peer, payload, now);
    };
    CANDOR_TRY(opened, around_.edges.start_beacons
                           ? around_.edges.start_beacons(std::move(options), std::move(callbacks))
                           : transport::beacons::start(around_.time, std::move(options),
                                                       std::move(callbacks)));
    beacons_ = std::move(opened);
    return {};
  }

  void set_peers(const std::map<std::string, std::string>& peers) {
    std::lock_guard guard{peers_guard_};
    if (!links_ || !beacons_)
      return; // alone, or on its way out
    if (auto set = links_->set_peers(peers); !set)
      log::error("cluster", "links: {}", set.error().to_string());
    if (auto set = beacons_->set_peers(peers); !set)
      log::error("cluster", "beacons: {}", set.error().to_string());
  }

  void spawn_membership(const std::string& url) {
    membership::participant_options options;
    options.self.name = config_.name;
    options.self.disk_id = self_.disk_id;
    options.self.incarnation = std::to_string(incarnation_);
    options.self.address = config_.node_address;
    options.self.http = config_.advertise.empty() ? url : config_.advertise;
    options.self.zone = config_.zone;
    options.self.started_at = around_.time.now();
    options.shards = {config_.shards};
    options.replicas = is_alone() ? 1 : config_.replicas;
    options.in_sync_min = is_alone() ? 1 : config_.in_sync_min;
    options.cluster_nodes = is_alone() ? 1 : config_.cluster_nodes;
    options.alone = is_alone();
    membership::participant_surroundings around{
        *coordinator_,
        around_.time,
        [this](const std::string& node) {
          return heard_.within(node, around_.time.monotonic(), heard_within);
        },
        [this](std::map<std::string, std::string> peers) { set_peers(peers); },
        [replication = door_.actor,
         written = chronicle_](std::vector<replication::shard_wanted> wanted) {
          for (const auto& w : wanted)
            written->wanted(w.shard, w.members);
          caf::anon_send(replication,
                         replication::shards_wanted_ptr{
                             std::make_shared<const std::vector<replication::shard_wanted>>(
                                 std::move(wanted))});
        },
        [replication = door_.actor](std::vector<replication::config_seen> seen) {
          caf::anon_send(
              replication,
              replication::configs_seen_ptr{
                  std::make_shared<const std::vector<replication::config_seen>>(std::move(seen))});
        },
        {},
        [disk = door_.disk] { return *disk != disk_room::ample; },
        [progress = door_.progress](shard_id shard) {
          return (*progress)[shard].holds.load(std::memory_order_relaxed);
        },
        [written = chronicle_](const sharding::node_record& record) { written->node(record); },
        [written = chronicle_](bool answers) { written->coordinator(answers); },
        [written = chronicle_](const std::string& node) { written->placement_leader(node); }};
    membership_ = membership::spawn_membership(
        around_.system, std::move(options), std::move(around),
        [this](const error& why) { around_.failed(tl::unexpected<error>{why}); });
  }

  config::node_config config_;
  beneath_the_rooms around_;
  sharding::member self_;
  std::uint64_t incarnation_ = 0;
  std::unique_ptr<coordination::coordinator> coordinator_;
  std::shared_ptr<replication::leases> promises_;
  std::shared_ptr<cluster_events> events_;
  std::shared_ptr<chronicle> chronicle_; ///< refers to the clock, which outlives all of this
  replication::write_door door_;
  last_heard heard_;
  std::mutex peers_guard_; ///< the membership's thread names peers while another stops the node
  std::unique_ptr<transport::links> links_;
  std::unique_ptr<transport::beacons> beacons_;
  membership::membership_handle membership_;
};

} // namespace

void cluster_side::configure(caf::actor_system_config& system) {
  transport::configure(system);
}

error database_damaged(const error& why) {
  return {why.code, "this node's database is damaged (docs/operate.md): " + why.detail};
}

result<std::unique_ptr<cluster_side>> cluster_side::open(const config::node_config& config,
                                                         beneath_the_rooms around) {
  auto side = std::make_unique<joined_side>(config, std::move(around));
  CANDOR_TRY_VOID(side->open());
  return std::unique_ptr<cluster_side>{std::move(side)};
}

} // namespace candor::supervision
