/// Errors as RFC 9457 problems, and the W3C trace that binds one to its request. Pure but for the
/// random ids.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "actors/gateway/http.hpp"
#include "storage/base/error.hpp"
#include "storage/base/rng.hpp"

namespace candor::gateway {

/// What is the same in every problem of one kind.
struct problem_kind {
  std::string code; ///< the slug; the type is https://candor.invalid/problems/<code>
  std::string title;
  std::string remedy;
  int status = 500;
};

problem_kind kind_of(errc code);

/// `event_id`: of the one event that the problem is about. 429 and 503 say when to come again.
reply make_problem(const problem_kind& kind, std::string_view detail, std::string_view trace_id,
                   std::optional<std::string_view> event_id = std::nullopt);

reply make_problem(const error& why, std::string_view trace_id);

/// Fills in `trace_id` and `traceparent`: the caller's trace where its header is well-formed (W3C
/// Trace Context, level 1), a new one otherwise; a new span in any case.
void join_trace(exchange& x, rng& random);

} // namespace candor::gateway
