/// Any bytes as a request's target (path and query), and as the headers that are read beside it:
/// read or refused as malformed; nothing that was decoded is longer than what was sent; nothing
/// throws.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "actors/gateway/target.hpp"
#include "storage/base/ids.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  std::string_view text{reinterpret_cast<const char*>(data), size};
  gateway::names_loopback(text);
  CANDOR_ASSERT(gateway::media_type(text).size() <= size);
  if (auto n = gateway::parse_number("limit", text, 1000); n)
    CANDOR_ASSERT(*n <= 1000);
  else
    CANDOR_ASSERT(n.error().code == errc::bad_value);
  auto target = gateway::parse_target(text);
  if (!target) {
    CANDOR_ASSERT(target.error().code == errc::malformed);
    CANDOR_ASSERT(valid_utf8(target.error().detail));
    return 0;
  }
  std::size_t decoded = 0;
  for (const auto& segment : target->segments)
    decoded += segment.size() + 1; // and its slash
  for (const auto& [name, value] : target->query)
    decoded += name.size() + value.size() + 1; // and a question mark or an ampersand
  CANDOR_ASSERT(decoded <= size);
  return 0;
}
