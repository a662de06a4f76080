/// Planted bugs: places at which a rule of the product can be left out, so that a test can demand
/// that the simulator finds it. A normal build has none: `planted` is a constant false there and
/// the compiler leaves nothing of it. Only `candor-sim-planted` is built with CANDOR_PLANTED: it
/// compiles the files with fault points anew, and one run chooses one bug by its name. Must never
/// be asked in a header.
#pragma once

#include <cstdint>
#include <string_view>

namespace candor {

enum class bug : std::uint8_t {
  none,
  ack_before_copies,    ///< acknowledges before the other members have the entry
  no_fsync,             ///< a disk job is written and not synced
  cut_too_far,          ///< shortening the log takes what is not applied yet
  copy_short,           ///< a copy of a shard leaves out a table
  audit_tail_lost,      ///< a new primary forgets the chain's last record
  key_kept_by_copies,   ///< only the primary destroys the key of who is erased
  erased_key_cached,    ///< the page with the key stays in memory
  erased_rows_stay,     ///< an erasure leaves the person's rows
  dedupe_forgotten,     ///< a new primary knows no event ids
  applied_twice,        ///< a new primary counts what was learned since the last fold twice
  policy_at_start_only, ///< a policy counts only for who opens the shard after it
  learned_untold,       ///< what was said by people who were not told is learned
  intent_not_recorded,  ///< a mail is sent whose intent only memory knows
  outcome_without_send, ///< a mail is recorded as accepted and was never sent
  stale_map,            ///< where a shard is led is learned once
  window_of_lost_link,  ///< bytes on their way over a lost link are given back to the next one
  money_forgotten,      ///< a new primary of a campaign knows nothing of what was lent
  damage_unheard,       ///< a copy with rows that cannot be read stays in use
  log_time_is_wall,     ///< a shard's log time follows the wall clock wherever it steps
  day_renewed,          ///< a campaign's day begins anew whenever the clock names another one
  stamped_early,        ///< what a person was told when, the wall clock alone says
  session_unasked,      ///< a copy answers sessions without looking at their tokens
  drain_ignored,        ///< a node that is drained keeps what it leads
};

#ifdef CANDOR_PLANTED

inline namespace planted_build {
extern bug planted_bug;
inline bool planted(bug b) noexcept {
  return planted_bug == b;
}
} // namespace planted_build

#else

constexpr bool planted(bug) noexcept {
  return false;
}

#endif

} // namespace candor
