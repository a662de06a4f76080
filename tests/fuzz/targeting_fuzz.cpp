/// Any bytes as a targeting expression: read or refused with a place; what was read is written and
/// read again as the same, and can be evaluated; nothing throws.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "storage/base/ids.hpp"
#include "storage/model/targeting/expression.hpp"
#include "storage/model/topic.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  using namespace candor::model::targeting;
  std::string_view text{reinterpret_cast<const char*>(data), size};
  auto made = expression::parse(text);
  if (!made) {
    CANDOR_ASSERT(made.error().code == errc::targeting_invalid ||
                  made.error().code == errc::sensitive_targeting);
    CANDOR_ASSERT(made.error().detail.starts_with("line "));
    CANDOR_ASSERT(valid_utf8(made.error().detail));
    return 0;
  }
  CANDOR_ASSERT(made->nodes().size() <= nodes_max);
  for (const auto& topic : made->topics_named())
    CANDOR_ASSERT(model::find_topic(topic).has_value());
  auto again = expression::parse(made->to_text());
  CANDOR_ASSERT(again.has_value() && *again == *made);
  attributes of;
  of.set_word(attribute::country, "US");
  of.set_list(attribute::topics, {"outdoors"});
  of.set_number(attribute::hour_of_week, 12);
  CANDOR_ASSERT(made->holds(of) == made->first_failing(of).empty());
  return 0;
}
