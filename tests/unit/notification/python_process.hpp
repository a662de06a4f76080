/// A Python script beside the tests, run as a process of its own.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/support/child.hpp"

namespace candor::test {

/// Runs until it ends by itself or this goes out of scope.
class python_process : public child {
public:
  explicit python_process(const std::string& script, std::vector<std::string> arguments = {}) {
    auto path = CANDOR_SOURCE_DIR "/tests/support/" + script;
    std::vector<char*> words;
    std::vector<std::string> texts{"/usr/bin/python3", "-B", path};
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    for (auto& text : texts)
      words.push_back(text.data());
    words.push_back(nullptr);
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
      throw std::runtime_error{"pipe"};
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execv(words[0], words.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = ::fdopen(in[1], "w");
    out_ = ::fdopen(out[0], "r");
    if (pid_ < 0 || !in_ || !out_)
      throw std::runtime_error{"fork"};
  }
  ~python_process() {
    if (in_)
      ::fclose(in_);
  }

  /// Gives it its whole input.
  void feed(const std::string& text) {
    ::fwrite(text.data(), 1, text.size(), in_);
    ::fclose(in_);
    in_ = nullptr;
  }

private:
  FILE* in_ = nullptr;
};

} // namespace candor::test
