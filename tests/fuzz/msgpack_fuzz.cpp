/// Any bytes as a stream of msgpack maps: each object becomes an event that holds what events
/// promise, or a refusal; nothing throws, and no claimed size is allocated.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/event_invariants.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  std::string_view bytes{reinterpret_cast<const char*>(data), size};
  auto stream = parse::read_msgpack(bytes, fuzz::known_regions());
  CANDOR_ASSERT(fuzz::drain(*stream) <= size);
  return 0;
}
