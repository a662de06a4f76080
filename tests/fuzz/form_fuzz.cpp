/// Any bytes as a form (multipart/form-data): a first line as the request's Content-Type, the rest
/// as its body. It becomes parts within the body or a refusal, and so does a form that holds an
/// event and its sound; nothing throws.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "actors/gateway/parse/form.hpp"
#include "actors/gateway/parse/spoken.hpp"
#include "tests/fuzz/event_invariants.hpp"

namespace {

using namespace candor;

void check_refusal(const error& why) {
  auto status = info(why.code).http_status;
  CANDOR_ASSERT(status >= 400 && status < 500);
  CANDOR_ASSERT(valid_utf8(why.detail));
}

void check_parts(std::string_view body, std::string_view content_type, std::size_t parts_max) {
  auto parts = parse::read_form(body, content_type, parts_max);
  if (!parts) {
    check_refusal(parts.error());
    return;
  }
  CANDOR_ASSERT(parts->size() <= parts_max);
  auto at = body.data();
  for (const auto& p : *parts) {
    CANDOR_ASSERT(!p.name.empty() && p.name.size() <= limits::form_part_head_bytes);
    CANDOR_ASSERT(p.content.data() >= at &&
                  p.content.data() + p.content.size() <= body.data() + body.size());
    at = p.content.data() + p.content.size(); // one after the other
  }
}

void check_spoken(std::string_view body, std::string_view content_type) {
  auto parsed = parse::read_spoken_form(body, content_type, fuzz::known_regions());
  if (!parsed) {
    check_refusal(parsed.error());
    return;
  }
  if (!parsed->event) {
    check_refusal(parsed->event.error());
    return;
  }
  const auto& e = *parsed->event;
  CANDOR_ASSERT(e.id == parsed->id && !e.id.empty());
  CANDOR_ASSERT(user_id::parse(e.user.value()).has_value());
  CANDOR_ASSERT(e.kind == model::event_kind::ai_interaction);
  CANDOR_ASSERT(e.modality == model::modality::voice);
  CANDOR_ASSERT(e.confidence == 0); // nobody has heard it yet
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text{reinterpret_cast<const char*>(data), size};
  auto line = text.find('\n');
  auto content_type = text.substr(0, line);
  auto body = line == text.npos ? std::string_view{} : text.substr(line + 1);
  for (std::size_t parts_max : {0, 1, 2, 64})
    check_parts(body, content_type, parts_max);
  check_spoken(body, content_type);
  return 0;
}
