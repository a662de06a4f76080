/// Any bytes as a bid request: read or refused; what was read names nobody who may not be known,
/// keeps to every bound, and nothing throws.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "actors/gateway/parse/openrtb.hpp"
#include "storage/base/ids.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/targeting/expression.hpp"
#include "storage/model/topic.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  auto made = parse::parse_bid_request({reinterpret_cast<const char*>(data), size});
  if (!made) {
    auto status = info(made.error().code).http_status;
    CANDOR_ASSERT(status >= 400 && status < 500);
    CANDOR_ASSERT(valid_utf8(made.error().detail));
    return 0;
  }
  CANDOR_ASSERT(!made->id.empty());
  CANDOR_ASSERT(made->refused || !made->places.empty());
  CANDOR_ASSERT(made->places.size() <= limits::ads_per_decision);
  for (const auto& p : made->places)
    CANDOR_ASSERT(p.floor_micros >= 0);
  auto may_be_known = made->consent && !made->coppa;
  CANDOR_ASSERT(may_be_known || (made->user.empty() && made->segments.empty()));
  CANDOR_ASSERT(made->segments.size() <= model::targeting::values_max);
  for (const auto* topics : {&made->ctx, &made->bcat})
    for (const auto& t : *topics)
      CANDOR_ASSERT(model::find_topic(t).has_value());
  return 0;
}
