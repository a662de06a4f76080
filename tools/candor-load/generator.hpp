/// Makes events out of word lists: event `i` of a seed is always the same, so that a load can be
/// sent again and counted. For load, tests and trying things out.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/rng.hpp"
#include "storage/base/time.hpp"

namespace candor::load {

struct generator_options {
  std::uint64_t seed = 1;
  std::uint64_t users = 100; ///< u-0 to u-<users - 1>
  unsigned ai_parts = 60;
  unsigned engagement_parts = 40;
  unsigned sensitive_per_mille = 20; ///< of interactions with the assistant
  std::string prefix = "e";          ///< of event ids
};

struct generated_event {
  std::string id;
  std::string user;
  bool sensitive = false;
  std::string topic; ///< what it was made about; empty where sensitive
  std::string json;  ///< one line, without its end
};

class generator {
public:
  explicit generator(generator_options options)
    : options_{std::move(options)} {}

  generated_event make(std::uint64_t i, timestamp at) const;

  static std::string user(std::uint64_t number);

private:
  generator_options options_;
};

} // namespace candor::load
