#include "actors/topic_filter/hook.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/base/json_string.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/log.hpp"
#include "storage/base/operators_program.hpp"
#include "storage/base/wipe.hpp"

namespace candor::topic_filter {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr auto end_patience = 200ms; ///< for a program whose input has ended

struct wiped_string {
  std::string text;
  wiped_string() = default;
  wiped_string(const wiped_string&) = delete;
  wiped_string& operator=(const wiped_string&) = delete;
  ~wiped_string() { wipe(text); }
};

/// What a line says: of which question, and whether its text may pass.
struct answer {
  std::uint64_t id;
  bool pass;
};

std::optional<answer> read_answer(std::string_view line) {
  auto object = json::parse(line, nullptr, false);
  if (!object.is_object())
    return std::nullopt;
  auto id = object.find("id"), sensitive = object.find("sensitive"),
       verdict = object.find("verdict");
  if (id == object.end() || !id->is_number_unsigned() || sensitive == object.end() ||
      !sensitive->is_array())
    return std::nullopt;
  // Whatever it calls the category: it is not ours to doubt a block.
  auto pass = sensitive->empty() && (verdict == object.end() || *verdict == "accepted");
  return answer{id->get<std::uint64_t>(), pass};
}

} // namespace

// -- the program -------------------------------------------------------------------------------

result<std::shared_ptr<hook>> hook::start(options o) {
  if (o.command.empty() || !o.command.front().starts_with('/'))
    return fail(errc::config_invalid, "the hook is the absolute path of a program");
  std::shared_ptr<hook> made{new hook{std::move(o)}};
  std::lock_guard turn{made->turn_};
  CANDOR_TRY_VOID(made->launch());
  auto until = made->launched_ + limits::hook_start_deadline;
  while (!made->is_ready()) {
    if (made->pid_ == 0 || clock::now() >= until)
      return fail(errc::config_invalid,
                  fmt::format("the hook {} does not answer its first question, "
                              R"({{"id":0,"text":""}}, with {{"id":0,"sensitive":[]}})",
                              made->options_.command.front()));
    pollfd ends{made->line_, POLLIN, 0};
    ::poll(&ends, 1, 50);
  }
  return made;
}

hook::~hook() {
  end_program();
}

result<void> hook::launch() {
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return fail(errc::io_failed, "no socket for the hook");
  auto program = operators_program::start(options_.command, operators_program::plain_environment(),
                                          ends[1], ends[1]);
  ::close(ends[1]);
  if (!program) {
    ::close(ends[0]);
    return fail(errc::config_invalid,
                fmt::format("the hook {} cannot be started: {}", options_.command.front(),
                            program.error().detail));
  }
  program_ = std::move(*program);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  line_ = ends[0];
  pid_ = program_->id();
  ready_ = false;
  launched_ = clock::now();
  constexpr std::string_view first = "{\"id\":0,\"text\":\"\"}\n";
  if (::send(line_, first.data(), first.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(first.size()))
    give_up("it takes no question");
  return {};
}

void hook::end_program() {
  if (!program_)
    return;
  ::close(line_);
  line_ = -1;
  wipe(unread_);
  if (ready_) // one that ends by itself may tidy up
    for (auto until = clock::now() + end_patience; clock::now() < until && !program_->ended();)
      std::this_thread::sleep_for(5ms);
  pid_ = 0;
  program_.reset();
}

/// Until it may be started anew everything is withheld.
void hook::give_up(std::string_view why) {
  log::warn("topic_filter", "the hook is ended and what it was asked is withheld: {}", why);
  ready_ = false;
  end_program();
  again_at_ = clock::now() + limits::hook_pause;
}

/// Starts it anew where it is time. Waits for nothing.
bool hook::is_ready() {
  if (pid_ == 0) {
    if (clock::now() < again_at_)
      return false;
    if (auto started = launch(); !started)
      give_up(started.error().detail);
  }
  if (ready_ || pid_ == 0)
    return ready_;
  std::vector<bool> answered(1), pass(1);
  std::string nothing_more;
  switch (converse(nothing_more, 0, answered, pass, clock::now())) {
    case heard::all:
      ready_ = true;
      break;
    case heard::broken:
      give_up("its first answer is none");
      break;
    default:
      if (clock::now() > launched_ + limits::hook_start_deadline)
        give_up("it is not ready in time");
  }
  return ready_;
}

// -- asking ------------------------------------------------------------------------------------

/// Reads whole lines of `unread_`. False: what came is no answer to a question of this round.
bool hook::take_lines(std::uint64_t first, std::vector<bool>& answered, std::vector<bool>& pass) {
  std::size_t from = 0;
  for (auto end = unread_.find('\n'); end != std::string::npos; end = unread_.find('\n', from)) {
    auto said = read_answer(std::string_view{unread_}.substr(from, end - from));
    from = end + 1;
    if (said && ready_ && said->id < first)
      continue; // to a question whose asker went without the answer
    if (!said || said->id < first || said->id - first >= answered.size() ||
        answered[said->id - first])
      return false;
    answered[said->id - first] = true;
    pass[said->id - first] = said->pass;
  }
  auto left = unread_.size() - from;
  std::memmove(unread_.data(), unread_.data() + from, left);
  sodium_memzero(unread_.data() + left, from);
  unread_.resize(left);
  return left <= limits::hook_answer_bytes;
}

/// Writes and reads at once: a program that answers each line may otherwise wait for us to read
/// while we wait for it to.
hook::heard hook::converse(std::string& unsent, std::uint64_t first, std::vector<bool>& answered,
                           std::vector<bool>& pass, clock::time_point until) {
  std::size_t sent = 0;
  std::array<char, 16 * 1024> part;
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
    pollfd ends{line_, static_cast<short>(sent < unsent.size() ? POLLIN | POLLOUT : POLLIN), 0};
    auto n = ::poll(&ends, 1, static_cast<int>(std::max(left, 0ms).count()));
    if (n < 0 && errno != EINTR)
      return heard::broken;
    if (n > 0 && (ends.revents & POLLOUT) != 0) {
      auto done = ::send(line_, unsent.data() + sent, unsent.size() - sent, MSG_NOSIGNAL);
      if (done < 0 && errno != EAGAIN && errno != EINTR)
        return heard::broken;
      sent += done > 0 ? static_cast<std::size_t>(done) : 0;
    }
    if (n > 0 && (ends.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      auto got = ::recv(line_, part.data(), part.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return heard::broken;
      if (got > 0) {
        unread_.append(part.data(), static_cast<std::size_t>(got));
        sodium_memzero(part.data(), static_cast<std::size_t>(got));
        if (!take_lines(first, answered, pass))
          return heard::broken;
      }
    }
    if (std::ranges::find(answered, false) == answered.end())
      return heard::all;
    if (clock::now() >= until)
      return sent < unsent.size() ? heard::unsent : heard::late;
  }
}

std::vector<bool> hook::lets_pass(std::span<const hook_question> questions) {
  std::vector<bool> none(questions.size(), false);
  if (questions.empty())
    return none;
  auto until = clock::now() + options_.deadline;
  struct counted {
    std::atomic<std::size_t>& all;
    std::size_t n, before;
    ~counted() { all -= n; }
  } c{texts_, questions.size(), texts_.fetch_add(questions.size())};
  if (c.before + c.n > limits::hook_texts)
    return none;
  std::unique_lock turn{turn_, std::try_to_lock};
  auto whole_deadline_is_ours = turn.owns_lock(); // nobody had the program when it began
  if (!whole_deadline_is_ours && !turn.try_lock_until(until))
    return none;
  if (!is_ready())
    return none;

  wiped_string lines;
  std::size_t bytes = 0;
  for (const auto& q : questions) {
    bytes += 64 + json_string_bytes_most(q.text_) + json_string_bytes_most(q.lang_);
    for (const auto& turn_said : q.turns_)
      bytes += 1 + json_string_bytes_most(turn_said); // and a comma
  }
  auto& to = lines.text;
  to.reserve(bytes);
  auto first = next_id_;
  for (const auto& q : questions) {
    fmt::format_to(std::back_inserter(to), "{{\"id\":{},\"text\":", next_id_++);
    append_json_string(to, q.text_);
    if (!q.lang_.empty()) {
      to += ",\"lang\":";
      append_json_string(to, q.lang_);
    }
    if (!q.turns_.empty()) {
      to += ",\"context\":[";
      for (std::size_t i = 0; i < q.turns_.size(); ++i) {
        to += i > 0 ? "," : "";
        append_json_string(to, q.turns_[i]);
      }
      to += ']';
    }
    to += "}\n";
  }
  std::vector<bool> answered(questions.size(), false), pass(questions.size(), false);
  switch (converse(to, first, answered, pass, until)) {
    case heard::all:
      return pass;
    case heard::late: // what it has answered holds
      // Who waited for the turn has used up time that the program did not have. It is not ended for
      // that: what it answers yet is passed over (take_lines), and if it hangs, the next who finds
      // it free ends it.
      if (whole_deadline_is_ours)
        give_up("it was late");
      return pass;
    case heard::unsent:
      give_up("it reads too slowly");
      return pass;
    default: // of what it said nothing is believed
      give_up("it ended, or answered what is no answer");
      return none;
  }
}

} // namespace candor::topic_filter
