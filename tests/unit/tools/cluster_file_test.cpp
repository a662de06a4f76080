#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

#include <sys/stat.h>

#include "tests/support/temporary_folder.hpp"
#include "tools/candorctl/cluster_file.hpp"
#include "tools/candorctl/session.hpp"

using namespace candor;
using namespace candor::ctl;

namespace {

const std::string two_nodes =
    R"({"cluster":"c","nodes":[{"name":"node-1","url":"https://10.0.0.1:1"},
                               {"name":"node-2","url":"https://10.0.0.2:1"}],
        "ca":"/d/ca.crt","key":"secret"})";

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  ::chmod(file.parent_path().c_str(), 0700);
  std::ofstream{file} << text;
  ::chmod(file.c_str(), 0600);
}

/// An environment variable for as long as this lives.
class variable {
public:
  variable(const char* name, const std::string& value)
    : name_{name} {
    if (const auto* before = std::getenv(name))
      before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~variable() {
    if (before_)
      ::setenv(name_, before_->c_str(), 1);
    else
      ::unsetenv(name_);
  }
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;

private:
  const char* name_;
  std::optional<std::string> before_;
};

} // namespace

TEST_CASE("the file of a cluster names its nodes, its authority and a key", "[candorctl]") {
  auto c = parse_cluster_file(two_nodes, "f");
  REQUIRE(c);
  CHECK(c->urls == std::vector<std::string>{"https://10.0.0.1:1", "https://10.0.0.2:1"});
  CHECK(c->ca_file == "/d/ca.crt");
  CHECK(c->key == "secret");
  auto plain = parse_cluster_file(R"({"nodes":[{"url":"http://127.0.0.1:1"}],"ca":null})", "f");
  REQUIRE(plain);
  CHECK(plain->ca_file.empty());
  CHECK(plain->key.empty());
}

TEST_CASE("what is no such file is refused by its name", "[candorctl]") {
  for (auto text : {"", "[]", "{}", R"({"nodes":{}})", R"({"nodes":[]})", R"({"nodes":[{}]})",
                    R"({"nodes":[{"url":7}]})"}) {
    INFO(text);
    auto c = parse_cluster_file(text, "the-file");
    REQUIRE(!c);
    CHECK(c.error().code == errc::config_invalid);
    CHECK_THAT(c.error().detail, Catch::StartsWith("the-file: "));
  }
}

TEST_CASE("a cluster of this machine is found where no node is named", "[candorctl]") {
  test::temporary_folder folder;
  variable runtime{"XDG_RUNTIME_DIR", folder / ""}, none{"CANDOR_CLUSTER_FILE", ""};
  session nobody;
  REQUIRE(nobody.find_nodes());
  CHECK(nobody.node == "http://127.0.0.1:8080");

  write(usual_cluster_file(), two_nodes);
  session found;
  REQUIRE(found.find_nodes());
  CHECK(found.nodes.size() == 2);
  CHECK(found.key == "secret");
  CHECK(found.ca_file == "/d/ca.crt");

  session keyed;
  keyed.key = "mine";
  REQUIRE(keyed.find_nodes());
  CHECK(keyed.key == "mine");

  session named;
  named.node = "http://127.0.0.1:9";
  REQUIRE(named.find_nodes());
  CHECK(named.nodes.empty());
  CHECK(named.key.empty()); // the cluster's key is not sent to another node
}

TEST_CASE("a file at the usual place that others could have written is not believed",
          "[candorctl]") {
  test::temporary_folder folder;
  variable runtime{"XDG_RUNTIME_DIR", folder / ""}, none{"CANDOR_CLUSTER_FILE", ""};
  auto file = usual_cluster_file();
  write(file, two_nodes);
  CHECK(is_ours_alone(file));
  ::chmod(file.c_str(), 0620);
  CHECK_FALSE(is_ours_alone(file));
  CHECK_FALSE(*find_cluster_file());
  ::chmod(file.c_str(), 0600);
  ::chmod(file.parent_path().c_str(), 0702);
  CHECK_FALSE(is_ours_alone(file));
  ::chmod(file.parent_path().c_str(), 0700);
  std::filesystem::rename(file, folder / "elsewhere");
  std::filesystem::create_symlink(folder / "elsewhere", file);
  CHECK_FALSE(is_ours_alone(file));
}

TEST_CASE("a file that was named must be there", "[candorctl]") {
  test::temporary_folder folder;
  variable named{"CANDOR_CLUSTER_FILE", folder / "c.json"};
  CHECK_FALSE(find_cluster_file());
  write(folder / "c.json", two_nodes);
  auto c = find_cluster_file();
  REQUIRE(c);
  CHECK((*c)->urls.size() == 2);
}
