/// Where a cluster of this machine is: `tools/cluster up` writes a file with its nodes' URLs, its
/// authority and a key, and candorctl finds it where no node was named. Guarantees: a file at the
/// usual place that another person could have written is not believed. Must never send the file's
/// key to a node that the file does not name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/error.hpp"

namespace candor::ctl {

struct cluster_file {
  std::vector<std::string> urls; ///< at least one
  std::string ca_file;           ///< empty: no TLS
  std::string key;               ///< empty: none is asked for
};

/// Error: `config_invalid`, with the file's name.
result<cluster_file> parse_cluster_file(const std::string& text, const std::string& name);

/// The file that CANDOR_CLUSTER_FILE names, or cluster.json in the usual folder of `tools/cluster`;
/// nothing where there is none. Error: `config_invalid`.
result<std::optional<cluster_file>> find_cluster_file();

/// ${XDG_RUNTIME_DIR:-/tmp}/candor-cluster-UID/cluster.json
std::filesystem::path usual_cluster_file();

/// Whether it is a regular file in a folder, both of which nobody but this user can write.
bool is_ours_alone(const std::filesystem::path& file);

} // namespace candor::ctl
