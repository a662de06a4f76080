/// The shipped regions and reference policy, and people to judge by them.
#pragma once

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "storage/model/policy/policy.hpp"

namespace candor::model::testing {

inline std::string read_source_file(const std::string& path) {
  std::ifstream in{CANDOR_SOURCE_DIR "/" + path, std::ios::binary};
  REQUIRE(in);
  return {std::istreambuf_iterator<char>{in}, {}};
}

inline const region_table& shipped_regions() {
  static const auto table =
      region_table::parse(read_source_file("configs/regions.toml"), "regions.toml");
  if (!table)
    FAIL(table.error().to_string());
  return *table;
}

inline std::string reference_text() {
  return read_source_file("configs/policies/ai-interactions-2025-12-16.1.toml");
}

inline policy reference_policy() {
  auto p = parse_policy(reference_text(), "reference.toml", shipped_regions());
  if (!p)
    FAIL(p.error().to_string());
  return *p;
}

inline timestamp at(std::string_view text) {
  auto t = text.size() == 10 ? parse_date(text) : parse_time(text);
  REQUIRE(t);
  return *t;
}

inline region_code region(std::string_view code) {
  return {{code[0], code[1]}};
}

/// The reference policy with another version name and, where given, other rules.
template <class Change>
policy version_of(std::string_view version, std::string_view effective, Change change) {
  auto p = reference_policy();
  p.version = version;
  p.text = version;
  p.effective_at = at(effective);
  change(p);
  return p;
}

inline timeline timeline_of(std::initializer_list<policy> versions) {
  timeline made;
  for (const auto& p : versions)
    REQUIRE(made.apply(p, at("2025-10-01")));
  return made;
}

/// An adult in the United States who was told in time.
inline person someone() {
  person who;
  who.regions = {{region("US"), at("2020-01-01")}};
  who.birth_year = 1990;
  who.notices = {{"ai-interactions", 1, channel::in_app, at("2025-11-02T10:00:00Z")}};
  return who;
}

inline interaction happened(std::string_view when) {
  return {.at = at(when), .received = at(when)};
}

inline std::string shown(std::optional<reason> r) {
  return r ? std::string{to_string(*r)} : "allowed";
}

} // namespace candor::model::testing
