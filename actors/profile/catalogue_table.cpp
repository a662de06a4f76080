#include "actors/profile/catalogue_table.hpp"

#include <utility>

#include <fmt/format.h>

#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

using engine::table;

constexpr char ledger_row = 'b';

char letter(item_kind kind) {
  return kind == item_kind::campaign ? 'c' : 'p';
}

std::string row_key(shard_id shard, char kind, const std::string& id) {
  return engine::named_key(shard, std::string{kind} + "/" + id);
}

} // namespace

result<void> catalogue_table::open() {
  items_.clear();
  ledgers_.clear();
  feed_.clear();
  place_in_feed_.clear();
  std::optional<error> bad;
  CANDOR_TRY_VOID(db_.scan(table::catalogue, engine::shard_begin(shard_), engine::shard_end(shard_),
                           [&](std::string_view key, std::string_view value) {
                             auto kind = key[2];
                             std::string id{key.substr(4)};
                             if (kind == ledger_row) {
                               auto ledger = budget_ledger::decode(value);
                               if (!ledger)
                                 bad = ledger.error();
                               else
                                 ledgers_.emplace(std::move(id), std::move(*ledger));
                               return !bad;
                             }
                             name of{kind == letter(item_kind::campaign) ? item_kind::campaign
                                                                         : item_kind::content,
                                     std::move(id)};
                             changed(of);
                             items_.emplace(std::move(of), value);
                             return true;
                           }));
  return bad ? tl::unexpected<error>{*bad} : result<void>{};
}

void catalogue_table::changed(const name& of) {
  auto& place = place_in_feed_[of];
  feed_.erase(place);
  place = ++last_;
  feed_.emplace(place, of);
}

result<bool> catalogue_table::put(replication::draft& entry, item_kind kind, const std::string& id,
                                  std::string bytes) {
  name of{kind, id};
  auto is_new = !items_.contains(of);
  if (is_new && place_in_feed_.size() >= limits::catalogue_items_per_shard)
    return fail(errc::too_many,
                fmt::format("a shard holds at most {} items", limits::catalogue_items_per_shard));
  if (kind == item_kind::campaign && !is_new) {
    CANDOR_TRY(before, campaign(id));
    CANDOR_TRY(made, model::decode_campaign(bytes));
    made.paused = before.paused;
    bytes = model::encode(made);
  }
  write(entry, of, std::move(bytes));
  return is_new;
}

result<bool> catalogue_table::pause(replication::draft& entry, const std::string& id, bool paused) {
  CANDOR_TRY(of, campaign(id));
  if (std::exchange(of.paused, paused) == paused)
    return false;
  write(entry, {item_kind::campaign, id}, model::encode(of));
  return true;
}

void catalogue_table::write(replication::draft& entry, const name& of, std::string bytes) {
  entry.rows.push_back(
      replication::put_row(table::catalogue, row_key(shard_, letter(of.first), of.second), bytes));
  items_[of] = std::move(bytes);
  changed(of);
}

result<void> catalogue_table::erase(replication::draft& entry, item_kind kind,
                                    const std::string& id) {
  name of{kind, id};
  if (items_.erase(of) == 0)
    return fail(errc::not_found, "there is no such " + std::string{to_string(kind)});
  entry.rows.push_back(replication::erase_row(table::catalogue, row_key(shard_, letter(kind), id)));
  changed(of);
  return {};
}

const std::string* catalogue_table::find(item_kind kind, const std::string& id) const {
  auto it = items_.find({kind, id});
  return it == items_.end() ? nullptr : &it->second;
}

result<model::campaign> catalogue_table::campaign(const std::string& id) const {
  auto bytes = find(item_kind::campaign, id);
  if (!bytes)
    return fail(errc::not_found, "there is no such campaign");
  return model::decode_campaign(*bytes);
}

changes catalogue_table::news(std::uint64_t after) const {
  changes made;
  made.whole = after == 0 || after > last_;
  made.up_to = made.whole ? 0 : after;
  for (auto it = feed_.upper_bound(made.up_to); it != feed_.end(); ++it) {
    if (made.items.size() == limits::feed_items_at_a_time) {
      made.more = true;
      break;
    }
    auto bytes = find(it->second.first, it->second.second);
    made.items.push_back({it->second.first, it->second.second, bytes ? *bytes : std::string{}});
    made.up_to = it->first;
  }
  if (!made.more)
    made.up_to = last_;
  return made;
}

result<money_lent> catalogue_table::lend(replication::draft& entry, const std::string& campaign,
                                         const money_report& report, timestamp now) {
  auto of = this->campaign(campaign);
  if (!of && of.error().code != errc::not_found)
    return tl::unexpected<error>{of.error()};
  if (!of)
    of = model::campaign{}; // gone: what comes back is taken, and nothing is lent
  auto running = !of->paused && of->from <= now && now < of->to;
  auto said = report;
  money_lent answer;
  if (!running && said.wanted > 0) {
    said.wanted = 0;
    answer.exhausted = true;
  }
  auto& ledger = ledgers_[campaign];
  if (ledger.answer(said, *of, now, answer))
    entry.rows.push_back(replication::put_row(
        table::catalogue, row_key(shard_, ledger_row, campaign), ledger.encode()));
  return answer;
}

result<std::int64_t> catalogue_table::lent_net(const std::string& campaign) const {
  auto it = ledgers_.find(campaign);
  return it == ledgers_.end() ? 0 : it->second.lent_net();
}

} // namespace candor::profile
