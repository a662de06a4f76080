/// `candor-bench topics`: what the topic filter judges in a second on one core, whole and by stage,
/// beside libfasttext's predictLine and a bare scan for the lexicon's terms by Vectorscan (the
/// limit) on the same texts in the same run. Each is measured in turn, several times over, and the
/// median told: what else the machine does falls on all alike.
#pragma once

#include <filesystem>
#include <string>

#include "storage/base/error.hpp"

namespace candor::bench {

struct topics_options {
  std::filesystem::path lexicon, model; ///< empty: as shipped
  int rounds = 5;                       ///< of which the median is told
  int seconds = 1;                      ///< of each part in each round
  std::string only;                     ///< a part's name: measures it alone; empty: all
  bool json = false;
};

/// Prints its figures. Error: what loading says.
result<void> run_topics(const topics_options& options);

} // namespace candor::bench
