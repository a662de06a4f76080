/// Errors as values. One table (errors.def) makes the enumeration, the problem types of the HTTP
/// interface, the command line's messages and the reference page. Functions that can fail return
/// `result<T>`; exceptions stop at the border of the library that throws them. A detail never
/// carries what a person said, nor a user id.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace candor {

enum class errc : std::uint16_t {
#define X(name, status, sentence, remedy) name,
#include "storage/base/errors.def"
#undef X
};

struct error_info {
  errc code;
  std::string_view slug;     ///< e.g. "user_not_found"
  int http_status;           ///< RFC 9110
  std::string_view sentence; ///< what happened
  std::string_view remedy;   ///< what the reader can do
};

/// All rows of the table, in the order of `errc`.
std::span<const error_info> error_table() noexcept;

const error_info& info(errc code) noexcept;

struct error {
  errc code = errc::internal;
  std::string detail; ///< for a person; may be empty

  /// "slug: sentence (detail)"
  std::string to_string() const;
};

template <class T>
using result = tl::expected<T, error>;

inline tl::unexpected<error> fail(errc code, std::string detail = {}) {
  return tl::unexpected<error>{error{code, std::move(detail)}};
}

/// Ends the process with a message: an invariant of the code does not hold, so nothing it would do
/// next can be trusted.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

} // namespace candor

/// Stays on in release builds.
#define CANDOR_ASSERT(expression)                                                                  \
  (static_cast<bool>(expression) ? void(0)                                                         \
                                 : ::candor::assertion_failed(#expression, __FILE__, __LINE__))

/// `CANDOR_TRY(name, expression)`: name is the value, or the error is returned.
#define CANDOR_CONCAT_(a, b) a##b
#define CANDOR_CONCAT(a, b) CANDOR_CONCAT_(a, b)
#define CANDOR_TRY(name, expression)                                                               \
  auto CANDOR_CONCAT(try_, __LINE__) = (expression);                                               \
  if (!CANDOR_CONCAT(try_, __LINE__))                                                              \
    return ::tl::unexpected<::candor::error>{std::move(CANDOR_CONCAT(try_, __LINE__).error())};    \
  auto& name = *CANDOR_CONCAT(try_, __LINE__)

/// The same for `result<void>`.
#define CANDOR_TRY_VOID(expression)                                                                \
  do {                                                                                             \
    if (auto try_ = (expression); !try_)                                                           \
      return ::tl::unexpected<::candor::error>{std::move(try_.error())};                           \
  } while (false)
