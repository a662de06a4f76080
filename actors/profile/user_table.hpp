/// The people of one shard: what the shard's primary knows, decides and drafts. The functional core
/// of the profile room; its shell is profile_actor.
///
/// Where it stands: ingestion asks it for admission (no text yet) and hands it sanitized signals;
/// the gateway and the admin room read and change persons through it. Every change is drafted as an
/// entry for the shard's log and applied at once to the state in memory, on which the next decision
/// is made; the shell answers its caller only when the entry is durable, and calls `open` again
/// (dropping all of that state) when an entry was not.
///
/// Guarantees: an event id is learned from once; nothing is learned that `model::decide` forbids,
/// asked again in the step that drafts the entry; of a withheld event nothing is kept but
/// `assistant_user_since`. Must never see text of an utterance, nor write anything itself.
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cluster/replication/replicator.hpp"
#include "storage/base/clock.hpp"
#include "storage/base/rng.hpp"
#include "storage/engine/engine.hpp"
#include "storage/engine/keys.hpp"
#include "storage/model/content_shown.hpp"
#include "storage/model/impression.hpp"
#include "storage/model/policy/policy.hpp"
#include "storage/model/user_record.hpp"
#include "storage/stores/user_keys.hpp"

namespace candor::profile {

/// What an erased person leaves behind: for the dedupe window, and until the erasure is final.
struct tombstone {
  timestamp erased_at;
  stores::key_ref key; ///< destroyed, or to be destroyed at the next start
  std::string receipt;
  std::string subject;               ///< the pseudonym
  std::optional<timestamp> final_at; ///< since when no copy of the shard holds the key
  friend bool operator==(const tombstone&, const tombstone&) = default;
};

std::string encode(const tombstone& x);
/// Error: `corrupt`.
result<tombstone> decode_tombstone(std::string_view bytes);

/// An answer, and the entry that must be durable before it is given.
template <class Answer>
struct decided {
  Answer answer{};
  std::optional<replication::draft> entry;
};

struct interest_state {
  model::interest interest;
  std::int64_t weight_now = 0;
  std::uint8_t strength_now = 0;
  std::optional<model::reason> ads, content; ///< why it may not serve; nullopt: it may
};

enum class region_state : std::uint8_t { unknown, allowed, excluded };
std::string_view to_string(region_state s) noexcept;

struct user_view {
  model::user_record record; ///< folded
  std::vector<interest_state> interests;
  std::string policy_version;
  region_state region = region_state::unknown;
  timestamp at;
};

/// What of a person may serve a use now. Where nothing may, all but the reason is as of a stranger.
struct use_view {
  bool personal = false;
  std::string why_not_personal; ///< "unknown" or a reason code
  std::string country, lang, age_band;
  std::vector<model::topic_used> topics; ///< ascending by (topic, source)
  std::vector<std::pair<std::string, timestamp>>
      shown; ///< campaigns, what counts for caps; or items
  std::vector<std::string> hidden;
  timestamp shown_since; ///< before it, impressions were forgotten; zero: none was
  std::string policy_version;
};

struct erasure {
  tombstone grave;
  bool already_done = false; ///< by an earlier call: nothing new was drafted
};

struct import_run {
  std::string name;
  timestamp opened_at;
};

/// A mail whose intent is durable.
struct due_mail {
  std::string user, notice, address, lang, zone, app;
  std::string policy_version; ///< whose templates and dates
  std::uint32_t attempts = 0;
  timestamp created;
};

/// How the notices of one policy and revision stand in this shard.
struct notice_count {
  std::string policy;
  std::uint32_t revision = 0;
  std::uint64_t audience = 0, reached = 0, waiting = 0;
  std::uint64_t mails_intended = 0, mails_sent = 0, mails_failed = 0, in_app = 0;
};

struct notice_round {
  std::vector<replication::draft> entries;
  std::vector<due_mail> mails;
  std::uint32_t created = 0;
  bool rounded = false;             ///< the shard was gone round once
  std::vector<notice_count> counts; ///< of the last whole round
};

enum class mail_result : std::uint8_t { accepted, deferred, failed, postponed };

struct simulated_effect {
  std::uint64_t persons = 0, audience = 0, notices_needed = 0, excluded = 0, region_unknown = 0,
                minors = 0, newly_excluded = 0, interests_to_purge = 0;
};

/// A dry run of a policy, in steps: between them the shard serves.
struct simulation {
  model::policy policy;
  model::timeline with; ///< the versions as if it were applied
  timestamp at;
  std::string from; ///< where the next step begins
  simulated_effect effect;
};

class user_table {
public:
  struct surroundings {
    const engine::engine& db;
    stores::user_keys& keys;
    const stores::node_secrets& secrets;
    const model::region_table& regions;
    const clock& time;
    rng& random;
  };

  user_table(shard_id shard, surroundings around)
    : shard_{shard}
    , around_{around} {}

  /// Takes the shard over from where its log ends; forgets all it knew. Finishes erasures that a
  /// crash interrupted. Error: `corrupt`, and the engine's.
  result<void> open(const replication::shard_opening& opening);

  /// `accepted` means admitted. At most `limits::batch_events` a call, by the caller.
  result<decided<model::verdict>> admit(const model::admission& asked);
  result<decided<model::verdict>> learn(const model::sanitized_signal& signal);

  /// answer: true where the person is new.
  result<decided<bool>> put(const user_id& user, const model::user_details& details);
  /// Error: `user_not_found`.
  result<user_view> read(const user_id& user);
  /// From a copy that this node does not lead, as `tables` has it at `log_time`; of a table that
  /// was never opened. Error: `user_not_found`, and the engine's and the key store's.
  result<user_view> read_copy(const engine::snapshot& tables, timestamp log_time,
                              const user_id& user);
  /// What an export leaves behind: an audit event.
  result<decided<user_view>> export_user(const user_id& user, const std::string& caller);
  /// Error: `user_not_found`, `not_found` (no such interest).
  result<decided<bool>> forget_interest(const user_id& user, model::topic_id topic,
                                        const std::string& caller);
  /// After the entry is durable the shell destroys the key. Error: `user_not_found`.
  result<decided<erasure>> erase(const user_id& user, const std::string& caller);
  /// The entry of this erasure is durable, and is the shard's `seq`: a sweep makes it final.
  void erased(const user_id& user, const tombstone& grave, std::uint64_t seq);
  /// Error: `user_not_found`, `bad_value`.
  result<decided<bool>> record_notice(const user_id& user, const model::notice_reached& notice,
                                      const std::string& caller);

  /// answer: false where this very version is applied already. Error: `policy_invalid`,
  /// `policy_conflict`.
  result<decided<bool>> apply_policy(const std::string& text, const std::string& caller);
  /// Keeps a version's file; answer: false where this very file is kept already. Error:
  /// `policy_invalid`, `policy_conflict`, `too_many`.
  result<decided<bool>> store_policy(const std::string& text, const std::string& caller);
  /// Kept in the first shard, for all. True: it was otherwise before.
  result<decided<bool>> set_notices_paused(bool paused, const std::string& caller);
  bool notices_paused() const noexcept { return notices_paused_; }
  /// An audit event of a campaign; `once`: not again where it was recorded before.
  result<decided<bool>> record_step(const std::string& action, const std::string& subject,
                                    const std::string& detail, const std::string& caller,
                                    bool once);
  /// Error: `too_many`, `conflict`.
  result<decided<bool>> open_import(std::uint32_t run, const std::string& name,
                                    const std::string& caller);
  /// Error: `not_found`.
  result<decided<bool>> close_import(std::uint32_t run, const std::string& caller);
  /// The clock was set to `now`: log time goes there. Error: `conflict` where that is back.
  result<decided<bool>> follow_clock(timestamp now, const std::string& caller);

  // The ledger of notices (user_table_notices.cpp).

  /// Looks at up to `persons` further persons: drafts the ledger lines that are missing, at most
  /// `lines_max`, and names the mails that are due. Goes round the shard call by call.
  result<notice_round> find_notices(std::size_t persons, std::size_t lines_max);
  /// What became of a mail; `failed` after it was accepted is a bounce, audited where an operator
  /// reports it. answer: false where it was known. Error: `user_not_found`, `not_found`.
  result<decided<bool>> record_mail(const user_id& user, const std::string& id, mail_result how,
                                    timestamp at, timestamp next_try,
                                    const std::string& caller = {});
  /// Mails that failed are due again. Error: `user_not_found`, `not_found` (none failed).
  result<decided<bool>> retry_mails(const user_id& user, const std::string& caller);
  /// The person's record; `reached` names the notices in the inbox that have reached them. Error:
  /// `user_not_found`.
  result<decided<model::user_record>> inbox(const user_id& user,
                                            const std::vector<std::string>& reached);
  /// Error: `user_not_found`, `opt_out_not_offered`.
  result<decided<bool>> opt_out(const user_id& user, const std::string& caller);
  /// What a policy would change here. `version` is what the file must say, or empty. Error:
  /// `policy_invalid`, `bad_value`.
  result<simulation> begin_simulation(const std::string& text,
                                      const std::string& version = {}) const;
  /// Looks at up to `persons` further persons; false: that was the last. Error: the engine's and
  /// the key store's.
  result<bool> simulate_on(simulation& run, std::size_t persons) const;

  // Ads and content (user_table_ads.cpp).

  /// A stranger's view where the person is not known.
  result<use_view> read_use(const user_id& user, model::use what);
  /// Drafts into `entry`; false where the person is not known.
  result<bool> add_impressions(const user_id& user, const std::vector<model::impression>& chosen,
                               replication::draft& entry);
  /// Drafts into `entry`; false where it was so before. Error: `not_found`.
  result<bool> mark_impression(const user_id& user, const std::string& id,
                               model::impression_state state, replication::draft& entry);
  /// Error: `not_found`.
  result<model::impression> find_impression(const user_id& user, const std::string& id);
  result<std::vector<model::impression>> impressions(const user_id& user);
  /// An item of a feed was seen or hidden: drafts into `entry`. Of more than
  /// limits::content_remembered the oldest that is not hidden makes room, else the oldest. False
  /// where it was so before. Error: `user_not_found`.
  result<bool> note_content(const user_id& user, const std::string& content, bool hidden,
                            replication::draft& entry);
  /// Oldest first.
  result<std::vector<model::content_shown>> content_shown(const user_id& user);
  /// What is known of the person and did not count: in words, with the reason code.
  result<std::vector<std::pair<std::string, std::string>>> not_used_for_ads(const user_id& user);

  /// An entry of this moment of log time, which goes on from there.
  replication::draft begin_entry();

  /// Housekeeping: notes which erasures are final, ends tombstones that are due, and looks at up to
  /// `persons` further persons for what must go (a purge whose grace is over, retention). Goes
  /// round the shard call by call. Every copy of the shard has destroyed the keys that entries up
  /// to `destroyed` destroy.
  result<std::vector<replication::draft>> sweep(std::size_t persons, std::uint64_t destroyed);

  /// Entries handed to the log so far, and how many of them are durable: a person with a pending
  /// entry stays in memory.
  void appended(std::uint64_t count) { appended_ = count; }
  void settled(std::uint64_t count) { settled_ = count; }

  shard_id shard() const noexcept { return shard_; }
  const model::timeline& policies() const noexcept { return policies_; }
  const std::map<std::uint32_t, import_run>& imports() const noexcept { return imports_; }
  /// Files kept, by version.
  const std::map<std::string, std::string>& stored_policies() const noexcept { return stored_; }
  std::size_t cached() const noexcept { return cache_.size(); }
  timestamp log_time() const;
  /// When a person was told something, or erased: the wall clock, but no earlier than the shard's
  /// log and the time since. What was said before then must stay before it, also where this node's
  /// clock was set back.
  timestamp stamp() const;

private:
  /// A person in memory, as of the last entry drafted.
  struct slot {
    storage_key key;
    stores::key_ref key_ref;
    bool exists = false;
    model::user_record base;
    std::vector<model::learned> unfolded;
    bool has_delta_rows = false;                        ///< some are stored, folded or not
    std::map<model::event_tag, model::seen_event> seen; ///< of base and unfolded
    std::optional<tombstone> grave;
    std::map<std::uint64_t, model::impression> impressions; ///< by ordinal
    std::map<std::uint64_t, model::content_shown> content;  ///< by ordinal
    std::uint64_t pinned_until = 0;                         ///< ordinal of its last entry
    std::list<storage_key>::iterator recency;
  };

  result<slot*> find(const storage_key& key);
  result<slot> load(const storage_key& key) const;
  template <class Tables>
  result<slot> load_from(const Tables& tables, const storage_key& key) const;

  /// A row of the policy table.
  struct rule_row {
    timestamp at;
    std::string name, text;
    friend bool operator==(const rule_row&, const rule_row&) = default;
  };
  /// Policies, imports and the steps of campaigns; nothing where the rows are as they were.
  template <class Tables>
  result<void> read_rules(const Tables& tables);
  void evict();
  void touch(slot& s) { s.pinned_until = appended_ + 1; }

  /// Makes the person and its key; adds the rows that say where the key lies.
  result<void> create(slot& s, const user_id& user, replication::draft& entry);
  /// The record with its deltas folded in, and without what is too old.
  model::user_record folded(const slot& s) const;
  void fold_into(model::user_record& record, const slot& s) const;
  void fold(slot& s) const;
  /// Folds, and puts the base row in place of the deltas.
  void put_base(slot& s, replication::draft& entry);
  replication::draft_row sealed_put(const slot& s, std::string key, std::string value) const;
  model::half_lives half_lives() const;
  std::vector<interest_state> states_of(const std::vector<model::interest>& interests,
                                        const model::person& who, timestamp now) const;
  user_view view(const slot& s) const;
  use_view use_of(const slot& s, model::use what) const;
  void note_unreadable(const error& why) const;
  void put_impression(slot& s, std::uint64_t ordinal, const model::impression& x,
                      replication::draft& entry);
  region_state state_of_region(const model::person& who, timestamp now) const;
  /// A move counts from when it was stated, also where the clock that says `now` is behind: the
  /// person with such moves begun; nullopt: there are none. Asked beside the record as it is, so
  /// that it may only restrict.
  std::optional<model::person> moved_by(const model::person& who, timestamp now) const;

  /// An erasure whose key some copy of the shard may still hold.
  struct unfinished_erasure {
    storage_key who;
    tombstone grave;
    std::uint64_t seq = 0; ///< final when every copy has destroyed the keys up to here
  };

  /// The entry that notes it. nullopt: the person cannot be read.
  std::optional<replication::draft> make_final(const unfinished_erasure& done);

  /// The next persons of the shard in key order, from `from` on, which moves on; empty again after
  /// the last.
  result<std::vector<storage_key>> next_persons(std::string& from, std::size_t count) const;

  void add_notice(model::user_record& record, const model::policy& p, model::channel by);
  std::vector<model::channel> channels_missing(const model::user_record& record,
                                               const model::policy& p) const;
  void count_notices(const model::user_record& record, const model::policy& p, bool reached,
                     bool waiting);

  bool too_old(const model::admission& a) const;
  result<bool> duplicate(const slot& s, const std::string& event_id) const;
  /// The verdict of both steps; nullopt: go on.
  result<std::optional<model::verdict>> judge(const slot& s, const model::admission& a) const;
  stores::audit_event audit(const std::string& actor, std::string action, std::string subject,
                            std::string detail = {}) const;

  shard_id shard_;
  surroundings around_;
  replication::log_clock log_clock_;
  /// `stamp()` cannot ask the log's clock: that one may lag behind the wall (it runs at most twice
  /// as fast as time does), and stands still from the last entry on where the wall was set back. A
  /// stamp from it would be earlier than things said meanwhile under the better clock, and those
  /// would count as said after the person was told. So it counts on from what was certain at the
  /// last entry, by the monotonic clock.
  timestamp certain_;           ///< that it was at least so late,
  millis certain_monotonic_{0}; ///< when the monotonic clock stood here
  model::timeline policies_;
  std::map<std::uint32_t, import_run> imports_;
  std::map<std::string, std::string> stored_;
  std::vector<rule_row> rules_read_;
  std::set<std::string> steps_; ///< of campaigns, that are recorded once
  bool notices_paused_ = false;
  stores::key_ref key_cursor_; ///< the last key given out
  std::uint64_t term_ = 0;     ///< in which this node leads the shard
  std::unordered_map<storage_key, slot, storage_key_hash> cache_;
  std::list<storage_key> recency_; ///< most recent first
  std::uint64_t appended_ = 0;
  std::uint64_t settled_ = 0;
  std::deque<unfinished_erasure> not_final_; ///< ascending by seq
  std::string sweep_from_;
  std::string notices_from_;
  bool rounded_ = false;
  std::vector<notice_count> counting_; ///< of the round that goes on
  std::vector<notice_count> counts_;
};

} // namespace candor::profile
