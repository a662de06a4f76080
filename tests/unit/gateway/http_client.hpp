/// A small blocking HTTP client that can also misbehave: tests send bytes as they please.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace candor::gateway_tests {

struct response {
  int status = 0; ///< 0: the connection ended without one
  std::map<std::string, std::string> headers;
  std::string body;
};

class http_client {
public:
  /// `from`: which of this machine's loopback addresses it comes from.
  explicit http_client(std::uint16_t port, const char* from = "127.0.0.1") {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &own.sin_addr);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof own);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~http_client() { ::close(fd_); }
  http_client(const http_client&) = delete;
  http_client& operator=(const http_client&) = delete;

  bool connected() const { return connected_; }

  /// False where the other side has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0)
        return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// The next response; `head_only` where it has no body whatever its length says.
  response receive(bool head_only = false, int timeout_ms = 10'000) {
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{timeout_ms};
    response r;
    std::size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos)
      if (!read_more(until))
        return r;
    std::string_view head{buffer_.data(), end};
    r.status = std::stoi(std::string{head.substr(9, 3)});
    for (auto at = head.find("\r\n"); at != std::string_view::npos;) {
      auto next = head.find("\r\n", at + 2);
      auto line = head.substr(at + 2, next == head.npos ? head.npos : next - at - 2);
      auto colon = line.find(':');
      std::string name{line.substr(0, colon)};
      for (auto& c : name)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      r.headers[name] = std::string{line.substr(colon + 2)};
      at = next;
    }
    buffer_.erase(0, end + 4);
    if (head_only || r.status == 100)
      return r;
    auto length = r.headers.contains("content-length")
                      ? static_cast<std::size_t>(std::stoull(r.headers["content-length"]))
                      : 0;
    while (buffer_.size() < length)
      if (!read_more(until))
        break;
    r.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return r;
  }

  /// True once the other side has closed and everything was read.
  bool ended(int timeout_ms = 5000) {
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{timeout_ms};
    while (read_more(until)) {
    }
    return closed_;
  }

private:
  bool read_more(std::chrono::steady_clock::time_point until) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd wait{fd_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) <= 0)
      return false;
    char piece[4096];
    auto n = ::recv(fd_, piece, sizeof piece, 0);
    if (n <= 0) {
      closed_ = true;
      return false;
    }
    buffer_.append(piece, static_cast<std::size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool closed_ = false;
  std::string buffer_;
};

/// A whole request's text.
inline std::string request(std::string_view method, std::string_view path,
                           std::string_view body = {}, std::string_view type = {},
                           std::string_view headers = {}) {
  std::string made{method};
  made.append(" ").append(path).append(" HTTP/1.1\r\nHost: localhost\r\n").append(headers);
  if (!type.empty())
    made.append("Content-Type: ").append(type).append("\r\n");
  if (!body.empty())
    made.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  return made.append("\r\n").append(body);
}

} // namespace candor::gateway_tests
