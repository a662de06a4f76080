#include "tools/candor-bench/match/match_peers.hpp"

#include <algorithm>
#include <unordered_map>

namespace candor::bench {

using namespace ad_matching::index;

namespace {

bool holds_at(const wish& w, std::uint32_t at, const request& asked) {
  const auto& n = w.nodes[at];
  if (!n.is_leaf()) {
    auto all = n.what == operation::all;
    if (n.what == operation::negation)
      return !holds_at(w, at + 1, asked);
    for (auto c = at + 1; c < n.end; c = w.nodes[c].end)
      if (holds_at(w, c, asked) != all)
        return !all;
    return all;
  }
  auto values = w.values_of(n);
  const auto& number = asked.numbers[n.attribute];
  const auto& list = asked.lists[n.attribute];
  auto in_list = [&](auto v) { return std::ranges::find(list, v) != list.end(); };
  switch (n.what) {
    case operation::in:
      return number && std::ranges::find(values, *number) != values.end();
    case operation::not_in:
      return !number || std::ranges::find(values, *number) == values.end();
    case operation::at_least:
      return number && *number >= values.front();
    case operation::at_most:
      return number && *number <= values.front();
    case operation::one_of:
      return std::ranges::any_of(values, in_list);
    case operation::none_of:
      return std::ranges::none_of(values, in_list);
    default:
      return std::ranges::all_of(values, in_list);
  }
}

/// Rank and selection, the same for both.
class selection {
public:
  void begin(const request& asked, std::size_t k) {
    asked_ = &asked;
    wanted_ = std::max<std::size_t>(1, k) + 1;
    answer_ = {};
  }

  void take(const campaign& c) {
    ++answer_.count;
    if (!asked_->left_out.empty() && std::ranges::binary_search(asked_->left_out, c.id))
      return;
    std::uint64_t sum = 0;
    for (auto t : c.relevance)
      for (auto u : asked_->interests)
        if (t.topic == u.topic)
          sum += std::uint32_t{t.weight} * u.weight;
    auto relevance = relevance_of(sum);
    ranked x{c.id, static_cast<std::uint64_t>(c.bid_micros) * c.quality * relevance, c.bid_micros,
             relevance, c.quality};
    auto better = [](const ranked& a, const ranked& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.id < b.id;
    };
    auto& best = answer_.best;
    if (best.size() == wanted_ && !better(x, best.back()))
      return;
    if (best.size() == wanted_)
      best.pop_back();
    best.insert(std::upper_bound(best.begin(), best.end(), x, better), x);
  }

  const matched& end() const { return answer_; }

private:
  const request* asked_ = nullptr;
  std::size_t wanted_ = 0;
  matched answer_;
};

class plain_loop final : public match_peer {
public:
  explicit plain_loop(const match_folder& folder)
    : folder_{folder} {}

  const matched& ask(const request& asked, std::size_t k) override {
    selection_.begin(asked, k);
    for (const auto& c : folder_.campaigns)
      if (c.wish.nodes.empty() || holds_at(c.wish, 0, asked))
        selection_.take(c);
    return selection_.end();
  }

private:
  const match_folder& folder_;
  selection selection_;
};

/// Conjunctions of "attribute has one of these values" are counted over posting lists; one that
/// also says "has none of these" is struck out by them. A wish that is not a small disjunction of
/// such conjunctions is evaluated, when the conjunction of its indexable parts is met.
class counting_index final : public match_peer {
public:
  explicit counting_index(const match_folder& folder)
    : folder_{folder} {
    for (std::uint32_t i = 0; i < folder.campaigns.size(); ++i)
      add(i);
    counts_.resize(needed_.size());
    for (std::uint32_t i = 0; i < needed_.size(); ++i)
      if (needed_[i] == 0)
        always_.push_back(i);
  }

  const matched& ask(const request& asked, std::size_t k) override {
    selection_.begin(asked, k);
    touched_.clear();
    auto hit = [&](std::uint16_t a, std::int64_t v) {
      auto it = postings_.find(key(a, v));
      if (it == postings_.end())
        return;
      for (auto c : it->second) {
        if (counts_[c]++ == 0)
          touched_.push_back(c);
      }
    };
    for (std::uint16_t a = 0; a < folder_.schema.size(); ++a)
      if (folder_.schema[a].kind != value_kind::list) {
        if (asked.numbers[a])
          hit(a, *asked.numbers[a]);
      } else {
        for (auto v : asked.lists[a])
          hit(a, v);
      }
    auto judge = [&](std::uint32_t c) {
      const auto& x = folder_.campaigns[c];
      if (!rest_[c] || holds_at(x.wish, 0, asked))
        selection_.take(x);
    };
    for (auto c : touched_)
      if (needed_[c] != 0 && counts_[c] >= needed_[c])
        judge(c);
    for (auto c : always_)
      judge(c);
    for (auto c : touched_)
      counts_[c] = 0;
    return selection_.end();
  }

private:
  static std::uint64_t key(std::uint16_t a, std::int64_t v) {
    return mix64(static_cast<std::uint64_t>(v) * 256 + a);
  }

  void add(std::uint32_t i) {
    const auto& w = folder_.campaigns[i].wish;
    std::uint16_t needed = 0;
    auto rest = false;
    auto part = [&](const node& n) {
      auto a = n.attribute;
      // A list may hit a clause several times, so only clauses that are hit at most once are
      // counted.
      auto counted = n.what == operation::in ||
                     ((n.what == operation::one_of || n.what == operation::all_of) && n.count == 1);
      if (!counted) {
        rest = true;
        return;
      }
      ++needed;
      for (auto v : w.values_of(n))
        postings_[key(a, v)].push_back(i);
    };
    if (!w.nodes.empty() && w.nodes[0].is_leaf())
      part(w.nodes[0]);
    else if (!w.nodes.empty() && w.nodes[0].what == operation::all)
      for (std::uint32_t c = 1; c < w.nodes[0].end; c = w.nodes[c].end)
        if (w.nodes[c].is_leaf())
          part(w.nodes[c]);
        else
          rest = true;
    else
      rest = !w.nodes.empty();
    needed_.push_back(needed);
    rest_.push_back(rest);
  }

  const match_folder& folder_;
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> postings_;
  std::vector<std::uint16_t> needed_, counts_;
  std::vector<std::uint8_t> rest_;
  std::vector<std::uint32_t> always_, touched_;
  selection selection_;
};

} // namespace

std::unique_ptr<match_peer> make_plain_loop(const match_folder& folder) {
  return std::make_unique<plain_loop>(folder);
}

std::unique_ptr<match_peer> make_counting_index(const match_folder& folder) {
  return std::make_unique<counting_index>(folder);
}

} // namespace candor::bench
