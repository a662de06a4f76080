/// What the replicators of two nodes send each other, packed into frames: messages of the replicas,
/// pages of keys, and copies of whole shards. Pure values and their bytes. A frame is a msgpack
/// array of (kind, bytes); what cannot be read is refused whole.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cluster/replication/replica.hpp"
#include "cluster/replication/shard_log.hpp"

namespace candor::replication {

/// A page of keys as it lies in its file: sealed under the master key that all nodes share.
struct page_copy {
  std::uint64_t page = 0;
  std::string bytes;
};

/// Pages that the receiver needs before it may acknowledge what is sealed under them.
struct page_copies {
  shard_id shard = 0;
  std::vector<page_copy> pages;
};

/// The sender lacks these.
struct page_request {
  shard_id shard = 0;
  std::vector<std::uint64_t> pages;
};

/// Begins a copy of a shard's state as it was at `mark`; `id` is the sender's.
struct copy_begin {
  shard_id shard = 0;
  std::uint64_t term = 0;
  std::uint64_t id = 0;
  applied_mark mark;
};

struct copied_row {
  engine::table table = engine::table::meta;
  std::string key, value;
};

/// The next part, from 1 on; at most `limits::copy_part_bytes`.
struct copy_part {
  shard_id shard = 0;
  std::uint64_t id = 0;
  std::uint64_t index = 0;
  bool last = false;
  std::vector<copied_row> rows;
  std::vector<page_copy> pages;
};

/// The part is durable at the receiver; 0: the copy's beginning is.
struct copy_taken {
  shard_id shard = 0;
  std::uint64_t id = 0;
  std::uint64_t index = 0;
};

using peer_item =
    std::variant<message, page_copies, page_request, copy_begin, copy_part, copy_taken>;

std::string encode_frame(const std::vector<peer_item>& items);
/// Error: `corrupt`.
result<std::vector<peer_item>> decode_frame(std::string_view bytes);

/// About how many bytes it takes in a frame.
std::size_t size_of(const peer_item& item);

} // namespace candor::replication
