/// What a node is told at its start: one value, from a TOML file, the environment and the command
/// line (the later wins). Guarantees: an unknown key, a wrong type or a value out of its bounds is
/// refused with file, line and column; every file it names has been looked at (`check`), so that a
/// node never starts on half a configuration. What takes seconds to read is tried in rehearsal.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/time.hpp"
#include "storage/model/policy/policy.hpp"
#include "storage/model/region.hpp"

namespace candor::config {

struct api_key {
  std::string name;
  std::string role;
  std::string hash; ///< argon2id, as `candorctl key hash` prints it
};

struct listen_at {
  std::string address = "127.0.0.1"; ///< an IP address or "localhost"
  std::uint16_t port = 8080;         ///< 0: any free one
  friend bool operator==(const listen_at&, const listen_at&) = default;
};

struct node_config {
  std::filesystem::path file; ///< where it came from

  std::string name = "node-1";
  std::filesystem::path data = "candor-data"; ///< relative: to where the node is started
  listen_at http;
  /// Of operators; nothing where `http` serves them too.
  std::optional<listen_at> admin;
  std::filesystem::path tls_certificate, tls_key; ///< PEM files; both or none
  std::filesystem::path user_token_secret_file;   ///< signs people's tokens; empty: none is valid
  std::string log_level = "info";
  bool settable_clock = false;
  std::optional<timestamp> clock_start; ///< of a settable clock, where the data is new
  std::uint16_t shards = 64;            ///< fixed when the data is made
  std::uint64_t block_cache_bytes = 256ull << 20;
  std::uint64_t disk_low_bytes = 256ull << 20;    ///< with less free the node takes no new data
  std::uint64_t disk_reserve_bytes = 64ull << 20; ///< set aside for when the disk is full

  std::string cluster;           ///< its id; empty: this node alone, with the local coordinator
  std::vector<std::string> etcd; ///< URLs of the members
  std::filesystem::path etcd_ca, etcd_certificate, etcd_key; ///< PEM; given where etcd has https
  std::string node_address; ///< IP:PORT of links and beacons to other nodes
  std::filesystem::path node_ca, node_certificate, node_key; ///< PEM
  std::string zone = "default";    ///< what fails together; replicas are spread over zones
  std::uint16_t replicas = 3;      ///< of each shard
  std::uint16_t in_sync_min = 2;   ///< with fewer copies in sync a shard takes no writes
  std::uint16_t cluster_nodes = 3; ///< a new cluster places its shards once there are so many
  std::string advertise;           ///< URL told to others; empty only where the port is chosen late
  std::uint64_t log_kept_bytes = limits::log_kept_bytes_per_shard;

  bool testing = false;                      ///< a node that nobody uses: what follows is allowed
  std::filesystem::path testing_disk_faults; ///< control file of storage/engine/disk_faults.hpp

  std::string app = "Candor"; ///< how a notice names the platform where a record names none
  std::string link = "https://example.org/privacy"; ///< where people see, correct and erase
  std::string smtp_host; ///< empty: no mail is sent, and mails wait as intents
  std::uint16_t smtp_port = 25;
  std::string smtp_tls = "starttls"; ///< none (loopback), starttls or implicit
  std::string smtp_user;
  std::filesystem::path smtp_password_file;
  std::string mail_from = "privacy@example.org";

  std::vector<std::string> transcriber; ///< an absolute path and arguments; none: no voice as audio
  std::chrono::milliseconds transcriber_deadline{10'000};
  std::uint16_t transcriber_at_once = 2;

  std::filesystem::path regions;
  std::filesystem::path lexicon;
  std::filesystem::path topics_model;   ///< of the topic filter; "none": the lexicon decides alone
  std::vector<std::string> topics_hook; ///< a program and its arguments; empty: none
  std::uint16_t topics_hook_ms = 500;   ///< for what it is asked at once
  std::filesystem::path notices;        ///< beneath it a policy's templates
  std::vector<std::filesystem::path> policies;
  std::vector<api_key> keys; ///< none: allowed on loopback only, and everyone may do everything
};

/// One settable property: the name in the file, the flag and the environment variable
/// (CANDOR_<NAME>).
struct property {
  std::string name;
  std::string sentence;
  std::string fallback; ///< as text

  std::string flag() const;     ///< "--in-sync-min"
  std::string variable() const; ///< "CANDOR_IN_SYNC_MIN"
};

/// All of them but lists (policies, [[keys]]).
const std::vector<property>& properties();

/// Reads `file`, or the shipped node.toml of `shipped` where none is named; then lays `overrides`
/// (name -> text) over it. Paths in a file are relative to the file, but that of `data`, which is
/// relative to where the node is started, as all are that `overrides` name. An explicit file must
/// name its policies and regions. Error: `config_invalid`, of the first fault.
result<node_config> load(const std::optional<std::filesystem::path>& file,
                         const std::filesystem::path& shipped,
                         const std::map<std::string, std::string>& overrides);

/// The files that a configuration names, read and valid.
struct checked {
  model::region_table regions;
  std::vector<model::policy> policies;
  std::string user_token_secret; ///< of its file; empty where none is named
  std::string smtp_password;     ///< of its file
};

/// Reads them all but notices, lexicon and model; also looks whether programs can be run and keys
/// are such. Error: `config_invalid`, `policy_invalid`; of the first fault.
result<checked> check(const node_config& config);

/// What is allowed and yet worth a line in the log, as sentences: a choice that gives up safety.
std::vector<std::string> warnings(const node_config& config);

/// The folder of the shipped configuration: CANDOR_CONFIGS, or share/candor/configs where the
/// program is installed, or that of the source tree it was built from.
std::filesystem::path shipped_folder();

/// The topic filter's model: made by the build beside the programs, or where CANDOR_TOPICS_MODEL
/// names it.
std::filesystem::path shipped_topics_model();

/// A whole file. Error: `config_invalid` where it can't be read or is larger than `bytes_max`.
result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max);

/// What signs people's tokens: all of a file of 32 to 256 bytes. Error: `config_invalid`.
result<std::string> read_user_token_secret(const std::filesystem::path& file);

/// "https://10.0.0.1:8443": an address of version 6 stands in brackets.
std::string url_of(const node_config& c, const listen_at& at);

/// An address of this machine alone, or "localhost".
bool is_loopback(const std::string& address);

} // namespace candor::config
