#include "tools/candor-bench/pacing.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/profile/budget_ledger.hpp"
#include "actors/profile/spend_table.hpp"
#include "storage/base/limits.hpp"
#include "storage/base/rng.hpp"

namespace candor::bench {

namespace {

using namespace std::chrono_literals;
using profile::slots_of_day;

constexpr auto dry_for = 500ms;     ///< as ad_matching waits for a campaign without money
constexpr auto idle_for = 10s;      ///< as profile_actor gives back what nobody asked for
constexpr double shown_share = 0.9; ///< of the ads that were decided; the rest lapses
constexpr std::size_t days_max_seconds = 24 * 3600;
const timestamp begin = *parse_time("2025-12-01T00:00:00Z");
constexpr char name[] = "c";

/// A mean of 1 over the day; least at 04:00, most at 20:00, with a shoulder at noon.
double traffic_at(double hour) {
  using std::numbers::pi;
  return 1 + 0.55 * std::cos((hour - 20) * pi / 12) + 0.2 * std::cos((hour - 12) * pi / 6);
}

class shards {
public:
  explicit shards(const pacing_options& o)
    : random_{o.seed} {
    campaign_.id = name;
    campaign_.bid_micros = o.price_micros * 3 / 2;
    campaign_.total_micros = o.daily_micros * static_cast<std::int64_t>(o.days);
    campaign_.daily_micros = o.daily_micros;
    campaign_.even_pacing = true;
    campaign_.to = begin + 24h * 365;
    for (std::size_t i = 0; i < o.shards; ++i) {
      tables_.push_back(std::make_unique<profile::spend_table>(static_cast<shard_id>(i + 1), *db_));
      dry_until_.push_back(begin);
      decisions_.push_back(0);
    }
  }

  double share() { return static_cast<double>(random_.next() >> 11) * 0x1p-53; }

  /// A decision that the campaign would win at `price`; true where it was reserved.
  bool decide(timestamp now, std::int64_t price) {
    auto at = random_.next() % tables_.size();
    ++decisions_[at];
    if (now < dry_until_[at])
      return false;
    auto& table = *tables_[at];
    auto today = profile::day_of(now);
    replication::draft entry;
    if (table.available(name, today) < price) {
      table.return_old(entry, name, today);
      ask(at, price - table.available(name, today), now);
    }
    if (table.available(name, today) < price) {
      dry_until_[at] = now + dry_for;
      return false;
    }
    auto id = fmt::format("i-{}", ++ids_);
    table.reserve(entry, id, {name, price, today, now + limits::impression_window, false});
    table.touch(name, now);
    if (share() < shown_share)
      table.settle(entry, id);
    return true;
  }

  /// What each shard does by itself.
  void tidy(timestamp now) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      replication::draft entry;
      tables_[i]->lapse(entry, now, 256);
      if (!tables_[i]->return_idle(entry, profile::day_of(now), now - idle_for).empty())
        ask(i, 0, now);
    }
  }

  /// Settled or reserved, over all days.
  std::int64_t committed() const {
    std::int64_t sum = 0;
    for (const auto& t : tables_)
      sum += t->totals(name).settled + t->totals(name).reserved;
    return sum;
  }
  /// Of today's money: what was lent and does not lie there unused.
  std::int64_t committed_today(timestamp now) const {
    auto sum = ledger_.lent_today();
    for (const auto& t : tables_)
      sum -= t->available(name, profile::day_of(now));
    return sum;
  }
  const profile::budget_ledger& ledger() const { return ledger_; }

private:
  void ask(std::size_t at, std::int64_t wanted, timestamp now) {
    auto said = tables_[at]->report(name, wanted);
    said.decisions = decisions_[at];
    profile::money_lent lent;
    ledger_.answer(said, campaign_, now, lent);
    replication::draft entry;
    tables_[at]->receive(entry, name, lent);
  }

  model::campaign campaign_;
  std::unique_ptr<engine::engine> db_ = engine::make_memory_engine();
  profile::budget_ledger ledger_;
  std::vector<std::unique_ptr<profile::spend_table>> tables_;
  std::vector<timestamp> dry_until_;
  std::vector<std::int64_t> decisions_;
  std::uint64_t ids_ = 0;
  seeded_rng random_;
};

/// Knuth, The Art of Computer Programming, volume 2, 3.4.1; for small means.
int poisson(shards& of, double mean) {
  auto limit = std::exp(-mean), product = of.share();
  auto n = 0;
  for (; product > limit; ++n)
    product *= of.share();
  return n;
}

std::string line_of(const std::vector<double>& values, double most, double top, double height) {
  std::string points;
  for (std::size_t i = 0; i < values.size(); ++i)
    points +=
        fmt::format("{:.1f},{:.1f} ",
                    60 + 860.0 * static_cast<double>(i) / static_cast<double>(values.size() - 1),
                    top + height - height * values[i] / most);
  return points;
}

std::string draw(const pacing_options& o, const pacing_figures& f) {
  std::vector<double> planned, spent, wished, planned_sum{0}, spent_sum{0};
  for (const auto& s : f.slots) {
    planned.push_back(static_cast<double>(s.planned) / 1e6);
    spent.push_back(static_cast<double>(s.spent) / 1e6);
    wished.push_back(static_cast<double>(s.wished) / 1e6);
    planned_sum.push_back(planned_sum.back() + planned.back());
    spent_sum.push_back(spent_sum.back() + spent.back());
  }
  auto most = 1.05 * *std::ranges::max_element(wished);
  auto whole = 1.05 * static_cast<double>(o.daily_micros) / 1e6;
  std::string svg =
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="960" height="620" font-family="sans-serif" font-size="13">)"
      "\n<rect width=\"960\" height=\"620\" fill=\"white\"/>\n";
  auto text = [&](double x, double y, std::string_view what) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", x, y, what);
  };
  auto panel = [&](double top, double height, double largest) {
    for (auto i = 0; i <= 4; ++i) {
      auto y = top + height - height * i / 4;
      svg += fmt::format("<path d=\"M60 {0:.1f}H920\" stroke=\"#ddd\"/>"
                         "<text x=\"54\" y=\"{0:.1f}\" text-anchor=\"end\">{1:.0f}</text>\n",
                         y, largest * i / 4);
    }
    for (auto h = 0; h <= 24; h += 3)
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:02}:00</text>\n",
                         60 + 860.0 * h / 24, top + height + 16, h % 24);
  };
  auto draw_line = [&](const std::vector<double>& values, double largest, double top, double height,
                       std::string_view style) {
    svg += fmt::format("<polyline fill=\"none\" {} points=\"{}\"/>\n", style,
                       line_of(values, largest, top, height));
  };
  constexpr std::string_view grey = R"(stroke="#bbb")",
                             blue = R"(stroke="#1f5fbf" stroke-width="1.5")",
                             orange = R"(stroke="#e07b00" stroke-width="3" opacity="0.6")";
  text(60, 24,
       fmt::format("Five-minute slots of one day: {} of {} in which demand lasts within 2 % "
                   "of plan (money of a slot)",
                   f.within, f.lasting));
  panel(40, 250, most);
  draw_line(wished, most, 40, 250, grey);
  draw_line(planned, most, 40, 250, orange);
  draw_line(spent, most, 40, 250, blue);
  text(60, 338, "Since midnight, of the day's budget");
  panel(352, 220, whole);
  draw_line(planned_sum, whole, 352, 220, orange);
  draw_line(spent_sum, whole, 352, 220, blue);
  text(60, 608, "orange: plan · blue: spent · grey: what demand could have spent");
  return svg + "</svg>\n";
}

} // namespace

pacing_figures simulate_pacing(const pacing_options& o) {
  shards all{o};
  auto needed = static_cast<double>(o.daily_micros) / static_cast<double>(o.price_micros);
  auto mean = o.demand * needed / days_max_seconds; // decisions a second
  pacing_figures f;
  for (std::size_t day = 0; day < o.days; ++day) {
    auto before_day = all.committed();
    auto last = day + 1 == o.days;
    pacing_slot slot;
    std::int64_t before_slot = 0;
    for (std::size_t second = 0; second < days_max_seconds; ++second) {
      auto now = begin + 24h * static_cast<int>(day) + 1s * static_cast<int>(second);
      auto hour = static_cast<double>(second) / 3600;
      auto part = last && hour >= 15 ? o.step : 1;
      for (auto n = poisson(all, mean * part * traffic_at(hour)); n > 0; --n) {
        auto price =
            static_cast<std::int64_t>(static_cast<double>(o.price_micros) * (0.5 + all.share()));
        slot.wished += price;
        all.decide(now + millis{static_cast<std::int64_t>(1000 * all.share())}, price);
      }
      all.tidy(now + 999ms);
      if ((second + 1) % 300 == 0) {
        slot.planned = all.ledger().plan().planned();
        slot.spent = all.committed_today(now) - before_slot;
        before_slot += slot.spent;
        if (last)
          f.slots.push_back(slot);
        slot = {};
      }
    }
    f.overspent += std::max<std::int64_t>(0, all.committed() - before_day - o.daily_micros);
    f.overspent += std::max<std::int64_t>(0, all.committed() - all.ledger().lent_net());
    f.stranded = static_cast<double>(all.ledger().lent_net() - all.committed()) /
                 static_cast<double>(o.daily_micros);
    f.spent_of_day = static_cast<double>(before_slot) / static_cast<double>(o.daily_micros);
  }
  for (const auto& s : f.slots) {
    if (!s.demand_lasts())
      continue;
    ++f.lasting;
    f.within += std::abs(s.spent - s.planned) * 50 <= s.planned;
  }
  return f;
}

result<void> run_pacing(const pacing_options& o) {
  auto f = simulate_pacing(o);
  if (!o.svg.empty()) {
    std::ofstream to{o.svg};
    to << draw(o, f);
    if (!to.flush())
      return fail(errc::io_failed, o.svg);
  }
  auto share = f.lasting == 0 ? 0 : static_cast<double>(f.within) / static_cast<double>(f.lasting);
  if (o.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"slots", f.slots.size()},
                                              {"demand_lasts", f.lasting},
                                              {"within_2_percent", f.within},
                                              {"share", share},
                                              {"spent_of_day", f.spent_of_day},
                                              {"stranded", f.stranded},
                                              {"overspent_micros", f.overspent},
                                              {"seed", o.seed}}
                           .dump());
  else
    fmt::print(
        "{} of {} five-minute slots in which demand lasts are within 2 % of plan ({:.1f} %)\n"
        "{:.2f} % of the day's budget spent, {:.2f} % stranded at its end, {} micros "
        "overspent\n",
        f.within, f.lasting, 100 * share, 100 * f.spent_of_day, 100 * f.stranded, f.overspent);
  if (share < 0.95 || f.overspent > 0)
    return fail(errc::conflict, "pacing missed its aim: 95 % of the slots, nothing overspent");
  return {};
}

} // namespace candor::bench
