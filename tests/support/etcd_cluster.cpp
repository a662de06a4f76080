#include "tests/support/etcd_cluster.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <nlohmann/json.hpp>

namespace candor::test {

using namespace std::chrono_literals;
using coordination::etcd_tls;

namespace {

constexpr const char* etcd_places[] = {"/usr/bin/etcd", "/usr/local/bin/etcd"};
constexpr auto patience = 60s;

const char* etcd_binary() {
  for (const auto* place : etcd_places)
    if (::access(place, X_OK) == 0)
      return place;
  return nullptr;
}

bool is_free(std::uint16_t port) {
  const auto s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto free = ::bind(s, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  ::close(s);
  return free;
}

/// Below the range from which the system gives ports to outgoing connections: a member that was
/// killed must find its port again.
std::uint16_t free_port() {
  static std::random_device chance;
  for (int tries = 0; tries < 1000; ++tries)
    if (auto port =
            static_cast<std::uint16_t>(std::uniform_int_distribution<int>{12'000, 32'000}(chance));
        is_free(port))
      return port;
  throw std::runtime_error{"no free port"};
}

void run(const std::string& command) {
  if (std::system((command + " >/dev/null 2>&1").c_str()) != 0)
    throw std::runtime_error{"failed: " + command};
}

} // namespace

etcd_tls make_authority(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto at = [&](const char* name) { return (folder / name).string(); };
  std::ofstream{at("extensions")} << "subjectAltName=IP:127.0.0.1\n"
                                     "extendedKeyUsage=serverAuth,clientAuth\n";
  const std::string new_key = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";
  run("openssl req -x509 -days 2 -subj '/O=candor test authority'" + new_key + "-keyout " +
      at("ca.key") + " -out " + at("ca.pem"));
  run("openssl req -subj '/O=candor test'" + new_key + "-keyout " + at("member.key") + " -out " +
      at("member.csr"));
  run("openssl x509 -req -days 2 -CAcreateserial -CA " + at("ca.pem") + " -CAkey " + at("ca.key") +
      " -in " + at("member.csr") + " -extfile " + at("extensions") + " -out " + at("member.pem"));
  return {at("ca.pem"), at("member.pem"), at("member.key")};
}

bool etcd_cluster::is_installed() {
  return etcd_binary() != nullptr;
}

etcd_cluster::etcd_cluster(std::size_t members, std::optional<etcd_tls> tls)
  : tls_{std::move(tls)}
  , members_(members) {
  for (auto& m : members_) {
    m.client_port = free_port();
    m.peer_port = free_port();
  }
  try {
    for (std::size_t i = 0; i < members; ++i)
      start(i);
    leader();
  } catch (...) {
    end_all();
    throw;
  }
}

etcd_cluster::~etcd_cluster() {
  end_all();
}

void etcd_cluster::end_all() {
  for (std::size_t i = 0; i < members_.size(); ++i)
    kill(i);
}

std::string etcd_cluster::endpoint(std::size_t member) const {
  return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") +
         std::to_string(members_[member].client_port);
}

coordination::etcd_options etcd_cluster::options(std::string prefix, std::size_t first) const {
  coordination::etcd_options o;
  for (std::size_t i = 0; i < size(); ++i)
    o.endpoints.push_back(endpoint((first + i) % size()));
  if (tls_)
    o.tls = *tls_;
  o.prefix = std::move(prefix);
  return o;
}

std::filesystem::path etcd_cluster::log_of(std::size_t member) const {
  return folder_.path() / ("log-" + std::to_string(member));
}

void etcd_cluster::start(std::size_t i) {
  auto& m = members_[i];
  const auto name = [](std::size_t n) { return "m" + std::to_string(n); };
  const auto peer = [&](std::size_t n) {
    return "http://127.0.0.1:" + std::to_string(members_[n].peer_port);
  };
  std::string all;
  for (std::size_t n = 0; n < size(); ++n)
    all += (n ? "," : "") + name(n) + "=" + peer(n);
  std::vector<std::string> words{etcd_binary(),
                                 "--name",
                                 name(i),
                                 "--data-dir",
                                 folder_.path() / name(i),
                                 "--listen-client-urls",
                                 endpoint(i),
                                 "--advertise-client-urls",
                                 endpoint(i),
                                 "--listen-peer-urls",
                                 peer(i),
                                 "--initial-advertise-peer-urls",
                                 peer(i),
                                 "--initial-cluster",
                                 all,
                                 "--initial-cluster-state",
                                 "new",
                                 "--pre-vote",
                                 "--heartbeat-interval",
                                 "100",
                                 "--election-timeout",
                                 "1000",
                                 "--auto-compaction-mode",
                                 "periodic",
                                 "--auto-compaction-retention",
                                 "1h",
                                 "--logger",
                                 "zap",
                                 "--log-outputs",
                                 "stderr"};
  if (tls_)
    words.insert(words.end(), {"--cert-file", tls_->certificate, "--key-file", tls_->key,
                               "--client-cert-auth", "--trusted-ca-file", tls_->ca});
  std::vector<char*> argv;
  for (auto& w : words)
    argv.push_back(w.data());
  argv.push_back(nullptr);
  const auto log = log_of(i).string();

  const auto parent = ::getpid();
  m.pid = ::fork();
  if (m.pid < 0)
    throw std::runtime_error{"fork failed"};
  if (m.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent)
      ::_exit(127);
    const auto out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
}

void etcd_cluster::kill(std::size_t i) {
  auto& m = members_[i];
  if (m.pid == 0)
    return;
  ::kill(m.pid, SIGKILL);
  ::waitpid(m.pid, nullptr, 0);
  m.pid = 0;
  m.stopped = false;
}

void etcd_cluster::stop(std::size_t i) {
  ::kill(members_[i].pid, SIGSTOP);
  ::waitpid(members_[i].pid, nullptr, WUNTRACED);
  members_[i].stopped = true;
}

void etcd_cluster::go_on(std::size_t i) {
  ::kill(members_[i].pid, SIGCONT);
  members_[i].stopped = false;
}

std::optional<std::string> etcd_cluster::ask(std::size_t i, std::string_view target,
                                             std::string body) {
  const auto until = std::chrono::steady_clock::now() + 2s;
  auto where = coordination::parse_endpoint(endpoint(i));
  auto trust = coordination::load_trust(tls_.value_or(etcd_tls{}));
  if (!trust && tls_)
    throw std::runtime_error{trust.error().to_string()};
  auto c = coordination::make_etcd_connection(*where, tls_ ? *trust : nullptr);
  if (!c || !(*c)->connect(until))
    return std::nullopt;
  auto answer = (*c)->post(target, std::move(body), until);
  if (!answer || answer->status != 200)
    return std::nullopt;
  return std::move(answer->body);
}

bool etcd_cluster::all_run() {
  for (const auto& m : members_)
    if (m.pid != 0 && ::waitpid(m.pid, nullptr, WNOHANG) != 0)
      return false;
  return true;
}

std::size_t etcd_cluster::leader() {
  for (const auto until = std::chrono::steady_clock::now() + patience;
       std::chrono::steady_clock::now() < until; std::this_thread::sleep_for(100ms)) {
    if (!all_run())
      break;
    std::optional<std::size_t> found;
    std::string told;
    bool agreed = true;
    for (std::size_t i = 0; i < size() && agreed; ++i) {
      if (members_[i].pid == 0 || members_[i].stopped)
        continue;
      const auto text = ask(i, "/v3/maintenance/status", "{}");
      const auto status = nlohmann::json::parse(text.value_or("{}"));
      const auto leader = status.value("leader", std::string{});
      agreed = !leader.empty() && (told.empty() || told == leader);
      told = leader;
      if (agreed && status["header"].value("member_id", std::string{}) == leader)
        found = i;
    }
    if (agreed && found)
      return *found;
  }
  std::ostringstream why;
  why << "etcd has no leader:\n";
  for (std::size_t i = 0; i < size(); ++i)
    why << "--- member " << i << "\n" << std::ifstream{log_of(i)}.rdbuf();
  throw std::runtime_error{why.str()};
}

void etcd_cluster::compact() {
  const auto from = leader();
  const auto status = nlohmann::json::parse(ask(from, "/v3/maintenance/status", "{}").value());
  nlohmann::json request;
  request["revision"] = status.at("header").at("revision");
  request["physical"] = true;
  if (!ask(from, "/v3/kv/compaction", request.dump()))
    throw std::runtime_error{"etcd did not compact"};
}

} // namespace candor::test
