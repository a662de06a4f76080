/// Reads server-sent events (WHATWG HTML, 9.2) as their bytes come, in pieces of any size.
/// Guarantees: an event is told once it is whole; comments are passed over; what is longer than its
/// bound is refused rather than gathered without end.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace candor::http_client {

struct server_event {
  std::string id;
  std::string name = "message";
  std::string data; ///< lines joined by line feeds
};

class event_stream {
public:
  /// `tell` answers whether it wants more.
  explicit event_stream(std::function<bool(const server_event&)> tell)
    : tell_{std::move(tell)} {}

  /// False when no more is wanted, or what comes is no such stream.
  bool feed(std::string_view bytes);

  /// Of the last event that had one: where to go on from.
  const std::string& last_id() const noexcept { return last_id_; }

private:
  bool take_line(std::string_view line);

  std::function<bool(const server_event&)> tell_;
  std::string line_;
  server_event open_;
  bool has_data_ = false;
  std::string last_id_;
};

} // namespace candor::http_client
