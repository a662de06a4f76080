// The hook as real programs: good, dead, slow, talking nonsense. It can add blocks and nothing
// else.
#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>
#include <thread>

#include "actors/topic_filter/filter.hpp"
#include "actors/topic_filter/hook.hpp"
#include "storage/base/limits.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::topic_filter;
using namespace std::chrono_literals;

namespace {

/// Answers each line; what it does with a text is the text's first word.
constexpr auto program = R"(
import json, sys, time
asked = open(sys.argv[1], "a")
for line in sys.stdin:
    q = json.loads(line)
    asked.write(line); asked.flush()
    word = q["text"].split(" ")[0]
    if word == "sleep": time.sleep(20)
    if word == "die": sys.exit(3)
    if word == "silent": continue
    a = {"id": q["id"], "sensitive": ["tulips"] if word == "block" else []}
    if word == "other": a["id"] += 7000
    if word == "twice": print(json.dumps(a))
    if word == "null": a["sensitive"] = None
    if word == "nonid": del a["id"]
    if word == "verdict": a["verdict"] = "withheld"
    if word == "long": a["note"] = "x" * 300000
    print("no json at all" if word == "garbage" else json.dumps(a), flush=True)
)";

struct hook_case {
  test::temporary_folder folder;
  std::shared_ptr<hook> by;

  explicit hook_case(std::chrono::milliseconds deadline = 20s, const char* source = program) {
    auto script = folder.path() / "hook.py";
    std::ofstream{script} << source;
    auto started = hook::start(
        {{"/usr/bin/python3", script.string(), (folder.path() / "asked").string()}, deadline});
    if (!started)
      throw std::runtime_error{started.error().to_string()};
    by = std::move(*started);
  }

  std::vector<bool> ask(const std::vector<std::string>& texts) {
    std::vector<model::event> events;
    for (const auto& t : texts) {
      events.push_back({"e", *user_id::parse("ann"), timestamp{}});
      events.back().lang = "en";
      events.back().utterance = model::raw_utterance{t, {"an earlier \"turn\"\n"}};
    }
    std::vector<hook_question> questions;
    for (const auto& e : events)
      questions.push_back(filter::ask_hook(e));
    return by->lets_pass(questions);
  }

  std::string asked() const {
    std::ifstream from{folder.path() / "asked"};
    return {std::istreambuf_iterator<char>{from}, {}};
  }

  /// Asks until the program was started anew and lets it pass.
  bool recovers() {
    for (int i = 0; i < 600; ++i) {
      if (ask({"hello"})[0])
        return true;
      std::this_thread::sleep_for(50ms);
    }
    return false;
  }
};

using answers = std::vector<bool>;

} // namespace

TEST_CASE("a hook blocks what it calls sensitive, by whatever name, and lets the rest pass",
          "[topic_filter][hook]") {
  hook_case c;
  CHECK(c.ask({"hello", "block me", "verdict says no", "quotes \" and \\ and \n and ü"}) ==
        answers{true, false, false, true});
  CHECK(c.ask({}).empty());
  CHECK_THAT(c.asked(), Catch::Contains(R"("lang":"en","context":["an earlier \"turn\"\u000a"])"));
  // More than a socket holds, both ways at once.
  std::vector<std::string> many(256, "hello " + std::string(4000, 'x'));
  CHECK(c.ask(many) == answers(256, true));
}

TEST_CASE("what a hook answers wrongly is withheld with all that was asked beside it",
          "[topic_filter][hook]") {
  for (auto word : {"garbage", "other", "twice", "null", "nonid", "long", "die"}) {
    INFO(word);
    hook_case c;
    CHECK(c.ask({"hello", std::string{word} + " x", "hello"}) == answers{false, false, false});
    CHECK(c.ask({"hello"}) == answers{false}); // it was ended, and pauses
    CHECK(c.recovers());
  }
}

TEST_CASE("what a hook does not answer in time is withheld, and it is started anew",
          "[topic_filter][hook]") {
  for (auto word : {"sleep", "silent"}) {
    INFO(word);
    hook_case c{300ms};
    CHECK(c.ask({std::string{word} + " x"}) == answers{false});
    auto begun = std::chrono::steady_clock::now();
    CHECK(c.ask({"hello"}) == answers{false});
    CHECK(std::chrono::steady_clock::now() - begun < limits::hook_start_deadline); // nobody waits
    CHECK(c.recovers());
  }
}

TEST_CASE("while a hook is dead everything is withheld", "[topic_filter][hook]") {
  hook_case c;
  REQUIRE(c.ask({"hello"}) == answers{true});
  ::kill(c.by->process(), SIGKILL);
  CHECK(c.ask({"hello", "hello"}) == answers{false, false});
  CHECK(c.recovers());
}

TEST_CASE("more than a hook may be asked at a time is withheld unasked", "[topic_filter][hook]") {
  hook_case c;
  CHECK(c.ask(std::vector<std::string>(limits::hook_texts + 1, "hello")) ==
        answers(limits::hook_texts + 1, false));
  CHECK(c.ask({"hello"}) == answers{true}); // it is as it was
  CHECK(c.asked().find("hello") == c.asked().rfind("hello"));
}

TEST_CASE("threads ask one hook and each has its own answers", "[topic_filter][hook]") {
  hook_case c;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        auto blocked = (i + t) % 2 == 0;
        wrong += c.ask({"hello", blocked ? "block" : "hello"}) == answers{true, !blocked} ? 0 : 1;
      }
    });
  for (auto& t : threads)
    t.join();
  CHECK(wrong == 0);
}

TEST_CASE("a hook is not ended for time that other askers had", "[topic_filter][hook]") {
  hook_case c{2500ms, R"(
import json, sys, time
for line in sys.stdin:
    time.sleep(1)
    print(json.dumps({"id": json.loads(line)["id"], "sensitive": []}), flush=True)
)"};
  auto before = c.by->process();
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) // the third has half a second left
    threads.emplace_back([&] { c.ask({"hello"}); });
  for (auto& t : threads)
    t.join();
  CHECK(c.by->process() == before);
  std::this_thread::sleep_for(1500ms); // until it has nothing more to say to them
  CHECK(c.ask({"hello"}) == answers{true});
  CHECK(c.by->process() == before);
}

TEST_CASE("a hook that cannot be started, ends at once or is mute is refused",
          "[topic_filter][hook]") {
  CHECK(!hook::start({{}, 1s}));
  CHECK(!hook::start({{"true"}, 1s}));
  CHECK(!hook::start({{"/no/such/program"}, 1s}));
  auto ended = hook::start({{"/bin/true"}, 1s});
  REQUIRE(!ended);
  CHECK_THAT(ended.error().detail, Catch::Contains("does not answer its first question"));
  CHECK(!hook::start({{"/bin/cat"}, 1s})); // echoes what it is asked
}

TEST_CASE("a hook inherits neither the environment nor the sockets of the node",
          "[topic_filter][hook]") {
  ::setenv("CANDOR_SECRET_OF_A_TEST", "xyzzy", 1);
  hook_case c{20s, R"(
import json, os, sys
open(sys.argv[1], "w").write(str(sorted(os.environ)) + str(sorted(os.listdir("/proc/self/fd"))))
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "sensitive": []}), flush=True)
)"};
  auto seen = c.asked();
  ::unsetenv("CANDOR_SECRET_OF_A_TEST");
  CHECK_THAT(seen, Catch::Contains("PATH") && !Catch::Contains("CANDOR_SECRET_OF_A_TEST"));
  // Standard input, output and error, the file that it writes, and the folder that it lists.
  CHECK_THAT(seen, Catch::Contains("['0', '1', '2', '3', '4']"));
}

TEST_CASE("a hook and its own children end with it", "[topic_filter][hook]") {
  pid_t pid = 0;
  {
    hook_case c;
    pid = c.by->process();
    REQUIRE(pid > 0);
    REQUIRE(::kill(pid, 0) == 0);
  }
  CHECK(::kill(pid, 0) != 0);
}
