#include "actors/supervision/node.hpp"

#include <future>

#include <caf/all.hpp>
#include <fmt/format.h>

#include "actors/gateway/gateway.hpp"
#include "actors/messages/messages.hpp"
#include "actors/supervision/config/mail.hpp"
#include "actors/supervision/node_rooms.hpp"
#include "actors/topic_filter/hook.hpp"
#include "actors/topic_filter/live_filter.hpp"
#include "storage/base/log.hpp"
#include "storage/base/metrics.hpp"
#include "storage/engine/disk_faults.hpp"
#include "storage/stores/disk_watch.hpp"

namespace candor::supervision {

namespace {

using namespace std::chrono_literals;

constexpr auto activation_deadline = 60s;
constexpr auto leaving_deadline = 3s; ///< nobody may be there to take what is led here

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

class running_node final : public node {
public:
  explicit running_node(std::function<void(result<void>)> stop_asked)
    : stop_asked_{std::move(stop_asked)} {}

  ~running_node() override { stop(); }

  result<void> start(const config::node_config& config) {
    CANDOR_TRY_VOID(open_storage(config));
    system_config_ = std::make_unique<system_config>(!alone_);
    system_ = std::make_unique<caf::actor_system>(*system_config_);
    CANDOR_TRY_VOID(open_clock(config));
    auto activated = open_rooms(config);
    if (!activated)
      return tl::unexpected<error>{activated.error()};
    rooms_->spawn();
    CANDOR_TRY_VOID(open_gateway(config));
    CANDOR_TRY_VOID(rooms_->join(url_));
    if (!alone_)
      return {}; // it is ready as soon as the cluster is
    if (activated->wait_for(activation_deadline) != std::future_status::ready)
      return fail(errc::timed_out, "not every shard has logged the policies");
    return activated->get();
  }

  std::string url() const override { return url_; }
  std::string operators_url() const override { return operators_url_; }
  timestamp now() const override { return clock_->now(); }
  const rooms& doors() const override { return rooms_->doors(); }
  caf::actor_system& system() override { return *system_; }
  shard_id shard_of(const user_id& user) const override {
    return stores::derive_storage_key(secrets_, user).shard(count_);
  }

  void stop() override {
    if (gateway_) {
      leave_cluster();
      gateway_->stop();
    }
    if (rooms_)
      rooms_->end_rooms();
    {
      std::lock_guard guard{ready_mutex_};
      gateway_.reset();
    }
    if (rooms_)
      rooms_->end_cluster_side();
    system_.reset(); // waits for every actor's end
    rooms_.reset();
  }

private:
  /// So that no other node waits for this one once it is gone. Requests are served meanwhile.
  void leave_cluster() {
    if (alone_)
      return;
    caf::scoped_actor self{*system_};
    self->request(rooms_->cluster().door().actor, leaving_deadline, replication::leave_atom_v)
        .receive([](replication::left_atom) {},
                 [](const caf::error&) {
                   log::warn("supervision", "not every shard could be left to another node");
                 });
  }

  result<void> open_storage(const config::node_config& config) {
    alone_ = config.cluster.empty();
    CANDOR_TRY(files, config::check(config));
    files_ = std::move(files);
    CANDOR_TRY_VOID(config::check_mail(config, files_));
    CANDOR_TRY_VOID(open_filter(config));

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

  result<void> open_filter(const config::node_config& config) {
    auto model = config.topics_model == "none" ? std::filesystem::path{} : config.topics_model;
    CANDOR_TRY(filter, topic_filter::live_filter::open({config.lexicon, model}));
    filter_ = std::move(filter);
    if (config.topics_hook.empty())
      return {};
    CANDOR_TRY(also, topic_filter::hook::start(
                         {config.topics_hook, std::chrono::milliseconds{config.topics_hook_ms}}));
    filter_->set_hook(std::move(also));
    return {};
  }

  result<void> open_clock(const config::node_config& config) {
    count_ = {config.shards};
    clock_ = config.settable_clock ? make_settable_clock() : make_system_clock();
    if (config.clock_start)
      CANDOR_TRY_VOID(clock_->set(*config.clock_start));
    if (config.settable_clock)
      CANDOR_TRY_VOID(continue_clock());
    return {};
  }

  result<std::future<result<void>>> open_rooms(const config::node_config& config) {
    auto outcome = std::make_shared<std::promise<result<void>>>();
    auto activated = outcome->get_future();
    CANDOR_TRY(opened, node_rooms::open(config, {*system_,
                                                 *db_,
                                                 *keys_,
                                                 secrets_,
                                                 *clock_,
                                                 *random_,
                                                 files_,
                                                 filter_,
                                                 mailer_of(config),
                                                 [this] { return look_at_disk(); },
                                                 {},
                                                 [this, outcome](result<void> how) {
                                                   if (how)
                                                     set_ready();
                                                   else if (!alone_)
                                                     stop_asked_(how); // `start` has returned
                                                   outcome->set_value(std::move(how));
                                                 },
                                                 stop_asked_}));
    rooms_ = std::move(opened);
    return activated;
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

  /// Nothing where no server is named. `check_mail` made sure that the options are good.
  std::function<std::unique_ptr<notification::mailer>()>
  mailer_of(const config::node_config& config) const {
    if (config.smtp_host.empty())
      return {};
    return [options = config::smtp_of(config, files_)] {
      auto made = notification::make_smtp_mailer(options);
      CANDOR_ASSERT(made);
      return std::move(*made);
    };
  }

  result<void> open_gateway(const config::node_config& config) {
    gateway::gateway_config settings;
    settings.http = {config.http.address, config.http.port};
    if (config.admin)
      settings.operators = {config.admin->address, config.admin->port};
    settings.tls_certificate = config.tls_certificate.string();
    settings.tls_key = config.tls_key.string();
    for (const auto& key : config.keys)
      settings.keys.push_back({key.name, key.role, key.hash});
    settings.user_token_secret = files_.user_token_secret;
    settings.regions = files_.regions;
    settings.shard_of = [this](const user_id& user) { return shard_of(user); };
    settings.low_on_disk = [disk = rooms_->cluster().door().disk] {
      return *disk != disk_room::ample;
    };
    if (!config.transcriber.empty())
      settings.hearing_patience = transcriber_of(config).patience();
    CANDOR_TRY(opened,
               gateway::gateway::start(*system_, rooms_->doors(), std::move(settings), *clock_));
    {
      std::lock_guard guard{ready_mutex_};
      gateway_ = std::move(opened);
      gateway_->set_ready(ready_);
    }
    url_ = config::url_of(config, {config.http.address, gateway_->port()});
    operators_url_ = config::url_of(
        config, {config.admin.value_or(config.http).address, gateway_->operators_port()});
    return {};
  }

  /// From the policy room's thread, perhaps before there is a gateway.
  void set_ready() {
    std::lock_guard guard{ready_mutex_};
    ready_ = true;
    if (gateway_)
      gateway_->set_ready(true);
  }

  std::function<void(result<void>)> stop_asked_;
  config::checked files_;
  std::shared_ptr<topic_filter::live_filter> filter_;
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
  std::unique_ptr<node_rooms> rooms_;
  std::mutex ready_mutex_; ///< guards the next two where the node runs
  std::unique_ptr<gateway::gateway> gateway_;
  bool ready_ = false;
  std::string url_, operators_url_;
};

} // namespace

result<std::unique_ptr<node>> start_node(const config::node_config& config,
                                         std::function<void(result<void>)> stop_asked) {
  auto made = std::make_unique<running_node>(std::move(stop_asked));
  CANDOR_TRY_VOID(made->start(config));
  return std::unique_ptr<node>{std::move(made)};
}

} // namespace candor::supervision
