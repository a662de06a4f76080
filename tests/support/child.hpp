/// A process that a test started: what it prints is read line by line, and it ends with the test.
#pragma once

#include <cstdio>
#include <string>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace candor::test {

class child {
public:
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// The next line, without its end; empty at the end of the output.
  std::string line() {
    std::string text;
    for (int c; (c = ::fgetc(out_)) != EOF && c != '\n';)
      text += static_cast<char>(c);
    return text;
  }

  /// kill -9; returns once it is gone.
  void kill() {
    if (pid_ <= 0)
      return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

protected:
  child() = default;
  ~child() {
    kill();
    if (out_)
      ::fclose(out_);
  }

  pid_t pid_ = 0;
  FILE* out_ = nullptr;
};

} // namespace candor::test
