/// `candor-bench topics`: what the topic filter judges in a second on one core, beside a bare scan
/// for the lexicon's terms by Vectorscan on the same texts in the same run, which is the limit.
#pragma once

#include <filesystem>

#include "storage/base/error.hpp"

namespace candor::bench {

struct topics_options {
  std::filesystem::path lexicon, model; ///< empty: as shipped
  int seconds = 3;                      ///< of each part
  bool json = false;
};

/// Prints its figures. Error: what loading says.
result<void> run_topics(const topics_options& options);

} // namespace candor::bench
