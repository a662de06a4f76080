/// A program of the operator's choice (a transcriber, a hook) that runs beside this process with
/// nothing of it but what it is given. Guarantees: no shell, no open file besides the three of its
/// own, no environment but the one given, no signal ignored or blocked; it leads a
/// process group, and whatever is left of that ends with this. What it writes to standard error is
/// thrown away: it may quote what a person said. Must never be waited for by anybody else.
#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "storage/base/error.hpp"

namespace candor {

class operators_program {
public:
  /// `words`: an absolute path, and arguments; `environment`: NAME=value.
  /// `input` and `output` become its standard input and output, and stay open here. Error:
  /// `io_failed`.
  static result<std::unique_ptr<operators_program>>
  start(const std::vector<std::string>& words, const std::vector<std::string>& environment,
        int input, int output);

  /// What every program needs. This process's own environment may name secrets.
  static std::vector<std::string> plain_environment();

  /// Kills what is left of the group, and waits for the program.
  ~operators_program();
  operators_program(const operators_program&) = delete;
  operators_program& operator=(const operators_program&) = delete;

  pid_t id() const noexcept { return pid_; }

  /// How it ended, if it did.
  std::optional<siginfo_t> ended() const;

private:
  explicit operators_program(pid_t pid)
    : pid_{pid} {}
  pid_t pid_;
};

} // namespace candor
