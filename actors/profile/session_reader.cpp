#include "actors/profile/session_reader.hpp"

#include "actors/profile/shard_filling.hpp"
#include "cluster/replication/shard_log.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/planted.hpp"

namespace candor::profile {

namespace {

result<std::optional<std::string>> get(const engine::snapshot& from, const std::string& key) {
  std::optional<std::string> found;
  CANDOR_TRY_VOID(from.scan(engine::table::meta, key, key + '\0',
                            [&](std::string_view, std::string_view value) {
                              found = value;
                              return false;
                            }));
  return found;
}

} // namespace

result<session_view> session_reader::read(const user_id& user, const session_token& seen,
                                          const replication::session_state& copy) {
  error not_here{errc::not_primary, "this node's copy of the shard may not answer"};
  if (copy.holds_all_of == millis{0} ||
      around_.time.monotonic() - copy.holds_all_of > limits::session_age ||
      (seen.seq > 0 && seen.generation != copy.generation))
    return tl::unexpected<error>{not_here};
  auto tables = around_.db.snapshot();
  auto shard = table_.shard();
  CANDOR_TRY(mark_row, get(*tables, replication::applied_key(shard)));
  CANDOR_TRY(filling, get(*tables, filling_key(shard)));
  if (!mark_row || filling) // emptied meanwhile, or half of a backup
    return tl::unexpected<error>{not_here};
  CANDOR_TRY(mark, replication::decode_applied(*mark_row));
  if (mark.at.seq < seen.seq && !planted(bug::session_unasked))
    return fail(errc::not_applied);
  session_view told{std::nullopt, {shard, copy.generation, mark.at.seq}};
  auto person = table_.read_copy(*tables, mark.time, user);
  if (person)
    told.person = std::move(*person);
  else if (person.error().code == errc::key_destroyed) // erased since the snapshot
    return tl::unexpected<error>{not_here};
  else if (person.error().code != errc::user_not_found)
    return tl::unexpected<error>{person.error()};
  return told;
}

} // namespace candor::profile
