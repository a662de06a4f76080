#include "actors/notification/mail.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

namespace candor::notification {

namespace {

using encryption = smtp_options::encryption;

/// What libcurl reads a message from, and what it saw of the dialogue.
struct transfer {
  std::string_view rest;
  bool recipient_told = false; ///< from here on a 5xx is about this mail, before it is about us
};

std::size_t read_message(char* to, std::size_t size, std::size_t count, void* at) {
  auto& rest = static_cast<transfer*>(at)->rest;
  auto length = std::min(size * count, rest.size());
  std::memcpy(to, rest.data(), length);
  rest.remove_prefix(length);
  return length;
}

std::size_t drop_reply(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

int watch_dialogue(CURL*, curl_infotype type, char* data, std::size_t size, void* at) {
  if (type == CURLINFO_HEADER_OUT && std::string_view{data, size}.starts_with("RCPT "))
    static_cast<transfer*>(at)->recipient_told = true;
  return 0;
}

using open_sockets = std::vector<curl_socket_t>;

curl_socket_t open_socket(void* at, curlsocktype, curl_sockaddr* to) {
  auto made = ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
  if (made >= 0)
    static_cast<open_sockets*>(at)->push_back(made);
  return made; // -1 is CURL_SOCKET_BAD
}

int close_socket(void* at, curl_socket_t which) {
  std::erase(*static_cast<open_sockets*>(at), which);
  return ::close(which);
}

struct easy_end {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct list_end {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class smtp_mailer final : public mailer {
public:
  smtp_mailer(smtp_options options, CURL* handle)
    : options_{std::move(options)}
    , url_{fmt::format("{}://{}:{}/{}", options_.tls == encryption::implicit ? "smtps" : "smtp",
                       options_.host, options_.port, options_.greeting)}
    , handle_{handle} {}

  ~smtp_mailer() override { hang_up(); }
  smtp_mailer(const smtp_mailer&) = delete;
  smtp_mailer& operator=(const smtp_mailer&) = delete;

  outcome send(const mail& what) override {
    using kind = outcome::kind;
    // compose() made sure of it; a command more would be another person's mail.
    CANDOR_ASSERT(is_address(what.from) && is_address(what.to));
    transfer state{what.message};
    if (!handle_)
      handle_.reset(curl_easy_init());
    std::unique_ptr<curl_slist, list_end> to{
        curl_slist_append(nullptr, fmt::format("<{}>", what.to).c_str())};
    if (!handle_ || !to || !prepare(what, to.get(), state))
      return {kind::deferred, 0, "libcurl takes no options"};
    auto code = curl_easy_perform(handle_.get());
    long reply = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &reply);
    outcome made{kind::deferred, static_cast<int>(reply), curl_easy_strerror(code)};
    if (code == CURLE_OK)
      made = {kind::accepted, static_cast<int>(reply), {}};
    else if (reply >= 500 && reply <= 599 && state.recipient_told)
      made.what = kind::refused;
    if (code != CURLE_OK)
      hang_up();
    return made;
  }

private:
  /// After a time-out libcurl 7.88 would go on with the same connection, where a late answer to one
  /// mail would be taken for the answer to the next. And to end one it would wait for the answer to
  /// QUIT, beyond every deadline.
  void hang_up() {
    for (auto socket : sockets_)
      ::shutdown(socket, SHUT_RDWR);
    handle_.reset();
  }

  bool prepare(const mail& what, curl_slist* to, transfer& state) {
    auto* handle = handle_.get();
    curl_easy_reset(handle); // keeps the connection
    auto good = true;
    auto set = [&](CURLoption option, auto value) {
      good = curl_easy_setopt(handle, option, value) == CURLE_OK && good;
    };
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set(CURLOPT_PROXY, ""); // none, whatever the environment says
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_deadline.count()));
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(options_.deadline.count()));
    set(CURLOPT_MAXAGE_CONN, 30L);
    set(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(&sockets_));
    set(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(&sockets_));
    set(CURLOPT_USE_SSL,
        static_cast<long>(options_.tls == encryption::none ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty())
      set(CURLOPT_CAINFO, options_.ca_file.c_str());
    if (!options_.user.empty()) {
      set(CURLOPT_USERNAME, options_.user.c_str());
      set(CURLOPT_PASSWORD, options_.password.c_str());
    }
    set(CURLOPT_MAIL_FROM, fmt::format("<{}>", what.from).c_str());
    set(CURLOPT_MAIL_RCPT, to);
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_READFUNCTION, read_message);
    set(CURLOPT_READDATA, static_cast<void*>(&state));
    set(CURLOPT_WRITEFUNCTION, drop_reply);
    set(CURLOPT_VERBOSE, 1L); // to the function below only, never to stderr
    set(CURLOPT_DEBUGFUNCTION, watch_dialogue);
    set(CURLOPT_DEBUGDATA, static_cast<void*>(&state));
    return good;
  }

  smtp_options options_;
  std::string url_;
  open_sockets sockets_; ///< outlives the handle, which closes them
  std::unique_ptr<CURL, easy_end> handle_;
};

/// A host as it may stand in an address of libcurl's: nothing there may end the host's part.
bool host_holds(std::string_view host) {
  return is_address(fmt::format("x@{}", host));
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host.starts_with("127.");
}

} // namespace

result<std::unique_ptr<mailer>> make_smtp_mailer(smtp_options options) {
  auto refuse = [](std::string_view what) {
    return fail(errc::config_invalid, fmt::format("smtp.{}", what));
  };
  if (!host_holds(options.host))
    return refuse("host must be a host name or an IPv4 address");
  if (options.port == 0)
    return refuse("port must be from 1 to 65535");
  if (!host_holds(options.greeting))
    return refuse("greeting must be a host name");
  if (options.user.empty() != options.password.empty())
    return refuse("user and password: both or none");
  if (!options.user.empty() && options.tls == encryption::none && !is_loopback(options.host))
    return refuse("password is not sent without encryption");
  auto bounded = [](millis span) { return span >= millis{1} && span <= std::chrono::minutes{10}; };
  if (!bounded(options.connect_deadline) || !bounded(options.deadline))
    return refuse("deadlines must be from 1 ms to 10 min");
  static const auto started = curl_global_init(CURL_GLOBAL_DEFAULT); // once in a process
  auto* handle = started == CURLE_OK ? curl_easy_init() : nullptr;
  if (!handle)
    return fail(errc::unavailable, "libcurl cannot be started");
  return std::make_unique<smtp_mailer>(std::move(options), handle);
}

} // namespace candor::notification
