/// Reloading the topic filter takes seconds: it must hold up no other order.
#include <catch2/catch.hpp>

#include <future>
#include <mutex>

#include <nlohmann/json.hpp>

#include "actors/admin/admin_actor.hpp"
#include "tests/support/system_config.hpp"

using namespace candor;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

/// An admin room with a shard behind it that takes what is audited, and a reload that waits for the
/// test.
struct back_office {
  struct loading {
    std::promise<void> begun;
    std::promise<result<admin::topics_reloaded>> outcome;
  };
  test::system_config settings;
  caf::actor_system system{settings};
  std::unique_ptr<engine::engine> db = engine::make_memory_engine();
  manual_clock time{*parse_time("2025-12-20T12:00:00Z")};
  std::unique_ptr<rng> random = make_system_rng();
  std::mutex mutex;
  std::vector<std::string> audited;
  std::vector<std::unique_ptr<loading>> loads; ///< each call takes the next
  std::size_t taken = 0;
  caf::actor shard;
  admin_handle room;

  back_office() {
    shard = system.spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](const record_step& m) {
        std::lock_guard guard{mutex};
        audited.push_back(m.action + " " + m.subject + " by " + m.caller);
        return acknowledged{};
      }};
    });
    auto shards = std::make_shared<shard_directory>(shard_count{2}, "node-1");
    for (shard_id s = 0; s < 2; ++s)
      shards->set(s, caf::actor_cast<profile_handle>(shard));
    for (int i = 0; i < 2; ++i)
      loads.push_back(std::make_unique<loading>());
    room = admin::spawn_admin_actor(system, {shards,
                                             {},
                                             {},
                                             *db,
                                             time,
                                             *random,
                                             [](const user_id&) { return shard_id{0}; },
                                             "node-1",
                                             "0",
                                             "/nowhere",
                                             [] {},
                                             [this] { return load(); },
                                             "",
                                             {},
                                             {},
                                             {}});
  }
  ~back_office() {
    caf::anon_send_exit(room, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(shard, caf::exit_reason::user_shutdown);
  }

  result<admin::topics_reloaded> load() {
    loading* mine = nullptr;
    {
      std::lock_guard guard{mutex};
      mine = loads.at(taken++).get();
    }
    mine->begun.set_value();
    return mine->outcome.get_future().get();
  }

  /// The answer, or the error's code.
  static std::pair<json, errc> outcome_of(auto&& asked) {
    std::pair<json, errc> found{nullptr, errc::internal};
    asked.receive([&](const admin_answer& a) { found.first = json::parse(a.json); },
                  [&](const caf::error& e) { found.second = from_caf(e).code; });
    return found;
  }
};

} // namespace

TEST_CASE("while a node reads its topic filter anew it carries out other orders", "[admin]") {
  back_office office;
  caf::scoped_actor self{office.system};
  auto call = [&](const char* verb) {
    return self->request(office.room, 60s, admin_call{verb, "{}", "ann"});
  };
  auto first = call("topics_reload");
  office.loads[0]->begun.get_future().wait();
  CHECK(back_office::outcome_of(call("clock_show")).first["now"] == "2025-12-20T12:00:00Z");
  CHECK(back_office::outcome_of(call("topics_reload")).second == errc::conflict);

  office.loads[0]->outcome.set_value(
      admin::topics_reloaded{{{"lexicon", "a"}}, {{"lexicon", "b"}}});
  auto done = back_office::outcome_of(std::move(first)).first;
  CHECK(done["changed"] == true);
  CHECK(done["now"]["lexicon"] == "b");
  {
    std::lock_guard guard{office.mutex};
    CHECK(office.audited == std::vector<std::string>{"topics_reloaded node-1 by ann"});
  }

  // What fails is told, and is not the end of it.
  office.loads[1]->outcome.set_value(fail(errc::config_invalid, "no lexicon"));
  CHECK(back_office::outcome_of(call("topics_reload")).second == errc::config_invalid);
  std::lock_guard guard{office.mutex};
  CHECK(office.audited.size() == 1);
}

TEST_CASE("a reload that runs out of memory is an error, and the room goes on", "[admin]") {
  back_office office;
  caf::scoped_actor self{office.system};
  office.loads[0]->outcome.set_exception(std::make_exception_ptr(std::bad_alloc{}));
  auto call = [&](const char* verb) {
    return back_office::outcome_of(self->request(office.room, 60s, admin_call{verb, "{}", "ann"}));
  };
  CHECK(call("topics_reload").second == errc::internal);
  CHECK(call("clock_show").first["now"] == "2025-12-20T12:00:00Z");
}
