#include <atomic>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include "actors/messages/shard_messages.hpp"
#include "actors/notification/notification_actor.hpp"
#include "tests/support/shard.hpp"
#include "tests/support/system_config.hpp"

using namespace candor;
using namespace candor::test;
using namespace std::chrono_literals;

namespace {

/// What a shard that has one mail after the other to send was told, and what mailers sent.
struct post {
  std::mutex mutex;
  std::map<std::string, int> sent;     ///< by address
  std::map<std::string, int> recorded; ///< by notice
  std::atomic<int> refusals = 0;       ///< so many outcomes the shard does not take
  std::atomic<bool> held = false;      ///< the mail server does not answer
  std::atomic<bool> paused = false;    ///< says the shard
  std::atomic<bool> gone = false;      ///< nobody is to be told any more

  int count(const std::map<std::string, int>& of, const std::string& what) {
    std::lock_guard guard{mutex};
    auto found = of.find(what);
    return found == of.end() ? 0 : found->second;
  }
  int sent_in_all() {
    std::lock_guard guard{mutex};
    auto sum = 0;
    for (const auto& [_, n] : sent)
      sum += n;
    return sum;
  }
};

struct post_mailer final : notification::mailer {
  explicit post_mailer(post& p)
    : to{p} {}
  notification::outcome send(const notification::mail& what) override {
    while (to.held)
      std::this_thread::sleep_for(5ms);
    std::lock_guard guard{to.mutex};
    ++to.sent[what.to];
    return {notification::outcome::kind::accepted, 250, {}};
  }
  post& to;
};

/// Says on each round that mails are due whose outcome it does not know.
class shard_actor final : public caf::event_based_actor {
public:
  shard_actor(caf::actor_config& config, post& p, int mails, timestamp now)
    : caf::event_based_actor{config}
    , post_{p}
    , mails_{mails}
    , now_{now} {}

  caf::behavior make_behavior() override {
    return {
        [this](const find_notices&) {
          notices_found found;
          for (auto i = 0; i < mails_ && !post_.gone; ++i) {
            auto n = std::to_string(i);
            if (post_.count(post_.recorded, "n-" + n) == 0)
              found.mails.push_back({"u-" + n,
                                     "n-" + n,
                                     "u" + n + "@example.org",
                                     "en",
                                     "UTC",
                                     {},
                                     "2025-12-16.1",
                                     0,
                                     now_});
          }
          return found;
        },
        [this](const record_mail& m) -> caf::result<acknowledged> {
          if (post_.refusals > 0) {
            --post_.refusals;
            return to_caf({errc::unavailable, "nobody leads this shard"});
          }
          std::lock_guard guard{post_.mutex};
          ++post_.recorded[m.notice];
          return acknowledged{};
        },
        [this](const set_notices_paused& m) {
          post_.paused = m.paused;
          return acknowledged{};
        },
        [this](const read_notices_paused&) { return notices_paused{post_.paused}; },
        [](const record_step&) { return acknowledged{}; },
    };
  }

private:
  post& post_;
  int mails_;
  timestamp now_;
};

struct office {
  explicit office(int mails, bool paused = false, std::string policy = shipped_policy()) {
    books.paused = paused;
    auto shard = system.spawn<shard_actor>(std::ref(books), mails, now);
    auto policies = system.spawn([policy](caf::event_based_actor*) -> caf::behavior {
      return {[policy](const show_policies&) {
        policies_shown shown;
        shown.versions = {"2025-12-16.1"};
        shown.texts = {policy};
        return shown;
      }};
    });
    shards->set(0, caf::actor_cast<profile_handle>(shard));
    notification::surroundings around{shards,
                                      caf::actor_cast<policy_handle>(policies),
                                      regions,
                                      *time,
                                      [](const user_id&) { return shard_id{0}; },
                                      CANDOR_SOURCE_DIR "/configs/notices",
                                      "Candor",
                                      "https://example.org/privacy",
                                      {},
                                      [this] { return std::make_unique<post_mailer>(books); }};
    around.sender.address = "notices@example.org";
    around.sender.name = "Candor";
    around.sender.domain = "example.org";
    rooms = {shard, policies,
             caf::actor_cast<caf::actor>(
                 notification::spawn_notification_actor(system, std::move(around)))};
  }
  ~office() {
    books.held = false;
    caf::scoped_actor self{system};
    for (const auto& room : rooms)
      self->send_exit(room, caf::exit_reason::user_shutdown);
    self->wait_for(rooms);
    rooms.clear();
  }

  static bool becomes_true(const std::function<bool()>& what) {
    for (auto i = 0; i < 2000; ++i, std::this_thread::sleep_for(10ms))
      if (what())
        return true;
    return false;
  }

  const timestamp now = at("2025-12-17T12:00:00Z"); // outside quiet hours
  post books;
  system_config config;
  caf::actor_system system{config};
  model::region_table regions = shipped_regions();
  std::unique_ptr<manual_clock> time = std::make_unique<manual_clock>(now);
  std::shared_ptr<shard_directory> shards =
      std::make_shared<shard_directory>(shard_count{1}, "here");
  std::vector<caf::actor> rooms;
};

} // namespace

TEST_CASE("a mail whose outcome the shard does not take is not sent again", "[notification]") {
  office o{1};
  o.books.refusals = 5;
  REQUIRE(o.becomes_true([&] { return o.books.count(o.books.recorded, "n-0") == 1; }));
  CHECK(o.books.refusals == 0);
  CHECK(o.books.count(o.books.sent, "u0@example.org") == 1);
}

TEST_CASE("mails that wait behind a slow server are left to the node that leads next",
          "[notification]") {
  office o{20};
  o.books.held = true;
  // Found, and most of them waiting, as no sender takes more than one.
  std::this_thread::sleep_for(1s);
  o.shards->set_leader(0, "there");
  std::this_thread::sleep_for(500ms);
  o.books.held = false;
  REQUIRE(o.becomes_true([&] { return o.books.sent_in_all() > 0; }));
  std::this_thread::sleep_for(500ms);
  CHECK(o.books.sent_in_all() <= 4); // as many as senders
}

TEST_CASE("what the first shard says is paused is paused, whoever was told", "[notification]") {
  office o{1, true};
  std::this_thread::sleep_for(1s);
  CHECK(o.books.sent_in_all() == 0);
  o.books.paused = false;
  CHECK(o.becomes_true([&] { return o.books.sent_in_all() == 1; }));
}

TEST_CASE("after a pause was acknowledged no mail is begun", "[notification]") {
  office o{20};
  o.books.held = true;
  std::this_thread::sleep_for(1s); // found: four are under way, the others wait
  caf::scoped_actor self{o.system};
  auto paused = false;
  self->request(o.rooms.back(), 5s, pause_notices{true, "ops"})
      .receive([&](const acknowledged&) { paused = true; }, [](const caf::error&) {});
  REQUIRE(paused);
  o.books.held = false;
  REQUIRE(o.becomes_true([&] { return o.books.sent_in_all() > 0; }));
  std::this_thread::sleep_for(1s);
  CHECK(o.books.sent_in_all() <= 4);
}

TEST_CASE("who was erased while their mail waited behind a slow server gets none",
          "[notification]") {
  office o{20};
  o.books.held = true;
  std::this_thread::sleep_for(1s); // found: four are under way, the others wait
  o.books.gone = true;
  o.time->advance(10s);
  o.books.held = false;
  REQUIRE(o.becomes_true([&] { return o.books.sent_in_all() > 0; }));
  std::this_thread::sleep_for(1s);
  CHECK(o.books.sent_in_all() <= 4);
}

TEST_CASE("mails go no faster than the policy says, however many are due", "[notification]") {
  auto policy = shipped_policy();
  auto rate = policy.find("rate_per_second = 200");
  REQUIRE(rate != policy.npos);
  policy.replace(rate, 21, "rate_per_second = 1");
  office o{20, false, policy};
  REQUIRE(o.becomes_true([&] { return o.books.sent_in_all() > 0; }));
  for (auto seconds = 1; seconds <= 3; ++seconds) {
    std::this_thread::sleep_for(500ms);
    CHECK(o.books.sent_in_all() == seconds);
    o.time->advance(1s);
    REQUIRE(o.becomes_true([&] { return o.books.sent_in_all() > seconds; }));
  }
}
