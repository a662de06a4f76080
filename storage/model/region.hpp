/// Regions of people: ISO 3166-1 alpha-2 codes, and the dated groups (EU, EEA, ...) that policies
/// name.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::model {

/// Two upper-case letters.
struct region_code {
  std::array<char, 2> letters{};

  std::string_view view() const noexcept { return {letters.data(), 2}; }
  friend auto operator<=>(const region_code&, const region_code&) = default;
};

/// Which codes exist, and what groups contain them from when until when. From configs/regions.toml.
class region_table {
public:
  /// Parses regions.toml. Error: `config_invalid` with line and column.
  static result<region_table> parse(std::string_view toml, std::string_view file_name);

  /// A code that the table knows. Error: `bad_region`.
  result<region_code> find(std::string_view code) const;

  bool is_group(std::string_view name) const;

  /// True where `region` is the code `name`, or belongs to the group `name` at `at`.
  bool contains(std::string_view name, region_code region, timestamp at) const;

  /// All codes, ascending.
  const std::vector<region_code>& codes() const noexcept { return codes_; }

  /// The instants at which a membership of any group begins or ends, ascending.
  const std::vector<timestamp>& changes() const noexcept { return changes_; }

private:
  struct membership {
    region_code region;
    timestamp from;
    timestamp until;
  };
  std::vector<region_code> codes_;
  std::map<std::string, std::vector<membership>, std::less<>> groups_; ///< ascending by region
  std::vector<timestamp> changes_;
};

} // namespace candor::model
