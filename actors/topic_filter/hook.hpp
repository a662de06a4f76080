/// A classifier of the operator's own, as a program that this node runs: it is asked about what the
/// filter lets pass, and may block it. Last step of the topic filter. A question is a line of JSON
/// at the program's standard input, {"id":1,"text":"…","lang":"en","context":["…"]}; its answer, in
/// any order, a line at its standard output, {"id":1,"sensitive":[]}: the two that `candorctl
/// topics classify --jsonl` reads and writes, so that command is a hook too.
///
/// Guarantees: it can only add blocks, as it is never asked about what is withheld already. It
/// fails closed: what it does not clearly let pass in time is withheld, and so is everything while
/// it is not there. It is asked at most `limits::hook_texts` texts at a time; more are withheld
/// unasked. Text goes to the program's memory and nowhere else: what it writes to standard error is
/// dropped. A program that fails, is late or answers what is no answer is ended; when it is asked
/// again after a pause it is started anew, and is ready once it has answered a first question,
/// without text.
///
/// Must never be asked from a thread that others wait for: the asker waits, up to the deadline.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "storage/base/error.hpp"
#include "storage/base/operators_program.hpp"

namespace candor::topic_filter {

/// A text for the hook, for as long as what it was made of lives. Only the filter makes one, only
/// the hook reads it.
class hook_question {
  friend class filter;
  friend class hook;
  hook_question(std::string_view text, std::string_view lang, std::span<const std::string> turns)
    : text_{text}
    , lang_{lang}
    , turns_{turns} {}
  std::string_view text_, lang_;
  std::span<const std::string> turns_;
};

class hook {
public:
  struct options {
    std::vector<std::string> command; ///< an absolute path, and arguments; no shell reads them
    std::chrono::milliseconds deadline{500}; ///< for all that is asked at once
  };

  /// Starts the program and waits until it is ready. Error: `config_invalid`: it cannot be started,
  /// or is not ready within `limits::hook_start_deadline`.
  static result<std::shared_ptr<hook>> start(options o);
  ~hook();
  hook(const hook&) = delete;
  hook& operator=(const hook&) = delete;

  /// For each question whether the text may pass. Waits up to the deadline. Thread-safe.
  std::vector<bool> lets_pass(std::span<const hook_question> questions);

  /// Of the program, for whoever watches it; 0 while there is none.
  pid_t process() const noexcept { return pid_; }

private:
  using clock = std::chrono::steady_clock;
  /// How a round ended. `late`: all was asked, not all answered by the deadline. `unsent`: it did
  /// not even read all by then.
  enum class heard { all, late, unsent, broken };

  explicit hook(options o)
    : options_{std::move(o)} {}
  result<void> launch();
  bool is_ready();
  void give_up(std::string_view why);
  void end_program();
  heard converse(std::string& unsent, std::uint64_t first, std::vector<bool>& answered,
                 std::vector<bool>& pass, clock::time_point until);
  bool take_lines(std::uint64_t first, std::vector<bool>& answered, std::vector<bool>& pass);

  options options_;
  std::atomic<std::size_t> texts_{0}; ///< of all who ask now
  std::timed_mutex turn_;             ///< guards what follows
  std::unique_ptr<operators_program> program_;
  std::atomic<pid_t> pid_{0}; ///< its, for whoever watches
  int line_ = -1;             ///< the program's standard input and output
  bool ready_ = false;        ///< has answered the first question
  clock::time_point launched_{}, again_at_{};
  std::string unread_; ///< of an answer that has not come whole
  std::uint64_t next_id_ = 1;
};

} // namespace candor::topic_filter
