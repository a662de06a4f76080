#include "tools/candorctl/cluster_file.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

namespace candor::ctl {

namespace {

bool only_we_write(const std::filesystem::path& path, mode_t kind) {
  struct stat s;
  return ::lstat(path.c_str(), &s) == 0 && (s.st_mode & S_IFMT) == kind &&
         s.st_uid == ::geteuid() && (s.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

result<cluster_file> read(const std::filesystem::path& file) {
  std::ifstream from{file, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{from}, {}};
  if (!from.is_open() || from.bad())
    return fail(errc::config_invalid, file.string() + ": cannot be read");
  return parse_cluster_file(text, file.string());
}

} // namespace

result<cluster_file> parse_cluster_file(const std::string& text, const std::string& name) {
  auto wrong = [&](const char* what) {
    return fail(errc::config_invalid, fmt::format("{}: {}", name, what));
  };
  auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object() || !object.contains("nodes") || !object["nodes"].is_array())
    return wrong("is not what `tools/cluster up` writes");
  cluster_file made;
  for (const auto& n : object["nodes"]) {
    if (!n.is_object() || !n.contains("url") || !n["url"].is_string())
      return wrong("names a node without a url");
    made.urls.push_back(n["url"]);
  }
  if (made.urls.empty())
    return wrong("names no node");
  for (auto [field, to] : {std::pair{"ca", &made.ca_file}, std::pair{"key", &made.key}})
    if (object.contains(field) && object[field].is_string())
      *to = object[field];
  return made;
}

std::filesystem::path usual_cluster_file() {
  const auto* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::filesystem::path base = runtime && *runtime ? runtime : "/tmp";
  return base / fmt::format("candor-cluster-{}", ::getuid()) / "cluster.json";
}

bool is_ours_alone(const std::filesystem::path& file) {
  return only_we_write(file.parent_path(), S_IFDIR) && only_we_write(file, S_IFREG);
}

result<std::optional<cluster_file>> find_cluster_file() {
  if (const auto* named = std::getenv("CANDOR_CLUSTER_FILE"); named && *named) {
    CANDOR_TRY(made, read(named));
    return made;
  }
  auto usual = usual_cluster_file();
  if (!is_ours_alone(usual))
    return std::nullopt;
  CANDOR_TRY(made, read(usual));
  return made;
}

} // namespace candor::ctl
