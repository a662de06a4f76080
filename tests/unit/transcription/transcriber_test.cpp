#include <catch2/catch.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "actors/transcription/command.hpp"
#include "actors/transcription/transcriber.hpp"
#include "actors/transcription/transcript.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace std::chrono_literals;
using transcription::parse_transcript;
using transcription::run;

namespace {

const std::atomic<bool> goes_on{false};

transcription::command_run shell(std::string script, std::string_view input = {}) {
  transcription::command_run made;
  made.words = {"/bin/sh", "-c", std::move(script)};
  made.environment = {"PATH=/usr/bin:/bin"};
  made.input = input;
  made.answer_bytes_max = 1000;
  made.deadline = 20s;
  return made;
}

errc code_of(const transcription::command_run& command) {
  auto answer = run(command, goes_on);
  REQUIRE(!answer);
  return answer.error().code;
}

/// Whether a process of that group runs; one that has ended and that nobody waited for does not.
bool runs(pid_t group) {
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos)
      continue; // not a process; /proc/fs and /proc/sys are folders with folders
    std::ifstream from{entry.path() / "stat"}; // "17 (name) S parent group ..."
    std::string text{std::istreambuf_iterator<char>{from}, {}};
    auto name_end = text.rfind(')');
    if (name_end == std::string::npos)
      continue;
    std::istringstream rest{text.substr(name_end + 1)};
    char state = 0;
    pid_t parent = 0, its_group = 0;
    if (rest >> state >> parent >> its_group && its_group == group && state != 'Z' && state != 'X')
      return true;
  }
  return false;
}

/// True once nothing of that group is left.
bool is_gone(pid_t group) {
  for (auto tries = 0; tries < 500; ++tries) {
    if (!runs(group))
      return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

/// What a command wrote to a file, once it has.
std::string read(const std::filesystem::path& file) {
  for (auto tries = 0; tries < 500; ++tries) {
    std::ifstream from{file};
    std::string text{std::istreambuf_iterator<char>{from}, {}};
    if (text.ends_with('\n'))
      return text;
    std::this_thread::sleep_for(10ms);
  }
  return {};
}

transcription::transcriber asking(std::string script, std::chrono::milliseconds deadline = 20s) {
  transcription::transcriber_options options;
  options.command = {"/bin/sh", "-c", std::move(script)};
  options.deadline = deadline;
  return transcription::transcriber{std::move(options)};
}

model::hearing hear(const transcription::transcriber& by, std::string sound = "RIFF") {
  return by.hear(model::raw_recording{std::move(sound), "audio/wav"}, "en-GB", goes_on);
}

using outcome = model::hearing::outcome;

} // namespace

TEST_CASE("a command reads the sound on its stdin and answers on its stdout", "[transcription]") {
  std::string sound(3'000'000, 'x'); // more than a pipe holds
  auto answer = run(shell("wc -c", sound), goes_on);
  REQUIRE(answer);
  CHECK(*answer == "3000000\n");
}

TEST_CASE("a command that does not read to the end is no fault", "[transcription]") {
  auto answer = run(shell("head -c 3", std::string(3'000'000, 'x')), goes_on);
  REQUIRE(answer);
  CHECK(*answer == "xxx");
}

TEST_CASE("a command that fails is a failure, however it fails", "[transcription]") {
  CHECK(code_of(shell("echo fine; exit 3")) == errc::io_failed);
  CHECK(code_of(shell("kill -9 $$")) == errc::io_failed);
  CHECK(code_of(shell("yes")) == errc::too_large);
  auto missing = shell("");
  missing.words = {"/nowhere/to/be/found"};
  CHECK(code_of(missing) == errc::io_failed);
}

TEST_CASE("a late command is ended at its deadline, with all that it started", "[transcription]") {
  test::temporary_folder at;
  auto late = shell("echo $$ >" + (at.path() / "group").string() +
                    "; sleep 600 & sleep 600 >/dev/null & wait");
  late.deadline = 500ms;
  CHECK(code_of(late) == errc::timed_out);
  auto group = read(at.path() / "group");
  REQUIRE(!group.empty());
  CHECK(is_gone(std::stoi(group)));
}

TEST_CASE("what a command leaves running goes with it", "[transcription]") {
  test::temporary_folder at;
  auto answer = run(shell("echo $$ >" + (at.path() / "group").string() +
                          "; sleep 600 >/dev/null 2>&1 & echo done"),
                    goes_on);
  REQUIRE(answer);
  CHECK(*answer == "done\n");
  CHECK(is_gone(std::stoi(read(at.path() / "group"))));
}

TEST_CASE("a command that closes its stdout and goes on is held to the deadline",
          "[transcription]") {
  auto silent = shell("exec >&-; sleep 600");
  silent.deadline = 300ms;
  CHECK(code_of(silent) == errc::timed_out);
}

TEST_CASE("a stop ends a command long before its deadline", "[transcription]") {
  std::atomic<bool> stopped{false};
  std::thread later{[&] {
    std::this_thread::sleep_for(200ms);
    stopped = true;
  }};
  auto command = shell("sleep 600");
  command.deadline = 600s; // the test's own time is over before
  auto answer = run(command, stopped);
  later.join();
  REQUIRE(!answer);
  CHECK(answer.error().code == errc::unavailable);
}

TEST_CASE("a command inherits no open file, and only the environment that is given",
          "[transcription]") {
  // Not marked to be closed on exec, as some libraries leave theirs.
  auto open = ::open("/dev/null", O_RDONLY);
  REQUIRE(open > 2);
  ::setenv("CANDOR_TEST_SECRET", "hidden", 1);
  // No pipe, which the shell itself would hold for a moment; and no last command, which it becomes.
  auto files = run(shell("ls -m /proc/$$/fd; true"), goes_on);
  auto variables = run(shell("env"), goes_on);
  ::unsetenv("CANDOR_TEST_SECRET");
  ::close(open);
  REQUIRE(files);
  CHECK(*files == "0, 1, 2\n");
  REQUIRE(variables);
  CHECK(variables->find("PATH=/usr/bin:/bin") != std::string::npos);
  CHECK(variables->find("CANDOR") == std::string::npos);
  CHECK(variables->find("HOME") == std::string::npos);
}

TEST_CASE("a command's signals are as if nobody had touched them", "[transcription]") {
  // A blocked or ignored signal would be inherited.
  sigset_t some, before;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &some, &before);
  auto ignored = ::signal(SIGPIPE, SIG_IGN);
  auto found =
      run(shell("grep -E '^Sig(Blk|Ign)' /proc/$$/status | cut -f2 | tr '\\n' ' '"), goes_on);
  ::signal(SIGPIPE, ignored);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  REQUIRE(found);
  // Signals 32 and 33 are glibc's own.
  CHECK((*found == "0000000000000000 0000000000000000 " ||
         *found == "0000000000000000 0000000180000000 "));
}

TEST_CASE("a command that answers first and then reads on is not waited for", "[transcription]") {
  auto answer =
      run(shell("echo early; exec >&-; cat >/dev/null", std::string(3'000'000, 'x')), goes_on);
  REQUIRE(answer);
  CHECK(*answer == "early\n");
}

TEST_CASE("an answer is one JSON object of three fields", "[transcription]") {
  auto said = parse_transcript(R"({"transcript":"hiking boots","confidence":0.75,"language":"en"})"
                               "\n");
  REQUIRE(said);
  CHECK(said->words == "hiking boots");
  CHECK(said->confidence == 0.75);
  CHECK(said->language == "en");
  CHECK(parse_transcript(R"({"transcript":"x","confidence":1})")->language.empty());
}

TEST_CASE("an answer that is anything else is no transcript, and is not told", "[transcription]") {
  const std::pair<const char*, errc> cases[] = {
      {"", errc::malformed},
      {"hiking boots", errc::malformed},
      {R"(["hiking"])", errc::malformed},
      {R"({"transcript":"hiking","confidence":0.9)", errc::malformed},
      {R"({"transcript":"hiking","confidence":0.9} {})", errc::malformed},
      {R"({"transcript":"hiking","confidence":0.1,"confidence":0.9})", errc::malformed},
      {"{\"transcript\":\"hiking \xff\",\"confidence\":0.9}", errc::malformed},
      {R"({"transcript":"hiking"})", errc::missing_field},
      {R"({"confidence":0.9})", errc::missing_field},
      {R"({"transcript":"hiking","confidence":"0.9"})", errc::bad_value},
      {R"({"transcript":7,"confidence":0.9})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":1.01})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":-0.1})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":1e999})", errc::malformed},
      {R"({"transcript":"","confidence":0.9})", errc::bad_value},
      {R"({"transcript":" \n\t","confidence":0.9})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":0.9,"language":"hiking boots"})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":0.9,"language":""})", errc::bad_value},
      {R"({"transcript":"hiking","confidence":0.9,"hiking":1})", errc::unknown_field},
  };
  for (const auto& [answer, code] : cases) {
    INFO(answer);
    auto said = parse_transcript(answer);
    REQUIRE(!said);
    CHECK(said.error().code == code);
    CHECK(said.error().detail.find("hiking") == std::string::npos);
  }
  CHECK(!parse_transcript(std::string(100'000, '[')));
}

TEST_CASE("a transcriber hears what its command says, and tells it the language and the type",
          "[transcription]") {
  auto by = asking(R"(cat >/dev/null; printf '{"transcript":"%s %s","confidence":0.8}' )"
                   R"("$CANDOR_LANGUAGE" "$CANDOR_MEDIA_TYPE")");
  auto heard = hear(by);
  CHECK(heard.is == outcome::heard);
  CHECK(heard.confidence == 0.8);
  CHECK(heard.words.size() == std::string_view{"en-GB audio/wav"}.size());
}

TEST_CASE("a transcriber fails closed: without an answer nothing was understood",
          "[transcription]") {
  for (auto script : {"exit 1", "true", "echo hello", R"(echo '{"transcript":"","confidence":1}')",
                      R"(echo '{"transcript":"hiking","confidence":1}'; exit 1)", "kill -11 $$"}) {
    INFO(script);
    auto heard = hear(asking(script));
    CHECK(heard.is == outcome::not_understood);
    CHECK(heard.words.empty());
    CHECK(heard.confidence == 0);
  }
  CHECK(hear(asking("sleep 600", 200ms)).is == outcome::not_understood);
}
