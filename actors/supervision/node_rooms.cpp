#include "actors/supervision/node_rooms.hpp"

#include <map>

#include "actors/ad_matching/ad_matching_actor.hpp"
#include "actors/admin/admin_actor.hpp"
#include "actors/catalogue/catalogue_actor.hpp"
#include "actors/ingestion/ingestion_actor.hpp"
#include "actors/notification/notification_actor.hpp"
#include "actors/policy/policy_actor.hpp"
#include "actors/profile/profile_actor.hpp"
#include "actors/recommendation/recommendation_actor.hpp"
#include "actors/routing/node_door_actor.hpp"
#include "actors/routing/router_actor.hpp"
#include "actors/supervision/config/mail.hpp"
#include "actors/transcription/transcription_actor.hpp"
#include "cluster/transport/spawn_waiting.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/engine/damage_watch.hpp"

namespace candor::supervision {

namespace {

constexpr std::size_t ingestion_actors = 2;
constexpr std::size_t ad_matching_actors = 2;
constexpr std::size_t restarts_max = 100; ///< of profile actors, in the life of a process

/// Watches the rooms. Owns nothing else.
class supervisor_actor final : public caf::event_based_actor {
public:
  using respawn = std::function<profile_handle(shard_id)>;

  supervisor_actor(caf::actor_config& config, std::shared_ptr<shard_directory> shards,
                   respawn make_profile, std::vector<caf::actor> others,
                   std::function<void(result<void>)> failed)
    : caf::event_based_actor{config}
    , shards_{std::move(shards)}
    , make_profile_{std::move(make_profile)}
    , failed_{std::move(failed)}
    , restarts_{metrics::counter("candor_supervision_restarts_total", "Rooms started anew.")} {
    for (std::size_t i = 0; i < shards_->size(); ++i)
      watch(static_cast<shard_id>(i));
    for (const auto& room : others)
      monitor(room);
    set_down_handler([this](caf::down_msg& down) { react(down); });
  }

  caf::behavior make_behavior() override {
    return {[this](const caf::actor& room) { monitor(room); }};
  }

private:
  void watch(shard_id shard) {
    auto profile = shards_->here(shard);
    monitor(profile);
    profiles_[profile.address()] = shard;
  }

  void react(const caf::down_msg& down) {
    auto it = profiles_.find(down.source);
    if (it == profiles_.end() || ++restarted_ > restarts_max)
      return failed_(fail(errc::internal, "a room of this node failed for good"));
    auto shard = it->second;
    profiles_.erase(it);
    restarts_.Increment();
    log::error("supervision", "the profile actor of shard={} failed and is started anew", shard);
    shards_->set(shard, make_profile_(shard));
    watch(shard);
  }

  std::shared_ptr<shard_directory> shards_;
  respawn make_profile_;
  std::function<void(result<void>)> failed_;
  prometheus::Counter& restarts_;
  std::map<caf::actor_addr, shard_id> profiles_;
  std::size_t restarted_ = 0;
};

result<admin::topics_reloaded> reload(topic_filter::live_filter& filter) {
  CANDOR_TRY(done, filter.reload());
  return admin::topics_reloaded{std::move(done.before), std::move(done.now)};
}

class rooms_of_node final : public node_rooms {
public:
  rooms_of_node(const config::node_config& config, node_ground ground)
    : config_{config}
    , ground_{std::move(ground)}
    , count_{config.shards}
    , ad_index_{transport::is_simulated(ground_.system)
                    ? ad_matching::catalogue_index::no_thread
                    : ad_matching::catalogue_index::at_once_most} {
    if (config_.cluster.empty())
      return; // there is no other copy: what can be read is better read
    watched_ = engine::watch_for_damage(ground_.db, [stop = ground_.stop_asked](const error& why) {
      stop(tl::unexpected<error>{database_damaged(why)});
    });
  }

  result<void> open() {
    shards_ = std::make_shared<shard_directory>(count_, config_.name);
    for (std::uint16_t i = 0; i < count_.value; ++i)
      shards_->set_leader(i, {}); // as the coordinator will say
    CANDOR_TRY(opened, cluster_side::open(config_, {ground_.system, db(), ground_.keys,
                                                    ground_.secrets, ground_.time, ground_.random,
                                                    shards_, ground_.look_at_disk,
                                                    ground_.stop_asked, ground_.edges}));
    cluster_ = std::move(opened);
    return {};
  }

  void spawn() override {
    auto& system = ground_.system;
    const auto& files = ground_.files;
    auto& time = ground_.time;
    auto where = [&secrets = ground_.secrets, count = count_](const user_id& user) {
      return stores::derive_storage_key(secrets, user).shard(count);
    };
    auto make_profile = [this, where](shard_id shard) {
      return profile::spawn_profile_actor(ground_.system, shard,
                                          {db(), ground_.keys, ground_.secrets,
                                           ground_.files.regions, ground_.time, ground_.random},
                                          {shards_, where}, cluster_->door());
    };
    for (std::uint16_t i = 0; i < count_.value; ++i)
      shards_->set(i, make_profile(i));
    shards_->set_router(routing::spawn_router_actor(system, shards_, time));
    policy_ = policy::spawn_policy_actor(system, {shards_, files.regions, time}, files.policies,
                                         ground_.activated);
    notification_ = notification::spawn_notification_actor(
        system, {shards_, policy_, files.regions, time, where, config_.notices, config_.app,
                 config_.link, config::sender_of(config_), ground_.make_mailer});

    ingestion::transcription_door hearing;
    if (!config_.transcriber.empty()) {
      auto options = transcriber_of(config_);
      hearing = {transcription::spawn_transcription_actor(system, options), options.patience()};
      rooms_.transcription = hearing.room;
    }
    for (std::size_t i = 0; i < ingestion_actors; ++i)
      rooms_.ingestion.push_back(
          ingestion::spawn_ingestion_actor(system, shards_, ground_.filter, where, hearing));
    rooms_.catalogue = catalogue::spawn_catalogue_actor(
        system, shards_, [this](const auto& change) { return ad_index_.follow(change); }, content_,
        time);
    for (std::size_t i = 0; i < ad_matching_actors; ++i)
      rooms_.ad_matching.push_back(ad_matching::spawn_ad_matching_actor(
          system, {shards_, where, ad_index_, time, ground_.random}));
    rooms_.recommendation =
        recommendation::spawn_recommendation_actor(system, {shards_, where, content_, time});
    rooms_.shards = shards_;
    rooms_.events = cluster_->events();
    rooms_.notification = notification_;
    rooms_.admin = admin::spawn_admin_actor(
        system, {shards_, policy_, notification_, db(), time, ground_.random, where, config_.name,
                 CANDOR_VERSION, config_.data.string(), [stop = ground_.stop_asked] { stop({}); },
                 [filter = ground_.filter] { return reload(*filter); }, config_.cluster,
                 config_.etcd, membership_, cluster_->door().actor, config_.disk_low_bytes,
                 [disk = cluster_->door().disk] { return *disk != disk_room::ample; }});

    auto others = all_but_profiles();
    others.push_back(caf::actor_cast<caf::actor>(cluster_->door().actor));
    others.push_back(caf::actor_cast<caf::actor>(shards_->primary(0)));
    supervisor_ = system.spawn<supervisor_actor>(shards_, make_profile, std::move(others),
                                                 ground_.stop_asked);
  }

  result<void> join(const std::string& url) override {
    behind_ = std::make_shared<routing::door_rooms>();
    behind_->put({shards_, std::make_shared<const rooms>(rooms_), cluster_->door().actor});
    if (!config_.cluster.empty())
      node_door_ = routing::spawn_node_door_actor(ground_.system, behind_);
    CANDOR_TRY_VOID(cluster_->join(url, node_door_));
    *membership_ = cluster_->membership();
    for (const auto& room : {caf::actor_cast<caf::actor>(node_door_),
                             caf::actor_cast<caf::actor>(cluster_->membership())})
      if (room)
        caf::anon_send(supervisor_, room);
    return {};
  }

  void end_rooms() override {
    if (supervisor_)
      caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
    for (const auto& room : all_but_profiles())
      caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
    for (const auto& room : profiles())
      caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
  }

  void end_cluster_side() override {
    rooms_ = {};
    supervisor_ = nullptr;
    notification_ = nullptr;
    policy_ = nullptr;
    cluster_->stop();
    if (node_door_)
      caf::anon_send_exit(node_door_, caf::exit_reason::user_shutdown);
    node_door_ = nullptr;
    if (behind_)
      behind_->put({});
    *membership_ = nullptr;
    caf::anon_send_exit(shards_->primary(0), caf::exit_reason::user_shutdown);
    shards_->clear();
  }

  const rooms& doors() const override { return rooms_; }
  std::shared_ptr<const shard_directory> shards() const override { return shards_; }
  const cluster_side& cluster() const override { return *cluster_; }
  policy_handle policy() const override { return policy_; }

  std::vector<caf::actor> actors() const override {
    std::vector<caf::actor> all;
    auto add = [&](const auto& handle) {
      if (handle)
        all.push_back(caf::actor_cast<caf::actor>(handle));
    };
    add(supervisor_);
    for (const auto& room : profiles())
      add(room);
    for (const auto& room : all_but_profiles())
      add(room);
    add(shards_->primary(0)); // the router
    add(node_door_);
    add(cluster_->door().actor);
    add(cluster_->membership());
    return all;
  }

private:
  engine::engine& db() const { return watched_ ? *watched_ : ground_.db; }

  std::vector<caf::actor> profiles() const {
    std::vector<caf::actor> all;
    for (std::size_t i = 0; i < shards_->size(); ++i)
      if (auto room = shards_->here(static_cast<shard_id>(i)))
        all.push_back(caf::actor_cast<caf::actor>(room));
    return all;
  }

  std::vector<caf::actor> all_but_profiles() const {
    std::vector<caf::actor> all;
    auto add = [&](const auto& handle) {
      if (handle)
        all.push_back(caf::actor_cast<caf::actor>(handle));
    };
    for (const auto& room : rooms_.ingestion)
      add(room);
    for (const auto& room : rooms_.ad_matching)
      add(room);
    add(rooms_.transcription);
    add(rooms_.recommendation);
    add(rooms_.catalogue);
    add(rooms_.admin);
    add(notification_);
    add(policy_);
    return all;
  }

  config::node_config config_;
  node_ground ground_;
  std::unique_ptr<engine::engine> watched_;
  shard_count count_;
  std::shared_ptr<shard_directory> shards_;
  std::unique_ptr<cluster_side> cluster_;
  /// Filled when the node has joined: rooms that are there before hold the place.
  std::shared_ptr<membership::membership_handle> membership_ =
      std::make_shared<membership::membership_handle>();
  std::shared_ptr<routing::door_rooms> behind_;
  caf::actor node_door_;
  ad_matching::catalogue_index ad_index_;
  model::content_shelf content_;
  policy_handle policy_;
  notification_handle notification_;
  rooms rooms_;
  caf::actor supervisor_;
};

} // namespace

transcription::transcriber_options transcriber_of(const config::node_config& config) {
  transcription::transcriber_options made;
  made.command = config.transcriber;
  made.deadline = config.transcriber_deadline;
  made.at_once = config.transcriber_at_once;
  return made;
}

result<std::unique_ptr<node_rooms>> node_rooms::open(const config::node_config& config,
                                                     node_ground ground) {
  auto made = std::make_unique<rooms_of_node>(config, std::move(ground));
  CANDOR_TRY_VOID(made->open());
  return std::unique_ptr<node_rooms>{std::move(made)};
}

} // namespace candor::supervision
