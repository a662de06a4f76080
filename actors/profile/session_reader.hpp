/// What this node's copy of a shard tells a session while the node does not lead it: the person as
/// the tables of one moment have them. Stands beside the primary in profile_actor.
///
/// Guarantees: what is told holds everything up to the session's token, and everything that anybody
/// was acknowledged `limits::session_age` ago; its own token names all that it holds. Where that
/// cannot be known it refuses, and the primary is asked. Must never change anything.
#pragma once

#include <optional>

#include "actors/messages/messages.hpp"
#include "actors/profile/user_table.hpp"
#include "cluster/replication/replicator.hpp"

namespace candor::profile {

struct session_view {
  std::optional<user_view> person; ///< nothing: there is no such person
  session_token seen;
};

class session_reader {
public:
  session_reader(shard_id shard, user_table::surroundings around)
    : around_{around}
    , table_{shard, around} {}

  /// `copy` is what the write door said of this disk's copy just before. Error: `not_primary` (it
  /// may not answer), `not_applied` (not yet).
  result<session_view> read(const user_id& user, const session_token& seen,
                            const replication::session_state& copy);

private:
  user_table::surroundings around_;
  user_table table_; ///< never opened
};

} // namespace candor::profile
