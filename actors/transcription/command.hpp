/// One run of a program of the operator's choice: bytes on its stdin, bytes from its stdout. Called
/// by the transcriber on a thread that may wait. Guarantees: returns by the deadline, whatever the
/// program does, and no process of its group is left then; the program inherits no open file and
/// only the environment that is given; nothing touches a disk. Must never show what went in or came
/// out: what the program says on stderr is thrown away, since it may be a person's words.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::transcription {

struct command_run {
  std::vector<std::string> words;       ///< a program's path and its arguments; no shell
  std::vector<std::string> environment; ///< NAME=value
  std::string_view input;
  std::size_t answer_bytes_max = 0;
  std::chrono::milliseconds deadline{0}; ///< from the start to the program's end
};

/// What it wrote to stdout, once it ended with exit code 0. A program that ends without reading all
/// of its input is no fault. Error: `io_failed` (not started, another exit code, ended by a
/// signal), `timed_out`, `too_large` (answer), `unavailable` (`stopped` became true: looked at
/// every 50 ms).
result<std::string> run(const command_run& command, const std::atomic<bool>& stopped);

} // namespace candor::transcription
