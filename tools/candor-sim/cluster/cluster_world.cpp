#include "tools/candor-sim/cluster/cluster_world.hpp"

#include <algorithm>
#include <map>
#include <ranges>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/engine/keys.hpp"
#include "storage/model/campaign.hpp"
#include "storage/model/user_record.hpp"
#include "storage/stores/audit_log.hpp"
#include "tools/candor-sim/cluster/process.hpp"

namespace candor::sim {

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t ms = 1000, second = 1'000'000;
constexpr std::int64_t forms_within_us = 30 * second;
constexpr std::int64_t settles_within_us = 90 * second;
constexpr std::int64_t told_within_us = 60 * second; ///< of the same: a round goes each second
constexpr std::int64_t gives_up_within_us = 2 * second;
constexpr std::int64_t clock_step_us = 3600 * second;
constexpr std::int64_t takeover_us = 2 * second; ///< of which a shard's log knows nothing
constexpr std::int64_t old_us = 24 * 3600 * second - clock_step_us / 2;
constexpr std::int64_t drains_within_us = 6 * second; ///< where nothing else goes wrong
constexpr auto client_deadline = 8s;
constexpr std::int64_t clock_slack_us = 200 * ms; ///< between any two clocks
constexpr std::int64_t in_us(std::chrono::microseconds span) {
  return span.count();
}
constexpr std::int64_t session_behind_us = in_us(limits::session_age) + clock_slack_us;
constexpr std::int64_t campaign_budget = 600'000;    ///< micros: some thirty ads
constexpr model::topic_id liked = 9, spoken_of = 15; ///< food, outdoors

/// Does nothing by itself: the world asks in its name.
class client_actor final : public caf::event_based_actor {
public:
  using caf::event_based_actor::event_based_actor;
  const char* name() const override { return "client"; }
  caf::behavior make_behavior() override {
    return {[](tick_atom) {}};
  }
};

struct counted {
  std::uint32_t sent = 0, acknowledged = 0;
};

using by_source = std::array<std::uint32_t, model::source_count>;

/// What one person's client has seen so far: it reads and writes in one session.
struct session_of {
  session_token token;
  by_source least{};                        ///< events that it knows to be there
  bool known = false, gone = false;         ///< that the person is there; that they were erased
  std::int64_t known_us = -1, gone_us = -1; ///< since when anybody may know
  std::vector<std::pair<std::int64_t, std::size_t>> acknowledged; ///< when, of which source
};

struct person_seen {
  std::string id, email, region;
  bool created = false;
  counted by_source[model::source_count];
  std::set<std::string> pending; ///< events
  bool erase_asked = false, erased = false;
  std::optional<receipt> proof;
  std::optional<stores::key_ref> key; ///< as it was when the erasure was asked for
  std::int64_t told_from_us = -1;     ///< the earliest that a notice may have reached them
  std::int64_t told_by_us = -1;       ///< when one had, for sure
  session_of session;
};

struct campaign_seen {
  std::string id;
  bool stored = false;
  std::int64_t placed_micros = 0; ///< of the ads that clients were given
};

struct said_event {
  std::string id;
  std::size_t person = 0;
  model::event_kind kind = model::event_kind::engagement;
  bool sensitive = false;
  std::int64_t at_us = 0; ///< its own time
  int tries = 0;
  bool repeated = false; ///< it was acknowledged before
};

std::string policy_text(const policy_plan& p, timestamp load_begins) {
  std::string excluded;
  for (const auto& e : p.excluded)
    excluded += fmt::format("{}\"{}\"", excluded.empty() ? "" : ", ", e);
  auto effective = load_begins + millis{p.effective_us / 1000};
  return fmt::format(R"(id = "simulated"
version = "{}"
notice_revision = 1
announce_at = {}
effective_at = {}
audience = "everyone"
minimum_age = 18
unknown_age = "adult"
opt_out = "none"
require_notice = true
notice_lead = "0d"
excluded_regions = [{}]
purge_grace = "30d"
sensitive_extra = []

[uses]
ads = ["ai", "engagement"]
content = ["ai", "engagement"]

[decay]
half_life = "30d"
retention = "400d"

[notices]
channels = ["in_app", "email"]
complete_by = {}
rate_per_second = 500
templates = "notices/ai-interactions"
)",
                     p.version, format_time(effective - std::chrono::days{60}),
                     format_time(effective), excluded, format_time(effective));
}

} // namespace

class cluster_files {
public:
  std::filesystem::path configs;
  model::region_table regions;
  std::shared_ptr<topic_filter::live_filter> filter;
};

std::shared_ptr<const cluster_files> load_cluster_files(const std::filesystem::path& configs) {
  auto all = std::make_shared<cluster_files>();
  all->configs = configs;
  auto text = config::read_file(configs / "regions.toml", limits::config_file_bytes);
  CANDOR_ASSERT(text);
  auto regions = model::region_table::parse(*text, "regions.toml");
  CANDOR_ASSERT(regions);
  all->regions = std::move(*regions);
  auto filter = topic_filter::live_filter::open({configs / "lexicon", {}});
  CANDOR_ASSERT(filter);
  all->filter = std::move(*filter);
  return all;
}

namespace {

class cluster_world {
public:
  cluster_world(const scenario& what, const cluster_files& files, const cluster_options& options)
    : what_{what}
    , files_{files}
    , options_{options}
    , on_{options.seed}
    , names_{node_names(what.nodes)}
    , net_{on_, names_, what.network}
    , coordinator_{on_, coordinator_quality{0, 0, what.coordinator.delay_least_us,
                                            what.coordinator.delay_most_us}}
    , post_{on_, what.post}
    , folder_{fmt::format("/dev/shm/candor-sim-{}", ::getpid())}
    , ground_{on_,
              net_,
              coordinator_,
              post_,
              what_,
              checked_,
              secrets_,
              files.filter,
              folder_,
              files.configs / "notices",
              [this](int node, const error& why) { ended(node, why); }} {
    std::filesystem::remove_all(folder_);
    seed_sodium(options.seed);
    for (auto& byte : secrets_.master_key)
      byte = static_cast<std::uint8_t>(on_.chance().next());
    for (auto& byte : secrets_.cluster_secret)
      byte = static_cast<std::uint8_t>(on_.chance().next());
    load_us_ = options.load_us.value_or(what.load_us);
    load_begins_ = what.starts_at + 10s;
    checked_.regions = files.regions;
    for (const auto& p : what.policies)
      if (p.applied_us < 0) {
        auto parsed = model::parse_policy(policy_text(p, load_begins_), "policy", files.regions);
        if (!parsed)
          log::error("sim", "policy: {}", parsed.error().to_string());
        CANDOR_ASSERT(parsed);
        checked_.policies.push_back(std::move(*parsed));
      }
    if (options.messages)
      on_.on_message = [this](int node, const std::string& actor, const std::string& message) {
        row(node, fmt::format("{} <- {}", actor, message.substr(0, 100)));
      };
    coordinator_.on_change = [this](const std::string& key, const std::string& value) {
      configured(key, value);
    };
    post_.on_taken = [this](const std::string& id, const std::string& address) {
      ++found_.mails;
      for (auto& p : persons_)
        if (p.email == address && p.told_from_us < 0)
          p.told_from_us = on_.now_us();
      row(no_node, fmt::format("mail {} to {} is taken", id, address));
    };
    auto handle = on_.system().spawn<client_actor>();
    client_handle_ = handle;
    client_ = static_cast<client_actor*>(caf::actor_cast<caf::abstract_actor*>(handle));
    for (int i = 0; i < what.nodes; ++i)
      nodes_.push_back(std::make_unique<simulated_node>(ground_, i));
    for (auto& n : nodes_)
      n->storage.on_corrupt = [this, &n] { must_give_up(*n); };
  }

  ~cluster_world() {
    on_.kill(no_node, {client_handle_}); // the first: what it hears is about what is here
    client_handle_ = nullptr;
    for (auto& n : nodes_)
      n->crash();
    std::error_code ec;
    std::filesystem::remove_all(folder_, ec);
  }

  cluster_outcome run() {
    beat();
    for (auto& n : nodes_)
      on_.at(on_.between(0, 300 * ms), [this, &n] { start(*n); });
    make_persons();
    form();
    if (!over())
      bear_load();
    if (!over())
      settle();
    if (!over())
      check_all();
    found_.simulated_us = on_.now_us();
    found_.messages = on_.messages();
    for (auto& n : nodes_)
      for (std::uint16_t s = 0; s < what_.shards; ++s)
        on_.mix(digest_of(n->storage.present(), s));
    on_.mix(found_.violated);
    found_.hash = on_.hash();
    return std::move(found_);
  }

private:
  static std::vector<std::string> node_names(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i)
      names.push_back(fmt::format("n{}", i + 1));
    return names;
  }

  // -- telling -----------------------------------------------------------------------------------

  bool over() const { return !found_.violated.empty(); }

  void row(int node, std::string what) {
    if (options_.trace)
      found_.rows.push_back({on_.now_us() - load_from_us_,
                             node < 0 ? "-" : names_[static_cast<std::size_t>(node)],
                             std::move(what)});
  }

  void violate(const std::string& rule, const std::string& detail) {
    if (over())
      return;
    row(no_node, fmt::format("VIOLATED: {}: {}", rule, detail));
    found_.violated = rule;
    found_.detail = detail;
    found_.violated_us = on_.now_us() - load_from_us_;
    on_.stop();
  }

  timestamp wall(std::int64_t us) const { return what_.starts_at + millis{us / 1000}; }

  // -- nodes -------------------------------------------------------------------------------------

  void start(simulated_node& n) {
    if (over() || n.alive())
      return;
    row(n.number(), "starts");
    auto started = n.start();
    if (!started && started.error().code == errc::corrupt && n.storage.spoilt())
      return put_new_disk_in(n);
    if (!started)
      violate("a node starts from what is on its disk",
              fmt::format("{}: {}", n.name(), started.error().to_string()));
  }

  void ended(int node, const error& why) {
    auto& n = *nodes_[static_cast<std::size_t>(node)];
    if (why.code != errc::corrupt || !n.storage.spoilt())
      return violate("no room of a node ends for good",
                     fmt::format("{}: {}", n.name(), why.to_string()));
    on_.after(0, [this, &n, life = n.life()] {
      if (n.alive() && n.life() == life)
        put_new_disk_in(n);
    });
  }

  /// As an operator would, of a node that gave its damaged disk up.
  void put_new_disk_in(simulated_node& n) {
    if (over())
      return;
    row(n.number(), "gave its disk up");
    ++disturbances_;
    ++found_.given_up;
    n.wipe();
    on_.after(on_.between(300, 3000) * ms, [this, &n] { start(n); });
  }

  /// A process was told that a row of its disk is not what was written.
  void must_give_up(simulated_node& n) {
    if (std::exchange(told_corrupt_[n.number()], n.life()) != n.life())
      on_.after(gives_up_within_us, [this, &n, life = n.life()] { gave_up(n, life); });
  }

  void gave_up(simulated_node& n, std::uint64_t life) {
    if (over() || !n.alive() || n.life() != life)
      return;
    if (n.disk_hangs || n.standing) // nobody hears of it yet
      return on_.after(gives_up_within_us, [this, &n, life] { gave_up(n, life); });
    violate("a damaged copy is given up", n.name());
  }

  /// Asks in its name from outside of its handlers: where it last ran is gone.
  client_actor& client() {
    client_->context(on_.system().dummy_execution_unit());
    return *client_;
  }

  /// What a simulated network does by itself.
  void beat() {
    on_.after(100 * ms, [this] {
      net_.round();
      beat();
    });
  }

  simulated_node* some_node() {
    std::vector<simulated_node*> alive;
    for (auto& n : nodes_)
      if (n->alive())
        alive.push_back(n.get());
    return alive.empty() ? nullptr : alive[on_.below(alive.size())];
  }

  shard_id shard_of(const std::string& user) const {
    return stores::derive_storage_key(secrets_, *user_id::parse(user)).shard({what_.shards});
  }

  void configured(const std::string& key, const std::string& value) {
    auto shard = sharding::shard_of_key(key);
    auto config = sharding::shard_config_from_json(value);
    if (!shard || !config)
      return;
    auto& known = configs_[*shard];
    if (known.term != config->term) {
      ++found_.leaderships;
      ++disturbances_;
    }
    if (known.term != config->term || known.in_sync != config->in_sync) {
      std::string members;
      for (const auto& m : config->in_sync)
        members += " " + m.node;
      row(no_node, fmt::format("shard {}: {} leads in term {}, in sync:{}", *shard,
                               config->primary.node, config->term, members));
    }
    known = *config;
  }

  // -- persons -----------------------------------------------------------------------------------

  void make_persons() {
    for (int i = 0; i < what_.load.persons; ++i) {
      person_seen p;
      p.id = fmt::format("person-{}", i);
      p.email = fmt::format("p{}@example.org", i);
      p.region = i % 5 == 4 ? "GB" : "US";
      persons_.push_back(std::move(p));
    }
    for (int i = 0; i < what_.load.campaigns; ++i)
      campaigns_.push_back({fmt::format("campaign-{}", i)});
    spent_.resize(campaigns_.size());
    lent_.resize(campaigns_.size());
  }

  std::size_t early() const {
    return persons_.size() - std::min(persons_.size(), static_cast<std::size_t>(what_.load.late));
  }

  /// Until every person who is early is known to the cluster.
  void form() {
    for (std::size_t i = 0; i < early(); ++i)
      on_.at(500 * ms + static_cast<std::int64_t>(i) * ms, [this, i] { put_person(i); });
    for (std::size_t i = 0; i < campaigns_.size(); ++i)
      on_.at(800 * ms + static_cast<std::int64_t>(i) * ms, [this, i] { put_campaign(i); });
    auto formed = [this] {
      return std::ranges::all_of(persons_ | std::views::take(early()), &person_seen::created) &&
             std::ranges::all_of(campaigns_, &campaign_seen::stored);
    };
    while (!over() && on_.now_us() < forms_within_us && !formed())
      on_.run_until(on_.now_us() + 100 * ms);
    if (!over() && !formed())
      violate("a new cluster serves", "not every person could be put within 30 s");
    if (over())
      return;
    // Times of a scenario count from here, the policies' from 10 s.
    on_.run_until(std::max<std::int64_t>(on_.now_us(), 10 * second));
    load_from_us_ = on_.now_us();
  }

  void put_person(std::size_t i) {
    auto& p = persons_[i];
    if (p.created || p.erase_asked)
      return;
    auto again = [this, i] { on_.after(on_.between(50, 200) * ms, [this, i] { put_person(i); }); };
    auto n = some_node();
    if (!n)
      return again();
    model::user_details d;
    d.region = model::region_code{{p.region[0], p.region[1]}};
    d.region_since = wall(0) - std::chrono::days{1000};
    d.email = p.email;
    d.lang = "en";
    auto shard = shard_of(p.id);
    client()
        .request(n->shards()->primary(shard), client_deadline,
                 put_user{shard, p.id, model::encode(d), "sim"})
        .then(
            [this, i](const user_stored& stored) {
              persons_[i].created = true;
              auto& s = persons_[i].session;
              join(s.token, stored.seen);
              s.known = true;
              s.known_us = on_.now_us();
              // Whoever is asked now has to know, on either side of whatever is cut.
              for (int k = 0; k < 4; ++k)
                on_.after(on_.between(1, 60 * ms), [this, i] { read(i); });
            },
            [again](const caf::error&) { again(); });
  }

  // -- the load ----------------------------------------------------------------------------------

  void every(double per_second, std::function<void()> what) {
    if (per_second <= 0)
      return;
    auto mean = static_cast<std::int64_t>(1e6 / per_second);
    on_.after(on_.between(1, 2 * mean), [this, per_second, what] {
      if (on_.now_us() >= load_from_us_ + load_us_ || over())
        return;
      what();
      every(per_second, what);
    });
  }

  void bear_load() {
    coordinator_.set_quality(what_.coordinator);
    every(what_.load.events_per_second, [this] { say_something(); });
    every(what_.load.reads_per_second, [this] { read(on_.below(persons_.size())); });
    every(what_.load.inbox_per_second, [this] { look_into_inbox(on_.below(persons_.size())); });
    every(what_.load.ads_per_second, [this] { ask_for_ad(); });
    every(what_.load.sessions_per_second,
          [this] { read_in_session(on_.below(persons_.size()), on_.happens(0.8)); });
    every(what_.load.rebalances_per_second, [this] { rebalance(); });
    for (std::size_t i = early(); i < persons_.size(); ++i)
      on_.after(on_.between(0, load_us_), [this, i] { put_person(i); });
    for (int i = 0; i < what_.load.erasures; ++i)
      on_.after(on_.between(load_us_ / 4, load_us_), [this] { erase_somebody(); });
    for (const auto& p : what_.policies)
      if (p.applied_us >= 0)
        on_.at(load_from_us_ + p.applied_us, [this, &p] { put_policy_file(p); });
    found_.faults = options_.faults.value_or(draw_faults(what_, options_.seed));
    for (const auto& f : found_.faults)
      if (f.at_us < load_us_)
        on_.at(load_from_us_ + f.at_us, [this, f] { begin(f); });
    on_.run_until(load_from_us_ + load_us_);
  }

  void say_something() {
    auto i = on_.below(persons_.size());
    auto& p = persons_[i];
    if (p.erase_asked || !p.created)
      return;
    said_event e;
    e.id = fmt::format("e{}", ++found_.events);
    e.person = i;
    e.at_us = on_.now_us();
    if (on_.happens(what_.load.assistant_share)) {
      e.kind = model::event_kind::ai_interaction;
      e.sensitive = on_.happens(what_.load.sensitive_share);
      if (what_.load.old_share > 0 && on_.happens(what_.load.old_share))
        e.at_us -= on_.between(0, 10 * second);
    } else if (what_.load.old_share > 0 && on_.happens(what_.load.old_share)) {
      e.at_us -= old_us;
    }
    p.pending.insert(e.id);
    if (!e.sensitive)
      ++p.by_source[source_of(e)].sent;
    send(std::move(e));
  }

  static std::size_t source_of(const said_event& e) {
    return static_cast<std::size_t>(e.kind == model::event_kind::ai_interaction
                                        ? model::source::ai
                                        : model::source::engagement);
  }

  void send_later(said_event e) {
    on_.after(on_.between(50, 500) * ms,
              [this, e = std::move(e)]() mutable { send(std::move(e)); });
  }

  void send(said_event e) {
    auto n = some_node();
    if (!n)
      return send_later(std::move(e));
    ++e.tries;
    model::event made{e.id, *user_id::parse(persons_[e.person].id), wall(e.at_us), e.kind};
    if (e.kind == model::event_kind::ai_interaction)
      made.utterance = model::raw_utterance{e.sensitive ? "i prayed in the church"
                                                        : "we went hiking in the mountains"};
    else
      made.object_topics = {liked};
    auto batch = std::make_shared<event_batch>();
    batch->events.push_back(std::move(made));
    batch->received = n->time().now();
    auto received_us = on_.now_us();
    const auto& rooms = n->doors().ingestion;
    client()
        .request(rooms[on_.below(rooms.size())], client_deadline, event_batch_ptr{batch})
        .then(
            [this, e, received_us, behind = behind_us(*n)](const verdicts& v) {
              for (const auto& token : v.seen)
                join(persons_[e.person].session.token, token);
              judged(e, received_us, behind, v.items.at(0), !v.seen.empty());
            },
            [this, e](const caf::error&) { send_later(e); });
  }

  std::int64_t behind_us(const simulated_node& n) const {
    return std::chrono::duration_cast<millis>(wall(on_.now_us()) - n.time().now()).count() * ms;
  }

  void judged(const said_event& e, std::int64_t received_us, std::int64_t behind_us,
              const model::verdict& v, bool has_token) {
    using enum model::status;
    if (v.status == unknown || v.status == overloaded)
      return send_later(e);
    auto& p = persons_[e.person];
    // What a node must say whose clock is behind. Who is told so asks again: it may have been
    // taken.
    auto seems_ahead = v.status == invalid && v.reason == "in_the_future" &&
                       behind_us + clock_slack_us > in_us(limits::future_tolerance);
    if (seems_ahead)
      return send_later(e);
    if (e.repeated) {
      if (v.status != duplicate && !p.erase_asked)
        violate("no event is applied twice",
                fmt::format("{} of {} was acknowledged, and is {} {} when it is sent again", e.id,
                            p.id, to_string(v.status), v.reason));
      return;
    }
    p.pending.erase(e.id);
    auto& count = p.by_source[source_of(e)];
    if (v.status == accepted || v.status == duplicate) {
      ++found_.acknowledged;
      if (e.sensitive)
        return violate("what is sensitive is withheld", e.id);
      ++count.acknowledged;
      if (!has_token)
        return violate("a session sees what it wrote", e.id + " was acknowledged without a token");
      auto& least = p.session.least[source_of(e)]; // a read may have shown it before
      least = std::max(least, count.acknowledged);
      p.session.acknowledged.emplace_back(on_.now_us(), source_of(e));
      if (what_.load.repeated_share > 0 && on_.happens(what_.load.repeated_share)) {
        auto again = e;
        again.repeated = true;
        on_.after(on_.between(100, 6000) * ms,
                  [this, again = std::move(again)]() mutable { send(std::move(again)); });
      }
      if (e.kind == model::event_kind::ai_interaction)
        check_learned(e, p);
      return;
    }
    if (!e.sensitive)
      --count.sent;
    ++found_.withheld;
    if (v.status == withheld && e.kind == model::event_kind::ai_interaction)
      return check_withheld(e, received_us, v.reason, p);
    violate("an event is refused only for a reason that holds",
            fmt::format("{} of {}: {} {}", e.id, p.id, to_string(v.status), v.reason));
  }

  /// Nothing that was said is learned before the date, or from who was not told.
  void check_learned(const said_event& e, const person_seen& p) {
    auto said = [&](std::string_view why) {
      violate("nothing is learned before the date, nor from who was not told",
              fmt::format("{} of {}: {}", e.id, p.id, why));
    };
    auto effective = std::ranges::any_of(what_.policies, [&](const policy_plan& plan) {
      return e.at_us + clock_slack_us >= effective_us(plan);
    });
    if (!effective)
      return said("no policy was in force");
    auto slack = clock_slack_us + (stepped_us_ > 0 ? takeover_us : 0);
    if (p.told_from_us < 0 || e.at_us + slack < p.told_from_us)
      return said("no notice had reached the person");
    for (const auto& plan : what_.policies)
      if (is_in_force(plan, e.at_us) && excludes(plan, p.region))
        said("the region is excluded");
  }

  std::int64_t effective_us(const policy_plan& p) const { return 10 * second + p.effective_us; }

  static bool excludes(const policy_plan& p, const std::string& region) {
    return std::ranges::find(p.excluded, region) != p.excluded.end();
  }

  /// For sure, on every clock, and no later one may be.
  bool is_in_force(const policy_plan& p, std::int64_t at_us) const {
    auto known = p.applied_us < 0 || (applied_us_.contains(p.version) &&
                                      applied_us_.at(p.version) + clock_slack_us < at_us);
    if (!known || effective_us(p) + clock_slack_us > at_us)
      return false;
    return std::ranges::none_of(what_.policies, [&](const policy_plan& other) {
      return effective_us(other) > effective_us(p) && effective_us(other) - clock_slack_us <= at_us;
    });
  }

  /// Where a node's clock is off by an hour, it may refuse what is right an hour earlier or later,
  /// and what a person was told then is stamped so. It may never learn what it must not.
  void check_withheld(const said_event& e, std::int64_t received_us, const std::string& reason,
                      const person_seen& p) {
    auto holds = true;
    if (reason == "policy_not_effective")
      holds = std::ranges::none_of(what_.policies, [&](const policy_plan& plan) {
        return is_in_force(plan, e.at_us) && is_in_force(plan, received_us - stepped_us_);
      });
    else if (reason == "not_notified")
      holds = p.told_by_us < 0 || e.at_us - clock_slack_us - stepped_us_ < p.told_by_us;
    else if (reason == "region_excluded")
      holds = std::ranges::any_of(what_.policies, [&](const policy_plan& plan) {
        return excludes(plan, p.region) &&
               effective_us(plan) - clock_slack_us <= received_us + stepped_us_;
      });
    else if (reason == "sensitive")
      holds = e.sensitive;
    else if (reason == "erased")
      holds = p.erase_asked;
    else
      holds = false;
    if (!holds)
      violate("an event is refused only for a reason that holds",
              fmt::format("{} of {}: {}", e.id, p.id, reason));
  }

  void read(std::size_t i, bool last = false) {
    auto n = some_node();
    if (!n || !persons_[i].created)
      return;
    auto& p = persons_[i];
    auto was_erased = p.erased;
    std::array<std::uint32_t, model::source_count> least{};
    for (std::size_t s = 0; s < least.size(); ++s)
      least[s] = p.by_source[s].acknowledged;
    auto shard = shard_of(p.id);
    client()
        .request(n->shards()->primary(shard), client_deadline, read_user{shard, p.id, false, {}})
        .then(
            [this, i, least, was_erased, last](const user_answer& answer) {
              ++found_.reads;
              auto& p = persons_[i];
              join(p.session.token, answer.seen);
              if (!answer.known) {
                if (!p.erase_asked)
                  violate("a strong read sees every acknowledged event", p.id + " is not known");
                final_reads_ += last;
                return;
              }
              if (was_erased)
                return violate("an erased person does not come back", p.id);
              auto record = model::decode_user_record(answer.record);
              if (!record)
                return violate("a record can be read", p.id);
              std::array<std::uint32_t, model::source_count> there{};
              for (const auto& interest : record->interests)
                there[static_cast<std::size_t>(interest.source)] += interest.events;
              for (std::size_t s = 0; s < least.size(); ++s) {
                const auto& count = p.by_source[s];
                auto where = fmt::format("{} ({}): {} events, {} were acknowledged, {} were sent",
                                         p.id, to_string(static_cast<model::source>(s)), there[s],
                                         least[s], count.sent);
                if (there[s] < least[s])
                  return violate("a strong read sees every acknowledged event", where);
                if (there[s] > count.sent || (last && there[s] > count.acknowledged))
                  return violate("no event is applied twice", where);
                p.session.least[s] = std::max(p.session.least[s], there[s]);
              }
              if (!last)
                return;
              if (!is_told(p, *record) && on_.now_us() < ended_us_ + told_within_us)
                return on_.after(500 * ms, [this, i] { read(i, true); });
              check_ledger(p, *record);
              ++final_reads_;
            },
            [this, i, last](const caf::error&) {
              if (last)
                on_.after(200 * ms, [this, i] { read(i, true); });
            });
  }

  /// Through any node; with the token of what this client has seen, or without.
  void read_in_session(std::size_t i, bool with_token) {
    auto n = some_node();
    auto& p = persons_[i];
    if (!n || p.session.known_us < 0)
      return;
    auto shard = shard_of(p.id);
    read_session asked{shard, p.id, {shard, 0, 0}};
    auto must = p.session;
    auto by_then = on_.now_us() - session_behind_us;
    if (with_token) {
      asked.seen = p.session.token;
    } else { // what anybody was acknowledged by then
      must.least = {};
      for (auto [at_us, source] : p.session.acknowledged)
        must.least[source] += at_us < by_then;
      must.known = p.session.known_us < by_then;
    }
    must.gone =
        (with_token && p.session.gone) || (p.session.gone_us >= 0 && p.session.gone_us < by_then);
    client()
        .request(n->shards()->primary(shard), client_deadline, asked)
        .then([this, i, must,
               asked](const user_answer& answer) { check_session(i, must, asked.seen, answer); },
              [](const caf::error&) {});
  }

  void check_session(std::size_t i, const session_of& must, const session_token& brought,
                     const user_answer& answer) {
    ++found_.session_reads;
    auto& p = persons_[i];
    auto said = [&](const std::string& what) {
      violate(brought.seq > 0 ? "a session sees what it wrote, and never goes back"
                              : "a session is at most three seconds behind",
              fmt::format("{} (token {}.{}, answered {}.{}): {}", p.id, brought.generation,
                          brought.seq, answer.seen.generation, answer.seen.seq, what));
    };
    if (std::pair{answer.seen.generation, answer.seen.seq} <
        std::pair{brought.generation, brought.seq})
      return said("the answer's token is an earlier one");
    join(p.session.token, answer.seen);
    if (!answer.known)
      return must.known && !p.erase_asked ? said("is not known") : void();
    if (must.gone)
      return said("was erased");
    auto record = model::decode_user_record(answer.record);
    if (!record)
      return violate("a record can be read", p.id);
    by_source there{};
    for (const auto& interest : record->interests)
      there[static_cast<std::size_t>(interest.source)] += interest.events;
    for (std::size_t s = 0; s < there.size(); ++s) {
      if (there[s] < must.least[s])
        return said(fmt::format("{} events of {}, and {} must be there", there[s],
                                to_string(static_cast<model::source>(s)), must.least[s]));
      if (there[s] > p.by_source[s].sent)
        return violate("no event is applied twice", p.id);
      p.session.least[s] = std::max(p.session.least[s], there[s]);
    }
  }

  void look_into_inbox(std::size_t i) {
    auto n = some_node();
    if (!n || !persons_[i].created || persons_[i].erase_asked)
      return;
    client()
        .request(n->doors().notification, client_deadline, fetch_inbox{persons_[i].id, {}})
        .then(
            [this, i](const inbox_shown& shown) {
              std::vector<std::string> unread;
              for (const auto& notice : shown.notices)
                if (notice.channel == "in_app" && notice.reached_ms < 0)
                  unread.push_back(notice.id);
              auto n = some_node();
              if (unread.empty() || !n || persons_[i].erase_asked)
                return;
              auto& p = persons_[i];
              if (p.told_from_us < 0)
                p.told_from_us = on_.now_us();
              client()
                  .request(n->doors().notification, client_deadline, fetch_inbox{p.id, unread})
                  .then(
                      [this, i](const inbox_shown&) {
                        if (persons_[i].told_by_us < 0)
                          persons_[i].told_by_us = on_.now_us();
                      },
                      [](const caf::error&) {});
            },
            [](const caf::error&) {});
  }

  // -- erasures ----------------------------------------------------------------------------------

  void erase_somebody() {
    std::vector<std::size_t> idle;
    for (std::size_t i = 0; i < persons_.size(); ++i)
      if (persons_[i].created && !persons_[i].erase_asked && persons_[i].pending.empty())
        idle.push_back(i);
    if (idle.empty())
      return;
    auto i = idle[on_.below(idle.size())];
    auto& p = persons_[i];
    p.erase_asked = true;
    auto who = stores::derive_storage_key(secrets_, *user_id::parse(p.id));
    auto row_key = engine::user_key(shard_of(p.id), who, engine::user_row::key_ref);
    for (const auto& n : nodes_)
      if (auto bytes = n->storage.present().get(engine::table::user, row_key); bytes && *bytes)
        p.key = stores::key_ref{engine::read_big_endian(**bytes, 8),
                                static_cast<std::uint16_t>(engine::read_big_endian(
                                    std::string_view{**bytes}.substr(8), 2))};
    row(no_node, p.id + " asks to be erased");
    on_.after(second, [this, i] { erase(i); });
  }

  void erase(std::size_t i) {
    auto again = [this, i] { on_.after(on_.between(100, 400) * ms, [this, i] { erase(i); }); };
    auto n = some_node();
    if (!n)
      return again();
    auto shard = shard_of(persons_[i].id);
    client()
        .request(n->shards()->primary(shard), client_deadline,
                 candor::erase_user{shard, persons_[i].id, "sim"})
        .then(
            [this, i](const receipt& proof) {
              auto& p = persons_[i];
              p.erased = true;
              p.proof = proof;
              join(p.session.token, proof.seen);
              p.session.gone = true;
              p.session.gone_us = on_.now_us();
              ++found_.erased;
              row(no_node, p.id + " is erased");
            },
            [again](const caf::error&) { again(); });
  }

  // -- campaigns ---------------------------------------------------------------------------------

  void put_campaign(std::size_t i) {
    auto& c = campaigns_[i];
    auto again = [this, i] { on_.after(200 * ms, [this, i] { put_campaign(i); }); };
    auto n = some_node();
    if (!n)
      return again();
    model::campaign made;
    made.id = c.id;
    made.advertiser = "advertiser";
    made.bid_micros = 20'000 + static_cast<std::int64_t>(i) * 1000;
    made.quality = 128;
    made.total_micros = campaign_budget;
    made.daily_micros = what_.load.daily_micros > 0 ? what_.load.daily_micros : campaign_budget;
    made.from = what_.starts_at - 1h;
    made.to = what_.starts_at + 24h;
    made.creatives = {{"creative", "title", "body", "https://example.org"}};
    auto shard = shard_of(c.id);
    client()
        .request(n->shards()->primary(shard), client_deadline,
                 put_item{shard, static_cast<std::uint8_t>(model::item_kind::campaign), c.id,
                          model::encode(made), "sim"})
        .then([&c](const item_stored&) { c.stored = true; },
              [again](const caf::error&) { again(); });
  }

  void ask_for_ad() {
    auto n = some_node();
    if (!n)
      return;
    match_ads m;
    m.context.country = "US";
    const auto& rooms = n->doors().ad_matching;
    client()
        .request(rooms[on_.below(rooms.size())], client_deadline, m)
        .then(
            [this](const ads_matched& answer) {
              for (const auto& ad : answer.ads) {
                auto c = std::ranges::find(campaigns_, ad.campaign, &campaign_seen::id);
                if (c == campaigns_.end())
                  return violate("a decision names campaigns that are there", ad.campaign);
                ++found_.ads;
                c->placed_micros += ad.price_micros;
                if (c->placed_micros > spends_most())
                  return violate(
                      "a campaign spends no more than its budget",
                      fmt::format("{}: ads for {} were placed", c->id, c->placed_micros));
                if (on_.happens(0.5))
                  tell_shown(ad.impression);
              }
            },
            [](const caf::error&) {});
  }

  void tell_shown(const std::string& impression) {
    auto n = some_node();
    auto again = [this, impression] {
      on_.after(on_.between(100, 500) * ms, [this, impression] { tell_shown(impression); });
    };
    if (!n)
      return again();
    auto shard = static_cast<shard_id>(std::stoul(impression.substr(2, 4), nullptr, 16));
    client()
        .request(n->shards()->primary(shard), client_deadline,
                 ad_event{shard, {}, impression, ad_happening::impression})
        .then([](const ad_event_taken&) {},
              [this, again, impression](const caf::error& e) {
                auto why = from_caf(e);
                if (why.code == errc::not_found)
                  violate("what a decision reserved is there", impression);
                else
                  again();
              });
  }

  void read_spend_of(std::size_t i, shard_id shard) {
    auto again = [this, i, shard] {
      on_.after(200 * ms, [this, i, shard] { read_spend_of(i, shard); });
    };
    auto n = some_node();
    if (!n)
      return again();
    client()
        .request(n->shards()->primary(shard), client_deadline, read_spend{shard, campaigns_[i].id})
        .then(
            [this, i](const spend_read& read) {
              spent_[i] += read.reserved + read.settled;
              lent_[i] += read.lent - read.returned;
              ++spend_reads_;
            },
            [again](const caf::error&) { again(); });
  }

  /// A run touches two days at most, whatever a clock says: this one and the next, or the one
  /// before.
  std::int64_t spends_most() const {
    return what_.load.daily_micros > 0 ? std::min(campaign_budget, 2 * what_.load.daily_micros)
                                       : campaign_budget;
  }

  void check_budgets() {
    for (std::size_t i = 0; i < campaigns_.size(); ++i) {
      const auto& c = campaigns_[i];
      auto where = fmt::format("{}: {} spent, {} lent, {} placed, of {}", c.id, spent_[i], lent_[i],
                               c.placed_micros, campaign_budget);
      if (spent_[i] > spends_most() || lent_[i] > campaign_budget)
        return violate("a campaign spends no more than its budget", where);
      if (spent_[i] < c.placed_micros)
        return violate("what a decision reserved is there", where);
    }
  }

  // -- operators ---------------------------------------------------------------------------------

  /// Until it is done, or not wanted any more.
  void drain(int node, bool out) {
    if (over() || draining_.contains(node) != out)
      return;
    auto again = [this, node, out] {
      on_.after(on_.between(100, 500) * ms, [this, node, out] { drain(node, out); });
    };
    auto n = some_node();
    if (!n)
      return again();
    const auto& name = names_[static_cast<std::size_t>(node)];
    auto told = [this, again, node, out](const membership::changed_ptr& done) {
      if (!*done)
        return again();
      row(node, out ? "is to be drained" : "is taken back");
      if (!out)
        return;
      on_.after(drains_within_us, [this, node, faults = faults_seen_, drain = fault_numbers_] {
        if (!over() && draining_.contains(node) && !drained_.contains(node) &&
            faults == faults_seen_ && drain == fault_numbers_)
          violate("a node that is drained soon leads nothing",
                  names_[static_cast<std::size_t>(node)]);
      });
      wait_until_drained(node);
    };
    auto failed = [again](const caf::error&) { again(); };
    if (out)
      client()
          .request(n->membership(), client_deadline, membership::drain_atom_v, name)
          .then(told, failed);
    else
      client()
          .request(n->membership(), client_deadline, membership::undrain_atom_v, name)
          .then(told, failed);
  }

  /// As `drain --wait`, and then the operator restarts it: from then on nobody waits for it.
  void wait_until_drained(int node) {
    if (over() || !draining_.contains(node))
      return;
    auto again = [this, node] {
      on_.after(on_.between(50, 150) * ms, [this, node] { wait_until_drained(node); });
    };
    auto n = some_node();
    if (!n)
      return again();
    client()
        .request(n->membership(), client_deadline, membership::snapshot_atom_v)
        .then(
            [this, again, node](const membership::snapshot_ptr& seen) {
              const auto& name = names_[static_cast<std::size_t>(node)];
              auto of =
                  std::ranges::find(seen->nodes, name, [](const auto& x) { return x.record.name; });
              if (of == seen->nodes.end() || of->left.leads > 0 ||
                  seen->configs.size() < what_.shards || !draining_.contains(node))
                return again();
              ++found_.drained;
              ++faults_seen_;
              drained_.insert(node);
              row(node, "is drained, and restarted");
              auto& n = *nodes_[static_cast<std::size_t>(node)];
              n.crash();
              on_.after(on_.between(200, 1500) * ms, [this, &n] { start(n); });
            },
            [again](const caf::error&) { again(); });
  }

  void rebalance() {
    if (auto n = some_node())
      client()
          .request(n->membership(), client_deadline, membership::rebalance_atom_v, false)
          .then(
              [this](const membership::rebalanced_ptr& done) {
                if (*done)
                  row(no_node, fmt::format("{} shards are placed anew", (*done)->shards_written));
              },
              [](const caf::error&) {});
  }

  // -- policies ----------------------------------------------------------------------------------

  void put_policy_file(const policy_plan& p) {
    auto again = [this, &p] { on_.after(300 * ms, [this, &p] { put_policy_file(p); }); };
    auto n = some_node();
    if (!n)
      return again();
    client()
        .request(n->policy(), client_deadline,
                 put_policy{policy_text(p, load_begins_), p.version, "sim"})
        .then([this, &p](const acknowledged&) { apply_policy_version(p); },
              [again](const caf::error&) { again(); });
  }

  void apply_policy_version(const policy_plan& p) {
    auto again = [this, &p] { on_.after(300 * ms, [this, &p] { apply_policy_version(p); }); };
    auto n = some_node();
    if (!n)
      return again();
    client()
        .request(n->policy(), client_deadline, apply_version{p.version, true, "sim"})
        .then(
            [this, &p, again](const version_applied& how) {
              if (!how.missing.empty())
                return again();
              applied_us_[p.version] = on_.now_us();
              row(no_node, "policy " + p.version + " is applied");
            },
            [again](const caf::error&) { again(); });
  }

  // -- faults ------------------------------------------------------------------------------------

  int node_of(const fault& f) const {
    if (f.node != leader)
      return f.node % what_.nodes;
    auto leads = configs_.find(0);
    auto found = leads == configs_.end() ? names_.end()
                                         : std::ranges::find(names_, leads->second.primary.node);
    return found == names_.end() ? 0 : static_cast<int>(found - names_.begin());
  }

  void begin(const fault& f) {
    if (over())
      return;
    auto i = node_of(f);
    auto k = f.other % what_.nodes;
    if (k == i)
      k = (k + 1) % what_.nodes;
    auto& n = *nodes_[static_cast<std::size_t>(i)];
    ++faults_seen_;
    const auto& a = n.name();
    const auto& b = names_[static_cast<std::size_t>(k)];
    ++disturbances_;
    row(i, fmt::format("FAULT {} (other {}) for {} ms", name_of(f.kind), b, f.for_us / ms));
    auto ends = [&](std::function<void()> how) { end_after(f, i, std::move(how)); };
    auto cut_all = [this, i](bool is_cut) {
      for (const auto& other : names_)
        if (other != names_[static_cast<std::size_t>(i)]) {
          net_.cut(names_[static_cast<std::size_t>(i)], other, is_cut);
          net_.cut(other, names_[static_cast<std::size_t>(i)], is_cut);
        }
    };
    switch (f.kind) {
      case trouble::crash:
        n.crash();
        return ends([this, &n] { start(n); });
      case trouble::power_loss:
        for (auto& each : nodes_)
          each->crash();
        return ends([this] {
          for (auto& each : nodes_)
            start(*each);
        });
      case trouble::wipe: {
        // Two wiped disks at once are more than two copies in sync can bear.
        if (std::exchange(wiped_, true))
          return;
        n.wipe();
        return ends([this, &n] { start(n); });
      }
      case trouble::pause:
        if (!n.alive())
          return;
        on_.pause(i, true);
        n.standing = true;
        net_.pause(a, true);
        return ends([this, i, a, &n] {
          on_.pause(i, false);
          n.standing = false;
          net_.pause(a, false);
        });
      case trouble::isolate:
        cut_all(true);
        return ends([cut_all] { cut_all(false); });
      case trouble::cut_one_way:
        net_.cut(a, b, true);
        return ends([this, a, b] { net_.cut(a, b, false); });
      case trouble::bridge:
        net_.cut(a, b, true);
        net_.cut(b, a, true);
        return ends([this, a, b] {
          net_.cut(a, b, false);
          net_.cut(b, a, false);
        });
      case trouble::cut_beacons:
        net_.cut_beacons(a, b, true);
        net_.cut_beacons(b, a, true);
        return ends([this, a, b] {
          net_.cut_beacons(a, b, false);
          net_.cut_beacons(b, a, false);
        });
      case trouble::slow_network:
        net_.slow(a, on_.between(20, 200));
        return ends([this, a] { net_.slow(a, 1); });
      case trouble::slow_disk:
        n.disk_times = on_.between(10, 60);
        return ends([&n] { n.disk_times = 1; });
      case trouble::hang_disk:
        n.disk_hangs = true;
        return ends([&n] { n.disk_hangs = false; });
      case trouble::full_disk:
        n.storage.set_full(true);
        return ends([&n] { n.storage.set_full(false); });
      case trouble::cut_coordinator:
        coordinator_.set_reachable(a, false);
        return ends([this, a] { coordinator_.set_reachable(a, true); });
      case trouble::coordinator_down:
        coordinator_.set_up(false);
        return ends([this] { coordinator_.set_up(true); });
      case trouble::slow_coordinator:
        coordinator_.slow(on_.between(20, 150));
        return ends([this] { coordinator_.slow(1); });
      case trouble::lossy_coordinator:
        coordinator_.set_quality(
            {0.2, 0.2, what_.coordinator.delay_least_us, what_.coordinator.delay_most_us});
        return ends([this] { coordinator_.set_quality(what_.coordinator); });
      case trouble::post_away:
        post_.set_away(true);
        return ends([this] { post_.set_away(false); });
      case trouble::flip: {
        // More than one disk at a time is more than is promised against.
        if (spoilt_ != i && !all_copies_are_good())
          return;
        spoilt_ = i;
        wiped_ = true;
        auto rows = on_.between(1, 4);
        for (auto k = rows; k > 0; --k)
          n.storage.flip_some(on_.chance().next());
        return ends([&n] { n.storage.compact(); });
      }
      case trouble::wall_clock: {
        if (!stepped_.insert(i).second)
          return;
        stepped_us_ = clock_step_us;
        auto by = millis{(on_.happens(0.5) ? 1 : -1) * clock_step_us / ms};
        n.wall().step_wall(by);
        return ends([this, &n, i, by] {
          n.wall().step_wall(-by);
          stepped_.erase(i);
        });
      }
      case trouble::drain:
        if (!draining_.insert(i).second)
          return;
        drained_.erase(i);
        moved_ = true;
        drain(i, true);
        return ends([this, i] {
          draining_.erase(i);
          drain(i, false);
        });
    }
  }

  /// Every shard has all its copies, and no disk is spoilt.
  bool all_copies_are_good() {
    for (std::uint16_t s = 0; s < what_.shards; ++s) {
      if (configs_[s].in_sync.size() < std::min<std::size_t>(what_.replicas, nodes_.size()))
        return false;
      for (const auto& m : configs_[s].in_sync) // one that was wiped stands there for a moment
        if (auto found = replication::read_shard(node_named(m.node).storage.present(), s);
            !found || found->installing || found->applied.at.seq == 0)
          return false;
    }
    return std::ranges::none_of(nodes_, [](const auto& n) { return n->storage.spoilt(); });
  }

  void end_after(const fault& f, int node, std::function<void()> how) {
    auto number = ++fault_numbers_;
    open_faults_[number] = {node, f.kind, std::move(how)};
    on_.after(f.for_us, [this, number] { end_fault(number); });
  }

  void end_fault(std::uint64_t number) {
    auto open = open_faults_.find(number);
    if (open == open_faults_.end() || over())
      return;
    auto [node, kind, how] = std::move(open->second);
    open_faults_.erase(open);
    ++faults_seen_;
    row(node, fmt::format("{} ends", name_of(kind)));
    how();
  }

  // -- the end -----------------------------------------------------------------------------------

  void settle() {
    while (!open_faults_.empty())
      end_fault(open_faults_.begin()->first);
    coordinator_.set_quality(
        {0, 0, what_.coordinator.delay_least_us, what_.coordinator.delay_most_us});
    for (auto& n : nodes_) {
      start(*n);
      if (over())
        return;
    }
    row(no_node, "all faults are over");
    ended_us_ = on_.now_us();
    auto until = ended_us_ + settles_within_us;
    std::string missing = "-";
    while (!over() && on_.now_us() < until && !missing.empty()) {
      on_.run_until(on_.now_us() + 250 * ms);
      missing = unsettled();
    }
    if (!missing.empty())
      return violate("the cluster settles after its faults", missing);
    for (std::size_t i = 0; i < persons_.size(); ++i)
      read(i, true);
    for (std::size_t i = 0; i < campaigns_.size(); ++i)
      for (std::uint16_t s = 0; s < what_.shards; ++s)
        read_spend_of(i, s);
    auto all_read = [this] {
      return final_reads_ >= persons_.size() && spend_reads_ >= campaigns_.size() * what_.shards;
    };
    while (!over() && on_.now_us() < until && !all_read())
      on_.run_until(on_.now_us() + 100 * ms);
    if (!over() && !all_read())
      violate("the cluster settles after its faults", "not every person can be read");
  }

  /// What is still to be waited for; empty: nothing.
  std::string unsettled() {
    for (const auto& p : persons_) {
      if (!p.created)
        return p.id + " is not known";
      if (!p.pending.empty())
        return fmt::format("{} of {} has no verdict", *p.pending.begin(), p.id);
      if (p.erase_asked && !p.erased)
        return p.id + " is not erased";
    }
    for (const auto& p : what_.policies)
      if (p.applied_us >= 0 && p.applied_us < load_us_ && !applied_us_.contains(p.version))
        return "policy " + p.version + " is not applied";
    if (auto mails = mails_missing(); !mails.empty())
      return mails;
    for (std::uint16_t s = 0; s < what_.shards; ++s) {
      const auto& config = configs_[s];
      if (config.in_sync.size() < std::min<std::size_t>(what_.replicas, nodes_.size()))
        return fmt::format("shard {} has {} members in sync", s, config.in_sync.size());
      if (auto differ = compare(s); !differ.empty())
        return differ;
    }
    return {};
  }

  std::string mails_missing() const {
    // Of each person who is in the audience. A server that refuses for a while is asked again after
    // minutes: then they are not waited for.
    auto away = std::ranges::any_of(found_.faults,
                                    [](const fault& f) { return f.kind == trouble::post_away; });
    if (away || what_.post.deferred > 0 || what_.post.reply_lost > 0 || what_.post.refused > 0)
      return {};
    for (const auto& p : persons_) {
      if (p.erase_asked || excluded_sometime(p))
        continue;
      auto has = std::ranges::any_of(post_.all(),
                                     [&](const auto& m) { return m.second.address == p.email; });
      if (!has)
        return p.id + " has had no mail";
    }
    return {};
  }

  bool excluded_sometime(const person_seen& p) const {
    return std::ranges::any_of(what_.policies,
                               [&](const auto& plan) { return excludes(plan, p.region); });
  }

  const simulated_node& node_named(const std::string& name) const {
    return *nodes_.at(static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin()));
  }

  /// Whether the copies of a shard stand at the same entry with the same rows. Empty: they do.
  std::string compare(std::uint16_t s) {
    std::optional<std::uint64_t> seq, digest;
    for (const auto& m : configs_[s].in_sync) {
      const auto& db = node_named(m.node).storage.present();
      auto found = replication::read_shard(db, s);
      if (!found)
        return fmt::format("shard {} cannot be read on {}", s, m.node);
      auto here = digest_of(db, s);
      if (seq && *seq != found->applied.at.seq)
        return fmt::format("shard {} is not equally far everywhere", s);
      if (digest && *digest != here) {
        violate("copies of a shard are equal",
                fmt::format("shard {} at entry {} differs on {}", s, *seq, m.node));
        return "copies differ";
      }
      seq = found->applied.at.seq;
      digest = here;
    }
    return {};
  }

  void check_ledger(const person_seen& p, const model::user_record& record) {
    std::map<std::pair<std::string, int>, int> lines;
    for (const auto& n : record.notices) {
      if (++lines[{n.policy, static_cast<int>(n.channel)}] > 1)
        return violate("one notice a person, version and channel", p.id + ": the ledger has two");
      if (n.channel == model::channel::email && n.state == model::notice_state::sent &&
          !post_.all().contains(n.id))
        return violate("a notice that was sent was sent",
                       fmt::format("{}: mail {} stands in the ledger as sent, and the mail server "
                                   "never saw it",
                                   p.id, n.id));
    }
    for (const auto& [id, mail] : post_.all()) {
      if (mail.address != p.email)
        continue;
      if (std::ranges::find(record.notices, id, &model::notice::id) == record.notices.end())
        return violate(
            "a mail is sent only when its intent is recorded",
            fmt::format("{}: mail {} was sent, and no line of the ledger says so", p.id, id));
      if (mail.at_us.size() > 1 + mail.replies_lost + disturbances_)
        return violate("one notice a person, version and channel",
                       fmt::format("{}: mail {} was sent {} times", p.id, id, mail.at_us.size()));
    }
    if (!is_told(p, record))
      violate("everybody in the audience is told",
              fmt::format("{} has {} lines in the ledger", p.id, lines.size()));
  }

  /// Whoever is in the audience has a line for each channel.
  bool is_told(const person_seen& p, const model::user_record& record) const {
    std::set<std::pair<std::string, model::channel>> lines;
    for (const auto& n : record.notices)
      lines.insert({n.policy, n.channel});
    return lines.size() >= 2 || excluded_sometime(p);
  }

  void check_all() {
    check_budgets();
    for (std::uint16_t s = 0; s < what_.shards; ++s)
      for (const auto& m : configs_[s].in_sync)
        check_audit(node_named(m.node), s);
    for (const auto& p : persons_)
      if (p.erased)
        check_erased(p);
  }

  void check_audit(const simulated_node& n, std::uint16_t s) {
    auto head = stores::verify_audit(n.storage.present(), s);
    if (!head)
      return violate("the audit chain verifies",
                     fmt::format("shard {} on {}: {}", s, n.name(), head.error().to_string()));
    for (const auto& p : persons_) {
      if (!p.proof || p.proof->audit_shard != s)
        continue;
      std::string hash;
      (void)stores::read_audit(n.storage.present(), s, p.proof->audit_entry, [&](const auto& r) {
        if (r.index == p.proof->audit_entry)
          hash = to_hex({reinterpret_cast<const char*>(r.hash.data()), r.hash.size()});
        return false;
      });
      if (hash != p.proof->audit_hash)
        violate("the audit chain holds every receipt",
                fmt::format("shard {} on {}: entry {} of {}'s receipt", s, n.name(),
                            p.proof->audit_entry, p.id));
    }
  }

  void check_erased(const person_seen& p) {
    auto who = stores::derive_storage_key(secrets_, *user_id::parse(p.id));
    auto prefix = engine::user_prefix(shard_of(p.id), who);
    const auto& members = configs_[shard_of(p.id)].in_sync;
    for (const auto& n : nodes_) {
      // From which a shard was moved away: it empties itself after a minute, which is not waited
      // for.
      if (moved_ && std::ranges::find(members, n->name(), &sharding::member::node) == members.end())
        continue;
      (void)n->storage.present().scan(
          engine::table::user, prefix, engine::prefix_end(prefix), [&](auto key, auto) {
            auto kind = engine::read_big_endian(key.substr(prefix.size()), 1);
            if (kind != static_cast<std::uint64_t>(engine::user_row::tombstone))
              violate("an erased person does not come back",
                      fmt::format("{} has a row of kind {} on {}", p.id, kind, n->name()));
            return true;
          });
      if (!p.key || !n->keys().has_page(p.key->page))
        continue;
      if (n->keys().tag(*p.key, "anything"))
        violate("an erased person's key is gone everywhere",
                fmt::format("{} on {}", p.id, n->name()));
    }
  }

  const scenario& what_;
  const cluster_files& files_;
  cluster_options options_;
  cluster_outcome found_;
  stage on_;
  std::vector<std::string> names_;
  network net_;
  coordinator_world coordinator_;
  post_office post_;
  std::filesystem::path folder_;
  config::checked checked_;
  stores::node_secrets secrets_;
  world_ground ground_;
  std::vector<std::unique_ptr<simulated_node>> nodes_;
  caf::actor client_handle_;
  client_actor* client_ = nullptr;
  std::vector<person_seen> persons_;
  std::vector<campaign_seen> campaigns_;
  std::vector<std::int64_t> spent_, lent_; ///< by campaign, as read at the end
  std::size_t spend_reads_ = 0;
  std::map<std::uint16_t, sharding::shard_config> configs_;
  std::map<std::string, std::int64_t> applied_us_;
  timestamp load_begins_;
  std::int64_t load_us_ = 0, load_from_us_ = 0;
  struct open_fault {
    int node;
    trouble kind;
    std::function<void()> how;
  };
  std::map<std::uint64_t, open_fault> open_faults_;
  std::uint64_t fault_numbers_ = 0;
  std::uint64_t disturbances_ = 0;
  std::size_t final_reads_ = 0;
  std::int64_t ended_us_ = 0; ///< when all faults were over
  bool wiped_ = false;        ///< a disk was lost
  int spoilt_ = no_node;
  std::int64_t stepped_us_ = 0; ///< as far as some clock was off
  std::set<int> stepped_, draining_, drained_;
  std::uint64_t faults_seen_ = 0;             ///< begun or ended
  bool moved_ = false;                        ///< shards, by operators
  std::map<int, std::uint64_t> told_corrupt_; ///< the process that was told last
};

} // namespace

cluster_outcome run_cluster_world(const scenario& what, const cluster_files& files,
                                  const cluster_options& options) {
  return cluster_world{what, files, options}.run();
}

cluster_outcome shrink_cluster(const scenario& what, const cluster_files& files,
                               const cluster_options& options, const cluster_outcome& found) {
  auto best = found;
  auto o = options;
  o.trace = true;
  auto try_with = [&](std::vector<fault> faults, std::optional<std::int64_t> load_us) {
    o.faults = std::move(faults);
    o.load_us = load_us;
    auto run = run_cluster_world(what, files, o);
    if (run.violated != found.violated)
      return false;
    best = std::move(run);
    return true;
  };
  std::optional<std::int64_t> load_us = options.load_us;
  if (found.violated_us > 0 && found.violated_us + second < load_us.value_or(what.load_us) &&
      try_with(best.faults, found.violated_us + second))
    load_us = found.violated_us + second;
  for (auto smaller = true; smaller;) {
    smaller = false;
    for (std::size_t i = best.faults.size(); i-- > 0;) {
      auto fewer = best.faults;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      smaller = try_with(std::move(fewer), load_us) || smaller;
      i = std::min(i, best.faults.size());
    }
  }
  if (best.rows.empty())
    try_with(best.faults, load_us);
  return best;
}

} // namespace candor::sim
