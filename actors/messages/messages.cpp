#include "actors/messages/messages.hpp"

namespace candor {

namespace {

const caf::atom_value error_category = caf::atom("candor");

} // namespace

caf::error to_caf(const error& e) {
  return caf::error{static_cast<std::uint8_t>(e.code), error_category, caf::make_message(e.detail)};
}

error from_caf(const caf::error& e) {
  if (e.category() == error_category && e.code() < error_table().size()) {
    error mine{static_cast<errc>(e.code()), {}};
    if (e.context().match_elements<std::string>())
      mine.detail = e.context().get_as<std::string>(0);
    return mine;
  }
  if (e == caf::sec::request_timeout)
    return {errc::timed_out, {}};
  if (e == caf::sec::request_receiver_down)
    return {errc::unavailable, "the room went down while it answered"};
  return {errc::internal, "an actor failed"};
}

} // namespace candor
