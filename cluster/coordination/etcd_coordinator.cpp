#include "cluster/coordination/etcd_coordinator.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <nlohmann/json.hpp>

#include "storage/engine/keys.hpp"

namespace candor::coordination {

namespace {

using json = nlohmann::json;

constexpr std::string_view txn_target = "/v3/kv/txn";
constexpr std::string_view watch_target = "/v3/watch";

instant now() {
  return std::chrono::steady_clock::now();
}

// What the gateway speaks: bytes in base64, 64-bit numbers as strings, zero and false left out.

std::string to_base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0'); // OpenSSL ends it with a zero
  const auto n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                 reinterpret_cast<const unsigned char*>(bytes.data()),
                                 static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(n));
  return text;
}

result<std::string> from_base64(const std::string& text) {
  if (text.size() % 4 != 0)
    return fail(errc::corrupt, "etcd sent no base64");
  std::string bytes(text.size() / 4 * 3, '\0');
  const auto n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                 reinterpret_cast<const unsigned char*>(text.data()),
                                 static_cast<int>(text.size()));
  if (n < 0)
    return fail(errc::corrupt, "etcd sent no base64");
  const auto padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.resize(static_cast<std::size_t>(n - padding));
  return bytes;
}

/// The member of an object, or null where it was left out.
const json& member(const json& object, const char* name) {
  static const json nothing;
  const auto it = object.find(name); // of what is no object, the end
  return it == object.end() ? nothing : *it;
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string{};
}

std::uint64_t number_of(const json& value) {
  if (value.is_number_unsigned())
    return value.get<std::uint64_t>();
  const auto text = text_of(value);
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool is_true(const json& value) {
  return value.is_boolean() && value.get<bool>();
}

/// A key as it stands, with the revision of the whole store that last changed it.
struct row {
  std::string key;
  versioned value;
  std::uint64_t revision = 0;
};

/// From a `kv` of a range or an event; `before` is cut from its key.
result<row> read_row(const json& kv, std::string_view before) {
  CANDOR_TRY(key, from_base64(text_of(member(kv, "key"))));
  CANDOR_TRY(value, from_base64(text_of(member(kv, "value"))));
  row r{std::move(key),
        {std::move(value), number_of(member(kv, "version"))},
        number_of(member(kv, "mod_revision"))};
  if (!r.key.starts_with(before) || r.value.version == 0 || r.revision == 0)
    return fail(errc::corrupt, "etcd sent a key that was not asked for");
  r.key.erase(0, before.size());
  return r;
}

constexpr int grpc_invalid_argument = 3;
constexpr int grpc_out_of_range = 11;

/// The answer to a transaction that etcd carried out: only such a one has a header with a revision.
/// Error: `bad_value` and `conflict` (a revision was compacted) are said before anything is done;
/// `unavailable` is everything else.
result<json> read_txn(const etcd_answer& answer) {
  auto parsed = json::parse(answer.body, nullptr, false);
  if (answer.status == 200 && number_of(member(member(parsed, "header"), "revision")) > 0)
    return parsed;
  auto detail = "etcd answered " + std::to_string(answer.status);
  if (auto why = text_of(member(parsed, "error")); !why.empty())
    detail += ": " + why;
  const auto code = number_of(member(parsed, "code"));
  if (answer.status == 400 && code == grpc_invalid_argument)
    return fail(errc::bad_value, std::move(detail));
  if (answer.status == 400 && code == grpc_out_of_range)
    return fail(errc::conflict, std::move(detail));
  return fail(errc::unavailable, std::move(detail));
}

struct listing {
  std::vector<row> rows;
  std::uint64_t revision = 0; ///< of the store when it was made
};

/// What a read asks for: keys from `begin` to `end`, or `begin` alone where `end` is empty.
struct range {
  std::string begin;
  std::string end;
  std::uint64_t at_revision = 0;   ///< 0: the present one
  std::uint64_t changed_since = 0; ///< only keys that changed in this revision or later
};

/// A fenced read: a transaction that also writes. etcd agrees on it as on any write, so whoever
/// answers it has seen all that was written before.
std::string fenced_read(const std::string& fence, const range& r) {
  json put, get;
  put["request_put"]["key"] = to_base64(fence);
  auto& asked = get["request_range"];
  asked["key"] = to_base64(r.begin);
  if (!r.end.empty())
    asked["range_end"] = to_base64(r.end);
  asked["limit"] = std::to_string(limits::coordination_page_keys);
  asked["revision"] = std::to_string(r.at_revision);
  asked["min_mod_revision"] = std::to_string(r.changed_since);
  json txn;
  txn["success"] = json::array({std::move(put), std::move(get)});
  return txn.dump();
}

/// Reads the whole range, in pages of one revision; `ask` carries one transaction. Error:
/// `conflict` where that revision was compacted meanwhile.
template <class Ask>
result<listing> read_range(const std::string& fence, range r, std::string_view before, Ask ask) {
  listing all;
  for (;;) {
    CANDOR_TRY(answer, ask(fenced_read(fence, r)));
    CANDOR_TRY(txn, read_txn(answer));
    const auto& responses = member(txn, "responses");
    if (!is_true(member(txn, "succeeded")) || !responses.is_array() || responses.size() != 2)
      return fail(errc::corrupt, "etcd answered a read with something else");
    const auto& page = member(responses[1], "response_range");
    std::string last;
    for (const auto& kv : member(page, "kvs")) {
      CANDOR_TRY(one, read_row(kv, before));
      last = std::string{before} + one.key;
      all.rows.push_back(std::move(one));
    }
    if (all.rows.size() > limits::coordination_listed)
      return fail(errc::too_many, "more keys have this prefix than a listing holds");
    if (all.revision == 0)
      all.revision = number_of(member(member(txn, "header"), "revision"));
    if (!is_true(member(page, "more")))
      return all;
    if (last.empty())
      return fail(errc::corrupt, "etcd sent an empty page and says there are more");
    r.begin = last + '\0';
    r.at_revision = all.revision;
  }
}

/// The members of the cluster, which of them is well, and connections to them that wait for work.
/// Watches hold it too: they may outlive the coordinator.
class etcd_members {
public:
  etcd_members(const etcd_options& options, std::vector<etcd_endpoint> endpoints,
               std::shared_ptr<etcd_trust> trust)
    : deadline_{options.deadline}
    , keys_{options.prefix + "keys/"}
    , fence_{options.prefix + "fence"}
    , endpoints_{std::move(endpoints)}
    , trust_{std::move(trust)}
    , idle_(endpoints_.size()) {}

  std::chrono::milliseconds deadline() const noexcept { return deadline_; }
  const std::string& keys() const noexcept { return keys_; }
  const std::string& fence() const noexcept { return fence_; }
  std::size_t size() const noexcept { return endpoints_.size(); }
  std::size_t preferred() const noexcept { return preferred_; }

  result<std::unique_ptr<etcd_connection>> new_connection(std::size_t at) const {
    return make_etcd_connection(endpoints_[at], trust_);
  }

  result<std::unique_ptr<etcd_connection>> connected(std::size_t at, instant until) {
    while (auto waiting = take_idle(at))
      if (waiting->is_idle())
        return waiting;
    CANDOR_TRY(fresh, new_connection(at));
    CANDOR_TRY_VOID(fresh->connect(until));
    return std::move(fresh);
  }

  void give_back(std::size_t at, std::unique_ptr<etcd_connection> used) {
    std::lock_guard guard{mutex_};
    if (idle_[at].size() < limits::coordination_connections_idle)
      idle_[at].push_back(std::move(used));
  }

  /// The next calls go to the next endpoint first.
  void went_wrong(std::size_t at) { preferred_.compare_exchange_strong(at, (at + 1) % size()); }

  /// One transaction that may be carried out any number of times: it is tried on each endpoint
  /// until one answers.
  result<etcd_answer> ask(const std::string& body, instant until) {
    error why{errc::unavailable, {}};
    const auto first = preferred();
    for (std::size_t i = 0; i < size(); ++i) {
      const auto at = (first + i) % size();
      const auto share = part_of(until, size() - i);
      auto c = connected(at, share);
      auto answer =
          c ? (*c)->post(txn_target, body, share) : result<etcd_answer>{tl::unexpected{c.error()}};
      if (answer && answer->status < 500) {
        give_back(at, std::move(*c));
        return answer;
      }
      went_wrong(at);
      why = answer ? error{errc::unavailable, "etcd answered " + std::to_string(answer->status)}
                   : answer.error();
      if (why.code == errc::too_large)
        break;
    }
    return tl::unexpected{std::move(why)};
  }

  /// An even part of the time that is left, so that one silent member does not use it all up.
  static instant part_of(instant until, std::size_t parts) {
    const auto start = now();
    return start + (until - start) / static_cast<long>(parts);
  }

private:
  std::unique_ptr<etcd_connection> take_idle(std::size_t at) {
    std::lock_guard guard{mutex_};
    if (idle_[at].empty())
      return nullptr;
    auto c = std::move(idle_[at].back());
    idle_[at].pop_back();
    return c;
  }

  const std::chrono::milliseconds deadline_;
  const std::string keys_;
  const std::string fence_;
  const std::vector<etcd_endpoint> endpoints_;
  const std::shared_ptr<etcd_trust> trust_;
  std::atomic<std::size_t> preferred_ = 0;
  std::mutex mutex_;
  std::vector<std::vector<std::unique_ptr<etcd_connection>>> idle_; ///< by endpoint
};

/// Lists what changed, then follows the stream from there; when that breaks, is silent for long or
/// was compacted, does the same again on the next endpoint. So nothing is missed for good.
class etcd_watch {
public:
  etcd_watch(std::shared_ptr<etcd_members> members, const std::string& prefix, watcher call)
    : members_{std::move(members)}
    , begin_{members_->keys() + prefix}
    , call_{std::move(call)}
    , thread_{[this] { run(); }} {}

  ~etcd_watch() {
    {
      std::lock_guard guard{mutex_};
      stopped_ = true;
      if (connection_)
        connection_->interrupt();
      changed_.notify_all();
    }
    thread_.join();
  }

private:
  void run() {
    auto pause = limits::watch_pause_min;
    for (auto at = members_->preferred();; at = (at + 1) % members_->size()) {
      auto c = members_->new_connection(at);
      if (!enter(c ? c->get() : nullptr))
        return;
      const auto worked = c && follow(**c);
      if (!enter(nullptr))
        return;
      pause = worked ? limits::watch_pause_min
                     : std::min<std::chrono::milliseconds>(pause * 2, limits::watch_pause_max);
      std::unique_lock lock{mutex_};
      if (changed_.wait_for(lock, pause, [&] { return stopped_.load(); }))
        return;
    }
  }

  /// From here on a release interrupts this connection. False: it was released.
  bool enter(etcd_connection* c) {
    std::lock_guard guard{mutex_};
    connection_ = c;
    return !stopped_;
  }

  /// Until the stream ends. True if there was one.
  bool follow(etcd_connection& c) {
    if (!c.connect(now() + members_->deadline()) || !tell_what_changed(c))
      return false;
    json request;
    auto& asked = request["create_request"];
    asked["key"] = to_base64(begin_);
    asked["range_end"] = to_base64(engine::prefix_end(begin_));
    asked["start_revision"] = std::to_string(seen_ + 1);
    if (!c.open_stream(watch_target, request.dump(), now() + members_->deadline()))
      return false;
    for (;;) {
      // A stopped member looks the same as one with nothing to tell.
      auto line = c.next_line(now() + limits::watch_quiet);
      if (!line || !read_line(*line))
        return true;
    }
  }

  bool tell_what_changed(etcd_connection& c) {
    const auto read = [&](std::uint64_t since) {
      return read_range(members_->fence(), {begin_, engine::prefix_end(begin_), 0, since},
                        members_->keys(), [&](std::string body) {
                          return c.post(txn_target, std::move(body), now() + members_->deadline());
                        });
    };
    auto found = read(seen_ + 1);
    // Revisions only rise, unless the cluster was made anew.
    if (found && found->revision < seen_)
      found = read(seen_ = 0);
    if (!found)
      return false;
    for (const auto& r : found->rows)
      tell(r);
    seen_ = found->revision;
    return true;
  }

  /// False: the stream says no more.
  bool read_line(const std::string& line) {
    const auto parsed = json::parse(line, nullptr, false);
    const auto& told = member(parsed, "result");
    if (!told.is_object() || is_true(member(told, "canceled")))
      return false;
    auto newest = seen_;
    for (const auto& event : member(told, "events")) {
      if (text_of(member(event, "type")) == "DELETE") // a put is the zero that is left out
        continue;
      const auto r = read_row(member(event, "kv"), members_->keys());
      if (!r)
        return false;
      if (r->revision > seen_)
        tell(*r);
      newest = std::max(newest, r->revision);
    }
    seen_ = newest; // not before: one revision may change several keys
    return true;
  }

  void tell(const row& r) {
    if (!stopped_)
      call_(r.key, r.value);
  }

  const std::shared_ptr<etcd_members> members_;
  const std::string begin_;
  const watcher call_;
  std::uint64_t seen_ = 0; ///< every change up to this revision was told, or stood in a listing
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopped_ = false;
  etcd_connection* connection_ = nullptr; ///< in use by the thread
  std::thread thread_;                    ///< the last member: it uses the others
};

class etcd_coordinator final : public coordinator {
public:
  explicit etcd_coordinator(std::shared_ptr<etcd_members> members)
    : members_{std::move(members)} {}

  result<std::optional<versioned>> get(std::string_view key) override {
    CANDOR_TRY(found, read(members_->keys() + std::string{key}, {}));
    if (found.empty())
      return std::nullopt;
    return std::optional{std::move(found.front().value)};
  }

  result<std::vector<std::pair<std::string, versioned>>> list(std::string_view prefix) override {
    const auto begin = members_->keys() + std::string{prefix};
    CANDOR_TRY(found, read(begin, engine::prefix_end(begin)));
    std::vector<std::pair<std::string, versioned>> all;
    all.reserve(found.size());
    for (auto& r : found)
      all.emplace_back(std::move(r.key), std::move(r.value));
    return all;
  }

  result<bool> compare_and_swap(std::span<const change> changes) override {
    CANDOR_TRY_VOID(check_changes(changes));
    if (changes.empty())
      return true; // etcd would not take it for a write
    const auto body = swap(changes);
    const auto until = now() + members_->deadline();
    error why{errc::unavailable, {}};
    const auto first = members_->preferred();
    for (std::size_t i = 0; i < members_->size(); ++i) {
      const auto at = (first + i) % members_->size();
      auto c = members_->connected(at, members_->part_of(until, members_->size() - i));
      if (c)
        return send_once(at, std::move(*c), body, until);
      members_->went_wrong(at);
      why = c.error();
    }
    return tl::unexpected{std::move(why)};
  }

  std::shared_ptr<void> watch(std::string prefix, watcher call) override {
    return std::make_shared<etcd_watch>(members_, prefix, std::move(call));
  }

private:
  std::string swap(std::span<const change> changes) const {
    auto compare = json::array(), success = json::array();
    for (const auto& c : changes) {
      json expected, put;
      expected["key"] = to_base64(members_->keys() + c.key);
      expected["target"] = "VERSION"; // of a key that does not exist it is 0
      expected["result"] = "EQUAL";
      expected["version"] = std::to_string(c.expected_version);
      put["request_put"]["key"] = expected["key"];
      put["request_put"]["value"] = to_base64(c.value);
      compare.push_back(std::move(expected));
      success.push_back(std::move(put));
    }
    json txn;
    txn["compare"] = std::move(compare);
    txn["success"] = std::move(success);
    return txn.dump();
  }

  /// From here on, whatever is not a clear answer leaves the outcome unknown.
  result<bool> send_once(std::size_t at, std::unique_ptr<etcd_connection> c,
                         const std::string& body, instant until) {
    auto answer = c->post(txn_target, body, until);
    auto txn = answer ? read_txn(*answer) : result<json>{tl::unexpected{answer.error()}};
    if (txn || txn.error().code == errc::bad_value) {
      members_->give_back(at, std::move(c));
      if (!txn)
        return tl::unexpected{std::move(txn.error())};
      return is_true(member(*txn, "succeeded"));
    }
    members_->went_wrong(at);
    return fail(errc::outcome_unknown, std::move(txn.error().detail));
  }

  result<std::vector<row>> read(const std::string& begin, const std::string& end) {
    const auto until = now() + members_->deadline();
    for (;;) {
      auto found = read_range(members_->fence(), {begin, end}, members_->keys(),
                              [&](const std::string& body) { return members_->ask(body, until); });
      if (found)
        return std::move(found->rows);
      if (found.error().code == errc::conflict && now() < until)
        continue; // compacted between two pages
      if (found.error().code != errc::corrupt && found.error().code != errc::too_many)
        found.error().code = errc::unavailable;
      return tl::unexpected{std::move(found.error())};
    }
  }

  std::shared_ptr<etcd_members> members_;
};

} // namespace

result<std::unique_ptr<coordinator>> make_etcd_coordinator(const etcd_options& options) {
  if (options.endpoints.empty())
    return fail(errc::config_invalid, "etcd needs at least one endpoint");
  std::vector<etcd_endpoint> endpoints;
  std::shared_ptr<etcd_trust> trust;
  for (const auto& url : options.endpoints) {
    CANDOR_TRY(endpoint, parse_endpoint(url));
    endpoints.push_back(std::move(endpoint));
    if (endpoints.back().tls && !trust) {
      CANDOR_TRY(loaded, load_trust(options.tls));
      trust = std::move(loaded);
    }
  }
  return std::make_unique<etcd_coordinator>(
      std::make_shared<etcd_members>(options, std::move(endpoints), std::move(trust)));
}

} // namespace candor::coordination
