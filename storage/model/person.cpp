#include "storage/model/person.hpp"

namespace candor::model {

std::string_view to_string(channel c) noexcept {
  return c == channel::in_app ? "in_app" : "email";
}

std::optional<channel> find_channel(std::string_view slug) noexcept {
  for (auto c : {channel::in_app, channel::email})
    if (slug == to_string(c))
      return c;
  return std::nullopt;
}

} // namespace candor::model
