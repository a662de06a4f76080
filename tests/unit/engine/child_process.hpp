/// A second process: this test binary again, running one hidden test case. It is started anew and
/// not only forked, because RocksDB's threads do not come along in a fork.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

#include <unistd.h>

#include "tests/support/child.hpp"

namespace candor::test {

class child_process : public child {
public:
  /// Runs the test case called `name`, which finds `argument` in CANDOR_CHILD_ARGUMENT and writes
  /// lines to the file descriptor 3.
  child_process(const std::string& name, const std::string& argument) {
    int ends[2];
    if (::pipe(ends) != 0)
      throw std::runtime_error{"pipe"};
    ::setenv("CANDOR_CHILD_ARGUMENT", argument.c_str(), 1);
    pid_ = ::fork();
    if (pid_ == 0) {
      if (ends[1] != 3)
        ::dup2(ends[1], 3);
      ::execl("/proc/self/exe", "child", name.c_str(), "-o", "/dev/null", nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    out_ = ::fdopen(ends[0], "r");
    if (pid_ < 0 || !out_)
      throw std::runtime_error{"fork"};
  }
};

/// In the child: what the parent wants, or empty where somebody ran the hidden case by hand.
inline std::string child_argument() {
  auto* text = ::getenv("CANDOR_CHILD_ARGUMENT");
  return text ? text : "";
}

/// In the child: tells the parent a line.
inline void tell(const std::string& text) {
  auto line = text + "\n";
  if (::write(3, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    ::_exit(1);
}

} // namespace candor::test
