/// What the policy needs to know of a person, and nothing else. Part of the sealed user record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/time.hpp"
#include "storage/model/region.hpp"

namespace candor::model {

/// The person's region from `since` until the next period's `since`.
struct region_period {
  region_code region;
  timestamp since;
  friend bool operator==(const region_period&, const region_period&) = default;
};

enum class channel : std::uint8_t { in_app, email };

/// A notice that reached the person. Keyed by policy id, notice revision and channel.
struct notice_reached {
  std::string policy;
  std::uint32_t revision = 0;
  model::channel channel = model::channel::in_app;
  timestamp at;
  friend bool operator==(const notice_reached&, const notice_reached&) = default;
};

struct opt_out {
  std::string policy;
  timestamp at;
  friend bool operator==(const opt_out&, const opt_out&) = default;
};

struct person {
  std::vector<region_period> regions; ///< ascending by `since`; empty: the region is unknown
  std::optional<int> birth_year;
  std::vector<notice_reached> notices;
  std::vector<opt_out> opt_outs;
  std::optional<timestamp> assistant_user_since; ///< a date; set once
  friend bool operator==(const person&, const person&) = default;
};

std::string_view to_string(channel c) noexcept;
std::optional<channel> find_channel(std::string_view slug) noexcept;

} // namespace candor::model
