#include "storage/backup/check.hpp"

#include <fmt/format.h>

#include "storage/engine/keys.hpp"
#include "storage/stores/audit_log.hpp"

namespace candor::backup {

namespace {

constexpr std::size_t shard_bytes = 2;
constexpr std::size_t person_bytes = shard_bytes + 16;
constexpr std::size_t key_ref_bytes = 10;

struct reading {
  reading(std::string file, shard_id of)
    : where{std::move(file)}
    , shard{of} {}

  std::string where;
  shard_id shard;
  checked found;
  std::unique_ptr<engine::engine> chain = engine::make_memory_engine();
  row last;
  std::size_t table = 0; ///< in the order of tables_of_a_shard

  tl::unexpected<error> corrupt(std::string_view what) const {
    return fail(errc::corrupt, fmt::format("{}: {}", where, what));
  }

  result<void> take(row r) {
    if (!r.key.starts_with(engine::shard_begin(shard)))
      return corrupt("a row belongs to another shard");
    while (table < tables_of_a_shard.size() && tables_of_a_shard[table] != r.table)
      ++table;
    if (table == tables_of_a_shard.size() ||
        (found.rows > 0 && last.table == r.table && last.key >= r.key))
      return corrupt("its rows are not in their order");
    ++found.rows;
    if (r.table == engine::table::user)
      CANDOR_TRY_VOID(take_person(r));
    if (r.table == engine::table::audit || r.table == engine::table::meta)
      CANDOR_TRY_VOID(chain->write({{engine::operation::what::put, r.table, r.key, r.value}},
                                   engine::sync::no));
    r.value.clear();
    last = std::move(r);
    return {};
  }

  result<void> take_person(const row& r) {
    if (r.key.size() <= person_bytes)
      return corrupt("a person's row has a key that cannot be");
    auto kind = static_cast<engine::user_row>(r.key[person_bytes]);
    if (kind > engine::last_user_row ||
        r.key.size() != person_bytes + (engine::is_numbered(kind) ? 9 : 1))
      return corrupt("a person's row has a key that cannot be");
    if (kind == engine::user_row::tombstone)
      ++found.erased;
    if (kind != engine::user_row::key_ref)
      return {};
    if (r.value.size() != key_ref_bytes)
      return corrupt("a person's row does not say where the key lies");
    ++found.persons;
    found.pages[engine::read_big_endian(r.value, 8)].push_back(static_cast<std::uint16_t>(
        engine::read_big_endian(std::string_view{r.value}.substr(8), 2)));
    return {};
  }

  result<void> take(const page& p) {
    if (shard_of_page(p.number) != shard)
      return corrupt("a page belongs to another shard");
    if (!found.pages.try_emplace(p.number).second)
      return corrupt("a page stands there twice");
    ++found.rows;
    return {};
  }
};

} // namespace

result<checked> check_shard(const std::filesystem::path& folder, const manifest& of,
                            const shard_entry& entry) {
  reading r{(folder / entry.file).string(), entry.shard};
  CANDOR_TRY_VOID(
      read_file_of(folder, entry, of.kind, [&](const std::string& part) -> result<void> {
        if (of.kind == content::keys) {
          CANDOR_TRY(pages, decode_pages(part));
          for (const auto& p : pages)
            CANDOR_TRY_VOID(r.take(p));
          return {};
        }
        CANDOR_TRY(rows, decode_rows(part));
        for (auto& one : rows)
          CANDOR_TRY_VOID(r.take(std::move(one)));
        return {};
      }));
  if (r.found.rows != entry.rows)
    return r.corrupt(fmt::format("it holds {} rows, not {}", r.found.rows, entry.rows));
  if (of.kind == content::keys)
    return std::move(r.found);
  CANDOR_TRY(verified, stores::verify_audit(*r.chain, entry.shard));
  r.found.audit_entries = verified.index;
  auto hash = to_hex({reinterpret_cast<const char*>(verified.hash.data()), verified.hash.size()});
  if (verified.index != entry.audit_entries || (verified.index > 0 && hash != entry.audit_hash))
    return r.corrupt("its audit chain does not end where it ended at the cut");
  return std::move(r.found);
}

} // namespace candor::backup
