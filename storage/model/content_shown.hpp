/// One item of a feed that a person saw or hid: what keeps it from being shown again. Part of the
/// person's sealed rows, at most limits::content_remembered of them. Guarantees: the codec is
/// versioned and an old row stays readable. Must never say more of the item than its id.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"

namespace candor::model {

struct content_shown {
  std::string content; ///< the item's id
  timestamp at;
  bool hidden = false; ///< the person wants no more of it
  friend bool operator==(const content_shown&, const content_shown&) = default;
};

/// msgpack arrays that begin with their version. Error: `corrupt`.
std::string encode(const content_shown& x);
result<content_shown> decode_content_shown(std::string_view bytes);

} // namespace candor::model
