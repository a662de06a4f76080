#include <catch2/catch.hpp>

#include <chrono>
#include <cstdlib>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include "actors/notification/mail.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/unit/notification/python_process.hpp"

using namespace candor;
using namespace candor::notification;
using namespace std::chrono_literals;
using json = nlohmann::json;
using kind = outcome::kind;

namespace {

/// A real mail server as a child process.
class mail_sink {
public:
  explicit mail_sink(std::vector<std::string> mode = {})
    : process_{"mail_sink.py", std::move(mode)}
    , port_{static_cast<std::uint16_t>(std::stoi(process_.line()))} {}

  std::uint16_t port() const { return port_; }
  json taken() { return json::parse(process_.line()); }
  void stop() { process_.kill(); }

private:
  test::python_process process_;
  std::uint16_t port_;
};

smtp_options options_for(std::uint16_t port) {
  smtp_options options;
  options.host = "127.0.0.1";
  options.port = port;
  options.tls = smtp_options::encryption::none;
  options.greeting = "feed.example";
  options.connect_deadline = 2s;
  options.deadline = 5s;
  return options;
}

mail mail_to(const std::string& address, const std::string& id = "n-1") {
  return compose({"notices@feed.example", "Feed", "feed.example"},
                 {id, address, "en", "A change", "one\n.\ntwo\n", "<p>one</p>\n",
                  parse_time("2025-10-07T09:08:07Z").value()})
      .value();
}

std::unique_ptr<mailer> mailer_for(smtp_options options) {
  auto made = make_smtp_mailer(std::move(options));
  if (!made)
    FAIL(made.error().detail);
  return std::move(*made);
}

/// A port that nobody listens on: bound once, and let go.
std::uint16_t closed_port() {
  auto fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

} // namespace

TEST_CASE("a server takes mails as they were composed, over one connection", "[notification]") {
  mail_sink sink;
  auto door = mailer_for(options_for(sink.port()));
  for (auto i = 1; i <= 3; ++i) {
    auto address = "person" + std::to_string(i) + "@example.org";
    auto what = mail_to(address, "n-" + std::to_string(i));
    auto made = door->send(what);
    CHECK(made == outcome{kind::accepted, 250, ""});
    auto taken = sink.taken();
    CHECK(taken["message"] == what.message);
    CHECK(taken["from"] == "notices@feed.example");
    CHECK(taken["to"] == json({address}));
    CHECK(taken["greeting"] == "feed.example");
    CHECK(taken["connection"] == 1);
  }
}

TEST_CASE("a server's refusals are told apart, and no address is repeated", "[notification]") {
  mail_sink sink;
  auto door = mailer_for(options_for(sink.port()));
  struct row {
    const char* word;
    kind what;
    int code;
  };
  for (auto [word, what, code] :
       {row{"rcpt450", kind::deferred, 450}, row{"rcpt451", kind::deferred, 451},
        row{"rcpt550", kind::refused, 550}, row{"rcpt553", kind::refused, 553},
        row{"data452", kind::deferred, 452}, row{"data421", kind::deferred, 421},
        row{"data554", kind::refused, 554}, row{"data550", kind::refused, 550}}) {
    CAPTURE(word);
    auto made = door->send(mail_to(std::string{word} + "@example.org"));
    CHECK(to_string(made.what) == to_string(what));
    CHECK(made.code == code);
    CHECK_FALSE(made.why.empty());
    CHECK(made.why.find('@') == std::string::npos);
    CHECK(made.why.find("example") == std::string::npos);
    // One refusal spoils nothing for the next.
    CHECK(door->send(mail_to("person@example.org")).what == kind::accepted);
    sink.taken();
  }
}

TEST_CASE("a server that never answers costs no more than the deadline", "[notification]") {
  mail_sink sink;
  auto options = options_for(sink.port());
  options.deadline = 700ms;
  auto door = mailer_for(options);
  auto start = std::chrono::steady_clock::now();
  auto made = door->send(mail_to("hang@example.org"));
  CHECK(made.what == kind::deferred);
  CHECK(std::chrono::steady_clock::now() - start >= 600ms);
  CHECK(std::chrono::steady_clock::now() - start < 3s);
  auto next = door->send(mail_to("person@example.org"));
  CAPTURE(next.why, next.code);
  CHECK(next.what == kind::accepted);
  CHECK(sink.taken()["connection"] == 2); // a late answer to the first cannot be taken for the next
}

TEST_CASE("a server that says nothing at all is waited for no longer either", "[notification]") {
  mail_sink sink{{"mute"}};
  auto options = options_for(sink.port());
  options.connect_deadline = 500ms;
  options.deadline = 1s;
  auto door = mailer_for(options);
  auto start = std::chrono::steady_clock::now();
  auto made = door->send(mail_to("person@example.org"));
  CHECK(made.what == kind::deferred);
  CHECK(made.code == 0);
  CHECK(std::chrono::steady_clock::now() - start < 3s);
}

TEST_CASE("no server, and one that goes away, are for later", "[notification]") {
  SECTION("nobody listens") {
    auto made = mailer_for(options_for(closed_port()))->send(mail_to("person@example.org"));
    CHECK(made.what == kind::deferred);
    CHECK(made.code == 0);
    CHECK_FALSE(made.why.empty());
  }
  SECTION("the connection breaks before the answer") {
    mail_sink sink;
    auto door = mailer_for(options_for(sink.port()));
    CHECK(door->send(mail_to("drop@example.org")).what == kind::deferred);
    CHECK(door->send(mail_to("person@example.org")).what == kind::accepted);
  }
  SECTION("it dies between two mails") {
    mail_sink sink;
    auto door = mailer_for(options_for(sink.port()));
    CHECK(door->send(mail_to("person@example.org")).what == kind::accepted);
    sink.stop();
    CHECK(door->send(mail_to("person@example.org")).what == kind::deferred);
  }
}

TEST_CASE("a server that refuses us has not refused the person", "[notification]") {
  for (auto mode : {"greet554", "greet421"}) {
    CAPTURE(mode);
    mail_sink sink{{mode}};
    auto made = mailer_for(options_for(sink.port()))->send(mail_to("person@example.org"));
    CHECK(made.what == kind::deferred);
    CHECK(made.code == std::stoi(std::string{mode}.substr(5)));
  }
}

TEST_CASE("a user and a password are told, and a wrong one is for later", "[notification]") {
  mail_sink sink;
  auto options = options_for(sink.port());
  options.user = "feed";
  options.password = "right";
  CHECK(mailer_for(options)->send(mail_to("person@example.org")).what == kind::accepted);
  CHECK(sink.taken()["user"] == "feed");
  options.password = "wrong";
  auto made = mailer_for(options)->send(mail_to("person@example.org"));
  CHECK(made.what == kind::deferred);
  CHECK(made.code == 535);
}

TEST_CASE("encryption is demanded, and the server's certificate is looked at", "[notification]") {
  test::temporary_folder folder;
  auto certificate = (folder / "certificate.pem").string(), key = (folder / "key.pem").string();
  auto command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
                 " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
                 key + " -out " + certificate + " 2>/dev/null";
  REQUIRE(std::system(command.c_str()) == 0);
  mail_sink sink{{"starttls", certificate, key}};
  auto options = options_for(sink.port());
  options.tls = smtp_options::encryption::starttls;
  options.ca_file = certificate;
  options.user = "feed";
  options.password = "right";
  CHECK(mailer_for(options)->send(mail_to("person@example.org")).what == kind::accepted);
  auto taken = sink.taken();
  CHECK(taken["tls"] == true);
  CHECK(taken["user"] == "feed");

  SECTION("an unknown certificate gets no mail") {
    options.ca_file.clear();
    CHECK(mailer_for(options)->send(mail_to("person@example.org")).what == kind::deferred);
  }
  SECTION("a server without encryption gets no mail") {
    mail_sink open;
    options.port = open.port();
    CHECK(mailer_for(options)->send(mail_to("person@example.org")).what == kind::deferred);
  }
}

TEST_CASE("options that cannot be meant are refused", "[notification]") {
  auto refused = [](auto spoil) {
    auto options = options_for(25);
    spoil(options);
    auto made = make_smtp_mailer(options);
    return !made && made.error().code == errc::config_invalid &&
           made.error().detail.starts_with("smtp.");
  };
  CHECK(make_smtp_mailer(options_for(25)));
  for (auto host : {"", "a b", "mail.example/x", "user@mail.example", "mail.example:25",
                    "mail.example?x", "mail\r\nQUIT"})
    CHECK(refused([&](auto& o) { o.host = host; }));
  for (auto name : {"", "feed.example\r\nRCPT TO:<a@b>", "feed/example"})
    CHECK(refused([&](auto& o) { o.greeting = name; }));
  CHECK(refused([](auto& o) { o.port = 0; }));
  CHECK(refused([](auto& o) { o.user = "feed"; }));
  CHECK(refused([](auto& o) { o.password = "x"; }));
  CHECK(refused([](auto& o) {
    o.host = "mail.example";
    o.user = "feed";
    o.password = "x";
  }));
  CHECK(refused([](auto& o) { o.deadline = 0ms; }));
  CHECK(refused([](auto& o) { o.connect_deadline = 24h; }));
}
