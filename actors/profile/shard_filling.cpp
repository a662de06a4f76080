#include "actors/profile/shard_filling.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

using engine::operation;
using engine::table;
using engine::user_row;

constexpr std::string_view mark_name = "filling";
constexpr std::string_view filled_name = "filled_from";
constexpr std::size_t person_bytes = 2 + 16;
constexpr std::size_t key_ref_bytes = 10;
constexpr std::size_t mark_bytes = 1 + 5 * 8;

stores::key_ref key_ref_of(std::string_view bytes) {
  return {engine::read_big_endian(bytes, 8),
          static_cast<std::uint16_t>(engine::read_big_endian(bytes.substr(8), 2))};
}

} // namespace

std::string encode(const filling_mark& mark) {
  std::string bytes(1, '\1'); // version
  for (auto n : {mark.term_floor, static_cast<std::uint64_t>(to_int(mark.log_time)), mark.next,
                 mark.dropped, static_cast<std::uint64_t>(mark.complete)})
    engine::append_big_endian(bytes, n, 8);
  return bytes + mark.backup + '\n' + mark.caller;
}

result<filling_mark> decode_filling_mark(std::string_view bytes) {
  auto line = bytes.find('\n', std::min(bytes.size(), mark_bytes));
  if (bytes.size() < mark_bytes || bytes[0] != 1 || line == std::string_view::npos)
    return fail(errc::corrupt, "the mark of a shard that is being filled does not decode");
  auto number = [&](std::size_t i) { return engine::read_big_endian(bytes.substr(1 + 8 * i), 8); };
  filling_mark mark;
  mark.term_floor = number(0);
  mark.log_time = from_int(static_cast<std::int64_t>(number(1)));
  mark.next = number(2);
  mark.dropped = number(3);
  mark.complete = number(4) != 0;
  mark.backup = bytes.substr(mark_bytes, line - mark_bytes);
  mark.caller = bytes.substr(line + 1);
  return mark;
}

std::string filling_key(shard_id shard) {
  return engine::named_key(shard, mark_name);
}

result<std::optional<filling_mark>> shard_filling::open() {
  last_ = {};
  mark_ = {};
  filled_from_.clear();
  CANDOR_TRY(row, db_.get(table::meta, filling_key(shard_)));
  if (!row)
    return std::nullopt;
  CANDOR_TRY(mark, decode_filling_mark(*row));
  mark_ = mark;
  return std::optional{mark};
}

result<bool> shard_filling::is_filled_from(const std::string& backup) const {
  if (!filled_from_.empty())
    return filled_from_ == backup;
  CANDOR_TRY(row, db_.get(table::meta, engine::named_key(shard_, filled_name)));
  return row && *row == backup;
}

result<void> shard_filling::check_empty() const {
  CANDOR_TRY(filled, db_.get(table::meta, engine::named_key(shard_, filled_name)));
  std::string_view holds;
  if (filled || !filled_from_.empty())
    holds = "a backup that was restored";
  if (!keys_.pages(shard_).empty())
    holds = "keys of persons";
  for (auto [where, what] :
       {std::pair{table::user, "persons"}, std::pair{table::timer, "persons"},
        std::pair{table::catalogue, "campaigns or content"}, std::pair{table::spend, "money"}})
    CANDOR_TRY_VOID(db_.scan(where, engine::shard_begin(shard_), engine::shard_end(shard_),
                             [&, what = what](std::string_view, std::string_view) {
                               holds = what;
                               return false;
                             }));
  if (holds.empty())
    return {};
  return fail(errc::conflict,
              fmt::format("shard {} holds {}: a backup is restored into a new, empty cluster only",
                          shard_, holds));
}

replication::draft_row shard_filling::mark_row() const {
  return replication::put_row(table::meta, filling_key(shard_), encode(mark_));
}

result<void> shard_filling::check(const std::string& backup) const {
  if (mark_.backup.empty())
    return check_empty();
  if (mark_.backup == backup)
    return {};
  return fail(errc::conflict,
              fmt::format("half of backup {} lies in shard {}: restore that one, or begin with an "
                          "empty cluster",
                          mark_.backup, shard_));
}

result<replication::draft> shard_filling::begin(filling_mark mark) {
  CANDOR_TRY_VOID(check(mark.backup));
  last_ = {};
  mark_ = std::move(mark);
  mark_.next = mark_.dropped = 0;
  mark_.complete = false;
  replication::draft entry{mark_.log_time, {}, {}};
  for (auto t : backup::tables_of_a_shard)
    entry.rows.push_back(
        {{operation::what::erase_range, t, engine::shard_begin(shard_), engine::shard_end(shard_)},
         std::nullopt});
  entry.rows.push_back(mark_row());
  return entry;
}

result<replication::draft> shard_filling::take_pages(std::string_view bytes) {
  CANDOR_TRY(pages, backup::decode_pages(bytes));
  replication::draft entry{mark_.log_time, {}, {}};
  for (const auto& p : pages) {
    if (backup::shard_of_page(p.number) != shard_)
      return fail(errc::bad_value, "a page of keys belongs to another shard");
    CANDOR_TRY_VOID(keys_.import_living(p.number, p.bytes, p.living));
    entry.pages.push_back(p.number);
  }
  std::ranges::sort(entry.pages);
  ++mark_.next;
  entry.rows.push_back(mark_row());
  return entry;
}

/// Error: `conflict` where the key did not come.
result<bool> shard_filling::has_key(stores::key_ref key, bool drop_unreadable) {
  if (key.page == 0 || backup::shard_of_page(key.page) != shard_)
    return fail(errc::corrupt, "a person's row names a key that cannot be");
  if (keys_.has_page(key.page)) {
    auto tagged = keys_.tag(key, {});
    if (!tagged && tagged.error().code != errc::key_destroyed)
      return tl::unexpected<error>{tagged.error()};
    return tagged.has_value(); // erased since the cut: stays erased
  }
  if (drop_unreadable)
    return false;
  return fail(errc::conflict,
              fmt::format("the key of a person in shard {} is not in the key backup: take one that "
                          "is as new as the data, or leave such persons out",
                          shard_));
}

/// Whether the row is put; notes the pages that it needs.
result<bool> shard_filling::keeps(const backup::row& r, bool drop_unreadable,
                                  std::set<std::uint64_t>& pages) {
  if (r.table == table::meta &&
      (r.key == filling_key(shard_) || r.key == engine::named_key(shard_, filled_name)))
    return false; // of an earlier restore
  if (r.table != table::user)
    return true;
  if (r.key.size() <= person_bytes)
    return fail(errc::corrupt, "a person's row has a key that cannot be");
  auto kind = static_cast<user_row>(r.key[person_bytes]);
  if (kind == user_row::tombstone)
    return true;
  auto prefix = r.key.substr(0, person_bytes);
  if (kind == user_row::key_ref) {
    if (r.value.size() != key_ref_bytes)
      return fail(errc::corrupt, "a person's row does not say where the key lies");
    CANDOR_TRY(has, has_key(key_ref_of(r.value), drop_unreadable));
    last_ = {prefix, key_ref_of(r.value), has};
    mark_.dropped += has ? 0 : 1;
  } else if (last_.prefix != prefix) { // another primary took the part before
    CANDOR_TRY(row, db_.get(table::user, prefix + static_cast<char>(user_row::key_ref)));
    last_ = {prefix, row && row->size() == key_ref_bytes ? key_ref_of(*row) : stores::key_ref{},
             row.has_value()};
  }
  if (last_.kept)
    pages.insert(last_.key.page);
  return last_.kept;
}

result<replication::draft> shard_filling::take_rows(std::string_view bytes, bool drop_unreadable) {
  CANDOR_TRY(rows, backup::decode_rows(bytes));
  auto before = mark_;
  auto last = last_;
  replication::draft entry{mark_.log_time, {}, {}};
  std::set<std::uint64_t> pages;
  for (auto& r : rows) {
    auto kept = r.key.starts_with(engine::shard_begin(shard_))
                    ? keeps(r, drop_unreadable, pages)
                    : fail(errc::bad_value, "a row belongs to another shard");
    if (!kept) {
      mark_ = before;
      last_ = last;
      return tl::unexpected<error>{kept.error()};
    }
    if (*kept)
      entry.rows.push_back(replication::put_row(r.table, std::move(r.key), std::move(r.value)));
  }
  entry.pages.assign(pages.begin(), pages.end());
  ++mark_.next;
  entry.rows.push_back(mark_row());
  return entry;
}

replication::draft shard_filling::complete() {
  mark_.complete = true;
  return {mark_.log_time, {mark_row()}, {}};
}

replication::draft shard_filling::finish() {
  replication::draft entry{mark_.log_time, {}, {}};
  entry.rows.push_back(replication::erase_row(table::meta, filling_key(shard_)));
  entry.rows.push_back(
      replication::put_row(table::meta, engine::named_key(shard_, filled_name), mark_.backup));
  return entry;
}

} // namespace candor::profile
