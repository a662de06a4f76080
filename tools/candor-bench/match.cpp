#include "tools/candor-bench/match.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/ad_matching/index/ad_index.hpp"
#include "storage/base/rng.hpp"
#include "tools/candor-bench/match/match_folder.hpp"
#include "tools/candor-bench/match/match_peers.hpp"
#include "tools/candor-bench/match/match_workload.hpp"

namespace candor::bench {

namespace {

using namespace ad_matching::index;
using steady = std::chrono::steady_clock;

double us_since(steady::time_point start) {
  return std::chrono::duration<double, std::micro>(steady::now() - start).count();
}

double quantile(std::vector<double>& sorted, double q) {
  return sorted.empty()
             ? 0
             : sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

void put_quantiles(nlohmann::ordered_json& into, const std::string& prefix,
                   std::vector<double> us) {
  std::ranges::sort(us);
  auto round = [](double x) { return std::round(x * 1000) / 1000; };
  into[prefix + "p50_us"] = round(quantile(us, 0.5));
  into[prefix + "p90_us"] = round(quantile(us, 0.9));
  into[prefix + "p99_us"] = round(quantile(us, 0.99));
  into[prefix + "max_us"] = round(us.empty() ? 0 : us.back());
}

/// A line of the format.
void put_answer(std::string& into, const std::string& event, const matched& all, std::size_t k) {
  auto out = std::back_inserter(into);
  fmt::format_to(out, "{}\t{}\t{:x}\t{}\t", event, all.count, all.id_mix, all.uncapped);
  for (std::size_t i = 0; i < std::min(k, all.best.size()); ++i)
    fmt::format_to(out, "{}{}:{}", i == 0 ? "" : ",", all.best[i].id, all.best[i].rank);
  if (all.best.empty())
    into += "\t-\n";
  else
    fmt::format_to(out, "\t{}\n",
                   price_of(all.best[0], all.best.size() > 1 ? all.best[1].rank : 0));
}

/// Which campaigns an operation may still name, as the format says: what was deleted stays so.
class operated {
public:
  operated(const match_folder& folder, std::unique_ptr<ad_index> index)
    : folder_{folder}
    , index_{std::move(index)} {}

  void apply(const match_operation& o) {
    using what = match_change;
    switch (o.what) {
      case what::pause:
        index_->pause(o.id);
        break;
      case what::resume:
        index_->resume(o.id);
        break;
      case what::bid:
        index_->set_bid(o.id, o.bid_micros);
        break;
      case what::remove:
        if (index_->remove(o.id))
          removed_.push_back(o.id);
        break;
      case what::add:
        add(o.id);
        break;
      case what::query:
        break;
    }
  }

  const ad_index& index() const { return *index_; }

private:
  void add(std::uint64_t id) {
    auto it = std::ranges::lower_bound(folder_.campaigns, id, {}, &campaign::id);
    if (it == folder_.campaigns.end() || it->id != id ||
        std::ranges::find(removed_, id) != removed_.end())
      return;
    auto done = index_->add(*it);
    CANDOR_ASSERT(done.has_value() && *done != ad_index::added::full);
  }

  const match_folder& folder_;
  std::unique_ptr<ad_index> index_;
  std::vector<std::uint64_t> removed_;
};

result<std::unique_ptr<ad_index>> make_index(const match_folder& folder, std::size_t campaigns,
                                             asked_for what = asked_for::best) {
  auto additions = static_cast<std::size_t>(
      std::ranges::count(folder.operations, match_change::add, &match_operation::what));
  return ad_index::make(folder.schema, {folder.campaigns.data(), campaigns},
                        std::max(campaigns / 8 + 512, additions), what);
}

/// Where the campaigns end that are live at first: ids up to n - n / 10.
std::size_t live_at_first(const match_folder& folder) {
  auto n = folder.campaigns.size();
  return static_cast<std::size_t>(
      std::ranges::upper_bound(folder.campaigns, n - n / 10, {}, &campaign::id) -
      folder.campaigns.begin());
}

/// A peer over some of the events: its median, and by how much the index is ahead. Error:
/// `internal` where it answers otherwise than the index.
result<void> measure_peer(nlohmann::ordered_json& figures, const std::string& name,
                          match_peer& peer, const match_folder& folder, const ad_index& index,
                          const std::vector<double>& own_us, std::size_t k) {
  constexpr auto budget = std::chrono::seconds{10};
  searcher counter;
  std::vector<double> us, own;
  auto began = steady::now();
  for (std::size_t i = 0; i < folder.events.size() && steady::now() - began < budget; ++i) {
    const auto& asked = folder.events[i].request;
    auto start = steady::now();
    peer.ask(asked, k);
    auto first = us_since(start);
    start = steady::now();
    const auto& theirs = peer.ask(asked, k);
    us.push_back(std::min(first, us_since(start)));
    own.push_back(own_us[i]);
    const auto& ours = counter.all(index, asked, k);
    auto same = ours.count == theirs.count &&
                std::ranges::equal(ours.best, theirs.best, [](const auto& a, const auto& b) {
                  return a.id == b.id && a.rank == b.rank;
                });
    if (!same)
      return fail(errc::internal, fmt::format("{} and the index answer event {} differently", name,
                                              folder.events[i].id));
  }
  std::ranges::sort(us);
  std::ranges::sort(own);
  figures[name + "_p50_us"] = quantile(us, 0.5);
  figures[name + "_p99_us"] = quantile(us, 0.99);
  figures[name + "_ratio"] = quantile(us, 0.5) / std::max(1e-3, quantile(own, 0.5));
  return {};
}

/// Changes single campaigns at a steady rate while it lives: pauses and resumes, and bids.
class updater {
public:
  updater(ad_index& index, const match_folder& folder, std::size_t per_s) {
    if (per_s == 0 || folder.campaigns.empty())
      return;
    thread_ = std::thread{[&index, &folder, per_s, this] {
      seeded_rng random{7};
      auto next = steady::now();
      while (!done_) {
        const auto& c = folder.campaigns[random.next() % folder.campaigns.size()];
        switch (random.next() % 3) {
          case 0:
            index.pause(c.id);
            index.resume(c.id);
            break;
          case 1:
            index.set_bid(c.id, c.bid_micros + c.bid_micros / 10);
            break;
          default:
            index.set_bid(c.id, c.bid_micros);
        }
        std::this_thread::sleep_until(next += std::chrono::microseconds{1'000'000 / per_s});
      }
    }};
  }
  ~updater() {
    done_ = true;
    if (thread_.joinable())
      thread_.join();
  }

private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

} // namespace

result<void> run_match(const match_options& o) {
  if (!choose_vector_target(o.vector_target))
    return fail(errc::bad_value,
                fmt::format("the instruction sets here are {}", fmt::join(vector_targets(), ", ")));
  CANDOR_TRY(folder, read_match_folder(o.folder, o.operations));
  auto campaigns = o.operations ? live_at_first(folder) : folder.campaigns.size();
  auto start = steady::now();
  CANDOR_TRY(index, make_index(folder, campaigns, o.all ? asked_for::all : asked_for::best));
  nlohmann::ordered_json figures;
  figures["campaigns"] = campaigns;
  figures["build_s"] = us_since(start) / 1e6;
  figures["bytes_per_campaign"] =
      campaigns == 0 ? 0 : static_cast<double>(index->bytes()) / static_cast<double>(campaigns);
  searcher search, counter;
  auto asked = [&](const ad_index& of, const request& r) -> const matched& {
    return o.all ? search.all(of, r, o.top) : search.best(of, r, o.top);
  };
  std::string answers;
  std::vector<double> first, best;
  if (o.operations) {
    operated x{folder, std::move(index)};
    std::map<match_change, std::vector<double>> updates;
    for (const auto& op : folder.operations) {
      auto began = steady::now();
      if (op.what != match_change::query) {
        x.apply(op);
        updates[op.what].push_back(us_since(began));
        continue;
      }
      const auto& e = folder.events[op.event];
      asked(x.index(), e.request);
      first.push_back(us_since(began));
      began = steady::now();
      for (std::size_t i = 1; i < o.repeats; ++i) {
        began = steady::now();
        asked(x.index(), e.request);
        auto us = us_since(began);
        if (i == 1)
          best.push_back(us);
        best.back() = std::min(best.back(), us);
      }
      put_answer(answers, e.id, counter.all(x.index(), e.request, o.top), o.top);
    }
    if (best.empty())
      best = first;
    static constexpr std::string_view names[] = {"pause", "resume", "bid", "add", "delete"};
    for (auto& [what, us] : updates)
      put_quantiles(figures, fmt::format("{}_", names[static_cast<std::size_t>(what)]), us);
  } else {
    for (const auto& e : folder.events) {
      auto began = steady::now();
      asked(*index, e.request);
      first.push_back(us_since(began));
    }
    best = first;
    std::optional<updater> updates{std::in_place, *index, folder, o.updates_per_s};
    for (std::size_t i = 1; i < o.repeats; ++i)
      for (std::size_t j = 0; j < folder.events.size(); ++j) {
        auto began = steady::now();
        asked(*index, folder.events[j].request);
        best[j] = std::min(best[j], us_since(began));
      }
    updates.reset();
    if (o.updates_per_s != 0) // back to what the folder says
      for (const auto& c : folder.campaigns)
        index->set_bid(c.id, c.bid_micros);
    start = steady::now();
    std::uint64_t looked_at = 0;
    for (const auto& e : folder.events)
      looked_at += asked(*index, e.request).looked_at;
    auto n = static_cast<double>(std::max<std::size_t>(1, folder.events.size()));
    figures["queries_per_s"] = n / std::max(1e-9, us_since(start) / 1e6);
    figures["looked_at"] = static_cast<double>(looked_at) / n;
    std::uint64_t matches = 0;
    for (const auto& e : folder.events) {
      const auto& all = counter.all(*index, e.request, o.top);
      matches += all.count;
      put_answer(answers, e.id, all, o.top);
    }
    figures["matches"] = static_cast<double>(matches) / n;
  }
  put_quantiles(figures, "", best);
  put_quantiles(figures, "first_pass_", first);
  if (o.peers && !o.operations) {
    CANDOR_TRY_VOID(
        measure_peer(figures, "plain_loop", *make_plain_loop(folder), folder, *index, best, o.top));
    CANDOR_TRY_VOID(measure_peer(figures, "counting_index", *make_counting_index(folder), folder,
                                 *index, best, o.top));
  }
  if (!o.quiet)
    std::fwrite(answers.data(), 1, answers.size(), stdout);
  std::fflush(stdout);
  if (o.json) {
    fmt::print(stderr, "{}\n", figures.dump());
    return {};
  }
  for (const auto& [name, value] : figures.items())
    fmt::print(stderr, "{:<24} {:>14}\n", name, value.dump());
  return {};
}

result<void> generate_match(const std::vector<std::string>& words) {
  std::uint64_t numbers[3];
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& w = words[i + 1];
    auto [end, ec] = std::from_chars(w.data(), w.data() + w.size(), numbers[i]);
    if (ec != std::errc{} || end != w.data() + w.size())
      return fail(errc::bad_value, fmt::format("`{}` is not a number", w));
  }
  auto profile = find_match_profile(words[0]);
  if (!profile)
    return fail(errc::bad_value, "a profile is realistic, narrow, broad or equalities");
  return write_match_folder(make_match_folder(*profile, numbers[0], numbers[1], numbers[2]),
                            words[4]);
}

} // namespace candor::bench
