#include "tests/unit/transport/fixture.hpp"

#include <cstdlib>
#include <fstream>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <caf/io/all.hpp>

#include "tests/support/temporary_folder.hpp"

namespace candor::transport_tests {

bool eventually(const std::function<bool()>& true_at_last) {
  for (auto until = std::chrono::steady_clock::now() + 30s;
       std::chrono::steady_clock::now() < until;) {
    if (true_at_last())
      return true;
    std::this_thread::sleep_for(5ms);
  }
  return true_at_last();
}

namespace {

void run(const std::string& command) {
  if (std::system((command + " 2>/dev/null >/dev/null").c_str()) != 0)
    throw std::runtime_error{"failed: " + command};
}

constexpr auto new_key = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";

class made_authority {
public:
  made_authority() {
    run("openssl req -x509 -days 2 -subj /CN=test-ca" + std::string{new_key} + "-keyout " +
        key("ca") + " -out " + certificate("ca"));
    for (const auto* name : {"n1", "n2", "n3"})
      sign(name, name, "");
    sign("alternative", "any", "subjectAltName=DNS:other,DNS:n1");
    names.ca = certificate("ca");
    names.certificate = [this](const std::string& name) { return certificate(name); };
    names.key = [this](const std::string& name) { return key(name); };
  }

  authority names;

private:
  std::string certificate(const std::string& name) const { return folder_ / (name + ".pem"); }
  std::string key(const std::string& name) const { return folder_ / (name + ".key"); }

  void sign(const std::string& file, const std::string& common_name, const std::string& more) {
    auto request = (folder_ / (file + ".csr")).string();
    auto extensions = (folder_ / (file + ".ext")).string();
    std::ofstream{extensions} << more << '\n';
    run("openssl req -new -subj /CN=" + common_name + new_key + "-keyout " + key(file) + " -out " +
        request);
    run("openssl x509 -req -days 2 -in " + request + " -CA " + certificate("ca") + " -CAkey " +
        key("ca") + " -CAcreateserial -extfile " + extensions + " -out " + certificate(file));
  }

  test::temporary_folder folder_;
};

echo_handle::behavior_type echo(echo_handle::pointer, std::string name) {
  return {[name](const std::string& text) { return name + ": " + text; }};
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

int connect_to(std::uint16_t port) {
  auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto at = loopback(port);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

} // namespace

const authority& our_authority() {
  static made_authority made;
  return made.names;
}

const authority& other_authority() {
  static made_authority made;
  return made.names;
}

node_system_config::node_system_config() {
  add_message_types<caf::id_block::candor_transport>();
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", 2u);
  transport::configure(*this);
}

test_node::test_node(const std::string& name, std::uint64_t incarnation,
                     const std::function<void(transport::link_options&)>& change)
  : system_{std::make_unique<caf::actor_system>(config_)} {
  transport::link_options options;
  options.name = name;
  options.incarnation = incarnation;
  options.cluster = "test";
  options.listen = "127.0.0.1:0";
  if (change)
    change(options);
  if (options.ca.empty())
    options.ca = our_authority().ca;
  if (options.certificate.empty())
    options.certificate = our_authority().certificate(name);
  if (options.key.empty())
    options.key = our_authority().key(name);
  transport::link_callbacks callbacks;
  callbacks.on_up = [this](const std::string& peer, std::uint64_t life,
                           const caf::strong_actor_ptr& door) {
    std::lock_guard guard{mutex_};
    auto& h = heard_[peer];
    ++h.ups;
    h.incarnation = life;
    h.door = door;
  };
  callbacks.on_down = [this](const std::string& peer, const std::string& why) {
    std::lock_guard guard{mutex_};
    auto& h = heard_[peer];
    ++h.downs;
    h.why = why;
    h.door = nullptr;
  };
  door_ = caf::actor_cast<caf::actor>(system_->spawn(echo, name));
  auto started = transport::links::start(*system_, door_, options, callbacks);
  if (!started)
    throw std::runtime_error{started.error().to_string()};
  links_ = std::move(*started);
}

test_node::~test_node() {
  end();
}

void test_node::end() {
  if (!system_)
    return;
  links_->stop();
  heard_.clear();
  links_.reset();
  // CAF's registry keeps what was once sent over a link: such an actor has to be told to go.
  caf::anon_send_exit(door_, caf::exit_reason::user_shutdown);
  door_ = nullptr;
  system_.reset();
}

void test_node::set_peers(const std::map<std::string, std::string>& peers) {
  auto done = links_->set_peers(peers);
  if (!done)
    throw std::runtime_error{done.error().to_string()};
}

bool test_node::is_up(const std::string& peer) {
  std::lock_guard guard{mutex_};
  return heard_[peer].door != nullptr;
}

std::size_t test_node::ups(const std::string& peer) {
  std::lock_guard guard{mutex_};
  return heard_[peer].ups;
}

std::size_t test_node::downs(const std::string& peer) {
  std::lock_guard guard{mutex_};
  return heard_[peer].downs;
}

std::string test_node::last_why(const std::string& peer) {
  std::lock_guard guard{mutex_};
  return heard_[peer].why;
}

std::uint64_t test_node::incarnation_of(const std::string& peer) {
  std::lock_guard guard{mutex_};
  return heard_[peer].incarnation;
}

std::string test_node::ask(const std::string& peer, const std::string& text) {
  caf::strong_actor_ptr door;
  {
    std::lock_guard guard{mutex_};
    door = heard_[peer].door;
  }
  if (!door)
    return "";
  std::string answer;
  caf::scoped_actor self{*system_};
  self->request(caf::actor_cast<echo_handle>(door), 10s, text)
      .receive([&](const std::string& said) { answer = said; }, [](caf::error&) {});
  return answer;
}

void introduce(test_node& a, const std::string& a_name, test_node& b, const std::string& b_name) {
  a.set_peers({{b_name, b.at()}});
  b.set_peers({{a_name, a.at()}});
}

plain_client::plain_client(std::uint16_t port)
  : fd_{connect_to(port)} {}

plain_client::~plain_client() {
  if (fd_ >= 0)
    ::close(fd_);
}

void plain_client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0)
      return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool plain_client::is_closed() {
  char bytes[512];
  for (;;) {
    auto n = ::recv(fd_, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
      continue; // an alert
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }
}

struct certified_client::parts {
  boost::asio::io_context io;
  boost::asio::ssl::context tls{boost::asio::ssl::context::tlsv13_client};
  std::unique_ptr<boost::asio::ssl::stream<boost::asio::ip::tcp::socket>> stream;
  bool connected = false;
};

certified_client::certified_client(std::uint16_t port, const authority& by,
                                   const std::string& certificate)
  : parts_{std::make_unique<parts>()} {
  if (!certificate.empty()) {
    parts_->tls.use_certificate_chain_file(by.certificate(certificate).string());
    parts_->tls.use_private_key_file(by.key(certificate).string(), boost::asio::ssl::context::pem);
  }
  parts_->stream = std::make_unique<boost::asio::ssl::stream<boost::asio::ip::tcp::socket>>(
      parts_->io, parts_->tls);
  boost::system::error_code ec;
  parts_->stream->lowest_layer().connect({boost::asio::ip::address_v4::loopback(), port}, ec);
  if (!ec)
    parts_->stream->lowest_layer().set_option(boost::asio::ip::tcp::no_delay{true}, ec);
  if (!ec)
    parts_->stream->handshake(boost::asio::ssl::stream_base::client, ec);
  parts_->connected = !ec;
}

certified_client::~certified_client() = default;

bool certified_client::connected() const {
  return parts_->connected;
}

transport::refusal certified_client::greet(const transport::hello& h) {
  send(transport::frame(encode(h)));
  boost::system::error_code ec;
  std::string bytes(transport::frame_head_bytes, '\0');
  boost::asio::read(*parts_->stream, boost::asio::buffer(bytes), ec);
  auto size = ec ? std::nullopt : transport::frame_body_bytes(bytes);
  if (!size)
    return transport::refusal::tls_failed;
  bytes.resize(*size);
  boost::asio::read(*parts_->stream, boost::asio::buffer(bytes), ec);
  auto answer = transport::decode_answer(bytes);
  return answer ? answer->verdict : transport::refusal::malformed;
}

bool certified_client::send(std::string_view bytes) {
  boost::system::error_code ec;
  boost::asio::write(*parts_->stream, boost::asio::buffer(bytes.data(), bytes.size()), ec);
  return !ec;
}

void certified_client::read_to_end() {
  boost::system::error_code ec;
  std::string bytes(64 * 1024, '\0');
  while (!ec)
    parts_->stream->read_some(boost::asio::buffer(bytes), ec);
}

transport::hello hello_of(const std::string& name, std::uint64_t incarnation) {
  transport::hello h;
  h.cluster = "test";
  h.node = name;
  h.incarnation = incarnation;
  return h;
}

relay::relay(std::uint16_t to)
  : to_{to} {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto at = loopback(0);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    throw std::runtime_error{"no port for the relay"};
  port_ = ntohs(at.sin_port);
  thread_ = std::thread{[this] { run(); }};
}

relay::~relay() {
  stopping_ = true;
  thread_.join();
  ::close(listener_);
}

void relay::run() {
  std::map<int, int> other; // both directions
  auto end = [&](int fd) {
    auto with = other[fd];
    other.erase(fd);
    other.erase(with);
    ::close(fd);
    ::close(with);
  };
  while (!stopping_) {
    if (frozen_) {
      std::this_thread::sleep_for(5ms);
      continue;
    }
    while (cut_ && !other.empty())
      end(other.begin()->first);
    cut_ = false;
    std::vector<pollfd> watched{{listener_, POLLIN, 0}};
    for (const auto& [from, to] : other)
      watched.push_back({from, POLLIN, 0});
    ::poll(watched.data(), watched.size(), 10);
    if (watched[0].revents != 0) {
      auto in = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      auto out = connect_to(to_);
      if (in >= 0 && out >= 0) {
        other[in] = out;
        other[out] = in;
      } else {
        ::close(in);
        ::close(out);
      }
    }
    for (std::size_t i = 1; i < watched.size() && !frozen_; ++i) {
      auto from = watched[i].fd;
      if (watched[i].revents == 0 || !other.contains(from))
        continue;
      char bytes[16 * 1024];
      auto n = ::recv(from, bytes, sizeof bytes, 0);
      if (n <= 0 || ::send(other[from], bytes, static_cast<std::size_t>(n), MSG_NOSIGNAL) != n)
        end(from);
    }
  }
  while (!other.empty())
    end(other.begin()->first);
}

} // namespace candor::transport_tests
