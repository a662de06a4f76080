/// How the command-line tools talk to a node: HTTP/1.1 with one kept connection an object, JSON in
/// and out. Guarantees: every call ends within its timeout; a problem+json of the node comes back
/// as the error that the node meant, with its sentence, remedy and trace id. One thread at a time.
/// Must never print or log what it sends: bodies carry what people said.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "storage/base/error.hpp"
#include "storage/base/time.hpp"
#include "tools/http_client/event_stream.hpp"

namespace candor::http_client {

struct options {
  std::string url = "http://127.0.0.1:8080"; ///< of the node, without a path
  std::string key;                           ///< API key; empty: none is sent
  std::string ca_file;                       ///< PEM, for https; empty: the machine's
  millis timeout{30'000};                    ///< of a whole call
};

struct response {
  int status = 0;
  std::string content_type; ///< without parameters
  std::string body;
  millis retry_after{0}; ///< 0: the node named none
  bool ok() const noexcept { return status >= 200 && status < 300; }
};

/// What went wrong, for a person.
struct failure {
  error why;
  std::string sentence; ///< the node's, or the error table's
  std::string remedy;
  std::string trace_id; ///< empty: no node answered
  int status = 0;       ///< HTTP; 0: no node answered
  millis retry_after{0};
};

template <class T>
using outcome = tl::expected<T, failure>;

/// The failure that a refusing response means.
failure to_failure(const response& from);
failure to_failure(error why);

/// Percent-encodes one segment of a path, or one value of a query.
std::string escape(std::string_view text);

class client {
public:
  explicit client(options with);
  ~client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;

  /// Whatever the node answers, refusals included. Error: `unavailable` (nobody answers there),
  /// `timed_out`, `io_failed`.
  result<response> send(std::string_view method, const std::string& path,
                        std::string_view body = {}, std::string_view content_type = {});

  /// The answer's JSON; null where there is no body.
  outcome<nlohmann::ordered_json> get(const std::string& path);
  outcome<nlohmann::ordered_json> call(std::string_view method, const std::string& path,
                                       const nlohmann::ordered_json& body = {});

  /// GET of a stream of server-sent events, told one by one until `tell` wants no more or the node
  /// ends it; `after` is the id of the last that was read before. Answers with the last id read.
  /// Silence ends it too: a node shows in between that it lives.
  outcome<std::string> listen(const std::string& path, const std::string& after,
                              const std::function<bool(const server_event&)>& tell);

  const options& with() const noexcept { return with_; }

private:
  struct handle;
  options with_;
  std::unique_ptr<handle> handle_;
};

} // namespace candor::http_client
