/// What etcd's side does when members die, are silent, or answer nonsense. What is true of every
/// side is in coordinator_conformance.cpp.

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "cluster/coordination/etcd_coordinator.hpp"
#include "tests/support/etcd_cluster.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::coordination;
using namespace std::chrono_literals;
using test::etcd_cluster;

namespace {

constexpr auto patience = 60s; ///< for what must come in the end, on a busy machine
constexpr auto slack = 10s;    ///< how far a deadline of one second may be missed on such a one

using clock_type = std::chrono::steady_clock;

bool skipped() {
  if (etcd_cluster::is_installed())
    return false;
  WARN("no etcd is installed (tools/setup): skipped");
  return true;
}

std::unique_ptr<coordinator> opened(const etcd_options& options) {
  auto made = make_etcd_coordinator(options);
  REQUIRE(made);
  return std::move(*made);
}

bool comes_true(const std::function<bool()>& what) {
  for (const auto until = clock_type::now() + patience; clock_type::now() < until;
       std::this_thread::sleep_for(20ms))
    if (what())
      return true;
  return false;
}

/// Until it is known to be `value`, whatever happens on the way.
bool comes_to_be_written(coordinator& c, const std::string& key, const std::string& value) {
  return comes_true([&] {
    auto now = c.get(key);
    if (!now)
      return false;
    if (*now && (*now)->value == value)
      return true;
    const change next{key, *now ? (*now)->version : 0, value};
    return c.compare_and_swap({&next, 1}).value_or(false);
  });
}

std::optional<errc> code_of(const auto& answer) {
  return answer ? std::nullopt : std::optional{answer.error().code};
}

bool is_unknown_or_unavailable(std::optional<errc> code) {
  return code == errc::outcome_unknown || code == errc::unavailable;
}

/// Many that swap the key "n" and, in the same transaction, write their value into the history of
/// its versions; and what each was told.
class race {
public:
  race(const etcd_cluster& cluster, std::size_t clients) {
    for (std::size_t i = 0; i < clients; ++i)
      clients_.emplace_back([this, i, options = cluster.options("candor/race/", i)] {
        run(std::to_string(i), options);
      });
  }
  ~race() { end(); }

  void end() {
    enough_ = true;
    for (auto& c : clients_)
      if (c.joinable())
        c.join();
  }

  std::size_t wins() const {
    std::lock_guard guard{mutex_};
    return won_.size();
  }

  /// After the end: what was answered against what is there.
  void check(coordinator& c) {
    std::optional<result<std::vector<std::pair<std::string, versioned>>>> listed;
    REQUIRE(comes_true([&] { return (listed = c.list("history/"))->has_value(); }));
    std::map<std::uint64_t, std::string> history;
    for (const auto& [key, value] : **listed) {
      CHECK(value.version == 1);
      history[std::stoull(key.substr(8))] = value.value;
    }
    CHECK(doubles_ == 0);
    for (const auto& [version, value] : won_)
      CHECK(history[version] == value);
    for (const auto& [version, value] : history) {
      CHECK(version <= history.size()); // no gaps
      CHECK(!refused_.contains(value));
    }
    CHECK(history.size() >= won_.size());
    CHECK((*c.get("n"))->version == history.size());
  }

private:
  void run(const std::string& name, const etcd_options& options) {
    auto c = make_etcd_coordinator(options);
    for (std::uint64_t round = 0; !enough_; ++round) {
      const auto now = (*c)->get("n");
      if (!now)
        continue;
      const auto version = *now ? (*now)->version : 0;
      const auto value = name + "/" + std::to_string(round);
      const change both[] = {
          {"n", version, value},
          {"history/" + std::to_string(100'000'000 + version + 1).substr(1), 0, value}};
      const auto done = (*c)->compare_and_swap(both);
      std::lock_guard guard{mutex_};
      if (done && *done)
        doubles_ += won_.emplace(version + 1, value).second ? 0 : 1;
      else if (done || done.error().code == errc::unavailable)
        refused_.emplace(value, true);
    }
  }

  std::atomic<bool> enough_ = false;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::string> won_; ///< by the version that it made
  std::map<std::string, bool> refused_;      ///< told false, or that nothing was sent
  int doubles_ = 0;
  std::vector<std::thread> clients_;
};

/// The latest value of each key that a watch told.
class latest {
public:
  watcher listen() {
    return [this](std::string_view key, const versioned& now) {
      std::lock_guard guard{mutex_};
      all_[std::string{key}] = now.value;
    };
  }
  bool comes_to_be(const std::string& key, const std::string& value) {
    return comes_true([&] {
      std::lock_guard guard{mutex_};
      const auto it = all_.find(key);
      return it != all_.end() && it->second == value;
    });
  }

private:
  std::mutex mutex_;
  std::map<std::string, std::string> all_;
};

/// Listens like an etcd, and says one thing to whoever asks, or closes without a word.
class impostor {
public:
  explicit impostor(std::string answer)
    : answer_{std::move(answer)} {
    listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(listening_, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::listen(listening_, 8) == 0);
    REQUIRE(::getsockname(listening_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread{[this] { run(); }};
  }
  ~impostor() {
    ::shutdown(listening_, SHUT_RDWR);
    thread_.join();
    ::close(listening_);
  }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int requests() const { return requests_; }

  static std::string http(const std::string& status, const std::string& body) {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }

private:
  void run() {
    for (;;) {
      const auto s = ::accept(listening_, nullptr, nullptr);
      if (s < 0)
        return;
      // What was not read when we close would take our answer back: each request ends with a }.
      std::string asked;
      char some[4096];
      for (ssize_t n = 1; n > 0 && !asked.ends_with('}');)
        if (n = ::recv(s, some, sizeof some, 0); n > 0)
          asked.append(some, static_cast<std::size_t>(n));
      if (!asked.empty()) {
        ++requests_;
        ::send(s, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      }
      ::close(s);
    }
  }

  std::string answer_;
  int listening_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> requests_ = 0;
  std::thread thread_;
};

} // namespace

TEST_CASE("an endpoint that cannot be read is refused at once", "[etcd]") {
  for (const char* wrong : {"", "127.0.0.1:2379", "ftp://a:1", "http://a", "http://:2379",
                            "http://a:b", "http://a:2379/", "http://a:99999"}) {
    INFO(wrong);
    etcd_options o;
    o.endpoints = {wrong};
    CHECK(code_of(make_etcd_coordinator(o)) == errc::config_invalid);
  }
  CHECK(code_of(make_etcd_coordinator({})) == errc::config_invalid);
  CHECK(parse_endpoint("https://[::1]:2379")->host == "::1");
  etcd_options o;
  o.endpoints = {"https://127.0.0.1:1"};
  o.tls.ca = "/nowhere/ca.pem";
  CHECK(code_of(make_etcd_coordinator(o)) == errc::config_invalid);
}

TEST_CASE("where nobody listens, nothing was sent", "[etcd]") {
  etcd_options o;
  {
    impostor gone{""};
    o.endpoints = {gone.endpoint()};
  }
  const auto c = opened(o);
  const change a{"a", 0, "x"};
  CHECK(code_of(c->compare_and_swap({&a, 1})) == errc::unavailable);
  CHECK(code_of(c->get("a")) == errc::unavailable);
  CHECK(code_of(c->list("a")) == errc::unavailable);
}

TEST_CASE("a swap that may have arrived is unknown, and is sent once", "[etcd]") {
  for (const auto& answer :
       {std::string{}, std::string{"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"},
        impostor::http("503 Service Unavailable", R"({"error":"no leader","code":14})"),
        impostor::http("429 Too Many Requests", R"({"error":"no space","code":8})"),
        impostor::http("404 Not Found", ""), impostor::http("200 OK", "{}"),
        impostor::http("200 OK", "[]"), impostor::http("200 OK", R"({"succeeded":true})")}) {
    INFO(answer);
    impostor first{answer}, second{answer};
    etcd_options o;
    o.endpoints = {first.endpoint(), second.endpoint()};
    const auto c = opened(o);
    const change a{"a", 0, "x"};
    CHECK(code_of(c->compare_and_swap({&a, 1})) == errc::outcome_unknown);
    CHECK(first.requests() + second.requests() == 1);
    // The next call begins elsewhere, and a read may be asked of everybody.
    CHECK(code_of(c->compare_and_swap({&a, 1})) == errc::outcome_unknown);
    CHECK(first.requests() == 1);
    CHECK(second.requests() == 1);
    CHECK(!c->get("a"));
    CHECK(first.requests() + second.requests() > 2);
  }
}

TEST_CASE("only what etcd answered is a false", "[etcd]") {
  impostor etcd{impostor::http("200 OK", R"({"header":{"revision":"7"}})")};
  etcd_options o;
  o.endpoints = {etcd.endpoint()};
  const change a{"a", 0, "x"};
  const auto done = opened(o)->compare_and_swap({&a, 1});
  REQUIRE(done);
  CHECK(!*done);
}

TEST_CASE("of swaps while leaders die, each true one stays and each version has one winner",
          "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{3};
  race swaps{cluster, 4};
  for (int round = 0; round < 2; ++round) {
    const auto before = swaps.wins();
    REQUIRE(comes_true([&] { return swaps.wins() >= before + 50; }));
    const auto leader = cluster.leader();
    cluster.kill(leader);
    const auto after = swaps.wins();
    CHECK(comes_true([&] { return swaps.wins() >= after + 50; }));
    cluster.start(leader);
    cluster.leader();
  }
  swaps.end();
  swaps.check(*opened(cluster.options("candor/race/")));
}

TEST_CASE("a stopped member is passed by, and reads nothing old when it goes on", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{3};
  for (const auto stop_the_leader : {false, true}) {
    INFO((stop_the_leader ? "the leader stops" : "another stops"));
    const auto leader = cluster.leader();
    const auto stopped = stop_the_leader ? leader : (leader + 1) % 3;
    const auto begins_there = opened(cluster.options("candor/", stopped));
    auto only = cluster.options("candor/", stopped);
    only.endpoints.resize(1);
    const auto only_there = opened(only);
    REQUIRE(comes_to_be_written(*begins_there, "n", "before"));
    REQUIRE(comes_true([&] { return only_there->get("n").has_value(); }));

    cluster.stop(stopped);
    CHECK(comes_to_be_written(*begins_there, "n", "after"));
    const auto start = clock_type::now();
    CHECK(code_of(only_there->get("n")) == errc::unavailable);
    CHECK(clock_type::now() - start < 1s + slack);

    cluster.go_on(stopped);
    int answers = 0;
    CHECK(comes_true([&] {
      const auto found = only_there->get("n");
      if (found)
        CHECK((*found)->value == "after");
      answers += found ? 1 : 0;
      return answers == 10;
    }));
  }
}

TEST_CASE("while no member answers each call ends in time, and all is well after", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{3};
  const auto c = opened(cluster.options("candor/"));
  REQUIRE(comes_to_be_written(*c, "a", "one"));
  const auto version = (*c->get("a"))->version;
  const auto every = [&](auto what) {
    for (std::size_t i = 0; i < cluster.size(); ++i)
      what(i);
  };
  for (const auto kill : {false, true}) {
    INFO((kill ? "killed" : "stopped"));
    every([&](std::size_t i) { kill ? cluster.kill(i) : cluster.stop(i); });
    const change next{"a", version, "two"};
    const auto start = clock_type::now();
    CHECK(is_unknown_or_unavailable(code_of(c->compare_and_swap({&next, 1}))));
    CHECK(code_of(c->get("a")) == errc::unavailable);
    CHECK(code_of(c->list("")) == errc::unavailable);
    CHECK(clock_type::now() - start < 3s + slack);
    every([&](std::size_t i) { kill ? cluster.start(i) : cluster.go_on(i); });
    cluster.leader();
    CHECK(comes_to_be_written(*c, "b", kill ? "killed" : "stopped"));
    CHECK((*c->get("a"))->version >= version);
  }
}

TEST_CASE("the first swap after a restart of etcd is sent on a new connection", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{1};
  auto o = cluster.options("candor/");
  o.deadline = 20s; // what is tested is the connection, and the machine may be busy
  const auto c = opened(o);
  REQUIRE(comes_to_be_written(*c, "a", "one"));
  const auto version = (*c->get("a"))->version;
  cluster.kill(0);
  cluster.start(0);
  cluster.leader();
  const change next{"a", version, "two"};
  const auto done = c->compare_and_swap({&next, 1});
  REQUIRE(done);
  CHECK(*done);
}

TEST_CASE("a watch that was broken while all was compacted tells the latest", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{3};
  const auto writer = opened(cluster.options("candor/"));
  for (const auto kill : {false, true}) {
    INFO((kill ? "killed" : "stopped"));
    const auto broken = cluster.leader();
    auto only = cluster.options("candor/", broken);
    only.endpoints.resize(1);
    latest seen;
    const auto handle = opened(only)->watch("shards/", seen.listen());
    REQUIRE(comes_to_be_written(*writer, "shards/1", kill ? "c" : "a"));
    CHECK(seen.comes_to_be("shards/1", kill ? "c" : "a"));

    kill ? cluster.kill(broken) : cluster.stop(broken);
    REQUIRE(comes_to_be_written(*writer, "shards/1", kill ? "d" : "b"));
    REQUIRE(comes_to_be_written(*writer, "shards/2", kill ? "d" : "b"));
    REQUIRE(comes_to_be_written(*writer, "other", kill ? "d" : "b"));
    cluster.compact();
    kill ? cluster.start(broken) : cluster.go_on(broken);

    CHECK(seen.comes_to_be("shards/1", kill ? "d" : "b"));
    CHECK(seen.comes_to_be("shards/2", kill ? "d" : "b"));
    REQUIRE(comes_to_be_written(*writer, "shards/1", "live " + std::to_string(kill)));
    CHECK(seen.comes_to_be("shards/1", "live " + std::to_string(kill)));
  }
}

TEST_CASE("a watch goes on with another member when its own is silent", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{3};
  const auto leader = cluster.leader();
  const auto silent = (leader + 1) % 3;
  const auto writer = opened(cluster.options("candor/", leader));
  latest seen;
  const auto handle = opened(cluster.options("candor/", silent))->watch("n", seen.listen());
  REQUIRE(comes_to_be_written(*writer, "n", "one"));
  CHECK(seen.comes_to_be("n", "one"));
  cluster.stop(silent);
  REQUIRE(comes_to_be_written(*writer, "n", "two"));
  CHECK(seen.comes_to_be("n", "two"));
}

TEST_CASE("a watch of a silent member is released without waiting for it", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{1};
  const auto c = opened(cluster.options("candor/"));
  latest seen;
  auto handle = c->watch("n", seen.listen());
  REQUIRE(comes_to_be_written(*c, "n", "one"));
  CHECK(seen.comes_to_be("n", "one"));
  cluster.stop(0);
  handle.reset(); // would hang here
  cluster.go_on(0);
}

TEST_CASE("with TLS, both sides must be of the same authority", "[etcd]") {
  if (skipped())
    return;
  test::temporary_folder folder;
  const auto ours = test::make_authority(folder / "ours");
  const auto others = test::make_authority(folder / "others");
  etcd_cluster cluster{3, ours};
  const auto options = cluster.options("candor/");
  const auto c = opened(options);
  CHECK(comes_to_be_written(*c, "a", "one"));
  latest seen;
  const auto handle = c->watch("a", seen.listen());
  CHECK(seen.comes_to_be("a", "one"));
  REQUIRE(comes_to_be_written(*c, "a", "two"));
  CHECK(seen.comes_to_be("a", "two"));

  const auto refused = [&](const etcd_tls& shown) {
    auto o = options;
    o.tls = shown;
    const auto stranger = opened(o);
    const change b{"b", 0, "x"};
    CHECK(code_of(stranger->get("a")) == errc::unavailable);
    return code_of(stranger->compare_and_swap({&b, 1}));
  };
  // We do not believe the members: nothing was sent.
  CHECK(refused({others.ca, ours.certificate, ours.key}) == errc::unavailable);
  // They do not believe us; under TLS 1.3 this is heard only after the request was written.
  CHECK(is_unknown_or_unavailable(refused({ours.ca, others.certificate, others.key})));
  CHECK(is_unknown_or_unavailable(refused({ours.ca, {}, {}})));
  CHECK(!*c->get("b"));
  // A certificate of the right authority for another host.
  auto by_name = options;
  for (auto& e : by_name.endpoints)
    e.replace(e.find("127.0.0.1"), 9, "localhost");
  CHECK(code_of(opened(by_name)->get("a")) == errc::unavailable);
}

TEST_CASE("an endpoint may be a name", "[etcd]") {
  if (skipped())
    return;
  etcd_cluster cluster{1};
  auto o = cluster.options("candor/");
  o.endpoints[0].replace(o.endpoints[0].find("127.0.0.1"), 9, "localhost");
  CHECK(comes_to_be_written(*opened(o), "a", "one"));
}
