/// The vocabulary: every message between rooms, its type id, and how an error travels.
/// Messages that go to a shard carry the shard's number, so that rooms address a shard and never a
/// node. Values that are also stored travel in their stored form (versioned msgpack in a string).
/// What carries raw text is marked unsafe for CAF: it has no codec and cannot leave the process.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <caf/all.hpp>

#include "actors/messages/cluster_events.hpp"
#include "cluster/membership/membership_actor.hpp" // its type ids come before ours
#include "cluster/replication/replication_actor.hpp"
#include "storage/base/error.hpp"
#include "storage/base/ids.hpp"
#include "storage/model/event.hpp"
#include "storage/model/impression.hpp"
#include "storage/model/signal.hpp"
#include "storage/model/verdict.hpp"

namespace candor {

// -- sessions ----------------------------------------------------------------------------------

/// What a session has seen of a shard: everything up to an entry. Of another generation of the
/// shard (a restore replaced its content) it says nothing. docs/replication.md.
struct session_token {
  shard_id shard = 0;
  std::uint64_t generation = 0;
  std::uint64_t seq = 0; ///< 0: nothing
  friend bool operator==(const session_token&, const session_token&) = default;
};

/// Both are of one shard.
inline void join(session_token& into, const session_token& more) {
  if (std::pair{into.generation, into.seq} < std::pair{more.generation, more.seq})
    into = more;
}

// -- events ------------------------------------------------------------------------------------

/// gateway -> ingestion: in one process only.
struct event_batch {
  std::vector<model::event> events; ///< at most limits::batch_events
  timestamp received;
  std::uint32_t import_run = 0;
};
using event_batch_ptr = std::shared_ptr<event_batch>;

/// ingestion -> transcription: in one process only, as is the answer.
struct recording_sent {
  model::raw_recording recording;
  std::string lang; ///< as the event says; or empty
};
using recording_ptr = std::shared_ptr<recording_sent>;
using hearing_ptr = std::shared_ptr<model::hearing>;

/// The answer to an event_batch, to `admit_events` (accepted means admitted) and to
/// `learn_signals`: one for each, in order.
struct verdicts {
  std::vector<model::verdict> items;
  std::vector<session_token> seen{}; ///< of each shard that was asked and answered
};

/// ingestion -> profile
struct admit_events {
  shard_id shard = 0;
  std::vector<model::admission> items;
};

/// ingestion -> profile
struct learn_signals {
  shard_id shard = 0;
  std::vector<model::sanitized_signal> items;
};

// -- persons (gateway -> profile) --------------------------------------------------------------

/// `caller` is the name of the API key that asks: it stands in the audit log.
struct put_user {
  shard_id shard = 0;
  std::string user;
  std::string details; ///< model::encode(user_details)
  std::string caller;
};

struct read_user {
  shard_id shard = 0;
  std::string user;
  bool exporting = false; ///< an export is audited
  std::string caller;
};

/// A person as a session may see them: by the copy of any node that has applied what the session
/// has seen, and all that anybody was acknowledged `limits::session_age` ago; else by the primary.
/// Error: `not_primary` (this copy may not answer), `not_applied` (not yet).
struct read_session {
  shard_id shard = 0;
  std::string user;
  session_token seen;
};

/// What an interest may serve now, and what not and why.
struct interest_use {
  std::uint16_t topic = 0;
  std::uint8_t source = 0;   ///< model::source
  std::uint8_t strength = 0; ///< now, 1..255
  std::int64_t weight = 0;   ///< now, in 1/65536 of a mention
  std::string ads;           ///< empty: may be used; else the reason code
  std::string content;
};

struct user_answer {
  std::string record; ///< model::encode(user_record), folded
  std::vector<interest_use> uses;
  std::vector<std::string> impressions; ///< model::encode(impression); of an export
  std::vector<std::string> content;     ///< model::encode(content_shown); of an export
  std::string policy_version;           ///< in force now, or empty
  std::string region_state; ///< "unknown", "allowed" or "excluded" for assistant interactions
  timestamp at;
  bool known = true; ///< false: there is no such person, as of `seen`
  session_token seen{};
};

struct user_stored {
  bool created = false;
  session_token seen{};
};

struct forget_interest {
  shard_id shard = 0;
  std::string user;
  std::uint16_t topic = 0;
  std::string caller;
};

struct erase_user {
  shard_id shard = 0;
  std::string user;
  std::string caller;
};

struct receipt {
  std::string id;      ///< "r-…"
  std::string subject; ///< the pseudonym in the audit log
  timestamp erased_at;
  timestamp unreadable_at;
  std::int64_t final_at_ms = -1; ///< -1: not yet; key backups may hold the old page
  shard_id audit_shard = 0;
  std::uint64_t audit_entry = 0;
  std::string audit_hash; ///< hexadecimal
  session_token seen{};
};

struct record_notice {
  shard_id shard = 0;
  std::string user;
  std::string policy;
  std::uint32_t revision = 0;
  std::uint8_t channel = 0; ///< model::channel
  timestamp at;
  std::string caller;
};

/// Where the policy in force offers an opt-out. Error: `opt_out_not_offered`.
struct opt_out_user {
  shard_id shard = 0;
  std::string user;
  std::string caller;
};

// -- notices (notification -> profile) ---------------------------------------------------------

/// Looks at some further persons of the shard: creates the ledger lines that are missing, and names
/// the mails that are due. Goes round the shard call by call.
struct find_notices {
  shard_id shard = 0;
  std::uint32_t persons = 0;   ///< to look at
  std::uint32_t lines_max = 0; ///< to create
};

/// A durable intent to send one mail.
struct mail_order {
  std::string user;
  std::string notice; ///< id of the ledger's line
  std::string address, lang, zone, app;
  std::string policy_version; ///< whose templates and dates
  std::uint32_t attempts = 0; ///< so far
  timestamp created;          ///< the mail's date: a repeat is the same
};

/// Of one policy and revision in one shard, as of the last whole round.
struct notice_counts {
  std::string policy;
  std::uint32_t revision = 0;
  std::uint64_t audience = 0; ///< persons whom it is for
  std::uint64_t reached = 0;  ///< of these, by any channel
  std::uint64_t waiting = 0;  ///< of these, without any line yet
  std::uint64_t mails_intended = 0, mails_sent = 0, mails_failed = 0, in_app = 0;
};

struct notices_found {
  std::vector<mail_order> mails;
  std::uint32_t created = 0;
  bool rounded = false;              ///< the first round is whole
  std::vector<notice_counts> counts; ///< of the last whole round
};

/// `postponed`: not tried, for the person's quiet hours.
enum class mail_outcome : std::uint8_t { accepted, deferred, failed, postponed };

struct record_mail {
  shard_id shard = 0;
  std::string user;
  std::string notice;
  mail_outcome outcome = mail_outcome::deferred;
  timestamp at;
  timestamp next_try; ///< of what is deferred
  std::string caller; ///< an operator who reports a bounce, for the audit log; else empty
};

/// A person's mails that failed are due again. Error: `not_found` where none failed.
struct retry_mails {
  shard_id shard = 0;
  std::string user;
  std::string caller;
};

struct read_inbox {
  shard_id shard = 0;
  std::string user;
  std::vector<std::string> reached; ///< ids of notices that the person's own client has shown
};

struct inbox_line {
  std::string id, policy, lang;
  std::uint32_t revision = 0;
  std::uint8_t channel = 0;
  timestamp sent;
  std::int64_t reached_ms = -1; ///< -1: not yet
};

struct inbox {
  std::vector<inbox_line> lines;
  std::string app, zone;
};

// -- shards (admin, policy -> profile) ---------------------------------------------------------

/// Logged by every shard's primary; answered once it is durable.
struct apply_policy {
  shard_id shard = 0;
  std::string text; ///< the policy file
  std::string caller;
};

struct open_import {
  shard_id shard = 0;
  std::uint32_t run = 0;
  std::string name;
  std::string caller;
};

struct close_import {
  shard_id shard = 0;
  std::uint32_t run = 0;
  std::string caller;
};

/// The playground's clock was set: the shard's log time follows.
struct follow_clock {
  shard_id shard = 0;
  timestamp now;
  std::string caller;
};

/// What a policy would change for the shard's people, if it were in force at its effective time.
struct simulate_policy {
  shard_id shard = 0;
  std::string text;
  std::string version; ///< what the file must say; empty: whatever it says
};

struct policy_effect {
  std::uint64_t persons = 0;
  std::uint64_t audience = 0;       ///< whom its notices are for
  std::uint64_t notices_needed = 0; ///< of these, not told yet
  std::uint64_t excluded = 0;       ///< in a region that it excludes
  std::uint64_t region_unknown = 0;
  std::uint64_t minors = 0;
  std::uint64_t newly_excluded = 0;     ///< excluded by it, and not by what is in force
  std::uint64_t interests_to_purge = 0; ///< assistant interests of the newly excluded
};

struct shard_status_request {
  shard_id shard = 0;
};

struct shard_status {
  shard_id shard = 0;
  std::uint64_t term = 0;
  std::uint64_t seq = 0;
  timestamp log_time;
  std::uint64_t users_cached = 0;
  std::uint64_t audit_entries = 0;
  std::string audit_hash;            ///< hexadecimal
  std::vector<std::string> policies; ///< versions applied, in order
  std::vector<std::uint32_t> imports_open;
};

/// It is durable: nothing else to say.
struct acknowledged {
  session_token seen{}; ///< of what a shard acknowledged
};

// -- backup (admin -> profile) -----------------------------------------------------------------

/// A cut over all shards is made in three rounds: money stands still everywhere, then each shard
/// takes its snapshot, then money moves again. Docs/decisions/0007.
enum class cut_step : std::uint8_t { hold, take, go_on, keep, end };

/// - hold: the shard lends, borrows and takes back nothing until go_on, at most
/// `limits::money_hold`;
/// - take: a snapshot with all that was acknowledged; only while the hold lasts, else `conflict`;
/// - keep: the snapshot is still wanted; `not_found` where it is not there;
/// - end: it is not, and money moves. Where another backup's stands, nothing is done.
struct cut_shard {
  shard_id shard = 0;
  std::string backup; ///< its id
  cut_step step = cut_step::hold;
};

/// Of `take` and `keep`: what the snapshot holds.
struct shard_cut {
  std::uint64_t seq = 0, term = 0;
  std::string chain; ///< hexadecimal
  timestamp log_time;
  std::uint64_t audit_entries = 0;
  std::string audit_hash; ///< hexadecimal
  std::string secrets;    ///< backup::fingerprint
};

/// Error: `not_found` (this primary holds no such snapshot: it changed, or the time is over).
struct read_cut {
  shard_id shard = 0;
  std::string backup;
  bool keys = false;  ///< pages of keys, of now and not of the snapshot
  std::string cursor; ///< as the last part named it; empty: from the beginning
  std::string caller;
};

struct cut_part {
  std::string bytes; ///< backup::encode of rows, or of pages
  std::uint64_t count = 0;
  std::string next; ///< empty: that was the last
};

enum class fill_step : std::uint8_t { look, begin, keys, rows, finish };

/// Fills an empty shard with one of a backup: look whether it may be (changes nothing), begin once,
/// keys, then rows with `index` from 0, then finish until the answer says that it is open. Each may
/// be repeated; after `conflict` begin anew. Error: `conflict` (it is not empty, other secrets, a
/// part that does not follow), `bad_value`.
struct fill_shard {
  shard_id shard = 0;
  std::string backup;
  fill_step step = fill_step::begin;
  std::uint64_t index = 0;
  std::string bytes;
  std::string secrets;          ///< look, begin: as the backup has it
  std::uint64_t term_floor = 0; ///< look, begin: above every term in which its keys were used
  timestamp log_time;           ///< begin: of the cut
  bool drop_unreadable = false; ///< rows: persons without a key are left out
  std::string caller;
};

struct shard_filled {
  std::uint64_t index = 0;   ///< the part that is to come
  std::uint64_t dropped = 0; ///< persons whose key is destroyed, or lacks; so far
  bool open = false;         ///< it serves again
};

// -- policies (admin -> policy) ----------------------------------------------------------------

struct show_policies {};

/// Versions in the order in which they were applied.
struct policies_shown {
  std::vector<std::string> versions;
  std::vector<timestamp> effective_at;
  std::vector<timestamp> applied_at;
  std::vector<std::string> texts; ///< the files
  std::vector<shard_id> missing;  ///< shards that have not logged all of them yet
};

/// Keeps a version's file, to be applied later. Error: `policy_invalid`, `policy_conflict`.
struct put_policy {
  std::string text;
  std::string version; ///< what the file must say; empty: whatever it says
  std::string caller;
};

/// Every shard's primary logs it. Error: `not_found`, `policy_late`.
struct apply_version {
  std::string version;
  bool late = false; ///< although its effective time has passed
  std::string caller;
};

struct version_applied {
  std::vector<shard_id>
      missing; ///< that have not logged it yet; it is handed to them until they have
};

/// policy -> profile: what a shard has logged, and the files that were put (they lie in shard 0).
struct read_policies {
  shard_id shard = 0;
};

struct policies_logged {
  std::vector<std::string> applied;
  std::vector<timestamp> applied_at;
  std::vector<std::string> stored;
};

/// policy -> profile, shard 0
struct store_policy {
  shard_id shard = 0;
  std::string text;
  std::string caller;
};

// -- notices (gateway, admin -> notification) --------------------------------------------------

struct fetch_inbox {
  std::string user;
  std::vector<std::string> reached; ///< ids of notices that the person's own client has shown
};

struct notice_shown {
  std::string id, policy, channel, lang, title, body;
  std::uint32_t revision = 0;
  timestamp sent;
  std::int64_t reached_ms = -1; ///< -1: not yet
};

struct inbox_shown {
  std::vector<notice_shown> notices;
};

struct show_readiness {};

struct readiness_shown {
  std::vector<notice_counts> counts;        ///< summed over the shards, of the last whole rounds
  std::vector<std::int64_t> complete_by_ms; ///< of each; -1: none
  double lines_per_second = 0;              ///< created lately
  std::uint32_t shards_counted = 0;         ///< that have gone round once
  bool paused = false;
};

/// Stops the creation and sending of notices, or lets it go on.
struct pause_notices {
  bool paused = false;
  std::string caller;
};

/// notification -> profile: whether notices are paused stands in a shard, so that it outlives
/// nodes.
struct set_notices_paused {
  shard_id shard = 0;
  bool paused = false;
  std::string caller;
};
struct read_notices_paused {
  shard_id shard = 0;
};
struct notices_paused {
  bool paused = false;
};

/// notification -> profile: a step of a campaign, for the audit log of that shard.
struct record_step {
  shard_id shard = 0;
  std::string action;  ///< past tense, e.g. "notices_began"
  std::string subject; ///< a policy and revision
  std::string detail;  ///< a JSON object, or empty
  std::string caller;
  bool once = false; ///< not again where it stands there already
};

// -- the catalogue (gateway, catalogue -> profile) ---------------------------------------------

/// `kind` is a model::item_kind, `bytes` the item's stored form.
struct put_item {
  shard_id shard = 0;
  std::uint8_t kind = 0;
  std::string id;
  std::string bytes;
  std::string caller;
};

struct item_stored {
  bool created = false;
};

/// Serves a campaign no more, or again. Error: `not_found`.
struct pause_campaign {
  shard_id shard = 0;
  std::string id;
  bool paused = false;
  std::string caller;
};

/// Error: `not_found`.
struct drop_item {
  shard_id shard = 0;
  std::uint8_t kind = 0;
  std::string id;
  std::string caller;
};

/// Error: `not_found`.
struct read_item {
  shard_id shard = 0;
  std::uint8_t kind = 0;
  std::string id;
};

struct item_read {
  std::string bytes;
};

/// What changed in a shard since the last pull of the same opening.
struct pull_catalogue {
  shard_id shard = 0;
  std::uint64_t opening = 0; ///< as the last answer named it; 0: none yet
  std::uint64_t after = 0;
};

struct changed_item {
  std::uint8_t kind = 0;
  std::string id;
  std::string bytes; ///< empty: it is gone
};

struct catalogue_news {
  std::uint64_t opening = 0;
  bool whole = false; ///< forget what this shard said before
  std::uint64_t up_to = 0;
  bool more = false;
  std::vector<changed_item> items;
};

// -- money (profile -> profile of the campaign's shard) ----------------------------------------

/// profile::money_report
struct borrow_money {
  shard_id shard = 0; ///< the campaign's
  std::string campaign;
  shard_id borrower = 0;
  std::int64_t lent_seen = 0, returned = 0, day = 0, returned_within_day = 0, wanted = 0;
  std::int64_t decisions = 0; ///< that the borrower saw so far
};

struct money_answer {
  std::int64_t lent = 0, day = 0;
  bool exhausted = false;
  bool paced = false; ///< there is more, kept for later by its pacing
};

/// One shard's part of a campaign's spend, in micros.
struct read_spend {
  shard_id shard = 0;
  std::string campaign;
};

struct spend_read {
  std::int64_t lent = 0, returned = 0, reserved = 0, settled = 0;
};

// -- uses of a profile (ad_matching, recommendation -> profile) --------------------------------

struct read_use {
  shard_id shard = 0;
  std::string user;
  std::uint8_t use = 0; ///< model::use
};

struct shown_before {
  std::string id; ///< of a campaign, or of an item
  timestamp at;
};

/// profile::use_view. For ads `shown` and `hidden` name campaigns, for content items.
struct use_answer {
  bool personal = false;
  std::string why_not_personal, country, lang, age_band, policy_version;
  std::vector<model::topic_used> topics;
  std::vector<shown_before> shown;
  std::vector<std::string> hidden;
  timestamp shown_since;
};

/// An ad that is to be reserved for somebody.
struct ad_choice {
  std::string impression;            ///< model::encode(impression)
  std::uint32_t cap_impressions = 0; ///< 0: no cap
  std::int64_t cap_ms = 0;
};

/// Reserves price and cap of all choices in one entry, or of none.
struct reserve_ads {
  shard_id shard = 0;
  std::string user; ///< empty: a stranger
  bool personal = false;
  std::string country; ///< as the profile that was matched had it
  std::vector<ad_choice> choices;
};

struct ads_reserved {
  std::vector<std::string> no_money, capped; ///< campaigns; both empty: it is durable
  std::vector<std::string> paced;            ///< of `no_money`: their pacing keeps it for later
  bool changed = false;                      ///< the profile is not what it was: match again
};

enum class ad_happening : std::uint8_t { impression, click, hide };

/// Error: `not_found` (unknown, or it has lapsed), `missing_field` (the person).
struct ad_event {
  shard_id shard = 0;
  std::string user; ///< empty: a stranger
  std::string impression;
  ad_happening what = ad_happening::impression;
};

struct ad_event_taken {
  bool changed = false; ///< false: it was told before
};

/// An item of a feed was seen, or is to be shown no more. Error: `user_not_found`.
struct content_event {
  shard_id shard = 0;
  std::string user;
  std::string content;
  bool hidden = false;
};

struct explain_ad {
  shard_id shard = 0;
  std::string user;
  std::string impression;
};

struct not_used {
  std::string what, reason;
};

struct ad_explained {
  std::string impression; ///< model::encode(impression)
  std::vector<not_used> rest;
};

// -- ads and content (gateway -> ad_matching, recommendation, catalogue) -----------------------

/// What a request says of itself. Words are canonical (model/targeting/schema.hpp).
struct ad_context {
  std::string country, region, lang, device, placement;
  std::vector<std::string> ctx, bcat, segments, follows;
  std::vector<std::string> badv; ///< advertisers, or their domains, that the page blocks; canonical
  bool consent = true;
  bool coppa = false;
  std::vector<std::string> wlang{}; ///< languages that a creative may have; empty: any
  std::int64_t floor_micros = 0;    ///< a price under it is not taken
};

struct match_ads {
  std::string user; ///< empty: a stranger
  std::uint32_t k = 1;
  ad_context context;
  std::vector<std::string> without{}; ///< campaigns that are left out
  std::int64_t until_ms = 0;          ///< monotonic; then nothing is reserved any more. 0: no end
  bool dry = false;                   ///< reserves nothing: a test, which nobody pays for
};

struct ad_placed {
  std::string campaign, creative, title, body, url, impression;
  std::int64_t price_micros = 0;
  std::vector<std::uint16_t> topics{}; ///< that the campaign is about
  std::string lang{};                  ///< of the creative; empty: not stated
};

struct ads_matched {
  std::string decision;
  std::vector<ad_placed> ads;
  std::string policy_version;
  std::string why_not_personal; ///< empty: it was personal
};

struct why_not_ad {
  std::string user;
  ad_context context;
  std::string campaign;
};

struct why_not_answer {
  std::string reason; ///< a code; "eligible" where nothing keeps it
  std::string detail;
};

struct rank_feed {
  std::string user;
  std::uint32_t k = 10;
  std::string lang;
  std::string country{};              ///< of a person of whom nothing is known
  std::vector<std::string> exclude{}; ///< items
};

struct feed_item {
  std::string id, title, url, lang;
  std::vector<std::uint16_t> topics; ///< that counted
  timestamp published;
  std::int64_t score = 0;
};

struct feed_ranked {
  std::vector<feed_item> items;
  std::string policy_version, why_not_personal;
};

struct list_items {
  std::uint8_t kind = 0;
  std::string after; ///< ids above this one
  std::uint32_t limit = 100;
};

struct items_listed {
  std::vector<std::string> items; ///< stored forms, ascending by id
};

// -- operators (gateway -> admin) --------------------------------------------------------------

/// One operator's message. `arguments` and the answer are JSON objects; the verbs are the admin
/// room's table.
struct admin_call {
  std::string verb;
  std::string arguments;
  std::string caller;
};

struct admin_answer {
  std::string json;
};

// -- how an error travels ----------------------------------------------------------------------

caf::error to_caf(const error& e);

/// CAF's own errors become `timed_out`, `unavailable` or `internal`.
error from_caf(const caf::error& e);

} // namespace candor

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::event_batch_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::recording_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(candor::hearing_ptr)

namespace candor {

namespace model {

/// The one way around the topic filter's monopoly: reads and writes what a filter made on another
/// node.
struct sanitized_signal_codec {
  template <class Inspector>
  static auto apply(Inspector& f, sanitized_signal& x) {
    return f(caf::meta::type_name("sanitized_signal"), x.header_, x.topics_, x.valid_);
  }
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, admission& x) {
  std::string region{x.region ? x.region->view() : std::string_view{}};
  auto load = [&] {
    x.region.reset();
    if (region.size() == 2)
      x.region = region_code{{region[0], region[1]}};
    return caf::error{};
  };
  return f(caf::meta::type_name("admission"), x.event_id, x.user, x.at, x.received, x.kind, region,
           x.import_run, caf::meta::load_callback(load));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, topic_weight& x) {
  return f(caf::meta::type_name("topic_weight"), x.topic, x.weight);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, topic_used& x) {
  return f(caf::meta::type_name("topic_used"), x.topic, x.source, x.since, x.weight);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, sanitized_signal& x) {
  return sanitized_signal_codec::apply(f, x);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, verdict& x) {
  return f(caf::meta::type_name("verdict"), x.status, x.reason, x.detail);
}

} // namespace model

// The order of fields is the wire format between nodes of one protocol version.
#define CANDOR_INSPECT(type, ...)                                                                  \
  template <class Inspector>                                                                       \
  typename Inspector::result_type inspect(Inspector& f, [[maybe_unused]] type& x) {                \
    return f(caf::meta::type_name(#type) __VA_OPT__(, ) __VA_ARGS__);                              \
  }

CANDOR_INSPECT(session_token, x.shard, x.generation, x.seq)
CANDOR_INSPECT(verdicts, x.items, x.seen)
CANDOR_INSPECT(admit_events, x.shard, x.items)
CANDOR_INSPECT(learn_signals, x.shard, x.items)
CANDOR_INSPECT(put_user, x.shard, x.user, x.details, x.caller)
CANDOR_INSPECT(read_user, x.shard, x.user, x.exporting, x.caller)
CANDOR_INSPECT(read_session, x.shard, x.user, x.seen)
CANDOR_INSPECT(interest_use, x.topic, x.source, x.strength, x.weight, x.ads, x.content)
CANDOR_INSPECT(user_answer, x.record, x.uses, x.impressions, x.content, x.policy_version,
               x.region_state, x.at, x.known, x.seen)
CANDOR_INSPECT(user_stored, x.created, x.seen)
CANDOR_INSPECT(forget_interest, x.shard, x.user, x.topic, x.caller)
CANDOR_INSPECT(erase_user, x.shard, x.user, x.caller)
CANDOR_INSPECT(receipt, x.id, x.subject, x.erased_at, x.unreadable_at, x.final_at_ms, x.audit_shard,
               x.audit_entry, x.audit_hash, x.seen)
CANDOR_INSPECT(record_notice, x.shard, x.user, x.policy, x.revision, x.channel, x.at, x.caller)
CANDOR_INSPECT(opt_out_user, x.shard, x.user, x.caller)
CANDOR_INSPECT(find_notices, x.shard, x.persons, x.lines_max)
CANDOR_INSPECT(mail_order, x.user, x.notice, x.address, x.lang, x.zone, x.app, x.policy_version,
               x.attempts, x.created)
CANDOR_INSPECT(notice_counts, x.policy, x.revision, x.audience, x.reached, x.waiting,
               x.mails_intended, x.mails_sent, x.mails_failed, x.in_app)
CANDOR_INSPECT(notices_found, x.mails, x.created, x.rounded, x.counts)
CANDOR_INSPECT(record_mail, x.shard, x.user, x.notice, x.outcome, x.at, x.next_try, x.caller)
CANDOR_INSPECT(retry_mails, x.shard, x.user, x.caller)
CANDOR_INSPECT(read_inbox, x.shard, x.user, x.reached)
CANDOR_INSPECT(inbox_line, x.id, x.policy, x.lang, x.revision, x.channel, x.sent, x.reached_ms)
CANDOR_INSPECT(inbox, x.lines, x.app, x.zone)
CANDOR_INSPECT(simulate_policy, x.shard, x.text, x.version)
CANDOR_INSPECT(policy_effect, x.persons, x.audience, x.notices_needed, x.excluded, x.region_unknown,
               x.minors, x.newly_excluded, x.interests_to_purge)
CANDOR_INSPECT(apply_policy, x.shard, x.text, x.caller)
CANDOR_INSPECT(open_import, x.shard, x.run, x.name, x.caller)
CANDOR_INSPECT(close_import, x.shard, x.run, x.caller)
CANDOR_INSPECT(follow_clock, x.shard, x.now, x.caller)
CANDOR_INSPECT(shard_status_request, x.shard)
CANDOR_INSPECT(shard_status, x.shard, x.term, x.seq, x.log_time, x.users_cached, x.audit_entries,
               x.audit_hash, x.policies, x.imports_open)
CANDOR_INSPECT(acknowledged, x.seen)
CANDOR_INSPECT(cut_shard, x.shard, x.backup, x.step)
CANDOR_INSPECT(shard_cut, x.seq, x.term, x.chain, x.log_time, x.audit_entries, x.audit_hash,
               x.secrets)
CANDOR_INSPECT(read_cut, x.shard, x.backup, x.keys, x.cursor, x.caller)
CANDOR_INSPECT(cut_part, x.bytes, x.count, x.next)
CANDOR_INSPECT(fill_shard, x.shard, x.backup, x.step, x.index, x.bytes, x.secrets, x.term_floor,
               x.log_time, x.drop_unreadable, x.caller)
CANDOR_INSPECT(shard_filled, x.index, x.dropped, x.open)
CANDOR_INSPECT(show_policies)
CANDOR_INSPECT(policies_shown, x.versions, x.effective_at, x.applied_at, x.texts, x.missing)
CANDOR_INSPECT(put_policy, x.text, x.version, x.caller)
CANDOR_INSPECT(apply_version, x.version, x.late, x.caller)
CANDOR_INSPECT(version_applied, x.missing)
CANDOR_INSPECT(read_policies, x.shard)
CANDOR_INSPECT(policies_logged, x.applied, x.applied_at, x.stored)
CANDOR_INSPECT(store_policy, x.shard, x.text, x.caller)
CANDOR_INSPECT(fetch_inbox, x.user, x.reached)
CANDOR_INSPECT(notice_shown, x.id, x.policy, x.channel, x.lang, x.title, x.body, x.revision, x.sent,
               x.reached_ms)
CANDOR_INSPECT(inbox_shown, x.notices)
CANDOR_INSPECT(show_readiness)
CANDOR_INSPECT(readiness_shown, x.counts, x.complete_by_ms, x.lines_per_second, x.shards_counted,
               x.paused)
CANDOR_INSPECT(pause_notices, x.paused, x.caller)
CANDOR_INSPECT(set_notices_paused, x.shard, x.paused, x.caller)
CANDOR_INSPECT(read_notices_paused, x.shard)
CANDOR_INSPECT(notices_paused, x.paused)
CANDOR_INSPECT(record_step, x.shard, x.action, x.subject, x.detail, x.caller, x.once)
CANDOR_INSPECT(put_item, x.shard, x.kind, x.id, x.bytes, x.caller)
CANDOR_INSPECT(item_stored, x.created)
CANDOR_INSPECT(pause_campaign, x.shard, x.id, x.paused, x.caller)
CANDOR_INSPECT(drop_item, x.shard, x.kind, x.id, x.caller)
CANDOR_INSPECT(read_item, x.shard, x.kind, x.id)
CANDOR_INSPECT(item_read, x.bytes)
CANDOR_INSPECT(pull_catalogue, x.shard, x.opening, x.after)
CANDOR_INSPECT(changed_item, x.kind, x.id, x.bytes)
CANDOR_INSPECT(catalogue_news, x.opening, x.whole, x.up_to, x.more, x.items)
CANDOR_INSPECT(borrow_money, x.shard, x.campaign, x.borrower, x.lent_seen, x.returned, x.day,
               x.returned_within_day, x.wanted, x.decisions)
CANDOR_INSPECT(money_answer, x.lent, x.day, x.exhausted, x.paced)
CANDOR_INSPECT(read_spend, x.shard, x.campaign)
CANDOR_INSPECT(spend_read, x.lent, x.returned, x.reserved, x.settled)
CANDOR_INSPECT(read_use, x.shard, x.user, x.use)
CANDOR_INSPECT(shown_before, x.id, x.at)
CANDOR_INSPECT(use_answer, x.personal, x.why_not_personal, x.country, x.lang, x.age_band,
               x.policy_version, x.topics, x.shown, x.hidden, x.shown_since)
CANDOR_INSPECT(ad_choice, x.impression, x.cap_impressions, x.cap_ms)
CANDOR_INSPECT(reserve_ads, x.shard, x.user, x.personal, x.country, x.choices)
CANDOR_INSPECT(ads_reserved, x.no_money, x.capped, x.paced, x.changed)
CANDOR_INSPECT(ad_event, x.shard, x.user, x.impression, x.what)
CANDOR_INSPECT(ad_event_taken, x.changed)
CANDOR_INSPECT(content_event, x.shard, x.user, x.content, x.hidden)
CANDOR_INSPECT(explain_ad, x.shard, x.user, x.impression)
CANDOR_INSPECT(not_used, x.what, x.reason)
CANDOR_INSPECT(ad_explained, x.impression, x.rest)
CANDOR_INSPECT(ad_context, x.country, x.region, x.lang, x.device, x.placement, x.ctx, x.bcat,
               x.segments, x.follows, x.badv, x.consent, x.coppa, x.wlang, x.floor_micros)
CANDOR_INSPECT(match_ads, x.user, x.k, x.context, x.without, x.until_ms, x.dry)
CANDOR_INSPECT(ad_placed, x.campaign, x.creative, x.title, x.body, x.url, x.impression,
               x.price_micros, x.topics, x.lang)
CANDOR_INSPECT(ads_matched, x.decision, x.ads, x.policy_version, x.why_not_personal)
CANDOR_INSPECT(why_not_ad, x.user, x.context, x.campaign)
CANDOR_INSPECT(why_not_answer, x.reason, x.detail)
CANDOR_INSPECT(rank_feed, x.user, x.k, x.lang, x.country, x.exclude)
CANDOR_INSPECT(feed_item, x.id, x.title, x.url, x.lang, x.topics, x.published, x.score)
CANDOR_INSPECT(feed_ranked, x.items, x.policy_version, x.why_not_personal)
CANDOR_INSPECT(list_items, x.kind, x.after, x.limit)
CANDOR_INSPECT(items_listed, x.items)
CANDOR_INSPECT(admin_call, x.verb, x.arguments, x.caller)
CANDOR_INSPECT(admin_answer, x.json)

#undef CANDOR_INSPECT

} // namespace candor

CAF_BEGIN_TYPE_ID_BLOCK(candor, caf::id_block::candor_membership::end)
CAF_ADD_TYPE_ID(candor, (candor::event_batch_ptr))
CAF_ADD_TYPE_ID(candor, (candor::model::verdict))
CAF_ADD_TYPE_ID(candor, (candor::model::admission))
CAF_ADD_TYPE_ID(candor, (candor::model::sanitized_signal))
CAF_ADD_TYPE_ID(candor, (candor::session_token))
CAF_ADD_TYPE_ID(candor, (candor::verdicts))
CAF_ADD_TYPE_ID(candor, (candor::admit_events))
CAF_ADD_TYPE_ID(candor, (candor::learn_signals))
CAF_ADD_TYPE_ID(candor, (candor::put_user))
CAF_ADD_TYPE_ID(candor, (candor::read_user))
CAF_ADD_TYPE_ID(candor, (candor::read_session))
CAF_ADD_TYPE_ID(candor, (candor::user_answer))
CAF_ADD_TYPE_ID(candor, (candor::user_stored))
CAF_ADD_TYPE_ID(candor, (candor::forget_interest))
CAF_ADD_TYPE_ID(candor, (candor::erase_user))
CAF_ADD_TYPE_ID(candor, (candor::receipt))
CAF_ADD_TYPE_ID(candor, (candor::record_notice))
CAF_ADD_TYPE_ID(candor, (candor::opt_out_user))
CAF_ADD_TYPE_ID(candor, (candor::find_notices))
CAF_ADD_TYPE_ID(candor, (candor::notices_found))
CAF_ADD_TYPE_ID(candor, (candor::record_mail))
CAF_ADD_TYPE_ID(candor, (candor::retry_mails))
CAF_ADD_TYPE_ID(candor, (candor::read_inbox))
CAF_ADD_TYPE_ID(candor, (candor::inbox))
CAF_ADD_TYPE_ID(candor, (candor::simulate_policy))
CAF_ADD_TYPE_ID(candor, (candor::policy_effect))
CAF_ADD_TYPE_ID(candor, (candor::apply_policy))
CAF_ADD_TYPE_ID(candor, (candor::open_import))
CAF_ADD_TYPE_ID(candor, (candor::close_import))
CAF_ADD_TYPE_ID(candor, (candor::follow_clock))
CAF_ADD_TYPE_ID(candor, (candor::shard_status_request))
CAF_ADD_TYPE_ID(candor, (candor::shard_status))
CAF_ADD_TYPE_ID(candor, (candor::acknowledged))
CAF_ADD_TYPE_ID(candor, (candor::cut_shard))
CAF_ADD_TYPE_ID(candor, (candor::shard_cut))
CAF_ADD_TYPE_ID(candor, (candor::read_cut))
CAF_ADD_TYPE_ID(candor, (candor::cut_part))
CAF_ADD_TYPE_ID(candor, (candor::fill_shard))
CAF_ADD_TYPE_ID(candor, (candor::shard_filled))
CAF_ADD_TYPE_ID(candor, (candor::show_policies))
CAF_ADD_TYPE_ID(candor, (candor::policies_shown))
CAF_ADD_TYPE_ID(candor, (candor::put_policy))
CAF_ADD_TYPE_ID(candor, (candor::apply_version))
CAF_ADD_TYPE_ID(candor, (candor::version_applied))
CAF_ADD_TYPE_ID(candor, (candor::read_policies))
CAF_ADD_TYPE_ID(candor, (candor::policies_logged))
CAF_ADD_TYPE_ID(candor, (candor::store_policy))
CAF_ADD_TYPE_ID(candor, (candor::fetch_inbox))
CAF_ADD_TYPE_ID(candor, (candor::inbox_shown))
CAF_ADD_TYPE_ID(candor, (candor::show_readiness))
CAF_ADD_TYPE_ID(candor, (candor::readiness_shown))
CAF_ADD_TYPE_ID(candor, (candor::pause_notices))
CAF_ADD_TYPE_ID(candor, (candor::set_notices_paused))
CAF_ADD_TYPE_ID(candor, (candor::read_notices_paused))
CAF_ADD_TYPE_ID(candor, (candor::notices_paused))
CAF_ADD_TYPE_ID(candor, (candor::record_step))
CAF_ADD_TYPE_ID(candor, (candor::put_item))
CAF_ADD_TYPE_ID(candor, (candor::item_stored))
CAF_ADD_TYPE_ID(candor, (candor::pause_campaign))
CAF_ADD_TYPE_ID(candor, (candor::drop_item))
CAF_ADD_TYPE_ID(candor, (candor::read_item))
CAF_ADD_TYPE_ID(candor, (candor::item_read))
CAF_ADD_TYPE_ID(candor, (candor::pull_catalogue))
CAF_ADD_TYPE_ID(candor, (candor::catalogue_news))
CAF_ADD_TYPE_ID(candor, (candor::borrow_money))
CAF_ADD_TYPE_ID(candor, (candor::money_answer))
CAF_ADD_TYPE_ID(candor, (candor::read_spend))
CAF_ADD_TYPE_ID(candor, (candor::spend_read))
CAF_ADD_TYPE_ID(candor, (candor::read_use))
CAF_ADD_TYPE_ID(candor, (candor::use_answer))
CAF_ADD_TYPE_ID(candor, (candor::reserve_ads))
CAF_ADD_TYPE_ID(candor, (candor::ads_reserved))
CAF_ADD_TYPE_ID(candor, (candor::ad_event))
CAF_ADD_TYPE_ID(candor, (candor::ad_event_taken))
CAF_ADD_TYPE_ID(candor, (candor::content_event))
CAF_ADD_TYPE_ID(candor, (candor::explain_ad))
CAF_ADD_TYPE_ID(candor, (candor::ad_explained))
CAF_ADD_TYPE_ID(candor, (candor::match_ads))
CAF_ADD_TYPE_ID(candor, (candor::ads_matched))
CAF_ADD_TYPE_ID(candor, (candor::why_not_ad))
CAF_ADD_TYPE_ID(candor, (candor::why_not_answer))
CAF_ADD_TYPE_ID(candor, (candor::rank_feed))
CAF_ADD_TYPE_ID(candor, (candor::feed_ranked))
CAF_ADD_TYPE_ID(candor, (candor::list_items))
CAF_ADD_TYPE_ID(candor, (candor::items_listed))
CAF_ADD_TYPE_ID(candor, (candor::admin_call))
CAF_ADD_TYPE_ID(candor, (candor::admin_answer))
CAF_ADD_TYPE_ID(candor, (candor::recording_ptr))
CAF_ADD_TYPE_ID(candor, (candor::hearing_ptr))
// A room's own clock strikes.
CAF_ADD_ATOM(candor, candor, tick_atom, "tick")
// A room tries again what it could not do.
CAF_ADD_ATOM(candor, candor, retry_atom, "retry")
// Somebody changed what a room follows: it looks at once, not at its next tick.
CAF_ADD_ATOM(candor, candor, changed_atom, "changed")
CAF_END_TYPE_ID_BLOCK(candor)

namespace candor {

using ingestion_handle = caf::typed_actor<caf::replies_to<event_batch_ptr>::with<verdicts>>;

using transcription_handle = caf::typed_actor<caf::replies_to<recording_ptr>::with<hearing_ptr>>;

using profile_handle = caf::typed_actor<
    caf::replies_to<admit_events>::with<verdicts>, caf::replies_to<learn_signals>::with<verdicts>,
    caf::replies_to<put_user>::with<user_stored>, caf::replies_to<read_user>::with<user_answer>,
    caf::replies_to<read_session>::with<user_answer>,
    caf::replies_to<forget_interest>::with<acknowledged>,
    caf::replies_to<erase_user>::with<receipt>, caf::replies_to<record_notice>::with<acknowledged>,
    caf::replies_to<apply_policy>::with<acknowledged>,
    caf::replies_to<opt_out_user>::with<acknowledged>,
    caf::replies_to<find_notices>::with<notices_found>,
    caf::replies_to<record_mail>::with<acknowledged>,
    caf::replies_to<retry_mails>::with<acknowledged>, caf::replies_to<read_inbox>::with<inbox>,
    caf::replies_to<simulate_policy>::with<policy_effect>,
    caf::replies_to<read_policies>::with<policies_logged>,
    caf::replies_to<store_policy>::with<acknowledged>,
    caf::replies_to<set_notices_paused>::with<acknowledged>,
    caf::replies_to<read_notices_paused>::with<notices_paused>,
    caf::replies_to<record_step>::with<acknowledged>, caf::replies_to<put_item>::with<item_stored>,
    caf::replies_to<pause_campaign>::with<acknowledged>,
    caf::replies_to<drop_item>::with<acknowledged>, caf::replies_to<read_item>::with<item_read>,
    caf::replies_to<pull_catalogue>::with<catalogue_news>,
    caf::replies_to<borrow_money>::with<money_answer>,
    caf::replies_to<read_spend>::with<spend_read>, caf::replies_to<read_use>::with<use_answer>,
    caf::replies_to<reserve_ads>::with<ads_reserved>,
    caf::replies_to<ad_event>::with<ad_event_taken>,
    caf::replies_to<content_event>::with<acknowledged>,
    caf::replies_to<explain_ad>::with<ad_explained>,
    caf::replies_to<open_import>::with<acknowledged>,
    caf::replies_to<close_import>::with<acknowledged>,
    caf::replies_to<follow_clock>::with<acknowledged>, caf::replies_to<cut_shard>::with<shard_cut>,
    caf::replies_to<read_cut>::with<cut_part>, caf::replies_to<fill_shard>::with<shard_filled>,
    caf::replies_to<shard_status_request>::with<shard_status>>;

using policy_handle = caf::typed_actor<caf::replies_to<show_policies>::with<policies_shown>,
                                       caf::replies_to<put_policy>::with<acknowledged>,
                                       caf::replies_to<apply_version>::with<version_applied>>;

using notification_handle = caf::typed_actor<caf::replies_to<fetch_inbox>::with<inbox_shown>,
                                             caf::replies_to<show_readiness>::with<readiness_shown>,
                                             caf::replies_to<pause_notices>::with<acknowledged>>;

using admin_handle = caf::typed_actor<caf::replies_to<admin_call>::with<admin_answer>>;

/// `changed_atom` names the shard.
using catalogue_handle = caf::typed_actor<caf::replies_to<list_items>::with<items_listed>,
                                          caf::reacts_to<changed_atom, shard_id>>;
using ad_matching_handle = caf::typed_actor<caf::replies_to<match_ads>::with<ads_matched>,
                                            caf::replies_to<why_not_ad>::with<why_not_answer>>;
using recommendation_handle = caf::typed_actor<caf::replies_to<rank_feed>::with<feed_ranked>>;

/// Where each shard is led, and how each node is reached. Thread-safe: what it says changes with
/// every failover, and a room that was restarted has a new handle.
class shard_directory {
public:
  explicit shard_directory(shard_count count, std::string self = {})
    : self_{std::move(self)}
    , here_(count.value)
    , leaders_(count.value, self_) {}

  std::size_t size() const noexcept { return here_.size(); }
  const std::string& self() const noexcept { return self_; }

  /// What rooms ask: it finds the shard's primary, wherever that is.
  profile_handle primary(shard_id shard) const {
    std::lock_guard guard{mutex_};
    return router_ ? router_ : here_.at(shard);
  }
  void set_router(profile_handle router) {
    std::lock_guard guard{mutex_};
    router_ = std::move(router);
  }

  /// This node's own actor for the shard, whether it leads it or not.
  profile_handle here(shard_id shard) const {
    std::lock_guard guard{mutex_};
    return here_.at(shard);
  }
  void set(shard_id shard, profile_handle room) {
    std::lock_guard guard{mutex_};
    here_.at(shard) = std::move(room);
  }

  /// The name of the node that leads the shard; empty: not known yet.
  std::string leader(shard_id shard) const {
    std::lock_guard guard{mutex_};
    return leaders_.at(shard);
  }
  bool led_here(shard_id shard) const { return leader(shard) == self_; }
  void set_leader(shard_id shard, std::string node) {
    std::lock_guard guard{mutex_};
    leaders_.at(shard) = std::move(node);
  }

  /// The door of another node; nothing while there is no link to it.
  caf::actor door(const std::string& node) const {
    std::lock_guard guard{mutex_};
    auto it = doors_.find(node);
    return it == doors_.end() ? caf::actor{} : it->second;
  }
  void set_door(const std::string& node, caf::actor door) {
    std::lock_guard guard{mutex_};
    if (door)
      doors_[node] = std::move(door);
    else
      doors_.erase(node);
  }
  /// Lets go of every actor: where the node ends, nothing may hold one any more.
  void clear() {
    std::lock_guard guard{mutex_};
    router_ = nullptr;
    std::ranges::fill(here_, profile_handle{});
    doors_.clear();
  }
  /// The other nodes that can be reached.
  std::vector<std::string> others() const {
    std::lock_guard guard{mutex_};
    std::vector<std::string> names;
    for (const auto& [name, _] : doors_)
      names.push_back(name);
    return names;
  }

private:
  std::string self_;
  mutable std::mutex mutex_;
  profile_handle router_;
  std::vector<profile_handle> here_;
  std::vector<std::string> leaders_;
  std::map<std::string, caf::actor> doors_;
};

/// The doors that the gateway knocks at.
struct rooms {
  std::vector<ingestion_handle> ingestion; ///< alike; taken in turn
  transcription_handle transcription;      ///< none: speech is not turned into text here
  admin_handle admin;
  notification_handle notification;
  catalogue_handle catalogue;
  std::vector<ad_matching_handle> ad_matching; ///< alike; taken in turn
  recommendation_handle recommendation;
  std::shared_ptr<const shard_directory> shards;
  std::shared_ptr<const cluster_events> events; ///< of the cluster, as this node learned of them
};

} // namespace candor
