/// The coordinator of a cluster: etcd's v3 JSON gateway. Beneath replication and placement, beside
/// local_coordinator. Guarantees: only transactions that write decide, so no answer comes from a
/// member that has fallen behind; no call outlasts its deadline; a compare-and-swap that may have
/// been sent is never sent again. Needs etcd 3.4 or newer.
///
/// Under the prefix lie `keys/`, with what callers name, and `fence`, which reads write to.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cluster/coordination/coordinator.hpp"
#include "cluster/coordination/etcd_connection.hpp"
#include "storage/base/limits.hpp"

namespace candor::coordination {

struct etcd_options {
  std::vector<std::string> endpoints; ///< "https://10.0.0.1:2379", of one cluster
  etcd_tls tls;                       ///< for https; certificates need no common name
  std::string prefix = "candor/";     ///< of every key; a cluster's own, e.g. "candor/<cluster>/"
  std::chrono::milliseconds deadline = limits::coordination_deadline; ///< of each call
};

/// Connects to nothing yet: etcd may come up later. Error: `config_invalid` (an endpoint or a file
/// cannot be read).
result<std::unique_ptr<coordinator>> make_etcd_coordinator(const etcd_options& options);

} // namespace candor::coordination
