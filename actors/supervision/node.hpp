/// One node: opens what is kept, starts the rooms, watches them, and takes all down again in order.
///
/// The order of the start is the order of dependence: secrets, key store, engine, group commit
/// (which makes this node primary of its shards), then one profile actor a shard, the policy room,
/// ingestion, admin, and the gateway last; ready when every shard has logged every policy. A
/// profile actor that fails is started anew and takes its shard over from the log; any other room
/// that fails ends the process with an error, since half a node is worse than none.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "actors/messages/messages.hpp"
#include "actors/supervision/config/config.hpp"
#include "storage/base/error.hpp"

namespace candor::supervision {

class node {
public:
  virtual ~node() = default;

  /// "http://127.0.0.1:8080"
  virtual std::string url() const = 0;

  /// Where operators are served; often the same.
  virtual std::string operators_url() const = 0;

  /// The node's time.
  virtual timestamp now() const = 0;

  /// The rooms behind the gateway, for programs that measure without HTTP.
  virtual const rooms& doors() const = 0;
  virtual shard_id shard_of(const user_id& user) const = 0;
  virtual caf::actor_system& system() = 0;

  /// Ends what is running and closes the data. Also done by the destructor.
  virtual void stop() = 0;
};

/// Returns when the node is ready. `stop_asked` may be called from any thread: an operator asked
/// for an end, or a room failed for good (then with an error). Error: `locked`, `config_invalid`,
/// `corrupt`, `policy_conflict`, ...
result<std::unique_ptr<node>> start_node(const config::node_config& config,
                                         std::function<void(result<void>)> stop_asked);

} // namespace candor::supervision
