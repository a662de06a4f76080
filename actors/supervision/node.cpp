#include "actors/supervision/node.hpp"

#include <future>
#include <map>

#include <caf/all.hpp>
#include <fmt/format.h>

#include "actors/ad_matching/ad_matching_actor.hpp"
#include "actors/admin/admin_actor.hpp"
#include "actors/catalogue/catalogue_actor.hpp"
#include "actors/gateway/gateway.hpp"
#include "actors/ingestion/ingestion_actor.hpp"
#include "actors/messages/messages.hpp"
#include "actors/notification/notification_actor.hpp"
#include "actors/policy/policy_actor.hpp"
#include "actors/profile/profile_actor.hpp"
#include "actors/recommendation/recommendation_actor.hpp"
#include "actors/routing/node_door_actor.hpp"
#include "actors/routing/router_actor.hpp"
#include "actors/supervision/cluster_side.hpp"
#include "actors/topic_filter/filter.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/engine/disk_faults.hpp"
#include "storage/stores/disk_watch.hpp"
#include "storage/stores/durable_file.hpp"

namespace candor::supervision {

namespace {

using namespace std::chrono_literals;

constexpr auto activation_deadline = 60s;
constexpr std::size_t ingestion_actors = 2;
constexpr std::size_t ad_matching_actors = 2;
constexpr std::size_t restarts_max = 100; ///< of profile actors, in the life of a process

struct system_config : caf::actor_system_config {
  explicit system_config(bool in_cluster) {
    add_message_types<caf::id_block::candor_transport>();
    add_message_types<caf::id_block::candor_cluster>();
    add_message_types<caf::id_block::candor_membership>();
    add_message_types<caf::id_block::candor>();
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::max(2u, std::thread::hardware_concurrency()));
    if (in_cluster)
      cluster_side::configure(*this);
  }
};

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
    return {[](tick_atom) {}};
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

class running_node final : public node {
public:
  explicit running_node(std::function<void(result<void>)> stop_asked)
    : stop_asked_{std::move(stop_asked)} {}

  ~running_node() override { stop(); }

  result<void> start(const config::node_config& config) {
    CANDOR_TRY_VOID(open_storage(config));
    system_config_ = std::make_unique<system_config>(!alone_);
    system_ = std::make_unique<caf::actor_system>(*system_config_);
    CANDOR_TRY_VOID(open_log(config));
    auto activated = spawn_rooms(config);
    CANDOR_TRY_VOID(open_gateway(config));
    CANDOR_TRY_VOID(join());
    if (!alone_)
      return {}; // it is ready as soon as the cluster is
    if (activated.wait_for(activation_deadline) != std::future_status::ready)
      return fail(errc::timed_out, "not every shard has logged the policies");
    return activated.get();
  }

  std::string url() const override { return url_; }
  timestamp now() const override { return clock_->now(); }
  const rooms& doors() const override { return rooms_; }
  caf::actor_system& system() override { return *system_; }
  shard_id shard_of(const user_id& user) const override {
    return stores::derive_storage_key(secrets_, user).shard(count_);
  }

  void stop() override {
    if (gateway_)
      gateway_->stop();
    if (supervisor_)
      caf::anon_send_exit(supervisor_, caf::exit_reason::user_shutdown);
    for (const auto& room : all_rooms())
      caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
    {
      std::lock_guard guard{ready_mutex_};
      gateway_.reset();
    }
    rooms_ = {};
    supervisor_ = nullptr;
    notification_ = nullptr;
    policy_ = nullptr;
    if (cluster_)
      cluster_->stop();
    if (node_door_)
      caf::anon_send_exit(node_door_, caf::exit_reason::user_shutdown);
    node_door_ = nullptr;
    if (behind_)
      behind_->put({});
    *membership_ = nullptr;
    if (shards_) {
      caf::anon_send_exit(shards_->primary(0), caf::exit_reason::user_shutdown);
      shards_->clear();
    }
    shards_.reset();
    system_.reset(); // waits for every actor's end
    cluster_.reset();
  }

private:
  result<void> open_storage(const config::node_config& config) {
    alone_ = config.cluster.empty();
    CANDOR_TRY(files, config::check(config));
    files_ = std::move(files);
    CANDOR_TRY_VOID(check_mail(config));
    CANDOR_TRY(filter, topic_filter::filter::load(config.lexicon));
    filter_ = std::move(filter);

    std::error_code ec;
    std::filesystem::create_directories(config.data, ec);
    if (ec)
      return fail(errc::io_failed, config.data.string() + ": " + ec.message());
    std::filesystem::permissions(config.data, std::filesystem::perms::owner_all, ec);
    disk_ = std::make_unique<stores::disk_watch>(
        config.data, stores::disk_marks{config.disk_low_bytes, config.disk_reserve_bytes});
    disk_->look(); // what follows may need what is set aside
    CANDOR_TRY(secrets, stores::load_or_make_secrets(config.data / "keys"));
    secrets_ = secrets;
    CANDOR_TRY(keys, stores::open_user_keys(config.data / "keys", secrets_));
    keys_ = std::move(keys);
    if (!config.testing_disk_faults.empty())
      engine::make_disks_faulty(config.testing_disk_faults);
    CANDOR_TRY(db, engine::open_rocksdb(config.data / "db", {config.block_cache_bytes}));
    db_ = std::move(db);
    return {};
  }

  result<void> open_log(const config::node_config& config) {
    count_ = {config.shards};
    clock_ = config.settable_clock ? make_settable_clock() : make_system_clock();
    if (config.clock_start)
      CANDOR_TRY_VOID(clock_->set(*config.clock_start));
    if (config.settable_clock)
      CANDOR_TRY_VOID(continue_clock());
    shards_ = std::make_shared<shard_directory>(count_, config.name);
    for (std::uint16_t i = 0; i < count_.value; ++i)
      shards_->set_leader(i, {}); // as the coordinator will say
    CANDOR_TRY(opened, cluster_side::open(
                           config, {*system_, *db_, *keys_, secrets_, *clock_, *random_, shards_,
                                    [this] { return look_at_disk(); }, stop_asked_}));
    cluster_ = std::move(opened);
    return {};
  }

  disk_room look_at_disk() {
    auto room = disk_->look();
    disk_free_.Set(static_cast<double>(disk_->free_bytes()));
    disk_low_.Set(room == disk_room::ample ? 0 : 1);
    return room;
  }

  /// A settable clock goes on where the shards' logs stand.
  result<void> continue_clock() {
    std::optional<timestamp> latest;
    for (std::uint16_t i = 0; i < count_.value; ++i) {
      CANDOR_TRY(found, replication::read_shard(*db_, i));
      auto last = found.unapplied.empty() ? found.applied.time : found.unapplied.back().time;
      if (found.end.seq > 0)
        latest = std::max(latest, std::optional{last});
    }
    return latest ? clock_->set(*latest) : result<void>{};
  }

  /// From here on other nodes may ask.
  result<void> join() {
    behind_ = std::make_shared<routing::door_rooms>();
    behind_->put({shards_, std::make_shared<const rooms>(rooms_), cluster_->door().actor});
    if (!alone_)
      node_door_ = routing::spawn_node_door_actor(*system_, behind_);
    CANDOR_TRY_VOID(cluster_->join(url_, node_door_));
    *membership_ = cluster_->membership();
    return {};
  }

  std::future<result<void>> spawn_rooms(const config::node_config& config) {
    auto where = [this](const user_id& user) { return shard_of(user); };
    auto make_profile = [this, where](shard_id shard) {
      return profile::spawn_profile_actor(
          *system_, shard, {*db_, *keys_, secrets_, files_.regions, *clock_, *random_},
          {shards_, where}, cluster_->door());
    };
    for (std::uint16_t i = 0; i < count_.value; ++i)
      shards_->set(i, make_profile(i));
    shards_->set_router(routing::spawn_router_actor(*system_, shards_));

    auto outcome = std::make_shared<std::promise<result<void>>>();
    auto activated = outcome->get_future();
    policy_ = policy::spawn_policy_actor(
        *system_, {shards_, files_.regions, *clock_}, files_.policies,
        [this, outcome](result<void> how) {
          if (how)
            set_ready();
          else if (!alone_)
            stop_asked_(how); // `start` has returned already
          outcome->set_value(std::move(how));
        });

    notification_ = notification::spawn_notification_actor(
        *system_, {shards_, policy_, files_.regions, *clock_, where, config.notices, config.app,
                   config.link, sender_of(config), mailer_of(config)});

    for (std::size_t i = 0; i < ingestion_actors; ++i)
      rooms_.ingestion.push_back(
          ingestion::spawn_ingestion_actor(*system_, shards_, filter_, where));
    rooms_.catalogue = catalogue::spawn_catalogue_actor(*system_, shards_, shelf_, *clock_);
    for (std::size_t i = 0; i < ad_matching_actors; ++i)
      rooms_.ad_matching.push_back(ad_matching::spawn_ad_matching_actor(
          *system_, {shards_, where, shelf_, *clock_, *random_}));
    rooms_.recommendation =
        recommendation::spawn_recommendation_actor(*system_, {shards_, where, shelf_, *clock_});
    rooms_.shards = shards_;
    rooms_.events = cluster_->events();
    rooms_.notification = notification_;
    rooms_.admin = admin::spawn_admin_actor(
        *system_, {shards_, policy_, notification_, *db_, *clock_, *random_, where, config.name,
                   CANDOR_VERSION, config.data.string(), [this] { stop_asked_({}); }, config.cluster,
                   config.etcd, membership_, cluster_->door().actor});

    std::vector<caf::actor> others{
        caf::actor_cast<caf::actor>(policy_), caf::actor_cast<caf::actor>(notification_),
        caf::actor_cast<caf::actor>(rooms_.admin),
        caf::actor_cast<caf::actor>(cluster_->door().actor),
        caf::actor_cast<caf::actor>(shards_->primary(0))};
    others.push_back(caf::actor_cast<caf::actor>(rooms_.catalogue));
    others.push_back(caf::actor_cast<caf::actor>(rooms_.recommendation));
    for (const auto& room : rooms_.ingestion)
      others.push_back(caf::actor_cast<caf::actor>(room));
    for (const auto& room : rooms_.ad_matching)
      others.push_back(caf::actor_cast<caf::actor>(room));
    supervisor_ =
        system_->spawn<supervisor_actor>(shards_, make_profile, std::move(others), stop_asked_);
    return activated;
  }

  static notification::sender sender_of(const config::node_config& config) {
    return {config.mail_from, config.app, config.mail_from.substr(config.mail_from.rfind('@') + 1)};
  }

  notification::smtp_options smtp_of(const config::node_config& config) const {
    using encryption = notification::smtp_options::encryption;
    notification::smtp_options o;
    o.host = config.smtp_host;
    o.port = config.smtp_port;
    o.tls = config.smtp_tls == "none"       ? encryption::none
            : config.smtp_tls == "implicit" ? encryption::implicit
                                            : encryption::starttls;
    o.user = config.smtp_user;
    o.password = files_.smtp_password;
    o.greeting = sender_of(config).domain;
    return o;
  }

  /// Nothing where no server is named. `check_mail` made sure that the options are good.
  std::function<std::unique_ptr<notification::mailer>()>
  mailer_of(const config::node_config& config) const {
    if (config.smtp_host.empty())
      return {};
    return [options = smtp_of(config)] {
      auto made = notification::make_smtp_mailer(options);
      CANDOR_ASSERT(made);
      return std::move(*made);
    };
  }

  result<void> check_mail(const config::node_config& config) const {
    if (!notification::is_address(config.mail_from))
      return fail(errc::config_invalid, "mail_from is not an e-mail address");
    if (!config.smtp_host.empty())
      if (auto made = notification::make_smtp_mailer(smtp_of(config)); !made)
        return tl::unexpected<error>{made.error()};
    return {};
  }

  result<void> open_gateway(const config::node_config& config) {
    gateway::gateway_config settings;
    settings.address = config.http_address;
    settings.port = config.http_port;
    settings.tls_certificate = config.tls_certificate;
    settings.tls_key = config.tls_key;
    for (const auto& key : config.keys)
      settings.keys.push_back({key.name, key.role, key.hash});
    settings.user_token_secret = files_.user_token_secret;
    settings.regions = files_.regions;
    settings.shard_of = [this](const user_id& user) { return shard_of(user); };
    settings.low_on_disk = [disk = cluster_->door().disk] { return *disk != disk_room::ample; };
    CANDOR_TRY(opened, gateway::gateway::start(*system_, rooms_, std::move(settings), *clock_));
    {
      std::lock_guard guard{ready_mutex_};
      gateway_ = std::move(opened);
      gateway_->set_ready(ready_);
    }
    url_ = fmt::format("{}://{}:{}", config.tls_certificate.empty() ? "http" : "https",
                       config.http_address, gateway_->port());
    return {};
  }

  /// From the policy room's thread, perhaps before there is a gateway.
  void set_ready() {
    std::lock_guard guard{ready_mutex_};
    ready_ = true;
    if (gateway_)
      gateway_->set_ready(true);
  }

  std::vector<caf::actor> all_rooms() const {
    std::vector<caf::actor> all;
    auto add = [&](const auto& handle) {
      if (handle)
        all.push_back(caf::actor_cast<caf::actor>(handle));
    };
    for (const auto& room : rooms_.ingestion)
      add(room);
    for (const auto& room : rooms_.ad_matching)
      add(room);
    add(rooms_.recommendation);
    add(rooms_.catalogue);
    add(rooms_.admin);
    add(notification_);
    add(policy_);
    if (shards_)
      for (std::size_t i = 0; i < shards_->size(); ++i)
        add(shards_->here(static_cast<shard_id>(i)));
    return all;
  }

  std::function<void(result<void>)> stop_asked_;
  config::checked files_;
  std::shared_ptr<const topic_filter::filter> filter_;
  stores::node_secrets secrets_;
  shard_count count_;
  std::unique_ptr<rng> random_ = make_system_rng();
  std::unique_ptr<clock> clock_;
  std::unique_ptr<stores::disk_watch> disk_;
  prometheus::Gauge& disk_free_ =
      metrics::gauge("candor_disk_free_bytes", "Free on the disk of the data folder.");
  prometheus::Gauge& disk_low_ =
      metrics::gauge("candor_disk_low", "1: below its mark, so that no new data is taken.");
  std::unique_ptr<stores::user_keys> keys_;
  std::unique_ptr<engine::engine> db_;
  bool alone_ = true; ///< no cluster
  std::unique_ptr<system_config> system_config_;
  std::unique_ptr<caf::actor_system> system_;
  std::unique_ptr<cluster_side> cluster_;
  /// Filled when the node has joined: rooms that are there before hold the place.
  std::shared_ptr<membership::membership_handle> membership_ =
      std::make_shared<membership::membership_handle>();
  std::shared_ptr<routing::door_rooms> behind_;
  caf::actor node_door_;
  model::catalogue_shelf shelf_;
  std::shared_ptr<shard_directory> shards_;
  policy_handle policy_;
  notification_handle notification_;
  rooms rooms_;
  caf::actor supervisor_;
  std::mutex ready_mutex_; ///< guards the next two where the node runs
  std::unique_ptr<gateway::gateway> gateway_;
  bool ready_ = false;
  std::string url_;
};

} // namespace

result<std::unique_ptr<node>> start_node(const config::node_config& config,
                                         std::function<void(result<void>)> stop_asked) {
  auto made = std::make_unique<running_node>(std::move(stop_asked));
  CANDOR_TRY_VOID(made->start(config));
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace candor::supervision
