#include "storage/model/signal.hpp"

namespace candor::model {

std::string_view to_string(source s) noexcept {
  return s == source::ai ? "ai" : "engagement";
}

std::optional<source> find_source(std::string_view slug) noexcept {
  for (auto s : {source::ai, source::engagement})
    if (slug == to_string(s))
      return s;
  return std::nullopt;
}

} // namespace candor::model
