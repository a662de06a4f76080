#include <catch2/catch.hpp>

#include <fstream>

#include "actors/supervision/config/config.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace candor;
using namespace candor::config;

namespace {

const std::filesystem::path shipped{CANDOR_SOURCE_DIR "/configs"};

result<node_config> load_text(const std::string& text,
                              const std::map<std::string, std::string>& overrides = {}) {
  test::temporary_folder folder;
  std::ofstream{folder / "node.toml"} << text;
  return load(folder / "node.toml", shipped, overrides);
}

const std::string least = "regions = \"r.toml\"\npolicies = [\"p.toml\"]\n";

} // namespace

TEST_CASE("the shipped configurations are valid", "[config]") {
  for (auto name : {"node.toml", "playground.toml"}) {
    auto c = load(shipped / name, shipped, {});
    REQUIRE(c);
    CHECK(check(*c));
  }
}

TEST_CASE("with no file the shipped one is loaded", "[config]") {
  auto c = load(std::nullopt, shipped, {});
  REQUIRE(c);
  CHECK(c->file == shipped / "node.toml");
  CHECK(c->policies.size() == 1);
}

TEST_CASE("what is given beside the file wins over it", "[config]") {
  auto c = load_text(least + "http = \"127.0.0.1:1\"\n", {{"http", "127.0.0.1:2"}, {"name", "n2"}});
  REQUIRE(c);
  CHECK(c->http_port == 2);
  CHECK(c->name == "n2");
}

TEST_CASE("an explicit file must name its policies and regions", "[config]") {
  CHECK(load_text("name = \"x\"\n").error().code == errc::config_invalid);
}

TEST_CASE("what is wrong is refused with its place", "[config]") {
  struct row {
    std::string line, words;
  };
  for (const auto& r : std::vector<row>{
           {"shard = 64", "node.toml:3:"},
           {"shards = 63", "power of two"},
           {"shards = \"many\"", "whole number"},
           {"http = \"8080\"", "ADDRESS:PORT"},
           {"http = \"127.0.0.1:99999\"", "65535"},
           {"clock = \"sundial\"", "system or settable"},
           {"clock_start = \"yesterday\"", "clock_start"},
           {"log_level = 3", "log_level"},
           {"policies = []", "redefine"},
           {"[[keys]]\nname = \"a\"\nrole = \"king\"\nhash = \"$argon2id$x\"", "role is"},
           {"[[keys]]\nname = \"a\"\nrole = \"admin\"\nhash = \"secret\"", "never the key itself"},
           {"= 4", "node.toml:3:"},
       }) {
    INFO(r.line);
    auto c = load_text(least + r.line + "\n");
    REQUIRE(!c);
    CHECK(c.error().code == errc::config_invalid);
    CHECK_THAT(c.error().detail, Catch::Contains(r.words));
  }
}

TEST_CASE("beyond loopback TLS and keys are required", "[config]") {
  CHECK_THAT(load_text(least, {{"http", "0.0.0.0:8080"}}).error().detail, Catch::Contains("tls"));
  auto no_keys = load_text(
      least, {{"http", "0.0.0.0:8080"}, {"tls_certificate", "c.pem"}, {"tls_key", "k.pem"}});
  REQUIRE(!no_keys);
  CHECK_THAT(no_keys.error().detail, Catch::Contains("[[keys]]"));
  CHECK(load_text(least, {{"http", "[::1]:8080"}})->http_address == "::1");
}

TEST_CASE("every property has a sentence, and none is unknown to the loader", "[config]") {
  for (const auto& p : properties()) {
    INFO(p.name);
    CHECK(!p.sentence.empty());
    auto c = load_text(least, {{p.name, "\x01"}});
    if (!c)
      CHECK_THAT(c.error().detail, !Catch::Contains("there is no key"));
  }
}
