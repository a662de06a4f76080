#include <catch2/catch.hpp>

#include <fstream>
#include <thread>

#include "actors/transcription/transcription_actor.hpp"
#include "tests/support/system_config.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace std::chrono_literals;
using outcome = model::hearing::outcome;

namespace {

/// A room whose commands wait until the file `go` is there.
class room {
public:
  explicit room(transcription::transcriber_options options = {}) {
    options.command = {"/bin/sh", "-c",
                       "while [ ! -e \"$0/go\" ]; do sleep 0.02; done; "
                       "echo '{\"transcript\":\"hiking\",\"confidence\":1}'",
                       folder_.path().string()};
    door = transcription::spawn_transcription_actor(system, options);
  }
  ~room() {
    caf::anon_send_exit(door, caf::exit_reason::user_shutdown);
    door = nullptr;
  }
  void go() { std::ofstream{folder_.path() / "go"} << "now\n"; }

  static recording_ptr sound() {
    return std::make_shared<recording_sent>(
        recording_sent{model::raw_recording{"RIFF", "audio/wav"}, "en"});
  }
  void ask(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i)
      answers.push_back(self->request(door, 60s, sound()));
  }
  outcome answer(std::size_t which) {
    auto is = outcome::not_tried;
    auto failed = false;
    answers.at(which).receive([&](hearing_ptr& made) { is = made->is; },
                              [&](const caf::error&) { failed = true; });
    REQUIRE(!failed);
    return is;
  }

  test::system_config settings;
  caf::actor_system system{settings};
  caf::scoped_actor self{system};
  transcription_handle door;
  std::vector<decltype(self->request(door, 60s, sound()))> answers;

private:
  test::temporary_folder folder_;
};

transcription::transcriber_options small(std::size_t at_once, std::size_t waiting_max) {
  transcription::transcriber_options made;
  made.deadline = 30s;
  made.at_once = at_once;
  made.waiting_max = waiting_max;
  made.wait_max = 60s;
  return made;
}

} // namespace

TEST_CASE("every recording that is taken is heard, however many commands run at a time",
          "[transcription]") {
  room r{small(2, 8)};
  r.ask(10);
  r.go();
  for (std::size_t i = 0; i < 10; ++i)
    CHECK(r.answer(i) == outcome::heard);
}

TEST_CASE("what finds the queue full is told at once that it was not tried", "[transcription]") {
  room r{small(1, 2)};
  r.ask(4); // one runs, two wait
  CHECK(r.answer(3) == outcome::not_tried);
  r.go();
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(r.answer(i) == outcome::heard);
}

TEST_CASE("what has waited for too long is not tried any more", "[transcription]") {
  auto options = small(1, 8);
  options.wait_max = 300ms;
  room r{options};
  r.ask(2);
  std::this_thread::sleep_for(600ms);
  r.go();
  CHECK(r.answer(0) == outcome::heard);
  CHECK(r.answer(1) == outcome::not_tried);
}

TEST_CASE("what waits behind a command that hangs is told in time", "[transcription]") {
  auto options = small(1, 8);
  options.wait_max = 300ms;
  room r{options};
  r.ask(2);
  CHECK(r.answer(1) == outcome::not_tried); // while the first one still runs
  r.go();
  CHECK(r.answer(0) == outcome::heard);
}

TEST_CASE("the room's end ends what runs, and answers who waits", "[transcription]") {
  auto options = small(1, 8);
  options.deadline = 600s; // the test's own time is over before
  room r{options};
  r.ask(2);
  std::this_thread::sleep_for(200ms);
  caf::anon_send_exit(r.door, caf::exit_reason::user_shutdown);
  r.self->wait_for(r.door);
  auto waiting = outcome::heard;
  r.answers[1].receive([&](hearing_ptr& made) { waiting = made->is; },
                       [&](const caf::error&) { waiting = outcome::not_tried; });
  CHECK(waiting == outcome::not_tried);
  // The system's own end waits for the thread that waits for the command.
}
