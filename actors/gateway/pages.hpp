/// The few things that the gateway serves as they are.
#pragma once

#include <string_view>

namespace candor::gateway {

/// actors/gateway/openapi.yaml, as it was when this was built.
std::string_view openapi_yaml() noexcept;

/// What stands at "/": says what this is.
std::string_view front_page() noexcept;

} // namespace candor::gateway
