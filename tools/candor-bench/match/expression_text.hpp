/// Reads the bench format's expressions (docs/ads.md) over any schema. The product's language has a
/// closed list of attributes and words (storage/model/targeting); this one has integers.
/// Guarantees: depth is bounded; an error says in which column.
#pragma once

#include <string_view>
#include <unordered_map>

#include "actors/ad_matching/index/schema.hpp"
#include "storage/base/error.hpp"

namespace candor::bench {

inline constexpr std::size_t expression_depth_max = 200;

class wish_reader {
public:
  /// `schema` must outlive it.
  explicit wish_reader(const ad_matching::index::schema& schema);

  /// An empty text is for everyone. Error: `malformed`.
  result<ad_matching::index::wish> read(std::string_view text) const;

private:
  friend class wish_parser;
  const ad_matching::index::schema& schema_;
  std::unordered_map<std::string_view, std::uint16_t> names_;
};

/// As `read` reads it: what tests and the generator write.
std::string to_text(const ad_matching::index::wish& w, const ad_matching::index::schema& schema);

} // namespace candor::bench
