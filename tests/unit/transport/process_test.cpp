/// A peer that is a process of its own: stopped, continued, killed, started anew.
#include <csignal>
#include <cstdlib>
#include <fstream>

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/temporary_folder.hpp"
#include "tests/unit/transport/fixture.hpp"

namespace candor::transport_tests {

namespace {

constexpr const char* incarnation_variable = "CANDOR_TEST_PEER_INCARNATION";
constexpr const char* folder_variable = "CANDOR_TEST_PEER_FOLDER";

/// Runs the hidden test case below.
class peer_process {
public:
  peer_process(const std::filesystem::path& folder, std::uint64_t incarnation)
    : port_file_{folder / "port"} {
    std::filesystem::remove(port_file_);
    ::setenv(incarnation_variable, std::to_string(incarnation).c_str(), 1);
    ::setenv(folder_variable, folder.c_str(), 1);
    std::string name = "transport_tests", filter = "[peer_process]";
    char* arguments[] = {name.data(), filter.data(), nullptr};
    if (::posix_spawn(&pid_, "/proc/self/exe", nullptr, nullptr, arguments, environ) != 0)
      throw std::runtime_error{"the peer does not start"};
  }

  ~peer_process() {
    tell(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  void tell(int signal) { ::kill(pid_, signal); }

  std::string at() const {
    std::string port;
    eventually([&] { return std::ifstream{port_file_} >> port && !port.empty(); });
    return "127.0.0.1:" + port;
  }

private:
  std::filesystem::path port_file_;
  pid_t pid_ = 0;
};

} // namespace

TEST_CASE("a peer process", "[.][peer_process]") {
  const auto* incarnation = std::getenv(incarnation_variable);
  const auto* folder = std::getenv(folder_variable);
  if (!incarnation || !folder)
    return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // whatever becomes of the tests
  std::filesystem::path in{folder};
  test_node n2{"n2", std::stoull(incarnation), [&](auto& o) {
                 o.ca = in / "ca.pem";
                 o.certificate = in / "n2.pem";
                 o.key = in / "n2.key";
               }};
  n2.set_peers({{"n1", "127.0.0.1:1"}});
  std::ofstream{in / "unfinished"} << n2.links().port();
  std::filesystem::rename(in / "unfinished", in / "port");
  for (;;)
    ::pause();
}

TEST_CASE("a peer process that is stopped, goes on, is killed, and starts anew", "[transport]") {
  test::temporary_folder folder;
  std::filesystem::copy_file(our_authority().ca, folder / "ca.pem");
  std::filesystem::copy_file(our_authority().certificate("n2"), folder / "n2.pem");
  std::filesystem::copy_file(our_authority().key("n2"), folder / "n2.key");
  test_node n1{"n1"};
  auto n2 = std::make_unique<peer_process>(folder.path(), 1);
  n1.set_peers({{"n2", n2->at()}});
  REQUIRE(n1.comes_up("n2"));
  CHECK(n1.ask("n2", "who") == "n2: who");

  n2->tell(SIGSTOP);
  CHECK(n1.goes_down("n2"));
  CHECK(n1.ups("n2") == n1.downs("n2"));
  n2->tell(SIGCONT);
  REQUIRE(n1.comes_up("n2"));
  CHECK(eventually([&] { return n1.ask("n2", "who") == "n2: who"; }));
  CHECK(n1.incarnation_of("n2") == 1);

  n2->tell(SIGKILL);
  CHECK(n1.goes_down("n2"));
  n2.reset();
  n2 = std::make_unique<peer_process>(folder.path(), 2);
  n1.set_peers({{"n2", n2->at()}});
  REQUIRE(n1.comes_up("n2"));
  CHECK(n1.incarnation_of("n2") == 2);
  CHECK(eventually([&] { return n1.ask("n2", "who") == "n2: who"; }));
}

} // namespace candor::transport_tests
