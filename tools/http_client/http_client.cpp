#include "tools/http_client/http_client.hpp"

#include <algorithm>
#include <charconv>
#include <mutex>

#include <curl/curl.h>
#include <fmt/format.h>

#include "storage/base/limits.hpp"

namespace candor::http_client {

namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024 * 1024;

struct answer {
  response made;
  bool too_large = false;
};

constexpr std::size_t problem_bytes_max = 64 * 1024;

/// An open stream; what refuses it is gathered as an answer.
struct listener {
  CURL* curl;
  event_stream events;
  answer got;
  bool enough = false;
};

std::size_t take_events(char* data, std::size_t, std::size_t n, void* to) {
  auto& l = *static_cast<listener*>(to);
  long status = 0;
  curl_easy_getinfo(l.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    if (l.got.made.body.size() < problem_bytes_max)
      l.got.made.body.append(data, n);
    return n;
  }
  if (l.events.feed({data, n}))
    return n;
  l.enough = true;
  return 0; // makes curl end the transfer
}

std::size_t take_body(char* data, std::size_t, std::size_t n, void* to) {
  auto& a = *static_cast<answer*>(to);
  if (a.made.body.size() + n > answer_bytes_max) {
    a.too_large = true;
    return 0; // makes curl end the transfer
  }
  a.made.body.append(data, n);
  return n;
}

/// Seconds; a date is taken as one second.
millis retry_after(std::string_view value) {
  long seconds = 1;
  std::from_chars(value.data(), value.data() + value.size(), seconds);
  return std::chrono::seconds{std::clamp(seconds, 0l, 3600l)};
}

std::size_t take_header(char* data, std::size_t, std::size_t n, void* to) {
  auto& made = static_cast<answer*>(to)->made;
  std::string_view line{data, n};
  auto colon = line.find(':');
  if (colon == line.npos)
    return n;
  std::string name{line.substr(0, colon)};
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  auto value = line.substr(colon + 1);
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front())))
    value.remove_prefix(1);
  while (!value.empty() && std::isspace(static_cast<unsigned char>(value.back())))
    value.remove_suffix(1);
  if (name == "content-type")
    made.content_type = value.substr(0, value.find(';'));
  else if (name == "retry-after")
    made.retry_after = retry_after(value);
  return n;
}

const error_info* find_slug(std::string_view slug) {
  auto table = error_table();
  auto it = std::ranges::find(table, slug, &error_info::slug);
  return it == table.end() ? nullptr : &*it;
}

std::string text_of(const nlohmann::json& object, const char* field) {
  auto it = object.find(field);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

/// What every request has. `why` has CURL_ERROR_SIZE bytes.
void set_address(CURL* curl, const std::string& url, const options& with, char* why) {
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
  if (!with.ca_file.empty())
    curl_easy_setopt(curl, CURLOPT_CAINFO, with.ca_file.c_str());
}

} // namespace

failure to_failure(error why) {
  const auto& row = info(why.code);
  return {why, std::string{row.sentence}, std::string{row.remedy}, {}, 0, {}};
}

failure to_failure(const response& from) {
  auto problem = nlohmann::json::parse(from.body, nullptr, false);
  auto slug = problem.is_object() ? text_of(problem, "code") : std::string{};
  const auto* row = find_slug(slug);
  if (!row) {
    auto made = to_failure(error{
        errc::internal, fmt::format("status {} of something that is not a Candor node, or a newer "
                                    "one{}{}",
                                    from.status, slug.empty() ? "" : ": ", slug)});
    made.status = from.status;
    return made;
  }
  failure made = to_failure(error{row->code, text_of(problem, "detail")});
  if (auto title = text_of(problem, "title"); !title.empty())
    made.sentence = title;
  if (auto remedy = text_of(problem, "remedy"); !remedy.empty())
    made.remedy = remedy;
  made.trace_id = text_of(problem, "trace_id");
  made.status = from.status;
  made.retry_after = from.retry_after;
  return made;
}

std::string escape(std::string_view text) {
  std::string made;
  for (unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
      made += static_cast<char>(c);
    else
      fmt::format_to(std::back_inserter(made), "%{:02X}", static_cast<unsigned>(c));
  }
  // A segment of dots alone would be taken for a step up.
  if (made == "." || made == "..") {
    std::string dots;
    for (std::size_t i = 0; i < made.size(); ++i)
      dots += "%2E";
    return dots;
  }
  return made;
}

struct client::handle {
  CURL* easy = nullptr;
  handle() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    easy = curl_easy_init();
    CANDOR_ASSERT(easy);
  }
  ~handle() { curl_easy_cleanup(easy); }
};

client::client(options with)
  : with_{std::move(with)}
  , handle_{std::make_unique<handle>()} {
  while (with_.url.ends_with('/'))
    with_.url.pop_back();
}
client::~client() = default;
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;

result<response> client::send(std::string_view method, const std::string& path,
                              std::string_view body, std::string_view content_type) {
  auto* curl = handle_->easy;
  curl_easy_reset(curl); // keeps the connection
  answer got;
  auto url = with_.url + path;
  std::string verb{method};
  char why[CURL_ERROR_SIZE] = "";
  curl_slist* headers = nullptr;
  auto add = [&](const std::string& line) { headers = curl_slist_append(headers, line.c_str()); };
  add("Expect:"); // no pause before a large body
  add("Accept: application/json, application/x-ndjson");
  if (!with_.key.empty())
    add("Authorization: Bearer " + with_.key);
  if (!content_type.empty())
    add(fmt::format("Content-Type: {}", content_type));
  set_address(curl, url, with_, why);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(with_.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &got);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &got);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, verb.c_str());
  if (!body.empty() || verb == "POST" || verb == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    if (body.empty())
      curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, verb.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  auto code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (code != CURLE_OK) {
    std::string said = why[0] ? why : curl_easy_strerror(code);
    switch (code) {
      case CURLE_OPERATION_TIMEDOUT:
        return fail(errc::timed_out, fmt::format("{}: {}", with_.url, said));
      case CURLE_WRITE_ERROR:
        if (got.too_large)
          return fail(errc::too_large,
                      fmt::format("an answer has at most {} bytes here", answer_bytes_max));
        return fail(errc::io_failed, said);
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL:
        return fail(errc::bad_value, fmt::format("\"{}\" is not the URL of a node", with_.url));
      default:
        return fail(errc::unavailable, fmt::format("{}: {}", with_.url, said));
    }
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  got.made.status = static_cast<int>(status);
  return std::move(got.made);
}

outcome<std::string> client::listen(const std::string& path, const std::string& after,
                                    const std::function<bool(const server_event&)>& tell) {
  auto* curl = handle_->easy;
  curl_easy_reset(curl);
  listener l{curl, event_stream{tell}, {}, false};
  auto url = with_.url + path;
  char why[CURL_ERROR_SIZE] = "";
  curl_slist* headers = curl_slist_append(nullptr, "Accept: text/event-stream");
  if (!with_.key.empty())
    headers = curl_slist_append(headers, ("Authorization: Bearer " + with_.key).c_str());
  if (!after.empty())
    headers = curl_slist_append(headers, ("Last-Event-ID: " + after).c_str());
  set_address(curl, url, with_, why);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(with_.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                   static_cast<long>(3 * std::chrono::seconds{limits::stream_silence}.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_events);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &l);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &l.got);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  auto code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  l.got.made.status = static_cast<int>(status);
  if (status != 0 && status != 200)
    return tl::unexpected<failure>{to_failure(l.got.made)};
  auto last = l.events.last_id().empty() ? after : l.events.last_id();
  if (code == CURLE_OK || l.enough)
    return last;
  return tl::unexpected<failure>{
      to_failure(error{errc::unavailable,
                       fmt::format("{}: {}", with_.url, why[0] ? why : curl_easy_strerror(code))})};
}

outcome<nlohmann::ordered_json> client::get(const std::string& path) {
  return call("GET", path);
}

outcome<nlohmann::ordered_json> client::call(std::string_view method, const std::string& path,
                                             const nlohmann::ordered_json& body) {
  auto text = body.is_null() ? std::string{}
                             : body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  auto answered = send(method, path, text, body.is_null() ? "" : "application/json");
  if (!answered)
    return tl::unexpected<failure>{to_failure(answered.error())};
  if (!answered->ok())
    return tl::unexpected<failure>{to_failure(*answered)};
  if (answered->body.find_first_not_of(" \r\n") == std::string::npos)
    return nlohmann::ordered_json{};
  auto parsed = nlohmann::ordered_json::parse(answered->body, nullptr, false);
  if (parsed.is_discarded())
    return tl::unexpected<failure>{
        to_failure(error{errc::malformed, "the node's answer is not JSON"})};
  return parsed;
}

} // namespace candor::http_client
