#include "actors/supervision/config/config.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>

#include "actors/gateway/keys.hpp"
#include "actors/supervision/config/ip_address.hpp"
#include "storage/base/limits.hpp"
#include "storage/model/toml_reader.hpp"

namespace candor::config {

namespace {

constexpr std::size_t path_bytes_max = 4096;
constexpr std::size_t pem_bytes_max = 256 * 1024;
constexpr std::uint64_t replicas_max = 7;
constexpr std::uint64_t cluster_nodes_max = 1000;
constexpr std::size_t etcd_members_max = 9;
constexpr std::uint64_t log_kept_bytes_least = 64 << 10;
constexpr std::uint64_t log_kept_bytes_most = 1 << 30;
constexpr std::uint64_t hook_ms_least = 1, hook_ms_most = 4000; ///< less than a room waits
constexpr std::uint64_t transcribers_max = 64;
constexpr std::uint16_t admin_port = 8081; ///< where http is not loopback
constexpr std::uint64_t disk_bytes_most = 1ull << 50;

result<std::uint64_t> number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    return fail(errc::config_invalid, fmt::format("is a whole number from {} to {}", least, most));
  return value;
}

result<listen_at> parse_listener(const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return fail(errc::config_invalid, "is ADDRESS:PORT, such as 127.0.0.1:8080");
  CANDOR_TRY(port, number(std::string_view{text}.substr(colon + 1), 0, 65535));
  auto address = text.substr(0, colon);
  // Names are not looked up: where one listens would depend on when it was asked.
  if (!ip_address::read(address))
    return fail(errc::config_invalid,
                "is ADDRESS:PORT, such as 127.0.0.1:8080: an IP address, or localhost");
  if (address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  return listen_at{std::move(address), static_cast<std::uint16_t>(port)};
}

result<void> set_http(node_config& c, const std::string& text) {
  CANDOR_TRY(parsed, parse_listener(text));
  c.http = std::move(parsed);
  return {};
}

result<void> set_admin(node_config& c, const std::string& text) {
  if (text.empty())
    return {};
  CANDOR_TRY(parsed, parse_listener(text));
  c.admin = std::move(parsed);
  return {};
}

/// The number of an address; of version 6 in brackets.
bool is_ip(const std::string& text) {
  auto is_v6 = text.find(':') != std::string::npos;
  return text != "localhost" && is_v6 == text.starts_with('[') &&
         ip_address::read(text).has_value();
}

/// What may stand in a key of etcd, in a certificate and in a metric's label alike.
bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

result<void> set_number(std::uint16_t& to, const std::string& text, std::uint64_t least,
                        std::uint64_t most) {
  CANDOR_TRY(value, number(text, least, most));
  to = static_cast<std::uint16_t>(value);
  return {};
}

/// "https://10.0.0.1:2379,https://10.0.0.2:2379"
result<void> set_etcd(node_config& c, const std::string& text) {
  c.etcd.clear();
  if (text.empty())
    return {};
  for (std::size_t at = 0; at <= text.size();) {
    auto end = std::min(text.find(',', at), text.size());
    auto url = text.substr(at, end - at);
    url.erase(0, url.find_first_not_of(' '));
    url.erase(url.find_last_not_of(" /") + 1);
    auto scheme = url.find("://");
    auto name = scheme == url.npos ? "" : url.substr(0, scheme);
    auto host = scheme == url.npos ? "" : url.substr(scheme + 3);
    auto colon = host.rfind(':');
    if ((name != "http" && name != "https") || colon == host.npos || colon == 0 ||
        host.find_first_of("/@? ") != host.npos || !number(host.substr(colon + 1), 1, 65535))
      return fail(errc::config_invalid,
                  "is a list of URLs such as https://10.0.0.1:2379, with commas between");
    if (name == "http" && !is_loopback(host.substr(0, colon)))
      return fail(errc::config_invalid,
                  "has a member beyond loopback without TLS: who reaches it may rule the cluster");
    c.etcd.push_back(std::move(url));
    at = end + 1;
  }
  if (c.etcd.size() > etcd_members_max)
    return fail(errc::config_invalid, fmt::format("has at most {} members", etcd_members_max));
  return {};
}

/// Words with spaces between. No shell reads them, so that none can be made to read more into them.
/// Which program a name or a relative path means would hang on where the node was started.
result<std::vector<std::string>> command_of(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream words{text};
  for (std::string part; words >> part;)
    parts.push_back(std::move(part));
  if (!parts.empty() && !parts.front().starts_with('/'))
    return fail(errc::config_invalid, "is a program's absolute path, and arguments after spaces");
  return parts;
}

/// "/usr/bin/judge --strict"
result<void> set_hook(node_config& c, const std::string& text) {
  CANDOR_TRY(parts, command_of(text));
  c.topics_hook = std::move(parts);
  return {};
}

result<void> set_transcriber(node_config& c, const std::string& text) {
  CANDOR_TRY(parts, command_of(text));
  c.transcriber = std::move(parts);
  return {};
}

using setter = std::function<result<void>(node_config&, const std::string&)>;

/// Takes any text or path as it is.
template <class Member>
setter verbatim(Member node_config::*member) {
  return [member](node_config& c, const std::string& v) -> result<void> {
    c.*member = v;
    return {};
  };
}

struct setting {
  property described;
  setter set;
};

const std::vector<setting>& settings() {
  static const std::vector<setting> all = {
      {{"name", "the node's name: its identity in the cluster", "node-1"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v.empty() || v.size() > 64 || !plain_utf8(v))
           return fail(errc::config_invalid, "has 1 to 64 bytes of plain text");
         c.name = v;
         return {};
       }},
      {{"data", "the folder in which the node keeps everything", "candor-data"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v.empty() || v.size() > path_bytes_max)
           return fail(errc::config_invalid, "is a folder's path");
         c.data = v;
         return {};
       }},
      {{"http", "address and port of the HTTP interface; port 0 takes a free one",
        "127.0.0.1:8080"},
       set_http},
      {{"admin",
        "address and port where operators are served: policies, cluster, audit log, admin verbs; "
        "may be that of http",
        "as http where that is loopback, else 127.0.0.1:8081"},
       set_admin},
      {{"tls_certificate", "PEM file; required where the address is not loopback", ""},
       verbatim(&node_config::tls_certificate)},
      {{"tls_key", "PEM file of the certificate's private key", ""},
       verbatim(&node_config::tls_key)},
      {{"user_token_secret_file",
        "file whose content (32 to 256 bytes) signs the tokens of people; none: no user tokens",
        ""},
       verbatim(&node_config::user_token_secret_file)},
      {{"log_level", "debug, info, warn or error", "info"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v != "debug" && v != "info" && v != "warn" && v != "error")
           return fail(errc::config_invalid, "is debug, info, warn or error");
         c.log_level = v;
         return {};
       }},
      {{"clock", "system, or settable: an operator may set it forward (playground)", "system"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v != "system" && v != "settable")
           return fail(errc::config_invalid, "is system or settable");
         c.settable_clock = v == "settable";
         return {};
       }},
      {{"clock_start", "where a settable clock begins while the data is new (RFC 3339)", ""},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(start, parse_time(v));
         c.clock_start = start;
         return {};
       }},
      {{"shards", "how many shards: a power of two from 2 to 32768; fixed when the data is made",
        "64"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(count, number(v, 2, 32768));
         if (!std::has_single_bit(count))
           return fail(errc::config_invalid, "is a power of two");
         c.shards = static_cast<std::uint16_t>(count);
         return {};
       }},
      {{"block_cache_bytes", "memory for blocks read from disk", "268435456"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(bytes, number(v, 1u << 20, 1ull << 40));
         c.block_cache_bytes = bytes;
         return {};
       }},
      {{"disk_low_bytes",
        "with less free on the data's disk the node takes no new data and leads no shard that "
        "another "
        "can lead; 0: never looked at",
        "268435456"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(bytes, number(v, 0, disk_bytes_most));
         c.disk_low_bytes = bytes;
         return {};
       }},
      {{"disk_reserve_bytes",
        "a file of this size is given up when the disk is full: room for erasures and to go on",
        "67108864"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(bytes, number(v, 0, disk_bytes_most));
         c.disk_reserve_bytes = bytes;
         return {};
       }},
      {{"cluster", "the cluster's id, the same on all its nodes; none: this node alone", ""},
       [](node_config& c, const std::string& v) -> result<void> {
         if (!v.empty() && !is_label(v))
           return fail(errc::config_invalid, "has 1 to 64 letters, digits, -, _ or .");
         c.cluster = v;
         return {};
       }},
      {{"etcd", "the URLs of etcd's members, with commas between", ""}, set_etcd},
      {{"etcd_ca", "PEM file: who signed the certificates of etcd's members", ""},
       verbatim(&node_config::etcd_ca)},
      {{"etcd_certificate", "PEM file: this node's certificate for etcd, without a CN", ""},
       verbatim(&node_config::etcd_certificate)},
      {{"etcd_key", "PEM file of that certificate's private key", ""},
       verbatim(&node_config::etcd_key)},
      {{"node_address", "IP:PORT where other nodes reach this one: links and beacons", ""},
       [](node_config& c, const std::string& v) -> result<void> {
         auto colon = v.rfind(':');
         // Names are not looked up: whom one reaches would depend on when it was asked.
         if (colon == std::string::npos || !is_ip(v.substr(0, colon)) ||
             !number(v.substr(colon + 1), 1, 65535))
           return fail(errc::config_invalid, "is IP:PORT, such as 10.0.0.1:7070 or [::1]:7070");
         c.node_address = v;
         return {};
       }},
      {{"node_ca", "PEM file: who signed the certificates of the cluster's nodes", ""},
       verbatim(&node_config::node_ca)},
      {{"node_certificate", "PEM file: this node's certificate, whose CN is its name", ""},
       verbatim(&node_config::node_certificate)},
      {{"node_key", "PEM file of that certificate's private key", ""},
       verbatim(&node_config::node_key)},
      {{"zone", "what fails together with this node; replicas are spread over zones", "default"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (!is_label(v))
           return fail(errc::config_invalid, "has 1 to 64 letters, digits, -, _ or .");
         c.zone = v;
         return {};
       }},
      {{"replicas", "how many nodes hold each shard", "3"},
       [](node_config& c, const std::string& v) {
         return set_number(c.replicas, v, 1, replicas_max);
       }},
      {{"in_sync_min",
        "with fewer copies in sync a shard takes no writes; 1 risks what was acknowledged",
        "2, or 1 of 1 replica"},
       [](node_config& c, const std::string& v) {
         return set_number(c.in_sync_min, v, 1, replicas_max);
       }},
      {{"cluster_nodes", "a new cluster waits for so many nodes, then places its shards",
        "as many as replicas"},
       [](node_config& c, const std::string& v) {
         return set_number(c.cluster_nodes, v, 1, cluster_nodes_max);
       }},
      {{"advertise", "the HTTP URL that other nodes and operators are told", "made of http"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (!v.empty() && !v.starts_with("http://") && !v.starts_with("https://"))
           return fail(errc::config_invalid, "is a URL, such as https://node-1.example.org:8080");
         c.advertise = v.substr(0, v.find_last_not_of('/') + 1);
         return {};
       }},
      {{"testing", "yes: a node that nobody uses, which may be told to misbehave; or no", "no"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v != "yes" && v != "no")
           return fail(errc::config_invalid, "is yes or no");
         c.testing = v == "yes";
         return {};
       }},
      {{"testing_disk_faults",
        "file that says how the disk misbehaves; refused unless testing is yes", ""},
       verbatim(&node_config::testing_disk_faults)},
      {{"log_kept_bytes", "log of each shard kept for replicas that were away", "67108864"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(bytes, number(v, log_kept_bytes_least, log_kept_bytes_most));
         c.log_kept_bytes = bytes;
         return {};
       }},
      {{"app", "how a notice names the platform where a record names none", "Candor"},
       verbatim(&node_config::app)},
      {{"link", "the address where people see, correct and erase", "https://example.org/privacy"},
       verbatim(&node_config::link)},
      {{"smtp", "HOST:PORT of the mail server; none: mails wait", ""},
       [](node_config& c, const std::string& v) -> result<void> {
         auto colon = v.rfind(':');
         if (colon == std::string::npos || colon == 0)
           return fail(errc::config_invalid, "is HOST:PORT, such as mail.example.org:587");
         CANDOR_TRY(port, number(std::string_view{v}.substr(colon + 1), 1, 65535));
         c.smtp_host = v.substr(0, colon);
         c.smtp_port = static_cast<std::uint16_t>(port);
         return {};
       }},
      {{"smtp_tls", "none (a server on loopback), starttls or implicit", "starttls"},
       [](node_config& c, const std::string& v) -> result<void> {
         if (v != "none" && v != "starttls" && v != "implicit")
           return fail(errc::config_invalid, "is none, starttls or implicit");
         c.smtp_tls = v;
         return {};
       }},
      {{"smtp_user", "who logs in at the mail server", ""}, verbatim(&node_config::smtp_user)},
      {{"smtp_password_file", "file that holds the password", ""},
       verbatim(&node_config::smtp_password_file)},
      {{"mail_from", "the address that mails are from", "privacy@example.org"},
       verbatim(&node_config::mail_from)},
      {{"notices", "the folder beneath which a policy's templates lie", "notices"},
       verbatim(&node_config::notices)},
      {{"transcriber",
        "a program's absolute path and its arguments, with spaces between, that turns speech into "
        "text (docs/voice.md); none: no voice as audio",
        ""},
       set_transcriber},
      {{"transcriber_deadline_ms",
        "by then it has answered, or is ended and the event withheld: 100 to 60000", "10000"},
       [](node_config& c, const std::string& v) -> result<void> {
         CANDOR_TRY(ms, number(v, 100, 60'000));
         c.transcriber_deadline = std::chrono::milliseconds{ms};
         return {};
       }},
      {{"transcriber_at_once", "how many of it run at a time: 1 to 64", "2"},
       [](node_config& c, const std::string& v) {
         return set_number(c.transcriber_at_once, v, 1, transcribers_max);
       }},
      {{"regions", "the table of regions", "regions.toml"}, verbatim(&node_config::regions)},
      {{"lexicon", "the folder of the topic filter's lexica", "lexicon"},
       verbatim(&node_config::lexicon)},
      {{"topics_model",
        "the topic filter's model, trained with this lexicon; none: the lexicon decides alone",
        "share/candor/topics.model"},
       verbatim(&node_config::topics_model)},
      {{"topics_hook",
        "a program that may withhold more: its absolute path, and arguments after spaces; none: no "
        "hook",
        ""},
       set_hook},
      {{"topics_hook_ms",
        "how long the hook may take over what it is asked at once; what is late is withheld",
        "500"},
       [](node_config& c, const std::string& v) {
         return set_number(c.topics_hook_ms, v, hook_ms_least, hook_ms_most);
       }},
  };
  return all;
}

result<void> set(node_config& c, const std::string& name, const std::string& value) {
  for (const auto& s : settings()) {
    if (s.described.name != name)
      continue;
    auto done = s.set(c, value);
    if (!done)
      return fail(errc::config_invalid, name + " " + done.error().detail);
    return {};
  }
  return fail(errc::config_invalid, "there is no key " + name);
}

/// The text of a scalar as an override would give it.
std::optional<std::string> scalar(const toml::node& node) {
  if (auto s = node.value_exact<std::string>())
    return *s;
  if (auto i = node.value_exact<std::int64_t>())
    return std::to_string(*i);
  return std::nullopt;
}

result<void> read_keys(const model::toml_file& file, const toml::node& node, node_config& c) {
  auto list = node.as_array();
  if (!list || !list->is_homogeneous<toml::table>())
    return file.refuse(node.source().begin, "keys is an array of tables: [[keys]]");
  for (const auto& element : *list) {
    CANDOR_TRY(section, model::toml_section::open(file, *element.as_table(), "keys",
                                                  {"name", "role", "hash"}));
    CANDOR_TRY(name, section.text("name"));
    CANDOR_TRY(role, section.text("role"));
    CANDOR_TRY(hash, section.text("hash"));
    if (auto known = gateway::find_key_role(role.text); !known)
      return file.refuse(role.where, known.error().detail);
    if (!hash.text.starts_with("$argon2id$"))
      return file.refuse(hash.where, "hash is an argon2id hash, never the key itself");
    c.keys.push_back({name.text, role.text, hash.text});
  }
  return {};
}

result<void> read_policies(const model::toml_file& file, const toml::node& node, node_config& c) {
  auto list = node.as_array();
  if (!list || list->empty() || list->size() > limits::policies)
    return file.refuse(node.source().begin, "policies is an array of 1 to 64 paths");
  for (const auto& element : *list) {
    auto path = element.value_exact<std::string>();
    if (!path)
      return file.refuse(element.source().begin, "policies is an array of paths");
    c.policies.emplace_back(*path);
  }
  return {};
}

result<void> read_config(node_config& c, const std::filesystem::path& path) {
  CANDOR_TRY(text, read_file(path, limits::config_file_bytes));
  auto name = path.string();
  model::toml_file file{name, errc::config_invalid, limits::config_file_bytes};
  CANDOR_TRY(table, file.parse(text));
  for (const auto& [key, node] : table) {
    std::string key_text{key.str()};
    if (key_text == "keys") {
      CANDOR_TRY_VOID(read_keys(file, node, c));
    } else if (key_text == "policies") {
      CANDOR_TRY_VOID(read_policies(file, node, c));
    } else {
      auto value = scalar(node);
      if (!value)
        return file.refuse(node.source().begin, key_text + " is a string or a whole number");
      if (auto done = set(c, key_text, *value); !done)
        return file.refuse(node.source().begin, done.error().detail);
    }
  }
  auto folder = path.parent_path();
  auto resolve = [&](std::filesystem::path& p) {
    if (!p.empty() && p.is_relative())
      p = folder / p;
  };
  resolve(c.regions);
  resolve(c.lexicon);
  if (c.topics_model != "none")
    resolve(c.topics_model);
  resolve(c.notices);
  resolve(c.user_token_secret_file);
  resolve(c.smtp_password_file);
  for (auto member :
       {&node_config::tls_certificate, &node_config::tls_key, &node_config::etcd_ca,
        &node_config::etcd_certificate, &node_config::etcd_key, &node_config::node_ca,
        &node_config::node_certificate, &node_config::node_key, &node_config::testing_disk_faults})
    resolve(c.*member);
  for (auto& p : c.policies)
    resolve(p);
  return {};
}

/// Of a URL whether its host is no address that one could reach.
bool names_everywhere(std::string_view url) {
  url.remove_prefix(std::min(url.size(), url.find("://") + 3));
  auto host = url.starts_with('[') ? url.substr(0, url.find(']') + 1)
                                   : url.substr(0, url.find_first_of(":/"));
  auto address = ip_address::read(host);
  return address && address->is_everywhere();
}

/// Where operators are served. Two listeners at one address and port are one, however they are
/// written; two that the system would not let stand side by side are refused.
result<void> settle_admin(node_config& c) {
  auto is_implied = !c.admin && !is_loopback(c.http.address);
  if (is_implied)
    c.admin = listen_at{"127.0.0.1", admin_port};
  if (!c.admin || c.admin->port != c.http.port)
    return {};
  auto http = ip_address::read(c.http.address), admin = ip_address::read(c.admin->address);
  if (http == admin) {
    c.admin.reset();
    return {};
  }
  auto is_taken = http && admin && (http->takes_in(*admin) || admin->takes_in(*http));
  if (!is_taken || c.http.port == 0) // of free ports each gets one of its own
    return {};
  return fail(errc::config_invalid,
              fmt::format("{}: http ({}) and admin ({}) would take one port at the same address; "
                          "give admin another port, or exactly the address of http",
                          is_implied ? "admin is not given, so operators are served at 127.0.0.1"
                                     : "admin is in the way of http",
                          url_of(c, c.http), url_of(c, *c.admin)));
}

/// What of a cluster's keys belongs together. Defaults that hang on other keys come in here.
result<void> settle_cluster(node_config& c) {
  if (c.in_sync_min == 0)
    c.in_sync_min = std::min<std::uint16_t>(2, c.replicas);
  if (c.cluster_nodes == 0)
    c.cluster_nodes = c.replicas;
  if (c.in_sync_min > c.replicas)
    return fail(errc::config_invalid, fmt::format("in_sync_min is at most replicas ({}), not {}",
                                                  c.replicas, c.in_sync_min));
  if (c.advertise.empty() && c.http.port != 0)
    c.advertise = url_of(c, c.http);
  if (c.cluster.empty()) {
    // A node that was meant to be one of many must not start as one alone.
    if (!c.etcd.empty() || !c.node_address.empty())
      return fail(errc::config_invalid, "etcd and node_address need cluster");
    return {};
  }
  if (!is_label(c.name))
    return fail(errc::config_invalid,
                "name has 1 to 64 letters, digits, -, _ or . where there is a cluster");
  if (c.etcd.empty())
    return fail(errc::config_invalid, "cluster needs etcd");
  if (c.node_address.empty())
    return fail(errc::config_invalid, "cluster needs node_address");
  if (c.node_ca.empty() || c.node_certificate.empty() || c.node_key.empty())
    return fail(errc::config_invalid, "cluster needs node_ca, node_certificate and node_key");
  auto secure =
      std::ranges::any_of(c.etcd, [](const auto& url) { return url.starts_with("https://"); });
  if (secure && (c.etcd_ca.empty() || c.etcd_certificate.empty() || c.etcd_key.empty()))
    return fail(errc::config_invalid,
                "etcd has https: it needs etcd_ca, etcd_certificate and etcd_key");
  if (names_everywhere(c.advertise))
    return fail(errc::config_invalid, "http listens everywhere: advertise must name one URL");
  return {};
}

/// A PEM file with such a block in it.
result<void> check_pem(const char* key, const std::filesystem::path& file, std::string_view block) {
  if (file.empty())
    return {};
  CANDOR_TRY(text, read_file(file, pem_bytes_max));
  auto begin = text.find("-----BEGIN ");
  if (begin == text.npos || text.find(block, begin) == text.npos)
    return fail(errc::config_invalid,
                fmt::format("{}: {} holds no {} in PEM", key, file.string(), block));
  return {};
}

} // namespace

std::string property::flag() const {
  auto made = "--" + name;
  std::ranges::replace(made, '_', '-');
  return made;
}

std::string property::variable() const {
  auto made = "CANDOR_" + name;
  std::ranges::transform(made, made.begin(), [](unsigned char c) { return std::toupper(c); });
  return made;
}

const std::vector<property>& properties() {
  static const auto all = [] {
    std::vector<property> list;
    for (const auto& s : settings())
      list.push_back(s.described);
    return list;
  }();
  return all;
}

result<node_config> load(const std::optional<std::filesystem::path>& file,
                         const std::filesystem::path& shipped,
                         const std::map<std::string, std::string>& overrides) {
  node_config c;
  c.in_sync_min = c.cluster_nodes = 0; // not given
  c.file = file.value_or(shipped / "node.toml");
  CANDOR_TRY_VOID(read_config(c, c.file));
  for (const auto& [name, value] : overrides)
    CANDOR_TRY_VOID(set(c, name, value));
  if (c.policies.empty() || c.regions.empty())
    return fail(errc::config_invalid,
                c.file.string() + ": a configuration must name its policies and regions");
  if (c.lexicon.empty())
    c.lexicon = shipped / "lexicon";
  if (c.topics_model.empty())
    c.topics_model = shipped_topics_model();
  if (c.notices.empty())
    c.notices = shipped / "notices";
  if (c.tls_certificate.empty() != c.tls_key.empty())
    return fail(errc::config_invalid, "tls_certificate and tls_key belong together");
  CANDOR_TRY_VOID(settle_admin(c));
  for (auto [key, address] : {std::pair{"http", &c.http.address},
                              {"admin", c.admin ? &c.admin->address : &c.http.address}}) {
    if (is_loopback(*address))
      continue;
    if (c.tls_certificate.empty())
      return fail(
          errc::config_invalid,
          fmt::format("{} is not a loopback address: it needs tls_certificate and tls_key", key));
    if (c.keys.empty())
      return fail(errc::config_invalid,
                  fmt::format("{} is not a loopback address: it needs [[keys]]", key));
  }
  if (c.clock_start && !c.settable_clock)
    return fail(errc::config_invalid, "clock_start needs clock = \"settable\"");
  if (!c.testing_disk_faults.empty() && !c.testing)
    return fail(errc::config_invalid, "testing_disk_faults needs testing = \"yes\"");
  CANDOR_TRY_VOID(settle_cluster(c));
  return c;
}

result<checked> check(const node_config& config) {
  checked files;
  CANDOR_TRY(regions_text, read_file(config.regions, limits::config_file_bytes));
  CANDOR_TRY(regions, model::region_table::parse(regions_text, config.regions.string()));
  files.regions = std::move(regions);
  for (const auto& path : config.policies) {
    CANDOR_TRY(text, read_file(path, limits::policy_file_bytes));
    CANDOR_TRY(policy, model::parse_policy(text, path.string(), files.regions));
    files.policies.push_back(std::move(policy));
  }
  if (!config.user_token_secret_file.empty()) {
    CANDOR_TRY(secret, read_user_token_secret(config.user_token_secret_file));
    files.user_token_secret = std::move(secret);
  }
  if (!config.smtp_password_file.empty()) {
    CANDOR_TRY(password, read_file(config.smtp_password_file, 256));
    while (!password.empty() && (password.back() == '\n' || password.back() == '\r'))
      password.pop_back();
    files.smtp_password = std::move(password);
  }
  for (auto [key, command] :
       {std::pair{"transcriber", &config.transcriber}, {"topics_hook", &config.topics_hook}})
    if (!command->empty() && ::access(command->front().c_str(), X_OK) != 0)
      return fail(errc::config_invalid,
                  fmt::format("{}: {} is no program that can be run", key, command->front()));
  std::vector<gateway::api_key> keys;
  for (const auto& key : config.keys)
    keys.push_back({key.name, key.role, key.hash});
  CANDOR_TRY_VOID(gateway::key_ring::make(std::move(keys), files.user_token_secret));
  CANDOR_TRY_VOID(check_pem("tls_certificate", config.tls_certificate, "CERTIFICATE"));
  CANDOR_TRY_VOID(check_pem("tls_key", config.tls_key, "PRIVATE KEY"));
  CANDOR_TRY_VOID(check_pem("etcd_ca", config.etcd_ca, "CERTIFICATE"));
  CANDOR_TRY_VOID(check_pem("etcd_certificate", config.etcd_certificate, "CERTIFICATE"));
  CANDOR_TRY_VOID(check_pem("etcd_key", config.etcd_key, "PRIVATE KEY"));
  CANDOR_TRY_VOID(check_pem("node_ca", config.node_ca, "CERTIFICATE"));
  CANDOR_TRY_VOID(check_pem("node_certificate", config.node_certificate, "CERTIFICATE"));
  CANDOR_TRY_VOID(check_pem("node_key", config.node_key, "PRIVATE KEY"));
  return files;
}

std::vector<std::string> warnings(const node_config& config) {
  std::vector<std::string> made;
  if (config.testing)
    made.push_back("testing is yes: this node may be told to lose what it acknowledged");
  if (config.cluster.empty())
    return made;
  if (config.replicas > 1 && config.in_sync_min == 1)
    made.push_back(
        fmt::format("in_sync_min is 1 of {} replicas: a shard goes on with one copy, and "
                    "what it acknowledges then is lost with that copy's disk",
                    config.replicas));
  if (config.replicas == 1)
    made.push_back("replicas is 1: a shard is gone for as long as its node is");
  if (config.in_sync_min > 1 && config.in_sync_min == config.replicas)
    made.push_back(
        fmt::format("in_sync_min is all {} replicas: any one loss stops writes", config.replicas));
  return made;
}

/// Beside the program: bin/candord, share/candor.
static std::filesystem::path share_folder() {
  std::error_code ec;
  auto program = std::filesystem::read_symlink("/proc/self/exe", ec);
  return program.parent_path().parent_path() / "share/candor";
}

std::filesystem::path shipped_folder() {
  if (auto named = std::getenv("CANDOR_CONFIGS"))
    return named;
  auto installed = share_folder() / "configs";
  return std::filesystem::exists(installed) ? installed : CANDOR_SOURCE_CONFIGS;
}

std::filesystem::path shipped_topics_model() {
  if (auto named = std::getenv("CANDOR_TOPICS_MODEL"))
    return named;
  return share_folder() / "topics.model";
}

result<std::string> read_file(const std::filesystem::path& file, std::size_t bytes_max) {
  std::ifstream from{file, std::ios::binary};
  if (!from)
    return fail(errc::config_invalid, file.string() + ": cannot be read");
  std::string text{std::istreambuf_iterator<char>{from}, {}};
  if (from.bad() || text.size() > bytes_max)
    return fail(errc::config_invalid,
                fmt::format("{}: is larger than {} bytes", file.string(), bytes_max));
  return text;
}

result<std::string> read_user_token_secret(const std::filesystem::path& file) {
  CANDOR_TRY(secret, read_file(file, 256));
  if (secret.size() < 32)
    return fail(errc::config_invalid, file.string() + ": has less than 32 bytes");
  return std::move(secret);
}

std::string url_of(const node_config& c, const listen_at& at) {
  return fmt::format(
      "{}://{}:{}", c.tls_certificate.empty() ? "http" : "https",
      at.address.find(':') == std::string::npos ? at.address : "[" + at.address + "]", at.port);
}

bool is_loopback(const std::string& address) {
  auto ip = ip_address::read(address);
  return ip && ip->is_loopback();
}

} // namespace candor::config
