#include "actors/profile/spend_table.hpp"

#include "storage/base/limits.hpp"
#include "storage/engine/keys.hpp"

namespace candor::profile {

namespace {

constexpr char account_row = 'a';
constexpr char reservation_row = 'r';
constexpr std::size_t account_numbers = 8, reservation_numbers = 4;
constexpr char account_version = 1;
/// Version 1 has the same fields, of the flags only `personal_flag`: `open` reads both alike. The
/// number is another so that a node that knows 1 alone refuses the row as corrupt; it would take
/// one that is told for an open one, and the impression would be paid for twice.
constexpr char reservation_version = 2;
constexpr std::int64_t personal_flag = 1, told_flag = 2;

void add(std::string& bytes, std::int64_t n) {
  engine::append_big_endian(bytes, static_cast<std::uint64_t>(n), 8);
}

std::int64_t read(std::string_view bytes, std::size_t index) {
  return static_cast<std::int64_t>(engine::read_big_endian(bytes.substr(1 + 8 * index), 8));
}

std::string encode(const reservation& r) {
  std::string bytes(1, reservation_version);
  add(bytes, r.price_micros);
  add(bytes, r.day);
  add(bytes, to_int(r.lapses_at));
  add(bytes, (r.personal ? personal_flag : 0) | (r.told ? told_flag : 0));
  return bytes + r.campaign;
}

} // namespace

std::string spend_table::key(char kind, const std::string& id) const {
  return engine::named_key(shard_, std::string{kind} + "/" + id);
}

result<void> spend_table::open() {
  accounts_.clear();
  holding_.clear();
  reservations_.clear();
  due_.clear();
  told_ = 0;
  auto good = true;
  CANDOR_TRY_VOID(
      db_.scan(engine::table::spend, engine::shard_begin(shard_), engine::shard_end(shard_),
               [&](std::string_view row_key, std::string_view value) {
                 auto kind = row_key[2];
                 std::string id{row_key.substr(4)};
                 auto newest = kind == account_row ? account_version : reservation_version;
                 auto numbers = kind == account_row ? account_numbers : reservation_numbers;
                 good = value.size() >= 1 + 8 * numbers && value[0] >= 1 && value[0] <= newest;
                 if (!good)
                   return false;
                 if (kind == account_row) {
                   accounts_[id] = {read(value, 0), read(value, 1), read(value, 2),
                                    read(value, 3), read(value, 4), read(value, 5),
                                    read(value, 6), read(value, 7), {}};
                 } else {
                   auto flags = read(value, 3);
                   reservation r{std::string{value.substr(1 + 8 * reservation_numbers)},
                                 read(value, 0),
                                 read(value, 1),
                                 from_int(read(value, 2)),
                                 (flags & personal_flag) != 0,
                                 (flags & told_flag) != 0};
                   told_ += r.told ? 1 : 0;
                   due_.emplace(r.lapses_at, id);
                   reservations_.emplace(std::move(id), std::move(r));
                 }
                 return true;
               }));
  for (const auto& [campaign, _] : accounts_)
    note_holding(campaign);
  return good ? result<void>{} : fail(errc::corrupt, "a row of money does not decode");
}

void spend_table::put(replication::draft& entry, const std::string& campaign) {
  const auto& a = accounts_[campaign];
  note_holding(campaign);
  std::string bytes(1, account_version);
  for (auto n : {a.lent, a.returned, a.settled, a.reserved, a.day, a.returned_within_day,
                 a.committed_within_day, a.lent_within_day})
    add(bytes, n);
  entry.rows.push_back(
      replication::put_row(engine::table::spend, key(account_row, campaign), std::move(bytes)));
}

void spend_table::note_holding(const std::string& campaign) {
  if (available(campaign, accounts_[campaign].day) > 0)
    holding_.insert(campaign);
  else
    holding_.erase(campaign);
}

std::int64_t spend_table::available(const std::string& campaign, std::int64_t day) const {
  auto it = accounts_.find(campaign);
  if (it == accounts_.end() || it->second.day != day)
    return 0;
  const auto& a = it->second;
  return a.lent_within_day - a.returned_within_day - a.committed_within_day;
}

bool spend_table::receive(replication::draft& entry, const std::string& campaign,
                          const money_lent& lent) {
  auto& a = accounts_[campaign];
  if (lent.lent <= a.lent)
    return false;
  if (lent.day != a.day) {
    // What was left of an earlier day went back before more was asked for.
    a.day = lent.day;
    a.lent_within_day = a.returned_within_day = a.committed_within_day = 0;
  }
  a.lent_within_day += lent.lent - a.lent;
  a.lent = lent.lent;
  put(entry, campaign);
  return true;
}

money_report spend_table::report(const std::string& campaign, std::int64_t wanted) const {
  money_report said;
  said.shard = shard_;
  said.wanted = wanted;
  if (auto it = accounts_.find(campaign); it != accounts_.end()) {
    const auto& a = it->second;
    said.lent_seen = a.lent;
    said.returned = a.returned;
    said.day = a.day;
    said.returned_within_day = a.returned_within_day;
  }
  return said;
}

bool spend_table::is_full() const {
  return reservations_.size() - told_ >= limits::reservations_open;
}

void spend_table::reserve(replication::draft& entry, const std::string& impression,
                          reservation what) {
  auto& a = accounts_[what.campaign];
  CANDOR_ASSERT(available(what.campaign, what.day) >= what.price_micros);
  CANDOR_ASSERT(!reservations_.contains(impression));
  a.reserved += what.price_micros;
  a.committed_within_day += what.price_micros;
  put(entry, what.campaign);
  entry.rows.push_back(
      replication::put_row(engine::table::spend, key(reservation_row, impression), encode(what)));
  due_.emplace(what.lapses_at, impression);
  reservations_.emplace(impression, std::move(what));
}

const reservation* spend_table::find(const std::string& impression) const {
  auto it = reservations_.find(impression);
  return it == reservations_.end() ? nullptr : &it->second;
}

void spend_table::settle(replication::draft& entry, const std::string& impression) {
  auto it = reservations_.find(impression);
  CANDOR_ASSERT(it != reservations_.end() && !it->second.told);
  auto& r = it->second;
  auto& a = accounts_[r.campaign];
  a.reserved -= r.price_micros;
  a.settled += r.price_micros;
  put(entry, r.campaign);
  if (r.personal || told_ >= limits::reservations_open)
    return drop(entry, it);
  r.told = true;
  ++told_;
  entry.rows.push_back(
      replication::put_row(engine::table::spend, key(reservation_row, impression), encode(r)));
}

void spend_table::drop(replication::draft& entry, std::map<std::string, reservation>::iterator it) {
  entry.rows.push_back(
      replication::erase_row(engine::table::spend, key(reservation_row, it->first)));
  told_ -= it->second.told ? 1 : 0;
  due_.erase({it->second.lapses_at, it->first});
  reservations_.erase(it);
}

/// Money that can be used no more, by its day.
void spend_table::give_back(account& a, std::int64_t micros, std::int64_t day) {
  a.returned += micros;
  if (day == a.day)
    a.returned_within_day += micros;
}

bool spend_table::lapse(replication::draft& entry, timestamp now, std::size_t most) {
  auto any = false;
  while (most-- > 0 && !due_.empty() && due_.begin()->first <= now) {
    auto it = reservations_.find(due_.begin()->second);
    const auto& r = it->second;
    if (!r.told) {
      auto& a = accounts_[r.campaign];
      a.reserved -= r.price_micros;
      if (r.day == a.day)
        a.committed_within_day -= r.price_micros; // it may be reserved anew
      else
        give_back(a, r.price_micros, r.day);
      put(entry, r.campaign);
    }
    drop(entry, it);
    any = true;
  }
  return any;
}

bool spend_table::return_old(replication::draft& entry, const std::string& campaign,
                             std::int64_t day) {
  auto it = accounts_.find(campaign);
  if (it == accounts_.end() || it->second.day == day)
    return false;
  auto left = available(campaign, it->second.day);
  if (left == 0)
    return false;
  give_back(it->second, left, it->second.day);
  put(entry, campaign);
  return true;
}

std::vector<std::string> spend_table::return_idle(replication::draft& entry, std::int64_t day,
                                                  timestamp before) {
  std::vector<std::string> told;
  for (const auto& campaign : std::vector<std::string>{holding_.begin(), holding_.end()}) {
    auto& a = accounts_[campaign];
    if (a.day == day && a.used > before)
      continue;
    give_back(a, available(campaign, a.day), a.day);
    put(entry, campaign);
    told.push_back(campaign);
  }
  return told;
}

std::set<std::string> spend_table::campaigns() const {
  std::set<std::string> all;
  for (const auto& [campaign, _] : accounts_)
    all.insert(campaign);
  return all;
}

spend_totals spend_table::totals(const std::string& campaign) const {
  auto it = accounts_.find(campaign);
  if (it == accounts_.end())
    return {};
  const auto& a = it->second;
  return {a.lent, a.returned, a.reserved, a.settled};
}

} // namespace candor::profile
