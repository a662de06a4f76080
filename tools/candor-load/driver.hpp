/// Sends generated events to a node, at a rate or in a closed loop, and measures. At a rate, a
/// latency counts from when the request was due, not from when it was sent: a node that stalls
/// cannot hide it. What is not answered is sent again with the same ids.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "tools/candor-load/generator.hpp"
#include "tools/candor-load/histogram.hpp"
#include "tools/http_client/http_client.hpp"

namespace candor::load {

/// What is asked in a closed loop in place of sending events.
enum class question : std::uint8_t {
  none,
  ads,   ///< a decision on one ad for a person
  livez, ///< GET /livez, which the server answers without an actor: the limit of the others
};

struct driver_options {
  generator_options events;
  http_client::options node;
  std::optional<std::uint64_t> count; ///< of events; none: until `duration`
  std::optional<millis> duration;
  std::optional<double> events_per_s; ///< none: a closed loop
  unsigned connections = 4;
  std::size_t batch = 100;    ///< events a request
  unsigned query_percent = 0; ///< of operations: reading a person's interests
  question asked = question::none;
  std::optional<timestamp> at; ///< of all events; none: the machine's time
  std::string acked_file;      ///< "id<TAB>user" of every acknowledged event
  millis patience{10'000};     ///< without an answer, before the load ends
  bool prepare = false;        ///< make the persons first
  std::string region = "US";
  std::string notice_at = "2025-10-08T00:00:00Z";
};

struct outcome {
  std::uint64_t events = 0; ///< answered
  double seconds = 0;
  std::map<std::string, std::uint64_t> verdicts; ///< by status
  std::map<std::string, std::uint64_t> reasons;  ///< "status: reason"
  std::uint64_t requests = 0;
  std::uint64_t failed_requests = 0; ///< not answered, or refused; they were sent again
  histogram latency;                 ///< of requests with events
  std::uint64_t queries = 0;
  histogram query_latency;
  std::uint64_t ads = 0;                        ///< that were decided on
  std::optional<http_client::failure> ended_by; ///< why it ended early
};

/// Error: `io_failed` for the file of acknowledgements.
result<outcome> drive(const driver_options& options);

} // namespace candor::load
