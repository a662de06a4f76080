/// Any bytes as a body of NDJSON, and as one JSON event: each line becomes an event that holds what
/// events promise, or a refusal; nothing throws.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/event_invariants.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  std::string_view text{reinterpret_cast<const char*>(data), size};
  auto stream = parse::read_ndjson(text, fuzz::known_regions());
  auto lines = static_cast<std::size_t>(std::ranges::count(text, '\n')) + 1;
  CANDOR_ASSERT(fuzz::drain(*stream) <= lines);
  fuzz::check(parse::parse_event_json(text, fuzz::known_regions()));
  return 0;
}
