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

/// The least that a node of a cluster is told.
const std::map<std::string, std::string> of_cluster = {
    {"cluster", "c1"},     {"etcd", "http://127.0.0.1:2379"}, {"node_address", "127.0.0.1:7070"},
    {"node_ca", "ca.pem"}, {"node_certificate", "n.pem"},     {"node_key", "k.pem"}};

std::map<std::string, std::string> with(std::map<std::string, std::string> more) {
  more.insert(of_cluster.begin(), of_cluster.end());
  return more;
}

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
  CHECK(c->http.port == 2);
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
           {"[[keys]]\nname = \"a\"\nrole = \"user\"\nhash = \"$argon2id$x\"", "user-token"},
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
  CHECK(load_text(least, {{"http", "[::1]:8080"}})->http.address == "::1");
}

TEST_CASE("operators are served on this machine, where nothing else is said", "[config]") {
  auto keys = least + "[[keys]]\nname = \"a\"\nrole = \"admin\"\nhash = \"$argon2id$x\"\n";
  std::map<std::string, std::string> tls = {
      {"http", "10.0.0.1:8443"}, {"tls_certificate", "c.pem"}, {"tls_key", "k.pem"}};
  CHECK(load_text(keys, tls)->admin == listen_at{"127.0.0.1", 8081});
  CHECK(!load_text(least)->admin); // where http is loopback it serves them
  CHECK(load_text(least, {{"admin", "[::1]:9"}})->admin == listen_at{"::1", 9});
  tls["admin"] = tls["http"];
  CHECK(!load_text(keys, tls)->admin);
  CHECK_THAT(load_text(least, {{"admin", "10.0.0.1:9"}}).error().detail,
             Catch::Contains("admin is not a loopback address"));
  CHECK_THAT(load_text(least, {{"admin", "9"}}).error().detail, Catch::Contains("ADDRESS:PORT"));
}

TEST_CASE("that http and admin are one address is told by where they listen, not by the text",
          "[config]") {
  auto keys = least + "[[keys]]\nname = \"a\"\nrole = \"admin\"\nhash = \"$argon2id$x\"\n";
  auto loaded = [&](const std::string& http, const std::string& admin) {
    std::map<std::string, std::string> given = {
        {"http", http}, {"tls_certificate", "c.pem"}, {"tls_key", "k.pem"}};
    if (!admin.empty())
      given["admin"] = admin;
    return load_text(keys, given);
  };
  for (auto [http, admin] : std::vector<std::pair<const char*, const char*>>{
           {"127.0.0.1:8080", "localhost:8080"},
           {"localhost:8080", "127.0.0.1:8080"},
           {"[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"},
           {"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"},
           {"127.0.0.1:0", "localhost:0"},
           {"[::]:8443", "[0::0]:8443"},
       }) {
    INFO(http << " " << admin);
    auto c = loaded(http, admin);
    REQUIRE(c);
    CHECK(!c->admin); // one listener serves both
  }
  for (auto [http, admin] : std::vector<std::pair<const char*, const char*>>{
           {"0.0.0.0:8443", "127.0.0.1:8443"},
           {"127.0.0.1:8443", "0.0.0.0:8443"},
           {"[::]:8443", "127.0.0.1:8443"},
           {"[::]:8443", "[::1]:8443"},
           {"[::]:8443", "0.0.0.0:8443"},
           {"0.0.0.0:8081", ""}, // admin would be 127.0.0.1:8081
           {"[::]:8081", ""},
       }) {
    INFO(http << " " << admin);
    auto c = loaded(http, admin);
    REQUIRE(!c);
    CHECK(c.error().code == errc::config_invalid);
    CHECK_THAT(c.error().detail, Catch::Contains("give admin another port"));
  }
  CHECK_THAT(loaded("0.0.0.0:8081", "").error().detail, Catch::Contains("admin is not given"));
  for (auto [http, admin] : std::vector<std::pair<const char*, const char*>>{
           {"0.0.0.0:8443", "127.0.0.1:8081"},
           {"0.0.0.0:8443", "[::1]:8443"}, // all of version 4 are none of version 6
           {"10.0.0.1:8081", ""},
           {"0.0.0.0:0", "127.0.0.1:0"}, // each takes a free one
       }) {
    INFO(http << " " << admin);
    auto c = loaded(http, admin);
    REQUIRE(c);
    CHECK(c->admin);
  }
  CHECK_THAT(loaded("node-1.example.org:8443", "").error().detail,
             Catch::Contains("http is ADDRESS:PORT"));
}

TEST_CASE("a node alone needs nothing of a cluster's", "[config]") {
  auto c = load_text(least);
  REQUIRE(c);
  CHECK(c->cluster.empty());
  CHECK(c->replicas == 3);
  CHECK(c->in_sync_min == 2);
  CHECK(c->cluster_nodes == 3);
  CHECK(c->zone == "default");
  CHECK(c->log_kept_bytes == 64u << 20);
  CHECK(c->advertise == "http://127.0.0.1:8080");
  CHECK(warnings(*c).empty());
}

TEST_CASE("a node of a cluster is told all that belongs to it", "[config]") {
  auto c = load_text(least, with({{"etcd", "https://10.0.0.1:2379/, https://etcd.example.org:2379"},
                                  {"etcd_ca", "a.pem"},
                                  {"etcd_certificate", "b.pem"},
                                  {"etcd_key", "c.pem"},
                                  {"zone", "rack-2"},
                                  {"replicas", "5"},
                                  {"in_sync_min", "3"},
                                  {"advertise", "https://n.example.org/"},
                                  {"log_kept_bytes", "65536"}}));
  REQUIRE(c);
  CHECK(c->cluster == "c1");
  CHECK(c->etcd ==
        std::vector<std::string>{"https://10.0.0.1:2379", "https://etcd.example.org:2379"});
  CHECK(c->zone == "rack-2");
  CHECK(c->replicas == 5);
  CHECK(c->in_sync_min == 3);
  CHECK(c->cluster_nodes == 5);
  CHECK(c->advertise == "https://n.example.org");
  CHECK(c->log_kept_bytes == 65536);
  CHECK(load_text(least, with({{"replicas", "1"}}))->in_sync_min == 1);
  CHECK(load_text(least, with({{"cluster_nodes", "7"}}))->cluster_nodes == 7);
}

TEST_CASE("half of a cluster's configuration is refused, and says what is missing", "[config]") {
  for (auto left_out : {"etcd", "node_address", "node_ca", "node_certificate", "node_key"}) {
    INFO(left_out);
    auto given = of_cluster;
    given.erase(left_out);
    auto c = load_text(least, given);
    REQUIRE(!c);
    CHECK_THAT(c.error().detail, Catch::Contains(left_out));
  }
  for (auto left_out : {"etcd_ca", "etcd_certificate", "etcd_key"}) {
    INFO(left_out);
    auto given = with({{"etcd", "https://127.0.0.1:2379"},
                       {"etcd_ca", "a.pem"},
                       {"etcd_certificate", "b.pem"},
                       {"etcd_key", "c.pem"}});
    CHECK(load_text(least, given).has_value() == (given["etcd"] == "https://127.0.0.1:2379"));
    given.erase(left_out);
    CHECK_THAT(load_text(least, given).error().detail, Catch::Contains(left_out));
  }
  // What was meant to be one of many never starts as one alone.
  CHECK_THAT(load_text(least, {{"etcd", "http://127.0.0.1:2379"}}).error().detail,
             Catch::Contains("need cluster"));
  CHECK_THAT(load_text(least, {{"node_address", "127.0.0.1:7"}}).error().detail,
             Catch::Contains("need cluster"));
}

TEST_CASE("a cluster's keys have bounds", "[config]") {
  struct row {
    std::string key, value, words;
  };
  for (const auto& r : std::vector<row>{
           {"cluster", "a/b", "letters"},
           {"cluster", std::string(65, 'a'), "64"},
           {"name", "node one", "letters"},
           {"etcd", "127.0.0.1:2379", "URLs"},
           {"etcd", "http://127.0.0.1:2379,", "URLs"},
           {"etcd", "http://127.0.0.1", "URLs"},
           {"etcd", "https://user@127.0.0.1:1", "URLs"},
           {"etcd", "http://10.0.0.1:2379", "beyond loopback"},
           {"etcd", "http://127.0.0.1.example.org:2379", "beyond loopback"},
           {"node_address", "10.0.0.1", "IP:PORT"},
           {"node_address", ":7070", "IP:PORT"},
           {"node_address", "10.0.0.1:0", "IP:PORT"},
           {"node_address", "node-1.example.org:7070", "IP:PORT"},
           {"node_address", "::1:7070", "IP:PORT"},
           {"zone", "", "letters"},
           {"replicas", "0", "from 1 to 7"},
           {"replicas", "8", "from 1 to 7"},
           {"replicas", "1", ""},
           {"in_sync_min", "0", "from 1 to 7"},
           {"in_sync_min", "4", "at most replicas (3)"},
           {"cluster_nodes", "0", "from 1 to"},
           {"advertise", "node-1:8080", "URL"},
           {"log_kept_bytes", "65535", "from 65536"},
           {"log_kept_bytes", "1073741825", "to 1073741824"},
       }) {
    INFO(r.key << " = " << r.value);
    auto c = load_text(least, with({{r.key, r.value}}));
    REQUIRE(c.has_value() == r.words.empty());
    if (!c)
      CHECK_THAT(c.error().detail, Catch::Contains(r.words) && Catch::Contains(r.key));
  }
}

TEST_CASE("who listens everywhere says by which URL", "[config]") {
  auto keys = least + "[[keys]]\nname = \"a\"\nrole = \"admin\"\nhash = \"$argon2id$x\"\n";
  auto given = with({{"http", "0.0.0.0:8443"}, {"tls_certificate", "c.pem"}, {"tls_key", "k.pem"}});
  CHECK_THAT(load_text(keys, given).error().detail, Catch::Contains("advertise"));
  given["advertise"] = "https://node-1:8443";
  CHECK(load_text(keys, given));
  given["http"] = "[::]:8443";
  given["advertise"] = "https://[2001:db8::1]:8443";
  CHECK(load_text(keys, given));
  given["advertise"] = "https://[0::0]:8443/";
  CHECK_THAT(load_text(keys, given).error().detail, Catch::Contains("advertise"));
  CHECK(load_text(least, {{"http", "[::1]:8080"}})->advertise == "http://[::1]:8080");
  CHECK(load_text(least, {{"http", "127.0.0.1:0"}})->advertise.empty());
}

TEST_CASE("giving up safety is allowed and said", "[config]") {
  auto said = [](std::map<std::string, std::string> more) {
    auto all = warnings(*load_text(least, with(std::move(more))));
    return all.empty() ? std::string{} : all.front();
  };
  CHECK(said({}).empty());
  CHECK_THAT(said({{"in_sync_min", "1"}}), Catch::Contains("one copy"));
  CHECK_THAT(said({{"replicas", "1"}}), Catch::Contains("replicas is 1"));
  CHECK_THAT(said({{"replicas", "2"}}), Catch::Contains("any one loss stops writes"));
}

TEST_CASE("the files of a cluster are looked at before a node starts on them", "[config]") {
  auto c = load(shipped / "node.toml", shipped, of_cluster);
  REQUIRE(c);
  CHECK_THAT(check(*c).error().detail, Catch::Contains("ca.pem"));
  test::temporary_folder folder;
  auto write = [&](const char* name, const std::string& block) {
    std::ofstream{folder / name} << "-----BEGIN " << block << "-----\nAA==\n";
    return folder / name;
  };
  c->node_ca = write("ca.pem", "CERTIFICATE");
  c->node_certificate = write("n.pem", "CERTIFICATE");
  c->node_key = write("k.pem", "PRIVATE KEY");
  CHECK(check(*c));
  c->node_key = c->node_certificate;
  CHECK_THAT(check(*c).error().detail, Catch::Contains("node_key: ") && Catch::Contains("n.pem"));
}

TEST_CASE("the worked example of a cluster's node reads as it stands", "[config]") {
  auto c = load(shipped / "cluster-node.toml", shipped, {});
  REQUIRE(c);
  CHECK(c->etcd.size() == 3);
  CHECK(c->node_ca == "/etc/candor/nodes-ca.crt");
  CHECK(warnings(*c).empty());
}

TEST_CASE("a disk misbehaves only where the node is one for trials, and that is warned of",
          "[config]") {
  auto refused = load_text(least + "testing_disk_faults = \"disk\"\n");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().detail, Catch::Contains("testing"));
  auto taken = load_text(least + "testing = \"yes\"\ntesting_disk_faults = \"disk\"\n");
  REQUIRE(taken);
  CHECK(taken->testing_disk_faults == taken->file.parent_path() / "disk");
  CHECK(warnings(*taken).size() == 1);
  CHECK_FALSE(load_text(least + "testing = \"perhaps\"\n"));
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

TEST_CASE("a transcriber is a program by its absolute path, and its arguments", "[config]") {
  CHECK(load_text(least)->transcriber.empty());
  auto c = load_text(least + "transcriber = \" /bin/sh  -c true \"\n"
                             "transcriber_deadline_ms = 2500\ntranscriber_at_once = 4\n");
  REQUIRE(c);
  CHECK(c->transcriber == std::vector<std::string>{"/bin/sh", "-c", "true"});
  CHECK(c->transcriber_deadline == std::chrono::milliseconds{2500});
  CHECK(c->transcriber_at_once == 4);
  for (auto line :
       {"transcriber = \"whisper\"", "transcriber = \"./run\"", "transcriber_deadline_ms = 99",
        "transcriber_deadline_ms = 60001", "transcriber_at_once = 0", "transcriber_at_once = 65"})
    CHECK(load_text(least + line + "\n").error().code == errc::config_invalid);
}

TEST_CASE("a transcriber that cannot be run is found before a node starts on it", "[config]") {
  CHECK(check(*load(std::nullopt, shipped, {{"transcriber", "/bin/sh"}})));
  for (auto program : {"/nowhere/to/be/found", "/etc/passwd"}) {
    auto refused = check(*load(std::nullopt, shipped, {{"transcriber", program}}));
    REQUIRE(!refused);
    CHECK(refused.error().code == errc::config_invalid);
    CHECK(refused.error().detail.find(program) != std::string::npos);
  }
}

TEST_CASE("paths in a file are relative to it, all but the data's", "[config]") {
  const std::string files[] = {
      "tls_certificate", "tls_key", "user_token_secret_file", "etcd_ca",  "etcd_certificate",
      "etcd_key",        "node_ca", "node_certificate",       "node_key", "lexicon",
      "topics_model",    "notices", "smtp_password_file"};
  auto text = least + "data = \"d\"\n";
  for (const auto& key : files)
    text += key + " = \"" + key + ".x\"\n";
  auto c = load_text(text);
  REQUIRE(c);
  auto folder = c->file.parent_path();
  std::vector<std::filesystem::path> read = {
      c->tls_certificate, c->tls_key, c->user_token_secret_file, c->etcd_ca,  c->etcd_certificate,
      c->etcd_key,        c->node_ca, c->node_certificate,       c->node_key, c->lexicon,
      c->topics_model,    c->notices, c->smtp_password_file};
  for (std::size_t i = 0; i < read.size(); ++i)
    CHECK(read[i] == folder / (files[i] + ".x"));
  CHECK(c->data == "d");
  CHECK(load_text(least, {{"tls_certificate", "c.pem"}, {"tls_key", "k.pem"}})->tls_key == "k.pem");
}

TEST_CASE("the shipped file names every key that a node of people may have", "[config]") {
  std::ifstream from{shipped / "node.toml"};
  std::string text{std::istreambuf_iterator<char>{from}, {}};
  for (const auto& p : properties()) {
    INFO(p.name);
    auto is_there = text.find("\n" + p.name + " = ") != text.npos ||
                    text.find("\n# " + p.name + " = ") != text.npos;
    CHECK(is_there != p.name.starts_with("testing"));
  }
}
