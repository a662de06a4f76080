#include "actors/supervision/config/config.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/model/toml_reader.hpp"

namespace candor::config {

namespace {

constexpr std::size_t path_bytes_max = 4096;

result<std::uint64_t> number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value < least || value > most)
    return fail(errc::config_invalid, fmt::format("is a whole number from {} to {}", least, most));
  return value;
}

result<void> set_http(node_config& c, const std::string& text) {
  auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return fail(errc::config_invalid, "is ADDRESS:PORT, such as 127.0.0.1:8080");
  CANDOR_TRY(port, number(std::string_view{text}.substr(colon + 1), 0, 65535));
  c.http_address = text.substr(0, colon);
  if (c.http_address.front() == '[' && c.http_address.back() == ']')
    c.http_address = c.http_address.substr(1, c.http_address.size() - 2);
  c.http_port = static_cast<std::uint16_t>(port);
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
      {{"regions", "the table of regions", "regions.toml"}, verbatim(&node_config::regions)},
      {{"lexicon", "the folder of the topic filter's lexica", "lexicon"},
       verbatim(&node_config::lexicon)},
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
  static constexpr std::string_view roles[] = {"ingest", "decision", "user",   "editor",
                                               "admin",  "auditor",  "monitor"};
  auto list = node.as_array();
  if (!list || !list->is_homogeneous<toml::table>())
    return file.refuse(node.source().begin, "keys is an array of tables: [[keys]]");
  for (const auto& element : *list) {
    CANDOR_TRY(section, model::toml_section::open(file, *element.as_table(), "keys",
                                                  {"name", "role", "hash"}));
    CANDOR_TRY(name, section.text("name"));
    CANDOR_TRY(role, section.text("role"));
    CANDOR_TRY(hash, section.text("hash"));
    if (std::ranges::find(roles, role.text) == std::end(roles))
      return file.refuse(role.where,
                         "role is ingest, decision, user, editor, admin, auditor or monitor");
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
  resolve(c.notices);
  resolve(c.user_token_secret_file);
  resolve(c.smtp_password_file);
  for (auto& p : c.policies)
    resolve(p);
  return {};
}

} // namespace

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
  c.file = file.value_or(shipped / "node.toml");
  CANDOR_TRY_VOID(read_config(c, c.file));
  for (const auto& [name, value] : overrides)
    CANDOR_TRY_VOID(set(c, name, value));
  if (c.policies.empty() || c.regions.empty())
    return fail(errc::config_invalid,
                c.file.string() + ": a configuration must name its policies and regions");
  if (c.lexicon.empty())
    c.lexicon = shipped / "lexicon";
  if (c.notices.empty())
    c.notices = shipped / "notices";
  if (c.tls_certificate.empty() != c.tls_key.empty())
    return fail(errc::config_invalid, "tls_certificate and tls_key belong together");
  if (!is_loopback(c.http_address)) {
    if (c.tls_certificate.empty())
      return fail(errc::config_invalid,
                  "http is not a loopback address: it needs tls_certificate and tls_key");
    if (c.keys.empty())
      return fail(errc::config_invalid, "http is not a loopback address: it needs [[keys]]");
  }
  if (c.clock_start && !c.settable_clock)
    return fail(errc::config_invalid, "clock_start needs clock = \"settable\"");
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
    CANDOR_TRY(secret, read_file(config.user_token_secret_file, 256));
    if (secret.size() < 32)
      return fail(errc::config_invalid,
                  config.user_token_secret_file.string() + ": has less than 32 bytes");
    files.user_token_secret = std::move(secret);
  }
  if (!config.smtp_password_file.empty()) {
    CANDOR_TRY(password, read_file(config.smtp_password_file, 256));
    while (!password.empty() && (password.back() == '\n' || password.back() == '\r'))
      password.pop_back();
    files.smtp_password = std::move(password);
  }
  return files;
}

std::filesystem::path shipped_folder() {
  if (auto named = std::getenv("CANDOR_CONFIGS"))
    return named;
  if (std::filesystem::exists(CANDOR_SOURCE_CONFIGS))
    return CANDOR_SOURCE_CONFIGS;
  return "/usr/share/candor/configs";
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

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

} // namespace candor::config
