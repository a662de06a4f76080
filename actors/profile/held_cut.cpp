#include "actors/profile/held_cut.hpp"

#include <algorithm>

#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

constexpr std::size_t number_bytes = 8;

result<std::optional<std::string>> get(const engine::snapshot& from, engine::table table,
                                       const std::string& key) {
  std::optional<std::string> found;
  CANDOR_TRY_VOID(from.scan(table, key, key + '\0', [&](std::string_view, std::string_view value) {
    found = value;
    return false;
  }));
  return found;
}

} // namespace

result<held_cut> held_cut::take(shard_id shard, const engine::engine& db) {
  held_cut made{shard, db.snapshot()};
  CANDOR_TRY(mark, get(*made.state_, engine::table::meta, replication::applied_key(shard)));
  if (mark) {
    CANDOR_TRY(decoded, replication::decode_applied(*mark));
    made.mark_ = decoded;
  }
  auto row = stores::head_row(shard, {});
  CANDOR_TRY(head, get(*made.state_, row.table, row.key));
  if (head) {
    CANDOR_TRY(decoded, stores::decode_audit_head(*head));
    made.audit_ = decoded;
  }
  return made;
}

/// A cursor is the table's place in the order of tables, and the key of the next row.
result<backup_part> held_cut::read(const std::string& cursor, std::size_t bytes) const {
  auto table = cursor.empty() ? std::size_t{0} : static_cast<unsigned char>(cursor.front());
  auto from = cursor.empty() ? engine::shard_begin(shard_) : cursor.substr(1);
  if (table >= backup::tables_of_a_shard.size() || !from.starts_with(engine::shard_begin(shard_)))
    return fail(errc::bad_value, "no part of this shard begins there");
  backup_part part;
  std::vector<backup::row> rows;
  std::size_t taken = 0;
  for (; table < backup::tables_of_a_shard.size() && part.next.empty(); ++table) {
    auto of = backup::tables_of_a_shard[table];
    CANDOR_TRY_VOID(state_->scan(of, from, engine::shard_end(shard_),
                                 [&](std::string_view key, std::string_view value) {
                                   if (taken >= bytes) {
                                     part.next = static_cast<char>(table);
                                     part.next += key;
                                     return false;
                                   }
                                   taken += key.size() + value.size();
                                   rows.push_back({of, std::string{key}, std::string{value}});
                                   return true;
                                 }));
    from = engine::shard_begin(shard_);
  }
  part.count = rows.size();
  part.bytes = backup::encode(rows);
  return part;
}

result<backup_part> read_pages(shard_id shard, stores::user_keys& keys, const std::string& cursor,
                               std::size_t bytes) {
  if (!cursor.empty() && cursor.size() != number_bytes)
    return fail(errc::bad_value, "no part of this shard's keys begins there");
  auto after = cursor.empty() ? 0 : engine::read_big_endian(cursor, number_bytes);
  backup_part part;
  std::vector<backup::page> pages;
  std::size_t taken = 0;
  auto all = keys.pages(shard);
  std::ranges::sort(all);
  for (auto number : all) {
    if (number <= after)
      continue;
    if (taken >= bytes) {
      engine::append_big_endian(part.next, pages.back().number, number_bytes);
      break;
    }
    CANDOR_TRY(page, keys.export_page(number));
    taken += page.size();
    pages.push_back({number, std::move(page)});
  }
  part.count = pages.size();
  part.bytes = backup::encode(pages);
  return part;
}

} // namespace candor::profile
