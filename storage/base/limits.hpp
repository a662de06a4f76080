/// Bounds that somebody outside can meet (inner sizes stay with their code). What is over one is
/// refused with an error that says so, never queued without end. Units stand last in a name.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace candor::limits {

using namespace std::chrono_literals;

// Events
inline constexpr std::size_t user_id_bytes = 128;
inline constexpr std::size_t event_id_bytes = 128;
inline constexpr std::size_t utterance_bytes =
    16 * 1024; ///< text or transcript; longer is withheld as too uncertain
inline constexpr std::size_t context_turns = 8;
inline constexpr std::size_t object_topics = 16; ///< topics stated with a liked object
inline constexpr std::size_t signal_topics = 16; ///< topics that one event may teach
inline constexpr std::size_t language_tag_bytes = 35;
inline constexpr std::size_t app_bytes = 64;
inline constexpr std::size_t zone_bytes = 64;
inline constexpr std::size_t email_bytes = 254;
inline constexpr auto future_tolerance = 5min; ///< `at` ahead of the node's clock
inline constexpr auto dedupe_window = 24h;     ///< of the shard's log time

// HTTP
inline constexpr std::size_t header_bytes = 16 * 1024;
inline constexpr std::size_t single_body_bytes = 256 * 1024;
inline constexpr std::size_t bulk_body_bytes = 8 * 1024 * 1024;
inline constexpr std::size_t known_audit_heads = 1000; ///< of an auditor, in one request
inline constexpr std::size_t bulk_line_bytes = 128 * 1024;
inline constexpr std::size_t bulk_events = 20'000; ///< per request
inline constexpr std::size_t bodies_in_memory_bytes = 256 * 1024 * 1024;
inline constexpr std::size_t connections = 1024;
inline constexpr auto header_deadline = 10s;
inline constexpr auto body_deadline = 30s;
inline constexpr auto idle_deadline = 60s;
inline constexpr auto answer_deadline = 20s;
inline constexpr std::size_t connections_turned_away = 128; ///< at a time, told to come again
inline constexpr auto turn_away_deadline = 2s;
inline constexpr std::size_t linger_bytes = 16 * 1024 * 1024; ///< dropped after the last word
inline constexpr auto linger_deadline = 2s;
inline constexpr std::size_t streams = 256;      ///< server-sent events, open at a time
inline constexpr auto stream_life = 10min;       ///< then the client asks again, with a valid token
inline constexpr auto stream_look_every = 500ms; ///< for what is new
inline constexpr auto stream_silence = 15s;      ///< then a comment shows that it lives
inline constexpr std::size_t cluster_events_kept = 4096; ///< by each node, for who comes late
inline constexpr std::size_t cluster_events_at_a_time = 256;
inline constexpr std::size_t json_depth = 16;
inline constexpr std::size_t record_fields = 32; ///< of one object; a route may allow for more
inline constexpr std::size_t list_items = 64;
inline constexpr std::size_t items_listed = 1000;  ///< campaigns or content, in one answer
inline constexpr std::size_t audit_records = 1000; ///< in one answer

// Keys
inline constexpr std::size_t api_key_bytes_min = 16;
inline constexpr std::size_t api_key_bytes = 256;
inline constexpr std::size_t user_token_bytes = 512;
inline constexpr double key_tries_burst = 10; ///< wrong keys of one peer
inline constexpr double key_tries_per_second = 1;
inline constexpr std::size_t key_tries_peers = 1024; ///< that have tries of their own, at a time

// Voice
inline constexpr std::size_t recording_bytes = 4 * 1024 * 1024; ///< two minutes of 16 kHz, 16 bit
inline constexpr std::size_t recordings_waiting = 32;           ///< for a free transcriber
inline constexpr auto recording_wait = 3s;                      ///< then it was not tried
inline constexpr std::size_t transcript_answer_bytes = 128 * 1024; ///< of the command
inline constexpr std::size_t form_part_head_bytes = 1024;
inline constexpr std::size_t form_boundary_bytes = 70; ///< RFC 2046, section 5.1.1
inline constexpr std::size_t media_type_bytes = 64;

// Between rooms
inline constexpr std::size_t batch_events = 256;    ///< events in one message between rooms
inline constexpr std::size_t batches_in_work = 256; ///< at a time in one ingestion actor
inline constexpr std::size_t commit_queue_entries =
    8192; ///< waiting for the disk before `overloaded`
inline constexpr auto room_deadline = 5s;

// Between nodes
inline constexpr std::size_t node_name_bytes = 64;
inline constexpr std::size_t cluster_id_bytes = 64;
inline constexpr std::size_t peers = 256;        ///< nodes of a cluster, less oneself
inline constexpr std::size_t hello_bytes = 1024; ///< said before CAF's protocol starts
inline constexpr std::uint32_t frame_bytes = 16 * 1024 * 1024; ///< one message of CAF's protocol
inline constexpr std::size_t half_open_links = 64; ///< before TLS; the oldest gives way
inline constexpr std::size_t greeting_links = 64;  ///< with a certificate, before the hello's end
inline constexpr auto connect_deadline = 1s;
inline constexpr auto handshake_deadline = 2s; ///< TLS and both hellos
inline constexpr auto redial_first = 50ms;
inline constexpr auto redial_most = 1s;
inline constexpr auto ping_every = 200ms;
inline constexpr std::size_t pings_missed = 5; ///< in a row; then the link is dropped
inline constexpr auto beacon_every = 100ms;
inline constexpr std::size_t beacon_payload_bytes = 1200;

// Replication
inline constexpr std::size_t copy_part_bytes = 256 * 1024;
inline constexpr std::size_t copy_parts_in_flight = 4;
inline constexpr std::size_t copies_leaving = 4; ///< of whole shards, at a time
inline constexpr auto copy_silence = 10s;        ///< then a copy is given up
inline constexpr std::size_t held_prepares = 64;  ///< of a shard, that wait for pages of keys
inline constexpr std::size_t held_entries = 16'384;
inline constexpr std::size_t pages_at_a_time = 32;
inline constexpr std::size_t peer_frame_bytes = 1024 * 1024; ///< in one message to another node
inline constexpr std::size_t peer_in_flight_bytes = 4 * 1024 * 1024; ///< to one node, not taken yet
inline constexpr auto peer_frame_deadline = 2s;
inline constexpr auto route_deadline = 4s; ///< for a call to reach a shard's primary and come back
inline constexpr std::size_t routed_calls = 64 * 1024; ///< that one node has under way
inline constexpr std::size_t routed_in_flight_bytes = 8 * 1024 * 1024; ///< to one node, not answered
inline constexpr std::size_t routed_message_bytes = 512; ///< that a small one, or an item, counts for
inline constexpr auto local_deadline = 30s; ///< for a shard's primary on this node
inline constexpr auto route_again_every = 20ms; ///< while nobody that can be reached leads a shard
inline constexpr auto route_refused_again = 5ms; ///< where the one who leads it does not serve yet
inline constexpr auto session_wait = 100ms; ///< for this node's copy; then the primary is asked
inline constexpr auto session_age = 3s; ///< by which a session may be behind the primary
inline constexpr std::size_t session_tokens = 64; ///< in one header
inline constexpr auto unreachable_after = 2s; ///< of a primary: longer than a failover takes
inline constexpr std::size_t nodes = 1024;
inline constexpr std::size_t datagram_bytes = 1200; ///< of a beacon: fits one packet on any path
inline constexpr std::size_t prepare_entries = 64 * 1024; ///< in one message to a replica
inline constexpr std::size_t replica_message_bytes = 64 * 1024 * 1024;

// A user's record
inline constexpr std::size_t remembered_events = 50'000; ///< event ids within the dedupe window
inline constexpr std::size_t regions_remembered = 32;
inline constexpr std::size_t notices_remembered = 64;
inline constexpr std::size_t deltas_before_fold = 32;
inline constexpr std::size_t cached_users_per_shard = 1024;

// Log and keys
inline constexpr std::size_t log_kept_bytes_per_shard = 64 * 1024 * 1024;
inline constexpr std::size_t keys_per_page = 256;
inline constexpr std::size_t key_pages_cached = 1024;

// Coordination
inline constexpr std::size_t coordination_key_bytes = 512;
inline constexpr std::size_t coordination_value_bytes = 64 * 1024;
inline constexpr std::size_t coordination_swap_bytes = 1024 * 1024; ///< etcd takes 1.5 MiB
inline constexpr std::size_t coordination_listed = 65'536;          ///< keys in one listing
inline constexpr std::size_t coordination_page_keys = 500;
inline constexpr std::size_t coordination_answer_bytes = 64 * 1024 * 1024; ///< of etcd: a full page
inline constexpr std::size_t coordination_connections_idle = 4;            ///< of one endpoint
inline constexpr auto coordination_deadline = 1s;
inline constexpr auto watch_quiet = 5s; ///< then a watch looks whether it missed something
inline constexpr auto watch_pause_min = 50ms;
inline constexpr auto watch_pause_max = 2s;

// Membership
inline constexpr auto membership_tick = 200ms;
inline constexpr auto membership_list_every = 5s; ///< besides watches, which may skip
inline constexpr auto membership_pause_min = 200ms; ///< after the coordinator failed
inline constexpr auto membership_pause_max = 3s;
inline constexpr auto name_claim_wait = 3s; ///< for a node of the same name to object
inline constexpr auto placement_beat_every = 1s;
inline constexpr auto placement_takeover_after = 5s; ///< of silence
inline constexpr auto replace_after = 10min;         ///< a dead node's shards go elsewhere
inline constexpr auto replace_after_at_min = 60s; ///< where one of them has no copy to spare

// Backup
inline constexpr std::size_t backup_part_bytes = 4 * 1024 * 1024;  ///< plain; one row may be large
inline constexpr std::size_t backup_part_wanted = 192 * 1024;      ///< a part ends with the row that reaches it
inline constexpr std::size_t backup_manifest_bytes = 16 * 1024 * 1024;
inline constexpr std::size_t backup_id_bytes = 64;
inline constexpr auto money_hold = 10s; ///< while a cut is made; then money moves again by itself
inline constexpr auto cut_kept = 10min; ///< without a sign of whoever made it
inline constexpr std::uint64_t term_max = (1u << 28) - 1;    ///< a page's number holds it
inline constexpr std::uint64_t restore_term_gap = 64 * 1024; ///< at least, above every term of the backup

// Catalogue, ads and content
inline constexpr std::size_t item_id_bytes = 64; ///< of a campaign, an advertiser, a content item
inline constexpr std::size_t item_text_bytes = 1024; ///< a title, a body, an address
inline constexpr std::size_t creatives = 16;
inline constexpr std::size_t catalogue_items_per_shard = 100'000;
inline constexpr std::size_t feed_items_at_a_time = 1024;
inline constexpr auto feed_behind_max = 1s; ///< then nothing from that shard is served
inline constexpr std::int64_t money_micros = 1'000'000'000'000; ///< a bid, and a tenth of a budget
inline constexpr std::size_t ads_per_decision = 10;
inline constexpr std::size_t feed_items = 100;
inline constexpr auto impression_window = 10min;           ///< from a decision to its impressions
inline constexpr std::size_t reservations_open = 50'000;   ///< of one shard
inline constexpr std::size_t impressions_remembered = 256; ///< of one person
inline constexpr std::size_t content_remembered = 512;     ///< items shown to one person
inline constexpr std::size_t feed_excluded = 100;          ///< items that one request names
inline constexpr auto cap_window_max = 24h * 30;
inline constexpr std::size_t bid_request_fields = 64; ///< of one object of OpenRTB
inline constexpr std::size_t bid_request_items = 1024;
inline constexpr std::size_t bid_request_id_bytes = 256; ///< of a request, and of a place in it
inline constexpr double bid_request_cpm = 1e9; ///< a floor
inline constexpr auto auction_margin = 5ms; ///< of an auction's time: for the way of the answer

// Policies and config files
inline constexpr std::size_t policy_file_bytes = 64 * 1024;
inline constexpr std::size_t policies = 64;
inline constexpr std::size_t config_file_bytes = 256 * 1024;
inline constexpr std::size_t import_runs_open = 8;

// Topic filter
inline constexpr std::size_t lexicon_file_bytes = 4 * 1024 * 1024;
inline constexpr std::size_t evidence_items = 64;
inline constexpr std::size_t term_bytes = 200;           ///< of the lexicon
inline constexpr std::size_t lexicon_languages = 64;
inline constexpr std::size_t term_hits = 4096;           ///< in one turn; more cannot be judged
inline constexpr std::size_t letter_groups = 64;         ///< of one word
inline constexpr std::size_t letter_groups_bytes = 48;   ///< longer words are judged by their beginning
inline constexpr std::size_t topics_model_bytes = 512 * 1024 * 1024;
inline constexpr std::size_t hook_texts = 1024;          ///< asked of the hook at a time
inline constexpr std::size_t hook_answer_bytes = 64 * 1024; ///< a line
inline constexpr auto hook_start_deadline = 60s;         ///< for its first answer
inline constexpr auto hook_pause = 1s;                   ///< then a program that failed starts anew

// Training the topic filter (tools/candor-train)
inline constexpr std::size_t corpus_file_bytes = 4 * 1024 * 1024;
inline constexpr std::size_t wordnet_file_bytes = 64 * 1024 * 1024;
inline constexpr std::size_t vectors_file_bytes = 1024 * 1024 * 1024;
inline constexpr std::size_t template_expansions = 6; ///< sentences that one template makes

} // namespace candor::limits
